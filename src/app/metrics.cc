#include "app/metrics.h"

#include <fmt/core.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/units.h"

namespace candor::app {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using Labels = std::vector<std::pair<std::string, std::string>>;

constexpr auto kCounter = MetricKind::kCounter;
constexpr auto kGauge = MetricKind::kGauge;
constexpr auto kHistogram = MetricKind::kHistogram;

constexpr std::array kSpecs = {
    MetricSpec{"candor_reads_total", kCounter, "feature region tier level",
               "Reads answered with a value or with \"no such row\", by the tier that answered."},
    MetricSpec{"candor_read_errors_total", kCounter, "feature region", "Reads answered with an error."},
    MetricSpec{
        "candor_shed_reads_total", kCounter, "feature region",
        "Reads whose load was refused because too much waits for the origin: answered with an old value "
        "where the owner allows it, else OVERLOADED."},
    MetricSpec{"candor_reads_negative_total", kCounter, "feature region",
               "Reads that L1 answered with \"no such row\"; part of candor_reads_total."},
    MetricSpec{
        "candor_reads_stale_total", kCounter, "feature region",
        "Reads answered with a value past its ttl because the origin failed; part of candor_reads_total."},
    MetricSpec{"candor_reads_coalesced_total", kCounter, "feature region",
               "Reads that waited for a load already under way."},
    MetricSpec{"candor_read_seconds", kHistogram, "feature region path",
               "Time to answer reads. path=\"miss\": every read that left L1, by feature; path=\"hit\": a "
               "sample of the reads that L1 answered, "
               "all features together."},
    MetricSpec{"candor_refreshes_total", kCounter, "feature region",
               "Loads begun in the background, before expiry."},
    MetricSpec{"candor_writes_total", kCounter, "feature region",
               "Writes to the origin asked for through Candor."},
    MetricSpec{"candor_write_errors_total", kCounter, "feature region", "Of these, answered with an error."},
    MetricSpec{
        "candor_writes_unconfirmed_total", kCounter, "feature region",
        "Synchronous writes (a lever) that were acknowledged although a live node of the region did not "
        "say in time that it dropped the old value."},
    MetricSpec{"candor_reads_past_tiers_total", kCounter, "feature region",
               "Reads that a lever sent to the origin past what the tiers hold."},
    MetricSpec{"candor_refreshes_skipped_total", kCounter, "feature region",
               "Changed keys that the lever refresh_on_change did not load, because too many such loads were "
               "under way; their next reader loads."},
    MetricSpec{"candor_write_behind_active", kGauge, "feature region",
               "1 while writes of the feature are acknowledged before the origin has them."},
    MetricSpec{"candor_write_behind_pending_keys", kGauge, "feature region",
               "Keys with an acknowledged write that the origin does not have yet."},
    MetricSpec{"candor_write_behind_pending_bytes", kGauge, "feature region", "Memory that they take."},
    MetricSpec{"candor_write_behind_oldest_seconds", kGauge, "feature region",
               "How long the oldest of them has waited."},
    MetricSpec{"candor_write_behind_log_bytes", kGauge, "feature region", "The log on disk."},
    MetricSpec{"candor_write_behind_writes_total", kCounter, "feature outcome region",
               "Writes: acknowledged; of these merged (a later one of the key replaced it first) and applied "
               "(the origin has it); refused (a limit: OVERLOADED)."},
    MetricSpec{"candor_write_behind_batches_total", kCounter, "feature region",
               "Transactions at the origin."},
    MetricSpec{"candor_write_behind_retries_total", kCounter, "feature region",
               "Attempts that failed and are repeated."},
    MetricSpec{"candor_write_behind_syncs_total", kCounter, "feature region", "Syncs of the log to disk."},
    MetricSpec{"candor_write_behind_dead_letters", kGauge, "feature region",
               "Writes that the origin refused for good and that wait for `candor writes replay` or `drop`."},
    MetricSpec{"candor_write_behind_lost_total", kCounter, "feature region",
               "Acknowledged writes that a damaged log no longer held at the last start."},
    MetricSpec{"candor_origin_loads_total", kCounter, "feature region outcome",
               "Keys loaded from the origin: ok, absent (no such row), failed, timeout."},
    MetricSpec{"candor_origin_statements_total", kCounter, "origin region",
               "Statements sent; a batch of loads is one."},
    MetricSpec{"candor_origin_errors_total", kCounter, "origin region", "Statements that failed."},
    MetricSpec{"candor_origin_in_flight", kGauge, "origin region", "Statements under way."},
    MetricSpec{"candor_origin_in_flight_limit", kGauge, "origin region", "max_concurrency."},
    MetricSpec{"candor_origin_concurrency_limit", kGauge, "origin region",
               "Statements that are let through at once now: it follows the origin, up to max_concurrency."},
    MetricSpec{"candor_origin_waiting", kGauge, "origin region", "Loads and writes waiting for a place."},
    MetricSpec{"candor_origin_shed_total", kCounter, "class origin region",
               "Requests refused because too much waited, or would have waited past their deadline."},
    MetricSpec{"candor_retries_total", kCounter, "origin region",
               "Loads that were lost with their connection and sent once more."},
    MetricSpec{
        "candor_breaker_state", kGauge, "region target",
        "0 closed, 1 half-open (a few probes pass), 2 open (nothing is asked). target: origin:NAME, l2, "
        "stream (whose attempts are paced: 0 connected, 2 not)."},
    MetricSpec{"candor_breaker_opened_total", kCounter, "region target", "How often it opened."},
    MetricSpec{"candor_memory_bytes", kGauge, "region tier", "Bytes that a tier holds, overhead included."},
    MetricSpec{"candor_memory_limit_bytes", kGauge, "region tier",
               "Its limit now; tier=\"process\": of the process, by its cgroup or the machine."},
    MetricSpec{
        "candor_memory_pressure", kGauge, "region",
        "Memory of the process over the line (80 % of its limit) from which on L1 gives back; above 1 it "
        "does."},
    MetricSpec{"candor_hit_ratio_predicted", kGauge, "feature region memory",
               "The hit ratio that L1 would have with so many times its memory (0.5, 1, 2, 4)."},
    MetricSpec{"candor_capacity_model_bytes", kGauge, "region",
               "What the models for that hold, of L1's memory."},
    MetricSpec{"candor_capacity_records_dropped_total", kCounter, "region",
               "Accesses of followed keys that were not recorded, because a buffer was full or in use."},
    MetricSpec{"candor_feature_bytes", kGauge, "feature region",
               "Bytes of a feature's entries in L1, headers included."},
    MetricSpec{"candor_entries", kGauge, "feature region", "A feature's entries in L1."},
    MetricSpec{"candor_evictions_total", kCounter, "feature region tier", "Entries that gave way to others."},
    MetricSpec{"candor_expirations_total", kCounter, "feature region tier",
               "Entries removed because their time was over."},
    MetricSpec{"candor_disk_bytes", kGauge, "region", "Bytes that the disk tier holds on the disk."},
    MetricSpec{"candor_disk_limit_bytes", kGauge, "region", "Its limit."},
    MetricSpec{"candor_disk_written_bytes_total", kCounter, "region",
               "Bytes that the disk tier has written to the disk."},
    MetricSpec{"candor_disk_on", kGauge, "region", "0 while the disk tier is off because the disk failed."},
    MetricSpec{"candor_disk_errors_total", kCounter, "region", "Failures of the disk."},
    MetricSpec{
        "candor_disk_lookups_total", kCounter, "region outcome",
        "Questions to the disk tier. absent: known not to be there, without asking the disk; forgotten: "
        "there, and made old by a change, a write or a command since; slow, busy: passed over; corrupt: "
        "failed its checksum, and removed."},
    MetricSpec{"candor_disk_demotions_total", kCounter, "region outcome",
               "Entries that L1 evicted. written: to the disk; too_cold: evicted for the first time lately; "
               "over_rate: beyond `write_rate`; queue_full: the disk is behind; too_large."},
    MetricSpec{"candor_disk_removals_total", kCounter, "region",
               "Entries of the disk tier removed because something newer is known."},
    MetricSpec{"candor_l2_requests_total", kCounter, "region outcome",
               "Lookups in L2: hit, miss, error, timeout."},
    MetricSpec{"candor_l2_reconnects_total", kCounter, "region", "Connections to L2 made again."},
    MetricSpec{"candor_l2_breaker_open", kGauge, "region",
               "1 while nothing is sent to L2 because it failed or went silent."},
    MetricSpec{"candor_l2_breaker_opened_total", kCounter, "region", "How often that began."},
    MetricSpec{"candor_l2_demotions_total", kCounter, "region",
               "Connections to L2 left because the server had become a read-only replica."},
    MetricSpec{"candor_l2_fills_refused_total", kCounter, "region",
               "Late fills that lost against an invalidation."},
    MetricSpec{"candor_l2_corrupt_total", kCounter, "region",
               "Entries that failed their checksum and were treated as misses."},
    MetricSpec{"candor_invalidations_total", kCounter, "cause feature region",
               "Keys dropped: change (the origin's feed said so), write (through this node), failed_write, "
               "unknown_outcome (of a write), command, reconciliation. cause=\"whole\": times that all of "
               "the feature was "
               "dropped or became suspect at once (a flush, a truncated table, a gap, a start)."},
    MetricSpec{
        "candor_change_lag_seconds", kHistogram, "origin region stage",
        "From the commit of a change, by the origin's clock, to a stage by this node's, so that it is as "
        "good as the two clocks agree. feed: handed over, l2: L2 has the marker, append: on the region "
        "stream (these three on the node that leads); applied: dropped on this node."},
    MetricSpec{
        "candor_fresh_within_seconds", kGauge, "origin region",
        "Every change that was committed longer ago than this is applied here; proven without comparing "
        "clocks. No series: nothing is proven, and bounded reads go to the origin."},
    MetricSpec{
        "candor_floor_settled", kGauge, "origin region",
        "1 unless what is cached of the origin is suspect and waits for proof that nothing was missed."},
    MetricSpec{"candor_floors_total", kCounter, "origin region",
               "Times that everything cached of an origin, or of a feature, became suspect."},
    MetricSpec{
        "candor_suspects_left", kGauge, "origin region",
        "Entries of L1 from before a floor that are still to be confirmed or loaded again, as the last walk "
        "of L1 saw them. 0 when none is left, or with `repair_rate = 0`."},
    MetricSpec{
        "candor_suspects_repaired_total", kCounter, "origin how region",
        "Entries that the repair after a floor dealt with. confirmed: the row is what was held; replaced: by "
        "what L2 or the origin holds; dropped: it had to be forgotten; failed: the origin did not answer."},
    MetricSpec{"candor_repair_keys_per_second", kGauge, "origin region",
               "How fast suspects may be asked about now: `repair_rate`, less while the origin is slow."},
    MetricSpec{
        "candor_reconciled_entries_total", kCounter, "feature outcome region",
        "Entries that the sweep dealt with. equal: as at the origin; in-flight: a change was under way; "
        "lost: a change that nobody told of; ttl-only: nobody watches the feature; race: the change was "
        "applied, and the old value held all the same; l2-only: L2 held an old value, L1 did not; "
        "elsewhere: gone before it could be judged; unproven: the feed did not pass it in time; failed: no "
        "answer; skipped: the origin suffered. lost, ttl-only, race and l2-only are divergences."},
    MetricSpec{"candor_warm_keys", kGauge, "feature region state",
               "Keys of the last warming run, by what became of them: waiting, loaded, held, absent, dropped "
               "(a change came, or there was no room), failed, skipped."},
    MetricSpec{"candor_warm_running", kGauge, "region", "1 while keys are being warmed."},
    MetricSpec{"candor_warm_keys_per_second", kGauge, "region", "Of the run under way, or the last one."},
    MetricSpec{"candor_warm_predicted_hit_rate", kGauge, "region",
               "Of the reads that the last run had, those that would find what was warmed until now."},
    MetricSpec{"candor_reconcile_passes_total", kCounter, "region", "Passes of the sweep over all of L1."},
    MetricSpec{"candor_reconcile_pass_seconds", kGauge, "region", "How long the last one took."},
    MetricSpec{"candor_reconcile_keys_per_second", kGauge, "region",
               "How fast the sweep may ask now: `[reconcile] rate`, less while an origin is slow; 0: off."},
    MetricSpec{"candor_changes_applied_total", kCounter, "origin region", "Changes applied on this node."},
    MetricSpec{"candor_markers", kGauge, "origin region",
               "Names that L1 guards against loads from before a change."},
    MetricSpec{"candor_origin_probes_total", kCounter, "origin outcome region",
               "Questions to the origin about its position: ok, failed."},
    MetricSpec{"candor_stream_gaps_total", kCounter, "region",
               "Messages of the region stream that this node will never see; each is a floor."},
    MetricSpec{"candor_stream_connected", kGauge, "region", "1 while the region stream is connected."},
    MetricSpec{"candor_stream_messages_total", kCounter, "direction region",
               "Messages of the region stream: received, appended."},
    MetricSpec{"candor_stream_errors_total", kCounter, "region", "Appends and reads that failed."},
    MetricSpec{"candor_stream_reconnects_total", kCounter, "region",
               "Connections to the region stream made again."},
    MetricSpec{"candor_region_nodes", kGauge, "region",
               "Nodes of the region heard of lately, with this one."},
    MetricSpec{
        "candor_feed_state", kGauge, "origin region state",
        "1 for the state that the origin's change feed is in on this node: leading, standby, connecting, "
        "misconfigured, off."},
    MetricSpec{"candor_feed_changes_total", kCounter, "origin region", "Changes read while this node led."},
    MetricSpec{"candor_feed_breaks_total", kCounter, "origin region",
               "Times that the feed could not go on where it was: slot lost, log trimmed, origin restored."},
    MetricSpec{"candor_feed_reconnects_total", kCounter, "origin region",
               "Connections of the feed made again."},
    MetricSpec{"candor_replication_slot_retained_bytes", kGauge, "origin region",
               "PostgreSQL: WAL that the region's replication slot retains, from restart_lsn to the current "
               "position (pg_wal_lsn_diff). Watch it against max_slot_wal_keep_size."},
    MetricSpec{"candor_change_log_rows", kGauge, "origin region",
               "SQLite: rows of the change log that are not confirmed yet."},
    MetricSpec{"candor_publisher_waiting_batches", kGauge, "origin region",
               "Batches of changes that wait for L2 or the region stream; the leading node's."},
    MetricSpec{"candor_publisher_unconfirmed_messages", kGauge, "origin region",
               "Messages on the stream that the origin may not forget yet; the leading node's."},
    MetricSpec{"candor_publisher_append_failures_total", kCounter, "origin region",
               "Appends that the region stream refused or did not answer; each is repeated."},
    MetricSpec{"candor_publisher_debts", kGauge, "kind origin region",
               "What L2 has to be told yet: owed (it did not answer), late (no marker can stand for it yet), "
               "held (markers kept alive until their change is visible)."},
    MetricSpec{"candor_l2_losses_total", kCounter, "origin region",
               "Times that L2 was found to have forgotten invalidations: flushed, restored, failed over."},
    MetricSpec{"candor_checked_reads_total", kCounter, "by feature region",
               "Reads judged: by=\"stream\" from the change stream, by=\"origin\" against the origin itself. "
               "Weighted: each stands for the reads that it was picked from."},
    MetricSpec{"candor_checked_reads_squares_total", kCounter, "by feature region",
               "Squares of the weights in candor_checked_reads_total. The square of its increase over the "
               "increase of "
               "this is how many reads of weight 1 would tell as much."},
    MetricSpec{
        "candor_stale_reads_total", kCounter, "by cause feature region",
        "Of the reads judged: staler than their feature's max_staleness, by cause: lag, lost, ttl-only, "
        "race, serve-stale, replica."},
    MetricSpec{
        "candor_staleness_seconds", kHistogram, "by feature region",
        "Staleness of the reads judged that were stale at all: time since the commit of the first change "
        "that the value did not include."},
    MetricSpec{"candor_unjudged_reads_total", kCounter, "feature region",
               "Picked reads that the stream could not judge, because it gave no proof in time."},
    MetricSpec{
        "candor_checked_changes_total", kCounter, "feature region",
        "Changes that were looked for in the tiers some while after they were applied: `sample` of them."},
    MetricSpec{"candor_old_after_change_total", kCounter, "cause feature region tier",
               "Of these: a tier would still have served a value from before the change."},
    MetricSpec{
        "candor_lost_fraction", kGauge, "feature region",
        "Of the reads checked against the origin in the last minute: stale by a change that the stream "
        "never told of."},
    MetricSpec{
        "candor_expected_stale_fraction", kGauge, "feature model region",
        "What the model says of the feature as it is read and changed now: bound is min(1, u T), stale is "
        "exact, over_limit is exact for reads staler than max_staleness."},
    MetricSpec{"candor_budget_burn_rate", kGauge, "feature region window",
               "How fast the error budget is spent over this window; 1: it lasts exactly its own window."},
    MetricSpec{"candor_budget_remaining", kGauge, "feature region",
               "Part of the error budget that is left in its window; below 0: overspent."},
    MetricSpec{"candor_budget_state", kGauge, "feature region state",
               "1 for the state that the budget is in: unknown, ok, ticket, page."},
    MetricSpec{"candor_lever", kGauge, "feature lever region",
               "Where a lever of the controller stands: ttl and batch_writes in seconds, origin_reads as a "
               "fraction, the others 1; 0: as configured."},
    MetricSpec{"candor_lever_loads_per_second", kGauge, "region",
               "What all pulled levers are predicted to add to the origins' load."},
    MetricSpec{"candor_lever_loads_per_second_max", kGauge, "region", "What they may add."},
    MetricSpec{"candor_check_loads_per_second", kGauge, "feature region",
               "Loads that measuring asks of the origin."},
    MetricSpec{"candor_tracking_clients", kGauge, "region", "Connections with CLIENT TRACKING on."},
    MetricSpec{"candor_tracking_keys", kGauge, "region", "Keys remembered for them."},
    MetricSpec{"candor_trace_left_out_total", kCounter, "region",
               "Events that a running `candor trace` was not shown: too many a second, or not read in time."},
    MetricSpec{"candor_owed_invalidations", kGauge, "region",
               "Keys whose invalidation L2 has not taken yet; they are read from the origin."},
    MetricSpec{"candor_waiting_reads", kGauge, "region", "Reads on their way to L2 or the origin."},
    MetricSpec{"candor_alerts_active", kGauge, "region severity",
               "Alerts of this node that go on now, by severity: page, ticket."},
    MetricSpec{"candor_alerts_waiting", kGauge, "region webhook",
               "Alerts that an Alertmanager has not taken yet."},
    MetricSpec{
        "candor_alerts_sent_total", kCounter, "outcome region webhook",
        "Alerts by what became of them: delivered, refused (a 4xx: the receiver will never take them), "
        "dropped (too many waited)."},
    MetricSpec{"candor_alert_attempts_failed_total", kCounter, "region webhook",
               "Attempts to reach an Alertmanager that failed; each is repeated."},
    MetricSpec{"candor_degraded", kGauge, "region reason",
               "1 while something behind this node fails: see reason. No series: all is well."},
    MetricSpec{"candor_ready", kGauge, "region", "1 when /readyz answers 200."},
    MetricSpec{"candor_connections", kGauge, "region", "Open client connections."},
    MetricSpec{"candor_connections_total", kCounter, "region outcome", "Connections: accepted, refused."},
    MetricSpec{"candor_commands_total", kCounter, "region", "Commands received."},
    MetricSpec{"candor_command_errors_total", kCounter, "region", "Commands answered with an error."},
    MetricSpec{"candor_connections_cut_total", kCounter, "region reason",
               "Connections closed by us: slow_reader, deadline, protocol, foreign_protocol."},
    MetricSpec{"candor_wrong_passwords_total", kCounter, "region", "AUTH attempts that failed."},
    MetricSpec{"candor_received_bytes_total", kCounter, "region", "Bytes received from clients."},
    MetricSpec{"candor_uptime_seconds", kGauge, "region", "Time since start."},
    MetricSpec{"candor_build_info", kGauge, "node region version", "Always 1."},
    MetricSpec{"process_cpu_seconds_total", kCounter, "", "User and system CPU time."},
    MetricSpec{"process_start_time_seconds", kGauge, "", "Start time since 1970."},
    MetricSpec{"process_resident_memory_bytes", kGauge, "", "Resident memory."},
    MetricSpec{"process_virtual_memory_bytes", kGauge, "", "Virtual memory."},
    MetricSpec{"process_open_fds", kGauge, "", "Open file descriptors."},
    MetricSpec{"process_max_fds", kGauge, "", "Their limit."},
    MetricSpec{"process_threads", kGauge, "", "Threads."},
};

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case kCounter:
      return prometheus::MetricType::Counter;
    case kGauge:
      return prometheus::MetricType::Gauge;
    case kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

// Families in the order of the table; a metric that is not in the table cannot be written.
struct Page {
  std::vector<MetricFamily> families;
  std::string region;

