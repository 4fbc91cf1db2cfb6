#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"

namespace candor::sim {
namespace {

// Events that fall on one moment and are run in one turn; more than that are the next one's.
constexpr int kGatheredMax = 64;
// An afterlife ends when nothing is left. Deadlines are seconds; an hour and a million events mean a loop.
constexpr Duration kAfterlifeMax = 1h;
constexpr std::uint64_t kAfterlifeEventsMax = 1'000'000;

}  // namespace

World::World(Options options) : options_(options), random_(stream("world")) {}

Random World::stream(std::string_view name) const {
  return Random(mix64(options_.seed ^ hash_bytes(name, 0)));
}

Process& World::add_process(std::string name) {
  const auto number = static_cast<std::uint32_t>(processes_.size());
  return *processes_.emplace_back(std::make_unique<Process>(*this, number, std::move(name)));
}

EventId World::at(TrueTime when, Work work) {
  return queue_.push({std::max(when, now_), kNobody, INT64_MIN, std::move(work)});
}

EventId World::at(TrueTime when, Process& process, Work work) {
  if (!process.is_up()) return {};
  return queue_.push({std::max(when, now_), process.number(), INT64_MIN, std::move(work)});
}

bool World::step() {
  if (queue_.empty()) return false;
  const Event& next = queue_.front();
  now_ = next.at;
  if (next.owner == kNobody) {
    Event event = queue_.pop();
    trace_.fold(static_cast<std::uint64_t>(now_.ns), kNobody);
    ++stats_.events;
    event.work();
    return true;
  }
  Process& process = *processes_[next.owner];
  if (process.is_paused_) {
    ++process.held_;
    queue_.put_off(process.paused_until_);
  } else if (next.local_due != INT64_MIN && process.now().ns < next.local_due) {
    queue_.put_off(std::max(process.true_time_of(MonoTime{next.local_due}), now_ + 1ns));
  } else {
    take_turn(process, std::move(queue_.pop().work));
  }
  return true;
}

void World::take_turn(Process& process, Work first) {
  Process* const before = std::exchange(current_, &process);
  for (int gathered = 1;; ++gathered) {
    trace_.fold(static_cast<std::uint64_t>(now_.ns), process.number());
    ++stats_.events;
    if (first)
      first();
    else
      process.has_turn_coming_ = false;
    process.run_ready();
    if (gathered == kGatheredMax || queue_.empty()) break;
    const Event& next = queue_.front();
    if (next.at != now_ || next.owner != process.number() || process.now().ns < next.local_due) break;
    first = std::move(queue_.pop().work);
  }
  process.run_end_of_turn();
  current_ = before;
  if (process.has_ready()) call_turn(process, options_.turn_cost);
}

void World::call_turn(Process& process, Duration delay) {
  if (std::exchange(process.has_turn_coming_, true)) return;
  queue_.push({now_ + delay, process.number(), INT64_MIN, nullptr});
}

void World::run_until(TrueTime when) {
  while (!queue_.empty() && queue_.front().at <= when) step();
  now_ = std::max(now_, when);
}

void World::run_on(Process& process, Work work) {
  CANDOR_ASSERT(process.is_up());
  take_turn(process, std::move(work));
}

void World::start(Process& process) {
  if (process.life_.start) run_on(process, [&process] { process.life_.start(); });
}

void World::pause(Process& process, Duration duration) {
  CANDOR_ASSERT(current_ == nullptr);
  if (!process.is_up() || process.is_paused_) return;
  faults_.plan("pause");
  trace_.note(now_, process.name(), "pauses", static_cast<std::uint64_t>(duration.count()));
  process.is_paused_ = true;
  process.held_ = 0;
  process.paused_until_ = now_ + duration;
  at(process.paused_until_, [this, &process, number = ++process.pauses_] {
    if (process.is_paused_ && process.pauses_ == number) resume(process);
  });
}

void World::resume(Process& process) {
  if (!process.is_paused_) return;
  process.is_paused_ = false;
  if (process.held_ > 0) faults_.take_effect("pause");
  trace_.note(now_, process.name(), "goes on", process.held_);
  // What was put off to the planned end, if this is earlier: in its order, now.
  if (now_ < process.paused_until_) queue_.bring_forward(process.number(), process.paused_until_, now_);
}

void World::crash(Process& process) {
  CANDOR_ASSERT(current_ == nullptr);
  if (!process.is_up()) return;
  faults_.plan("crash");
  faults_.take_effect("crash");  // it was up, so something ended with it
  trace_.note(now_, process.name(), "crashes", process.life());
  end_life(process);
}

void World::stop(Process& process) {
  if (process.is_up()) end_life(process);
}

void World::restart(Process& process) {
  CANDOR_ASSERT(current_ == nullptr);
  if (process.is_up()) return;
  trace_.note(now_, process.name(), "starts", process.life() + 1);
  process.is_up_ = true;
  ++process.life_number_;
  start(process);
}

void World::end_life(Process& process) {
  process.is_up_ = false;
  process.is_paused_ = false;
  process.has_turn_coming_ = false;
  process.is_in_afterlife_ = true;
  process.afterlife_now_ = now_;
  for (auto& [id, event] : queue_.take_all_of(process.number())) {
    const EventId moved = process.afterlife_.push(std::move(event));
    process.moved_[Process::timer_id(id).value] = {Process::timer_id(moved).value | Process::kAfterlifeBit};
  }
  Process* const before = std::exchange(current_, &process);
  if (process.life_.stop) process.life_.stop();
  live_out(process);
  if (process.life_.destroy) process.life_.destroy();
  process.ready_.clear();
  process.end_of_turn_.clear();
  process.afterlife_ = EventQueue();
  process.moved_.clear();
  process.is_in_afterlife_ = false;
  current_ = before;
}

void World::live_out(Process& process) {
  const TrueTime until = now_ + kAfterlifeMax;
  for (std::uint64_t events = 0;; ++events) {
    process.run_ready();
    process.run_end_of_turn();
    if (process.has_ready() && events < kAfterlifeEventsMax) continue;
    if (process.afterlife_.empty()) return;
    if (events >= kAfterlifeEventsMax || process.afterlife_.front().at > until) break;
    Event event = process.afterlife_.pop();
    process.afterlife_now_ = std::max(process.afterlife_now_, event.at);
    if (event.work) event.work();
  }
  ++stats_.afterlives_cut;
  trace_.note(now_, process.name(), "afterlife cut short");
}

std::uint64_t World::finish() {
  trace_.fold(random_(), stats_.events);
  for (const auto& process : processes_) trace_.fold(process->next_seed(), process->life());
  return trace_.hash();
}

}  // namespace candor::sim
