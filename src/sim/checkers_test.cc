#include "sim/checkers.h"

#include <gtest/gtest.h>

namespace candor::sim {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// A history written by hand: one key, times in milliseconds.
class Story {
 public:
  Story() { key_ = h_.keys.number("f:k"); }

  Story& commit(std::uint64_t version, std::int64_t at, bool by_restore = false) {
    h_.commits.push_back({key_, version, at * kMs, by_restore});
    return *this;
  }
  Story& write(std::uint32_t session, std::uint64_t version, std::int64_t from, std::int64_t to,
               Outcome outcome = Outcome::kOk) {
    return add({.session = session,
                .kind = version == kAbsent ? OperationKind::kErase : OperationKind::kWrite,
                .outcome = outcome,
                .invoked = from * kMs,
                .responded = to * kMs,
                .version = version});
  }
  Story& read(std::uint32_t session, Level level, std::uint64_t version, std::int64_t from, std::int64_t to) {
    return add({.session = session,
                .level = level,
                .tier = Tier::kL1,
                .invoked = from * kMs,
                .responded = to * kMs,
                .version = version});
  }
  Story& bound(std::int64_t bound) {
    h_.operations.back().bound_ns = bound * kMs;
    return *this;
  }
  Story& claims(std::int64_t fresh_within) {
    h_.operations.back().fresh_within_ns = fresh_within * kMs;
    return *this;
  }
  Story& degraded() {
    h_.operations.back().degraded = true;
    return *this;
  }
  Story& token(std::uint32_t session, OperationKind kind, std::uint64_t token, std::int64_t at) {
    return add({.session = session,
                .kind = kind,
                .invoked = at * kMs,
                .responded = at * kMs + kMs / 2,
                .token = token});
  }
  Story& load(std::uint64_t lease, std::int64_t begun, std::int64_t ended) {
    h_.loads.push_back({key_, 0, lease, begun * kMs, ended * kMs});
    h_.nodes.number("n1");
    return *this;
  }
  Story& lease(std::uint64_t lease, std::int64_t granted, std::int64_t ended) {
    h_.leases.push_back({key_, lease, granted * kMs, ended * kMs});
    return *this;
  }
  Story& holds(Tier tier, std::uint64_t version) {
    h_.holdings.push_back({h_.nodes.number("n1"), key_, tier, version});
    return *this;
  }
  Story& quiet(std::int64_t from) {
    h_.quiet_from = from * kMs;
    return *this;
  }
  operator const History&() const { return h_; }  // NOLINT: a story is a history

