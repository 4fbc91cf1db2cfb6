#include "app/capacity_desk.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "base/units.h"
#include "cache/freshness.h"
#include "capacity/allocation.h"

namespace candor::app {
namespace {

using capacity::kFactors;

// Below this the least model would take more than a twenty-fifth of L1.
constexpr std::size_t kL1Min = std::size_t{8} << 20;
// Readers' stripes: threads share one when there are more.
constexpr unsigned kStripesMax = 8;
constexpr std::size_t kStripeRecords = 2048;
constexpr double kTurnsPerSecond = 10;  // about: the engine's upkeep
// Until L1 is full nobody knows how well it packs; measured on small rows.
constexpr double kPacking = 0.93;
constexpr std::size_t kIndexBytes = 7;  // of an entry, as access_bytes() has it
// Sizes at which a feature's curve is looked at to share memory out.
constexpr std::size_t kShares = 64;

// A report costs some twenty microseconds a feature.
constexpr Duration kReportPeriod = 1s, kReportPeriodOfMany = 30s;
constexpr std::size_t kFewFeatures = 64;

unsigned stripes() {
  const unsigned cores = std::thread::hardware_concurrency();  // tidy: allow(the number of cores, no thread)
  return std::clamp(cores, 1U, kStripesMax);
}

bool reads_l1(const Feature& feature) {
  const Consistency level = feature.policy().consistency;
  return feature.policy().plain || (level != Consistency::kStrong && level != Consistency::kOrigin);
}

}  // namespace

std::size_t curve_memory(const Config& config) {
  if (config.capacity.share <= 0 || config.l1.memory < kL1Min) return 0;
  return std::max(capacity::CapacityModel::kMemoryMin,
                  static_cast<std::size_t>(static_cast<double>(config.l1.memory) * config.capacity.share));
}

void add_access_log(const Config& config, l1::StoreOptions* options) {
  const std::size_t memory = curve_memory(config);
  if (memory == 0) return;
  options->access_stripes = stripes();
  // An eighth of what the curves may take.
  options->stripe_accesses =
      std::clamp<std::size_t>(memory / 8 / stripes() / sizeof(l1::Access), 64, kStripeRecords);
  const std::size_t log = l1::AccessLog(1, stripes(), options->stripe_accesses).memory_bytes();
  options->reserved_bytes = memory - std::min(memory, log);
}

CapacityDesk::CapacityDesk(const Config& config, std::size_t features, std::uint64_t seed, l1::Store* store,
                           ProcessMemory::ReadText read)
    : store_(store),
      memory_(config.l1.memory),
      model_memory_(curve_memory(config)),
      process_(std::move(read), config.capacity.process_memory),
      line_(config.l1.memory) {
  if (model_memory_ == 0) return;
  capacity::CapacityModel::Options options;
  options.memory = model_memory_ - std::min(model_memory_, store->access_log().memory_bytes());
  options.features = std::max<std::size_t>(1, features);
  options.half_life = config.capacity.half_life;
  options.policy = config.l1.policy;
  options.seed = seed;
  // All reads may come over one thread, and not evenly: on average a stripe is to be half full.
  options.records_per_second_max =
      std::min(options.records_per_second_max,
               static_cast<double>(store->access_log().stripe_accesses()) * kTurnsPerSecond / 2);
  model_ = std::make_unique<capacity::CapacityModel>(options, &store->access_log());
  set_capacity();
}

void CapacityDesk::follow(const Feature* feature) {
  features_.push_back({feature});
  adopt_policies();
}

void CapacityDesk::adopt_policies() {
  if (model_ == nullptr) return;
  for (const Followed& followed : features_) {
    const FeaturePolicy& policy = followed.feature->policy();
    model_->follow(followed.feature->id(), reads_l1(*followed.feature),
                   policy.plain ? Duration{0} : policy.serve_stale);
  }
}

std::string CapacityDesk::warning() const {
  const auto line = capacity::MemoryLine::kWatermark * static_cast<double>(process_.limit());
  if (process_.limit() == 0 || static_cast<double>(memory_) <= line) return {};
  return fmt::format(
      "[l1] memory is {}, more than 80 % of what this process may have ({}, {}): L1 will not be allowed to "
      "fill; "
      "lower it, or give the process more",
      format_size(memory_), format_size(process_.limit()), process_.source());
}

CapacityDesk::Counted CapacityDesk::counted(const Feature& feature) {
  const FeatureCounters& c = feature.counters;
  Counted out;
  // A plain feature's "no such key" is no hit of anything.
  const std::uint64_t negatives = c.negative_hits.value();
  out.hits = c.hits_l1.value() + (feature.policy().plain ? 0 : negatives + c.served_stale.value());
  out.reads = c.hits_l1.value() + negatives + c.served_stale.value() + c.hits_disk.value() +
              c.reads_l2.value() + c.reads_origin.value() + c.errors.value();
  out.loads = c.loads_ok.value() + c.loads_absent.value() + c.loads_failed.value() + c.loads_timeout.value();
  return out;
}

void CapacityDesk::count() {
  for (Followed& followed : features_) {
    const Counted now = counted(*followed.feature);
    model_->count(followed.feature->id(), now.reads - std::min(now.reads, followed.reads),
                  now.hits - std::min(now.hits, followed.hits));
    followed.reads = now.reads;
    followed.hits = now.hits;
  }
}

// What L1 holds when it is full, in the units of the log's records.
void CapacityDesk::set_capacity() {
  const l1::StoreStats stats = store_->stats();
  const double packed = static_cast<double>(memory_ - std::min(memory_, model_memory_)) * kPacking;
  const bool is_full = stats.evictions > 0 && stats.bytes_used * 10 > stats.memory_limit * 9;
  model_->set_capacity(is_full ? static_cast<double>(stats.live_entry_bytes + kIndexBytes * stats.entries)
                               : packed);
}

void CapacityDesk::take(MonoTime now) {
  records_.clear();
  store_->access_log().drain(&records_);
  model_->take(records_, now.ms());
}

void CapacityDesk::turn(MonoTime now) {
  if (model_ != nullptr) {
    take(now);
    model_->settle(now);
  }
  if (counted_at_.ns != 0 && now - counted_at_ < kCountPeriod) {
    // What comes in within a second may be a good part of what is left below the line.
    const std::size_t before = line_.allowed();
    const std::size_t allowed = line_.hold(process_.used_now(), store_->stats().bytes_used);
    if (allowed != before) store_->set_memory_limit(allowed);
    return;
  }
  counted_at_ = now;
  watch_memory(now);
  if (model_ != nullptr) {
    count();
    set_capacity();
  }
  if (history_.is_due(now)) remember(now);
}

void CapacityDesk::watch_memory(MonoTime now) {
  seen_ = process_.seen();
  const std::size_t before = line_.allowed();
  const std::size_t allowed = line_.decide(seen_, store_->stats().bytes_used, now);
  if (allowed != before) store_->set_memory_limit(allowed);
}

void CapacityDesk::remember(MonoTime now) {
  CapacityTotals totals;
  for (const Followed& followed : features_) {
    const Counted counted = this->counted(*followed.feature);
    totals.reads += counted.reads;
    totals.hits += counted.hits;
    const LatencyHistogram::Snapshot misses = followed.feature->counters.read_miss_ns.snapshot();
    for (std::size_t i = 0; i < misses.counts.size(); ++i) totals.misses.counts[i] += misses.counts[i];
    totals.misses.count += misses.count;
    totals.misses.sum_ns += misses.sum_ns;
  }
  const l1::StoreStats stats = store_->stats();
  totals.evictions = stats.evictions;
  totals.bytes_used = static_cast<double>(stats.bytes_used);
  if (model_ != nullptr) totals.working_set_bytes = model_->of_all().working_set_bytes;
  history_.add(std::move(totals), now);
}

CapacityEstimate CapacityDesk::estimate_of(const Followed& followed) const {
  const Feature& feature = *followed.feature;
  const capacity::CapacityModel::Estimate model = model_->of(feature.id());
  const Counted counted = this->counted(feature);
  CapacityEstimate out;
  out.feature = feature.policy().name;
  out.is_followed = reads_l1(feature);
  out.reads_per_second = model.seconds > 0 ? model.reads / model.seconds : 0;
  if (model.reads > 0) out.hit_ratio = model.hit_ratio;
  out.predicted = model.predicted;
  // L2 and coalescing answer some of L1's misses.
  const std::uint64_t misses = counted.reads - std::min(counted.reads, counted.hits);
  const double loads_per_miss =
      misses == 0 ? 1.0 : std::min(1.0, static_cast<double>(counted.loads) / static_cast<double>(misses));
  for (std::size_t i = 0; i < kFactors.size(); ++i)
    out.loads_per_second[i] = (1 - model.predicted[i]) * out.reads_per_second * loads_per_miss;
  out.cold = model.cold;
  out.working_set_bytes = model.working_set_bytes;
  out.bytes = static_cast<double>(store_->usage(feature.id()).bytes);
  out.load_seconds = static_cast<double>(feature.load_cost_ns.load(std::memory_order_relaxed)) / 1e9;
  out.rate = model.rate;
  out.keys = model.keys;
  return out;
}

CapacityEstimate CapacityDesk::estimate_of_all(const std::vector<CapacityEstimate>& features) const {
  const capacity::CapacityModel::Estimate model = model_->of_all();
  CapacityEstimate out;
  out.reads_per_second = model.seconds > 0 ? model.reads / model.seconds : 0;
  if (model.reads > 0) out.hit_ratio = model.hit_ratio;
  out.predicted = model.predicted;
  for (const CapacityEstimate& feature : features) {
    for (std::size_t i = 0; i < kFactors.size(); ++i) out.loads_per_second[i] += feature.loads_per_second[i];
    out.bytes += feature.bytes;
  }
  out.cold = model.cold;
  out.working_set_bytes = model.working_set_bytes;
  out.deserved_bytes = model_->capacity();
  out.keys = model.keys;
  return out;
}

// By seconds of loading saved a second, where the cost of a load is known of all; else by loads.
void CapacityDesk::share_out(CapacityReport* report) const {
  const bool knows_costs = std::ranges::all_of(report->features, [](const CapacityEstimate& feature) {
    return feature.load_seconds > 0 || !feature.is_followed;
  });
  std::vector<std::vector<capacity::CostPoint>> curves;
  for (const CapacityEstimate& feature : report->features) {
    const Feature* const known = std::ranges::find(features_, feature.feature, [](const Followed& f) {
                                   return std::string_view(f.feature->policy().name);
                                 })->feature;
    const double weight = feature.reads_per_second * (knows_costs ? feature.load_seconds : 1.0);
    std::vector<capacity::CostPoint> curve;
    for (std::size_t i = 0; i <= kShares && feature.is_followed; ++i) {
      const double bytes = model_->capacity() * static_cast<double>(i) / kShares;
      curve.push_back({bytes, weight * (i == 0 ? 1.0 : model_->lru_miss_ratio(known->id(), bytes))});
    }
    curves.push_back(std::move(curve));
  }
  const std::vector<double> bytes = capacity::allocate(curves, model_->capacity());
  for (std::size_t i = 0; i < bytes.size(); ++i) report->features[i].deserved_bytes = bytes[i];
}

MemoryReport CapacityDesk::memory_report() const {
  MemoryReport out;
  out.source = process_.source();
  out.limit = seen_.limit;
  out.watermark =
      static_cast<std::uint64_t>(capacity::MemoryLine::kWatermark * static_cast<double>(seen_.limit));
  out.used = seen_.used;
  out.stalled = seen_.stalled;
  out.l1_configured = memory_;
  out.l1_allowed = line_.allowed();
  out.pressure = line_.pressure();
  return out;
}

std::shared_ptr<const CapacityReport> CapacityDesk::report(MonoTime now) {
  const Duration period = features_.size() > kFewFeatures ? kReportPeriodOfMany : kReportPeriod;
  if (report_ != nullptr && now - reported_at_ < period) return report_;
  reported_at_ = now;
  if (model_ != nullptr) {  // misses and reads of the same moment: on a young node one second is much
    take(now);
    count();
  }
  report_ = make_report();
  return report_;
}

std::shared_ptr<const CapacityReport> CapacityDesk::make_report() const {
  auto report = std::make_shared<CapacityReport>();
  report->memory = memory_report();
  report->trends = history_.trends(static_cast<double>(line_.allowed()));
  report->is_on = model_ != nullptr;
  if (model_ == nullptr) return report;
  for (const Followed& followed : features_) {
    CapacityEstimate estimate = estimate_of(followed);
    if (estimate.hit_ratio || !estimate.is_followed) report->features.push_back(std::move(estimate));
  }
  report->all = estimate_of_all(report->features);
  share_out(report.get());
  report->model_bytes = model_->memory_bytes() + store_->access_log().memory_bytes();
  report->model_bytes_max = model_memory_;
  report->records_dropped = store_->access_log().dropped();
  report->records_per_second = model_->records_per_second();
  report->window_seconds = model_->of_all().seconds;
  return report;
}

}  // namespace candor::app
