#include "base/breaker.h"

#include <gtest/gtest.h>

#include "base/backoff.h"

namespace candor {
namespace {

class BreakerTest : public ::testing::Test {
 protected:
  Breaker::Options options() const {
    Breaker::Options o;
    o.window = 10s;
    o.outcomes_min = 4;
    o.failure_share = 0.5;
    o.cool_down = 1s;
    o.cool_down_max = 4s;
    o.jitter = 0;
    o.probes = 2;
    o.probe_patience = 3s;
    return o;
  }
  void call(bool ok) {
    auto ticket = breaker.admit(now);
    ASSERT_TRUE(ticket.has_value());
    breaker.record(*ticket, ok, now);
  }
  void open_it() {
    for (int i = 0; i < 4; ++i) call(false);
    ASSERT_EQ(breaker.state(now), Breaker::State::kOpen);
  }
  MonoTime now{1'000'000'000'000};
  Breaker breaker{options(), 1};
};

TEST_F(BreakerTest, FewFailuresProveNothing) {
  for (int i = 0; i < 3; ++i) call(false);
  EXPECT_EQ(breaker.state(now), Breaker::State::kClosed);
}

TEST_F(BreakerTest, OpensAtTheShareOfFailures) {
  call(true);
  call(true);
  call(false);
  EXPECT_EQ(breaker.state(now), Breaker::State::kClosed);
  call(false);
  EXPECT_EQ(breaker.state(now), Breaker::State::kOpen);
  EXPECT_FALSE(breaker.admit(now).has_value());
  EXPECT_EQ(breaker.times_opened(), 1U);
}

TEST_F(BreakerTest, FailuresOutsideTheWindowAreForgotten) {
  for (int i = 0; i < 3; ++i) call(false);
  now = now + 11s;
  call(false);
  EXPECT_EQ(breaker.state(now), Breaker::State::kClosed);
}

TEST_F(BreakerTest, HalfOpenLetsOnlyTheProbesThrough) {
  open_it();
  now = now + 1s;
  EXPECT_EQ(breaker.state(now), Breaker::State::kHalfOpen);
  EXPECT_TRUE(breaker.admit(now).has_value());
  EXPECT_TRUE(breaker.admit(now).has_value());
  EXPECT_FALSE(breaker.admit(now).has_value());
}

TEST_F(BreakerTest, AllProbesGoodCloses) {
  open_it();
  now = now + 1s;
  call(true);
  EXPECT_EQ(breaker.state(now), Breaker::State::kHalfOpen);
  call(true);
  EXPECT_EQ(breaker.state(now), Breaker::State::kClosed);
}

TEST_F(BreakerTest, OneBadProbeOpensForTwiceAsLongUpToTheLimit) {
  open_it();
  for (const Duration expected : {2s, 4s, 4s}) {
    now = breaker.opens_until();
    call(false);
    EXPECT_EQ(breaker.opens_until() - now, expected);
  }
}

TEST_F(BreakerTest, CoolDownStartsAnewAfterClosing) {
  open_it();
  now = now + 1s;
  call(false);
  now = breaker.opens_until();
  call(true);
  call(true);
  open_it();
  EXPECT_EQ(breaker.opens_until() - now, Duration{1s});
}

TEST_F(BreakerTest, OutcomesFromBeforeTheOpeningDoNotCount) {
  auto early = breaker.admit(now);
  open_it();
  now = now + 1s;
  ASSERT_TRUE(breaker.admit(now).has_value());  // half-open now
  breaker.record(*early, false, now);
  EXPECT_EQ(breaker.state(now), Breaker::State::kHalfOpen);
  breaker.record(*early, true, now);
  breaker.record(*early, true, now);
  EXPECT_EQ(breaker.state(now), Breaker::State::kHalfOpen);
}

TEST_F(BreakerTest, AProbeThatSaysNothingMakesRoomForAnother) {
  open_it();
  now = now + 1s;
  for (int i = 0; i < 20; ++i) {
    const auto ticket = breaker.admit(now);
    ASSERT_TRUE(ticket);
    breaker.forget(*ticket);
  }
  EXPECT_TRUE(breaker.admit(now));
  EXPECT_TRUE(breaker.admit(now));
  EXPECT_FALSE(breaker.admit(now));
}

TEST_F(BreakerTest, LostProbesAreAskedAgainAfterPatience) {
  open_it();
  now = now + 1s;
  (void)breaker.admit(now);
  (void)breaker.admit(now);
  EXPECT_FALSE(breaker.admit(now).has_value());
  now = now + 3s;
  EXPECT_TRUE(breaker.admit(now).has_value());
}

TEST_F(BreakerTest, TrippedItOpensWithoutOutcomesAndOnlyOnce) {
  breaker.trip(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::kOpen);
  const MonoTime until = breaker.opens_until();
  breaker.trip(now + 100ms);
  EXPECT_EQ(breaker.opens_until().ns, until.ns);
  EXPECT_EQ(breaker.times_opened(), 1U);
}

TEST_F(BreakerTest, ASignOfLifeEndsTheCoolDown) {
  open_it();
  breaker.retry_now(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::kHalfOpen);
  call(true);
  call(true);
  breaker.retry_now(now);
  EXPECT_EQ(breaker.state(now), Breaker::State::kClosed);
}

TEST_F(BreakerTest, JitterShortensThePauseWithinItsShare) {
  Breaker::Options o = options();
  o.jitter = 0.3;
  bool varied = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Breaker b{o, seed};
    for (int i = 0; i < 4; ++i) b.record(*b.admit(now), false, now);
    const Duration pause = b.opens_until() - now;
    EXPECT_LE(pause, Duration{1s});
    EXPECT_GE(pause, Duration{700ms});
    varied = varied || pause < Duration{900ms};
  }
  EXPECT_TRUE(varied);
}

TEST(BackoffTest, PausesGrowToTheLimitAndStayAboveTheFloor) {
  Backoff backoff{{.first = 10ms, .limit = 80ms, .floor = 2ms}, 7};
  Duration longest{0};
  Duration ceiling = 10ms;
  for (int i = 0; i < 200; ++i) {
    const Duration pause = backoff.next();
    EXPECT_GE(pause, Duration{2ms});
    EXPECT_LE(pause, ceiling);
    ceiling = std::min<Duration>(ceiling * 2, 80ms);
    longest = std::max(longest, pause);
  }
  EXPECT_GT(longest, Duration{60ms});
  backoff.reset();
  EXPECT_LE(backoff.next(), Duration{10ms});
}

}  // namespace
}  // namespace candor