  explicit Page(std::string region_name) : region(std::move(region_name)) {
    for (const MetricSpec& spec : kSpecs) {
      MetricFamily family;
      family.name = spec.name;
      family.help = spec.help;
      family.type = type_of(spec.kind);
      families.push_back(std::move(family));
    }
  }

  ClientMetric& series(std::string_view name, const Labels& labels) {
    for (std::size_t i = 0; i < kSpecs.size(); ++i) {
      if (kSpecs[i].name != name) continue;
      ClientMetric& metric = families[i].metric.emplace_back();
      for (const auto& [label, value] : labels) metric.label.push_back({label, value});
      return metric;
    }
    CANDOR_ASSERT(!"a metric that the table does not name");
    return families.front().metric.emplace_back();
  }
  // A counter and a gauge hold their value in different places; the table says which it is.
  void put(std::string_view name, const Labels& labels, double value) {
    ClientMetric& metric = series(name, labels);
    metric.counter.value = value;
    metric.gauge.value = value;
  }
  void put(std::string_view name, const Labels& labels, std::uint64_t value) {
    put(name, labels, static_cast<double>(value));
  }
};

// Edges at powers of two nanoseconds fall on edges of the histogram's own buckets: the counts are exact.
constexpr unsigned kFirstEdge = 10;  // about 1 µs
constexpr unsigned kLastEdge = 35;   // about 34 s

void put_histogram(Page& page, std::string_view name, const Labels& labels,
                   const LatencyHistogram::Snapshot& snapshot) {
  auto& histogram = page.series(name, labels).histogram;
  std::uint64_t cumulative = 0;
  unsigned index = 0;
  for (unsigned edge = kFirstEdge; edge <= kLastEdge; ++edge) {
    const std::uint64_t limit = std::uint64_t{1} << edge;
    for (; index < LatencyHistogram::kBuckets && LatencyHistogram::bucket_limit(index) <= limit; ++index)
      cumulative += snapshot.counts[index];
    histogram.bucket.push_back({cumulative, static_cast<double>(limit) * 1e-9});
  }
  histogram.bucket.push_back({snapshot.count, std::numeric_limits<double>::infinity()});
  histogram.sample_count = snapshot.count;
  histogram.sample_sum = static_cast<double>(snapshot.sum_ns) * 1e-9;
}

void put_staleness(Page& page, const Labels& labels, const StalenessHistogram& staleness) {
  auto& histogram = page.series("candor_staleness_seconds", labels).histogram;
  double cumulative = 0.0;
  for (std::size_t i = 0; i < staleness.counts.size(); ++i) {
    cumulative += staleness.counts[i];
    const bool is_last = i == kStalenessEdges.size();
    histogram.bucket.push_back({static_cast<std::uint64_t>(cumulative),
                                is_last ? std::numeric_limits<double>::infinity() : kStalenessEdges[i]});
  }
  histogram.sample_count = static_cast<std::uint64_t>(cumulative);
  histogram.sample_sum = staleness.sum_seconds;
}

Labels with_label(Labels labels, const char* label, std::string value) {
  labels.emplace_back(label, std::move(value));
  return labels;
}

// Nothing of a way that has judged nothing: not measured is not zero.
void collect_judged(Page& page, const Labels& self, const char* by, const JudgedTotals& totals) {
  if (totals.reads <= 0.0) return;
  const Labels labels = with_label(self, "by", by);
  page.put("candor_checked_reads_total", labels, totals.reads);
  page.put("candor_checked_reads_squares_total", labels, totals.squares);
  for (std::size_t i = 0; i < kStaleCauses; ++i)
    page.put("candor_stale_reads_total",
             with_label(labels, "cause", std::string(stale_cause_name(static_cast<StaleCause>(i)))),
             totals.stale[i]);
  put_staleness(page, labels, totals.staleness);
}

void collect_exposure(Page& page, const FeatureExposure& e) {
  const Labels self = {{"feature", e.feature}, {"region", page.region}};
  collect_judged(page, self, "stream", e.stream_totals);
  collect_judged(page, self, "origin", e.origin_totals);
  page.put("candor_unjudged_reads_total", self, e.not_judged);
  const ChangeTotals& changes = e.change_totals;
  if (changes.checked > 0) {
    page.put("candor_checked_changes_total", self, changes.checked);
    const Labels why = with_label(self, "cause", std::string(stale_cause_name(StaleCause::kRace)));
    page.put("candor_old_after_change_total", with_label(why, "tier", "l1"), changes.old_in_l1);
    page.put("candor_old_after_change_total", with_label(why, "tier", "l2"), changes.old_in_l2);
  }
  if (e.by_origin.is_measured()) page.put("candor_lost_fraction", self, e.lost_fraction);
  if (e.predicted.is_known) {
    page.put("candor_expected_stale_fraction", with_label(self, "model", "bound"), e.predicted.bound);
    page.put("candor_expected_stale_fraction", with_label(self, "model", "stale"), e.predicted.stale);
    page.put("candor_expected_stale_fraction", with_label(self, "model", "over_limit"),
             e.predicted.over_limit);
  }
  for (const BurnRate& burn : e.burn)
    if (burn.reads > 0.0)
      page.put("candor_budget_burn_rate", with_label(self, "window", format_duration(burn.window)),
               burn.rate);
  if (e.state != BudgetState::kUnknown) page.put("candor_budget_remaining", self, e.budget_remaining);
  page.put("candor_budget_state", with_label(self, "state", std::string(budget_state_name(e.state))),
           std::uint64_t{1});
  page.put("candor_check_loads_per_second", self, e.check_loads_per_second);
}

void collect_levers(Page& page, const LeverSnapshot& levers) {
  for (const FeatureMemory& feature : levers.features)
    for (const Lever lever : kPullable)
      page.put(
          "candor_lever",
          {{"feature", feature.feature}, {"lever", std::string(lever_name(lever))}, {"region", page.region}},
          setting_at(feature.positions, lever).value);
  page.put("candor_lever_loads_per_second", {{"region", page.region}}, levers.added_load);
  page.put("candor_lever_loads_per_second_max", {{"region", page.region}}, levers.added_load_cap);
}

void collect_feature(Page& page, const FeatureReport& f) {
  const Labels self = {{"feature", f.name}, {"region", page.region}};
  const auto with = [&](const char* label, const char* value) {
    Labels labels = self;
    labels.emplace_back(label, value);
    return labels;
  };
  const auto read = [&](const char* tier, std::uint64_t count) {
    Labels labels = with("tier", tier);
    labels.emplace_back("level", f.served_as);
    page.put("candor_reads_total", labels, count);
  };
  read("l1", f.reads_l1);
  if (f.reads_disk > 0) read("disk", f.reads_disk);
  read("l2", f.reads_l2);
  read("origin", f.reads_origin);
  page.put("candor_read_errors_total", self, f.errors);
  page.put("candor_shed_reads_total", self, f.shed);
  page.put("candor_reads_negative_total", self, f.reads_negative);
  page.put("candor_reads_stale_total", self, f.reads_stale);
  page.put("candor_reads_coalesced_total", self, f.coalesced);
  put_histogram(page, "candor_read_seconds", with("path", "miss"), f.miss_ns);
  page.put("candor_refreshes_total", self, f.refreshes);
  page.put("candor_writes_total", self, f.writes);
  page.put("candor_write_errors_total", self, f.write_errors);
  page.put("candor_writes_unconfirmed_total", self, f.writes_unconfirmed);
  page.put("candor_reads_past_tiers_total", self, f.past_tiers);
  page.put("candor_refreshes_skipped_total", self, f.refreshes_skipped);
  page.put("candor_origin_loads_total", with("outcome", "ok"), f.loads_ok);
  page.put("candor_origin_loads_total", with("outcome", "absent"), f.loads_absent);
  page.put("candor_origin_loads_total", with("outcome", "failed"), f.loads_failed);
  page.put("candor_origin_loads_total", with("outcome", "timeout"), f.loads_timeout);
  page.put("candor_feature_bytes", self, f.usage.bytes);
  page.put("candor_entries", self, f.usage.entries);
  page.put("candor_evictions_total", with("tier", "l1"), f.usage.evictions);
  page.put("candor_expirations_total", with("tier", "l1"), f.usage.expirations);
  for (std::size_t i = 0; i < kInvalidationCauses.size(); ++i) {
    Labels labels = self;
    labels.emplace_back("cause", kInvalidationCauses[i].label);
    page.put("candor_invalidations_total", labels, f.dropped.keys[i]);
  }
  page.put("candor_invalidations_total", with("cause", "whole"), f.dropped.whole);
}

void collect_behind(Page& page, const FeatureReport& f) {
  if (!f.behind) return;
  const write_behind::Stats& b = *f.behind;
  const Labels self = {{"feature", f.name}, {"region", page.region}};
  const auto writes = [&](const char* outcome, std::uint64_t count) {
    Labels labels = self;
    labels.emplace_back("outcome", outcome);
    page.put("candor_write_behind_writes_total", labels, count);
  };
  writes("acknowledged", b.acknowledged);
  writes("merged", b.merged);
  writes("applied", b.applied);
  writes("refused", b.refused);
  page.put("candor_write_behind_active", self, b.mode == write_behind::WriteMode::kBehind ? 1.0 : 0.0);
  page.put("candor_write_behind_pending_keys", self, static_cast<double>(b.pending_keys));
  page.put("candor_write_behind_pending_bytes", self, static_cast<double>(b.pending_bytes));
  page.put("candor_write_behind_oldest_seconds", self, to_seconds(b.oldest));
  page.put("candor_write_behind_log_bytes", self, static_cast<double>(b.log_bytes));
  page.put("candor_write_behind_batches_total", self, b.batches);
  page.put("candor_write_behind_retries_total", self, b.retries);
  page.put("candor_write_behind_syncs_total", self, b.syncs);
  page.put("candor_write_behind_dead_letters", self, static_cast<double>(b.dead_letters));
  page.put("candor_write_behind_lost_total", self, b.lost);
}

double breaker_level(Breaker::State state) {
  return state == Breaker::State::kClosed ? 0.0 : state == Breaker::State::kHalfOpen ? 1.0 : 2.0;
}

void put_breaker(Page& page, const std::string& target, Breaker::State state, std::uint64_t opened) {
  const Labels labels = {{"region", page.region}, {"target", target}};
  page.put("candor_breaker_state", labels, breaker_level(state));
  page.put("candor_breaker_opened_total", labels, opened);
}

void collect_protection(Page& page, const Labels& self, const OriginReport& origin) {
  page.put("candor_origin_concurrency_limit", self, static_cast<double>(origin.stats.limit));
  page.put("candor_retries_total", self, origin.stats.retries);
  for (std::size_t i = 0; i < kLoadClasses; ++i) {
    Labels labels = self;
    labels.emplace_back("class", load_class_name(static_cast<LoadClass>(i)));
    page.put("candor_origin_shed_total", labels, origin.stats.shed[i]);
  }
  if (origin.stats.has_breaker)
    put_breaker(page, "origin:" + origin.name, origin.stats.breaker, origin.stats.breaker_opened);
}

void collect_origin(Page& page, const OriginReport& origin) {
  const Labels self = {{"origin", origin.name}, {"region", page.region}};
  page.put("candor_origin_statements_total", self, origin.stats.statements);
  page.put("candor_origin_errors_total", self, origin.stats.errors);
  page.put("candor_origin_in_flight", self, static_cast<double>(origin.stats.in_flight));
  page.put("candor_origin_in_flight_limit", self, static_cast<double>(origin.stats.max_concurrency));
  page.put("candor_origin_waiting", self, static_cast<double>(origin.stats.waiting));
  collect_protection(page, self, origin);
}

void collect_disk(Page& page, const disk::Stats& disk) {
  const Labels self = {{"region", page.region}};
  page.put("candor_memory_bytes", with_label(self, "tier", "disk"), disk.memory_bytes);
  page.put("candor_disk_bytes", self, disk.disk_bytes);
  page.put("candor_disk_limit_bytes", self, disk.disk_limit);
  page.put("candor_disk_written_bytes_total", self, disk.written_bytes);
  page.put("candor_disk_on", self, disk.off.empty() ? 1.0 : 0.0);
  page.put("candor_disk_errors_total", self, disk.errors);
  page.put("candor_disk_removals_total", self, disk.removals);
  const auto lookup = [&](const char* outcome, std::uint64_t count) {
    page.put("candor_disk_lookups_total", with_label(self, "outcome", outcome), count);
  };
  lookup("hit", disk.hits);
  lookup("miss", disk.misses);
  lookup("absent", disk.absent);
  lookup("forgotten", disk.forgotten);
  lookup("slow", disk.slow);
  lookup("busy", disk.busy);
  lookup("corrupt", disk.corrupt);
  const auto demotion = [&](const char* outcome, std::uint64_t count) {
    page.put("candor_disk_demotions_total", with_label(self, "outcome", outcome), count);
  };
  demotion("written", disk.demoted);
  demotion("too_cold", disk.too_cold);
  demotion("over_rate", disk.over_budget);
  demotion("queue_full", disk.queue_full);
  demotion("too_large", disk.too_large);
}

void collect_tiers(Page& page, const NodeReport& report) {
  const auto with = [&](const char* label, const char* value) {
    return Labels{{"region", page.region}, {label, value}};
  };
  const Labels self = {{"region", page.region}};
  page.put("candor_memory_bytes", with("tier", "l1"), static_cast<double>(report.l1.bytes_used));
  page.put("candor_memory_limit_bytes", with("tier", "l1"), static_cast<double>(report.l1.memory_limit));
  page.put("candor_owed_invalidations", self, report.owed_invalidations);
  page.put("candor_waiting_reads", self, report.waiting);
  if (report.disk) collect_disk(page, *report.disk);
  if (!report.has_l2) return;
  if (report.l2.bytes_limit > 0) {  // a remote tier does not say
    page.put("candor_memory_bytes", with("tier", "l2"), report.l2.bytes);
    page.put("candor_memory_limit_bytes", with("tier", "l2"), report.l2.bytes_limit);
  }
  page.put("candor_l2_requests_total", with("outcome", "hit"), report.l2.hits);
  page.put("candor_l2_requests_total", with("outcome", "miss"), report.l2.misses);
  page.put("candor_l2_requests_total", with("outcome", "error"), report.l2.errors);
  page.put("candor_l2_requests_total", with("outcome", "timeout"), report.l2.timeouts);
  page.put("candor_l2_reconnects_total", self, report.l2.reconnects);
  page.put("candor_l2_breaker_open", self, report.l2.breaker_open ? 1.0 : 0.0);
  page.put("candor_l2_breaker_opened_total", self, report.l2.breaker_opened);
  put_breaker(page, "l2", report.l2.breaker, report.l2.breaker_opened);
  page.put("candor_l2_demotions_total", self, report.l2.demotions);
  page.put("candor_l2_fills_refused_total", self, report.l2.fills_refused);
  page.put("candor_l2_corrupt_total", self, report.l2.corrupt);
}

void collect_lag(Page& page, const Labels& self, const RiverLag& lag) {
  const auto put = [&](const char* stage, const LatencyHistogram::Snapshot& snapshot) {
    if (snapshot.count == 0) return;  // the other nodes of the region measure it
    Labels labels = self;
    labels.emplace_back("stage", stage);
    put_histogram(page, "candor_change_lag_seconds", labels, snapshot);
  };
  put("feed", lag.feed);
  put("l2", lag.l2);
  put("append", lag.append);
  put("applied", lag.applied);
}

void collect_publisher(Page& page, const Labels& self, const PublisherStatus& publisher) {
  const auto owes = [&](const char* kind, std::size_t count) {
    Labels labels = self;
    labels.emplace_back("kind", kind);
    page.put("candor_publisher_debts", labels, static_cast<double>(count));
  };
  page.put("candor_publisher_append_failures_total", self, publisher.append_failures);
  if (!publisher.leading) return;
  page.put("candor_publisher_waiting_batches", self, static_cast<double>(publisher.waiting_slices));
  page.put("candor_publisher_unconfirmed_messages", self, static_cast<double>(publisher.unconfirmed));
  owes("owed", publisher.l2.owed);
  owes("late", publisher.l2.late);
  owes("held", publisher.l2.held);
  page.put("candor_l2_losses_total", self, publisher.l2.losses);
}

void collect_river_origin(Page& page, const RiverOrigin& origin, MonoTime now) {
  const Labels self = {{"origin", origin.name}, {"region", page.region}};
  const auto with = [&](const char* label, const char* value) {
    Labels labels = self;
    labels.emplace_back(label, value);
    return labels;
  };
  const AppliedOrigin& applied = origin.applied;
  if (applied.fresh_as_of.ns != 0) {
    const auto within = to_seconds(now - applied.fresh_as_of);
    page.put("candor_fresh_within_seconds", self, within);
  }
  page.put("candor_floor_settled", self, applied.settled ? 1.0 : 0.0);
  page.put("candor_floors_total", self, applied.floors);
  page.put("candor_suspects_left", self, static_cast<double>(origin.repair.left));
  page.put("candor_suspects_repaired_total", with("how", "confirmed"), origin.repair.confirmed);
  page.put("candor_suspects_repaired_total", with("how", "replaced"), origin.repair.replaced);
  page.put("candor_suspects_repaired_total", with("how", "dropped"), origin.repair.dropped);
  page.put("candor_suspects_repaired_total", with("how", "failed"), origin.repair.failed);
  page.put("candor_repair_keys_per_second", self, origin.repair.rate);
  page.put("candor_changes_applied_total", self, applied.changes);
  page.put("candor_markers", self, static_cast<double>(origin.markers));
  page.put("candor_origin_probes_total", with("outcome", "ok"), applied.probes);
  page.put("candor_origin_probes_total", with("outcome", "failed"), applied.probes_failed);
  page.put("candor_feed_state", with("state", feed_state_name(origin.feed.state)), 1.0);
  page.put("candor_feed_changes_total", self, origin.feed.changes);
  page.put("candor_feed_breaks_total", self, origin.feed.breaks);
  page.put("candor_feed_reconnects_total", self, origin.feed.reconnects);
  if (origin.description.starts_with("postgres"))
    page.put("candor_replication_slot_retained_bytes", self, origin.feed.lag_bytes);
  else if (origin.description.starts_with("sqlite"))
    page.put("candor_change_log_rows", self, origin.feed.lag_bytes);
  collect_publisher(page, self, origin.publisher);
  collect_lag(page, self, origin.lag);
}

void collect_river(Page& page, const RiverReport& river, MonoTime now) {
  if (!river.is_built) return;
  const auto with = [&](const char* label, const char* value) {
    return Labels{{"region", page.region}, {label, value}};
  };
  const Labels self = {{"region", page.region}};
  for (const RiverOrigin& origin : river.origins) collect_river_origin(page, origin, now);
  page.put("candor_stream_gaps_total", self, river.applier.gaps);
  page.put("candor_stream_connected", self, river.bus.connected ? 1.0 : 0.0);
  put_breaker(page, "stream", river.bus.connected ? Breaker::State::kClosed : Breaker::State::kOpen,
              river.bus.reconnects);
  page.put("candor_stream_messages_total", with("direction", "received"), river.bus.received);
  page.put("candor_stream_messages_total", with("direction", "appended"), river.bus.appended);
  page.put("candor_stream_errors_total", self, river.bus.errors);
  page.put("candor_stream_reconnects_total", self, river.bus.reconnects);
  page.put("candor_region_nodes", self, static_cast<double>(river.applier.nodes.size()));
}

void collect_alerting(Page& page, const AlertingReport& alerting) {
  if (!alerting.is_built) return;
  const auto active = [&](const char* severity, std::uint64_t count) {
    page.put("candor_alerts_active", {{"region", page.region}, {"severity", severity}}, count);
  };
  active("page", alerting.pages);
  active("ticket", alerting.tickets);
  for (const WebhookReport& webhook : alerting.webhooks) {
    const Labels self = {{"region", page.region}, {"webhook", webhook.address}};
    const auto sent = [&](const char* outcome, std::uint64_t count) {
      Labels labels = self;
      labels.emplace_back("outcome", outcome);
      page.put("candor_alerts_sent_total", labels, count);
    };
    page.put("candor_alerts_waiting", self, webhook.waiting);
    sent("delivered", webhook.delivered);
    sent("refused", webhook.refused);
    sent("dropped", webhook.dropped);
    page.put("candor_alert_attempts_failed_total", self, webhook.failed);
  }
}

void collect_capacity(Page& page, const NodeReport& report) {
  if (report.capacity == nullptr) return;
  const CapacityReport& known = *report.capacity;
  const Labels self = {{"region", page.region}};
  const Labels process = {{"region", page.region}, {"tier", "process"}};
  if (known.memory.limit != 0) {
    page.put("candor_memory_limit_bytes", process, static_cast<double>(known.memory.limit));
    page.put("candor_memory_bytes", process, static_cast<double>(known.memory.used));
    page.put("candor_memory_pressure", self, known.memory.pressure);
  }
  if (!known.is_on) return;
  constexpr std::array<const char*, capacity::kFactors.size()> kNames{"0.5", "1", "2", "4"};
  for (const CapacityEstimate& feature : known.features)
    for (std::size_t i = 0; i < kNames.size() && feature.is_followed; ++i)
      page.put("candor_hit_ratio_predicted",
               {{"feature", feature.feature}, {"region", page.region}, {"memory", kNames[i]}},
               feature.predicted[i]);
  page.put("candor_capacity_model_bytes", self, static_cast<double>(known.model_bytes));
  page.put("candor_capacity_records_dropped_total", self, static_cast<double>(known.records_dropped));
}

void collect_reconciliation(Page& page, const NodeReport& report) {
  const ReconcileStatus& status = report.reconciliation;
  const Labels self = {{"region", page.region}};
  page.put("candor_reconcile_keys_per_second", self, status.is_on ? status.rate : 0.0);
  if (!status.is_on) return;
  page.put("candor_reconcile_passes_total", self, status.passes);
  if (status.passes > 0) page.put("candor_reconcile_pass_seconds", self, to_seconds(status.last_pass));
  for (std::size_t i = 0; i < report.features.size() && i < status.features.size(); ++i) {
    if (report.features[i].origin == "none") continue;
    for (std::size_t how = 0; how < kReconciledKinds; ++how)
      page.put("candor_reconciled_entries_total",
               {{"feature", report.features[i].name},
                {"region", page.region},
                {"outcome", std::string(kReconciledNames[how])}},
               status.features[i].since_start.entries[how]);
  }
}

void collect_warming(Page& page, const NodeReport& report) {
  const Labels self = {{"region", page.region}};
  page.put("candor_warm_running", self, report.warm.is_running ? 1.0 : 0.0);
  page.put("candor_warm_keys_per_second", self, report.warm.keys_per_second);
  if (report.warm.predicted_hit_rate)
    page.put("candor_warm_predicted_hit_rate", self, *report.warm.predicted_hit_rate);
  for (const auto& one : report.warm.features) {
    if (one.feature.value >= report.features.size()) continue;
    for (std::size_t state = 0; state < warm::kWarmStates; ++state)
      page.put("candor_warm_keys",
               {{"feature", report.features[one.feature.value].name},
                {"region", page.region},
                {"state", std::string(warm::kWarmStateNames[state])}},
               one.keys.keys[state]);
  }
}

void collect_connections(Page& page, const ConnectionReport& c) {
  const auto with = [&](const char* label, const char* value) {
    return Labels{{"region", page.region}, {label, value}};
  };
  const Labels self = {{"region", page.region}};
  put_histogram(page, "candor_read_seconds", with("path", "hit"), c.hit_ns);
  page.put("candor_connections", self, c.open);
  page.put("candor_connections_total", with("outcome", "accepted"), c.accepted);
  page.put("candor_connections_total", with("outcome", "refused"), c.refused);
  page.put("candor_commands_total", self, c.commands);
  page.put("candor_command_errors_total", self, c.command_errors);
  page.put("candor_connections_cut_total", with("reason", "slow_reader"), c.slow_readers_cut);
  page.put("candor_connections_cut_total", with("reason", "deadline"), c.deadlines_missed);
  page.put("candor_connections_cut_total", with("reason", "protocol"), c.protocol_errors);
  page.put("candor_connections_cut_total", with("reason", "foreign_protocol"), c.foreign_protocols);
  page.put("candor_wrong_passwords_total", self, c.wrong_passwords);
  page.put("candor_received_bytes_total", self, c.bytes_in);
}

void collect_process(Page& page, const ProcessReport& p) {
  page.put("process_cpu_seconds_total", {}, p.cpu_seconds);
  page.put("process_start_time_seconds", {}, p.start_time_seconds);
  page.put("process_resident_memory_bytes", {}, p.resident_bytes);
  page.put("process_virtual_memory_bytes", {}, p.virtual_bytes);
  page.put("process_open_fds", {}, p.open_fds);
  page.put("process_max_fds", {}, p.max_fds);
  page.put("process_threads", {}, p.threads);
}

void collect(Page& page, const NodeReport& report) {
  const Labels self = {{"region", page.region}};
  for (const FeatureReport& feature : report.features) {
    collect_feature(page, feature);
    collect_behind(page, feature);
  }
  if (report.exposure != nullptr)
    for (const FeatureExposure& exposure : report.exposure->features) collect_exposure(page, exposure);
  if (report.levers != nullptr) collect_levers(page, *report.levers);
  for (const OriginReport& origin : report.origins) collect_origin(page, origin);
  collect_tiers(page, report);
  collect_river(page, report.river, report.at);
  collect_alerting(page, report.alerting);
  collect_reconciliation(page, report);
  collect_capacity(page, report);
  collect_warming(page, report);
  page.put("candor_tracking_clients", self, report.tracking_clients);
  page.put("candor_tracking_keys", self, report.tracking_keys);
  page.put("candor_trace_left_out_total", self, report.trace_left_out);
  collect_connections(page, report.connections);
  collect_process(page, report.process);
  for (const std::string& reason : report.degraded)
    page.put("candor_degraded", {{"region", page.region}, {"reason", reason}}, 1.0);
  page.put("candor_ready", self, report.ready ? 1.0 : 0.0);
  page.put("candor_uptime_seconds", self, to_seconds(report.uptime));
  page.put("candor_build_info", {{"node", report.node}, {"region", page.region}, {"version", report.version}},
           1.0);
}

std::string_view kind_name(MetricKind kind) {
  switch (kind) {
    case kCounter:
      return "counter";
    case kGauge:
      return "gauge";
    case kHistogram:
      return "histogram";
  }
  return "";
}

}  // namespace

