#include "cache/cache.h"

#include <algorithm>
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "tier/disk/disk_tier.h"

namespace candor {

namespace {

// More owed keys than this become debts of whole features.
constexpr std::size_t kOwedKeysMax = 100'000;
// More keys with a write of unknown outcome than this: nothing is kept of any key for half a minute.
constexpr std::size_t kUnsettledKeysMax = 100'000;
// Early refreshes on their way home. Beyond it a reader does not ask: another one will, or the entry expires.
constexpr unsigned kRefreshesAskedMax = 1024;

}  // namespace

std::string_view tier_name(Tier tier) {
  switch (tier) {
    case Tier::kL1:
      return "l1";
    case Tier::kDisk:
      return "disk";
    case Tier::kL2:
      return "l2";
    case Tier::kOrigin:
      return "origin";
  }
  return "unknown";
}

std::string_view consistency_name(Consistency level) {
  switch (level) {
    case Consistency::kEventual:
      return "eventual";
    case Consistency::kBounded:
      return "bounded";
    case Consistency::kSession:
      return "session";
    case Consistency::kStrong:
      return "strong";
    case Consistency::kOrigin:
      return "origin";
  }
  return "unknown";
}

CacheCore::MissPath::MissPath(Parts parts, const std::vector<std::unique_ptr<Feature>>& features)
    : parts_(parts),
      features_(features),
      random_(parts.seed),
      flights_(mix64(parts.seed + 1)),
      owed_(kOwedKeysMax, mix64(parts.seed + 2)),
      unsettled_(kUnsettledKeysMax, mix64(parts.seed + 3)),
      plain_changes_(0, SeededHash{mix64(parts.seed + 4)}) {}

CacheCore::MissPath::~MissPath() = default;

std::string CacheCore::MissPath::name_of(const Feature& feature, std::string_view key) {
  const std::string& prefix = feature.policy().name;
  std::string name;
  name.reserve(prefix.size() + 1 + key.size());
  name.append(prefix).append(1, ':').append(key);
  return name;
}

CacheCore::CacheCore(Parts parts) : parts_(parts), miss_(std::make_unique<MissPath>(parts, features_)) {
  if (parts_.disk == nullptr) return;
  parts_.disk->use_history([miss = miss_.get()](FeatureId feature, l1::Millis loaded_at) {
    return miss->history_of(feature, loaded_at);
  });
  parts_.disk->use_dropped([this](FeatureId feature, std::string_view key, l1::Millis loaded_at) {
    return features_[feature.value]->is_dropped(key, loaded_at);
  });
}
CacheCore::~CacheCore() {
  if (parts_.disk == nullptr) return;
  parts_.disk->use_history({});
  parts_.disk->use_dropped({});
}
void CacheCore::close() { miss_->close(); }
void CacheCore::set_region_barrier(RegionBarrier* barrier) { miss_->barrier = barrier; }

Result<FeatureId> CacheCore::add_feature(FeaturePolicy policy, std::unique_ptr<OriginFeature> origin,
                                         std::string_view watched_origin) {
  if (find_feature(policy.name) != nullptr) {
    return fail(ErrorCode::kConfiguration, "feature '" + policy.name + "' is defined twice");
  }
  if (features_.size() >= FeatureId::kMax) {
    return fail(ErrorCode::kConfiguration, "more than " + std::to_string(FeatureId::kMax) + " features");
  }
  const FeatureId id{static_cast<std::uint16_t>(features_.size())};
  features_.push_back(std::make_unique<Feature>(id, std::move(policy), std::move(origin)));
  if (!watched_origin.empty()) {
    auto known = std::ranges::find(trusts_, watched_origin,
                                   [](const auto& trust) { return std::string_view(trust->name); });
    if (known == trusts_.end()) {
      trusts_.push_back(std::make_unique<OriginTrust>(std::string(watched_origin)));
      miss_->watch_origin(trusts_.back().get());
      known = trusts_.end() - 1;
    }
    features_.back()->set_trust(known->get());
  }
  if (parts_.tap != nullptr) {
    lanes_ = std::make_unique<ReadLanes>(parts_.tap, features_.size(), mix64(parts_.seed + 6));
    miss_->lanes = lanes_.get();
  }
  return id;
}

void CacheCore::set_tags(FeatureId feature, FeatureTags tags) {
  if (tags.has_keyed() && tag_times_ == nullptr)
    tag_times_ = std::make_unique<TagTimes>(mix64(parts_.seed + 5));
  features_[feature.value]->set_tags(std::make_unique<const FeatureTags>(std::move(tags)), tag_times_.get());
}

std::vector<FeatureId> CacheCore::features_with_tag(std::string_view tag) const {
  std::vector<FeatureId> found;
  for (const auto& feature : features_) {
    const FeatureTags* tags = feature->tags();
    if (tags != nullptr && (tags->is_of_all(tag) || tags->is_of_some(tag))) found.push_back(feature->id());
  }
  return found;
}

Result<void> CacheCore::update_policy(FeatureId id, FeaturePolicy policy) {
  Feature& feature = *features_[id.value];
  if (policy.name != feature.policy().name || policy.plain != feature.policy().plain) {
    return fail(ErrorCode::kConfiguration,
                "feature '" + feature.policy().name +
                    "': its name and `origin = \"none\"` cannot change while running");
  }
  // Entries carry their grace inside their expiry: under another one they would be judged wrongly. They go
  // first, and nothing fills between here and the new policy, because fills happen on this thread.
  if (policy.serve_stale != feature.policy().serve_stale) {
    parts_.l1->erase_feature(id);
    miss_->forget_on_disk(id);
  }
  feature.replace_policy(std::move(policy));
  return {};
}

const Feature* CacheCore::find_feature(std::string_view name) const {
  const auto it = std::ranges::find_if(features_, [&](const auto& f) { return f->policy().name == name; });
  return it == features_.end() ? nullptr : it->get();
}
const Feature& CacheCore::feature(FeatureId id) const { return *features_[id.value]; }
std::size_t CacheCore::feature_count() const { return features_.size(); }

l1::Millis CacheCore::now_ms() const { return parts_.clock->now().ms(); }

// ---- hit path ----

bool CacheCore::try_hit(const l1::Store::ReadGuard& guard, const Feature& feature, l1::KeyHash hash,
                        std::string_view key, l1::Millis now, Hit* out) {
  const bool is_bounded = needs_proof(feature.policy().consistency);
  const Proof proof = proof_of(feature, is_bounded ? now_ms() : now);
  l1::EntryView view;
  if (!parts_.l1->find(guard, hash, feature.id(), key, now, &view)) return false;
  if (!may_serve(feature, key, view, now, proof)) return false;
  *out = Hit{view.value, view.meta, view.meta.negative, proof.fresh_as_of};
  return true;
}

bool CacheCore::try_hit_at(const l1::Store::ReadGuard& guard, const Feature& feature, l1::KeyHash hash,
                           std::string_view key, l1::Millis now, Consistency level, Duration bound,
                           Hit* out) {
  const Proof proof = proof_of(feature, needs_proof(level) ? now_ms() : now);
  l1::EntryView view;
  if (!parts_.l1->find(guard, hash, feature.id(), key, now, &view)) return false;
  if (!serves_at(feature, key, view, now, level, bound, proof)) return false;
  *out = Hit{view.value, view.meta, view.meta.negative, proof.fresh_as_of};
  return true;
}

bool CacheCore::may_serve(const Feature& feature, std::string_view key, const l1::EntryView& view,
                          l1::Millis now, const Proof& proof) {
  const FeaturePolicy& policy = feature.policy();
  return serves_at(feature, key, view, now, policy.consistency, policy.max_staleness, proof);
}

bool CacheCore::serves_at(const Feature& feature, std::string_view key, const l1::EntryView& view,
                          l1::Millis now, Consistency level, Duration bound, const Proof& proof) {
  const FeaturePolicy& policy = feature.policy();
  if (policy.plain) return true;
  if (feature.is_suspect(view.meta.loaded_at)) return false;
  if (feature.is_dropped_by_key(key, view.meta.loaded_at)) return false;
  if (!tiers_may_answer(level)) {
    if (!needs_proof(level) || !feature.is_heard()) return false;
    if (!is_proven(view.meta, proof.fresh_as_of, proof.at, bound)) return false;
  }
  const l1::Millis until = fresh_until(policy, view.meta);
  if (until != 0) {
    if (now >= until) return false;
    if (policy.origin_fraction > 0.0 && is_sent_past_tiers(policy)) [[unlikely]]
      return false;
    const Duration cost{static_cast<std::int64_t>(feature.load_cost_ns.load(std::memory_order_relaxed))};
    if (may_refresh_early(policy, cost, until, now)) ask_for_refresh(feature, key, view, now, until);
  }
  if (lanes_ != nullptr && lanes_->is_due(feature.id())) [[unlikely]]
    show(feature, key, view, now, level, proof);
  return true;
}

[[gnu::noinline, gnu::cold]] void CacheCore::show(const Feature& feature, std::string_view key,
                                                  const l1::EntryView& view, l1::Millis now,
                                                  Consistency level, const Proof& proof) {
  // Newer than what the origin holds: there is nothing that it could be staler than.
  if ((view.meta.user_flags & kPendingWrite) != 0) return;
  // Without a proof that was made before the lookup only the entry's own age is one.
  const l1::Millis at = proof.at != 0 ? proof.at : now;
  const auto within = proven_within(view.meta, proof.at != 0 ? proof.fresh_as_of : OriginTrust::kNever, at);
  parts_.tap->take({feature.id(), key, view.value, view.meta.negative, Tier::kL1, level, false,
                    view.meta.stamp, view.meta.loaded_at, now, within.value_or(-1)});
}

// Drawn by number, as early refreshes are. All readers share one counter: dear, and only while the lever is
// pulled.
[[gnu::noinline, gnu::cold]] bool CacheCore::is_sent_past_tiers(const FeaturePolicy& policy) {
  Random random(mix64(parts_.seed + miss_->draws.fetch_add(1, std::memory_order_relaxed)));
  return random.unit() < policy.origin_fraction;
}

// Apart from serves_at(), whose frame it would make as large as its own.
[[gnu::noinline, gnu::cold]] void CacheCore::ask_for_refresh(const Feature& feature, std::string_view key,
                                                             const l1::EntryView& view, l1::Millis now,
                                                             l1::Millis until) {
  const Duration cost{static_cast<std::int64_t>(feature.load_cost_ns.load(std::memory_order_relaxed))};
  // A draw of its own for each reader, by number: no generator for each thread, whose state would make two
  // runs of the simulator differ. Counted near the expiry only.
  Random random(mix64(parts_.seed + miss_->draws.fetch_add(1, std::memory_order_relaxed)));
  if (should_refresh_early(feature.policy(), cost, until, now, random) &&
      miss_->refreshes_asked.load(std::memory_order_relaxed) < kRefreshesAskedMax) {
    miss_->refreshes_asked.fetch_add(1, std::memory_order_relaxed);
    parts_.home->post(
        [this, id = feature.id(), copy = std::string(key), expires_at = view.meta.expires_at]() mutable {
          miss_->refresh(id, std::move(copy), expires_at);
        });
  }
}

std::optional<Duration> CacheCore::fresh_within(const Feature& feature, const Hit& hit) const {
  if (feature.policy().plain || feature.is_suspect(hit.meta.loaded_at)) return std::nullopt;
  const auto within = proven_within(hit.meta, hit.fresh_as_of, now_ms());
  if (!within) return std::nullopt;
  return std::chrono::milliseconds(*within);
}

void CacheCore::count_hits(const Feature& feature, std::uint64_t hits, std::uint64_t negatives) {
  if (hits > 0) feature.counters.hits_l1.add(hits);
  if (negatives > 0) feature.counters.negative_hits.add(negatives);
}

void CacheCore::resample_reads() {
  if (lanes_ != nullptr) lanes_->redraw();
}

bool CacheCore::reads_l2(FeatureId feature) const { return miss_->l2_is_believed(*features_[feature.value]); }

// ---- miss path and writes: everything is posted home ----

void CacheCore::read(FeatureId feature, std::string key, ReadOptions options, ReadDone done) {
  parts_.home->post([this, feature, key = std::move(key), options, done = std::move(done)]() mutable {
    miss_->read(feature, std::move(key), options, std::move(done));
  });
}

void CacheCore::warm(FeatureId feature, std::string key, WarmDone done) {
  miss_->warm(feature, std::move(key), std::move(done));
}

void CacheCore::write(FeatureId feature, std::string key, std::string value, WriteDone done) {
  parts_.home->post([this, feature, key = std::move(key), value = std::move(value),
                     done = std::move(done)]() mutable {
    spawn(miss_->write(miss_->feature(feature), std::move(key), std::move(value), MissPath::Change::kStore),
          std::move(done));
  });
}

void CacheCore::erase(FeatureId feature, std::string key, WriteDone done) {
  parts_.home->post([this, feature, key = std::move(key), done = std::move(done)]() mutable {
    spawn(miss_->write(miss_->feature(feature), std::move(key), std::string(), MissPath::Change::kErase),
          std::move(done));
  });
}

void CacheCore::invalidate(FeatureId feature, std::string key, WriteDone done) {
  parts_.home->post([this, feature, key = std::move(key), done = std::move(done)]() mutable {
    spawn(miss_->invalidate(miss_->feature(feature), std::move(key), "command"), std::move(done));
  });
}

bool CacheCore::plain_is_local() const { return parts_.l2 == nullptr || !parts_.l2_is_shared; }

void CacheCore::plain_write(FeatureId feature, std::string key, std::optional<std::string> value,
                            Duration ttl, WriteDone done) {
  parts_.home->post(
      [this, feature, key = std::move(key), value = std::move(value), ttl, done = std::move(done)]() mutable {
        spawn(miss_->plain_write(miss_->feature(feature), std::move(key), std::move(value), ttl),
              std::move(done));
      });
}

void CacheCore::plain_update(FeatureId feature, std::string key, PlainDecide decide, WriteDone done) {
  parts_.home->post(
      [this, feature, key = std::move(key), decide = std::move(decide), done = std::move(done)]() mutable {
        miss_->plain_update(miss_->feature(feature), key, std::move(decide), std::move(done));
      });
}

void CacheCore::invalidate_tag(std::string tag, WriteDone done) {
  parts_.home->post([this, tag = std::move(tag), done = std::move(done)]() mutable {
    spawn(miss_->invalidate_tag(std::move(tag)), std::move(done));
  });
}

void CacheCore::flush(std::optional<FeatureId> feature, WriteDone done) {
  parts_.home->post(
      [this, feature, done = std::move(done)]() mutable { spawn(miss_->flush(feature), std::move(done)); });
}

std::size_t CacheCore::waiting() const { return miss_->waiting.load(std::memory_order_relaxed); }
std::size_t CacheCore::flights() const { return miss_->flights(); }
std::size_t CacheCore::owed_invalidations() const { return miss_->owed.load(std::memory_order_relaxed); }

}  // namespace candor
