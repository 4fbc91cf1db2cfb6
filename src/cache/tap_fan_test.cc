#include "cache/tap_fan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace candor {
namespace {

// Weighs what it is given as the monitor does: by the chance that it asked for.
class CountingTaker final : public ReadTap {
 public:
  explicit CountingTaker(double chance) : chance_(chance) {}
  void take(const SampledRead&) override { ++taken; }
  [[nodiscard]] double chance(FeatureId) const override { return chance_; }
  [[nodiscard]] double estimate() const { return static_cast<double>(taken) / chance_; }
  void set(double chance) { chance_ = chance; }
  std::uint64_t taken = 0;

 private:
  double chance_;
};

void read(TapFan& fan, int reads) {
  ReadLanes lanes(&fan, 1, 7);
  SampledRead one;
  for (int i = 0; i < reads; ++i)
    if (lanes.is_due(FeatureId{0})) fan.take(one);
}

TEST(TapFanTest, EachTakerSeesTheShareThatItAskedFor) {
  TapFan fan(1);
  CountingTaker often(0.2), seldom(0.01), all(1.0), none(0.0);
  for (CountingTaker* taker : {&often, &seldom, &none}) fan.add(taker);
  read(fan, 400'000);
  EXPECT_NEAR(often.estimate(), 400'000, 5'000);
  EXPECT_NEAR(seldom.estimate(), 400'000, 25'000);
  EXPECT_EQ(none.taken, 0U);
  fan.add(&all);
  const std::uint64_t before = seldom.taken;
  read(fan, 400'000);
  EXPECT_EQ(all.taken, 400'000U);
  EXPECT_NEAR(static_cast<double>(seldom.taken - before), 4'000, 250);
}

TEST(TapFanTest, OneTakersDrawSaysNothingOfAnothers) {
  TapFan fan(1);
  class Pair final : public ReadTap {
   public:
    void take(const SampledRead& r) override { last = r.at; }
    [[nodiscard]] double chance(FeatureId) const override { return 0.5; }
    l1::Millis last = -1;
  } first, second;
  CountingTaker all(1.0);
  for (ReadTap* taker : std::initializer_list<ReadTap*>{&first, &second, &all}) fan.add(taker);
  int both = 0;
  for (l1::Millis i = 0; i < 40'000; ++i) {
    SampledRead read;
    read.at = i;
    fan.take(read);
    both += first.last == i && second.last == i ? 1 : 0;
  }
  EXPECT_NEAR(both, 10'000, 400);
}

TEST(TapFanTest, AChanceThatRisesIsHeededAtOnceAfterRedraw) {
  TapFan fan(1);
  CountingTaker taker(0.0);
  fan.add(&taker);
  ReadLanes lanes(&fan, 1, 7);
  SampledRead one;
  EXPECT_FALSE(lanes.is_due(FeatureId{0}));
  taker.set(1.0);
  lanes.redraw();
  for (int i = 0; i < 10; ++i)
    if (lanes.is_due(FeatureId{0})) fan.take(one);
  EXPECT_EQ(taker.taken, 10U);
}

}  // namespace
}  // namespace candor
