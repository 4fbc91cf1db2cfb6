#include "warm/hot_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/blob.h"
#include "base/hash.h"

namespace candor::warm {
namespace {

constexpr std::string_view kMagic = "candor hot set\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kChecksumSeed = 0x686f74;

std::unexpected<Error> bad(std::string what) { return fail(ErrorCode::kRejected, std::move(what)); }

}  // namespace

std::size_t HotSet::keys() const {
  std::size_t sum = 0;
  for (const HotFeature& feature : features) sum += feature.keys.size();
  return sum;
}

std::string encode_hot_set(const HotSet& set) {
  BlobWriter out;
  out.put(kVersion);
  out.put(set.at.ms());
  out.put(std::string_view(set.node));
  out.put(static_cast<std::uint32_t>(set.features.size()));
  for (const HotFeature& feature : set.features) {
    out.put(std::string_view(feature.name));
    out.put(feature.reads);
    out.put(feature.load_cost);
    out.put(static_cast<std::uint32_t>(feature.keys.size()));
    for (const HotKey& key : feature.keys) {
      out.put(static_cast<float>(key.reads));
      out.put(std::string_view(key.key));
    }
  }
  const std::string body = out.take();
  BlobWriter sum;
  sum.put(hash_bytes(body, kChecksumSeed));
  return std::string(kMagic) + sum.take() + body;
}

Result<HotSet> decode_hot_set(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return bad("not a hot set");
  bytes.remove_prefix(kMagic.size());
  BlobReader head(bytes);
  const auto sum = head.take<std::uint64_t>();
  if (!head.is_good()) return bad("cut short");
  const std::string_view body = bytes.substr(sizeof sum);
  if (hash_bytes(body, kChecksumSeed) != sum) return bad("damaged: its checksum does not match");
  BlobReader in(body);
  if (in.take<std::uint32_t>() != kVersion) return bad("written by another version of candord");
  HotSet set;
  set.at = WallTime{in.take<std::int64_t>() * 1'000'000};
  set.node = in.take_text();
  const auto features = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < features && in.is_good(); ++i) {
    HotFeature feature;
    feature.name = in.take_text();
    feature.reads = in.take<double>();
    feature.load_cost = in.take<double>();
    const auto keys = in.take<std::uint32_t>();
    for (std::uint32_t k = 0; k < keys && in.is_good(); ++k) {
      HotKey key;
      key.reads = in.take<float>();
      key.key = in.take_text();
      feature.keys.push_back(std::move(key));
    }
    set.features.push_back(std::move(feature));
  }
  if (!in.is_good() || !in.is_at_end()) return bad("damaged: its lengths do not add up");
  return set;
}

// 1 at one in a hundred, ten at one in ten thousand.
double tightness_of(double stale_fraction) {
  constexpr double kUsual = 0.01;
  if (stale_fraction <= 0.0) return 10.0;
  return std::clamp(std::sqrt(kUsual / stale_fraction), 0.5, 10.0);
}

HotSetBuilder::HotSetBuilder(std::vector<Feature> features, std::size_t keys_max)
    : features_(std::move(features)),
      seen_(features_.size()),
      keys_max_(std::max<std::size_t>(1, keys_max)) {}

void HotSetBuilder::see(FeatureId feature, std::string_view key, unsigned accesses) {
  if (feature.value >= seen_.size() || features_[feature.value].name.empty()) return;
  accesses = std::min(accesses, kAccessMax);
  OfFeature& of = seen_[feature.value];
  ++of.entries[accesses];
  of.keys.push_back({std::string(key), static_cast<std::uint8_t>(accesses)});
  if (++held_ > 2 * keys_max_) thin();
}

void HotSetBuilder::counted(FeatureId feature, std::string_view key, double reads) {
  if (feature.value >= seen_.size() || features_[feature.value].name.empty()) return;
  seen_[feature.value].counted.insert_or_assign(std::string(key), reads);
}

// Memory stays bounded while a large store is walked: of each feature the less read half of what it holds
// goes.
void HotSetBuilder::thin() {
  held_ = 0;
  for (OfFeature& of : seen_) {
    const auto half = of.keys.begin() + static_cast<std::ptrdiff_t>(of.keys.size() / 2);
    std::nth_element(of.keys.begin(), half, of.keys.end(),
                     [](const Seen& a, const Seen& b) { return a.accesses > b.accesses; });
    of.keys.erase(half, of.keys.end());
    held_ += of.keys.size();
  }
}

HotSet HotSetBuilder::take() {
  struct Candidate {
    std::uint16_t feature;
    HotKey key;
    double worth;
  };
  std::vector<Candidate> all;
  HotSet set;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const Feature& feature = features_[i];
    OfFeature& of = seen_[i];
    set.features.push_back({.name = feature.name, .reads = feature.reads, .load_cost = feature.load_cost});
    const double factor = worth_of(1.0, feature.load_cost, feature.tightness);
    double rest = feature.reads, weights = 0.0;
    for (const auto& [key, reads] : of.counted) {
      rest -= reads;
      all.push_back({static_cast<std::uint16_t>(i), {key, reads}, reads * factor});
    }
    for (unsigned a = 0; a <= kAccessMax; ++a) weights += static_cast<double>(of.entries[a]) * weight_of(a);
    // Never nothing: where nobody read since, what was read most is still the better guess.
    const double unit = std::max(1e-9, weights > 0.0 ? rest / weights : 0.0);
    for (Seen& seen : of.keys) {
      if (of.counted.contains(seen.key)) continue;
      const double reads = unit * weight_of(seen.accesses);
      all.push_back({static_cast<std::uint16_t>(i), {std::move(seen.key), reads}, reads * factor});
    }
    of = {};
  }
  held_ = 0;
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.worth != b.worth ? a.worth > b.worth : a.key.key < b.key.key;
  };
  if (all.size() > keys_max_) {
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(keys_max_), all.end(), better);
    all.resize(keys_max_);
  }
  std::ranges::sort(all, better);
  for (Candidate& one : all) set.features[one.feature].keys.push_back(std::move(one.key));
  std::erase_if(set.features, [](const HotFeature& feature) { return feature.keys.empty(); });
  return set;
}

}  // namespace candor::warm
