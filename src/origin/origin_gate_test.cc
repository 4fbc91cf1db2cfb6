#include "origin/origin_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using testing::HasSubstr;

const Error kDown{ErrorCode::kOriginDown, "connection refused"};
const Error kLate{ErrorCode::kTimeout, "no answer by the deadline"};
const Error kRefusedByDatabase{ErrorCode::kRejected, "syntax error"};

class OriginGateTest : public testing::Test {
 protected:
  OriginGate gate{{.name = "shop", .max_concurrency = 8, .waiting_max = 100, .protection = {}, .seed = 3}};
  MonoTime now{1'000'000'000};

  Result<OriginGate::Pass> admit(LoadClass of = LoadClass::kNormal, OriginGate::Line line = {},
                                 Duration patience = 5s) {
    return gate.admit({of, now + patience, false}, line, now);
  }
  // One that was sent, and what came of it `took` later.
  bool one(const Error* error, Duration took = 1ms) {
    const auto pass = admit();
    if (!pass) return false;
    const MonoTime sent = now;
    now = now + took;
    gate.on_outcome(*pass, error, sent, now);
    return true;
  }
  void fail_often() {
    for (int i = 0; i < 10; ++i) one(&kDown);
  }
};

TEST_F(OriginGateTest, AnOriginThatFailsIsSparedAndTheReasonIsTold) {
  fail_often();
  const auto refused = admit();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(refused.error().message, HasSubstr("connection refused; it is spared for another"));
  EXPECT_TRUE(gate.is_shut(now));
}

TEST_F(OriginGateTest, WhatTheDatabaseRefusesIsNoFailureOfTheOrigin) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(one(&kRefusedByDatabase));
}

TEST_F(OriginGateTest, HalfOpenLetsThreeThroughAndTheirAnswersOpenTheGate) {
  fail_often();
  now = now + 600ms;
  std::vector<OriginGate::Pass> probes;
  for (int i = 0; i < 10; ++i)
    if (auto pass = admit()) probes.push_back(*pass);
  ASSERT_EQ(probes.size(), 3U);
  for (const auto& pass : probes) gate.on_outcome(pass, nullptr, now, now);
  EXPECT_TRUE(admit());
}

TEST_F(OriginGateTest, ProbesThatProveNothingMakeRoomForOthers) {
  fail_often();
  now = now + 600ms;
  for (int i = 0; i < 10; ++i) {  // in a hurry, while the origin is well
    EXPECT_TRUE(one(&kLate, 20ms));
    const auto never_sent = admit();
    ASSERT_TRUE(never_sent);
    gate.on_outcome(*never_sent, &kLate, std::nullopt, now);
    EXPECT_FALSE(gate.is_shut(now));
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(one(nullptr));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(admit()) << "it is open";
}

TEST_F(OriginGateTest, ProbesThatAreNeverAnsweredShutItAgain) {
  fail_often();
  now = now + 600ms;
  EXPECT_TRUE(one(&kLate, 2s)) << "long enough to say so";
  EXPECT_TRUE(gate.is_shut(now));
  now = now + 6s;
  // None of them is long enough; all of them together are.
  for (int i = 0; i < 3 && !gate.is_shut(now); ++i) EXPECT_TRUE(one(&kLate, 400ms));
  EXPECT_TRUE(gate.is_shut(now));
}

TEST_F(OriginGateTest, ThreeInARowWithoutAnAnswerWhileNothingElseIsAnsweredShutIt) {
  one(nullptr);
  one(&kLate, 400ms);
  one(&kLate, 400ms);
  EXPECT_FALSE(gate.is_shut(now));
  one(&kLate, 400ms);
  EXPECT_TRUE(gate.is_shut(now));
}

TEST_F(OriginGateTest, SlowStatementsBesideOneThatIsAnsweredAreNoSilence) {
  std::vector<OriginGate::Pass> slow;
  for (int i = 0; i < 5; ++i) slow.push_back(admit().value());
  const MonoTime sent = now;
  now = now + 1s;
  one(nullptr);
  now = now + 4s;
  for (const auto& pass : slow) gate.on_outcome(pass, &kLate, sent, now);
  EXPECT_FALSE(gate.is_shut(now));
}

TEST_F(OriginGateTest, AMomentWithoutAnAnswerIsNoSilence) {
  one(nullptr);
  for (int i = 0; i < 9; ++i) one(&kLate, 50ms);
  EXPECT_FALSE(gate.is_shut(now));
}

TEST_F(OriginGateTest, ReadersInAHurryDoNotShutAnOriginThatAnswersOthers) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(one(&kLate, 50ms)) << i;
    ASSERT_TRUE(one(&kLate, 50ms)) << i;
    ASSERT_TRUE(one(nullptr)) << i;
  }
}