std::span<const MetricSpec> metric_specs() { return kSpecs; }

std::string metrics_text(const NodeReport& report) {
  Page page(report.region);
  collect(page, report);
  std::erase_if(page.families, [](const MetricFamily& family) { return family.metric.empty(); });
  return prometheus::TextSerializer().Serialize(page.families);
}

std::string metrics_reference() {
  std::string out =
      "# Metrics\n\n<!-- Printed by `candor check --print-metrics` from the table in src/app/metrics.cc; a "
      "test compares. Change the table. -->\n\n"
      "`GET /metrics` on the HTTP listener, Prometheus text format. Units end the names. Nothing here is "
      "estimated: what is not\n"
      "measured has no series.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n";
  for (const MetricSpec& spec : kSpecs) {
    std::string labels;
    for (std::string_view rest = spec.labels; !rest.empty();) {
      const auto blank = rest.find(' ');
      labels += fmt::format("{}`{}`", labels.empty() ? "" : " ", rest.substr(0, blank));
      rest = blank == std::string_view::npos ? std::string_view{} : rest.substr(blank + 1);
    }
    out += fmt::format("| `{}` | {} | {} | {} |\n", spec.name, kind_name(spec.kind), labels, spec.help);
  }
  return out;
}

}  // namespace candor::app
