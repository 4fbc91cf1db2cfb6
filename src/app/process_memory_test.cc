#include "app/process_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

namespace candor::app {
namespace {

using Files = std::map<std::string, std::string>;

ProcessMemory::ReadText reading(const Files* files) {
  return [files](const std::string& path) -> std::optional<std::string> {
    const auto at = files->find(path);
    if (at == files->end()) return std::nullopt;
    return at->second;
  };
}

Files machine() {
  return {{"/proc/meminfo", "MemTotal:       1000 kB\nMemFree:        10 kB\n"},
          {"/proc/self/statm", "900 25 3"}};
}

TEST(ProcessMemory, WithoutACgroupTheMachineIsTheLimitAndWhatIsResidentCounts) {
  const Files files = machine();
  const ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.source(), "machine");
  EXPECT_EQ(memory.seen().limit, 1000U * 1024);
  EXPECT_EQ(memory.seen().used, 25U * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
}

TEST(ProcessMemory, OfNestedGroupsTheTightestHolds) {
  Files files = machine();
  files["/proc/self/cgroup"] = "0::/shop/cache\n";
  files["/sys/fs/cgroup/shop/cache/memory.max"] = "max\n";
  files["/sys/fs/cgroup/shop/memory.max"] = "500000\n";
  files["/sys/fs/cgroup/shop/memory.current"] = "300000\n";
  files["/sys/fs/cgroup/shop/memory.stat"] =
      "anon 1\ninactive_file_x 7\ninactive_file 40000\nactive_file 10000\n";
  files["/sys/fs/cgroup/shop/memory.pressure"] = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n";
  const ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.source(), "cgroup v2 /shop");
  EXPECT_EQ(memory.seen().limit, 500'000U);
  EXPECT_EQ(memory.seen().used, 250'000U);
  EXPECT_DOUBLE_EQ(memory.seen().stalled, 0.125);
}

TEST(ProcessMemory, AContainerSeesItsOwnGroupAsTheRoot) {
  Files files = machine();
  files["/proc/self/cgroup"] = "0::/docker/0123\n";
  files["/sys/fs/cgroup/memory.max"] = "400000\n";
  files["/sys/fs/cgroup/memory.current"] = "1000\n";
  const ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.source(), "cgroup v2 /");
  EXPECT_EQ(memory.seen().used, 1000U);
}

TEST(ProcessMemory, GroupsOfTheOldKindCountAsWell) {
  Files files = machine();
  files["/proc/self/cgroup"] = "5:cpu,cpuacct:/x\n4:memory:/shop\n0::/\n";
  files["/sys/fs/cgroup/memory/shop/memory.limit_in_bytes"] = "600000\n";
  files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n";
  files["/sys/fs/cgroup/memory/shop/memory.usage_in_bytes"] = "200000\n";
  files["/sys/fs/cgroup/memory/shop/memory.stat"] =
      "inactive_file 1\ntotal_inactive_file 15000\ntotal_active_file 5000\n";
  const ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.source(), "cgroup v1 /shop");
  EXPECT_EQ(memory.seen().used, 180'000U);
}

TEST(ProcessMemory, TheOwnersOwnLimitHoldsWhereItIsLower) {
  Files files = machine();
  EXPECT_EQ(ProcessMemory(reading(&files), 300'000).source(), "[capacity] process_memory");
  EXPECT_EQ(ProcessMemory(reading(&files), 3'000'000).source(), "machine");
}

TEST(ProcessMemory, ALimitThatChangedIsSeenWhenLookedForAgain) {
  Files files = machine();
  files["/proc/self/cgroup"] = "0::/a\n";
  files["/sys/fs/cgroup/a/memory.max"] = "max\n";
  ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.source(), "machine");
  files["/sys/fs/cgroup/a/memory.max"] = "5000\n";
  memory.look_for_limit();
  EXPECT_EQ(memory.limit(), 5000U);
}

TEST(ProcessMemory, ASystemThatSaysNothingHasNoLimit) {
  const Files files;
  const ProcessMemory memory(reading(&files), 0);
  EXPECT_EQ(memory.limit(), 0U);
  EXPECT_EQ(memory.seen().used, 0U);
  EXPECT_TRUE(memory.source().empty());
}

TEST(ProcessMemory, StrangeTextIsNotPressure) {
  EXPECT_EQ(stalled_part(""), 0);
  EXPECT_EQ(stalled_part("some avg10=x"), 0);
  EXPECT_EQ(value_of("MemTotal:\nMemTotal: 12 kB", "MemTotal", 1024), 12U * 1024);
}

}  // namespace
}  // namespace candor::app
