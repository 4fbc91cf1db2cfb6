// Changes of plain values behind an L2 that nodes share: look, decide, swap if nobody was faster.
//
// Changes of one key that wait on this node are decided together, one upon the other, and go to L2 as one
// swap: a hundred INCR of one key are a few round trips, and only nodes compete for a key, never the clients
// of one node.
#include <algorithm>
#include <utility>

#include "cache/miss_path.h"

namespace candor {

namespace {

// What one swap carries at most: decided in about 100 µs, so that home has its other turns.
constexpr std::size_t kChangesPerSwap = 256;
// Swaps that may be lost to other nodes. Of n nodes that try at once one wins each round; with the pauses
// below a node loses a hundred rounds only when hundreds of nodes change one key without an end.
constexpr int kSwapsMax = 100;
// From here on a loser waits a moment of random length, so that the losers do not meet again.
constexpr int kSwapsWithoutPause = 4;
constexpr Duration kPauseMax = 4ms;

// A Duration counts nanoseconds in 64 bits, which end after 292 years.
constexpr l1::Millis kMillisMax =
    std::chrono::duration_cast<std::chrono::milliseconds>(Duration::max()).count();

// What a key holds while changes are decided upon it.
class Draft {
 public:
  Draft(const L2Seen& seen, l1::Millis now) : now_(now) {
    if (!seen.entry || seen.entry->negative) return;
    value_ = seen.entry->value;
    meta_.loaded_at = now;
    if (seen.entry->ttl_left > Duration::zero())
      meta_.expires_at = now + std::max<l1::Millis>(1, seen.entry->ttl_left / 1ms);
    seen_expires_at_ = meta_.expires_at;
  }

  void apply(CacheCore::PlainDecide& decide) {
    using Action = l1::Store::Update::Action;
    const l1::EntryView view{value_ ? std::string_view(*value_) : std::string_view(), meta_};
    l1::Store::Update update = decide(value_ ? &view : nullptr);
    if (update.action == Action::kKeep) return;
    changed_ = true;
    value_.reset();
    meta_ = l1::EntryMeta{};
    if (update.action == Action::kErase || is_over(update.meta.expires_at)) return;
    value_ = std::move(update.value);
    meta_ = update.meta;
  }

  [[nodiscard]] bool changed() const { return changed_; }
  // The expiry that was there stays there to the millisecond, however long the swap is under way.
  [[nodiscard]] bool keeps_ttl() const {
    return seen_expires_at_ != 0 && value_ && meta_.expires_at == seen_expires_at_;
  }
  [[nodiscard]] std::optional<L2Entry> entry() const {
    if (!value_) return std::nullopt;
    L2Entry entry;
    entry.value = *value_;
    if (meta_.expires_at != 0)
      entry.ttl_left = std::chrono::milliseconds(std::min(meta_.expires_at - now_, kMillisMax));
    return entry;
  }

 private:
  [[nodiscard]] bool is_over(l1::Millis at) const { return at != 0 && at <= now_; }

  l1::Millis now_;
  std::optional<std::string> value_;
  l1::EntryMeta meta_;
  l1::Millis seen_expires_at_ = 0;
  bool changed_ = false;
};

}  // namespace

void CacheCore::MissPath::plain_update(Feature* feature, const std::string& key, PlainDecide decide,
                                       WriteDone done) {
  if (plain_changes_waiting_ >= parts_.waiters_max) {
    done(fail(ErrorCode::kOverloaded, "this node already has " + std::to_string(parts_.waiters_max) +
                                          " changes of plain values waiting for L2; retry with backoff"));
    return;
  }
  ++plain_changes_waiting_;
  std::string name = name_of(*feature, key);
  const auto [it, is_first] = plain_changes_.try_emplace(name);
  it->second.push_back({std::move(decide), std::move(done)});
  if (is_first) spawn(run_plain_changes(feature, std::move(name)));
}

Task<void> CacheCore::MissPath::run_plain_changes(Feature* feature, std::string name) {
  for (;;) {
    const auto it = plain_changes_.find(name);
    if (it->second.empty()) {
      plain_changes_.erase(it);
      co_return;
    }
    std::vector<PlainChange> changes;
    while (!it->second.empty() && changes.size() < kChangesPerSwap) {
      changes.push_back(std::move(it->second.front()));
      it->second.pop_front();
    }
    Result<void> changed = co_await change_in_l2(feature, name, &changes);
    plain_changes_waiting_ -= changes.size();
    feature->counters.writes.add(changes.size());
    if (!changed) feature->counters.write_errors.add(changes.size());
    for (PlainChange& change : changes) {
      Result<WriteResult> result;
      if (!changed) result = std::unexpected(changed.error());
      change.done(std::move(result));
    }
  }
}

Task<Result<void>> CacheCore::MissPath::change_in_l2(Feature* feature, std::string name,
                                                     std::vector<PlainChange>* changes) {
  const MonoTime deadline = parts_.home->now() + feature->policy().hard_timeout;
  Result<L2Seen> seen = co_await parts_.l2->look(name);
  for (int swaps = 0; seen; ++swaps) {
    Draft draft(*seen, now_ms());
    for (PlainChange& change : *changes) draft.apply(change.decide);
    if (!draft.changed()) co_return Result<void>{};
    if (swaps >= kSwapsMax || parts_.home->now() >= deadline) {
      co_return fail(ErrorCode::kOverloaded,
                     "key '" + name + "': other nodes change it without a pause, and were faster " +
                         std::to_string(swaps) + " times; nothing was changed: retry with backoff");
    }
    auto entry = draft.entry();
    Result<L2Swap> swap = co_await parts_.l2->swap(name, seen->mark, std::move(entry), draft.keeps_ttl());
    // A reader that asks from now on must not be given what a read from before is about to bring.
    (void)flights_.fence(name);
    if (!swap) co_return write_failed(std::move(swap.error()));
    if (swap->done) co_return Result<void>{};
    if (swaps < kSwapsWithoutPause) {
      seen = std::move(swap->now);
      continue;
    }
    co_await pause_for_others();
    seen = co_await parts_.l2->look(name);
  }
  co_return nothing_written(std::move(seen.error()));
}

Task<void> CacheCore::MissPath::pause_for_others() {
  OneShot<bool> woken;
  const auto pause = static_cast<std::int64_t>(random_.unit() * static_cast<double>(kPauseMax.count()));
  parts_.home->schedule(parts_.home->now() + Duration{pause}, [woken] { woken.set(true); });
  (void)co_await woken;
}

}  // namespace candor
