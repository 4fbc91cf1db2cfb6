// Suspects after a gap: what L1 holds from before it is confirmed by the version of its row instead of loaded
// anew, where that is right and pays. See docs/read-path.md and decision 0005 ("Suspect entries").
//
// Why it is right. The entry's load saw every change up to its stamp's bound. The origin says, in one
// snapshot of the same history: the row's version is not above that bound. So the row is what that load read,
// as of a snapshot that was taken after we asked: the value is as good as that of a load that began when we
// asked, and includes whatever had been visible to everybody before.
//
//   we ask: is 7's row still of version ≤ 40?      writer: UPDATE 7 commits as 41, is applied here
//   …                                              the entry goes, its marker stays, the flight is fenced
//   "yes", from a snapshot before 41               → there is nothing left to confirm, and nothing may be
//   stored
#include <algorithm>
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "version/mutant.h"

namespace candor {

void CacheCore::MissPath::close() {
  is_closing_ = true;
  for (const auto& origin : watched_) origin->repair->halt();
  if (reconciler_ != nullptr) reconciler_->halt();
  for (const auto& feature : features_)
    if (feature->behind() != nullptr) feature->behind()->close();
}

void CacheCore::MissPath::set_repair_rate(std::string_view origin, unsigned keys_per_second) {
  if (Watched* source = watched(origin)) source->repair->set_rate(keys_per_second);
}

std::optional<RepairStatus> CacheCore::MissPath::repair(std::string_view origin) const {
  const Watched* source = watched(origin);
  if (source == nullptr) return std::nullopt;
  return source->repair->status();
}

// Stamps of loads from before this node knew which history the origin is in may be of another one.
void CacheCore::MissPath::note_history(std::string_view origin) {
  const Watched* source = watched(origin);
  if (source == nullptr || mutant(Mutant::kRepairOtherHistory)) return;
  for (const auto& feature : features_) {
    if (feature->trust() == source->trust)
      feature->confirmable_since = std::max(feature->confirmable_since, now_ms() + 1);
  }
}

std::optional<HeldRow> CacheCore::MissPath::held_row(const Feature& feature,
                                                     const l1::EntryMeta& meta) const {
  if (!feature.is_heard() || !meta.stamp.is_known() || meta.loaded_at < feature.confirmable_since)
    return std::nullopt;
  HeldRow held;
  held.stamp = meta.stamp;
  held.history.value = feature.trust()->incarnation.load(std::memory_order_relaxed);
  held.negative = meta.negative;
  if (held.history.value == 0) return std::nullopt;
  return held;
}

std::optional<l1::EntryMeta> CacheCore::MissPath::confirmable(const Feature& feature, std::string_view key,
                                                              bool repairs) const {
  // Before the floor has settled a confirmed entry would stay suspect.
  const l1::Millis floor = feature.floor_ms.load(std::memory_order_relaxed);
  if (floor == kNoFloor || floor == kFloorUnsettled || !feature.origin()->can_confirm()) return std::nullopt;
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  const l1::Millis now = now_ms();
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now, &view) ||
      !feature.is_suspect(view.meta.loaded_at) || feature.is_dropped(key, view.meta.loaded_at) ||
      !is_fresh(feature.policy(), view.meta, now) || !held_row(feature, view.meta)) {
    return std::nullopt;
  }
  if (!repairs && view.value.size() < kConfirmsOnReadFrom) return std::nullopt;
  return view.meta;
}

// Errors are not told: the load that follows meets the same origin.
Task<std::optional<CacheCore::MissPath::Loaded>> CacheCore::MissPath::confirm_suspect(
    Feature* feature, std::string key, l1::EntryMeta asked_about, MonoTime deadline) {
  const MonoTime asked = parts_.home->now();
  const ChangeId visible = watched(*feature)->visible_to_all;
  const HeldRow held = *held_row(*feature, asked_about);
  std::shared_ptr<const std::string> early;
  if (mutant(Mutant::kRepairUnfenced)) early = held_value(*feature, key, asked_about);
  Result<bool> same = co_await feature->origin()->confirm(key, held, deadline);
  if (mutant(Mutant::kErrorKeepsEntry) && !same) same = true;
  if (!same || !*same) co_return std::nullopt;
  // The value is taken now: while the origin was asked the entry may have gone, or become another one.
  std::shared_ptr<const std::string> value = held_value(*feature, key, asked_about);
  if (value == nullptr) value = std::move(early);
  if (value == nullptr) co_return std::nullopt;
  feature->counters.confirmed.add();
  Loaded loaded;
  if (!asked_about.negative) loaded.value = std::move(value);
  loaded.stamp.up_to = std::max(asked_about.stamp.up_to, visible);
  loaded.tier = Tier::kL1;
  loaded.as_of = asked;
  // Not longer than it had: a ttl is the last line of defence, also against what row versions do not tell.
  const l1::Millis until = fresh_until(feature->policy(), asked_about);
  if (until != 0) loaded.ttl = std::chrono::milliseconds(std::max<l1::Millis>(1, until - now_ms()));
  co_return loaded;
}

