#include "app/floor_log.h"

#include <gtest/gtest.h>

#include <vector>

namespace candor::app {
namespace {

class FloorLogTest : public testing::Test {
 protected:
  void raise(std::string feature, std::string reason, Duration at) {
    log_.note({"shop", std::move(feature), std::move(reason)}, MonoTime{} + at);
  }
  std::vector<std::string> lines_;
  FloorLog log_{[this](bool is_warning, const std::string& line) {
    lines_.push_back((is_warning ? "warn " : "info ") + line);
  }};
};

TEST_F(FloorLogTest, SaysWhatIsNotTrustedAndWhyAndWhenItIsAgain) {
  raise("", "the slot was lost", 1s);
  raise("user", "its table was made anew", 2s);
  log_.note({"shop", "", "", true, 1500ms}, MonoTime{} + 3s);
  EXPECT_EQ(
      lines_,
      (std::vector<std::string>{
          "warn origin shop: nothing loaded before now is trusted (everything): the slot was lost",
          "warn origin shop: nothing loaded before now is trusted (feature user): its table was made anew",
          "info origin shop: the floor has settled after 1.5 s; what is loaded from now on is trusted"}));
}

TEST_F(FloorLogTest, FloorsWithoutEndDoNotFillTheDisk) {
  for (int i = 0; i < 1000; ++i) raise("", "again", 1s + i * 10ms);
  EXPECT_EQ(lines_.size(), FloorLog::kLinesMax);
  raise("", "again", 90s);
  ASSERT_EQ(lines_.size(), FloorLog::kLinesMax + 1);
  EXPECT_NE(lines_.back().find("(990 lines like this were not written)"), std::string::npos) << lines_.back();
}

}  // namespace
}  // namespace candor::app
