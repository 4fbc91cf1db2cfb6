#include "app/replay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace candor::app {
namespace {

class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ =
        std::filesystem::temp_directory_path() / ("candor-replay-" + std::to_string(::getpid()) + ".trace");
    options_.trace = path_.string();
    options_.format = {TraceFormat::Kind::kLirs};
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void write_loop(int keys, int requests) {
    std::ofstream out(path_);
    for (int i = 0; i < requests; ++i) out << i % keys << '\n';
  }
  ReplayReport run() {
    const Result<ReplayReport> report = replay(options_);
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
    return report.value_or(ReplayReport{});
  }

  std::filesystem::path path_;
  ReplayOptions options_;
};

TEST_F(ReplayTest, CountsMissesAgainstANumberOfEntries) {
  write_loop(10, 1000);
  options_.objects = 10;
  options_.policy = l1::PolicyKind::kLru;
  const ReplayReport report = run();
  EXPECT_EQ(report.requests, 1000U);
  EXPECT_EQ(report.misses, 10U);
  EXPECT_EQ(report.entries, 10U);
  EXPECT_DOUBLE_EQ(report.miss_ratio(), 0.01);
  EXPECT_DOUBLE_EQ(report.byte_miss_ratio(), 0.01);
}

TEST_F(ReplayTest, LruMissesAllOfALoopThatDoesNotFit) {
  write_loop(11, 1000);
  options_.objects = 10;
  options_.policy = l1::PolicyKind::kLru;
  EXPECT_DOUBLE_EQ(run().miss_ratio(), 1.0);
}

TEST_F(ReplayTest, TheSameSeedGivesTheSameReport) {
  write_loop(1000, 20000);
  options_.objects = 300;
  EXPECT_EQ(run().misses, run().misses);
}

TEST_F(ReplayTest, UsesTheWholeStoreAgainstBytes) {
  write_loop(1000, 20000);
  options_.memory = std::size_t{16} << 20;  // all fits
  const ReplayReport report = run();
  EXPECT_EQ(report.misses, 1000U);
  EXPECT_EQ(report.entries, 1000U);
  EXPECT_EQ(report.requested_bytes, 20000U * 64);
  EXPECT_LE(report.memory_used, options_.memory);
}

TEST_F(ReplayTest, EvictsWhenTheStoreIsTooSmall) {
  write_loop(100000, 200000);
  options_.memory = std::size_t{4} << 20;
  const ReplayReport report = run();
  EXPECT_GT(report.evictions, 0U);
  EXPECT_LE(report.memory_used, options_.memory);
}

TEST_F(ReplayTest, NeedsExactlyOneSize) {
  write_loop(10, 10);
  EXPECT_FALSE(replay(options_).has_value());
  options_.objects = 1;
  options_.memory = 1;
  EXPECT_FALSE(replay(options_).has_value());
}

TEST_F(ReplayTest, TellsProgressAndStopsWhenAskedTo) {
  write_loop(10, 200000);
  options_.objects = 10;
  int told = 0;
  options_.progress = [&](const ReplayProgress& progress) {
    ++told;
    EXPECT_LE(progress.bytes_read, progress.bytes_total);
    return false;
  };
  const ReplayReport report = run();
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(report.is_complete);
  EXPECT_LT(report.requests, 200000U);
}

TEST_F(ReplayTest, ABadTraceIsAnError) {
  options_.objects = 10;
  EXPECT_FALSE(replay(options_).has_value());  // no file yet
}

}  // namespace
}  // namespace candor::app
