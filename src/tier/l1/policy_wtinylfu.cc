#include "tier/l1/policy_wtinylfu.h"

namespace candor::l1 {
namespace {

using Action = HeadDecision::Action;

// Caffeine's protection against somebody who makes keys collide with popular ones: a tie-breaking loser of
// some popularity is let in once in 128.
constexpr unsigned kSuspiciousCount = 6;
constexpr std::uint64_t kLetInOneOf = 128;

}  // namespace

void WTinyLfuPolicy::set_capacity(std::size_t capacity, std::size_t expected_entries) {
  capacity_ = capacity;
  sketch_.set_entries(expected_entries);
}

unsigned WTinyLfuPolicy::on_insert(std::uint64_t hash, std::size_t bytes) {
  sketch_.add(hash);
  if (was_full_) return kWindow;
  filled_ += bytes;  // there is room: main needs no duel yet
  return filled_ < capacity_ - capacity_ / kWindowDivisor ? kMain : kWindow;
}

unsigned WTinyLfuPolicy::pick_queue(std::span<const QueueLevel> queues) {
  was_full_ = true;
  const bool has_window = queues[kWindow].entries != 0;
  const bool has_main = queues[kMain].entries != 0;
  const bool has_dock = queues[kDock].entries != 0;
  if (has_dock && (docked_lost_ || (!has_window && !has_main))) return kDock;
  if (!has_window) return has_dock ? kDock : kMain;
  if (!has_main && !has_dock) return kWindow;
  return has_dock ? kWindow : kMain;
}

HeadDecision WTinyLfuPolicy::on_head(const HeadEntry& head) {
  // The sketch hears now of the reads since the entry was last examined.
  for (unsigned i = 0; i < head.accesses; ++i) sketch_.add(head.hash);
  switch (head.queue) {
    case kMain:
      if (head.accesses > 0) return {.action = Action::kMove, .queue = kMain, .accesses = 0};
      docked_hash_ = head.hash;
      docked_lost_ = false;
      return {.action = Action::kMove, .queue = kDock, .accesses = 0};
    case kDock:
      if (!docked_lost_ && head.accesses > 0) return {.action = Action::kMove, .queue = kMain, .accesses = 0};
      docked_lost_ = false;
      return {.action = Action::kEvict};
    default:
      break;
  }
  docked_lost_ = beats_docked(head.hash);
  if (docked_lost_) return {.action = Action::kMove, .queue = kMain, .accesses = 0};
  return {.action = Action::kEvict};
}

bool WTinyLfuPolicy::beats_docked(std::uint64_t hash) {
  const unsigned newcomer = sketch_.count(hash);
  const unsigned docked = sketch_.count(docked_hash_);
  if (newcomer > docked) return true;
  return newcomer >= kSuspiciousCount && random_.below(kLetInOneOf) == 0;
}

}  // namespace candor::l1
