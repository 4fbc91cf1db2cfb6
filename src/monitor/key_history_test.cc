#include "monitor/key_history.h"

#include <gtest/gtest.h>

#include <string>

#include "base/virtual_executor.h"
#include "cache/cache.h"

namespace candor {
namespace {

constexpr FeatureId kRemembered{0}, kOther{1};
using EventKind = KeyEvent::Kind;

class KeyHistoryTest : public ::testing::Test {
 protected:
  std::vector<KeyEvent> of(std::string_view key) { return history_.of({kRemembered, key}, 100); }
  VirtualExecutor clock_;
  KeyHistory history_{64U << 10, &clock_, 1};
};

TEST_F(KeyHistoryTest, TellsALoadAndWhatBecameOfIt) {
  history_.on_load({kRemembered, "a"}, 3ms, true);
  history_.on_fill({kRemembered, "a"}, Stamp{.up_to = ChangeId{7}}, FillOutcome::kFenced);
  history_.on_load({kRemembered, "b"}, 9ms, false);
  ASSERT_EQ(of("a").size(), 1U);
  EXPECT_EQ(of("a")[0].took, 3ms);
  EXPECT_EQ(of("a")[0].outcome, FillOutcome::kFenced);
  EXPECT_EQ(of("a")[0].id.value, 7U);
  EXPECT_TRUE(of("b").at(0).failed);
}

TEST_F(KeyHistoryTest, AChangeIsToldOnceWithItsPosition) {
  Change change;
  change.id = ChangeId{5};
  change.position = Position{6};
  history_.on_invalidate({kRemembered, "a"}, "change");
  history_.on_change_applied(kRemembered, "a", change);
  history_.on_invalidate({kRemembered, "a"}, "command");
  const auto events = of("a");
  ASSERT_EQ(events.size(), 2U);
  for (const KeyEvent& event : events)
    if (event.kind == EventKind::kChange) {
      EXPECT_EQ(event.position.value, 6U);
    }
}

TEST_F(KeyHistoryTest, WhatHoldsForAFeatureHoldsForItsKeys) {
  history_.on_invalidate_feature(kRemembered);
  history_.on_invalidate_feature(kOther);
  history_.on_invalidate_feature(std::nullopt);
  EXPECT_EQ(of("any").size(), 2U);
  EXPECT_EQ(history_.of({kOther, "any"}, 100).size(), 2U);
}

TEST_F(KeyHistoryTest, KeysThatBeginAlikeAreNotMixed) {
  const std::string long_one(100, 'x');
  history_.on_invalidate({kRemembered, long_one + "1"}, "command");
  EXPECT_EQ(of(long_one + "1").size(), 1U);
  EXPECT_TRUE(of(long_one + "2").empty());
  EXPECT_TRUE(of(long_one).empty());
  EXPECT_TRUE(history_.of({kOther, long_one + "1"}, 100).empty());
}

TEST_F(KeyHistoryTest, AFloodOfReadsDrivesNoChangeOut) {
  history_.on_change_applied(kRemembered, "a", Change{});
  for (int i = 0; i < 100'000; ++i) {
    history_.on_answered({kRemembered, "b"}, AnsweredRead{});
    clock_.advance(1ms);
  }
  EXPECT_EQ(of("a").size(), 1U);
  const auto reach = history_.reach(clock_.now());
  EXPECT_FALSE(reach[KeyHistory::kChanges].has_value());
  ASSERT_TRUE(reach[KeyHistory::kMisses].has_value());
  EXPECT_LT(*reach[KeyHistory::kMisses], 1s);
}

TEST_F(KeyHistoryTest, TheLatestComesFirstAndNoMoreThanAskedFor) {
  for (int i = 0; i < 50; ++i) {
    history_.on_invalidate({kRemembered, "a"}, "command");
    history_.on_answered({kRemembered, "a"}, AnsweredRead{});
    clock_.advance(1s);
  }
  const auto events = history_.of({kRemembered, "a"}, 10);
  ASSERT_EQ(events.size(), 10U);
  for (std::size_t i = 1; i < events.size(); ++i) EXPECT_GE(events[i - 1].at, events[i].at);
  EXPECT_EQ(events[0].at, clock_.now() - 1s);
}

TEST_F(KeyHistoryTest, AHitIsOfTheTimeThatItWasMade) {
  clock_.advance(10s);
  SightedRead read;
  read.feature = kRemembered;
  read.key = "a";
  read.at = 9'000;
  read.loaded_at = 4'000;
  read.weight = 64.0;
  history_.on_hit(read);
  EXPECT_EQ(of("a").at(0).at.ms(), 9'000);
  EXPECT_EQ(of("a").at(0).age, 5s);
  EXPECT_EQ(of("a").at(0).fresh_within, Duration{-1});
}

TEST(KeyHistoryBytesTest, StaysWithinItsBytesAndMayBeOff) {
  const VirtualExecutor clock;
  EXPECT_LE(KeyHistory(1U << 20, &clock, 1).bytes(), 1U << 20);
  KeyHistory off(0, &clock, 1);
  off.on_invalidate({kRemembered, "a"}, "command");
  EXPECT_TRUE(off.of({kRemembered, "a"}, 10).empty());
}

}  // namespace
}  // namespace candor
