// The write path: origin, then L2, then L1, then the answer. And the debts to an L2 that did not answer.
#include "cache/miss_path.h"
#include "version/mutant.h"

namespace candor {

namespace {

// How often debts to L2 are tried again, and how many keys go in one attempt. L2 has its own breaker and
// backoff; this only decides how soon after its return the debts are paid.
constexpr Duration kRepayEvery = 100ms;
constexpr std::size_t kRepayBatch = 256;

// How long a statement may still commit after its caller gave up: the origins' own limit on a statement (30
// s, OriginOptions::statement_timeout), and a second for the news to travel.
constexpr Duration kUnknownOutcomeLasts = 31s;

std::unexpected<Error> not_in_l2(const Feature& feature) {
  return fail(
      ErrorCode::kUnavailable,
      feature.origin() != nullptr
          ? "dropped on this node, but L2 did not answer; it is told as soon as it does, and until then this "
            "node does not read the key from it"
          : "L2 did not answer, and it is the home of this plain feature: nothing was dropped; retry");
}

}  // namespace

std::unexpected<Error> write_failed(Error error) {
  if (error.code == ErrorCode::kTimeout) {
    error.code = ErrorCode::kUnknownOutcome;
    return std::unexpected(std::move(error));
  }
  return nothing_written(std::move(error));
}

std::unexpected<Error> nothing_written(Error error) {
  const bool is_down = error.code == ErrorCode::kOriginDown || error.code == ErrorCode::kUnavailable ||
                       error.code == ErrorCode::kTimeout;
  if (is_down) {
    error.code = ErrorCode::kOriginDown;
    error.message.insert(0, "not written: ");
  }
  return std::unexpected(std::move(error));
}

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
  write_behind::WriteBehind* const behind = feature->behind();
  if (behind == nullptr) co_return co_await write_through(feature, std::move(key), std::move(value), change);
  if (behind->mode() == write_behind::WriteMode::kBehind)
    co_return co_await write_behind_of(feature, std::move(key), std::move(value), change);
  // The mode has changed: what is pending of the key comes first.
  if (behind->holds(key)) {
    Result<void> settled = co_await behind->settle(parts_.home->now() + feature->policy().hard_timeout);
    if (!settled) {
      feature->counters.write_errors.add();
      co_return nothing_written(std::move(settled.error()));
    }
  }
  behind->begin_through();
  Result<WriteResult> result = co_await write_through(feature, std::move(key), std::move(value), change);
  behind->end_through();
  co_return result;
}

Task<Result<WriteResult>> CacheCore::MissPath::write_through(Feature* feature, std::string key,
                                                             std::string value, Change change) {
  OriginFeature* origin = feature->origin();
  const MonoTime deadline = parts_.home->now() + feature->policy().hard_timeout;
  Result<OriginWrite> wrote;
  if (change == Change::kStore) {
    wrote = co_await origin->store(key, std::move(value), deadline);
  } else {
    wrote = co_await origin->erase(key, deadline);
  }

  // Whatever the origin said, the entry goes: after a timeout nobody knows whether the row changed, and
  // dropping an entry that was still right costs one load.
  const ChangeId made = wrote ? wrote->change : ChangeId{};
  if (!wrote && wrote.error().code == ErrorCode::kTimeout) doubt(feature, key);
  if (!wrote && mutant(Mutant::kErrorKeepsEntry)) co_return write_failed(std::move(wrote.error()));
  std::string name = name_of(*feature, key);
  const bool in_l2 = co_await forget(feature, std::move(key), made, wrote ? "write" : "failed write");
  if (!wrote) {
    feature->counters.write_errors.add();
    co_return write_failed(std::move(wrote.error()));
  }
  if (wrote->rows > 0) feature->counters.changes_made.fetch_add(1, std::memory_order_relaxed);
  if (feature->policy().synchronous) co_await wait_for_region(feature, std::move(name), in_l2);
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
      co_return write_failed(std::move(gone.error()));
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
      co_return write_failed(std::move(stored.error()));
    }
    result.rows = 1;
  }
  (void)flights_.fence(name);
  co_return result;
}

// Until the statement can no longer commit, nothing that is loaded of the key is kept; then it is dropped
// once more.
void CacheCore::MissPath::doubt(Feature* feature, const std::string& key) {
  const MonoTime until = parts_.home->now() + kUnknownOutcomeLasts;
  unsettled_.add(name_of(*feature, key), until);
  parts_.home->schedule(until, [this, feature, key] {
    if (unsettled_.settle(name_of(*feature, key), parts_.home->now())) spawn(drop_again(feature, key));
  });
}

Task<void> CacheCore::MissPath::drop_again(Feature* feature, std::string key) {
  (void)co_await forget(feature, std::move(key), ChangeId{}, "write of unknown outcome");
}

Task<Result<WriteResult>> CacheCore::MissPath::invalidate(Feature* feature, std::string key,
                                                          const char* cause) {
  const bool reached_l2 = co_await forget(feature, std::move(key), ChangeId{}, cause);
  if (!reached_l2) co_return not_in_l2(*feature);
  co_return WriteResult{};
}

