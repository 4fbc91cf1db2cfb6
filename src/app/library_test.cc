// The library as a user links it: real threads, functions as origins.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include "base/mutex.h"
#include "candor/candor.h"

namespace candor {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

// An authority in memory that counts its loads.
struct Directory {
  Mutex mutex;
  std::map<std::string, std::string, std::less<>> rows CANDOR_GUARDED_BY(mutex){{"ada", "Lovelace"},
                                                                                {"grace", "Hopper"}};
  std::atomic<int> loads{0};
  std::atomic<bool> down{false};

  FunctionFeature feature() {
    FunctionFeature feature;
    feature.name = "surname";
    feature.load = [this](std::string_view key) -> Result<std::optional<std::string>> {
      ++loads;
      if (down) return fail(ErrorCode::kOriginDown, "the directory is down");
      const MutexLock lock(mutex);
      const auto it = rows.find(key);
      return it == rows.end() ? std::nullopt : std::optional(it->second);
    };
    feature.store = [this](std::string_view key, std::string_view value) -> Result<void> {
      const MutexLock lock(mutex);
      rows[std::string(key)] = value;
      return {};
    };
    feature.erase = [this](std::string_view key) -> Result<void> {
      const MutexLock lock(mutex);
      rows.erase(std::string(key));
      return {};
    };
    return feature;
  }
};

class LibraryTest : public ::testing::Test {
 protected:
  Cache open(FunctionFeature feature) {
    CacheOptions options;
    options.memory_bytes = std::uint64_t{16} << 20;
    options.features.push_back(std::move(feature));
    auto cache = Cache::open(std::move(options));
    if (!cache) throw std::runtime_error(cache.error().message);
    return std::move(*cache);
  }

