#include "origin/function_origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "origin/test_world.h"

namespace candor {
namespace {

using testing::HasSubstr;

class FunctionOriginTest : public testing::Test {
 protected:
  testing_world::World world_;
  FunctionOrigin origin_{
      {.name = "own", .max_concurrency = 2, .waiting_max = 3}, world_.executor, world_.pool};

  std::unique_ptr<OriginFeature> bind(OriginFunctions functions) {
    origin_.set_functions("f", std::move(functions));
    auto feature = origin_.bind({.feature = "f"});
    EXPECT_TRUE(feature);
    return std::move(*feature);
  }
  static Result<std::optional<std::string>> echo(std::string_view key) {
    return "<" + std::string(key) + ">";
  }
};

TEST_F(FunctionOriginTest, LoadsByTheFunction) {
  auto f = bind({.load = echo});
  EXPECT_EQ(world_.run(f->load("a", world_.in(1s)))->value, "<a>");
  EXPECT_FALSE(f->can_store());
  EXPECT_EQ(world_.run(f->store("a", "b", world_.in(1s))).error().code, ErrorCode::kReadOnly);
}

TEST_F(FunctionOriginTest, StoresAndErasesByTheFunction) {
  std::string log;
  auto f = bind({.load = echo,
                 .store = [&](std::string_view k, std::string_view v) -> Result<void> {
                   log += "store " + std::string(k) + "=" + std::string(v) + ";";
                   return {};
                 },
                 .erase = [&](std::string_view k) -> Result<void> {
                   log += "erase " + std::string(k) + ";";
                   return {};
                 }});
  EXPECT_TRUE(world_.run(f->store("a", "b", world_.in(1s))));
  EXPECT_TRUE(world_.run(f->erase("a", world_.in(1s))));
  EXPECT_EQ(log, "store a=b;erase a;");
}

TEST_F(FunctionOriginTest, AnExceptionIsAnErrorOfThatLoad) {
  auto f = bind({.load = [](std::string_view) -> Result<std::optional<std::string>> {
    throw std::runtime_error("oops");
  }});
  auto row = world_.run(f->load("a", world_.in(1s)));
  EXPECT_EQ(row.error().code, ErrorCode::kRejected);
  EXPECT_THAT(row.error().message, HasSubstr("oops"));
}

TEST_F(FunctionOriginTest, CallsAndTheLineAreBounded) {
  auto f = bind({.load = echo});
  std::vector<std::optional<Result<OriginRow>>> rows(10);
  for (auto& row : rows) world_.start(f->load("a", world_.in(1s)), &row);
  EXPECT_EQ(world_.pool.held(), 2u);
  EXPECT_EQ(origin_.stats().waiting, 3u);
  world_.settle();
  int refused = 0;
  for (auto& row : rows) refused += !*row && row->error().code == ErrorCode::kOverloaded;
  EXPECT_EQ(refused, 5);
  EXPECT_EQ(origin_.stats().in_flight_max, 2u);
}

TEST_F(FunctionOriginTest, TheDeadlineAnswersAndTheCallKeepsItsPlace) {
  auto f = bind({.load = echo});
  std::optional<Result<OriginRow>> row;
  world_.start(f->load("a", world_.in(1s)), &row);
  world_.executor.advance(2s);
  EXPECT_EQ(row->error().code, ErrorCode::kTimeout);
  EXPECT_EQ(origin_.stats().in_flight, 1u);
  world_.settle();
  EXPECT_EQ(origin_.stats().in_flight, 0u);
}

// Eight calls are the first limit; it has no baseline and dips to two. None of the two answers for long.
TEST_F(FunctionOriginTest, WhatWaitsGoesOnWhenADipOfTheLimitEnds) {
  FunctionOrigin origin({.name = "own", .max_concurrency = 32}, world_.executor, world_.pool);
  origin.set_functions("f", {.load = echo});
  auto f = std::move(*origin.bind({.feature = "f"}));
  std::vector<std::optional<Result<OriginRow>>> rows(100);
  for (auto& row : rows) world_.start(f->load("a", world_.in(1h)), &row);
  world_.executor.run_ready();
  ASSERT_EQ(origin.stats().limit, 8u);
  for (int i = 0; i < 60 && origin.stats().limit == 8u; ++i) {
    world_.executor.advance(100ms);
    ASSERT_TRUE(world_.pool.run_one());
    world_.executor.run_ready();
  }
  ASSERT_EQ(origin.stats().limit, 2u);
  while (world_.pool.held() > 2) {
    ASSERT_TRUE(world_.pool.run_one());
    world_.executor.run_ready();
  }
  ASSERT_GT(origin.stats().waiting, 6u);
  world_.executor.advance(ConcurrencyLimit::kDipMax);
  EXPECT_EQ(world_.pool.held(), 8u);
  world_.settle();
}

TEST_F(FunctionOriginTest, AFeatureNeedsItsFunction) {
  EXPECT_THAT(origin_.bind({.feature = "g"}).error().message, HasSubstr("features.g"));
  origin_.set_functions("g", {.load = echo});
  EXPECT_THAT(origin_.bind({.feature = "g", .load = "select"}).error().message, HasSubstr("keep one"));
}

}  // namespace
}  // namespace candor
