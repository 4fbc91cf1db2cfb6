#include "io/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <vector>

#include "io/testing_io.h"

namespace candor {
namespace {

class SignalsTest : public testing_io::OnBothBackends {};
CANDOR_ON_BOTH_BACKENDS(SignalsTest);

TEST_P(SignalsTest, arrive_as_calls_on_the_loop) {
  block_signals({SIGUSR1, SIGUSR2});
  std::vector<int> received;
  const auto watch =
      SignalWatch::open(loop_, {SIGUSR1, SIGUSR2}, [&](int signal) { received.push_back(signal); });
  ASSERT_TRUE(watch);
  ::pthread_kill(::pthread_self(), SIGUSR1);
  ASSERT_TRUE(testing_io::turn_until(loop_, [&] { return received.size() == 1; }));
  ::pthread_kill(::pthread_self(), SIGUSR2);
  ASSERT_TRUE(testing_io::turn_until(loop_, [&] { return received.size() == 2; }));
  EXPECT_EQ(received, (std::vector<int>{SIGUSR1, SIGUSR2}));
}

}  // namespace
}  // namespace candor
