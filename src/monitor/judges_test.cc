// One read, one verdict: what the stream and the origin make of it.
#include <gtest/gtest.h>

#include "monitor/change_history.h"
#include "monitor/origin_judge.h"
#include "monitor/read_intake.h"
#include "monitor/span_tally.h"
#include "monitor/stream_judge.h"

namespace candor {
namespace {

constexpr MonoTime at(double seconds) { return MonoTime{static_cast<std::int64_t>(seconds * 1e9)}; }
constexpr std::uint64_t kKey = 7;
constexpr std::uint64_t kFeature = 99;

PickedRead read_at(double when, double loaded, std::uint64_t stamp = 10) {
  PickedRead read;
  read.key = "k";
  read.key_hash = kKey;
  read.value_hash = 1;
  read.at = at(when);
  read.loaded_at = at(loaded);
  read.stamp.up_to = ChangeId{stamp};
  read.is_checked = true;
  return read;
}
HeardChange change(std::uint64_t id, double committed, double applied) {
  return {ChangeId{id}, at(committed), at(applied)};
}
OriginJudge::Answer answer(double when, std::uint64_t value) {
  OriginJudge::Answer out;
  out.asked = out.answered = at(when);
  out.value_hash = value;
  return out;
}

// ---- commit times ----

TEST(CommitTimeTest, TheOriginsClockIsBelievedWithinWhatIsKnownHere) {
  const WallTime wall{1'000'000'000'000};
  // 300 ms ago by the origin's clock; proven until 1 s ago.
  EXPECT_EQ(commit_time(WallTime{wall.ns - 300'000'000}, wall, at(100), at(99)), at(99.7));
  // A clock that is an hour behind says an hour ago: not before the proof.
  EXPECT_EQ(commit_time(WallTime{wall.ns - 3'600'000'000'000}, wall, at(100), at(99)), at(99));
  // One that is ahead says "in the future": not after it was applied.
  EXPECT_EQ(commit_time(WallTime{wall.ns + 5'000'000'000}, wall, at(100), at(99)), at(100));
  // A feed that does not say: the middle.
  EXPECT_EQ(commit_time(WallTime{0}, wall, at(100), at(99)), at(99.5));
}

// ---- history ----

TEST(ChangeHistoryTest, TheFirstMissingChangeIsTheFirstThatTheLoadDidNotInclude) {
  ChangeHistory history(100);
  history.add(kKey, change(9, 1, 1.1));
  history.add(kKey, change(12, 5, 5.1));
  history.add(kKey, change(15, 8, 8.1));
  EXPECT_EQ(history.first_missing(kKey, StampBound{ChangeId{10}}, at(2))->id.value, 12U);
  EXPECT_EQ(history.first_missing(kKey, StampBound{ChangeId{12}}, at(6))->id.value, 15U);
  EXPECT_FALSE(history.first_missing(kKey, StampBound{ChangeId{15}}, at(9)));
  EXPECT_FALSE(history.first_missing(kKey + 1, StampBound{ChangeId{10}}, at(2)));
}

TEST(ChangeHistoryTest, WhatWasDroppedIsNotCovered) {
  ChangeHistory history(2);
  history.begin_anew(at(1));
  history.add(kKey, change(1, 1, 2));
  history.add(kKey, change(2, 2, 3));
  EXPECT_EQ(history.complete_since(), at(1));
  history.add(kKey, change(3, 3, 4));
  EXPECT_EQ(history.size(), 2U);
  EXPECT_GT(history.complete_since(), at(2));
  EXPECT_LE(history.complete_since(), at(3));
  history.forget_before(at(10));
  EXPECT_EQ(history.size(), 0U);
  EXPECT_FALSE(history.first_missing(kKey, StampBound{}, at(0)));
}

// ---- by the stream ----

struct StreamCase {
  ChangeHistory history{100};
  StreamJudge judge{StreamJudge::Options{}, &history};
  StreamCase() { history.begin_anew(at(0)); }
  std::vector<StreamJudge::Verdict> verdicts(PickedRead read, double now, double proven) {
    judge.add(std::move(read), kFeature);
    return judge.take(at(now), at(proven));
  }
};

TEST(StreamJudgeTest, AReadWaitsUntilTheStreamIsPastIt) {
  StreamCase c;
  EXPECT_TRUE(c.verdicts(read_at(10, 5), 10.1, 9.9).empty());
  c.history.add(kKey, change(11, 8, 10.2));
  const auto verdicts = c.judge.take(at(10.3), at(10.25));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_TRUE(verdicts[0].is_stale);
  EXPECT_EQ(verdicts[0].staleness, 2s);
  EXPECT_EQ(verdicts[0].cause, StaleCause::kLag);
}

TEST(StreamJudgeTest, AChangeAfterTheReadMakesNoLie) {
  StreamCase c;
  c.history.add(kKey, change(11, 10.5, 10.6));
  const auto verdicts = c.verdicts(read_at(10, 5), 11, 11);
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_FALSE(verdicts[0].is_stale);
}

TEST(StreamJudgeTest, AnOldValueAfterItsChangeWasAppliedIsARace) {
  StreamCase c;
  c.history.add(kKey, change(11, 8, 8.1));
  const auto verdicts = c.verdicts(read_at(10, 5), 11, 11);
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].cause, StaleCause::kRace);
}

TEST(StreamJudgeTest, AnOldValueServedOnPurposeIsNamedSo) {
  StreamCase c;
  c.history.add(kKey, change(11, 8, 8.1));
  PickedRead read = read_at(10, 5);
  read.degraded = true;
  EXPECT_EQ(c.verdicts(read, 11, 11).at(0).cause, StaleCause::kServeStale);
}

TEST(StreamJudgeTest, AChangeOfTheWholeFeatureCountsForEveryKey) {
  StreamCase c;
  c.history.add(kFeature, change(11, 8, 10.1));
  EXPECT_TRUE(c.verdicts(read_at(10, 5), 11, 11).at(0).is_stale);
}

TEST(StreamJudgeTest, WithoutAProofNothingIsSaid) {
  StreamCase c;
  EXPECT_TRUE(c.verdicts(read_at(10, 5), 20, 9).empty());
  const auto verdicts = c.judge.take(at(41), at(9));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_FALSE(verdicts[0].is_judged);
}

// ---- against the origin ----

struct OriginCase {
  ChangeHistory history{100};
  OriginJudge judge;
  explicit OriginCase(bool is_watched)
      : judge({.limit = 2s, .is_watched = is_watched}, is_watched ? &history : nullptr, kFeature, 1) {}
  std::uint64_t ask_one(double now) {
    const auto questions = judge.ask(at(now), 10);
    EXPECT_EQ(questions.size(), 1U);
    return questions.empty() ? 0 : questions[0].entry;
  }
};

TEST(OriginJudgeTest, AYoungValueNeedsNoQuestion) {
  OriginCase c(false);
  c.judge.add(read_at(10, 8.5));
  EXPECT_TRUE(c.judge.ask(at(10), 10).empty());
  const auto verdicts = c.judge.take(at(10), at(0));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].judged.over, 0.0);
}

TEST(OriginJudgeTest, TheSameValueIsNotOverTheLimit) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10), answer(10, 1));
  EXPECT_EQ(c.judge.take(at(10), at(0)).at(0).judged.over, 0.0);
}

