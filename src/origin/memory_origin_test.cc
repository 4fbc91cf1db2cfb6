#include "origin/memory_origin.h"

#include <gtest/gtest.h>

#include "origin/test_world.h"

namespace candor {
namespace {

class MemoryOriginTest : public testing::Test {
 protected:
  testing_world::World world_;
  MemoryOrigin origin_{world_.executor};
  std::unique_ptr<OriginFeature> f_ = std::move(*origin_.bind({.feature = "f"}));

  Result<OriginRow> load(const std::string& key) { return world_.run(f_->load(key, world_.in(1s))); }
};

TEST_F(MemoryOriginTest, StoresLoadsAndErases) {
  EXPECT_FALSE(load("a")->value);
  const auto written = world_.run(f_->store("a", "1", world_.in(1s)));
  EXPECT_EQ(load("a")->value, "1");
  EXPECT_TRUE(load("a")->stamp.includes(written->change));
  EXPECT_EQ(world_.run(f_->erase("a", world_.in(1s)))->rows, 1u);
  EXPECT_FALSE(load("a")->value);
  EXPECT_EQ(origin_.stats().loads, 4u);
}

TEST_F(MemoryOriginTest, FailsWhileToldTo) {
  origin_.put("f", "a", "1");
  origin_.fail_with({ErrorCode::kOriginDown, "gone"});
  EXPECT_EQ(load("a").error().code, ErrorCode::kOriginDown);
  EXPECT_FALSE(world_.run(origin_.prepare()));
  origin_.heal();
  EXPECT_EQ(load("a")->value, "1");
}

TEST_F(MemoryOriginTest, AStalledLoadSeesWhatWasWrittenMeanwhile) {
  origin_.stall();
  std::optional<Result<OriginRow>> row;
  world_.start(f_->load("a", world_.in(1s)), &row);
  world_.settle();
  EXPECT_FALSE(row.has_value());
  origin_.put("f", "a", "late");
  origin_.resume();
  EXPECT_EQ((*row)->value, "late");
}

TEST_F(MemoryOriginTest, AStalledLoadEndsAtItsDeadline) {
  origin_.stall();
  std::optional<Result<OriginRow>> row;
  world_.start(f_->load("a", world_.in(1s)), &row);
  world_.executor.advance(2s);
  EXPECT_EQ(row->error().code, ErrorCode::kTimeout);
  origin_.resume();
  EXPECT_EQ(origin_.stats().in_flight, 0u);
}

TEST_F(MemoryOriginTest, LatencyPastTheDeadlineIsATimeout) {
  origin_.set_latency(2s);
  std::optional<Result<OriginRow>> row;
  world_.start(f_->load("a", world_.in(1s)), &row);
  world_.executor.advance(1s);
  EXPECT_EQ(row->error().code, ErrorCode::kTimeout);
}

TEST_F(MemoryOriginTest, ReadOnlyFeaturesRefuseWrites) {
  origin_.set_read_only(true);
  auto g = std::move(*origin_.bind({.feature = "g"}));
  EXPECT_FALSE(g->can_store());
  EXPECT_EQ(world_.run(g->store("a", "1", world_.in(1s))).error().code, ErrorCode::kReadOnly);
}

}  // namespace
}  // namespace candor
