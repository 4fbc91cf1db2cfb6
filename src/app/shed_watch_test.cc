#include "app/shed_watch.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

TEST(ShedWatchTest, ABurstIsShownForAWhileAndTheBackgroundNever) {
  ShedWatch watch;
  OriginStats stats;
  MonoTime now{1};
  const auto shows = [&] {
    watch.note("shop", stats, now);
    return watch.is_shedding("shop");
  };
  EXPECT_FALSE(shows());
  stats.shed = {0, 0, 0, 7};
  EXPECT_FALSE(shows());
  stats.shed = {0, 3, 0, 7};
  EXPECT_TRUE(shows());
  now = now + 29s;
  EXPECT_TRUE(shows());
  now = now + 2s;
  EXPECT_FALSE(shows());
  EXPECT_FALSE(watch.is_shedding("other"));
}

}  // namespace
}  // namespace candor::app
