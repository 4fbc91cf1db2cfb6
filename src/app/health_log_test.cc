#include "app/health_log.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

TEST(HealthLogTest, EachOutageIsWrittenOnceWithItsLength) {
  std::vector<std::string> lines;
  HealthLog log([&](HealthLog::Change change, const std::string& reason, Duration lasted) {
    lines.push_back((change == HealthLog::Change::kBegan ? "+" : "-") + reason + " " +
                    std::to_string(lasted / 1s));
  });
  log.note({}, MonoTime{} + 1s);
  log.note({"l2_down"}, MonoTime{} + 2s);
  log.note({"l2_down", "origin_down:shop"}, MonoTime{} + 3s);
  log.note({"origin_down:shop"}, MonoTime{} + 5s);
  log.note({}, MonoTime{} + 9s);
  EXPECT_EQ(lines, (std::vector<std::string>{"+l2_down 0", "+origin_down:shop 0", "-l2_down 3",
                                             "-origin_down:shop 6"}));
}

}  // namespace
}  // namespace candor::app
