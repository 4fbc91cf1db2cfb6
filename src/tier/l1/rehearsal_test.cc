#include "tier/l1/rehearsal.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "base/random.h"

namespace candor::l1 {
namespace {

// One regime's small cache, written for reading: lists of keys, and maps for everything else. Without luck.
class NaiveCache {
 public:
  NaiveCache(const Regime& regime, std::size_t capacity) : regime_(regime), capacity_(capacity) {}

  bool misses(std::uint64_t key) {
    if (const auto at = accesses_.find(key); at != accesses_.end()) {
      at->second = std::min(at->second + 1, kAccessMax);
      return false;
    }
    const auto ghost = left_at_.find(key);
    const bool in_ghost = ghost != left_at_.end() && departures_ - ghost->second <= ghost_reach(capacity_);
    if (ghost != left_at_.end()) left_at_.erase(ghost);
    unsigned queue = queue_for_new(regime_, in_ghost, false);
    if (accesses_.size() == capacity_) {
      was_full_ = true;
      evict();
    } else if (!was_full_ && fills_main(regime_, filled_++, capacity_)) {
      queue = kMainQueue;
    }
    queues_[queue].push_back(key);
    accesses_[key] = 0;
    return true;
  }

 private:
  void evict() {
    for (;;) {
      std::array<QueueLevel, kQueuesMax> levels;
      for (unsigned i = 0; i < kQueuesMax; ++i) levels[i] = {queues_[i].size(), queues_[i].size()};
      const unsigned queue = queue_to_examine(regime_, levels);
      const std::uint64_t key = queues_[queue].front();
      queues_[queue].pop_front();
      const Verdict verdict = judge_head(regime_, queue, accesses_[key]);
      if (verdict.decision.action == HeadDecision::Action::kMove) {
        queues_[verdict.decision.queue].push_back(key);
        accesses_[key] = verdict.decision.accesses;
        continue;
      }
      accesses_.erase(key);
      if (verdict.remember) left_at_[key] = departures_++;
      return;
    }
  }

  const Regime& regime_;
  std::size_t capacity_;
  std::array<std::list<std::uint64_t>, kQueuesMax> queues_;
  std::map<std::uint64_t, unsigned> accesses_;
  std::map<std::uint64_t, std::size_t> left_at_;
  std::size_t departures_ = 0;
  std::size_t filled_ = 0;
  bool was_full_ = false;
};

// Popular keys, a slow drift, and a scan now and then: every regime's paths are walked.
std::uint64_t some_key(Random& random, int i) {
  if (i % 400 < 60) return 1'000'000 + static_cast<std::uint64_t>(i);
  const std::uint64_t spread = random.below(120) * random.below(120) / 120;
  return spread + static_cast<std::uint64_t>(i) / 50;
}

RC_GTEST_PROP(Rehearsal, EveryRegimeWithoutLuckMissesWhatANaiveCacheMisses, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 40);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Rehearsal rehearsal(capacity, 1);
  std::vector<NaiveCache> naive;
  for (const Regime& regime : kRegimes) naive.emplace_back(regime, capacity);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t key = some_key(random, i);
    const Rehearsal::Misses misses = rehearsal.request(mix64(key));
    for (unsigned which = 0; which < Rehearsal::kCaches; ++which) {
      if (kRegimes[which].luck_divisor != 0) continue;
      RC_ASSERT(((misses >> which & 1) != 0) == naive[which].misses(key));
    }
  }
  rehearsal.check_invariants();
}

RC_GTEST_PROP(Rehearsal, KeepsItsInvariantsUnderRequestsAndForgetting, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 60);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Rehearsal rehearsal(capacity, random());
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t key = mix64(some_key(random, i));
    if (random.below(10) == 0) {
      rehearsal.forget(key);
    } else {
      (void)rehearsal.request(key);
    }
    if (i % 50 == 0) rehearsal.check_invariants();
  }
  rehearsal.check_invariants();
}

TEST(Rehearsal, AForgottenKeyIsAMissForAll) {
  Rehearsal rehearsal(10, 1);
  (void)rehearsal.request(mix64(1));
  EXPECT_EQ(rehearsal.request(mix64(1)), 0U);
  rehearsal.forget(mix64(1));
  EXPECT_EQ(rehearsal.request(mix64(1)), (1U << Rehearsal::kCaches) - 1);
  EXPECT_EQ(rehearsal.request(mix64(1)), 0U);
}

TEST(Rehearsal, KeepsItsInvariantsWhenTheGhostsClockWraps) {
  // It has 16 bits; sweeps must drop an old ghost before its age looks young again.
  Rehearsal rehearsal(8, 1);
  for (std::uint64_t key = 0; key < 200; ++key) (void)rehearsal.request(mix64(key));
  for (std::uint64_t key = 1000; key < 1000 + 65536; ++key) (void)rehearsal.request(mix64(key));
  rehearsal.check_invariants();
}

TEST(Rehearsal, CostsAtMostSeventyTwoBytesAnEntryAndALittle) {
  const Rehearsal rehearsal(512, 1);
  EXPECT_LT(rehearsal.memory_bytes(), 512U * 72 + 8192);
}

}  // namespace
}  // namespace candor::l1
