#include "capacity/capacity_model.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace candor::capacity {
namespace {

constexpr Duration kFadePeriod = 10s;
constexpr Duration kLookPeriod = 1s;
// A sample that became too small for its room grows again, slowly: each step lets keys in of which nothing is
// known yet.
constexpr Duration kRaisePeriod = 60s;
constexpr double kRaise = 1.25;
constexpr double kLower = 0.8;
// A feature with fewer keys than this says nothing any more: others have to shrink.
constexpr std::size_t kFeatureKeysMin = 64;
// The models hear of another capacity when it is off by this part.
constexpr double kCapacityDrift = 0.02;
// Of the keys that the room is for; the rest is for those that come in between two looks.
constexpr double kFull = 0.97;
// The curve of all is finer: steps of a hundredth of a size, where a loop makes a cliff.
constexpr unsigned kFine = 64;

}  // namespace

std::size_t CapacityModel::keys_for(const Options& options) {
  const std::size_t memory = std::max(options.memory, kMemoryMin);
  const std::size_t per_feature =
      sizeof(Feature) + ReuseHistogram::bytes(ReuseHistogram::kCoarse) + kFactors.size() * sizeof(double);
  const std::size_t fixed =
      Miniature::kFixedBytes + 2 * ReuseHistogram::bytes(kFine) + options.features * per_feature;
  const std::size_t left = memory > fixed ? memory - fixed : 0;
  return std::max<std::size_t>(left / (SampledStacks::kBytesPerKey + Miniature::kBytesPerKey), 256);
}

CapacityModel::CapacityModel(const Options& options, l1::AccessLog* log)
    : options_(options),
      log_(log),
      stacks_({.keys_max = keys_for(options), .features = options.features}),
      miniature_({.keys_max = stacks_.keys_max(),
                  .features = options.features,
                  .policy = options.policy,
                  .seed = options.seed}),
      features_(options.features),
      all_bytes_(kFine),
      all_objects_(kFine) {
  for (auto& feature : features_) feature = std::make_unique<Feature>();
}

void CapacityModel::set_capacity(double entry_bytes) {
  if (std::abs(entry_bytes - capacity_) <= capacity_ * kCapacityDrift) return;
  capacity_ = entry_bytes;
  miniature_.set_capacity(capacity_);
  stacks_.set_depth(capacity_ * kDepth);
}

void CapacityModel::watch(FeatureId feature) {
  const bool is_followed = features_[feature.value]->is_followed;
  log_->watch(feature, is_followed ? SampledStacks::threshold(stacks_.rate(feature)) : 0);
}

void CapacityModel::follow(FeatureId feature, bool is_followed, Duration grace) {
  Feature& held = *features_[feature.value];
  held.is_followed = is_followed;
  held.grace = std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
  watch(feature);
}

void CapacityModel::count(FeatureId feature, std::uint64_t reads, std::uint64_t hits) {
  if (!features_[feature.value]->is_followed) return;
  features_[feature.value]->reads += static_cast<double>(reads);
  features_[feature.value]->hits += static_cast<double>(hits);
}

// --- accesses

void CapacityModel::take(std::span<const l1::Access> accesses, l1::Millis now) {
  using Kind = l1::Access::Kind;
  missed_.clear();
  overtaking_.clear();
  for (const l1::Access& access : accesses) {
    ++records_;
    ++features_[access.feature.value]->records;
    switch (access.kind) {
      case Kind::kHit:
      case Kind::kMiss:
        read(access, now);
        break;
      case Kind::kStored:
        store(access);
        break;
      case Kind::kErased:
      case Kind::kFeatureErased:
      case Kind::kAllErased:
        forget(access);
        break;
    }
  }
  count_lost();
}

// A lost record of a read must not pass for a hit: the reads were counted, the miss was not.
void CapacityModel::count_lost() {
  const std::uint64_t dropped = log_->dropped();
  if (dropped == dropped_) return;
  records_ += dropped - dropped_;
  dropped_ = dropped;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    Feature& feature = *features_[i];
    const std::uint64_t lost = log_->lost_reads(id);
    feature.unplaced += stacks_.scale(id) * static_cast<double>(lost - feature.lost);
    feature.records += lost - feature.lost;
    feature.lost = lost;
  }
}

void CapacityModel::read(const l1::Access& access, l1::Millis now) {
  // Recorded before the threshold fell.
  if (l1::AccessLog::place(access.hash) >= SampledStacks::threshold(stacks_.rate(access.feature))) return;
  SampledStacks::Key* key = stacks_.find(access.hash);
  // Without grace L1 finds nothing that has expired: what it did find was stored anew, and the record is
  // lost.
  const bool may_be_old =
      access.kind == l1::Access::Kind::kMiss || features_[access.feature.value]->grace > 0;
  if (key != nullptr && may_be_old && key->fresh_until != 0 && key->fresh_until <= now) {
    miniature_.erase(key->hash);
    stacks_.erase(*key);
    l1::Access miss = access;
    miss.kind = l1::Access::Kind::kMiss;
    return read_unknown(miss);
  }
  if (key == nullptr) return read_unknown(access);
  read_known(access, *key);
}