 private:
  Story& add(Operation op) {
    op.node = h_.nodes.number("n" + std::to_string(op.session));
    op.key = key_;
    h_.operations.push_back(op);
    return *this;
  }
  History h_;
  std::uint32_t key_ = 0;
};

// Every checker but the one under test may have its own opinion; this is about one.
void expect_good(const CheckResult& result, std::uint64_t checked) {
  EXPECT_EQ(result.broken, 0U) << report({result});
  EXPECT_EQ(result.checked, checked);
}
void expect_bad(const CheckResult& result, std::size_t excerpt_lines) {
  EXPECT_EQ(result.broken, 1U) << report({result});
  ASSERT_FALSE(result.violations.empty());
  EXPECT_EQ(result.violations[0].excerpt.size(), excerpt_lines) << report({result});
}

// ---- linearizable ----

TEST(CheckLinearizableTest, StrongReadAfterTheWriteSeesIt) {
  expect_good(check_linearizable(Story().write(1, 5, 0, 2).read(2, Level::kStrong, 5, 3, 4)), 2);
}
TEST(CheckLinearizableTest, StrongReadOfTheOldValueIsShownWithTheWriteItMissed) {
  expect_bad(check_linearizable(Story()
                                    .write(1, 4, 0, 1)
                                    .write(1, 5, 2, 3)
                                    .write(1, 6, 4, 5)
                                    .read(2, Level::kStrong, 6, 6, 7)
                                    .read(3, Level::kStrong, 4, 8, 9)),
             3);
}
TEST(CheckLinearizableTest, WeakReadsAreNotHeldAgainstIt) {
  expect_good(check_linearizable(Story().write(1, 5, 0, 2).read(2, Level::kSession, 0, 3, 4)), 1);
}
TEST(CheckLinearizableTest, RefusedWriteNeverHappenedAndUnknownOneMay) {
  expect_good(check_linearizable(Story()
                                     .write(1, 5, 0, 2, Outcome::kUnknown)
                                     .read(2, Level::kStrong, 0, 3, 4)
                                     .read(2, Level::kStrong, 5, 5, 6)),
              3);
  expect_bad(
      check_linearizable(Story().write(1, 5, 0, 2, Outcome::kRefused).read(2, Level::kStrong, 5, 3, 4)), 1);
}

// ---- bound ----

TEST(CheckBoundTest, OldValueWithinTheBoundIsAllowed) {
  expect_good(check_bound(Story().commit(4, 0).commit(5, 10).read(1, Level::kBounded, 4, 19, 25).bound(10)),
              1);
}
TEST(CheckBoundTest, OldValueBeyondTheBoundIsShownWithTheCommitThatEndedIt) {
  expect_bad(
      check_bound(
          Story().commit(4, 0).commit(5, 10).commit(6, 15).read(1, Level::kBounded, 4, 21, 22).bound(10)),
      3);
}
TEST(CheckBoundTest, CountsFromTheFirstChangeNotFromTheLast) {
  expect_bad(
      check_bound(
          Story().commit(4, 0).commit(5, 10).commit(6, 29).read(1, Level::kBounded, 4, 30, 31).bound(10)),
      3);
}
TEST(CheckBoundTest, CommitThatIsNotYetVisibleSupersedesNothing) {
  expect_good(check_bound(Story().commit(4, 0).commit(5, 100).read(1, Level::kBounded, 4, 90, 91).bound(1)),
              1);
}
TEST(CheckBoundTest, ValueThatIsTrueAgainAfterAFailoverIsNotStale) {
  expect_good(check_bound(Story()
                              .commit(4, 0)
                              .commit(5, 10)
                              .commit(4, 20, true)
                              .read(1, Level::kBounded, 4, 90, 91)
                              .bound(1)),
              1);
}
TEST(CheckBoundTest, AClockThatMayRunSlowStretchesTheBound) {
  const Story story = Story().commit(4, 0).commit(5, 10).read(1, Level::kBounded, 4, 1011, 1012).bound(1000);
  EXPECT_EQ(check_bound(story).broken, 1U);
  EXPECT_EQ(check_bound(story, {.clock_ppm = 2000}).broken, 0U);
}

// ---- sessions ----

TEST(CheckSessionsTest, OwnWriteIsRead) {
  expect_good(check_sessions(Story().commit(5, 1).write(1, 5, 0, 2).read(1, Level::kSession, 5, 3, 4)), 1);
}
TEST(CheckSessionsTest, OwnWriteThatIsNotReadBreaksIt) {
  expect_bad(
      check_sessions(Story().commit(4, 0).commit(5, 2).write(1, 5, 1, 3).read(1, Level::kSession, 4, 4, 5)),
      4);
}
TEST(CheckSessionsTest, OwnEraseMustBeSeen) {
  const auto result = check_sessions(
      Story().commit(4, 0).commit(0, 2).write(1, kAbsent, 1, 3).read(1, Level::kSession, 4, 4, 5));
  EXPECT_EQ(result.broken, 1U);
}
TEST(CheckSessionsTest, AnotherSessionMayStillReadTheOldValue) {
  expect_good(
      check_sessions(Story().commit(4, 0).commit(5, 2).write(1, 5, 1, 3).read(2, Level::kSession, 4, 4, 5)),
      1);
}
TEST(CheckSessionsTest, ReadsNeverStepBack) {
  expect_bad(check_sessions(Story()
                                .commit(4, 0)
                                .commit(5, 2)
                                .read(1, Level::kSession, 5, 3, 4)
                                .read(1, Level::kSession, 4, 5, 6)),
             4);
}
TEST(CheckSessionsTest, ReadsSideBySideHaveNoOrder) {
  expect_good(check_sessions(Story()
                                 .commit(4, 0)
                                 .commit(5, 2)
                                 .read(1, Level::kSession, 5, 3, 6)
                                 .read(1, Level::kSession, 4, 5, 7)),
              2);
}
TEST(CheckSessionsTest, AnAbsenceIsTakenForTheEarliestEraseItCanBe) {
  expect_good(check_sessions(Story()
                                 .commit(4, 1)
                                 .commit(0, 2)
                                 .commit(6, 3)
                                 .commit(0, 4)
                                 .read(1, Level::kSession, 4, 5, 6)
                                 .read(1, Level::kSession, 0, 7, 8)
                                 .read(1, Level::kSession, 6, 9, 10)
                                 .read(1, Level::kSession, 0, 11, 12)),
              4);
}
TEST(CheckSessionsTest, TokenCarriesWhatItsMakerWrote) {
  const auto story = [](std::uint64_t seen) {
    return Story()
        .commit(4, 0)
        .commit(5, 2)
        .write(1, 5, 1, 3)
        .token(1, OperationKind::kToken, 77, 4)
        .token(2, OperationKind::kAdopt, 77, 5)
        .read(2, Level::kSession, seen, 6, 7);
  };
  expect_good(check_sessions(story(5)), 1);
  expect_bad(check_sessions(story(4)), 5);
}
TEST(CheckSessionsTest, TokenDoesNotCarryWhatCameAfterIt) {
  expect_good(check_sessions(Story()
                                 .commit(4, 0)
                                 .commit(5, 6)
                                 .token(1, OperationKind::kToken, 77, 4)
                                 .write(1, 5, 5, 7)
                                 .token(2, OperationKind::kAdopt, 77, 8)
                                 .read(2, Level::kSession, 4, 9, 10)),
              1);
}
TEST(CheckSessionsTest, FailoverThatLosesAWriteIsNotTheCachesLie) {
  expect_good(check_sessions(Story()
                                 .commit(4, 0)
                                 .commit(5, 2)
                                 .write(1, 5, 1, 3)
                                 .commit(4, 4, true)
                                 .read(1, Level::kSession, 4, 5, 6)),
              1);
}
TEST(CheckSessionsTest, DegradedAnswersSaidSo) {
  expect_good(
      check_sessions(
          Story().commit(4, 0).commit(5, 2).write(1, 5, 1, 3).read(1, Level::kSession, 4, 4, 5).degraded()),
      0);
}

// ---- convergence ----

TEST(CheckConvergenceTest, EverythingShowsTheLastVersion) {
  expect_good(check_convergence(Story()
                                    .commit(4, 0)
                                    .commit(5, 2)
                                    .quiet(9)
                                    .read(1, Level::kEventual, 5, 10, 11)
                                    .holds(Tier::kL2, 5)),
              2);
}
TEST(CheckConvergenceTest, ATierThatKeepsAnOldVersionBreaksIt) {
  expect_bad(check_convergence(Story().commit(4, 0).commit(5, 2).quiet(9).holds(Tier::kL2, 4)), 3);
}
TEST(CheckConvergenceTest, AnOldAnswerInTheQuietBreaksItAndOneBeforeDoesNot) {
  expect_bad(check_convergence(Story()
                                   .commit(4, 0)
                                   .commit(5, 2)
                                   .quiet(9)
                                   .read(1, Level::kEventual, 4, 8, 9)
                                   .read(1, Level::kEventual, 4, 10, 11)),
             2);
}

// ---- acknowledged ----

TEST(CheckAcknowledgedTest, AcknowledgedWriteIsInTheOrigin) {
  expect_good(check_acknowledged(Story().commit(5, 1).write(1, 5, 0, 2).read(1, Level::kSession, 5, 3, 4)),
              2);
}
TEST(CheckAcknowledgedTest, AcknowledgedWriteThatIsNotThereIsLost) {
  expect_bad(check_acknowledged(Story().commit(4, 0).write(1, 5, 1, 2)), 2);
}
TEST(CheckAcknowledgedTest, AcknowledgedBeforeItWasVisibleIsLostToWhoeverReadsNow) {
  EXPECT_EQ(check_acknowledged(Story().commit(5, 9).write(1, 5, 1, 2)).broken, 1U);
}
TEST(CheckAcknowledgedTest, WriteOfUnknownOutcomeOwesNothing) {
  expect_good(check_acknowledged(Story().write(1, 5, 1, 2, Outcome::kUnknown)), 0);
}
TEST(CheckAcknowledgedTest, EraseOfAnAbsentRowCommitsNothing) {
  expect_good(check_acknowledged(Story().write(1, kAbsent, 1, 2)), 1);
}
TEST(CheckAcknowledgedTest, ReadOfWhatNobodyCommittedIsBroken) {
  EXPECT_EQ(check_acknowledged(Story().commit(5, 9).read(1, Level::kEventual, 5, 1, 2)).broken, 1U);
  EXPECT_EQ(check_acknowledged(Story().read(1, Level::kEventual, 5, 1, 2)).broken, 1U);
}

// ---- leases ----

TEST(CheckLeasesTest, OneLoadForEachLease) {
  expect_good(check_leases(Story().lease(7, 0, 5).load(7, 1, 4).lease(8, 5, 9).load(8, 6, 7).load(0, 6, 7)),
              4);
}
TEST(CheckLeasesTest, TwoLoadsUnderOneLeaseBreakIt) {
  expect_bad(check_leases(Story().lease(7, 0, 5).load(7, 1, 4).load(7, 2, 3)), 2);
}
TEST(CheckLeasesTest, TwoLeasesOfOneKeyAtOneTimeBreakIt) {
  expect_bad(check_leases(Story().lease(7, 0, 5).lease(8, 4, 9)), 2);
}
TEST(CheckLeasesTest, LoadBeforeItsLeaseBreaksIt) {
  expect_bad(check_leases(Story().lease(7, 3, 5).load(7, 1, 4)), 1);
}

// ---- claims ----

TEST(CheckClaimsTest, ClaimThatIsNoYoungerThanTheTruthHolds) {
  expect_good(check_claims(Story()
                               .commit(4, 0)
                               .commit(5, 10)
                               .read(1, Level::kEventual, 4, 15, 16)
                               .claims(5)
                               .read(1, Level::kEventual, 5, 15, 16)
                               .claims(0)),
              2);
}
TEST(CheckClaimsTest, ClaimThatIsYoungerThanTheTruthBreaksIt) {
  expect_bad(check_claims(Story().commit(4, 0).commit(5, 10).read(1, Level::kEventual, 4, 16, 17).claims(5)),
             3);
}
TEST(CheckClaimsTest, NoClaimIsNothingToCheck) {
  expect_good(check_claims(Story().commit(4, 0).commit(5, 10).read(1, Level::kEventual, 4, 99, 100)), 0);
}

// ---- together ----

TEST(CheckAllTest, ReportGivesARateForWhatHeldAndTheExcerptOfWhatDidNot) {
  const auto results = check_all(
      Story().commit(4, 0).commit(5, 10).read(1, Level::kBounded, 4, 30, 31).bound(10).write(2, 5, 9, 11));
  EXPECT_FALSE(holds(results));
  const std::string text = report(results);
  EXPECT_NE(text.find("bound          1 checked, 1 BROKEN"), std::string::npos) << text;
  EXPECT_NE(text.find("acknowledged   2 checked, none broken (rate below 1.5)"), std::string::npos) << text;
  EXPECT_NE(text.find("version 4 of f:k had been superseded for 20 ms; the bound is 10 ms"),
            std::string::npos)
      << text;
}

TEST(CheckAllTest, ShowsTheFirstFewOnlyAndCountsAll) {
  Story story;
  story.commit(4, 0).commit(5, 10);
  for (int i = 0; i < 10; ++i) story.read(1, Level::kBounded, 4, 30 + i, 31 + i).bound(10);
  const auto result = check_bound(story);
  EXPECT_EQ(result.broken, 10U);
  EXPECT_EQ(result.violations.size(), CheckOptions{}.violations_max);
}

}  // namespace
}  // namespace candor::sim