TEST(OriginJudgeTest, AnotherValueIsOverTheLimitWithTheChanceThatItsMomentLiesThere) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10), answer(10, 2));
  const auto verdicts = c.judge.take(at(10), at(0));
  ASSERT_EQ(verdicts.size(), 1U);
  // Changed somewhere in 10 s, over if in the first 8.
  EXPECT_NEAR(verdicts[0].judged.over, 0.8, 1e-9);
  EXPECT_EQ(verdicts[0].judged.cause, StaleCause::kTtlOnly);
  EXPECT_TRUE(verdicts[0].is_stale);
}

TEST(OriginJudgeTest, EarlierAnswersNarrowTheMoment) {
  OriginCase c(false);
  c.judge.add(read_at(4, 0));
  c.judge.answered(c.ask_one(4), answer(4, 1));
  c.judge.add(read_at(7, 0));
  c.judge.answered(c.ask_one(7), answer(7, 2));
  (void)c.judge.take(at(7), at(0));
  // Between 4 and 7: a read at 9 is over for certain, and nobody is asked.
  c.judge.add(read_at(9, 0));
  EXPECT_TRUE(c.judge.ask(at(9), 10).empty());
  EXPECT_EQ(c.judge.take(at(9), at(0)).at(0).judged.over, 1.0);
}

TEST(OriginJudgeTest, ReadsOfOneEntryShareAQuestion) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  c.judge.add(read_at(10.05, 0));
  const auto questions = c.judge.ask(at(10.1), 1);
  ASSERT_EQ(questions.size(), 1U);
  c.judge.answered(questions[0].entry, answer(10.1, 1));
  EXPECT_EQ(c.judge.take(at(10.1), at(0)).size(), 2U);
}

TEST(OriginJudgeTest, ThoseThatAreAskedStandForTheOthers) {
  OriginCase c(false);
  for (std::uint64_t i = 0; i < 10; ++i) {
    PickedRead read = read_at(10, 0);
    read.key_hash = i;
    c.judge.add(std::move(read));
  }
  const auto questions = c.judge.ask(at(10), 4);
  ASSERT_EQ(questions.size(), 4U);
  for (const auto& question : questions) c.judge.answered(question.entry, answer(10, 1));
  double weight = 0.0;
  for (const auto& verdict : c.judge.take(at(10), at(0))) weight += verdict.judged.weight;
  EXPECT_NEAR(weight, 10.0, 1e-9);
}

