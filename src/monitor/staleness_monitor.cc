#include "candor/staleness_monitor.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "base/mutex.h"
#include "base/random.h"
#include "monitor/interval.h"

namespace candor {

namespace {

struct Watched {
  explicit Watched(StalenessMonitor::Feature wanted) : facts(std::move(wanted)) {}
  const StalenessMonitor::Feature facts;
  mutable Mutex mutex;
  double checked CANDOR_GUARDED_BY(mutex) = 0.0;
  double over CANDOR_GUARDED_BY(mutex) = 0.0;
  double guess_variance CANDOR_GUARDED_BY(mutex) = 0.0;
  double undecided CANDOR_GUARDED_BY(mutex) = 0.0;
  StalenessMonitor::Nanoseconds worst CANDOR_GUARDED_BY(mutex){0};
};

Result<void> refuse(std::string text) { return fail(ErrorCode::kInvalidArgument, std::move(text)); }

Result<void> look_at(const StalenessMonitor::Feature& feature) {
  if (feature.feature.empty()) return refuse("a feature needs a name");
  const std::string name = "feature '" + feature.feature + "': ";
  if (feature.max_staleness.count() < 0) return refuse(name + "max_staleness is negative");
  if (!(feature.sample_rate >= 0.0 && feature.sample_rate <= 1.0))
    return refuse(name + "sample_rate must lie between 0 and 1");
  if (!(feature.slo_threshold >= 0.0 && feature.slo_threshold <= 1.0))
    return refuse(name + "slo_threshold must lie between 0 and 1");
  return {};
}

Result<void> look_at(const StalenessMonitor::Cached& cached,
                     const StalenessMonitor::Authoritative& authoritative) {
  if (cached.read_at < cached.loaded_at) return refuse("read_at lies before loaded_at");
  if (authoritative.asked_at < cached.read_at) return refuse("asked_at lies before read_at");
  if (authoritative.superseded_at && *authoritative.superseded_at < cached.loaded_at)
    return refuse("superseded_at lies before loaded_at: what was loaded had been superseded already");
  return {};
}

// The moment of the first change that the cached version does not include lies in here.
struct Moments {
  StalenessMonitor::Time earliest, latest;
};
Moments moments(const StalenessMonitor::Cached& cached,
                const StalenessMonitor::Authoritative& authoritative) {
  if (authoritative.superseded_at) return {*authoritative.superseded_at, *authoritative.superseded_at};
  // The last change is the first one, or comes after it.
  const bool is_told =
      authoritative.updated_at >= cached.loaded_at && authoritative.updated_at <= authoritative.asked_at;
  return {cached.loaded_at, is_told ? authoritative.updated_at : authoritative.asked_at};
}

StalenessMonitor::Check judge(const StalenessMonitor::Cached& cached,
                              const StalenessMonitor::Authoritative& authoritative,
                              StalenessMonitor::Nanoseconds limit) {
  using Nanoseconds = StalenessMonitor::Nanoseconds;
  StalenessMonitor::Check check;
  if (cached.version == authoritative.version) return check;
  const auto [earliest, latest] = moments(cached, authoritative);
  const auto ago = [&](StalenessMonitor::Time moment) {
    return std::max(Nanoseconds::zero(), std::chrono::duration_cast<Nanoseconds>(cached.read_at - moment));
  };
  check.at_least = ago(latest);
  check.at_most = ago(earliest);
  check.is_stale = check.at_most > Nanoseconds::zero();
  if (check.at_least > limit) {
    check.over = 1.0;
  } else if (check.at_most > limit) {
    const auto all = static_cast<double>((latest - earliest).count());
    const auto part = static_cast<double>((cached.read_at - limit - earliest).count());
    check.over = all > 0.0 ? std::clamp(part / all, 0.0, 1.0) : 1.0;
  }
  return check;
}

}  // namespace

struct StalenessMonitor::State {
  explicit State(std::uint64_t wanted) : seed(wanted) {}
  const std::uint64_t seed;
  std::atomic<std::uint64_t> draws{0};
  mutable Mutex mutex;
  // Only ever added to: what is found stays where it is.
  std::map<std::string, std::unique_ptr<Watched>, std::less<>> features CANDOR_GUARDED_BY(mutex);

  [[nodiscard]] Watched* find(std::string_view name) const {
    const MutexLock lock(mutex);
    const auto it = features.find(name);
    return it == features.end() ? nullptr : it->second.get();
  }
};

StalenessMonitor::StalenessMonitor(std::uint64_t seed) : state_(std::make_unique<State>(seed)) {}
StalenessMonitor::~StalenessMonitor() = default;

Result<void> StalenessMonitor::register_feature(Feature feature) {
  if (auto fine = look_at(feature); !fine) return fine;
  const MutexLock lock(state_->mutex);
  if (state_->features.contains(feature.feature))
    return refuse("feature '" + feature.feature + "' is registered already");
  std::string name = feature.feature;
  state_->features.emplace(std::move(name), std::make_unique<Watched>(std::move(feature)));
  return {};
}

bool StalenessMonitor::should_check(std::string_view feature) {
  const Watched* watched = state_->find(feature);
  if (watched == nullptr) return false;
  const std::uint64_t draw = mix64(state_->seed + state_->draws.fetch_add(1, std::memory_order_relaxed));
  return static_cast<double>(draw >> 11) * 0x1.0p-53 < watched->facts.sample_rate;
}

Result<StalenessMonitor::Check> StalenessMonitor::check(std::string_view feature, const Cached& cached,
                                                        const Authoritative& authoritative) {
  Watched* watched = state_->find(feature);
  if (watched == nullptr)
    return fail(ErrorCode::kNotFound, "no feature '" + std::string(feature) + "' is registered");
  if (auto fine = look_at(cached, authoritative); !fine) return std::unexpected(std::move(fine.error()));
  const Check check = judge(cached, authoritative, watched->facts.max_staleness);
  const MutexLock lock(watched->mutex);
  watched->checked += 1.0;
  watched->over += check.over;
  watched->guess_variance += check.over * (1.0 - check.over);
  if (check.over > 0.0 && check.over < 1.0) watched->undecided += 1.0;
  watched->worst = std::max(watched->worst, check.at_least);
  return check;
}

Result<StalenessMonitor::Report> StalenessMonitor::report(std::string_view feature) const {
  const Watched* watched = state_->find(feature);
  if (watched == nullptr)
    return fail(ErrorCode::kNotFound, "no feature '" + std::string(feature) + "' is registered");
  const MutexLock lock(watched->mutex);
  Report report;
  report.checked = watched->checked;
  report.undecided = watched->undecided;
  report.worst = watched->worst;
  if (watched->checked <= 0.0) return report;
  const double p = report.stale_fraction = watched->over / watched->checked;
  // As many reads, each decided, as would leave the same variance.
  double n = watched->checked;
  if (watched->guess_variance > 0.0)
    n = p * (1.0 - p) / (p * (1.0 - p) / n + watched->guess_variance / (n * n));
  const Interval interval = wilson_interval(p, n);
  report.low = interval.low;
  report.high = interval.high;
  if (report.low > watched->facts.slo_threshold) report.is_kept = false;
  if (report.high <= watched->facts.slo_threshold) report.is_kept = true;
  return report;
}

}  // namespace candor
