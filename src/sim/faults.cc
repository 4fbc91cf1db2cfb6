#include "sim/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace candor::sim {
namespace {

// The harshest that a run may draw.
constexpr double kLossMax = 0.3;
constexpr double kDuplicateMax = 0.2;
constexpr double kReorderMax = 0.3;
constexpr double kSlowMax = 0.1;
constexpr double kPartitionsMax = 6, kCrashesMax = 4, kPausesMax = 6, kClockStepsMax = 4;  // per minute
constexpr Duration kPartitionMax = 20s;
constexpr Duration kDownMax = 20s;
constexpr Duration kPauseMax = 30s;  // past every timeout
constexpr Duration kClockStepMax = std::chrono::hours(2);
constexpr std::int64_t kDriftPpmMax = 500;  // quartz is within 100; a bad virtual machine is not

}  // namespace

FaultPlan::FaultPlan(World& world, Network& network, std::vector<std::string> wanted, bool certain)
    : world_(world),
      network_(network),
      wanted_(std::move(wanted)),
      certain_(certain),
      random_(world.stream("faults")) {
  draw_rates();
}

bool FaultPlan::is_wanted(std::string_view name) const {
  return wanted_.empty() || std::ranges::find(wanted_, name) != wanted_.end();
}

// Half of the runs go without; of the others small rates are as likely as great ones (log-uniform over two
// decades).
double FaultPlan::draw_rate(std::string_view name, double max) {
  const bool absent = random_.below(2) == 0 && !certain_;
  const double rate = max * std::pow(certain_ ? 3.0 : 100.0, random_.unit() - 1.0);
  return absent || !is_wanted(name) ? 0 : rate;
}

Duration FaultPlan::draw(Duration max) {
  return Duration{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(max.count()) + 1))};
}

void FaultPlan::draw_rates() {
  Weather& w = rates_.weather;
  w.delay_max = w.delay_min + draw(2ms);
  w.slow = draw_rate("slow", kSlowMax);
  w.slow_max = draw(2s);
  w.loss = draw_rate("loss", kLossMax);
  w.duplicate = draw_rate("duplicate", kDuplicateMax);
  w.reorder = draw_rate("reorder", kReorderMax);
  w.reorder_max = draw(100ms);
  rates_.partitions = draw_rate("partition", kPartitionsMax);
  rates_.partition_max = draw(kPartitionMax);
  rates_.crashes = draw_rate("crash", kCrashesMax);
  rates_.down_max = draw(kDownMax);
  rates_.pauses = draw_rate("pause", kPausesMax);
  rates_.pause_max = draw(kPauseMax);
  rates_.clock_steps = draw_rate("clock step", kClockStepsMax);
  rates_.clock_step_max = kClockStepMax;
  rates_.drift_ppm_max = draw_rate("clock drift", 1) > 0 ? kDriftPpmMax : 0;
}

void FaultPlan::add(std::string name, double per_minute_max, std::function<void(Random&)> strike,
                    std::function<void()> heal) {
  const double rate = draw_rate(name, per_minute_max);
  kinds_.push_back({std::move(name), rate, std::move(strike), std::move(heal)});
}

void FaultPlan::start() {
  running_ = true;
  network_.set_weather(rates_.weather);
  for (Process* victim : victims_) {
    if (rates_.drift_ppm_max == 0) break;
    world_.faults().plan("clock drift");
    world_.faults().take_effect("clock drift");  // every reading of its clock shows it
    const auto span = static_cast<std::uint64_t>(2 * rates_.drift_ppm_max + 1);
    victim->set_drift(static_cast<std::int64_t>(random_.below(span)) - rates_.drift_ppm_max);
  }
  kinds_.push_back({"partition", rates_.partitions, [this](Random&) { strike_partition(); }, {}});
  kinds_.push_back({"crash", rates_.crashes, [this](Random&) { strike_crash(); }, {}});
  kinds_.push_back({"pause", rates_.pauses, [this](Random&) { strike_pause(); }, {}});
  kinds_.push_back({"clock step", rates_.clock_steps, [this](Random&) { strike_clock(); }, {}});
  for (std::size_t i = 0; i < kinds_.size(); ++i) repeat(i);
}