TEST(OriginJudgeTest, WithoutQuestionsReadsWait) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  EXPECT_TRUE(c.judge.ask(at(10), 0).empty());
  EXPECT_TRUE(c.judge.take(at(10), at(0)).empty());
  EXPECT_EQ(c.judge.waiting(), 1U);
}

TEST(OriginJudgeTest, ADifferenceThatTheStreamTellsLaterIsLag) {
  OriginCase c(true);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10.1), answer(10.1, 2));
  EXPECT_TRUE(c.judge.take(at(10.2), at(10)).empty());
  c.history.add(kKey, change(11, 6, 10.5));
  const auto verdicts = c.judge.take(at(10.6), at(10.2));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].judged.cause, StaleCause::kLag);
  EXPECT_EQ(verdicts[0].judged.over, 1.0);
  EXPECT_EQ(verdicts[0].staleness, 4s);
}

TEST(OriginJudgeTest, ADifferenceThatTheStreamNeverTellsIsLost) {
  OriginCase c(true);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10.1), answer(10.1, 2));
  const auto verdicts = c.judge.take(at(10.6), at(10.5));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].judged.cause, StaleCause::kLost);
  EXPECT_GT(verdicts[0].judged.over, 0.7);
}

TEST(OriginJudgeTest, AChangeThatCameAfterTheAnswerExplainsNothing) {
  OriginCase c(true);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10.1), answer(10.1, 2));
  c.history.add(kKey, change(11, 10.2, 10.3));
  EXPECT_EQ(c.judge.take(at(10.6), at(10.5)).at(0).judged.cause, StaleCause::kLost);
}

TEST(OriginJudgeTest, ADifferenceWhileTheStreamIsSilentIsLag) {
  OriginCase c(true);
  c.judge.add(read_at(10, 0));
  c.judge.answered(c.ask_one(10.1), answer(10.1, 2));
  EXPECT_TRUE(c.judge.take(at(60), at(9)).empty());
  EXPECT_EQ(c.judge.take(at(71), at(9)).at(0).judged.cause, StaleCause::kLag);
}

TEST(OriginJudgeTest, ReloadsTellHowOftenKeysChange) {
  OriginJudge judge(OriginJudge::Options{}, nullptr, kFeature, 1);
  EXPECT_FALSE(judge.rate().per_second());
  // Half of the values differ after ten seconds: ln 2 / 10 a second.
  for (int i = 0; i < 100; ++i) judge.learn(10s, i % 2 == 0);
  ASSERT_TRUE(judge.rate().per_second());
  EXPECT_NEAR(*judge.rate().per_second(), 0.0693, 0.001);
}

TEST(OriginJudgeTest, AnOriginThatFailsIsAskedAgain) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  OriginJudge::Answer failed;
  failed.failed = true;
  failed.answered = at(10);
  c.judge.answered(c.ask_one(10), failed);
  EXPECT_TRUE(c.judge.ask(at(11), 10).empty());
  c.judge.answered(c.ask_one(13), answer(13, 1));
  EXPECT_EQ(c.judge.take(at(13), at(0)).size(), 1U);
  EXPECT_EQ(c.judge.waiting(), 0U);
}

TEST(OriginJudgeTest, AnOriginThatStaysAwayLeavesReadsUnjudged) {
  OriginCase c(false);
  c.judge.add(read_at(10, 0));
  OriginJudge::Answer failed;
  failed.failed = true;
  failed.answered = at(10);
  c.judge.answered(c.ask_one(10), failed);
  EXPECT_TRUE(c.judge.ask(at(311), 10).empty());
  EXPECT_TRUE(c.judge.take(at(311), at(0)).empty());
  EXPECT_EQ(c.judge.waiting(), 0U);
  EXPECT_EQ(c.judge.left_out(), 1U);
}

// ---- how often it changes, and when ----

TEST(ChangeRateTest, IsFoundFromAnswersAlone) {
  Random random(5);
  ChangeRate rate;
  EXPECT_FALSE(rate.per_second());
  for (int i = 0; i < 20'000; ++i) {
    const double interval = 1.0 + 60.0 * random.unit();
    rate.add(Duration{static_cast<std::int64_t>(interval * 1e9)},
             random.unit() < -std::expm1(-0.05 * interval));
  }
  EXPECT_NEAR(*rate.per_second(), 0.05, 0.002);
}

TEST(ChangeRateTest, NothingChangedIsZero) {
  ChangeRate rate;
  for (int i = 0; i < 20; ++i) rate.add(10s, false);
  EXPECT_EQ(*rate.per_second(), 0.0);
}

