// With what chance reads are looked at, so that their number a second stays bounded whatever the traffic is:
// falls at once, rises by steps. Pure but for one atomic word that other threads read.
#pragma once

#include <algorithm>
#include <atomic>

namespace candor {

class PacedChance {
 public:
  // How much it may rise from one look to the next: a burst after a quiet moment is met with little more than
  // the chance of before.
  static constexpr double kRise = 1.5;

  explicit PacedChance(double first = 0.0) : chance_(first) {}
  PacedChance(const PacedChance& other) : chance_(other.get()) {}
  PacedChance& operator=(const PacedChance&) = delete;

  [[nodiscard]] double get() const { return chance_.load(std::memory_order_relaxed); }
  void set(double chance) { chance_.store(chance, std::memory_order_relaxed); }

  // `looked`: reads since the last call; `allowed`: as many as there should have been; `most`: the chance
  // that is not exceeded.
  void pace(double looked, double allowed, double most) {
    const double now = get();
    const double wanted = looked <= 0.0 ? most : now * allowed / looked;
    set(std::min({most, wanted, now <= 0.0 ? most : now * kRise}));
  }

 private:
  std::atomic<double> chance_;
};

}  // namespace candor
