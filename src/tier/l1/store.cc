#include "tier/l1/store.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <vector>

#include "base/assert.h"
#include "base/mutex.h"
#include "base/random.h"
#include "tier/l1/policy.h"
#include "tier/l1/shard.h"

namespace candor::l1 {

namespace {

// A shard's segments: enough of them that the partly filled ones at the ends of queues, and the one in
// reserve, are a small part.
constexpr std::size_t kSegmentsPerShard = 128;
constexpr std::size_t kSegmentBytesMin = std::size_t{16} << 10;  // holds four of the longest keys
constexpr std::size_t kSegmentBytesMax = std::size_t{1} << 20;
// Writers of different shards do not meet; policies see more with fewer shards. One for each 8 MiB.
constexpr std::size_t kBytesPerShard = std::size_t{8} << 20;

// How often a put looks for room elsewhere before it is rejected. Each time something has left, or the search
// ends.
constexpr int kRoomAttempts = 64;
// A large value's room is made in this many steps, so that it comes from all shards rather than from one.
constexpr std::size_t kRoomSteps = 16;

// The sweep passes over everything in half the promised period: the owner's calls may be late.
constexpr Millis kSweepPassMs = Store::kExpirySweepPeriodMs / 2;
constexpr Millis kFirstStepMs = 100;
// Compaction steps of one shard in one maintain(); the lock is free in between.
constexpr int kTidySteps = 4;
// Resident free segments kept for the next writer, for each shard: more goes back to the system.
constexpr std::size_t kSpareSegments = 1;

// One step of shrinking is this part of the store: with ten maintain() a second, an eighth of it a second.
constexpr std::size_t kShrinkSteps = 80;

constexpr unsigned kScanPositionBits = 50;
constexpr std::size_t kBatch = 32;  // lookups in flight in find_many: more than a core's outstanding misses

unsigned shards_for(const StoreOptions& options) {
  if (options.shards != 0) {
    CANDOR_ASSERT(std::has_single_bit(options.shards) && options.shards <= kShardsMax);
    return options.shards;
  }
  const std::size_t wanted = std::clamp<std::size_t>(options.memory_limit / kBytesPerShard, 1, kShardsMax);
  return static_cast<unsigned>(std::bit_floor(wanted));
}

std::size_t segment_bytes_for(std::size_t limit, unsigned shards) {
  const std::size_t wanted = std::max<std::size_t>(limit / (std::size_t{shards} * kSegmentsPerShard), 1);
  return std::bit_floor(std::clamp(wanted, kSegmentBytesMin, kSegmentBytesMax));
}

}  // namespace

class Store::Impl {
 public:
  Impl(const StoreOptions& options, const PolicyFactory& policy);

  void find_many(EpochDomain::Slot& reader, std::span<Lookup> lookups, Millis now) const;

  PutResult put(const PutRequest& request);
  PutResult update(KeyHash hash, FeatureId feature, std::string_view key, Millis now,
                   const std::function<Update(const EntryView*)>& decide);
  bool erase(KeyHash hash, FeatureId feature, std::string_view key, Millis now, unsigned* accesses);
  void erase_matching(bool all, FeatureId feature);
  void maintain(Millis now);
  void set_memory_limit(std::size_t bytes);
  std::uint64_t scan(std::uint64_t cursor, std::size_t count, Millis now,
                     const std::function<void(const Visited&)>& visit) const;
  StoreStats stats() const;
  FeatureUsage usage(FeatureId feature) const;
  std::size_t entry_cost(KeyHash hash, FeatureId feature, std::string_view key, Millis now) const;
  void check_invariants() const;

  [[nodiscard]] const HitPath& hit_path() const { return hit_path_; }

 private:
  [[nodiscard]] Shard& shard(std::uint64_t hash) const { return *shards_[hit_path_.shard_number(hash)]; }

