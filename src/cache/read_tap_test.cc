#include "cache/read_tap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"

namespace candor {
namespace {

class FixedChance final : public ReadTap {
 public:
  explicit FixedChance(double chance) : chance_(chance) {}
  void take(const SampledRead&) override {}
  [[nodiscard]] double chance(FeatureId) const override { return chance_.load(); }
  void set(double chance) { chance_.store(chance); }

 private:
  std::atomic<double> chance_;
};

int taken_of(ReadLanes& lanes, int reads) {
  int taken = 0;
  for (int i = 0; i < reads; ++i) taken += lanes.is_due(FeatureId{0}) ? 1 : 0;
  return taken;
}

TEST(GapTest, ItsMeanIsOneOverTheChance) {
  for (const double chance : {0.5, 0.1, 0.01}) {
    double sum = 0.0;
    for (std::uint64_t i = 0; i < 100'000; ++i) sum += gap_of(chance, mix64(i), 1U << 30);
    EXPECT_NEAR(sum / 100'000 * chance, 1.0, 0.02) << chance;
  }
  EXPECT_EQ(gap_of(1.0, 5, 100), 1U);
  EXPECT_EQ(gap_of(0.0, 5, 100), 0U);
}

TEST(ReadLanesTest, TakesThePartThatTheChanceSays) {
  const FixedChance tap(0.02);
  ReadLanes lanes(&tap, 1, 1);
  EXPECT_NEAR(taken_of(lanes, 200'000), 4000, 300);
}

TEST(ReadLanesTest, CutGapsChangeNothingOfTheChance) {
  // Most gaps are longer than where they are cut.
  const FixedChance tap(1e-5);
  ReadLanes lanes(&tap, 1, 1);
  EXPECT_NEAR(taken_of(lanes, 20'000'000), 200, 50);
}

TEST(ReadLanesTest, AChanceThatRisesIsNoticed) {
  FixedChance tap(0.0);
  ReadLanes lanes(&tap, 1, 1);
  EXPECT_EQ(taken_of(lanes, 1'000'000), 0);
  tap.set(1.0);
  EXPECT_GE(taken_of(lanes, 200'000), 200'000 - static_cast<int>(ReadLanes::kGapMax));
}

TEST(ReadLanesTest, SeveralCachesOnOneThreadKeepTheirChances) {
  const FixedChance often(0.5);
  const FixedChance seldom(0.01);
  ReadLanes first(&often, 1, 1);
  ReadLanes second(&seldom, 1, 2);
  int of_first = 0;
  int of_second = 0;
  for (int i = 0; i < 20'000; ++i) {
    of_first += first.is_due(FeatureId{0}) ? 1 : 0;
    of_second += second.is_due(FeatureId{0}) ? 1 : 0;
  }
  EXPECT_NEAR(of_first, 10'000, 400);
  EXPECT_NEAR(of_second, 200, 70);
}

TEST(ReadLanesTest, EachThreadHasItsOwn) {
  const FixedChance tap(1.0);
  ReadLanes lanes(&tap, 1, 1);
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { taken += taken_of(lanes, 10'000); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), 40'000);
}

}  // namespace
}  // namespace candor
