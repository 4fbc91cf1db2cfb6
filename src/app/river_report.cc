#include "app/river_report.h"

#include <fmt/core.h>

namespace candor::app {

namespace {

// A proof is renewed each probe_period (200 ms); older than this, bounded reads go to the origin.
constexpr Duration kProofOverdue = 5s;

std::string unheard_text(const std::vector<Unheard>& unheard) {
  std::string text;
  for (const Unheard& one : unheard)
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ",
                        one.feature.empty() ? "every feature" : "feature " + one.feature, one.reason);
  return text.empty() ? text
                      : text + "; until then by ttl alone, and bounded and strong reads go to the origin";
}

bool has_proof(const AppliedOrigin& origin) { return origin.settled && origin.fresh_as_of.ns != 0; }

}  // namespace

std::string what_is_missing(const RiverReport& river) {
  if (!river.is_built) return {};
  if (!river.bus.connected) return fmt::format("the region stream is not connected ({})", river.stream);
  if (!river.applier.self_heard)
    return "this node's own message has not come back on the region stream (" + river.stream + ")";
  for (const RiverOrigin& origin : river.origins) {
    if (has_proof(origin.applied)) continue;
    const char* state = feed_state_name(origin.feed.state);
    if (origin.feed.state == FeedStatus::State::kMisconfigured)
      return fmt::format("origin {}: its change feed is misconfigured: {}", origin.name, origin.feed.problem);
    if (!origin.applied.settled)
      return fmt::format("origin {}: what was said before this start may not be visible yet (feed: {})",
                         origin.name, state);
    return fmt::format("origin {}: its changes are not proven to have arrived (feed: {})", origin.name,
                       state);
  }
  return {};
}

std::vector<std::string> river_troubles(const RiverReport& river, MonoTime now, bool starts) {
  std::vector<std::string> reasons;
  if (!river.is_built) return reasons;
  if (!starts && (!river.bus.connected || !river.bus.problem.empty())) reasons.emplace_back("stream");
  if (!river.applier.problem.empty())
    reasons.emplace_back(river.applier.self_heard ? "node_name_twice" : "stream_self_test");
  for (const RiverOrigin& origin : river.origins) {
    if (origin.feed.state == FeedStatus::State::kMisconfigured)
      reasons.push_back("feed_misconfigured:" + origin.name);
    for (const Unheard& one : origin.applied.unheard)
      reasons.push_back("unheard:" + (one.feature.empty() ? "*" : one.feature));
    if (!origin.publisher.problem.empty()) reasons.push_back("publisher:" + origin.name);
    const bool is_overdue = now - origin.applied.fresh_as_of > kProofOverdue;
    if (!starts && (!has_proof(origin.applied) || is_overdue)) reasons.push_back("unproven:" + origin.name);
  }
  return reasons;
}

std::vector<RiverProblem> river_problems(const RiverReport& river) {
  std::vector<RiverProblem> problems;
  if (!river.is_built) return problems;
  problems.push_back({"region stream", river.bus.problem});
  problems.push_back({"region", river.applier.problem});
  for (const RiverOrigin& origin : river.origins) {
    // Standing by is no problem, and says who leads.
    const bool leads_elsewhere = origin.feed.state == FeedStatus::State::kStandby;
    problems.push_back(
        {"change feed of origin " + origin.name, leads_elsewhere ? std::string() : origin.feed.problem});
    problems.push_back({"unheard changes of origin " + origin.name, unheard_text(origin.applied.unheard)});
    problems.push_back({"publisher of origin " + origin.name, origin.publisher.problem});
  }
  return problems;
}

}  // namespace candor::app
