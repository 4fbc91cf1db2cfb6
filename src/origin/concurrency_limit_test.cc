#include "origin/concurrency_limit.h"

#include <gtest/gtest.h>

#include <queue>
#include <vector>

#include "base/random.h"

namespace candor {
namespace {

// A database that works on `knee` statements at once and makes the others wait, with more readers than any
// limit lets in.
class Model {
 public:
  Model(ConcurrencyLimit::Options options, double knee, Duration alone)
      : limit(options), knee_(knee), alone_(alone) {}

  void run(Duration span) {
    for (const MonoTime until = now + span; now < until;) {
      while (in_flight_ < std::min(limit.limit(now), demand)) send();
      if (flights_.empty()) {
        now = now + 10ms;
        continue;
      }
      const Flight flight = flights_.top();
      flights_.pop();
      now = std::max(now, flight.ends);
      --in_flight_;
      ++answered;
      limit.on_answered({flight.feature, 1}, flight.ends - flight.began, flight.in_flight, now);
      check();
    }
  }
  // Everything in flight is lost, as when nothing answers for so long.
  void stall(Duration span) {
    now = now + span;
    while (!flights_.empty()) {
      flights_.pop();
      --in_flight_;
      limit.on_failed(now);
      check();
      now = now + 20ms;
    }
  }

  [[nodiscard]] std::uint32_t limit_now() const { return limit.limit(now); }

