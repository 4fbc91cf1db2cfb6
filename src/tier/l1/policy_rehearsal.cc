#include "tier/l1/policy_rehearsal.h"

#include <algorithm>

namespace candor::l1 {
namespace {

// The miniature caches hold between half of this and this many entries, until the shard has
// kEntriesPerRehearsed times as many; from there on they grow with it. Hit ratios do not change between 64
// and 512.
constexpr std::size_t kSmallCacheMax = 512;
constexpr std::size_t kEntriesPerRehearsed = 512;

// Decayed counts remember so many requests for each entry of the miniature: enough for every entry to be read
// several times, few enough to follow a load that changes. Between 16 and 128 hit ratios hardly change.
constexpr double kWindowPerEntry = 32;

// One key in how many is rehearsed, minus one.
std::uint64_t sample_mask_for(std::size_t entries) {
  const std::size_t wanted = std::max(kSmallCacheMax, entries / kEntriesPerRehearsed);
  std::uint64_t mask = 0;
  while (entries / (mask + 1) > std::min(wanted, Rehearsal::kCapacityMax)) mask = mask * 2 + 1;
  return mask;
}

}  // namespace

void RehearsalPolicy::set_capacity(std::size_t capacity, std::size_t expected_entries) {
  capacity_ = capacity;
  const std::size_t entries = std::max<std::size_t>(expected_entries, 1);
  ghost_.set_reach(ghost_reach(entries));
  // What was learnt is thrown away only when the miniature would be wrong by more than a quarter: the
  // estimate moves with every change in the mean size of entries.
  const std::uint64_t mask = sample_mask_for(entries);
  const std::size_t small = std::max<std::size_t>(entries / (mask + 1), 1);
  if (rehearsal_ != nullptr) {
    const std::size_t now = entries / (sample_mask_ + 1);
    const std::size_t was = rehearsal_->capacity();
    if (now >= was - was / 4 && now <= was + was / 4) return;
  }
  sample_mask_ = mask;
  rehearsal_ = std::make_unique<Rehearsal>(small, random_());
  choice_ = std::make_unique<RegimeChoice>(kWindowPerEntry * static_cast<double>(small), regime_);
}

unsigned RehearsalPolicy::on_insert(std::uint64_t hash, std::size_t bytes) {
  if (is_sampled(hash)) rehearse(hash);
  const Regime& now = kRegimes[regime_];
  const bool in_ghost = ghost_.take(hash);
  if (!was_full_) {
    const bool to_main = fills_main(now, filled_, capacity_);
    filled_ += bytes;
    if (to_main) return kMainQueue;
  }
  const bool lucky = now.luck_divisor != 0 && random_.below(now.luck_divisor) == 0;
  return queue_for_new(now, in_ghost, lucky);
}

unsigned RehearsalPolicy::pick_queue(std::span<const QueueLevel> queues) {
  was_full_ = true;
  const Regime& now = kRegimes[regime_];
  // What generations left in the two middle queues goes to main, one entry for each one that is examined by
  // rule: all at once would make one insertion pay for a whole change of regime.
  if (now.kind != Regime::Kind::kGenerations) {
    middle_turn_ = !middle_turn_;
    for (unsigned queue = kMainQueue - 1; middle_turn_ && queue > kYoungQueue; --queue) {
      if (queues[queue].entries != 0) return queue;
    }
  }
  return queue_to_examine(now, queues);
}

HeadDecision RehearsalPolicy::on_head(const HeadEntry& head) {
  const Verdict verdict = judge_head(kRegimes[regime_], head.queue, head.accesses);
  if (verdict.remember) ghost_.add(head.hash);
  return verdict.decision;
}

bool RehearsalPolicy::on_hit(std::uint64_t hash, unsigned* /*queue*/) {
  if (is_sampled(hash)) rehearse(hash);  // the store may still record by an older mask
  return false;
}

void RehearsalPolicy::on_remove(std::uint64_t hash, std::size_t /*bytes*/, unsigned /*queue*/) {
  if (is_sampled(hash) && rehearsal_ != nullptr) rehearsal_->forget(hash);
}

std::size_t RehearsalPolicy::memory_bytes() const {
  const std::size_t rehearsing =
      rehearsal_ == nullptr ? 0 : rehearsal_->memory_bytes() + sizeof(RegimeChoice);
  return sizeof(*this) + ghost_.memory_bytes() + rehearsing;
}

void RehearsalPolicy::rehearse(std::uint64_t hash) {
  if (rehearsal_ == nullptr) return;
  ++rehearsed_;
  if (!choice_->record(rehearsal_->request(hash))) return;
  regime_ = choice_->current();
  ++changes_;
}

}  // namespace candor::l1