TEST(SupersessionTest, TheChanceFollowsTheRate) {
  Supersession when;
  when.not_before = at(0);
  when.not_after = at(10);
  EXPECT_NEAR(when.chance_over(at(7), 2s, 0.0), 0.5, 1e-9);
  // Frequent changes: the first one comes soon.
  EXPECT_GT(when.chance_over(at(7), 2s, 1.0), 0.99);
  EXPECT_EQ(when.chance_over(at(2), 2s, 1.0), 0.0);
  EXPECT_EQ(when.chance_over(at(12), 2s, 1.0), 1.0);
}

// ---- adding up ----

TEST(SpanTallyTest, WhatIsOldLeavesTheSpan) {
  SpanTally tally;
  tally.add(at(100), {.weight = 1.0, .over = 1.0, .cause = StaleCause::kLag});
  EXPECT_EQ(tally.over_span(at(130)).stale_fraction, 1.0);
  EXPECT_FALSE(tally.over_span(at(200)).is_measured());
  EXPECT_EQ(tally.since_start().by_cause[0], 1.0);
}

TEST(SpanTallyTest, AllReadsJudgedLeaveNothingToChance) {
  SpanTally tally;
  for (int i = 0; i < 10; ++i) tally.add(at(1), {.weight = 1.0, .over = i == 0 ? 1.0 : 0.0});
  const Measured measured = tally.since_start();
  EXPECT_EQ(measured.low, 0.1);
  EXPECT_EQ(measured.high, 0.1);
}

TEST(SpanTallyTest, ASampleLeavesAnInterval) {
  SpanTally tally;
  for (int i = 0; i < 10; ++i) tally.add(at(1), {.weight = 100.0, .over = i == 0 ? 1.0 : 0.0});
  const Measured measured = tally.since_start();
  EXPECT_EQ(measured.reads, 10.0);
  EXPECT_LT(measured.low, 0.03);
  EXPECT_GT(measured.high, 0.38);
}

// ---- picking ----

TEST(ReadIntakeTest, TakesAllOfAQuietFeatureAndABoundedNumberOfABusyOne) {
  ReadIntake intake(2, 1);
  const FeatureId quiet{0};
  const FeatureId busy{1};
  intake.watch(quiet, 0.0);
  intake.watch(busy, 0.05);
  intake.set_rate(quiet, 10.0);
  intake.set_rate(busy, 1e5);
  EXPECT_EQ(intake.chance(quiet), 1.0);
  EXPECT_EQ(intake.chance(busy), 0.05);  // what the owner wants checked
  intake.set_rate(busy, 1e6);
  EXPECT_EQ(intake.chance(busy), 0.01);  // 10,000 a second
  intake.set_rate(busy, 1e5);
  intake.set_rate(busy, 10'000.0);
  EXPECT_NEAR(intake.chance(busy), 0.075, 1e-9);  // rises by steps
  intake.set_rate(busy, 10'000.0);
  EXPECT_EQ(intake.chance(busy), 0.1);
}

TEST(ReadIntakeTest, ABurstIsMetAtOnceAndQuietIsBelievedSlowly) {
  ReadIntake intake(1, 1);
  const FeatureId feature{0};
  intake.watch(feature, 0.0);
  SampledRead read;
  read.feature = feature;
  read.key = "k";
  for (int i = 0; i < 2000; ++i) intake.take(read);
  (void)intake.drain();
  EXPECT_EQ(intake.chance(feature), 0.25);
  intake.set_rate(feature, 0.0);
  EXPECT_EQ(intake.chance(feature), 0.375);
}

TEST(ReadIntakeTest, ThoseThatHadNoRoomAreStoodFor) {
  ReadIntake intake(1, 1);
  intake.watch(FeatureId{0}, 0.0);
  SampledRead read;
  read.feature = FeatureId{0};
  read.key = "k";
  const std::size_t all = ReadIntake::kWaitingMax + 1000;
  for (std::size_t i = 0; i < all; ++i) intake.take(read);
  double weight = 0.0;
  for (const PickedRead& picked : intake.drain()) weight += picked.weight;
  EXPECT_NEAR(weight, static_cast<double>(all), 1e-3);
  EXPECT_EQ(intake.left_out(), 1000U);
}

TEST(ReadIntakeTest, TheCheckedPartIsWhatWasAskedFor) {
  ReadIntake intake(1, 1);
  intake.watch(FeatureId{0}, 0.2);
  SampledRead read;
  read.feature = FeatureId{0};
  read.key = "k";
  for (int i = 0; i < 10'000; ++i) intake.take(read);
  double checked = 0.0;
  for (const PickedRead& picked : intake.drain())
    if (picked.is_checked) checked += 1.0;
  EXPECT_NEAR(checked, 2000.0, 150.0);
}

}  // namespace
}  // namespace candor
