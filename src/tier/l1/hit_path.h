// What a reader touches, inlined into its callers: about 120 instructions stand between a key and its
// value, few enough that the processor has the next gets' trips to memory under way before this one is over.
//
// Reads need an epoch guard (epoch.h). What does not happen on a usual hit (buckets that overflow, tags that
// lie, long keys and values) is a call of find_slowly(), which begins again.
//
// Thread safety: any thread inside a guard. Writers change `views` under their shard's lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "tier/l1/access_log.h"
#include "tier/l1/entry.h"
#include "tier/l1/entry_view.h"
#include "tier/l1/epoch.h"
#include "tier/l1/hit_log.h"
#include "tier/l1/index.h"
#include "tier/l1/key_hash.h"

namespace candor::l1 {

// The part of a shard that readers touch; a line of its own, so that writers' bookkeeping does not disturb
// it.
struct alignas(64) ShardView {
  std::atomic<TableRef> table{TableRef{}};
  std::atomic<std::uint64_t> sample_mask{~std::uint64_t{0}};
  // Where the usual entry ends: an entry of 92 bytes begins at any word and touches a third line two times in
  // five. Asked for together with the first, it costs nothing; found out from the header, it costs another
  // trip to memory.
  std::atomic<std::uint32_t> usual_end{64};
  HitLog* hits = nullptr;

  // The lines behind an entry's first, as far as the usual entry reaches.
  void prefetch_rest(const std::byte* entry) const {
    __builtin_prefetch(entry + 64);
    __builtin_prefetch(entry + usual_end.load(std::memory_order_relaxed));
  }
};

struct HitPath {
  HitPath(std::uint64_t hash_seed, unsigned shards) : seed(hash_seed), shard_mask(shards - 1) {}

  std::byte* arena_base = nullptr;  // one unit before the arena: offsets begin at 1
  HashSeed seed;
  unsigned unit_shift = 0;
  unsigned shard_mask;
  AccessLog* accesses = nullptr;
  std::array<ShardView, kShardsMax> views;  // in place: one dependent load less

  [[nodiscard]] unsigned shard_number(std::uint64_t hash) const { return shard_of_hash(hash) & shard_mask; }
  [[nodiscard]] const ShardView& view_of(std::uint64_t hash) const { return views[shard_number(hash)]; }
  [[nodiscard]] EntryRef entry_at(std::uint32_t offset) const {
    return EntryRef(arena_base + (std::size_t{offset} << unit_shift));
  }

  // True and `out` filled when the key has an unexpired entry.
  template <bool kIsAccess>
  [[nodiscard]] [[gnu::always_inline]] bool find(EpochDomain::Slot& reader, std::uint64_t hash,
                                                 FeatureId feature, std::string_view key, Millis now,
                                                 EntryView* out) const {
    const ShardView& view = view_of(hash);
    const Bucket& bucket = view.table.load(std::memory_order_acquire).home(hash);
    TagMatches matches(bucket, tag_of_hash(hash));
    if (matches.any()) [[likely]] {
      const std::uint32_t offset = bucket.offsets[matches.pop()].load(std::memory_order_acquire);
      const EntryRef entry = entry_at(offset);
      if (offset != 0) [[likely]] {
        view.prefetch_rest(entry.at());
        const std::uint32_t head = entry.head();
        if (entry.matches_compact(head, EntryRef::identity(feature, key.size()), key)) [[likely]] {
          if (entry.is_expired_compact(head, now)) return false;
          entry.view_compact(head, key.size(), out);
          if constexpr (kIsAccess) count_access(view, reader, hash, entry, head);
          return true;
        }
      }
    } else if (bucket.overflow.load(std::memory_order_acquire) == 0) [[likely]] {
      return false;
    }
    // A view of its own: with the address of the caller's, every part of a view would have to be made and
    // stored on every hit, also those that the caller never looks at.
    EntryView rare;
    if (!find_slowly<kIsAccess>(reader, hash, feature, key, now, &rare)) return false;
    *out = rare;
    return true;
  }

  // A read as its caller sees it is over: told on, if the key is one of those that somebody follows. By
  // value: the address of a view would make every part of it be stored on every hit.
  [[gnu::always_inline]] void note_read(const EpochDomain::Slot& reader, std::uint64_t hash,
                                        FeatureId feature, std::uint32_t bytes) const {
    if (accesses->watches(hash, feature)) [[unlikely]]
      accesses->record_read(reader.index, hash, feature, bytes);
  }

  // The same for every case.
  template <bool kIsAccess>
  [[nodiscard]] bool find_slowly(EpochDomain::Slot& reader, std::uint64_t hash, FeatureId feature,
                                 std::string_view key, Millis now, EntryView* out) const;

 private:
  static void count_access(const ShardView& view, EpochDomain::Slot& reader, std::uint64_t hash,
                           EntryRef entry, std::uint32_t head) {
    entry.raise_access(head, &reader.scratch);
    if ((hash & view.sample_mask.load(std::memory_order_relaxed)) == 0) [[unlikely]] {
      view.hits->record(reader.index, hash);
    }
  }
};

extern template bool HitPath::find_slowly<true>(EpochDomain::Slot&, std::uint64_t, FeatureId,
                                                std::string_view, Millis, EntryView*) const;
extern template bool HitPath::find_slowly<false>(EpochDomain::Slot&, std::uint64_t, FeatureId,
                                                 std::string_view, Millis, EntryView*) const;

}  // namespace candor::l1
