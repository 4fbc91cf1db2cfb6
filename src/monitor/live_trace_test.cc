#include "monitor/live_trace.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"

namespace candor {
namespace {

constexpr FeatureId kTraced{0}, kUntraced{1};
using TraceKind = TraceEvent::Kind;

class LiveTraceTest : public ::testing::Test {
 protected:
  std::uint64_t open(TraceFilter filter) {
    const auto id = trace_.open(std::move(filter), 1.0);
    EXPECT_TRUE(id.has_value());
    return id.value_or(0);
  }
  void hit(std::string_view key, l1::Millis fresh_within = -1) {
    SampledRead read;
    read.feature = kTraced;
    read.key = key;
    read.tier = Tier::kL1;
    read.fresh_within = fresh_within;
    trace_.take(read);
  }
  void miss(std::string_view key, Duration took, Tier tier = Tier::kOrigin) {
    AnsweredRead read;
    read.tier = tier;
    read.took = took;
    trace_.on_answered({kTraced, key}, read);
  }
  std::size_t seen(std::uint64_t watcher) { return trace_.take(watcher).events.size(); }

  VirtualExecutor clock_;
  LiveTrace trace_{2, &clock_};
};

TEST_F(LiveTraceTest, UnwatchedItAsksForNoReads) {
  EXPECT_EQ(trace_.chance(kTraced), 0.0);
  const auto id = open({});
  EXPECT_EQ(trace_.chance(kTraced), 1.0);
  trace_.close(id);
  EXPECT_EQ(trace_.chance(kTraced), 0.0);
  miss("a", 1ms);
  EXPECT_FALSE(trace_.is_watched());
}

TEST_F(LiveTraceTest, AWatcherOfOneFeatureOrOfMissesLeavesTheOthersAlone) {
  TraceFilter filter;
  filter.feature = kUntraced;
  const auto id = open(filter);
  EXPECT_EQ(trace_.chance(kTraced), 0.0);
  EXPECT_EQ(trace_.chance(kUntraced), 1.0);
  trace_.close(id);
  TraceFilter slow;
  slow.slower = 1ms;
  (void)open(slow);
  EXPECT_EQ(trace_.chance(kUntraced), 0.0);
}

TEST_F(LiveTraceTest, FiltersByKeyTierAndTime) {
  TraceFilter keys;
  keys.key_glob = "a*";
  TraceFilter l2;
  l2.tier = Tier::kL2;
  TraceFilter slow;
  slow.slower = 5ms;
  const auto by_key = open(keys), by_tier = open(l2), by_time = open(slow);
  hit("a1");
  hit("b1");
  miss("a2", 10ms);
  miss("b2", 5ms, Tier::kL2);
  trace_.on_invalidate({kTraced, "a3"}, "command");
  trace_.on_invalidate_feature(kTraced);
  EXPECT_EQ(seen(by_key), 4U);  // what holds for every key holds for a*
  EXPECT_EQ(seen(by_tier), 1U);
  EXPECT_EQ(seen(by_time), 1U);
}

TEST_F(LiveTraceTest, WhatIsNotProvenIsStalerThanAnything) {
  TraceFilter stale;
  stale.staler = 100ms;
  const auto id = open(stale);
  hit("proven", 100);
  hit("older", 101);
  hit("not proven");
  EXPECT_EQ(seen(id), 2U);
}

TEST_F(LiveTraceTest, OutcomesAndKindsCanBeAskedFor) {
  TraceFilter errors;
  errors.outcome = "error";
  TraceFilter changes;
  changes.kinds = {TraceKind::kChange, TraceKind::kInvalidation};
  const auto failed = open(errors), changed = open(changes);
  AnsweredRead read;
  read.error = "origin down";
  trace_.on_answered({kTraced, "a"}, read);
  trace_.on_change_applied(kTraced, "a", Change{});
  trace_.on_invalidate({kTraced, "a"}, "change");  // the same once more
  trace_.on_fill({kTraced, "a"}, Stamp{}, FillOutcome::kStored);
  const auto events = trace_.take(failed).events;
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, "origin down");
  EXPECT_EQ(seen(changed), 1U);
}

TEST_F(LiveTraceTest, TheRateAndTheQueueAreBoundedAndCounted) {
  TraceFilter filter;
  filter.rate = 10;
  const auto id = open(filter);
  for (int i = 0; i < 25; ++i) miss("a", 1ms);
  LiveTrace::Taken taken = trace_.take(id);
  EXPECT_EQ(taken.events.size(), 10U);
  EXPECT_EQ(taken.left_out, 15U);
  clock_.advance(1s);
  miss("a", 1ms);
  EXPECT_EQ(seen(id), 1U);

  TraceFilter fast;
  fast.rate = 1'000'000;
  const auto flooded = open(fast);
  for (std::size_t i = 0; i < LiveTrace::kWaitingMax + 5; ++i) miss("a", 1ms);
  taken = trace_.take(flooded);
  EXPECT_EQ(taken.events.size(), LiveTrace::kWaitingMax);
  EXPECT_EQ(taken.left_out, 5U);
}

TEST_F(LiveTraceTest, OnlySoManyMayWatch) {
  for (std::size_t i = 0; i < LiveTrace::kWatchersMax; ++i) (void)open({});
  EXPECT_FALSE(trace_.open({}, 1.0).has_value());
}

TEST_F(LiveTraceTest, ASecondWatcherDoesNotBeginWithEveryHit) {
  TraceFilter changes;
  changes.kinds = {TraceKind::kChange};
  ASSERT_TRUE(trace_.open(changes, 0.01));
  for (int i = 0; i < 40; ++i) {
    clock_.advance(100ms);
    (void)trace_.pace();
  }
  ASSERT_TRUE(trace_.open({}, 0.01));
  EXPECT_LE(trace_.chance(kTraced), 0.01);
}

TEST_F(LiveTraceTest, ManyHitsLowerTheChanceAndFewRaiseIt) {
  (void)open({});
  for (int i = 0; i < 50'000; ++i) hit("a");
  clock_.advance(100ms);
  EXPECT_FALSE(trace_.pace());
  EXPECT_NEAR(trace_.chance(kTraced), 0.01, 1e-3);
  bool redraws = false;
  for (int i = 0; i < 40; ++i) {
    clock_.advance(100ms);
    redraws = trace_.pace() || redraws;
  }
  EXPECT_TRUE(redraws);
  EXPECT_EQ(trace_.chance(kTraced), 1.0);
}

}  // namespace
}  // namespace candor
