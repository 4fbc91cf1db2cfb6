#include "app/explain_json.h"

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/json_number.h"
#include "cache/cache.h"

namespace candor::app {
namespace {

using nlohmann::json;

// Milliseconds, to the microsecond.
double ms(Duration d) { return std::round(static_cast<double>(d.count()) / 1e3) / 1e3; }
json ms_or_null(std::optional<Duration> d) { return d ? json(ms(*d)) : json(nullptr); }
json number_or_null(std::uint64_t number) { return number == 0 ? json(nullptr) : json(number); }

std::string_view fill_name(FillOutcome outcome) {
  switch (outcome) {
    case FillOutcome::kStored:
      return "stored";
    case FillOutcome::kFenced:
      return "fenced";
    case FillOutcome::kRejected:
      return "rejected";
  }
  return "unknown";
}

json stamp_json(const Stamp& stamp) {
  if (!stamp.is_known()) return nullptr;
  json out = {{"up_to", stamp.up_to.value}};
  if (stamp.limit.value != 0) out["below"] = stamp.limit.value;
  if (stamp.in_progress != nullptr) out["without"] = *stamp.in_progress;
  return out;
}

json tier_json(const TierExplanation& tier) {
  if (!tier.exists) return nullptr;
  json out = {{"held", tier.held}, {"served", tier.served}, {"why", tier.why}};
  if (!tier.problem.empty()) out["problem"] = tier.problem;
  if (!tier.held) return out;
  out["negative"] = tier.negative;
  out["value_bytes"] = tier.value_bytes;
  out["cost_bytes"] = number_or_null(tier.cost_bytes);
  out["stamp"] = stamp_json(tier.stamp);
  out["age_ms"] = ms(tier.age);
  out["ttl_ms"] = ms_or_null(tier.ttl_left);
  out["fresh_within_ms"] = ms_or_null(tier.fresh_within);
  out["pending_write"] = tier.is_pending;
  out["age_by"] = tier.age_is_l2s ? "l2" : "this node";
  return out;
}

// In words, what a proof of the key's freshness rests on now.
std::string rests_on(const KeyReport& report) {
  const KeyExplanation& tiers = report.tiers;
  if (report.is_plain) return "a plain value: this cache is its home";
  if (!tiers.is_watched) return "nothing: the feature has no watch; only the ttl bounds how old a value is";
  if (!tiers.is_heard) return "nothing now: the origin's feed does not tell of this feature's changes";
  if (tiers.floor_is_unsettled) return "nothing now: after a gap in the changes everything held is in doubt";
  if (!tiers.proven_ago) return "nothing yet: no position of the origin was passed since the last gap";
  return fmt::format("every change that was committed more than {:.0f} ms ago has been applied here",
                     std::ceil(ms(*tiers.proven_ago)));
}

json proof_json(const KeyReport& report) {
  const KeyExplanation& tiers = report.tiers;
  json floor = nullptr;
  if (tiers.floor_is_unsettled) floor = "unsettled";
  if (tiers.floor_ago) floor = ms(*tiers.floor_ago);
  return {{"watched", tiers.is_watched},
          {"heard", tiers.is_heard},
          {"fresh_as_of_ms_ago", ms_or_null(tiers.proven_ago)},
          {"rests_on", rests_on(report)},
          {"applied_position", number_or_null(tiers.applied.value)},
          {"floor_ms_ago", std::move(floor)}};
}

json state_json(const KeyExplanation& tiers) {
  json marker = nullptr;
  if (tiers.marker)
    marker = {{"change", number_or_null(tiers.marker->change.value)},
              {"of_whole_feature", tiers.marker->of_feature},
              {"seen_by_a_reader", tiers.marker->seen_by_reader}};
  return {{"marker", std::move(marker)},
          {"loading", tiers.is_loading},
          {"readers_waiting", tiers.waiting},
          {"owed_to_l2", tiers.is_owed_to_l2},
          {"write_of_unknown_outcome", tiers.is_unsettled},
          {"pending_write", tiers.is_pending},
          {"load_takes_ms", ms_or_null(tiers.load_cost)}};
}

// Where a reader who asks now is answered from.
std::string next_read(const KeyReport& report) {
  const KeyExplanation& tiers = report.tiers;
  if (tiers.is_pending) return "the acknowledged write that waits for its batch";
  if (tiers.l1.served) return "l1";
  if (tiers.is_loading) return "the load that is under way";
  if (tiers.disk.served) return "disk";
  if (tiers.l2.served) return "l2";
  if (report.is_plain) return "nothing is held";
  return "origin";
}

// From the commit, by the origin's clock; below zero where that clock is ahead of this node's.
json after_commit(WallTime committed, std::optional<WallTime> at) {
  if (!at || committed.ns == 0) return nullptr;
  return ms(Duration{at->ns - committed.ns});
}

json change_json(const KeyEvent& event, const River::Stages& stages, WallTime applied) {
  return {{"change", number_or_null(event.id.value)},
          {"position", number_or_null(event.position.value)},
          {"committed_at_ms", number_or_null(static_cast<std::uint64_t>(event.committed.ms()))},
          {"after_commit_ms",
           {{"heard", after_commit(event.committed, stages.heard)},
            {"l2_told", after_commit(event.committed, stages.told_l2)},
            {"on_stream", after_commit(event.committed, stages.appended)},
            {"applied", after_commit(event.committed, applied)}}}};
}

json read_json(const KeyEvent& event) {
  json out = {{"tier", event.failed ? json(nullptr) : json(tier_name(event.tier))},
              {"level", consistency_name(event.level)},
              {"outcome", event.failed     ? "error"
                          : event.degraded ? "degraded"
                          : event.negative ? "absent"
                                           : "value"},
              {"age_ms", event.failed ? json(nullptr) : json(ms(event.age))},
              {"fresh_within_ms",
               event.fresh_within < Duration::zero() ? json(nullptr) : json(ms(event.fresh_within))}};
  if (event.cause != nullptr) out["reason"] = event.cause;
  return out;
}

json event_json(const KeyEvent& event, const River::Stages& stages, const KeyReport& report) {
  const WallTime wall{report.wall.ns - (report.now - event.at).count()};
  json out;
  using Kind = KeyEvent::Kind;
  switch (event.kind) {
    case Kind::kHit:
      out = read_json(event);
      out["stands_for"] = thousandths(event.weight);
      break;
    case Kind::kMiss: {
      out = read_json(event);
      const Duration line = event.took - event.in_l2 - event.in_origin;
      out["took_ms"] = {{"all", ms(event.took)},
                        {"line", ms(line)},
                        {"l2", ms(event.in_l2)},
                        {"origin", ms(event.in_origin)}};
      break;
    }
    case Kind::kLoad:
      out = {{"outcome", event.failed ? "failed" : fill_name(event.outcome)},
             {"took_ms", ms(event.took)},
             {"saw_up_to", number_or_null(event.id.value)}};
      break;
    case Kind::kL2Hit:
      out = {{"outcome", fill_name(event.outcome)},
             {"age_ms", ms(event.age)},
             {"saw_up_to", number_or_null(event.id.value)}};
      break;
    case Kind::kInvalidation:
      out["cause"] = event.cause == nullptr ? "" : event.cause;
      break;
    case Kind::kChange:
      out = change_json(event, stages, wall);
      break;
  }
  out["event"] = key_event_name(event.kind);
  out["ago_ms"] = ms(report.now - event.at);
  out["at_ms"] = wall.ms();
  if (event.of_all_keys) out["of"] = event.of_all_features ? "every feature" : "every key of the feature";
  return out;
}

}  // namespace

json hot_figure_json(const std::optional<HotList::Figure>& figure) {
  if (!figure) return nullptr;
  return {{"per_second", thousandths(figure->per_second)},
          {"low", thousandths(figure->low)},
          {"high", thousandths(figure->high)}};
}

json explain_json(const KeyReport& report) {
  json events = json::array();
  for (std::size_t i = 0; i < report.events.size(); ++i)
    events.push_back(
        event_json(report.events[i], i < report.stages.size() ? report.stages[i] : River::Stages{}, report));
  json hot = json::object();
  for (const HotBy by : kHotBys)
    hot[std::string(hot_by_name(by))] = hot_figure_json(report.hot[static_cast<std::size_t>(by)]);
  json reach = nullptr;
  if (report.keeps_history)
    reach = {{"hits", ms_or_null(report.reach[KeyHistory::kHits])},
             {"misses", ms_or_null(report.reach[KeyHistory::kMisses])},
             {"fills", ms_or_null(report.reach[KeyHistory::kFills])},
             {"changes", ms_or_null(report.reach[KeyHistory::kChanges])}};
  return {{"node", report.node},
          {"region", report.region},
          {"feature", report.feature},
          {"key", report.key},
          {"at_ms", report.wall.ms()},
          {"level", consistency_name(report.tiers.level)},
          {"next_read", next_read(report)},
          {"tiers",
           {{"l1", tier_json(report.tiers.l1)},
            {"disk", tier_json(report.tiers.disk)},
            {"l2", tier_json(report.tiers.l2)}}},
          {"proof", proof_json(report)},
          {"state", state_json(report.tiers)},
          {"hot", std::move(hot)},
          {"history", std::move(events)},
          {"history_reaches_ms", std::move(reach)}};
}

json trace_event_json(const TraceEvent& event, std::string_view feature, MonoTime now, WallTime wall) {
  json out = {{"at_ms", WallTime{wall.ns - (now - event.at).count()}.ms()},
              {"event", trace_kind_name(event.kind)},
              {"feature", event.of_all_features ? json(nullptr) : json(feature)},
              {"key", event.of_all_keys ? json(nullptr) : json(event.key)},
              {"outcome", event.outcome}};
  using Kind = TraceEvent::Kind;
  if (!event.reason.empty()) out["reason"] = event.reason;
  if (event.kind == Kind::kHit || event.kind == Kind::kMiss) {
    out["tier"] = event.outcome == "error" ? json(nullptr) : json(tier_name(event.tier));
    out["level"] = consistency_name(event.level);
    out["age_ms"] = ms(event.age);
    out["fresh_within_ms"] = ms_or_null(event.fresh_within);
    out["value_bytes"] = event.value_bytes;
  }
  if (event.kind == Kind::kMiss)
    out["took_ms"] = {{"all", ms(event.took)},
                      {"line", ms(event.took - event.in_l2 - event.in_origin)},
                      {"l2", ms(event.in_l2)},
                      {"origin", ms(event.in_origin)}};
  if (event.kind == Kind::kFill) {
    out["from"] = tier_name(event.tier);
    out["saw_up_to"] = number_or_null(event.id.value);
  }
  if (event.kind == Kind::kChange) {
    out["change"] = number_or_null(event.id.value);
    out["position"] = number_or_null(event.position.value);
    out["after_commit_ms"] = ms(event.age);
  }
  return out;
}

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned first = byte(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || i + more >= text.size()) return false;
    for (std::size_t k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xC0U) != 0x80U) return false;
    const unsigned second = byte(i + 1);
    const bool is_bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    if (is_bad) return false;
    i += more + 1;
  }
  return true;
}

void mark_binary_keys(json& value) {
  if (value.is_array())
    for (json& one : value) mark_binary_keys(one);
  if (!value.is_object()) return;
  std::string hex;
  for (auto& [name, member] : value.items()) {
    if (name == "key" && member.is_string() && !is_utf8(member.get_ref<const std::string&>()))
      for (const char c : member.get_ref<const std::string&>())
        hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    else
      mark_binary_keys(member);
  }
  if (!hex.empty()) value["key_hex"] = std::move(hex);
}

}  // namespace candor::app