void CapacityModel::read_known(const l1::Access& access, SampledStacks::Key& key) {
  Feature& feature = *features_[access.feature.value];
  const double scale = stacks_.scale(access.feature);
  if (access.bytes != 0) stacks_.resize(key, access.bytes);
  const bool was_fill = access.kind == l1::Access::Kind::kMiss && overtaking_.erase(key.hash) != 0;
  const SampledStacks::Distance distance = stacks_.touch(key);
  feature.placed += scale * access.reads;
  if (was_fill) {
    count_cold(access.feature, scale);
    return miniature_.miss(access.feature, scale);
  }
  feature.bytes.add(distance.feature.bytes, scale);
  all_bytes_.add(distance.all.bytes, scale);
  all_objects_.add(distance.all.objects, scale);
  miniature_.read(key.hash, access.feature, key.bytes, scale, access.reads);
}

void CapacityModel::count_cold(FeatureId feature, double scale) {
  features_[feature.value]->bytes.add_cold(scale);
  all_bytes_.add_cold(scale);
  all_objects_.add_cold(scale);
}

void CapacityModel::read_unknown(const l1::Access& access) {
  const double scale = stacks_.scale(access.feature);
  if (access.kind == l1::Access::Kind::kMiss) {  // its fill is told of as such
    missed_.insert(access.hash);
    count_cold(access.feature, scale);
    features_[access.feature.value]->placed += scale;
    return miniature_.look(access.hash, access.feature, scale);
  }
  // L1 has had it for longer than LRU would, or for longer than keys have been followed.
  (has_trimmed_ ? features_[access.feature.value]->placed : features_[access.feature.value]->unplaced) +=
      scale * access.reads;
  if (has_trimmed_) count_cold(access.feature, scale);
  if (has_trimmed_)
    miniature_.read(access.hash, access.feature, access.bytes, scale, access.reads);
  else
    miniature_.insert(access.hash, access.feature, access.bytes, scale);
  if (!make_room(access.hash, access.feature)) return;
  stacks_.insert(access.hash, access.feature, access.bytes);
}

void CapacityModel::store(const l1::Access& access) {
  if (l1::AccessLog::place(access.hash) >= SampledStacks::threshold(stacks_.rate(access.feature))) return;
  Feature& feature = *features_[access.feature.value];
  SampledStacks::Key* key = stacks_.find(access.hash);
  if (key == nullptr) {
    if (!make_room(access.hash, access.feature)) return;
    key = &stacks_.insert(access.hash, access.feature, access.bytes);
    if (missed_.erase(access.hash) == 0) overtaking_.insert(access.hash);
    miniature_.insert(access.hash, access.feature, access.bytes, stacks_.scale(access.feature));
  } else if (key->bytes != access.bytes) {
    stacks_.resize(*key, access.bytes);
    miniature_.resize(access.hash, access.bytes, stacks_.scale(access.feature));
  }
  key->fresh_until = access.expires_at == 0 ? 0 : std::max<l1::Millis>(1, access.expires_at - feature.grace);
}

void CapacityModel::forget(const l1::Access& access) {
  if (access.kind == l1::Access::Kind::kErased) {
    miniature_.erase(access.hash);
    if (SampledStacks::Key* key = stacks_.find(access.hash); key != nullptr) stacks_.erase(*key);
    return;
  }
  const bool all = access.kind == l1::Access::Kind::kAllErased;
  miniature_.erase_all(all ? nullptr : &access.feature);
  stacks_.erase_if([&](const SampledStacks::Key& key) { return all || key.feature == access.feature; });
}

// --- the sample's size

void CapacityModel::trim() { has_trimmed_ = stacks_.trim() || has_trimmed_; }

bool CapacityModel::make_room(std::uint64_t hash, FeatureId feature) {
  if (!stacks_.is_full()) return true;
  trim();
  while (static_cast<double>(stacks_.size()) > kFull * static_cast<double>(stacks_.keys_max()))
    change_rate(largest(), kLower);
  return l1::AccessLog::place(hash) < SampledStacks::threshold(stacks_.rate(feature));
}

void CapacityModel::change_rate(FeatureId feature, double factor) {
  const double rate = stacks_.rate(feature) * factor;
  stacks_.set_rate(feature, rate);
  miniature_.rescale(feature, SampledStacks::threshold(rate), 1.0 / factor);
  watch(feature);
}

FeatureId CapacityModel::largest() const {
  FeatureId found;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (stacks_.size(id) > stacks_.size(found)) found = id;
  }
  return found;
}

// Of those that can still do with fewer keys.
FeatureId CapacityModel::busiest() const {
  FeatureId found = largest();
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (stacks_.size(id) > kFeatureKeysMin && features_[i]->records > features_[found.value]->records)
      found = id;
  }
  return found;
}

