#include "server/candor_inspect.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/inspect_desk.h"
#include "server/key_access.h"
#include "server/reply_json.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {
namespace {

constexpr std::size_t kHotKeysShown = 10;

// Back on this connection's loop, if it still is there.
InspectDesk::Done answer_later(Session& session) {
  const auto place = session.defer();
  return [loop = session.loop().shared_from_this(), id = session.id(), place](nlohmann::json answer) {
    loop->executor().post([loop, id, place, answer = std::move(answer)] {
      Session* back = loop->find(id);
      if (back == nullptr) return;
      back->finish(place, [&](std::string& out) { write_json(out, answer, back->protocol()); });
      back->completed();
    });
  };
}

InspectDesk* desk_of(Session& session) {
  InspectDesk* desk = session.server().context().inspect;
  if (desk == nullptr) session.error("ERR this node cannot be looked into");
  return desk;
}

struct HotKeysWanted {
  std::vector<FeatureId> features;
  std::size_t count = kHotKeysShown;
  HotBy by = HotBy::kReads;
};

bool parse_count(Session& session, std::string_view text, std::size_t* out) {
  std::int64_t count = 0;
  if (!parse_integer_arg(session, text, &count)) return false;
  if (count < 1 || count > static_cast<std::int64_t>(InspectDesk::kHotKeysMost)) {
    session.error("ERR CANDOR.HOTKEYS lists 1 to " + std::to_string(InspectDesk::kHotKeysMost) + " keys");
    return false;
  }
  *out = static_cast<std::size_t>(count);
  return true;
}

// A feature's name comes before a number: a feature may be called 10.
bool parse_feature(Session& session, Args* rest, HotKeysWanted* wanted) {
  const CacheCore& cache = session.cache();
  const Feature* named = rest->empty() ? nullptr : cache.find_feature(rest->front());
  if (named != nullptr) {
    if (!session.user()->may_touch(named->id())) {
      session.error("NOPERM this user may not touch the feature");
      return false;
    }
    wanted->features.push_back(named->id());
    *rest = rest->subspan(1);
    return true;
  }
  const bool is_name = !rest->empty() && !is_word(rest->front(), "BY") &&
                       rest->front().find_first_not_of("0123456789") != std::string_view::npos;
  if (is_name) {
    session.error("NOFEATURE no feature is called '" + std::string(rest->front().substr(0, 64)) + "'");
    return false;
  }
  for (std::size_t i = 0; i < cache.feature_count(); ++i)
    if (const FeatureId id{static_cast<std::uint16_t>(i)}; session.user()->may_touch(id))
      wanted->features.push_back(id);
  return true;
}

// False: an error has been answered.
bool parse(Session& session, Args rest, HotKeysWanted* wanted) {
  if (!parse_feature(session, &rest, wanted)) return false;
  if (!rest.empty() && !is_word(rest.front(), "BY")) {
    if (!parse_count(session, rest.front(), &wanted->count)) return false;
    rest = rest.subspan(1);
  }
  if (rest.empty()) return true;
  const auto by = rest.size() == 2 && is_word(rest[0], "BY") ? hot_by_of(rest[1]) : std::nullopt;
  if (!by) {
    session.syntax_error();
    return false;
  }
  wanted->by = *by;
  return true;
}

}  // namespace

void explain(Session& session, Args args) {
  Target target;
  if (!session.resolve(args[1], Right::kRead, &target)) return;
  InspectDesk* desk = desk_of(session);
  if (desk == nullptr) return;
  std::string key(target.key);
  desk->explain(target.feature->id(), std::move(key), answer_later(session));
}

void hot_keys(Session& session, Args args) {
  HotKeysWanted wanted;
  InspectDesk* desk = desk_of(session);
  if (desk == nullptr || !parse(session, args.subspan(1), &wanted)) return;
  desk->hot_keys(std::move(wanted.features), wanted.count, wanted.by, answer_later(session));
}

}  // namespace candor::server