  [[nodiscard]] EntryShape shape(std::string_view key, std::size_t value_bytes, const EntryMeta& meta) const {
    return shape_of(key.size(), value_bytes, meta, memory_.inline_value_max, memory_.inline_entry_max);
  }
  [[nodiscard]] static std::size_t block_bytes(std::size_t value_bytes) {
    return PageHeap::page_rounded(sizeof(ValueBlock) + value_bytes);
  }
  [[nodiscard]] bool is_too_large(std::string_view key, std::size_t value_bytes,
                                  const EntryShape& shape) const;
  // Lets the richest shard give room. False if it cannot.
  bool release_room(std::size_t bytes);
  bool charge_with_room(std::size_t bytes);
  ValueBlock* make_block(std::string_view value);  // the caller has charged it
  void drop_block(ValueBlock* block);
  PutResult refuse(const PutRequest& request, PutResult why);
  PutResult put_entry(const PutRequest& request);
  void note_stored(const PutRequest& request);
  void note_erased(KeyHash hash, FeatureId feature);
  void give_back_withheld();
  void withhold_unused();
  void shrink();

  AccessLog accesses_;
  HitPath hit_path_;
  std::size_t features_max_;
  StoreMemory memory_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::size_t fixed_bytes_ = 0;  // held by an empty store

  // Limits below the first one: the difference is charged like anything else, so that no writer can overlook
  // it.
  std::atomic<std::size_t> wanted_limit_;
  std::atomic<std::size_t> withheld_{0};

