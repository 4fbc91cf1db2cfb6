#include "app/budget_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/files.h"

namespace candor::app {
namespace {

class HandClock final : public Clock {
 public:
  [[nodiscard]] MonoTime now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return {1'700'000'000'000'000'000 + now_.ns}; }
  void pass(Duration duration) { now_ = now_ + duration; }

 private:
  MonoTime now_{1'000'000'000};
};

// A pool of no threads.
class InlinePool final : public BlockingPool {
 public:
  void run(std::move_only_function<void()> work) override {
    ++runs;
    work();
  }
  int runs = 0;
};

class BudgetFileTest : public testing::Test {
 protected:
  BudgetFileTest() {
    std::string pattern = testing::TempDir() + "candor-budget-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/budget-windows";
  }
  ~BudgetFileTest() override { std::filesystem::remove_all(folder_); }
  static BudgetBook book() {
    return BudgetBook({{"profile", Budget{.max_staleness = 5s, .stale_fraction = 0.01, .window = 24h}}});
  }
  BudgetFile file() {
    return {folder_, &pool_, [this](bool, const std::string& line) { lines_.push_back(line); }};
  }
  double reads(BudgetBook& book) {
    FeatureExposure out;
    book.fill(0, out, clock_.now());
    return out.reads_window;
  }

  std::string folder_, path_;
  HandClock clock_;
  std::vector<std::string> lines_;
  InlinePool pool_;
};

TEST_F(BudgetFileTest, WhatOneProcessCountedTheNextOneKnows) {
  BudgetBook first = book();
  BudgetFile one = file();
  one.restore(first, clock_);
  first.add(0, clock_.now(), 1000, 3);
  one.save_now(first, clock_);
  clock_.pass(1h);
  BudgetBook second = book();
  file().restore(second, clock_);
  EXPECT_EQ(reads(second), 1000);
  EXPECT_EQ(lines_, std::vector<std::string>{});
}

TEST_F(BudgetFileTest, IsWrittenOnceAMinute) {
  BudgetBook held = book();
  BudgetFile kept = file();
  kept.restore(held, clock_);
  for (int i = 0; i < 300; ++i) {
    held.add(0, clock_.now(), 10, 0);
    kept.save_if_due(held, clock_);
    clock_.pass(1s);
  }
  EXPECT_EQ(pool_.runs, 4);
  EXPECT_TRUE(file_exists(path_));
}

TEST_F(BudgetFileTest, DamageIsSaidAndTheWindowsBeginEmpty) {
  BudgetBook first = book();
  BudgetFile one = file();
  first.add(0, clock_.now(), 1000, 3);
  one.save_now(first, clock_);
  auto bytes = *read_file(path_, 1 << 20);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(write_file_atomic(path_, bytes));
  BudgetBook second = book();
  file().restore(second, clock_);
  EXPECT_EQ(reads(second), 0);
  EXPECT_EQ(lines_,
            std::vector<std::string>{"budgets: " + path_ +
                                     ": its checksum is wrong: it is damaged; the windows of the budgets "
                                     "begin empty"});
}

TEST_F(BudgetFileTest, AFolderThatIsGoneIsSaidOnce) {
  BudgetBook held = book();
  BudgetFile kept = file();
  held.add(0, clock_.now(), 1000, 3);
  std::filesystem::remove_all(folder_);
  kept.save_now(held, clock_);
  kept.save_now(held, clock_);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find("a restart would forget their history"), std::string::npos);
  std::filesystem::create_directories(folder_);
  kept.save_now(held, clock_);
  ASSERT_EQ(lines_.size(), 2u);
  EXPECT_EQ(lines_[1], "budgets: their windows are written again");
}

}  // namespace
}  // namespace candor::app