// Null: L1 does not hold this very entry. Of an absent row: an empty value.
std::shared_ptr<const std::string> CacheCore::MissPath::held_value(const Feature& feature,
                                                                   std::string_view key,
                                                                   const l1::EntryMeta& wanted) const {
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now_ms(), &view) ||
      !is_same_entry(view.meta, wanted)) {
    return nullptr;
  }
  return std::make_shared<const std::string>(view.value);
}

Task<Result<CacheCore::MissPath::Loaded>> CacheCore::MissPath::confirm_or_load(Feature* feature,
                                                                               std::string key, bool repairs,
                                                                               MonoTime deadline,
                                                                               LoadUrgencyPtr urgency) {
  if (const auto suspect = confirmable(*feature, key, repairs)) {
    std::optional<Loaded> confirmed = co_await confirm_suspect(feature, key, *suspect, deadline);
    if (confirmed) co_return std::move(*confirmed);
  }
  co_return co_await load_from_origin(feature, std::move(key), deadline, std::move(urgency));
}

// ---- in the background ----

void CacheCore::MissPath::watch_suspects(Watched* source) {
  GapRepair::World world;
  world.home = parts_.home;
  world.l1 = parts_.l1;
  world.judge = [this, trust = source->trust](const l1::Store::Visited& entry) {
    return judge(trust, entry);
  };
  world.repair = [this](FeatureId id, std::string key) { return repair_key(id, std::move(key)); };
  source->repair = std::make_unique<GapRepair>(std::move(world), kRepairRate);
}

GapRepair::Verdict CacheCore::MissPath::judge(const OriginTrust* trust,
                                              const l1::Store::Visited& entry) const {
  using Verdict = GapRepair::Verdict;
  if (entry.feature.value >= features_.size()) return Verdict::kSound;
  const Feature& feature = *features_[entry.feature.value];
  const l1::EntryMeta& meta = entry.view.meta;
  if (feature.trust() != trust || feature.policy().plain) return Verdict::kSound;
  if (feature.floor_ms.load(std::memory_order_relaxed) == kFloorUnsettled) return Verdict::kSound;
  if (!feature.is_suspect(meta.loaded_at)) return Verdict::kSound;
  if (feature.is_dropped(entry.key, meta.loaded_at)) return Verdict::kForgotten;
  return is_fresh(feature.policy(), meta, now_ms()) ? Verdict::kSuspect : Verdict::kSound;
}

Task<Repaired> CacheCore::MissPath::repair_key(FeatureId id, std::string key) {
  Feature* feature = this->feature(id);
  if (!holds_suspect(*feature, key)) co_return Repaired::kElsewhere;
  auto [flight, must_load] = flights_.join(id, name_of(*feature, key));
  if (!must_load) co_return Repaired::kElsewhere;
  const FlightPtr mine = flight;
  mine->began = parts_.home->now();
  mine->repairs = true;
  mine->urgency = in_background();
  co_await run_flight(mine, key);
  if (mine->failed) co_return Repaired::kFailed;
  if (holds_suspect(*feature, key)) co_return Repaired::kLeft;
  if (!l1_copy(*feature, key)) co_return Repaired::kDropped;
  co_return mine->confirmed ? Repaired::kConfirmed : Repaired::kReplaced;
}

bool CacheCore::MissPath::holds_suspect(const Feature& feature, std::string_view key) const {
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  const l1::Millis now = now_ms();
  return parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now, &view) &&
         judge(feature.trust(), {feature.id(), key, view}) == GapRepair::Verdict::kSuspect;
}

}  // namespace candor
