#include "app/capacity_desk.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace candor::app {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr FeatureId kFeature{};

// A node's L1, and a system that says what the test wants.
struct Desk {
  explicit Desk(std::size_t l1 = 32 * kMiB) {
    config.l1.memory = l1;
    config.capacity.share = 0.01;
    config.capacity.half_life = 30min;
    l1::StoreOptions options;
    options.memory_limit = l1;
    options.features_max = 1;
    add_access_log(config, &options);
    store = std::make_unique<l1::Store>(options);
    files["/proc/meminfo"] = "MemTotal: 100000000 kB\n";
    files["/proc/self/cgroup"] = "0::/\n";
    set_memory(100 * kMiB, 10 * kMiB);
    desk = std::make_unique<CapacityDesk>(config, 1, 1, store.get(),
                                          [this](const std::string& path) -> std::optional<std::string> {
                                            const auto at = files.find(path);
                                            if (at == files.end()) return std::nullopt;
                                            return at->second;
                                          });
  }
  void set_memory(std::size_t limit, std::size_t used) {
    files["/sys/fs/cgroup/memory.max"] = std::to_string(limit);
    files["/sys/fs/cgroup/memory.current"] = std::to_string(used);
  }
  void fill(std::size_t bytes) {
    const std::string value(1000, 'v');
    for (std::size_t i = 0; i < bytes / value.size(); ++i) {
      const std::string key = std::to_string(i);
      (void)store->put(
          {.hash = store->hash(kFeature, key), .feature = kFeature, .key = key, .value = value, .now = 1});
    }
  }
  void run(int seconds) {
    for (int i = 0; i < seconds * 10; ++i) {
      now = now + 100ms;
      store->maintain(now.ms());
      desk->turn(now);
    }
  }

  Config config;
  std::map<std::string, std::string> files;
  std::unique_ptr<l1::Store> store;
  std::unique_ptr<CapacityDesk> desk;
  MonoTime now{1'000'000'000};
};

TEST(CapacityDesk, ItsModelsAreChargedToL1AndKeepToTheirPart) {
  for (const std::size_t l1 : {32 * kMiB, 256 * kMiB}) {
    Desk desk(l1);
    desk.run(1);
    const auto report = desk.desk->report(desk.now);
    EXPECT_TRUE(report->is_on);
    EXPECT_LE(report->model_bytes_max, l1 / 100 + 1);
    EXPECT_LE(report->model_bytes, report->model_bytes_max);
    EXPECT_GE(desk.store->stats().bytes_used, report->model_bytes_max);
  }
}

TEST(CapacityDesk, ASmallL1HasNoCurves) {
  Desk desk(4 * kMiB);
  desk.run(1);
  EXPECT_FALSE(desk.desk->report(desk.now)->is_on);
}

TEST(CapacityDesk, L1GivesBackNearTheProcessesLineAndTakesItBackLater) {
  Desk desk;
  desk.fill(40 * kMiB);
  desk.run(2);
  EXPECT_EQ(desk.store->stats().memory_limit, 32 * kMiB);
  const std::size_t held = desk.store->stats().bytes_used;
  desk.set_memory(100 * kMiB, 90 * kMiB);  // 10 MiB above the line
  desk.run(1);
  EXPECT_TRUE(desk.desk->is_pressed());
  // L1 gives what is too much, and the system sees it go.
  for (int second = 0; second < 12; ++second) {
    const std::size_t gone = held - std::min(held, desk.store->stats().bytes_used);
    desk.set_memory(100 * kMiB, 90 * kMiB - gone);
    desk.run(1);
  }
  EXPECT_NEAR(static_cast<double>(desk.store->stats().bytes_used), static_cast<double>(held - 10 * kMiB),
              1.0 * kMiB);
  EXPECT_EQ(desk.desk->report(desk.now)->memory.source, "cgroup v2 /");
  desk.set_memory(100 * kMiB, 20 * kMiB);
  desk.run(400);
  EXPECT_FALSE(desk.desk->is_pressed());
  EXPECT_EQ(desk.store->stats().memory_limit, 32 * kMiB);
}

TEST(CapacityDesk, AnL1AboveTheLineWarnsAtTheStart) {
  Desk desk;
  EXPECT_TRUE(desk.desk->warning().empty());
  desk.set_memory(36 * kMiB, 1 * kMiB);
  desk.desk->look_for_limit();
  EXPECT_NE(desk.desk->warning().find("80 %"), std::string::npos);
}

}  // namespace
}  // namespace candor::app
