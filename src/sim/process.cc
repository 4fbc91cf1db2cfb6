#include "sim/process.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "sim/world.h"

namespace candor::sim {
namespace {

// Later than any run: a timer for MonoTime::max() is never due, and no sum overflows.
constexpr Duration kFarAway = std::chrono::hours(24 * 365 * 50);
constexpr std::int64_t kMillion = 1'000'000;
// A process's clock begins up to an hour after its machine started; the civil date is that of no event.
constexpr std::int64_t kUptimeMaxNs = Duration(1h).count();
constexpr std::int64_t kWallAtBeginNs = 1'800'000'000 * std::int64_t{1'000'000'000};

// d · ppm / 10^6 without overflow.
std::int64_t share(std::int64_t d, std::int64_t ppm) {
  return d / kMillion * ppm + d % kMillion * ppm / kMillion;
}

}  // namespace

Process::Process(World& world, std::uint32_t number, std::string name)
    : world_(world), number_(number), name_(std::move(name)), random_(world.stream("process " + name_)) {
  clock_from_ = world.now();
  // An arbitrary beginning, as a machine's monotonic clock has: nobody may compare it with another's.
  clock_base_ = MonoTime{Duration(1s).count() + static_cast<std::int64_t>(random_.below(kUptimeMaxNs))};
  wall_ahead_ = Duration{kWallAtBeginNs};
}

TrueTime Process::true_now() const { return is_in_afterlife_ ? afterlife_now_ : world_.now(); }

MonoTime Process::local_time_of(TrueTime t) const {
  const std::int64_t passed = (t - clock_from_).count();
  return clock_base_ + Duration{passed + share(passed, drift_ppm_)};
}

TrueTime Process::true_time_of(MonoTime local) const {
  const Duration ahead = std::min(local - clock_base_, Duration{kFarAway});
  std::int64_t passed =
      ahead.count() - share(ahead.count(), drift_ppm_);  // exact to the second order of drift
  const auto shown = [&](std::int64_t p) { return p + share(p, drift_ppm_); };
  while (shown(passed) < ahead.count()) passed += std::max<std::int64_t>(1, ahead.count() - shown(passed));
  return clock_from_ + Duration{passed};
}

MonoTime Process::now() const { return local_time_of(true_now()); }

WallTime Process::wall() const {
  // The clock is read: a step of it is seen from here on.
  if (!saw_wall_) world_.faults().take_effect("clock step");
  saw_wall_ = true;
  return WallTime{now().ns + wall_ahead_.count()};
}

bool Process::is_current() const { return world_.current_ == this; }

void Process::fill(unsigned char* bytes, std::size_t count) {
  std::generate_n(bytes, count, [this] { return static_cast<unsigned char>(random_()); });
}

void Process::post(Work work) {
  if (!is_up_ && !is_in_afterlife_) return;  // nobody is there
  ready_.push_back(std::move(work));
  if (!is_current()) world_.call_turn(*this, Duration::zero());
}

void Process::at_end_of_turn(Work work) {
  CANDOR_ASSERT(is_current());
  end_of_turn_.push_back(std::move(work));
}

TimerId Process::schedule(MonoTime at, Work work) {
  CANDOR_ASSERT(is_current());
  const TrueTime due = std::max(true_time_of(at), true_now());
  EventQueue& queue = is_in_afterlife_ ? afterlife_ : world_.queue_;
  const EventId id = queue.push({due, number_, at.ns, std::move(work)});
  return TimerId{timer_id(id).value | (is_in_afterlife_ ? kAfterlifeBit : 0)};
}

void Process::cancel(TimerId timer) {
  CANDOR_ASSERT(is_current());
  if (const auto moved = moved_.find(timer.value); moved != moved_.end()) timer = moved->second;
  const std::uint64_t value = timer.value & ~kAfterlifeBit;
  const EventId id{static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
  EventQueue& queue = timer.value == value ? world_.queue_ : afterlife_;
  queue.cancel(id);
}

void Process::set_drift(std::int64_t ppm) {
  clock_base_ = now();
  clock_from_ = true_now();
  drift_ppm_ = ppm;
}

void Process::step_wall(Duration by) {
  wall_ahead_ += by;
  saw_wall_ = false;
}

void Process::run_ready() {
  for (std::size_t n = ready_.size(); n > 0; --n) {
    Work work = std::move(ready_.front());
    ready_.pop_front();
    work();
  }
}

void Process::run_end_of_turn() {
  for (auto batch = std::exchange(end_of_turn_, {}); auto& work : batch) work();
}

}  // namespace candor::sim
