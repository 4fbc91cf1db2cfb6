// The sweep's questions and its verdicts on one key (reconciler.h walks and keeps the pace).
//
// When it is a divergence. We hold v; the origin said w, in an answer that came at t. Whatever w includes was
// committed before t. Once this node is proven to have applied every change committed before t, the change
// from v to w has come, if anybody told of it, and the entry would be gone:
//
//   L1 holds v              writer: UPDATE commits     we: load w, t
//                           its change travels …
//                           … is applied: v goes       proof passes t: v is not here: it was under way
//   L1 holds v              a change nobody tells of   we: load w, t
//                                                      proof passes t: v is still here: lost
//
// Where nobody listens nothing travels but the writes of this region, which drop what is held before they are
// acknowledged: a second is long for them.
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"

namespace candor {

namespace {

// Readers' deadline is seconds; a sweep's question that takes as long is better asked another time.
constexpr Duration kAnswerWithin = 2s;
constexpr Duration kWriteSettles = 1s;

std::uint64_t hash_of(const TierCopy& copy) { return copy.negative() ? 0 : hash_bytes(*copy.value, 0); }

MonoTime moment(l1::Millis at) { return MonoTime{at * 1'000'000}; }

}  // namespace

void CacheCore::MissPath::reconcile(ReconcileOptions options) {
  reconcile_ = std::move(options);
  Reconciler::World world;
  world.home = parts_.home;
  world.l1 = parts_.l1;
  world.is_due = [this](const l1::Store::Visited& one) {
    const Feature* feature = one.feature.value < features_.size() ? this->feature(one.feature) : nullptr;
    return feature != nullptr && is_reconciled(*feature) && is_servable(*feature, one.key, one.view.meta);
  };
  world.suffers = [this](FeatureId id) { return reconcile_.suffers && reconcile_.suffers(id); };
  world.look = [this](FeatureId id, std::string key) { return look(feature(id), std::move(key)); };
  world.is_ripe = [this](const ReconcileDoubt& doubt) { return is_ripe(doubt); };
  world.judge = [this](ReconcileDoubt doubt) { return judge_doubt(std::move(doubt)); };
  reconciler_ = std::make_unique<Reconciler>(std::move(world));
  reconciler_->start({reconcile_.keys_per_second, reconcile_.period}, features_.size());
}

bool CacheCore::MissPath::is_reconciled(const Feature& feature) const {
  if (feature.origin() == nullptr || feature.policy().plain) return false;
  return !reconcile_.concerns || reconcile_.concerns(feature.id());
}

// Would a reader of a level that tiers may answer be given it?
bool CacheCore::MissPath::is_servable(const Feature& feature, std::string_view key,
                                      const l1::EntryMeta& meta) const {
  if ((meta.user_flags & kPendingWrite) != 0 || pending(feature, key) != nullptr) return false;
  if (feature.is_suspect(meta.loaded_at) || feature.is_dropped(key, meta.loaded_at)) return false;
  return is_fresh(feature.policy(), meta, now_ms()) &&
         !unsettled_.is_unsettled(name_of(feature, key), parts_.home->now());
}

std::optional<TierCopy> CacheCore::MissPath::copy_in_l1(const Feature& feature, std::string_view key) const {
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now_ms(), &view) ||
      !is_servable(feature, key, view.meta)) {
    return std::nullopt;
  }
  TierCopy copy;
  if (!view.meta.negative) copy.value = std::make_shared<const std::string>(view.value);
  copy.stamp.up_to = view.meta.stamp.up_to;
  copy.loaded_at = moment(view.meta.loaded_at);
  copy.entry = view.meta;
  return copy;
}

// An L2 that does not answer holds nothing for anybody.
Task<std::optional<TierCopy>> CacheCore::MissPath::copy_in_l2(Feature* feature, std::string key) {
  const std::string name = name_of(*feature, key);
  const auto is_read = [this, feature, &name] { return l2_is_believed(*feature) && !owed_.owes(name); };
  if (l2_of(*feature) == nullptr || feature->policy().plain || !is_read()) co_return std::nullopt;
  const MonoTime asked = parts_.home->now();
  Result<std::optional<L2Entry>> found = co_await parts_.l2->get(name);
  if (!found || !*found || !is_read()) co_return std::nullopt;
  L2Entry& entry = **found;
  if (entry.generation < l2_heard_.generation || !markers_allow(*feature, name, entry.stamp))
    co_return std::nullopt;
  if (pending(*feature, key) != nullptr || unsettled_.is_unsettled(name, asked)) co_return std::nullopt;
  if (feature->is_dropped(key, (asked - entry.age).ms())) co_return std::nullopt;
  TierCopy copy;
  if (!entry.negative) copy.value = std::make_shared<const std::string>(std::move(entry.value));
  copy.stamp = entry.stamp;
  copy.loaded_at = asked - entry.age;
  co_return copy;
}

Task<TierCopies> CacheCore::MissPath::copies(Feature* feature, std::string key) {
  TierCopies held;
  ++tasks_;
  held.l2 = co_await copy_in_l2(feature, key);
  --tasks_;
  held.l1 = copy_in_l1(*feature, key);
  co_return held;
}

// ---- the question ----