  Mutex erase_mutex_;  // one erase_feature() or clear() at a time
  Mutex maintain_mutex_;
  Millis swept_at_ CANDOR_GUARDED_BY(maintain_mutex_) = 0;
  std::uint32_t sweep_next_ CANDOR_GUARDED_BY(maintain_mutex_) = 0;
};

Store::Impl::Impl(const StoreOptions& options, const PolicyFactory& policy)
    : accesses_(options.features_max, options.access_stripes, options.stripe_accesses),
      hit_path_(options.hash_seed, shards_for(options)),
      features_max_(options.features_max),
      memory_(options.memory_limit, segment_bytes_for(options.memory_limit, hit_path_.shard_mask + 1),
              hit_path_.shard_mask + 1),
      wanted_limit_(options.memory_limit) {
  hit_path_.accesses = &accesses_;
  memory_.evicted = options.evicted;
  hit_path_.unit_shift = memory_.arena.unit_shift();
  hit_path_.arena_base = memory_.arena.at(1) - (std::size_t{1} << hit_path_.unit_shift);
  memory_.budget.charge(sizeof(Impl) + memory_.arena.overhead_bytes() +
                        memory_.arena.segment_count() * sizeof(SegmentInfo) + accesses_.memory_bytes() +
                        options.reserved_bytes);
  for (unsigned i = 0; i <= hit_path_.shard_mask; ++i) {
    shards_.push_back(std::make_unique<Shard>(
        memory_, hit_path_.views[i], policy(mix64(options.hash_seed + i)), i, hit_path_.seed, features_max_));
  }
  fixed_bytes_ = memory_.budget.used();
}

// --- reading
// -----------------------------------------------------------------------------------------------------------

void Store::Impl::find_many(EpochDomain::Slot& reader, std::span<Lookup> lookups, Millis now) const {
  const Bucket* buckets[kBatch];
  while (!lookups.empty()) {
    const std::span<Lookup> batch = lookups.first(std::min(lookups.size(), kBatch));
    lookups = lookups.subspan(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::uint64_t hash = batch[i].hash.value;
      buckets[i] = &hit_path_.view_of(hash).table.load(std::memory_order_acquire).home(hash);
      __builtin_prefetch(buckets[i]);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      TagMatches matches(*buckets[i], tag_of_hash(batch[i].hash.value));
      if (!matches.any()) continue;
      const std::uint32_t offset = buckets[i]->offsets[matches.pop()].load(std::memory_order_acquire);
      if (offset == 0) continue;
      const std::byte* entry = hit_path_.entry_at(offset).at();
      __builtin_prefetch(entry);
      hit_path_.view_of(batch[i].hash.value).prefetch_rest(entry);
    }
    for (Lookup& lookup : batch) {
      lookup.found =
          hit_path_.find<true>(reader, lookup.hash.value, lookup.feature, lookup.key, now, &lookup.view);
      hit_path_.note_read(reader, lookup.hash.value, lookup.feature,
                          lookup.found ? access_bytes(lookup.key.size(), lookup.view.value.size()) : 0);
    }
  }
}

// --- writing
// -----------------------------------------------------------------------------------------------------------

bool Store::Impl::is_too_large(std::string_view key, std::size_t value_bytes, const EntryShape& shape) const {
  if (key.size() > kKeyBytesMax || value_bytes > kValueBytesMax) return true;
  const std::size_t least = fixed_bytes_ + memory_.reserve_bytes + memory_.arena.segment_bytes();
  return least + (shape.indirect ? block_bytes(value_bytes) : 0) > memory_.budget.limit();
}

bool Store::Impl::release_room(std::size_t bytes) {
  Shard& richest = **std::max_element(shards_.begin(), shards_.end(), [](const auto& a, const auto& b) {
    return a->footprint() < b->footprint();
  });
  const MutexLock lock(richest.mutex);
  return richest.release_room(bytes);
}

bool Store::Impl::charge_with_room(std::size_t bytes) {
  const std::size_t step = std::max(bytes / kRoomSteps, memory_.arena.segment_bytes());
  for (int attempt = 0; attempt < kRoomAttempts; ++attempt) {
    if (memory_.budget.try_charge(bytes, memory_.reserve_bytes)) return true;
    memory_.arena.trim(0);
    if (memory_.budget.try_charge(bytes, memory_.reserve_bytes)) return true;
    if (!release_room(step)) return false;
  }
  return false;
}

ValueBlock* Store::Impl::make_block(std::string_view value) {
  const std::size_t bytes = block_bytes(value.size());
  void* pages = memory_.pages.allocate(bytes);
  if (pages == nullptr) {
    memory_.budget.release(bytes);
    return nullptr;
  }
  auto* block = new (pages) ValueBlock;
  block->mapped_bytes = bytes;
  block->value_bytes = value.size();
  std::memcpy(block->bytes(), value.data(), value.size());
  return block;
}

void Store::Impl::drop_block(ValueBlock* block) {
  if (block == nullptr) return;
  const std::size_t bytes = block->mapped_bytes;
  memory_.pages.free(block, bytes);
  memory_.budget.release(bytes);
}

Store::PutResult Store::Impl::refuse(const PutRequest& request, PutResult why) {
  Shard& home = shard(request.hash.value);
  const MutexLock lock(home.mutex);
  home.count_rejection();
  home.erase(request.hash.value, request.feature, request.key, request.now);
  return why;
}

void Store::Impl::note_stored(const PutRequest& request) {
  if (!accesses_.watches(request.hash.value, request.feature)) return;
  Access access;
  access.hash = request.hash.value;
  access.feature = request.feature;
  access.bytes = access_bytes(request.key.size(), request.value.size());
  access.expires_at = request.meta.expires_at;
  access.kind = Access::Kind::kStored;
  accesses_.record(shard_of_hash(access.hash), access);
}

void Store::Impl::note_erased(KeyHash hash, FeatureId feature) {
  if (!accesses_.watches(hash.value, feature)) return;
  Access access;
  access.hash = hash.value;
  access.feature = feature;
  access.kind = Access::Kind::kErased;
  accesses_.record(shard_of_hash(hash.value), access);
}

Store::PutResult Store::Impl::put(const PutRequest& request) {
  const PutResult result = put_entry(request);
  if (result == PutResult::kStored) note_stored(request);
  return result;
}

Store::PutResult Store::Impl::put_entry(const PutRequest& request) {
  CANDOR_ASSERT(request.feature.value < features_max_);
  const EntryShape entry_shape = shape(request.key, request.value.size(), request.meta);
  if (is_too_large(request.key, request.value.size(), entry_shape))
    return refuse(request, PutResult::kTooLarge);
  ValueBlock* block = nullptr;
  if (entry_shape.indirect) {  // copied before the lock is taken: 64 MiB take 10 ms
    if (!charge_with_room(block_bytes(request.value.size()))) return refuse(request, PutResult::kNoRoom);
    block = make_block(request.value);
    if (block == nullptr) return refuse(request, PutResult::kNoRoom);
  }
  Shard& home = shard(request.hash.value);
  for (int attempt = 0; attempt < kRoomAttempts; ++attempt) {
    {
      const MutexLock lock(home.mutex);
      const Shard::PutOutcome outcome = home.put(request, entry_shape, block);
      if (outcome == Shard::PutOutcome::kStored) return PutResult::kStored;
      if (outcome == Shard::PutOutcome::kConditionFailed) {
        drop_block(block);
        return PutResult::kConditionFailed;
      }
    }
    if (!release_room(memory_.arena.segment_bytes())) break;
  }
  drop_block(block);
  return refuse(request, PutResult::kNoRoom);
}

Store::PutResult Store::Impl::update(KeyHash hash, FeatureId feature, std::string_view key, Millis now,
                                     const std::function<Update(const EntryView*)>& decide) {
  CANDOR_ASSERT(feature.value < features_max_);
  Shard& home = shard(hash.value);
  std::size_t credit = 0;  // charged outside of the lock for a block
  PutResult result = PutResult::kNoRoom;
  PutRequest request{.hash = hash, .feature = feature, .key = key, .now = now};
  for (int attempt = 0; attempt < kRoomAttempts; ++attempt) {
    std::size_t wanted = 0;
    {
      const MutexLock lock(home.mutex);
      const Shard::Located at = home.locate(hash.value, feature, key);
      EntryView current;
      const bool present = at.found && !home.entry_at(at.offset).is_expired(at.head, now);
      if (present) home.entry_at(at.offset).view(at.head, &current);
      const Update update = decide(present ? &current : nullptr);
      if (update.action == Update::Action::kKeep) {
        result = PutResult::kConditionFailed;
        break;
      }
      if (update.action == Update::Action::kErase) {
        note_erased(hash, feature);
        home.erase(hash.value, feature, key, now);
        result = PutResult::kStored;
        break;
      }
      const EntryShape entry_shape = shape(key, update.value.size(), update.meta);
      if (is_too_large(key, update.value.size(), entry_shape)) {
        result = PutResult::kTooLarge;
        break;
      }
      ValueBlock* block = nullptr;
      if (entry_shape.indirect) {
        const std::size_t bytes = block_bytes(update.value.size());
        if (credit >= bytes) {
          credit -= bytes;
          block = make_block(update.value);
        } else if (memory_.budget.try_charge(bytes, memory_.reserve_bytes)) {
          block = make_block(update.value);
        }
        if (block == nullptr) wanted = bytes;
      }
      if (wanted == 0) {
        request.value = update.value;
        request.meta = update.meta;
        if (home.put(request, entry_shape, block) == Shard::PutOutcome::kStored) {
          note_stored(request);
          result = PutResult::kStored;
          break;
        }
        drop_block(block);
      }
    }
    if (wanted != 0) {
      if (!charge_with_room(wanted)) break;
      credit += wanted;
    } else if (!release_room(memory_.arena.segment_bytes())) {
      break;
    }
  }
  memory_.budget.release(credit);
  if (result == PutResult::kTooLarge || result == PutResult::kNoRoom) return refuse(request, result);
  return result;
}

bool Store::Impl::erase(KeyHash hash, FeatureId feature, std::string_view key, Millis now,
                        unsigned* accesses) {
  note_erased(hash, feature);
  Shard& home = shard(hash.value);
  const MutexLock lock(home.mutex);
  return home.erase(hash.value, feature, key, now, accesses);
}

void Store::Impl::erase_matching(bool all, FeatureId feature) {
  const MutexLock one_at_a_time(erase_mutex_);
  accesses_.record_erased(all ? nullptr : &feature);
  for (const auto& shard : shards_) {
    const MutexLock lock(shard->mutex);
    shard->begin_erase(all, feature);
  }
  for (std::uint32_t segment = 0; segment < memory_.arena.segment_count(); ++segment) {
    const std::uint32_t owner = memory_.segments[segment].owner.load(std::memory_order_relaxed);
    if (owner == kNoOwner) continue;
    const MutexLock lock(shards_[owner]->mutex);
    shards_[owner]->sweep_erased(segment);
  }
  for (const auto& shard : shards_) {
    const MutexLock lock(shard->mutex);
    shard->end_erase();
  }
}

void Store::Impl::set_memory_limit(std::size_t bytes) {
  const std::size_t full = memory_.budget.limit();
  const std::size_t least = std::min(full, fixed_bytes_ + full / kMemoryLimitPart);
  const std::size_t wanted = std::clamp(bytes, least, full);
  wanted_limit_.store(wanted, std::memory_order_relaxed);
  give_back_withheld();
  withhold_unused();
}

// Room that nobody holds goes at once: no entry has to leave for it, and nobody may fill it meanwhile.
void Store::Impl::withhold_unused() {
  const std::size_t piece = memory_.arena.segment_bytes();
  const std::size_t wanted = memory_.budget.limit() - wanted_limit_.load(std::memory_order_relaxed);
  while (withheld_.load(std::memory_order_relaxed) + piece <= wanted &&
         memory_.budget.try_charge(piece, memory_.reserve_bytes))
    withheld_.fetch_add(piece, std::memory_order_relaxed);
}

void Store::Impl::give_back_withheld() {
  const std::size_t wanted = memory_.budget.limit() - wanted_limit_.load(std::memory_order_relaxed);
  std::size_t withheld = withheld_.load(std::memory_order_relaxed);
  while (withheld > wanted) {
    if (!withheld_.compare_exchange_weak(withheld, wanted, std::memory_order_relaxed)) continue;
    memory_.budget.release(withheld - wanted);
    return;
  }
}

// One step: entries leave, and what they held is withheld before somebody else takes it.
void Store::Impl::shrink() {
  const std::size_t full = memory_.budget.limit();
  const std::size_t step = std::max(full / kShrinkSteps, memory_.arena.segment_bytes());
  for (std::size_t done = 0; done < step;) {
    const std::size_t withheld = withheld_.load(std::memory_order_relaxed);
    const std::size_t wanted = full - wanted_limit_.load(std::memory_order_relaxed);
    if (withheld >= wanted) return;
    const std::size_t piece = std::min(wanted - withheld, memory_.arena.segment_bytes());
    if (!charge_with_room(piece)) return;  // beside the reserve: without that nothing could be moved
    withheld_.fetch_add(piece, std::memory_order_relaxed);
    done += piece;
  }
}

void Store::Impl::maintain(Millis now) {
  if (!maintain_mutex_.try_lock()) return;  // somebody is at it
  const std::uint32_t count = memory_.arena.segment_count();
  const Millis elapsed = std::clamp<Millis>(swept_at_ == 0 ? kFirstStepMs : now - swept_at_, 0, kSweepPassMs);
  swept_at_ = now;
  const auto steps = static_cast<std::uint32_t>((elapsed * count + kSweepPassMs - 1) / kSweepPassMs);
  for (std::uint32_t i = 0; i < steps; ++i, sweep_next_ = sweep_next_ + 1 < count ? sweep_next_ + 1 : 0) {
    const SegmentInfo& segment = memory_.segments[sweep_next_];
    const std::uint32_t owner = segment.owner.load(std::memory_order_relaxed);
    if (owner == kNoOwner || segment.min_expiry.load(std::memory_order_relaxed) > now) continue;
    const MutexLock lock(shards_[owner]->mutex);
    shards_[owner]->sweep_expired(sweep_next_, now);
  }
  for (const auto& shard : shards_) {
    for (int step = 0; step < kTidySteps; ++step) {
      const MutexLock lock(shard->mutex);
      if (!shard->tidy(now)) break;
    }
  }
  give_back_withheld();  // the limit may have risen while the last step shrank
  shrink();
  memory_.arena.trim(kSpareSegments * shards_.size());
  maintain_mutex_.unlock();
}

// --- looking at everything
// ---------------------------------------------------------------------------------------------

// A cursor is a shard and a position in the order of hashes, so it keeps its meaning when a table grows.
std::uint64_t Store::Impl::scan(std::uint64_t cursor, std::size_t count, Millis now,
                                const std::function<void(const Visited&)>& visit) const {
  EpochDomain& epochs = EpochDomain::instance();
  EpochDomain::Slot* slot = epochs.enter();
  constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << kScanPositionBits) - 1;
  std::uint64_t number = cursor >> kScanPositionBits;
  std::uint64_t position = cursor & kPositionMask;
  std::size_t visited = 0;
  // Empty buckets cost time as well: a call ends after looking at a few times what it was asked for.
  std::size_t looks = count * 4 + 64;
  while (number < shards_.size() && visited < count && looks != 0) {
    const IndexTable& table = *hit_path_.views[number].table.load(std::memory_order_acquire).table();
    const std::uint64_t i = bucket_of_hash(position, table.bucket_count());
    for (const auto& offset_in_slot : table.bucket(i).offsets) {
      const std::uint32_t offset = offset_in_slot.load(std::memory_order_acquire);
      if (offset == 0) continue;
      const EntryRef entry = hit_path_.entry_at(offset);
      const std::uint32_t head = entry.head();
      if (entry.is_expired(head, now)) continue;
      Visited seen{.feature = entry.feature(head), .key = entry.key(head)};
      seen.accesses = head & entry_bits::kAccess;
      entry.view(head, &seen.view);
      visit(seen);
      ++visited;
    }
    --looks;
    if (i + 1 == table.bucket_count()) {
      ++number;
      position = 0;
    } else {
      const auto past = static_cast<unsigned __int128>(i + 1) << kScanPositionBits;
      position = static_cast<std::uint64_t>((past + table.bucket_count() - 1) / table.bucket_count());
    }
  }
  EpochDomain::leave(slot);
  return number >= shards_.size() ? 0 : number << kScanPositionBits | position;
}

