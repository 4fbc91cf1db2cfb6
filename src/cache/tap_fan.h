// Several takers behind one tap. The hit path picks reads with the highest chance of theirs, and each taker
// is given a part of what is picked, drawn for itself alone: what one of them sees is as random a sample,
// with the chance that it asked for, as if it were the only one.
//
// Thread safety: as ReadTap; add() before traffic.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cache/read_tap.h"

namespace candor {

class TapFan final : public ReadTap {
 public:
  static constexpr std::size_t kTakersMax = 8;

  explicit TapFan(std::uint64_t seed) : seed_(seed) {}
  // Outlives this.
  void add(ReadTap* taker);

  void take(const SampledRead& read) override;
  [[nodiscard]] double chance(FeatureId feature) const override;

 private:
  std::uint64_t seed_;
  std::size_t count_ = 0;
  std::array<ReadTap*, kTakersMax> takers_{};
  std::atomic<std::uint64_t> draws_{0};
};

}  // namespace candor
