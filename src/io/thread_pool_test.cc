#include "io/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

namespace candor {
namespace {

TEST(ThreadPool, runs_everything_that_was_queued_before_it_ends) {
  std::atomic<int> ran{0};
  {
    ThreadPool pool(3, "test");
    for (int i = 0; i < 1000; ++i) pool.run([&] { ++ran; });
  }
  EXPECT_EQ(ran.load(), 1000);
}

TEST(ThreadPool, one_thread_runs_work_in_order) {
  std::vector<int> ran;
  {
    ThreadPool pool(1, "test");
    for (int i = 0; i < 100; ++i) pool.run([&ran, i] { ran.push_back(i); });
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST(ThreadPool, two_threads_run_two_pieces_of_work_at_once) {
  std::promise<void> first;
  std::promise<void> second;
  ThreadPool pool(2, "test");  // joins before the promises die
  pool.run([&] {
    first.set_value();
    second.get_future().wait();
  });
  first.get_future().wait();
  pool.run([&] { second.set_value(); });
}

}  // namespace
}  // namespace candor
