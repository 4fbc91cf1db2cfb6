#include "io/clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string_view>

namespace candor {
namespace {

constexpr std::int64_t kSlept_s = 1000;
enum Outcome : int { kCounted = 0, kStoodStill = 1, kNoNamespace = 2 };

std::int64_t monotonic_ns() {
  timespec value{};
  ::clock_gettime(CLOCK_MONOTONIC, &value);
  return static_cast<std::int64_t>(value.tv_sec) * 1'000'000'000 + value.tv_nsec;
}

bool write_file(const char* path, std::string_view text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  return written;
}

// In a process of its own: a world whose machine slept for kSlept_s since it was started. Only a child of the
// process that made it lives in it.
[[noreturn]] void look_at_the_clock_there() {
  if (::unshare(CLONE_NEWTIME) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWTIME) != 0) ::_exit(kNoNamespace);
  if (!write_file("/proc/self/timens_offsets", "boottime 1000 0\n")) ::_exit(kNoNamespace);
  const pid_t inside = ::fork();
  if (inside == 0) {
    const std::int64_t ahead = SystemClock().now().ns - monotonic_ns();
    ::_exit(ahead > kSlept_s * 900'000'000 ? kCounted : kStoodStill);
  }
  int status = 0;
  if (inside < 0 || ::waitpid(inside, &status, 0) != inside || !WIFEXITED(status)) ::_exit(kNoNamespace);
  ::_exit(WEXITSTATUS(status));
}

TEST(SystemClockTest, CountsWhileTheMachineIsSuspended) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) look_at_the_clock_there();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_NE(WEXITSTATUS(status), kStoodStill);
  if (WEXITSTATUS(status) == kNoNamespace)
    GTEST_LOG_(INFO)
        << "this kernel or its rules allow no time namespace: only that it does not step is tested";
}

TEST(SystemClockTest, NeverStepsBack) {
  const SystemClock clock;
  MonoTime last = clock.now();
  for (int i = 0; i < 100'000; ++i) {
    const MonoTime now = clock.now();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace candor