// Asks for the row's version where that tells what the feed was not told; the value travels only if it has
// to.
Task<std::optional<Result<bool>>> CacheCore::MissPath::confirmed(Feature* feature, std::string key,
                                                                 TierCopies held) {
  const bool agree =
      !held.l2 || (held.l2->negative() == held.l1->negative() && hash_of(*held.l2) == hash_of(*held.l1));
  const auto row = held_row(*feature, held.l1->entry);
  if (!agree || !row || !feature->origin()->can_confirm() || !feature->origin()->confirms_by_row())
    co_return std::nullopt;
  Result<bool> same =
      co_await feature->origin()->confirm(std::move(key), *row, parts_.home->now() + kAnswerWithin);
  if (same && !*same) co_return std::nullopt;
  co_return same;
}

Task<Reconciler::Looked> CacheCore::MissPath::look(Feature* feature, std::string key) {
  Reconciler::Looked found;
  const TierCopies held = co_await copies(feature, key);
  if (!held.l1) co_return found;
  const std::optional<Result<bool>> same = co_await confirmed(feature, key, held);
  if (same) {
    found.how = *same ? Reconciled::kEqual : Reconciled::kFailed;
    co_return found;
  }
  Result<OriginRow> row =
      co_await feature->origin()->load_urgent(key, parts_.home->now() + kAnswerWithin, in_background());
  if (!row) {
    found.how = Reconciled::kFailed;
    co_return found;
  }
  ReconcileDoubt doubt;
  doubt.in_l1 = !held.l1->is(row->value);
  doubt.in_l2 = held.l2 && !held.l2->is(row->value);
  if (!doubt.in_l1 && !doubt.in_l2) {
    found.how = Reconciled::kEqual;
    co_return found;
  }
  doubt.feature = feature->id();
  doubt.key = std::move(key);
  doubt.entry = held.l1->entry;
  if (doubt.in_l2) {
    doubt.l2_negative = held.l2->negative();
    doubt.l2_hash = hash_of(*held.l2);
  }
  doubt.seen = row->stamp.up_to;
  doubt.answered = parts_.home->now();
  found.doubt = std::move(doubt);
  co_return found;
}

// ---- the verdict ----

bool CacheCore::MissPath::is_ripe(const ReconcileDoubt& doubt) const {
  const Feature& feature = *this->feature(doubt.feature);
  if (!feature.is_heard()) return parts_.home->now() - doubt.answered >= kWriteSettles;
  // Milliseconds are rounded down: only a later one is certainly later.
  return feature.trust()->fresh_as_of_ms.load(std::memory_order_relaxed) > doubt.answered.ms();
}

Task<Reconciled> CacheCore::MissPath::judge_doubt(ReconcileDoubt doubt) {
  Feature* feature = this->feature(doubt.feature);
  bool in_l2 = false;
  if (doubt.in_l2) {
    const std::optional<TierCopy> copy = co_await copy_in_l2(feature, doubt.key);
    // Not one that was loaded since, of a value that has come back.
    in_l2 = copy && copy->loaded_at <= doubt.answered && copy->negative() == doubt.l2_negative &&
            hash_of(*copy) == doubt.l2_hash;
  }
  const std::optional<TierCopy> copy = copy_in_l1(*feature, doubt.key);
  const bool in_l1 = doubt.in_l1 && copy && is_same_entry(copy->entry, doubt.entry);
  if (!in_l1 && !in_l2) co_return Reconciled::kInFlight;
  const Divergence why = in_l1 ? cause_of(*feature, doubt) : Divergence::kL2Only;
  if (parts_.observer != nullptr) parts_.observer->on_divergence(KeyRef{feature->id(), doubt.key}, why);
  const std::string name = name_of(*feature, doubt.key);
  // The marker refuses whoever loaded before we did, here and in L2. Then other nodes, who would find it in
  // L2.
  // And a load past the tiers that began before, whose stamp may be no lower: what was lost moved no id.
  ++feature->forgets;
  (void)co_await forget(feature, std::move(doubt.key), doubt.seen, "reconciliation");
  ++feature->forgets;
  if (in_l1 && reconcile_.tell_region) reconcile_.tell_region(name);
  switch (why) {
    case Divergence::kLost:
      co_return Reconciled::kLost;
    case Divergence::kTtlOnly:
      co_return Reconciled::kTtlOnly;
    case Divergence::kRace:
      co_return Reconciled::kRace;
    case Divergence::kL2Only:
      break;
  }
  co_return Reconciled::kL2Only;
}

Divergence CacheCore::MissPath::cause_of(const Feature& feature, const ReconcileDoubt& doubt) const {
  if (!feature.is_heard()) return Divergence::kTtlOnly;
  const bool told =
      reconcile_.was_told &&
      reconcile_.was_told(KeyRef{feature.id(), doubt.key}, doubt.entry.stamp, moment(doubt.entry.loaded_at));
  return told ? Divergence::kRace : Divergence::kLost;
}

// ---- CacheCore ----

void CacheCore::reconcile(ReconcileOptions options) { miss_->reconcile(std::move(options)); }
ReconcileStatus CacheCore::reconciliation() const { return miss_->reconciliation(); }
Task<TierCopies> CacheCore::copies(FeatureId feature, std::string key) {
  return miss_->copies(miss_->feature(feature), std::move(key));
}

}  // namespace candor