StoreStats Store::Impl::stats() const {
  StoreStats stats;
  for (const auto& shard : shards_) {
    const MutexLock lock(shard->mutex);
    shard->add_to(&stats);
  }
  const std::size_t withheld = withheld_.load(std::memory_order_relaxed);
  stats.bytes_used = memory_.budget.used() - std::min(memory_.budget.used(), withheld);
  stats.memory_limit = memory_.budget.limit() - withheld;
  return stats;
}

FeatureUsage Store::Impl::usage(FeatureId feature) const {
  CANDOR_ASSERT(feature.value < features_max_);
  FeatureUsage sum;
  for (const auto& shard : shards_) {
    const MutexLock lock(shard->mutex);
    const FeatureUsage& part = shard->usage(feature);
    sum.entries += part.entries;
    sum.bytes += part.bytes;
    sum.evictions += part.evictions;
    sum.expirations += part.expirations;
  }
  return sum;
}

std::size_t Store::Impl::entry_cost(KeyHash hash, FeatureId feature, std::string_view key, Millis now) const {
  Shard& home = shard(hash.value);
  const MutexLock lock(home.mutex);
  const Shard::Located entry = home.locate(hash.value, feature, key);
  if (!entry.found || home.entry_at(entry.offset).is_expired(entry.head, now)) return 0;
  return home.cost_of(entry.offset, entry.head) + home.index_share();
}

