#include "tier/l1/hit_path.h"

namespace candor::l1 {

template <bool kIsAccess>
bool HitPath::find_slowly(EpochDomain::Slot& reader, std::uint64_t hash, FeatureId feature,
                          std::string_view key, Millis now, EntryView* out) const {
  const ShardView& view = view_of(hash);
  const std::uint32_t identity = EntryRef::identity(feature, key.size());
  std::uint32_t head = 0;
  EntryRef entry(nullptr);
  const bool found =
      view.table.load(std::memory_order_acquire).table()->find(hash, [&](std::uint32_t offset) {
        entry = entry_at(offset);
        view.prefetch_rest(entry.at());
        head = entry.head();
        return entry.matches(head, identity, key);
      });
  if (!found || entry.is_expired(head, now)) return false;
  entry.view(head, out);
  if constexpr (kIsAccess) count_access(view, reader, hash, entry, head);
  return true;
}

template bool HitPath::find_slowly<true>(EpochDomain::Slot&, std::uint64_t, FeatureId, std::string_view,
                                         Millis, EntryView*) const;
template bool HitPath::find_slowly<false>(EpochDomain::Slot&, std::uint64_t, FeatureId, std::string_view,
                                          Millis, EntryView*) const;

}  // namespace candor::l1
