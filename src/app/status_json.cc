#include "app/status_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/json_number.h"
#include "app/reconciliation.h"
#include "app/warming_report.h"

namespace candor::app {
namespace {

using nlohmann::json;

json quantiles_json(const LatencyHistogram::Snapshot& snapshot) {
  if (snapshot.count == 0) return nullptr;
  const auto us = [&](double q) { return static_cast<double>(snapshot.quantile_ns(q)) / 1000.0; };
  return {{"count", snapshot.count},
          {"p50_us", us(0.50)},
          {"p90_us", us(0.90)},
          {"p99_us", us(0.99)},
          {"p999_us", us(0.999)}};
}

json shed_json(const OriginStats& stats) {
  json out = json::object();
  for (std::size_t i = 0; i < kLoadClasses; ++i)
    out[load_class_name(static_cast<LoadClass>(i))] = stats.shed[i];
  return out;
}

json origin_json(const OriginReport& origin) {
  const OriginStats& s = origin.stats;
  return {{"name", origin.name},
          {"description", origin.description},
          {"connected", s.connected},
          {"statements", s.statements},
          {"loads", s.loads},
          {"batches", s.batches},
          {"errors", s.errors},
          {"in_flight", s.in_flight},
          {"in_flight_max", s.in_flight_max},
          {"waiting", s.waiting},
          {"max_concurrency", s.max_concurrency},
          {"concurrency_limit", s.limit},
          {"breaker", s.has_breaker ? json(breaker_state_name(s.breaker)) : json(nullptr)},
          {"breaker_opened", s.breaker_opened},
          {"refused_by_breaker", s.refused},
          {"retries", s.retries},
          {"shed", shed_json(s)}};
}

json disk_json(const disk::Stats& disk) {
  return {{"tier", "disk"},
          {"bytes", disk.disk_bytes},
          {"limit_bytes", disk.disk_limit},
          {"memory_bytes", disk.memory_bytes},
          {"written_bytes", disk.written_bytes},
          {"on", disk.off.empty()},
          {"problem", disk.off},
          {"lookups",
           {{"hit", disk.hits},
            {"miss", disk.misses},
            {"absent", disk.absent},
            {"forgotten", disk.forgotten},
            {"slow", disk.slow},
            {"busy", disk.busy},
            {"corrupt", disk.corrupt}}},
          {"demotions",
           {{"written", disk.demoted},
            {"too_cold", disk.too_cold},
            {"over_rate", disk.over_budget},
            {"queue_full", disk.queue_full},
            {"too_large", disk.too_large}}},
          {"removals", disk.removals},
          {"errors", disk.errors}};
}

json tiers_json(const NodeReport& report) {
  json tiers = json::array();
  tiers.push_back({{"tier", "l1"},
                   {"bytes", report.l1.bytes_used},
                   {"limit_bytes", report.l1.memory_limit},
                   {"entries", report.l1.entries},
                   {"evictions", report.l1.evictions},
                   {"expirations", report.l1.expirations}});
  if (report.disk) tiers.push_back(disk_json(*report.disk));
  if (!report.has_l2) return tiers;
  const L2Stats& l2 = report.l2;
  json tier = {{"tier", "l2"},
               {"description", report.l2_description},
               {"connected", l2.connected},
               {"breaker_open", l2.breaker_open},
               {"breaker", breaker_state_name(l2.breaker)},
               {"breaker_opened", l2.breaker_opened},
               {"demotions", l2.demotions},
               {"hits", l2.hits},
               {"misses", l2.misses},
               {"errors", l2.errors},
               {"timeouts", l2.timeouts},
               {"fills_refused", l2.fills_refused}};
  tier["bytes"] = l2.bytes_limit > 0 ? json(l2.bytes) : json(nullptr);  // null: a remote tier does not say
  tier["limit_bytes"] = l2.bytes_limit > 0 ? json(l2.bytes_limit) : json(nullptr);
  tiers.push_back(std::move(tier));
  return tiers;
}

json features_json(const NodeReport& report, std::size_t features_max) {
  std::vector<const FeatureReport*> order;
  for (const FeatureReport& feature : report.features) order.push_back(&feature);
  std::ranges::sort(order, [](const FeatureReport* a, const FeatureReport* b) {
    return a->reads() != b->reads() ? a->reads() > b->reads() : a->name < b->name;
  });
  if (order.size() > features_max) order.resize(features_max);
  json features = json::array();
  for (const FeatureReport* feature : order) features.push_back(feature_json(*feature));
  return features;
}

json connections_json(const ConnectionReport& c) {
  return {{"open", c.open},
          {"accepted", c.accepted},
          {"refused", c.refused},
          {"commands", c.commands},
          {"command_errors", c.command_errors},
          {"protocol_errors", c.protocol_errors},
          {"foreign_protocols", c.foreign_protocols},
          {"slow_readers_cut", c.slow_readers_cut},
          {"deadlines_missed", c.deadlines_missed},
          {"hit_latency_sampled", quantiles_json(c.hit_ns)}};
}

json invalidations_json(const Watchers::Counts& dropped) {
  json out = {{"whole", dropped.whole}};
  for (std::size_t i = 0; i < kInvalidationCauses.size(); ++i)
    out[std::string(kInvalidationCauses[i].label)] = dropped.keys[i];
  return out;
}

json lag_json(const RiverLag& lag) {
  return {{"feed", quantiles_json(lag.feed)},
          {"l2", quantiles_json(lag.l2)},
          {"append", quantiles_json(lag.append)},
          {"applied", quantiles_json(lag.applied)}};
}

json repair_json(const RepairStatus& repair) {
  return {{"running", repair.is_running},  {"suspects_left", repair.left}, {"confirmed", repair.confirmed},
          {"replaced", repair.replaced},   {"dropped", repair.dropped},    {"failed", repair.failed},
          {"keys_per_second", repair.rate}};
}

// null: none since the start.
json last_floor_json(const AppliedOrigin& applied, MonoTime now) {
  if (applied.last_floor_at.ns == 0) return nullptr;
  return {{"reason", applied.last_floor_reason},
          {"feature", applied.last_floor_feature},
          {"ago_ms", (now - applied.last_floor_at) / 1ms}};
}

json unheard_json(const std::vector<Unheard>& unheard) {
  json list = json::array();
  for (const Unheard& one : unheard) list.push_back({{"feature", one.feature}, {"reason", one.reason}});
  return list;
}

json river_origin_json(const RiverOrigin& origin, MonoTime now) {
  const AppliedOrigin& applied = origin.applied;
  const PublisherStatus& publisher = origin.publisher;
  json out = {{"name", origin.name},
              {"description", origin.description},
              {"feed", feed_state_name(origin.feed.state)},
              {"problem", origin.feed.problem.empty() ? publisher.problem : origin.feed.problem},
              {"settled", applied.settled},
              {"changes_applied", applied.changes},
              {"floors", applied.floors},
              {"histories_lost", applied.histories_lost},
              {"history_lost", applied.history_lost},
              {"markers", origin.markers},
              {"retained", origin.feed.lag_bytes},
              {"feed_changes", origin.feed.changes},
              {"feed_breaks", origin.feed.breaks},
              {"waiting_batches", publisher.waiting_slices},
              {"debts_to_l2", publisher.l2.owed},
              {"lag", lag_json(origin.lag)}};
  out["repair"] = repair_json(origin.repair);
  out["unheard"] = unheard_json(applied.unheard);
  out["last_floor"] = last_floor_json(applied, now);
  out["fresh_within_ms"] =
      applied.fresh_as_of.ns == 0 ? json(nullptr) : json((now - applied.fresh_as_of) / 1ms);
  return out;
}

// null: no origin is watched and no stream configured.
json river_json(const RiverReport& river, MonoTime now) {
  if (!river.is_built) return nullptr;
  json origins = json::array();
  for (const RiverOrigin& origin : river.origins) origins.push_back(river_origin_json(origin, now));
  return {{"stream", river.stream},
          {"connected", river.bus.connected},
          {"problem", river.applier.problem.empty() ? river.bus.problem : river.applier.problem},
          {"gaps", river.applier.gaps},
          {"messages", river.bus.received},
          {"nodes", river.applier.nodes},
          {"origins", std::move(origins)}};
}

}  // namespace

namespace {

// null: the feature has no write-behind log.
json behind_json(const FeatureReport& f) {
  if (!f.behind) return nullptr;
  const write_behind::Stats& b = *f.behind;
  return {{"mode", b.mode == write_behind::WriteMode::kBehind ? "behind" : "through"},
          {"window_ms", b.window / 1ms},
          {"pending_keys", b.pending_keys},
          {"pending_bytes", b.pending_bytes},
          {"oldest_ms", b.oldest / 1ms},
          {"log_bytes", b.log_bytes},
          {"acknowledged", b.acknowledged},
          {"merged", b.merged},
          {"applied", b.applied},
          {"refused", b.refused},
          {"batches", b.batches},
          {"retries", b.retries},
          {"syncs", b.syncs},
          {"dead_letters", b.dead_letters},
          {"lost", b.lost},
          {"problem", b.problem},
          {"damage", b.damage}};
}

json feature_counters_json(const FeatureReport& f) {
  return {{"name", f.name},
          {"origin", f.origin},
          {"consistency", f.consistency},
          {"served_as", f.served_as},
          {"ttl_ms", f.ttl / 1ms},
          {"writable", f.writable},
          {"reads", f.reads()},
          {"reads_by_tier",
           {{"l1", f.reads_l1}, {"disk", f.reads_disk}, {"l2", f.reads_l2}, {"origin", f.reads_origin}}},
          {"reads_stale", f.reads_stale},
          {"reads_negative", f.reads_negative},
          {"errors", f.errors},
          {"coalesced", f.coalesced},
          {"refreshes", f.refreshes},
          {"loads",
           {{"ok", f.loads_ok},
            {"absent", f.loads_absent},
            {"failed", f.loads_failed},
            {"timeout", f.loads_timeout}}},
          {"writes", f.writes},
          {"write_errors", f.write_errors},
          {"miss_latency", quantiles_json(f.miss_ns)},
          {"entries", f.usage.entries},
          {"bytes", f.usage.bytes},
          {"evictions", f.usage.evictions},
          {"expirations", f.usage.expirations},
          {"invalidations", invalidations_json(f.dropped)}};
}

}  // namespace

json feature_json(const FeatureReport& f) {
  json out = feature_counters_json(f);
  out["write_behind"] = behind_json(f);
  out["shed"] = f.shed;
  return out;
}

json point_json(const TimelinePoint& p) {
  return {{"at", thousandths(p.at_seconds)},
          {"l1", thousandths(p.l1)},
          {"l2", thousandths(p.l2)},
          {"origin", thousandths(p.origin)},
          {"errors", thousandths(p.errors)},
          {"loads", thousandths(p.loads)},
          {"writes", thousandths(p.writes)},
          {"evictions", thousandths(p.evictions)},
          {"p50_us", p.p50_us ? json(thousandths(*p.p50_us)) : json(nullptr)},
          {"p99_us", p.p99_us ? json(thousandths(*p.p99_us)) : json(nullptr)},
          {"memory_bytes", p.memory_bytes},
          {"memory_limit_bytes", p.memory_limit_bytes},
          {"in_flight", p.in_flight},
          {"in_flight_limit", p.in_flight_limit}};
}

// Without features and sources, which /api/v1/warm has: this goes out every second.
json warm_json(const NodeReport& report) {
  json out = warming_json(report.warm, {}, false);
  out.erase("features");
  out.erase("sources");
  return out;
}

json status_json(const NodeReport& report, std::size_t features_max) {
  json origins = json::array();
  for (const OriginReport& origin : report.origins) origins.push_back(origin_json(origin));
  return {{"node", report.node},
          {"region", report.region},
          {"version", report.version},
          {"uptime_seconds", thousandths(to_seconds(report.uptime))},
          {"ready", report.ready},
          {"not_ready_because", report.not_ready_because},
          {"degraded", report.degraded},
          {"features_total", report.features.size()},
          {"features", features_json(report, features_max)},
          {"tiers", tiers_json(report)},
          {"origins", std::move(origins)},
          {"reconciliation", reconciliation_json(report)},
          {"warm", warm_json(report)},
          {"river", river_json(report.river, report.at)},
          {"tracking", {{"clients", report.tracking_clients}, {"keys", report.tracking_keys}}},
          {"waiting_reads", report.waiting},
          {"owed_invalidations", report.owed_invalidations},
          {"connections", connections_json(report.connections)},
          {"process",
           {{"cpu_seconds", report.process.cpu_seconds},
            {"resident_bytes", report.process.resident_bytes},
            {"open_fds", report.process.open_fds},
            {"threads", report.process.threads}}}};
}

std::string dump_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace candor::app
