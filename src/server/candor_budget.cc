#include "server/candor_budget.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "server/reply_json.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {
namespace {

using nlohmann::json;

// Actions that one answer names, the newest first; /api/v1/levers has all that are kept.
constexpr std::size_t kActionsShown = 20;

// Those of `all` whose feature is the one asked for, or that the user may touch.
json shown(Session& session, const json& all, std::string_view feature, std::size_t most) {
  json out = json::array();
  for (const json& one : all) {
    const std::string& name = one.at("feature").get_ref<const std::string&>();
    const Feature* known = session.cache().find_feature(name);
    const bool is_asked = feature.empty() || name == feature;
    if (!is_asked || known == nullptr || !session.user()->may_touch(known->id())) continue;
    if (out.size() == most) break;
    out.push_back(one);
  }
  return out;
}

}  // namespace

// Without a feature: every budget. With one: its own, flat.
void budget(Session& session, Args args) {
  if (args.size() > 2) return session.syntax_error();
  const std::string_view feature = args.size() == 2 ? args[1] : std::string_view();
  const BudgetDesk* desk = session.server().context().budgets;
  json all = desk == nullptr ? json{{"features", json::array()}} : desk->budgets(feature);
  const json features = shown(session, all["features"], feature, all["features"].size());
  if (!feature.empty() && features.empty())
    return session.error(
        "NOFEATURE no feature of yours with this name has a budget; see [features.*.budget]");
  json answer = feature.empty() ? json{{"features", features}} : features.front();
  answer["at_ms"] = all.value("at_ms", std::int64_t{0});
  for (const char* part : {"levers", "pulled"})
    if (!all.contains(part)) all[part] = json::array();
  answer["levers"] = shown(session, all["levers"], feature, kActionsShown);
  answer["pulled"] = shown(session, all["pulled"], feature, SIZE_MAX);
  write_json(session.out(), answer, session.protocol());
}

}  // namespace candor::server