Task<bool> CacheCore::MissPath::forget(Feature* feature, std::string key, ChangeId change,
                                       const char* cause) {
  const std::string name = name_of(*feature, key);
  // Before L2 is asked: from now on no load that lacks the change is stored here, wherever it comes from.
  KeyMarkers* markers = markers_of(*feature);
  if (markers != nullptr && change.value != 0) markers->add_change(name, change, Position{});
  if (change.value == 0) ++feature->forgets;
  (void)flights_.fence(name);
  bool reached_l2 = true;
  if (l2_of(*feature) != nullptr) {
    L2Marker marker;
    marker.change = change;
    marker.hold = feature->policy().lease_ttl * 2;
    Result<bool> told = co_await parts_.l2->invalidate(name, marker);
    reached_l2 = told.has_value();
    if (!reached_l2 && feature->origin() != nullptr) {
      owed_.add(name);
      schedule_repayment();
    }
    // Again: a load that began while L2 was being told may have read the old entry there.
    (void)flights_.fence(name);
    if (change.value == 0) ++feature->forgets;
  }
  (void)parts_.l1->erase(parts_.l1->hash(feature->id(), key), feature->id(), key, now_ms());
  forget_on_disk(*feature, key);
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
    if (!reached_l2) owe_features(id);
    flights_.fence_if(concerned);
  }
  if (id) {
    parts_.l1->erase_feature(*id);
  } else {
    parts_.l1->clear();
  }
  forget_on_disk(id);
  if (parts_.observer != nullptr) parts_.observer->on_invalidate_feature(id);
  if (!reached_l2) {
    co_return fail(
        ErrorCode::kUnavailable,
        "dropped on this node, but L2 did not answer; features with an origin are cleared there as soon as "
        "it "
        "does and are not read from it until then; plain features are not: repeat the command for them");
  }
  co_return WriteResult{};
}

// Entries of L2 live for their feature's ttl. Twice of it, because a reload may have shortened the ttl since.
Duration CacheCore::MissPath::tag_hold(std::string_view tag) const {
  constexpr Duration kLeast = 10min;
  Duration hold = kLeast;
  for (const auto& feature : features_) {
    const FeatureTags* tags = feature->tags();
    if (tags != nullptr && (tags->is_of_all(tag) || tags->is_of_some(tag)))
      hold = std::max(hold, 2 * feature->policy().ttl);
  }
  return hold;
}

// L2 first: what this node forgets it must not find there again.
Task<Result<WriteResult>> CacheCore::MissPath::invalidate_tag(std::string tag) {
  bool reached_l2 = true;
  if (parts_.l2 != nullptr) {
    const Duration hold = tag_hold(tag);
    Result<void> told = co_await parts_.l2->invalidate_tag(tag, hold);
    reached_l2 = told.has_value();
  }
  // Without an answer the features are owed as a whole: dearer, and rare.
  if (!reached_l2) {
    for (const auto& feature : features_) {
      const FeatureTags* tags = feature->tags();
      if (tags != nullptr && (tags->is_of_all(tag) || tags->is_of_some(tag))) owe_features(feature->id());
    }
  }
  forget_tag(tag);
  if (!reached_l2) {
    co_return fail(
        ErrorCode::kUnavailable,
        "dropped on this node, but L2 did not answer; the tag's features are cleared there as soon "
        "as it does, and this node does not read them from it until then");
  }
  co_return WriteResult{};
}

// ---- debts ----

void CacheCore::MissPath::owe_features(std::optional<FeatureId> only) {
  for (const auto& feature : features_) {
    if (feature->origin() == nullptr || (only && feature->id() != *only)) continue;
    owed_.add_feature(feature->policy().name + ":");
  }
  if (!owed_.empty()) schedule_repayment();
}

void CacheCore::MissPath::schedule_repayment() {
  owed.store(owed_.size(), std::memory_order_relaxed);
  if (repaying_ || is_closing_) return;
  repaying_ = true;
  parts_.home->schedule(parts_.home->now() + kRepayEvery, [this] { spawn(repay()); });
}

Task<void> CacheCore::MissPath::repay() {
  bool paid = true;
  const auto features = owed_.features();
  for (const auto& debt : features) {
    Result<void> cleared = co_await parts_.l2->clear(debt.name);
    paid = cleared.has_value();
    if (!paid) break;
    owed_.settle_feature(debt);
  }
  while (paid) {
    auto debts = owed_.some_keys(kRepayBatch);
    if (debts.empty()) break;
    paid = co_await pay(std::move(debts));
  }
  repaying_ = false;
  owed.store(owed_.size(), std::memory_order_relaxed);
  if (!owed_.empty()) schedule_repayment();
}

// Sends the debts together, in one turn, and waits for all. True if L2 took every one.
Task<bool> CacheCore::MissPath::pay(std::vector<OwedInvalidations::Debt> debts) {
  struct Batch {
    std::size_t left;
    bool paid = true;
    OneShot<bool> done;
  };
  auto batch = std::make_shared<Batch>(Batch{debts.size(), true, {}});
  for (const auto& debt : debts) {
    L2Marker marker;
    spawn(parts_.l2->invalidate(debt.name, marker), [this, batch, debt](const Result<bool>& told) {
      if (told) owed_.settle(debt);
      batch->paid = batch->paid && told.has_value();
      if (--batch->left == 0) (void)batch->done.set(batch->paid);
    });
  }
  auto done = batch->done;
  co_return co_await done;
}

}  // namespace candor
