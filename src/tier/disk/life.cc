#include "tier/disk/life.h"

#include <algorithm>

#include "base/hash.h"
#include "tier/disk/bytes.h"

namespace candor::disk {
namespace {

constexpr std::uint32_t kLifeMagic = 0x4d444443;  // "CDDM"
constexpr std::uint32_t kLifeVersion = 1;
constexpr std::uint64_t kLifeSeed = 0x43444d2d76303031ULL;
constexpr std::uint32_t kFeaturesMax = 4096;  // FeatureId has 12 bits

}  // namespace

std::string encode_life(const Life& life) {
  std::string out;
  put_field(out, kLifeMagic);
  put_field(out, kLifeVersion);
  put_field(out, life.end.boot);
  put_field(out, life.end.mono.ns);
  put_field(out, life.end.wall.ns);
  put_field(out, life.next_sequence);
  put_field(out, life.floor);
  put_field(out, static_cast<std::uint32_t>(life.boots.size()));
  for (const Life::Boot& boot : life.boots) {
    put_field(out, boot.boot);
    put_field(out, boot.shift_ms);
  }
  put_field(out, static_cast<std::uint32_t>(life.features.size()));
  for (const auto& [name, feature] : life.features) {
    put_text(out, name);
    put_field(out, feature.fingerprint);
    put_field(out, feature.floor);
    put_field(out, feature.kept_from);
  }
  put_field(out, hash_bytes(out, kLifeSeed));
  return out;
}

std::optional<Life> decode_life(std::string_view bytes) {
  if (bytes.size() < sizeof(std::uint64_t)) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (FieldReader(bytes.substr(body.size())).take<std::uint64_t>() != hash_bytes(body, kLifeSeed))
    return std::nullopt;
  FieldReader in(body);
  if (in.take<std::uint32_t>() != kLifeMagic || in.take<std::uint32_t>() != kLifeVersion) return std::nullopt;
  Life life;
  life.end.boot = in.take<std::uint64_t>();
  life.end.mono.ns = in.take<std::int64_t>();
  life.end.wall.ns = in.take<std::int64_t>();
  life.next_sequence = in.take<std::uint64_t>();
  life.floor = in.take<std::uint64_t>();
  const auto boots = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(boots, Life::kBootsMax); ++i) {
    const auto boot = in.take<std::uint64_t>();
    life.boots.push_back({boot, in.take<std::int64_t>()});
  }
  const auto features = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < std::min(features, kFeaturesMax) && in.ok(); ++i) {
    FeatureLife& feature = life.features[std::string(in.take_text())];
    feature.fingerprint = in.take<std::uint64_t>();
    feature.floor = in.take<std::uint64_t>();
    feature.kept_from = in.take<std::uint64_t>();
  }
  if (!in.ok() || boots > Life::kBootsMax || features > kFeaturesMax) return std::nullopt;
  return life;
}

std::optional<Life> resume(Life before, const Moment& now) {
  if (before.end.boot == now.boot) {
    if (now.mono < before.end.mono) return std::nullopt;  // not the clock that we think it is
  } else {
    if (now.wall < before.end.wall) return std::nullopt;
    const std::int64_t shift_ms =
        now.mono.ms() - before.end.mono.ms() - (now.wall.ms() - before.end.wall.ms());
    for (Life::Boot& boot : before.boots) boot.shift_ms += shift_ms;
    before.boots.insert(before.boots.begin(), {before.end.boot, shift_ms});
    if (before.boots.size() > Life::kBootsMax) before.boots.resize(Life::kBootsMax);
  }
  before.end = now;
  for (auto& [name, feature] : before.features) feature.floor = std::max(feature.floor, feature.kept_from);
  return before;
}

}  // namespace candor::disk
