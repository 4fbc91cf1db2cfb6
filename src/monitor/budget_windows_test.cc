#include "monitor/budget_windows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "base/random.h"
#include "monitor/burn_rules.h"

namespace candor {
namespace {

constexpr Duration kWindowDay = 24h;

Budget budget_over(Duration window) {
  return {.max_staleness = 5s, .stale_fraction = 0.001, .window = window};
}

// Every addition, kept for ever: what the rings have to agree with.
class NaiveWindows {
 public:
  void add(MonoTime now, const Tally& tally) { all_.emplace_back(now, tally); }
  // What was added after `after`, and not after `until`.
  [[nodiscard]] Tally between(MonoTime after, MonoTime until) const {
    Tally out;
    for (const auto& [at, tally] : all_)
      if (at > after && at <= until) out += tally;
    return out;
  }

 private:
  std::deque<std::pair<MonoTime, Tally>> all_;
};

class BudgetWindowsTest : public ::testing::Test {
 protected:
  void use(Duration budget_window) {
    spans_ = burn_windows(budget_over(budget_window));
    windows_ = std::make_unique<BudgetWindows>(spans_);
  }
  void add(Duration pause, double reads, double stale) {
    now_ = now_ + pause;
    windows_->add(now_, Tally::plain(reads, stale));
  }
  [[nodiscard]] Tally sum(Duration window) const { return windows_->sum(now_, window); }