  ConcurrencyLimit limit;
  MonoTime now{1'000'000'000};
  std::uint32_t demand = 1000;
  std::uint32_t highest = 0;
  std::uint64_t answered = 0;
  unsigned slow_of_ten = 0;  // so many of ten statements are of a feature that takes fifty times as long
  void set_knee(double knee) { knee_ = knee; }
  void set_alone(Duration alone) { alone_ = alone; }

 private:
  struct Flight {
    MonoTime ends, began;
    std::uint32_t in_flight, feature;
    bool operator>(const Flight& other) const { return ends > other.ends; }
  };
  void send() {
    ++in_flight_;
    const bool is_slow = random_.below(10) < slow_of_ten;
    const double waits = std::max(1.0, in_flight_ / knee_);
    const double noise = 0.7 + 0.6 * random_.unit();
    const double took = static_cast<double>(alone_.count()) * (is_slow ? 50 : 1) * waits * noise;
    limit.on_sent(in_flight_, now);
    flights_.push({now + Duration{static_cast<std::int64_t>(took)}, now, in_flight_, is_slow ? 1U : 0U});
  }
  void check() {
    EXPECT_GE(limit.limit(now), limit.options().floor);
    EXPECT_LE(limit.limit(now), limit.options().ceiling);
    highest = std::max(highest, limit.limit(now));
  }

  double knee_;
  Duration alone_;
  Random random_{7};
  std::uint32_t in_flight_ = 0;
  std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
};

constexpr ConcurrencyLimit::Options kWide{.floor = 2, .ceiling = 200};

TEST(ConcurrencyLimitTest, SettlesBetweenTheKneeAndTwiceIt) {
  for (const double knee : {4.0, 12.0, 40.0}) {
    Model model(kWide, knee, 10ms);
    model.run(10s);
    for (int i = 0; i < 100; ++i) {  // and stays there, dips to measure apart
      model.run(1s);
      if (model.limit_now() == kWide.floor) continue;
      EXPECT_GE(model.limit_now(), 0.8 * knee) << "knee " << knee << " after " << i << " s";
      EXPECT_LE(model.limit_now(), 2.5 * knee) << "knee " << knee << " after " << i << " s";
    }
  }
}

TEST(ConcurrencyLimitTest, AnOriginWithoutAKneeIsGivenTheCap) {
  Model model({.floor = 2, .ceiling = 32}, 1000, 5ms);
  model.run(3s);
  EXPECT_EQ(model.limit_now(), 32U);
}

TEST(ConcurrencyLimitTest, FollowsAKneeThatMoves) {
  Model model(kWide, 40, 10ms);
  model.run(10s);
  model.set_knee(8);
  model.run(10s);
  EXPECT_LE(model.limit_now(), 20U);
  model.set_knee(60);
  model.run(60s);
  EXPECT_GE(model.limit_now(), 48U);
}

TEST(ConcurrencyLimitTest, AStallTakesItToTheFloorAndTwoSecondsBringItBack) {
  Model model(kWide, 40, 10ms);
  model.run(10s);
  const auto before = model.limit_now();
  ASSERT_GE(before, 32U);
  for (int i = 0; i < 20; ++i) {
    model.run(10ms);  // what is sent meanwhile
    model.stall(5s);
  }
  EXPECT_LE(model.limit_now(), 8U);
  model.run(2s);
  EXPECT_GE(model.limit_now(), before * 8 / 10);
}

// A slow network is no overload: fewer statements would only mean less.
TEST(ConcurrencyLimitTest, StatementsThatTakeLongerAllTheSameCostItSecondsOnly) {
  Model model({.floor = 2, .ceiling = 32}, 1000, 2ms);
  model.run(10s);
  model.set_alone(400ms);
  model.run(10s);
  EXPECT_GE(model.limit_now(), 24U);
}

TEST(ConcurrencyLimitTest, StaysWhereItIsWhileItIsNotReached) {
  Model model(kWide, 4, 10ms);
  model.run(10s);
  model.demand = 2;
  model.run(1s);  // what was in flight at the limit comes home
  const auto settled = model.limit_now();
  model.run(60s);
  EXPECT_EQ(model.limit_now(), settled);
}

TEST(ConcurrencyLimitTest, AMixOfShortAndLongStatementsIsNoOverload) {
  Model model({.floor = 2, .ceiling = 32}, 1000, 1ms);
  model.run(2s);
  model.slow_of_ten = 3;
  for (int i = 0; i < 100; ++i) {
    model.run(200ms);
    if (model.limit_now() == model.limit.options().floor) continue;  // a dip
    EXPECT_EQ(model.limit_now(), 32U);
  }
}

TEST(ConcurrencyLimitTest, FirstStatementsOfAKindAreNoBaseline) {
  ConcurrencyLimit limit({.floor = 2, .ceiling = 64});
  MonoTime now{1'000'000'000};
  const auto answer = [&](Duration took, std::uint32_t in_flight) {
    limit.on_sent(in_flight, now);
    now = now + 20ms;
    limit.on_answered({0, 1}, took, in_flight, now);
  };
  for (int i = 0; i < 2; ++i) answer(2s, 1);  // connects, prepares
  for (int i = 0; i < 20; ++i) answer(1ms, 1);
  for (int i = 0; i < 40; ++i) answer(4ms, 64);
  EXPECT_LT(limit.limit(now), 16U);
}

// Its statements take seconds: none of the dip is answered before it should be over.
TEST(ConcurrencyLimitTest, ADipIsOverInTimeWhateverAnswers) {
  ConcurrencyLimit limit({.floor = 2, .ceiling = 32});
  MonoTime now{5'000'000'000};
  ASSERT_EQ(limit.limit(now), 8U);
  for (int i = 0; i < 20 && limit.limit(now) == 8U; ++i) {
    limit.on_sent(8, now);
    now = now + 20ms;
    limit.on_answered({0, 1}, 3s, 8, now);
  }
  EXPECT_EQ(limit.limit(now), 2U) << "no baseline: it asks at the floor";
  EXPECT_EQ(limit.limit(now + ConcurrencyLimit::kDipMax), 8U);
}

TEST(ConcurrencyLimitTest, AFixedOneIsTheCapWhateverHappens) {
  Model model({.floor = 2, .ceiling = 32, .is_fixed = true}, 2, 10ms);
  model.run(5s);
  model.stall(5s);
  EXPECT_EQ(model.limit_now(), 32U);
}

TEST(ConcurrencyLimitTest, AFloorAboveTheCapIsTheCap) {
  Model model({.floor = 8, .ceiling = 1}, 4, 10ms);
  model.run(5s);
  EXPECT_EQ(model.limit_now(), 1U);
}

}  // namespace
}  // namespace candor