void CapacityModel::settle(MonoTime now) {
  if (faded_at_.ns == 0) faded_at_ = looked_at_ = raised_at_ = now;
  settled_at_ = now;
  trim();
  if (now - looked_at_ >= kLookPeriod) {
    const double seconds = to_seconds(now - looked_at_);
    looked_at_ = now;
    records_per_second_ = static_cast<double>(records_) / seconds;
    if (records_per_second_ > options_.records_per_second_max && stacks_.size() > kFeatureKeysMin)
      change_rate(busiest(), std::clamp(options_.records_per_second_max / records_per_second_, 0.25, kLower));
    records_ = 0;
    for (auto& feature : features_) feature->records = 0;
  }
  if (now - raised_at_ >= kRaisePeriod) {
    raised_at_ = now;
    raise_rates();
  }
  if (now - faded_at_ < kFadePeriod) return;
  const double seconds = to_seconds(now - faded_at_);
  const double half_life = to_seconds(options_.half_life);
  const double factor = std::exp2(-seconds / half_life);
  faded_at_ = now;
  seconds_ = (seconds_ + seconds) * factor;
  for (auto& feature : features_) {
    feature->bytes.fade(factor);
    feature->reads *= factor;
    feature->hits *= factor;
    feature->unplaced *= factor;
    feature->placed *= factor;
  }
  all_bytes_.fade(factor);
  all_objects_.fade(factor);
  miniature_.fade(factor);
}

void CapacityModel::raise_rates() {
  const bool has_room = static_cast<double>(stacks_.size()) * 2 < static_cast<double>(stacks_.keys_max());
  if (!has_room || records_per_second_ * 2 > options_.records_per_second_max) return;
  has_trimmed_ = false;  // what is let in now was not seen before
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (stacks_.rate(id) < 1.0 && features_[i]->is_followed)
      change_rate(id, std::min(kRaise, 1.0 / stacks_.rate(id)));
  }
}

// --- estimates

CapacityModel::Estimate CapacityModel::estimate(const ReuseHistogram& curve, double reads, double hits,
                                                double placed) const {
  Estimate out;
  out.reads = reads;
  out.seconds = seconds_ + to_seconds(settled_at_ - faded_at_);
  out.hit_ratio = reads > 0 ? std::clamp(hits / reads, 0.0, 1.0) : 0;
  out.cold = std::clamp(curve.cold() / placed, 0.0, 1.0);
  out.working_set_bytes = curve.size_for(0.99);
  return out;
}

double CapacityModel::placed_reads_of_all() const {
  double sum = 0;
  for (const auto& feature : features_)
    if (feature->reads > 0) sum += feature->placed_reads();
  return std::max(sum, 1.0);
}

CapacityModel::Estimate CapacityModel::of(FeatureId id) const {
  const Feature& feature = *features_[id.value];
  const double placed = feature.placed_reads();
  Estimate out = estimate(feature.bytes, feature.reads, feature.hits, placed);
  for (std::size_t i = 0; i < kFactors.size(); ++i)
    out.predicted[i] = std::clamp(1.0 - miniature_.misses(i, id) / placed, 0.0, 1.0);
  out.rate = feature.is_followed ? stacks_.rate(id) : 0;
  out.keys = stacks_.size(id);
  return out;
}

CapacityModel::Estimate CapacityModel::of_all() const {
  double reads = 0, hits = 0;
  for (const auto& feature : features_) {
    reads += feature->reads;
    hits += feature->hits;
  }
  const double placed = placed_reads_of_all();
  Estimate out = estimate(all_bytes_, reads, hits, placed);
  for (std::size_t i = 0; i < kFactors.size(); ++i)
    out.predicted[i] = std::clamp(1.0 - miniature_.misses(i) / placed, 0.0, 1.0);
  out.keys = stacks_.size();
  return out;
}

double CapacityModel::lru_miss_ratio(FeatureId id, double bytes) const {
  const Feature& feature = *features_[id.value];
  return std::clamp(feature.bytes.misses(bytes) / feature.placed_reads(), 0.0, 1.0);
}

double CapacityModel::lru_miss_ratio_of_all(double bytes) const {
  return std::clamp(all_bytes_.misses(bytes) / placed_reads_of_all(), 0.0, 1.0);
}

double CapacityModel::lru_miss_ratio_of_all_by_objects(double objects) const {
  return std::clamp(all_objects_.misses(objects) / placed_reads_of_all(), 0.0, 1.0);
}

std::size_t CapacityModel::memory_bytes() const {
  return sizeof(*this) + stacks_.memory_bytes() + miniature_.memory_bytes() +
         2 * ReuseHistogram::bytes(kFine) +
         features_.size() * (sizeof(Feature) + ReuseHistogram::bytes(ReuseHistogram::kCoarse));
}

void CapacityModel::check_invariants() const {
  stacks_.check_invariants();
  miniature_.check_invariants();
}

}  // namespace candor::capacity