  MonoTime now_{0};
  std::vector<Duration> spans_;
  std::unique_ptr<BudgetWindows> windows_;
};

TEST_F(BudgetWindowsTest, AnIncidentLeavesEachWindowOnTime) {
  use(30 * kWindowDay);
  add(1h, 100, 100);
  for (const Duration window : spans_) {
    EXPECT_EQ(windows_->sum(now_ + window - windows_->bucket(window), window).stale, 100) << window.count();
    EXPECT_EQ(windows_->sum(now_ + window + 1ns, window).stale, 0) << window.count();
  }
}

TEST_F(BudgetWindowsTest, AnIncidentIsNotDilutedByTheDayBefore) {
  use(30 * kWindowDay);
  for (int i = 0; i < 24 * 360; ++i) add(10s, 1000, 0);
  for (int i = 0; i < 30; ++i) add(10s, 1000, 500);
  EXPECT_NEAR(sum(5min).fraction(), 0.5, 0.02);  // a window begins with a whole bucket
  EXPECT_NEAR(sum(1h).fraction(), 0.5 / 12, 0.001);
  EXPECT_NEAR(sum(30 * kWindowDay).fraction(), 0.5 / 288, 0.001);
}

TEST_F(BudgetWindowsTest, NothingIsLeftAfterALongSilence) {
  use(30 * kWindowDay);
  for (int i = 0; i < 1000; ++i) add(10s, 10, 1);
  now_ = now_ + 31 * kWindowDay;
  for (const Duration window : spans_) EXPECT_EQ(sum(window), Tally{}) << window.count();
  add(0s, 3, 1);
  for (const Duration window : spans_) EXPECT_EQ(sum(window).reads, 3) << window.count();
}

TEST_F(BudgetWindowsTest, ATimeThatGoesBackCountsAsTheLatest) {
  use(30 * kWindowDay);
  add(10 * kWindowDay, 1, 0);
  windows_->add(MonoTime{0}, Tally::plain(1, 1));
  EXPECT_EQ(sum(5min).reads, 2);
}

TEST_F(BudgetWindowsTest, CausesAreKeptForTheWholeWindow) {
  use(kWindowDay);
  Tally tally = Tally::plain(10, 3);
  tally.by_cause[1] = 2;
  tally.by_cause[4] = 1;
  windows_->add(now_, tally);
  windows_->add(now_ + 3h, tally);
  now_ = now_ + 3h;
  EXPECT_EQ(sum(kWindowDay).by_cause[1], 4);
  EXPECT_EQ(sum(kWindowDay).by_cause[4], 2);
  now_ = now_ + 22h;
  EXPECT_EQ(sum(kWindowDay).by_cause[1], 2);
}

TEST_F(BudgetWindowsTest, MemoryIsBoundedWhateverTheWindow) {
  for (const Duration window :
       {Duration{1min}, Duration{1h}, Duration{7 * kWindowDay}, Duration{30 * kWindowDay},
        Duration{90 * kWindowDay}, Duration{100 * 365 * kWindowDay}}) {
    use(window);
    EXPECT_LE(windows_->bytes(), 64u << 10) << window.count();
  }
}

// Random additions at random times, over windows of many sizes: each sum lies between what was added within
// the window less one bucket, and what was added within the window.
TEST_F(BudgetWindowsTest, AgreeWithANaiveReference) {
  std::uint64_t compared = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    const std::array kWindows = {
        Duration{1min},           Duration{10min},           Duration{5h},
        Duration{7 * kWindowDay}, Duration{30 * kWindowDay}, Duration{45 * kWindowDay}};
    const Duration own = kWindows[random.below(kWindows.size())];
    use(own);
    NaiveWindows naive;
    now_ = MonoTime{static_cast<std::int64_t>(random.below(1'000'000'000'000'000ULL))};
    for (int i = 0; i < 400; ++i) {
      // Mostly small steps, now and then one that empties a ring or half of it.
      const double scale = random.below(20) == 0 ? 0.7 : 0.002;
      const double pause = random.unit() * scale * static_cast<double>(own.count());
      now_ = now_ + Duration{static_cast<std::int64_t>(pause)};
      const double reads = static_cast<double>(1 + random.below(1000));
      const Tally tally = Tally::plain(reads, std::floor(reads * random.unit()));
      windows_->add(now_, tally);
      naive.add(now_, tally);
      const Duration later{
          static_cast<std::int64_t>(random.unit() * 0.01 * static_cast<double>(own.count()))};
      const MonoTime at = now_ + later;
      for (const Duration window : spans_) {
        const Tally got = windows_->sum(at, window);
        const MonoTime from = at - window;
        const Tally most = naive.between(from - 1ns, at);
        const Tally least = naive.between(from + windows_->bucket(window), at);
        ASSERT_LE(got.reads, most.reads) << "seed " << seed << " window " << window.count();
        ASSERT_GE(got.reads, least.reads) << "seed " << seed << " window " << window.count();
        ASSERT_LE(got.stale, most.stale) << "seed " << seed;
        ASSERT_GE(got.stale, least.stale) << "seed " << seed;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 100'000u);
}

TEST_F(BudgetWindowsTest, WhatIsSavedIsRestored) {
  use(30 * kWindowDay);
  for (int i = 0; i < 5000; ++i) add(i % 7 * 100s, 10 + i % 3, i % 3);
  BlobWriter out;
  windows_->save(out);
  BudgetWindows other(spans_);
  BlobReader in(out.bytes());
  other.restore(in, now_);
  EXPECT_TRUE(in.is_good() && in.is_at_end());
  for (const Duration later : {Duration{0s}, Duration{3min}, Duration{5h}, Duration{10 * kWindowDay}})
    for (const Duration window : spans_)
      EXPECT_EQ(other.sum(now_ + later, window), windows_->sum(now_ + later, window));
}

TEST_F(BudgetWindowsTest, OtherWindowsAreNotRestored) {
  use(30 * kWindowDay);
  add(1h, 10, 1);
  BlobWriter out;
  windows_->save(out);
  use(7 * kWindowDay);
  BlobReader in(out.bytes());
  windows_->restore(in, now_);
  EXPECT_FALSE(in.is_good());
}

// ---- tallies ----

TEST(TallyTest, SpansWeighAsTheyWereRead) {
  // A busy span of which little could be judged, and a quiet one of which all was.
  Measured busy{.reads = 10, .stale_fraction = 0.5};
  Measured quiet{.reads = 100, .stale_fraction = 0.0};
  Tally sum = Tally::of(busy, 9000);
  sum += Tally::of(quiet, 1000);
  EXPECT_DOUBLE_EQ(sum.fraction(), 0.45);
  // Nine tenths of the weight lie on ten reads.
  EXPECT_NEAR(sum.effective(), 10'000.0 * 10'000 / (900.0 * 900 * 10 + 10.0 * 10 * 100), 1e-6);
  EXPECT_EQ(Tally::of(Measured{}, 1000), Tally{});
}

}  // namespace
}  // namespace candor
