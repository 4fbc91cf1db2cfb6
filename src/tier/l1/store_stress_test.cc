// Readers and writers at once. Values carry their key and a checksum, so a torn or misplaced entry shows.
// Meant for ThreadSanitizer, useful without.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tier/l1/store.h"
#include "tier/l1/store_test_policy.h"

namespace candor::l1 {
namespace {

constexpr FeatureId kStressed{1};
constexpr int kKeys = 3000;

std::string value_of(const std::string& key, std::uint64_t version, std::size_t bytes) {
  std::string value = key + "#" + std::to_string(version) + "#";
  value.resize(std::max(value.size(), bytes), static_cast<char>('a' + version % 26));
  return value;
}

bool is_whole(std::string_view key, std::string_view value) {
  if (!value.starts_with(key) || value.size() <= key.size() || value[key.size()] != '#') return false;
  const std::size_t end = value.find('#', key.size() + 1);
  if (end == std::string_view::npos) return false;
  const std::uint64_t version = std::stoull(std::string(value.substr(key.size() + 1, end - key.size() - 1)));
  const std::string_view fill = value.substr(end + 1);
  if (fill.empty()) return true;
  return fill[0] == static_cast<char>('a' + version % 26) &&
         fill.substr(1) == fill.substr(0, fill.size() - 1);
}

std::size_t size_for(Random& random) {
  switch (random.below(16)) {
    case 0:
      return 5000;  // wide
    case 1:
      return 20000;  // a block of its own
    default:
      return random.below(200);
  }
}

struct Options {
  std::size_t limit;
  unsigned shards;
  PolicyFactory policy;
};

class Stress {
 public:
  explicit Stress(const Options& options)
      : store_({.memory_limit = options.limit, .shards = options.shards, .hash_seed = 9}, options.policy) {}

  void run(int readers, int writers, int rounds) {
    std::vector<std::thread> threads;
    for (int i = 0; i < readers; ++i)
      threads.emplace_back([this, i] { read(static_cast<std::uint64_t>(i)); });
    std::vector<std::thread> writing;
    for (int i = 0; i < writers; ++i) {
      writing.emplace_back([this, i, rounds] { write(static_cast<std::uint64_t>(100 + i), rounds); });
    }
    for (std::thread& thread : writing) thread.join();
    stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    store_.check_invariants();
    EXPECT_LE(store_.stats().bytes_used, store_.stats().memory_limit);
    EXPECT_GT(hits_.load(), 0);
  }

 private:
  void read(std::uint64_t seed) {
    Random random(seed);
    std::uint64_t hits = 0;
    do {
      const Store::ReadGuard guard(store_);
      if (random.below(4) == 0) {
        std::vector<std::string> keys;
        for (int i = 0; i < 8; ++i) keys.push_back("k" + std::to_string(random.below(kKeys)));
        std::vector<Store::Lookup> lookups(keys.size());
        for (std::size_t i = 0; i < keys.size(); ++i) {
          lookups[i].hash = store_.hash(kStressed, keys[i]);
          lookups[i].feature = kStressed;
          lookups[i].key = keys[i];
        }
        store_.find_many(guard, lookups, now_.load());
        for (const Store::Lookup& lookup : lookups) {
          ASSERT_TRUE(!lookup.found || is_whole(lookup.key, lookup.view.value)) << lookup.key;
        }
      } else {
        const std::string key = "k" + std::to_string(random.below(kKeys));
        EntryView view;
        if (!store_.find(guard, store_.hash(kStressed, key), kStressed, key, now_.load(), &view)) continue;
        ASSERT_TRUE(is_whole(key, view.value)) << key;
        ++hits;
      }
    } while (!stop_.load());
    hits_ += hits;
  }

  void write(std::uint64_t seed, int rounds) {
    Random random(seed);
    for (int i = 0; i < rounds; ++i) {
      const std::string key = "k" + std::to_string(random.below(kKeys));
      const KeyHash hash = store_.hash(kStressed, key);
      const Millis now = now_.load();
      switch (random.below(32)) {
        case 0:
          store_.erase(hash, kStressed, key, now);
          break;
        case 1:
          store_.maintain(now_.fetch_add(10) + 10);
          break;
        case 2:
          store_.scan(random.below(UINT64_MAX >> 14), 20, now,
                      [](const Store::Visited& v) { ASSERT_TRUE(is_whole(v.key, v.view.value)); });
          break;
        case 3:
          store_.update(hash, kStressed, key, now, [&](const EntryView* current) {
            EXPECT_TRUE(current == nullptr || is_whole(key, current->value));
            return Store::Update{.action = Store::Update::Action::kStore,
                                 .value = value_of(key, random(), size_for(random)),
                                 .meta = {}};
          });
          break;
        case 4:
          if (random.below(500) == 0) store_.erase_feature(kStressed);
          (void)store_.stats();
          break;
        default: {
          EntryMeta meta;
          if (random.below(3) == 0) meta.expires_at = now + 1 + static_cast<Millis>(random.below(300));
          const std::string value = value_of(key, random(), size_for(random));
          store_.put(
              {.hash = hash, .feature = kStressed, .key = key, .value = value, .meta = meta, .now = now});
        }
      }
      if (i % 256 == 0) {
        ASSERT_LE(store_.stats().bytes_used, store_.stats().memory_limit);
      }
    }
  }

  Store store_;
  std::atomic<Millis> now_{1000};
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> hits_{0};
};

// Sanitizers make each round some twenty times slower.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kRounds = 5000;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr int kRounds = 5000;
#else
constexpr int kRounds = 8000;
#endif
#else
constexpr int kRounds = 8000;
#endif

TEST(StoreStressTest, TightMemoryOneShard) {
  Stress({std::size_t{2} << 20, 1, make_test_policy<TwoQueueTestPolicy>()}).run(2, 2, kRounds);
}
TEST(StoreStressTest, TightMemoryManyShards) {
  Stress({std::size_t{3} << 20, 8, make_test_policy<TwoQueueTestPolicy>()}).run(2, 2, kRounds);
}
TEST(StoreStressTest, ASkippingHand) {
  Stress({std::size_t{2} << 20, 2, make_test_policy<SkipTestPolicy>()}).run(2, 2, kRounds);
}
TEST(StoreStressTest, MovesOnHits) {
  Stress({std::size_t{2} << 20, 2, make_test_policy<MoveOnHitTestPolicy>()}).run(2, 2, kRounds);
}
TEST(StoreStressTest, RoomForEverything) {
  Stress({std::size_t{64} << 20, 4, make_test_policy<TwoQueueTestPolicy>()}).run(2, 2, kRounds);
}

}  // namespace
}  // namespace candor::l1
