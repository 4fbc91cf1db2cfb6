// The write path: origin, then L2, then L1, then the answer. And the debts to an L2 that did not answer.
#include "cache/miss_path.h"

namespace candor {

namespace {

// How often debts to L2 are tried again, and how many keys go in one attempt. L2 has its own breaker and
// backoff; this only decides how soon after its return the debts are paid.
constexpr Duration kRepayEvery = 100ms;
constexpr std::size_t kRepayBatch = 256;

}  // namespace

Task<Result<WriteResult>> CacheCore::MissPath::write(Feature* feature, std::string key, std::string value,
                                                     Change change) {
  OriginFeature* origin = feature->origin();
  const bool allowed =
      origin != nullptr && (change == Change::kStore ? origin->can_store() : origin->can_erase());
  if (!allowed) {
    const char* what = change == Change::kStore ? "store" : "erase";
    co_return fail(ErrorCode::kReadOnly, "feature '" + feature->policy().name + "' has no `" + what +
                                             "` statement; add one to [features." + feature->policy().name +
                                             "] or write to the database itself");
  }
  feature->counters.writes.add();
  const MonoTime deadline = parts_.home->now() + feature->policy().hard_timeout;
  Result<OriginWrite> wrote;
  if (change == Change::kStore) {
    wrote = co_await origin->store(key, std::move(value), deadline);
  } else {
    wrote = co_await origin->erase(key, deadline);
  }

  // Whatever the origin said, the entry goes: after a timeout nobody knows whether the row changed, and
  // dropping an entry that was still right costs one load.
  const Position position = wrote ? wrote->position : Position{};
  (void)co_await forget(feature, std::move(key), position, wrote ? "write" : "failed write");
  if (!wrote) {
    feature->counters.write_errors.add();
    co_return std::unexpected(std::move(wrote.error()));
  }
  WriteResult result;
  result.rows = wrote->rows;
  result.existed = wrote->rows > 0;
  co_return result;
}

Task<Result<WriteResult>> CacheCore::MissPath::plain_write(Feature* feature, std::string key,
                                                           std::optional<std::string> value, Duration ttl) {
  const std::string name = name_of(*feature, key);
  feature->counters.writes.add();
  WriteResult result;
  if (!value) {
    L2Marker marker;
    Result<bool> gone = co_await parts_.l2->invalidate(name, marker);
    if (!gone) {
      feature->counters.write_errors.add();
      co_return std::unexpected(std::move(gone.error()));
    }
    result.existed = *gone;
    result.rows = *gone ? 1 : 0;
  } else {
    L2Entry entry;
    entry.value = std::move(*value);
    entry.ttl_left = ttl;
    Result<void> stored = co_await parts_.l2->put(name, std::move(entry));
    if (!stored) {
      feature->counters.write_errors.add();
      co_return std::unexpected(std::move(stored.error()));
    }
    result.rows = 1;
  }
  (void)flights_.fence(name);
  co_return result;
}

Task<Result<WriteResult>> CacheCore::MissPath::invalidate(Feature* feature, std::string key,
                                                          const char* cause) {
  const bool reached_l2 = co_await forget(feature, std::move(key), Position{}, cause);
  if (!reached_l2) {
    co_return fail(ErrorCode::kUnavailable,
                   "dropped on this node, but L2 did not answer; it is told as soon as it does, and until "
                   "then this node does "
                   "not read the key from it");
  }
  co_return WriteResult{};
}

Task<bool> CacheCore::MissPath::forget(Feature* feature, std::string key, Position position,
                                       const char* cause) {
  const std::string name = name_of(*feature, key);
  (void)flights_.fence(name);
  bool reached_l2 = true;
  if (parts_.l2 != nullptr) {
    L2Marker marker;
    marker.position = position;
    marker.hold = feature->policy().lease_ttl * 2;
    Result<bool> told = co_await parts_.l2->invalidate(name, marker);
    reached_l2 = told.has_value();
    if (!reached_l2) {
      owed_.add(name);
      owed.store(owed_.size(), std::memory_order_relaxed);
      schedule_repayment();
    }
    // Again: a load that began while L2 was being told may have read the old entry there.
    (void)flights_.fence(name);
  }
  (void)parts_.l1->erase(parts_.l1->hash(feature->id(), key), feature->id(), key, now_ms());
  if (parts_.observer != nullptr) {
    const KeyRef ref{feature->id(), key};
    parts_.observer->on_invalidate(ref, cause);
  }
  co_return reached_l2;
}

Task<Result<WriteResult>> CacheCore::MissPath::flush(std::optional<FeatureId> id) {
  const auto concerned = [id](const Flights::Flight& flight) { return !id || flight.feature == *id; };
  flights_.fence_if(concerned);
  bool reached_l2 = true;
  if (parts_.l2 != nullptr) {
    const std::string prefix = id ? feature(*id)->policy().name + ":" : std::string();
    Result<void> cleared = co_await parts_.l2->clear(prefix);
    reached_l2 = cleared.has_value();
    if (!reached_l2) {
      // A feature's keys are not known one by one: owe everything, which is safe and only costs misses.
      owed_.add_everything();
      schedule_repayment();
    }
    flights_.fence_if(concerned);
  }
  if (id) {
    parts_.l1->erase_feature(*id);
  } else {
    parts_.l1->clear();
  }
  if (!reached_l2) {
    co_return fail(ErrorCode::kUnavailable,
                   "dropped on this node, but L2 did not answer; it is cleared as soon as it does, and until "
                   "then this node "
                   "does not read from it");
  }
  co_return WriteResult{};
}

// ---- debts ----

void CacheCore::MissPath::schedule_repayment() {
  if (repaying_) return;
  repaying_ = true;
  parts_.home->schedule(parts_.home->now() + kRepayEvery, [this] { spawn(repay()); });
}

Task<void> CacheCore::MissPath::repay() {
  bool failed = false;
  if (owed_.owes_everything()) {
    const std::uint64_t generation = owed_.generation();
    Result<void> cleared = co_await parts_.l2->clear(std::string());
    failed = !cleared.has_value();
    if (!failed) owed_.settle_everything(generation);
  }
  while (!failed && !owed_.empty() && !owed_.owes_everything()) {
    const auto debts = owed_.some(kRepayBatch);
    for (const auto& debt : debts) {
      L2Marker marker;
      Result<bool> told = co_await parts_.l2->invalidate(debt.name, marker);
      if (!told) {
        failed = true;
        break;
      }
      owed_.settle(debt);
    }
  }
  owed.store(owed_.size(), std::memory_order_relaxed);
  repaying_ = false;
  if (!owed_.empty()) schedule_repayment();
}

}  // namespace candor