TEST_F(OriginGateTest, LateInTheLineIsNoFailureOfTheOrigin) {
  for (int i = 0; i < 100; ++i) {
    const auto pass = admit();
    ASSERT_TRUE(pass);
    now = now + 5s;
    gate.on_outcome(*pass, &kLate, std::nullopt, now);
  }
}

TEST_F(OriginGateTest, NoConnectionShutsItAndAConnectionLetsProbesIn) {
  gate.on_unreachable(kDown, now);
  EXPECT_FALSE(admit());
  gate.on_reachable(now);
  EXPECT_TRUE(admit());
}

TEST_F(OriginGateTest, WritesAreRefusedWhileItIsShutAndMoveNothing) {
  const auto write = [&] { return gate.admit({LoadClass::kCritical, now + 5s, true}, {}, now); };
  for (int i = 0; i < 20; ++i) {
    const auto pass = write();
    ASSERT_TRUE(pass);
    gate.on_outcome(*pass, &kDown, now, now);
  }
  EXPECT_FALSE(gate.is_shut(now));
  fail_often();
  EXPECT_FALSE(write());
}

TEST_F(OriginGateTest, ALongLineRefusesTheLowerClassesFirst) {
  const auto refused_from = [&](LoadClass of) {
    std::size_t waiting = 0;
    while (admit(of, {waiting, std::nullopt})) ++waiting;
    return waiting;
  };
  EXPECT_EQ(refused_from(LoadClass::kBackground), 25U);
  EXPECT_EQ(refused_from(LoadClass::kLow), 50U);
  EXPECT_EQ(refused_from(LoadClass::kNormal), 90U);
  EXPECT_EQ(refused_from(LoadClass::kCritical), 100U);
  OriginStats stats;
  gate.report(stats, now);
  EXPECT_EQ(stats.shed, (std::array<std::uint64_t, kLoadClasses>{1, 1, 1, 1}));
}

TEST_F(OriginGateTest, AWaitThatWouldOutlastTheDeadlineIsRefusedAtOnce) {
  const OriginGate::Line slow{4, now - 2s};  // its head came two seconds ago
  EXPECT_EQ(admit(LoadClass::kNormal, slow, 1s).error().code, ErrorCode::kOverloaded);
  EXPECT_TRUE(admit(LoadClass::kNormal, slow, 3s));
  EXPECT_FALSE(admit(LoadClass::kLow, slow, 3s));
  EXPECT_FALSE(admit(LoadClass::kBackground, slow, 5s));
  EXPECT_TRUE(admit(LoadClass::kCritical, slow, 2s));
}

TEST_F(OriginGateTest, ABreakerThatIsSwitchedOffLetsEverythingThrough) {
  fail_often();
  ASSERT_FALSE(admit());
  gate.adopt({.is_adaptive = false, .has_breaker = false, .retry_share = 0});
  EXPECT_TRUE(admit());
  EXPECT_FALSE(gate.is_shut(now));
  EXPECT_EQ(gate.limit(now), 8U);
  EXPECT_FALSE(gate.may_retry(now + 5s, now));
}

TEST_F(OriginGateTest, RetriesAreATenthOfTheStatementsAndABurst) {
  const MonoTime later = now + 5s;
  int granted = 0;
  while (gate.may_retry(later, now)) ++granted;
  EXPECT_EQ(granted, 10);
  for (int i = 0; i < 1000; ++i) {
    (void)gate.sent({0, 1}, 1, now);
    granted += gate.may_retry(later, now) ? 1 : 0;
  }
  EXPECT_EQ(granted, 110);
}

TEST_F(OriginGateTest, NothingIsRepeatedPastItsDeadline) { EXPECT_FALSE(gate.may_retry(now, now)); }

}  // namespace
}  // namespace candor