  Directory directory_;
};

TEST_F(LibraryTest, AMissLoadsAndAHitDoesNot) {
  auto cache = open(directory_.feature());
  EXPECT_EQ(cache.get("surname:ada")->value, "Lovelace");
  const auto second = cache.get("surname:ada");
  EXPECT_EQ(second->value, "Lovelace");
  EXPECT_EQ(second->tier, "l1");
  EXPECT_EQ(directory_.loads, 1);
}

TEST_F(LibraryTest, NoSuchRowIsAnAnswerAndIsRemembered) {
  auto cache = open(directory_.feature());
  EXPECT_EQ(cache.get("surname:nobody")->value, std::nullopt);
  EXPECT_EQ(cache.get("surname:nobody")->value, std::nullopt);
  EXPECT_EQ(directory_.loads, 1);
}

TEST_F(LibraryTest, AWriteReachesTheAuthorityAndTheNextRead) {
  auto cache = open(directory_.feature());
  (void)cache.get("surname:grace");
  ASSERT_TRUE(cache.set("surname:grace", "Murray Hopper"));
  EXPECT_EQ(cache.get("surname:grace")->value, "Murray Hopper");
  const MutexLock lock(directory_.mutex);
  EXPECT_EQ(directory_.rows["grace"], "Murray Hopper");
}

TEST_F(LibraryTest, AnErasedRowIsGone) {
  auto cache = open(directory_.feature());
  (void)cache.get("surname:ada");
  ASSERT_TRUE(cache.erase("surname:ada"));
  EXPECT_EQ(cache.get("surname:ada")->value, std::nullopt);
}

TEST_F(LibraryTest, AnInvalidatedKeyIsLoadedAgain) {
  auto cache = open(directory_.feature());
  (void)cache.get("surname:ada");
  ASSERT_TRUE(cache.invalidate("surname:ada"));
  EXPECT_EQ(cache.get("surname:ada")->value, "Lovelace");
  EXPECT_EQ(directory_.loads, 2);
}

TEST_F(LibraryTest, WithoutAStoreFunctionWritesAreRefused) {
  auto feature = directory_.feature();
  feature.store = nullptr;
  auto cache = open(std::move(feature));
  const auto written = cache.set("surname:ada", "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kReadOnly);
}

TEST_F(LibraryTest, AFailingLoadIsAnErrorWithItsReason) {
  directory_.down = true;
  auto cache = open(directory_.feature());
  const auto reading = cache.get("surname:ada");
  ASSERT_FALSE(reading);
  EXPECT_NE(reading.error().message.find("the directory is down"), std::string::npos)
      << reading.error().message;
}

TEST_F(LibraryTest, AKeyOfNoFeatureIsRefused) {
  auto cache = open(directory_.feature());
  EXPECT_EQ(cache.get("price:1").error().code, ErrorCode::kNoFeature);
  EXPECT_EQ(cache.get("ada").error().code, ErrorCode::kNoFeature);
}

TEST_F(LibraryTest, AFeatureWithoutALoaderIsRefusedAtOpening) {
  CacheOptions options;
  options.features.emplace_back().name = "empty";
  const auto cache = Cache::open(std::move(options));
  ASSERT_FALSE(cache);
  EXPECT_NE(cache.error().message.find("empty"), std::string::npos);
}

TEST_F(LibraryTest, AMissCallsBackLaterAndAHitAtOnce) {
  auto cache = open(directory_.feature());
  std::promise<std::string> answer;
  cache.get("surname:ada", [&](Result<Reading> r) { answer.set_value(r->value.value_or("none")); });
  EXPECT_EQ(answer.get_future().get(), "Lovelace");
  bool at_once = false;
  cache.get("surname:ada", [&](const Result<Reading>&) { at_once = true; });
  EXPECT_TRUE(at_once);
}

struct Fire {
  struct promise_type {
    Fire get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Fire read_two(Cache* cache, std::promise<std::string>* answer) {
  const auto first = co_await cache->read("surname:ada");
  const auto second = co_await cache->read("surname:grace");
  answer->set_value(*first->value + " " + *second->value);
}

TEST_F(LibraryTest, ACoroutineAwaitsReads) {
  auto cache = open(directory_.feature());
  std::promise<std::string> answer;
  read_two(&cache, &answer);
  EXPECT_EQ(answer.get_future().get(), "Lovelace Hopper");
}

TEST_F(LibraryTest, ManyThreadsMissingOneKeyLoadItOnce) {
  auto cache = open(directory_.feature());
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { right += cache.get("surname:ada")->value == "Lovelace" ? 1 : 0; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(directory_.loads, 1);
}

TEST_F(LibraryTest, AConfigurationFileOpensItsFeaturesAndNoListeners) {
  const std::string path = ::testing::TempDir() + "candor_library_test.toml";
  // Port 1 could not be opened; a library does not try.
  std::ofstream(path) << "[resp]\nlisten = \"127.0.0.1:1\"\n[features.note]\norigin = \"none\"\n";
  auto cache = Cache::open(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(cache) << cache.error().message;
  ASSERT_TRUE(cache->set("note:1", "milk"));
  EXPECT_EQ(cache->get("note:1")->value, "milk");
  ASSERT_TRUE(cache->erase("note:1"));
  EXPECT_EQ(cache->get("note:1")->value, std::nullopt);
}

TEST_F(LibraryTest, AMissingConfigurationFileIsNamed) {
  const auto cache = Cache::open("no-such-file.toml");
  ASSERT_FALSE(cache);
  EXPECT_NE(cache.error().message.find("no-such-file.toml"), std::string::npos);
}

TEST_F(LibraryTest, StatsCountHitsAndLoads) {
  auto cache = open(directory_.feature());
  for (int i = 0; i < 3; ++i) (void)cache.get("surname:ada");
  const auto stats = cache.stats();
  EXPECT_EQ(stats.hits, 2U);
  EXPECT_EQ(stats.loads, 1U);
  EXPECT_LE(stats.memory_bytes, stats.memory_limit_bytes);
}

}  // namespace
}  // namespace candor
