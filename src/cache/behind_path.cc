// Write-behind where it meets readers and tiers: what is pending is shown to this node's readers, and nothing
// that the origin still says takes its place before the origin has it. See docs/write-behind.md.
//
//   SET a=2: in the log            reader A, before it: load begins         batch: UPDATE a=2 commits
//   flights of a are fenced        …                                        L2 is told, its marker stays
//   pending, in L1; answered       A's row a=1 arrives: A gets it, not kept L1 forgets a
//   reader B: a=2                                                           no longer pending: the next
//   reader loads a=2
#include <algorithm>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "version/mutant.h"

namespace candor {

using write_behind::RecordKind;
using write_behind::WriteBehind;
using write_behind::WriteMode;

const write_behind::Queue::Pending* CacheCore::MissPath::pending(const Feature& feature,
                                                                 std::string_view key) {
  return feature.behind() == nullptr ? nullptr : feature.behind()->find(key);
}

// `name` is `feature:key`.
bool CacheCore::MissPath::is_pending(const Feature& feature, std::string_view name) {
  return feature.behind() != nullptr &&
         pending(feature, name.substr(feature.policy().name.size() + 1)) != nullptr;
}

void CacheCore::MissPath::use_write_behind(Feature* feature, const WriteBehind::Options& options,
                                           std::unique_ptr<write_behind::Log> log,
                                           write_behind::Log::Recovered recovered, BlockingPool* pool) {
  WriteBehind::Parts parts;
  parts.feature = feature->policy().name;
  parts.home = parts_.home;
  parts.clock = parts_.clock;
  parts.pool = pool;
  parts.origin = feature->origin();
  parts.seed = mix64(parts_.seed + 200 + feature->id().value);
  parts.tiers.show = [this, feature](const std::string& key, const write_behind::Queue::Pending& write) {
    show_pending(*feature, key, write);
  };
  parts.tiers.tell = [this, feature](std::string key, ChangeId change) {
    if (change.value != 0) feature->counters.changes_made.fetch_add(1, std::memory_order_relaxed);
    return forget(feature, std::move(key), change, "write");
  };
  feature->set_behind(
      std::make_shared<WriteBehind>(std::move(parts), options, std::move(log), std::move(recovered)));
}

// Durable, and about to be acknowledged.
void CacheCore::MissPath::show_pending(const Feature& feature, const std::string& key,
                                       const write_behind::Queue::Pending& write) {
  (void)flights_.fence(name_of(feature, key));
  ++feature.forgets;
  const l1::KeyHash hash = parts_.l1->hash(feature.id(), key);
  (void)parts_.l1->erase(hash, feature.id(), key, now_ms());
  forget_on_disk(feature, key);
  const bool is_gone = write.kind == RecordKind::kErase;
  const l1::Millis now = now_ms();
  const Duration ttl = jittered_ttl(feature.policy(), is_gone, random_);
  const EntryLifetime life = lifetime_of(feature.policy(), now, now, ttl);
  l1::Store::PutRequest put;
  put.hash = hash;
  put.feature = feature.id();
  put.key = key;
  if (!is_gone) put.value = *write.value;
  // No stamp: it includes no change that is heard of, so that any drops it, and the next reader is given it
  // from the queue.
  put.meta.user_flags = kPendingWrite;
  put.meta.loaded_at = life.loaded_at;
  put.meta.expires_at = life.expires_at;
  put.meta.negative = is_gone;
  if (is_gone && ttl > Duration::zero()) put.meta.expires_at = now + std::max<l1::Millis>(1, ttl / 1ms);
  put.now = now;
  (void)parts_.l1->put(put);
  if (parts_.observer != nullptr) parts_.observer->on_invalidate(KeyRef{feature.id(), key}, "write");
}

void CacheCore::MissPath::answer_pending(Feature& feature, std::string_view key, Waiter& waiter,
                                         const write_behind::Queue::Pending& write) {
  feature.counters.hits_l1.add();
  ReadResult result;
  if (write.kind == RecordKind::kStore) result.value = write.value;
  result.tier = Tier::kL1;
  result.ttl_left = feature.policy().ttl;
  result.is_pending = true;
  answer(feature, key, waiter, std::move(result));
}

// Of a key with a pending write. Levels that tiers may answer, and bounded ones, get it: nothing is newer.
// Who wants the origin's own word gets it after the origin has the write.
Task<void> CacheCore::MissPath::read_behind(Feature* feature, std::string key, ReadOptions options,
                                            std::shared_ptr<Waiter> waiter, MonoTime deadline) {
  const Consistency level = options.use_feature_level ? feature->policy().consistency : options.level;
  if (tiers_may_answer(level) || needs_proof(level)) {
    answer_pending(*feature, key, *waiter, *pending(*feature, key));
    co_return;
  }
  Result<void> settled = co_await feature->behind()->settle(deadline);
  if (!settled) {
    answer(*feature, key, *waiter, std::unexpected(std::move(settled.error())));
    co_return;
  }
  read_past_pending(*feature, std::move(key), options, std::move(waiter), deadline);
}

Task<Result<WriteResult>> CacheCore::MissPath::write_behind_of(Feature* feature, std::string key,
                                                               std::string value, Change change) {
  const bool is_erase = change == Change::kErase;
  WriteResult result;
  result.rows = 1;
  // Nobody asked the origin whether the row is there; what is pending is known.
  const auto* before = pending(*feature, key);
  result.existed = before == nullptr || before->kind == RecordKind::kStore;
  if (is_erase && !result.existed) result.rows = 0;
  const RecordKind kind = is_erase ? RecordKind::kErase : RecordKind::kStore;
  Result<void> written = co_await feature->behind()->write(std::move(key), kind, std::move(value));
  if (!written) {
    feature->counters.write_errors.add();
    co_return std::unexpected(std::move(written.error()));
  }
  co_return result;
}

// ---- CacheCore ----

void CacheCore::use_write_behind(FeatureId feature, const WriteBehind::Options& options,
                                 std::unique_ptr<write_behind::Log> log,
                                 write_behind::Log::Recovered recovered, BlockingPool* pool) {
  miss_->use_write_behind(miss_->feature(feature), options, std::move(log), std::move(recovered), pool);
}

write_behind::WriteBehind* CacheCore::write_behind(FeatureId feature) const {
  return features_[feature.value]->behind();
}

Result<void> CacheCore::set_write_mode(FeatureId id, WriteMode mode, Duration window) {
  const Feature& feature = *features_[id.value];
  const std::string& name = feature.policy().name;
  if (feature.behind() == nullptr)
    return fail(ErrorCode::kConfiguration, "feature '" + name + "' has no write-behind log");
  const Consistency level = feature.policy().consistency;
  if (mode == WriteMode::kBehind && (level == Consistency::kStrong || level == Consistency::kOrigin)) {
    return fail(ErrorCode::kConfiguration,
                "feature '" + name + "' is read as " + std::string(consistency_name(level)) +
                    ": its readers on other nodes would not see acknowledged writes; writes go through");
  }
  feature.behind()->set_mode(mode, window);
  return {};
}

Task<Result<void>> CacheCore::settle_writes(std::string origin, MonoTime deadline) const {
  for (const auto& feature : features_) {
    if (feature->behind() == nullptr || feature->trust() == nullptr || feature->trust()->name != origin)
      continue;
    Result<void> settled = co_await feature->behind()->settle(deadline);
    if (!settled) co_return settled;
  }
  co_return Result<void>{};
}

}  // namespace candor
