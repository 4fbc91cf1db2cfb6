#include "base/units.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace candor {
namespace {

TEST(UnitsTest, EveryDurationUnitIsUnderstood) {
  EXPECT_EQ(*parse_duration("7ns"), 7ns);
  EXPECT_EQ(*parse_duration("7us"), 7us);
  EXPECT_EQ(*parse_duration("250ms"), 250ms);
  EXPECT_EQ(*parse_duration("5s"), 5s);
  EXPECT_EQ(*parse_duration("10m"), 10min);
  EXPECT_EQ(*parse_duration("24h"), 24h);
  EXPECT_EQ(*parse_duration("30d"), 24h * 30);
}

TEST(UnitsTest, ZeroNeedsNoUnit) {
  EXPECT_EQ(*parse_duration("0"), Duration::zero());
  EXPECT_EQ(*parse_size("0"), 0U);
}

TEST(UnitsTest, DurationsWithoutUnitSignOrSenseAreRefused) {
  for (const char* bad : {"", "5", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5sec", "5s ", "0x5s",
                          "99999999999999999999s", "293d4h "})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(UnitsTest, TheErrorSaysWhatToWrite) {
  EXPECT_EQ(parse_duration("5").error().message,
            "\"5\" is not a duration: write a whole number and a unit, such as \"250ms\", \"5s\", \"10m\" or "
            "\"24h\"");
}

TEST(UnitsTest, ADurationThatDoesNotFitIsRefused) {
  EXPECT_TRUE(parse_duration("106751d"));
  EXPECT_EQ(parse_duration("106752d").error().message, "\"106752d\" is too large");
}

TEST(UnitsTest, EverySizeUnitIsUnderstood) {
  EXPECT_EQ(*parse_size("12"), 12U);
  EXPECT_EQ(*parse_size("12B"), 12U);
  EXPECT_EQ(*parse_size("64KiB"), 64U << 10);
  EXPECT_EQ(*parse_size("256MiB"), 256U << 20);
  EXPECT_EQ(*parse_size("10GiB"), std::uint64_t{10} << 30);
  EXPECT_EQ(*parse_size("2TiB"), std::uint64_t{2} << 40);
}

TEST(UnitsTest, DecimalUnitsAreRefusedBecauseTheyMeanTwoThings) {
  for (const char* bad : {"1KB", "1MB", "1k", "1M", "1mib", "-1MiB", "1 MiB", "MiB", ""})
    EXPECT_FALSE(parse_size(bad)) << bad;
}

RC_GTEST_PROP(UnitsTest, FormattedDurationsParseBack, ()) {
  const Duration d{*rc::gen::inRange<std::int64_t>(0, INT64_MAX)};
  RC_ASSERT(*parse_duration(format_duration(d)) == d);
}

RC_GTEST_PROP(UnitsTest, FormattedSizesParseBack, ()) {
  const auto size = static_cast<std::uint64_t>(*rc::gen::inRange<std::int64_t>(0, INT64_MAX));
  RC_ASSERT(*parse_size(format_size(size)) == size);
}

TEST(UnitsTest, TheShortestExactFormIsChosen) {
  EXPECT_EQ(format_duration(60s), "1m");
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_size(256U << 20), "256MiB");
  EXPECT_EQ(format_size(1000), "1000B");
}

}  // namespace
}  // namespace candor
