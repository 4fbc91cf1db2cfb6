// Randomness. `Random` is a small deterministic generator (xoshiro256**, Blackman & Vigna 2018); its seed
// comes from the EntropySource, which is the seam: io has the real one, the simulator gives out the run's
// seed.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace candor {

class EntropySource {
 public:
  virtual ~EntropySource() = default;
  [[nodiscard]] virtual std::uint64_t next_seed() = 0;
  // Unpredictable bytes for tokens and salts.
  virtual void fill(unsigned char* bytes, std::size_t count) = 0;
};

// splitmix64: one step; also the way to spread one seed over several generators.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Thread safety: none; one per owner.
class Random {
 public:
  using result_type = std::uint64_t;
  explicit constexpr Random(std::uint64_t seed) {
    for (auto& word : state_) word = seed = mix64(seed);
  }
  [[nodiscard]] static constexpr result_type min() { return 0; }
  [[nodiscard]] static constexpr result_type max() { return UINT64_MAX; }

  constexpr std::uint64_t operator()() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound). Lemire's multiply-shift without rejection: the bias is below bound / 2^64.
  constexpr std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>((*this)()) * bound) >> 64);
  }
  // Uniform in [0, 1).
  constexpr double unit() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace candor
