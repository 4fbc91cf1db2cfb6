#include "monitor/ttl_picture.h"

#include <gtest/gtest.h>

#include <numeric>

namespace candor {
namespace {

TEST(TtlPictureTest, EveryEntryIsInOnePlace) {
  TtlPicture picture;
  picture.add(std::nullopt, true);
  picture.add(-5s, true);
  picture.add(Duration{0}, true);
  for (const Duration left : std::initializer_list<Duration>{1ms, 1s, 1500ms, 7s, 48h})
    picture.add(left, false);
  EXPECT_EQ(picture.entries(), 8U);
  EXPECT_EQ(picture.without_expiry(), 1U);
  EXPECT_EQ(picture.past(), 2U);
  EXPECT_EQ(std::accumulate(picture.buckets().begin(), picture.buckets().end(), std::uint64_t{0}), 5U);
  EXPECT_EQ(picture.buckets()[0], 2U);  // up to one second, its edge included
  EXPECT_EQ(picture.buckets().back(), 1U);
}

TEST(TtlPictureTest, ExpiriesAheadAddUp) {
  TtlPicture picture;
  picture.add(500ms, true);
  picture.add(5s, false);
  picture.add(5min, true);
  const auto ahead = picture.ahead();
  EXPECT_EQ(ahead[0].all, 1U);
  EXPECT_EQ(ahead[1].all, 2U);
  EXPECT_EQ(ahead[1].read, 1U);
  EXPECT_EQ(ahead[2].all, 2U);
  EXPECT_EQ(ahead[3].all, 3U);
}

TEST(TtlPictureTest, ThePeakIsOfWhatIsRead) {
  TtlPicture picture;
  for (int i = 0; i < 100; ++i) picture.add(3500ms, false);
  for (int i = 0; i < 7; ++i) picture.add(12'300ms, true);
  EXPECT_EQ(picture.peak().expiries, 7U);
  EXPECT_EQ(picture.peak().in, 12s);
  EXPECT_EQ(TtlPicture().peak().expiries, 0U);
}

TEST(StampedeRiskTest, ComparesThePeakWithWhatTheOriginTakes) {
  const StampedeRisk high = stampede_risk(4000, 1.0, 10, 5ms);
  EXPECT_NEAR(*high.capacity, 2000, 1e-6);
  EXPECT_NEAR(*high.share, 2.0, 1e-9);
  EXPECT_STREQ(high.verdict, "high");
  EXPECT_STREQ(stampede_risk(1200, 1.0, 10, 5ms).verdict, "watch");
  EXPECT_STREQ(stampede_risk(120, 1.0, 10, 5ms).verdict, "low");
  EXPECT_STREQ(stampede_risk(0, 1.0, 10, 5ms).verdict, "none");
  EXPECT_STREQ(stampede_risk(120, 1.0, 10, std::nullopt).verdict, "unknown");
  EXPECT_STREQ(stampede_risk(120, 10.0, 10, 5ms).verdict, "watch");  // a tenth was looked at
}

}  // namespace
}  // namespace candor
