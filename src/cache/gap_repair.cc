#include "cache/gap_repair.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

// Entries that one turn looks at: about 50 µs of home's time, each millisecond. A million take two seconds.
constexpr std::size_t kLooksPerTurn = 512;
constexpr Duration kTurnPause = 1ms;
// Between walks of which one bettered nothing: what is left needs the origin back, or its markers retired.
constexpr Duration kFirstPause = 1s;
constexpr Duration kLastPause = 30s;

}  // namespace

GapRepair::GapRepair(World world, unsigned keys_per_second)
    : world_(std::move(world)), pace_(keys_per_second) {}

GapRepair::~GapRepair() { *alive_ = false; }

void GapRepair::begin() {
  halt();
  if (pace_.is_off()) return;
  is_running_ = true;
  pause_ = Duration{0};
  // What is asked in the millisecond of the floor would lie below it.
  walk_later(kTurnPause);
}

void GapRepair::halt() {
  ++walk_;
  is_running_ = is_walking_ = false;
  line_.clear();
  found_ = handled_ = 0;
  world_.home->cancel(std::exchange(timer_, {}));
}

RepairStatus GapRepair::status() const {
  RepairStatus status = counts_;
  status.is_running = is_running_;
  status.left = found_ - std::min(found_, handled_);
  status.rate = pace_.rate();
  return status;
}

void GapRepair::set_timer(Duration in, void (GapRepair::*then)()) {
  world_.home->cancel(timer_);
  timer_ = world_.home->schedule(world_.home->now() + in, [this, alive = alive_, then] {
    if (!*alive) return;
    timer_ = {};
    (this->*then)();
  });
}

void GapRepair::walk_later(Duration in) {
  is_walking_ = true;
  cursor_ = 0;
  found_ = handled_ = bettered_ = 0;
  line_.clear();
  set_timer(in, &GapRepair::walk);
}

void GapRepair::walk() {
  std::vector<SuspectLine::Suspect> forgotten;
  cursor_ =
      world_.l1->scan(cursor_, kLooksPerTurn, world_.home->now().ms(), [&](const l1::Store::Visited& one) {
        const Verdict verdict = world_.judge(one);
        if (verdict == Verdict::kForgotten) forgotten.push_back({one.feature, std::string(one.key)});
        if (verdict != Verdict::kSuspect) return;
        ++found_;
        line_.offer(one.accesses, one.feature, one.key);
      });
  for (const auto& [feature, key] : forgotten) {
    const bool was_there =
        world_.l1->erase(world_.l1->hash(feature, key), feature, key, world_.home->now().ms());
    counts_.dropped += was_there ? 1 : 0;
  }
  if (cursor_ != 0) return set_timer(kTurnPause, &GapRepair::walk);
  is_walking_ = false;
  walked();
}

void GapRepair::walked() {
  if (found_ == 0) {
    is_running_ = false;
    return;
  }
  pump();
}

void GapRepair::pump() {
  if (!is_running_ || is_walking_) return;
  while (line_.size() > 0 && pace_.may_ask(world_.home->now())) send_batch();
  if (!is_running_ || is_walking_) return;  // a batch was answered at once
  if (line_.size() > 0) {
    // With two batches under way the next answer comes back here.
    if (pace_.under_way() < RepairPace::kUnderWayMax)
      set_timer(std::max<Duration>(pace_.next_at() - world_.home->now(), Duration{0}), &GapRepair::pump);
    return;
  }
  if (pace_.under_way() > 0) return;
  pause_ = bettered_ > 0 ? Duration{0} : std::clamp<Duration>(pause_ * 2, kFirstPause, kLastPause);
  walk_later(pause_);
}

void GapRepair::send_batch() {
  auto batch = std::make_shared<Batch>();
  batch->walk = walk_;
  batch->began = world_.home->now();
  std::vector<SuspectLine::Suspect> keys;
  while (keys.size() < pace_.batch()) {
    auto one = line_.next();
    if (!one) break;
    keys.push_back(std::move(*one));
  }
  batch->waiting = keys.size();
  pace_.on_asked(world_.home->now());
  // Asked in one turn, so that they leave as one statement.
  for (auto& [feature, key] : keys) {
    spawn(world_.repair(feature, std::move(key)), [this, alive = alive_, batch](Repaired how) {
      if (*alive) on_repaired(batch, how);
    });
  }
}

void GapRepair::on_repaired(const std::shared_ptr<Batch>& batch, Repaired how) {
  counts_.confirmed += how == Repaired::kConfirmed ? 1 : 0;
  counts_.replaced += how == Repaired::kReplaced ? 1 : 0;
  counts_.dropped += how == Repaired::kDropped ? 1 : 0;
  counts_.failed += how == Repaired::kFailed ? 1 : 0;
  batch->failed = batch->failed || how == Repaired::kFailed;
  if (batch->walk == walk_) {
    const bool is_better = how != Repaired::kFailed && how != Repaired::kLeft && how != Repaired::kElsewhere;
    handled_ += is_better ? 1 : 0;
    bettered_ += is_better ? 1 : 0;
  }
  if (--batch->waiting > 0) return;
  const MonoTime now = world_.home->now();
  pace_.on_answered(now, now - batch->began, batch->failed);
  // Not from inside of what answered: a batch may be answered in the turn in which it was asked.
  if (is_running_ && !is_walking_)
    set_timer(std::max<Duration>(pace_.next_at() - now, Duration{0}), &GapRepair::pump);
}

}  // namespace candor
