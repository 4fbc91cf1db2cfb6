#include "io/timers.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <utility>

namespace candor {
namespace {

void run_all(Timers& timers, MonoTime now) {
  const std::uint64_t mark = timers.mark();
  while (auto work = timers.take_due(now, mark)) (*work)();
}

TEST(Timers, run_in_order_of_time_and_then_of_arrival) {
  Timers timers;
  std::string ran;
  timers.add({20}, [&] { ran += 'c'; });
  timers.add({10}, [&] { ran += 'a'; });
  timers.add({10}, [&] { ran += 'b'; });
  run_all(timers, {30});
  EXPECT_EQ(ran, "abc");
}

TEST(Timers, never_run_early) {
  Timers timers;
  int ran = 0;
  timers.add({20}, [&] { ++ran; });
  run_all(timers, {19});
  EXPECT_EQ(ran, 0);
  run_all(timers, {20});
  EXPECT_EQ(ran, 1);
}

TEST(Timers, cancelled_ones_leave_at_once) {
  Timers timers;
  int ran = 0;
  const TimerId timer = timers.add({20}, [&] { ++ran; });
  timers.cancel(timer);
  EXPECT_EQ(timers.size(), 0U);
  run_all(timers, {30});
  EXPECT_EQ(ran, 0);
}

TEST(Timers, cancel_of_one_that_ran_does_not_hit_its_slots_next_tenant) {
  Timers timers;
  int ran = 0;
  const TimerId old = timers.add({1}, [] {});
  run_all(timers, {1});
  timers.add({2}, [&] { ++ran; });
  timers.cancel(old);
  run_all(timers, {2});
  EXPECT_EQ(ran, 1);
}

TEST(Timers, one_that_adds_itself_for_now_waits_for_the_next_turn) {
  Timers timers;
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    timers.add({1}, [&] { again(); });
  };
  timers.add({1}, [&] { again(); });
  run_all(timers, {1});
  EXPECT_EQ(ran, 1);
}

TEST(Timers, agree_with_a_sorted_list_under_random_adds_and_cancels) {
  EXPECT_TRUE(rc::check([](const std::vector<std::pair<std::uint8_t, bool>>& operations) {
    Timers timers;
    std::vector<int> ran;
    std::vector<std::pair<int, int>> expected;  // time, number
    std::vector<TimerId> ids;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const int number = static_cast<int>(i);
      ids.push_back(timers.add({operations[i].first}, [&ran, number] { ran.push_back(number); }));
      expected.emplace_back(operations[i].first, number);
      if (!operations[i].second) continue;
      const std::size_t victim = operations[i].first % ids.size();
      timers.cancel(ids[victim]);
      std::erase_if(expected, [&](const auto& item) { return item.second == static_cast<int>(victim); });
    }
    std::ranges::sort(expected);
    run_all(timers, {1000});
    std::vector<int> wanted;
    for (const auto& item : expected) wanted.push_back(item.second);
    RC_ASSERT(ran == wanted);
  }));
}

}  // namespace
}  // namespace candor
