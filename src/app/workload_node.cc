// What a running node knows: the answer of /api/v1/budgets. It may come from another build than this one, so
// that nothing in it is taken for granted: what is missing or of another kind is not known.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/workload_known.h"
#include "budget/key_classes.h"

namespace candor::app {
namespace {

using nlohmann::json;

std::optional<double> number(const json& table, const char* name) {
  if (!table.is_object()) return std::nullopt;
  const auto it = table.find(name);
  if (it == table.end() || !it->is_number()) return std::nullopt;
  const auto value = it->get<double>();
  if (!std::isfinite(value) || value < 0.0) return std::nullopt;
  return value;
}

const json& part(const json& table, const char* name) {
  static const json kNothing = json::object();
  if (!table.is_object()) return kNothing;
  const auto it = table.find(name);
  return it == table.end() || !it->is_object() ? kNothing : *it;
}

Workload workload_in(const json& table) {
  Workload workload;
  workload.reads_per_second = number(table, "reads_per_second").value_or(0.0);
  workload.updates_per_second = number(table, "updates_per_second").value_or(0.0);
  const auto classes = table.is_object() ? table.find("classes") : table.end();
  if (!table.is_object() || classes == table.end() || !classes->is_array()) return workload;
  double shares = 0.0;
  for (const json& one : *classes) {
    const auto share = number(one, "read_share");
    const auto reads = number(one, "reads_per_second");
    const auto updates = number(one, "updates_per_second");
    if (!share || !reads || !updates || workload.classes.size() == kKeyClassesMax) continue;
    workload.classes.push_back({*share, *reads, *updates});
    shares += *share;
  }
  if (shares <= 0.0) workload.classes.clear();
  for (KeyClass& one : workload.classes) one.read_share /= shares;
  return workload;
}

std::optional<MeasuredFraction> measured_in(const json& feature) {
  // Against the origin when that was done: the stream cannot see what it lost.
  const json& ways = part(feature, "measured");
  for (const char* name : {"by_origin_window", "by_stream_window", "by_origin", "by_stream"}) {
    const json& table = part(ways, name);
    const auto reads = number(table, "reads");
    const auto fraction = number(table, "stale_fraction");
    if (!reads || *reads <= 0.0 || !fraction) continue;
    return MeasuredFraction{.fraction = *fraction,
                            .low = number(table, "low").value_or(0.0),
                            .high = number(table, "high").value_or(1.0),
                            .reads = *reads};
  }
  return std::nullopt;
}

KnownWorkload feature_in(const json& feature, const std::string& node) {
  KnownWorkload known;
  known.source = "node " + node;
  known.workload = workload_in(part(feature, "workload"));
  if (known.workload.classes.empty())
    known.notes.emplace_back("the node has not seen enough of it to know its workload");
  const json& delivery = part(feature, "delivery");
  known.delay_seconds = number(delivery, "delay_seconds");
  known.delay_p99_seconds = number(delivery, "lag_p99_seconds");
  known.loss = number(delivery, "loss");
  known.own_share = number(delivery, "own_share");
  known.through_share = known.own_share;
  if (const auto load = number(feature, "load_seconds_mean"); load && *load > 0.0) known.load_seconds = load;
  known.measured = measured_in(feature);
  return known;
}

}  // namespace

Result<KnownWorkloads> read_node_budgets(std::string_view body, const std::string& node) {
  const json document = json::parse(body, nullptr, false);
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: /api/v1/budgets {}; is a candord listening there?", node, what));
  };
  if (document.is_discarded()) return bad("is not JSON");
  const json* features = &document;
  if (document.is_object() && document.contains("features")) features = &document["features"];
  if (!features->is_array()) return bad("has no list of features");
  KnownWorkloads known;
  for (const json& feature : *features) {
    if (!feature.is_object() || !feature.contains("feature") || !feature["feature"].is_string()) continue;
    known.emplace(feature["feature"].get<std::string>(), feature_in(feature, node));
  }
  return known;
}

}  // namespace candor::app
