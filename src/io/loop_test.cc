#include "io/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "io/descriptor.h"
#include "io/running_loop.h"
#include "io/testing_io.h"

namespace candor {
namespace {

using testing_io::turn_until;

class LoopTest : public testing_io::OnBothBackends {};
CANDOR_ON_BOTH_BACKENDS(LoopTest);

TEST_P(LoopTest, posted_work_runs_in_order_and_work_it_posts_runs_in_the_next_turn) {
  std::string ran;
  loop_.post([&] {
    ran += 'a';
    loop_.post([&] { ran += 'c'; });
  });
  loop_.post([&] { ran += 'b'; });
  loop_.turn(0ns);
  EXPECT_EQ(ran, "ab");
  loop_.turn(0ns);
  EXPECT_EQ(ran, "abc");
}

TEST_P(LoopTest, end_of_turn_work_runs_after_everything_else_of_the_turn) {
  std::string ran;
  loop_.at_end_of_turn([&] {
    ran += 'c';
    loop_.at_end_of_turn([&] { ran += 'd'; });
  });
  loop_.post([&] { ran += 'b'; });
  loop_.schedule(loop_.now(), [&] { ran += 'a'; });
  loop_.turn(0ns);
  EXPECT_EQ(ran, "abcd");
}

TEST_P(LoopTest, end_of_turn_work_that_repeats_itself_does_not_hold_the_turn) {
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    loop_.at_end_of_turn([&] { again(); });
  };
  again();
  loop_.turn(0ns);
  const int after_one = ran;
  EXPECT_LT(after_one, 100);
  loop_.turn(1s);  // does not sleep: there is work
  EXPECT_GT(ran, after_one);
}

TEST_P(LoopTest, timers_wait_for_their_time_and_wake_the_loop) {
  const SystemClock clock;
  const MonoTime begun = clock.now();
  bool ran = false;
  loop_.schedule(begun + 20ms, [&] { ran = true; });
  ASSERT_TRUE(turn_until(loop_, [&] { return ran; }));
  EXPECT_GE(clock.now() - begun, 20ms);
}

TEST_P(LoopTest, a_cancelled_timer_does_not_run) {
  bool ran = false;
  bool later = false;
  const TimerId timer = loop_.schedule(loop_.now() + 1ms, [&] { ran = true; });
  loop_.schedule(loop_.now() + 5ms, [&] { later = true; });
  loop_.cancel(timer);
  ASSERT_TRUE(turn_until(loop_, [&] { return later; }));
  EXPECT_FALSE(ran);
}

TEST_P(LoopTest, posts_from_many_threads_all_arrive_in_each_threads_order) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  std::array<int, kThreads> last{};
  last.fill(-1);
  int count = 0;
  bool ordered = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop_.post([&, t, i] {
          ordered = ordered && last[static_cast<std::size_t>(t)] == i - 1;
          last[static_cast<std::size_t>(t)] = i;
          ++count;
        });
      }
    });
  }
  EXPECT_TRUE(turn_until(loop_, [&] { return count == kThreads * kPosts; }));
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(ordered);
}

TEST_P(LoopTest, a_post_wakes_a_loop_that_sleeps_without_limit) {
  RunningLoop running("sleeper", {.backend = GetParam()});
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> ran{false};
    running.run_there([&] { ran = true; });
    EXPECT_TRUE(ran);
  }
}

TEST_P(LoopTest, knows_its_own_thread) {
  RunningLoop running("own", {.backend = GetParam()});
  EXPECT_FALSE(running.loop().is_current());
  bool inside = false;
  running.run_there([&] { inside = running.loop().is_current(); });
  EXPECT_TRUE(inside);
}

TEST_P(LoopTest, work_that_never_ran_is_destroyed_with_the_loop) {
  auto token = std::make_shared<int>(0);
  {
    Loop loop({.backend = GetParam()});
    loop.post([token] {});
    loop.at_end_of_turn([token] {});
    loop.schedule(MonoTime::max(), [token] {});
    EXPECT_EQ(token.use_count(), 4);
  }
  EXPECT_EQ(token.use_count(), 1);
}

class WatchTest : public testing_io::OnBothBackends {
 protected:
  void SetUp() override {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    ours_ = Descriptor(pair[0]);
    theirs_ = Descriptor(pair[1]);
  }
  Descriptor ours_;
  Descriptor theirs_;
};
CANDOR_ON_BOTH_BACKENDS(WatchTest);

TEST_P(WatchTest, readiness_is_reported_until_it_is_consumed) {
  int reports = 0;
  const auto watch = loop_.watch(ours_.get(), FdEvents::kRead, [&](FdEvents ready) {
    EXPECT_EQ(ready, FdEvents::kRead);
    ++reports;
  });
  loop_.turn(0ns);
  EXPECT_EQ(reports, 0);
  ASSERT_EQ(::write(theirs_.get(), "x", 1), 1);
  EXPECT_TRUE(turn_until(loop_, [&] { return reports >= 3; }));
}

TEST_P(WatchTest, events_can_be_changed_and_silenced_inside_the_callback) {
  int writes = 0;
  std::unique_ptr<FdWatch> watch;
  watch = loop_.watch(ours_.get(), FdEvents::kReadWrite, [&](FdEvents ready) {
    EXPECT_EQ(ready, FdEvents::kWrite);
    ++writes;
    watch->set_events(FdEvents::kNone);
  });
  ASSERT_TRUE(turn_until(loop_, [&] { return writes == 1; }));
  for (int i = 0; i < 5; ++i) loop_.turn(1ms);
  EXPECT_EQ(writes, 1);
  watch->set_events(FdEvents::kWrite);
  EXPECT_TRUE(turn_until(loop_, [&] { return writes == 2; }));
}

TEST_P(WatchTest, one_that_destroys_itself_in_its_callback_is_not_called_again) {
  int calls = 0;
  std::unique_ptr<FdWatch> watch;
  watch = loop_.watch(ours_.get(), FdEvents::kWrite, [&](FdEvents) {
    ++calls;
    watch.reset();
  });
  ASSERT_TRUE(turn_until(loop_, [&] { return calls == 1; }));
  for (int i = 0; i < 5; ++i) loop_.turn(1ms);
  EXPECT_EQ(calls, 1);
}

TEST_P(WatchTest, a_hang_up_shows_as_readiness) {
  int reports = 0;
  const auto watch = loop_.watch(ours_.get(), FdEvents::kRead, [&](FdEvents) { ++reports; });
  theirs_.reset();
  EXPECT_TRUE(turn_until(loop_, [&] { return reports > 0; }));
}

}  // namespace
}  // namespace candor