// A Poisson process: the wait for the next one is exponential.
void FaultPlan::repeat(std::size_t kind) {
  if (kinds_[kind].per_minute <= 0) return;
  const double minutes = -std::log(1.0 - random_.unit()) / kinds_[kind].per_minute;
  world_.after(Duration{static_cast<std::int64_t>(minutes * 60e9)}, [this, kind] {
    if (!running_) return;
    kinds_[kind].strike(random_);
    repeat(kind);
  });
}

Process* FaultPlan::draw_victim(bool (*fits)(const Process&)) {
  if (victims_.empty()) return nullptr;
  Process* victim = victims_[random_.below(victims_.size())];
  return fits(*victim) ? victim : nullptr;
}

// One place away from all others, a pair away from each other, or one direction only: the three that differ.
void FaultPlan::strike_partition() {
  if (network_.places() < 2) return;
  const PlaceId one{static_cast<std::uint32_t>(random_.below(network_.places()))};
  PlaceId other{static_cast<std::uint32_t>(random_.below(network_.places() - 1))};
  if (other.value >= one.value) ++other.value;
  std::vector<std::pair<PlaceId, PlaceId>> pairs;
  switch (random_.below(3)) {
    case 0:
      for (std::uint32_t i = 0; i < network_.places(); ++i)
        if (i != one.value) pairs.insert(pairs.end(), {{one, PlaceId{i}}, {PlaceId{i}, one}});
      break;
    case 1:
      pairs = {{one, other}, {other, one}};
      break;
    default:
      pairs = {{one, other}};
  }
  const auto cut = network_.partition(pairs);
  world_.after(draw(rates_.partition_max), [this, cut] { network_.heal(cut); });
}

void FaultPlan::strike_crash() {
  Process* victim = draw_victim([](const Process& p) { return p.is_up(); });
  if (victim == nullptr) return;
  world_.crash(*victim);
  world_.after(draw(rates_.down_max), [this, victim] { world_.restart(*victim); });
}

void FaultPlan::strike_pause() {
  Process* victim = draw_victim([](const Process& p) { return p.is_up() && !p.is_paused(); });
  if (victim != nullptr) world_.pause(*victim, draw(rates_.pause_max));
}

void FaultPlan::strike_clock() {
  Process* victim = draw_victim([](const Process& p) { return p.is_up(); });
  if (victim == nullptr) return;
  world_.faults().plan("clock step");
  const Duration step = draw(2 * rates_.clock_step_max) - rates_.clock_step_max;
  world_.trace().note(world_.now(), victim->name(), "wall clock steps",
                      static_cast<std::uint64_t>(step.count()));
  victim->step_wall(step);
}

void FaultPlan::heal() {
  running_ = false;
  network_.heal_all();
  network_.set_weather(Weather{});
  for (Process* victim : victims_) {
    world_.resume(*victim);
    world_.restart(*victim);
  }
  for (const auto& kind : kinds_)
    if (kind.heal) kind.heal();
}

std::string FaultPlan::describe() const {
  const Weather& w = rates_.weather;
  std::string out = fmt::format("loss {:.3f}, duplicate {:.3f}, reorder {:.3f}, slow {:.3f}", w.loss,
                                w.duplicate, w.reorder, w.slow);
  const auto add = [&](std::string_view name, double rate) {
    if (rate > 0) fmt::format_to(std::back_inserter(out), ", {} {:.2f}/min", name, rate);
  };
  if (!running_ && kinds_.empty()) return out;
  for (const auto& kind : kinds_) add(kind.name, kind.per_minute);
  return out;
}

}  // namespace candor::sim