void Store::Impl::check_invariants() const {
  for (const auto& shard : shards_) {
    const MutexLock lock(shard->mutex);
    shard->check_invariants();
  }
  CANDOR_ASSERT(memory_.budget.used() <= memory_.budget.limit() || memory_.budget.used() <= fixed_bytes_);
}

// --- Store
// -------------------------------------------------------------------------------------------------------------

Store::Store(const StoreOptions& options)
    : Store(options, [kind = options.policy](std::uint64_t seed) { return make_policy(kind, seed); }) {}
Store::Store(const StoreOptions& options, const PolicyFactory& policy)
    : impl_(std::make_unique<Impl>(options, policy)), hit_path_(&impl_->hit_path()) {}
Store::~Store() = default;

void Store::find_many(const ReadGuard& guard, std::span<Lookup> lookups, Millis now) const {
  impl_->find_many(*guard.slot_, lookups, now);
}

Store::PutResult Store::put(const PutRequest& request) { return impl_->put(request); }

Store::PutResult Store::update(KeyHash hash, FeatureId feature, std::string_view key, Millis now,
                               const std::function<Update(const EntryView* current)>& decide) {
  return impl_->update(hash, feature, key, now, decide);
}

bool Store::erase(KeyHash hash, FeatureId feature, std::string_view key, Millis now, unsigned* accesses) {
  return impl_->erase(hash, feature, key, now, accesses);
}

void Store::erase_feature(FeatureId feature) { impl_->erase_matching(false, feature); }
void Store::clear() { impl_->erase_matching(true, FeatureId{}); }
void Store::maintain(Millis now) { impl_->maintain(now); }
void Store::set_memory_limit(std::size_t bytes) { impl_->set_memory_limit(bytes); }

std::uint64_t Store::scan(std::uint64_t cursor, std::size_t count, Millis now,
                          const std::function<void(const Visited&)>& visit) const {
  return impl_->scan(cursor, count, now, visit);
}

StoreStats Store::stats() const { return impl_->stats(); }
FeatureUsage Store::usage(FeatureId feature) const { return impl_->usage(feature); }

std::size_t Store::entry_cost(KeyHash hash, FeatureId feature, std::string_view key, Millis now) const {
  return impl_->entry_cost(hash, feature, key, now);
}

void Store::check_invariants() const { impl_->check_invariants(); }

}  // namespace candor::l1
