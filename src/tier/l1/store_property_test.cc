// Random operations against a naive reference. The store may forget (it is a cache) but never invent: what it
// returns is what the reference holds, unexpired, with the same meta; with room to spare it forgets nothing.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <string>

#include "base/random.h"
#include "tier/l1/store.h"
#include "tier/l1/store_test_policy.h"

namespace candor::l1 {
namespace {

struct Model {
  struct Entry {
    std::string value;
    EntryMeta meta;
  };
  std::map<std::pair<int, std::string>, Entry> entries;

  [[nodiscard]] const Entry* find(int feature, const std::string& key, Millis now) const {
    const auto at = entries.find({feature, key});
    if (at == entries.end()) return nullptr;
    if (at->second.meta.expires_at != 0 && at->second.meta.expires_at <= now) return nullptr;
    return &at->second;
  }
};

struct World {
  std::size_t limit;
  bool forgets;
  PolicyFactory policy;
  unsigned shards;
};

class Run {
 public:
  Run(const World& world, std::uint64_t seed)
      : world_(world),
        random_(seed),
        store_({.memory_limit = world.limit, .shards = world.shards, .hash_seed = seed}, world.policy) {}

  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      step();
      RC_ASSERT(store_.stats().bytes_used <= world_.limit);
      if (i % 97 == 0) store_.check_invariants();
    }
    store_.check_invariants();
    compare_all();
  }

 private:
  void step() {
    const int feature = static_cast<int>(random_.below(3));
    const std::string key = random_key();
    switch (random_.below(20)) {
      case 0:
        erase(feature, key);
        break;
      case 1:
        now_ += static_cast<Millis>(random_.below(400));
        break;
      case 2:
        store_.maintain(now_ += 50);
        break;
      case 3:
        update(feature, key);
        break;
      case 4:
        if (random_.below(40) == 0) erase_feature(feature);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
      case 9:
        check(feature, key);
        break;
      default:
        put(feature, key);
    }
  }

  std::string random_key() {
    std::string key = std::to_string(random_.below(400));
    if (random_.below(50) == 0) key.resize(300, 'k');  // few, so that they meet
    return key;
  }
  std::string random_value() {
    static constexpr std::size_t kSizes[] = {0, 1, 10, 64, 64, 64, 300, 2000, 3000, 5000, 20000};
    std::string value(kSizes[random_.below(std::size(kSizes))], static_cast<char>('a' + random_.below(26)));
    if (value.size() >= 8) value.replace(0, 8, std::to_string(10000000 + random_.below(80000000)));
    return value;
  }
  EntryMeta random_meta() {
    EntryMeta meta;
    meta.stamp.up_to.value = random_.below(4) == 0 ? random_() : random_.below(1000);
    meta.loaded_at = now_ - static_cast<Millis>(random_.below(100));
    if (random_.below(2) == 0) meta.expires_at = now_ + static_cast<Millis>(random_.below(1000)) + 1;
    meta.negative = random_.below(10) == 0;
    meta.user_flags = static_cast<std::uint8_t>(random_.below(8));
    return meta;
  }
  KeyHash hash(int feature, const std::string& key) const { return store_.hash(id(feature), key); }
  static FeatureId id(int feature) { return FeatureId{static_cast<std::uint16_t>(feature)}; }

  void put(int feature, const std::string& key) {
    const std::string value = random_value();
    const EntryMeta meta = random_meta();
    const auto mode = static_cast<PutMode>(random_.below(10) < 8 ? 0 : random_.below(3));
    const bool present = stored(feature, key);
    const auto result = store_.put({.hash = hash(feature, key),
                                    .feature = id(feature),
                                    .key = key,
                                    .value = value,
                                    .meta = meta,
                                    .mode = mode,
                                    .now = now_});
    const bool allowed = mode == PutMode::kAlways || (mode == PutMode::kOnlyIfPresent) == present;
    // Room for a large value is made before the condition is looked at, and may have taken the very entry.
    const bool may_differ = world_.forgets && present && mode != PutMode::kAlways;
    const bool was_stored = result == Store::PutResult::kStored;
    RC_ASSERT(was_stored || result == Store::PutResult::kConditionFailed);
    RC_ASSERT(was_stored == allowed || may_differ);
    if (was_stored) model_.entries[{feature, key}] = {value, meta};
  }
  void update(int feature, const std::string& key) {
    const std::string value = random_value();
    const EntryMeta meta = random_meta();
    const bool erases = random_.below(3) == 0;
    (void)store_.update(hash(feature, key), id(feature), key, now_, [&](const EntryView* current) {
      if (current != nullptr) {
        const Model::Entry* expected = model_.find(feature, key, now_);
        RC_ASSERT(expected != nullptr && expected->value == current->value);
      }
      return Store::Update{.action = erases ? Store::Update::Action::kErase : Store::Update::Action::kStore,
                           .value = value,
                           .meta = meta};
    });
    if (erases) {
      model_.entries.erase({feature, key});
    } else {
      model_.entries[{feature, key}] = {value, meta};
    }
  }
  void erase(int feature, const std::string& key) {
    const bool present = stored(feature, key);
    RC_ASSERT(store_.erase(hash(feature, key), id(feature), key, now_) == present);
    model_.entries.erase({feature, key});
  }
  void erase_feature(int feature) {
    store_.erase_feature(id(feature));
    std::erase_if(model_.entries, [&](const auto& entry) { return entry.first.first == feature; });
    RC_ASSERT(store_.usage(id(feature)).entries == 0U);
  }
  // Present in the store; where nothing may be forgotten, exactly when the model has it.
  bool stored(int feature, const std::string& key) {
    const Store::ReadGuard guard(store_);
    EntryView view;
    const bool found = store_.peek(guard, hash(feature, key), id(feature), key, now_, &view);
    const Model::Entry* expected = model_.find(feature, key, now_);
    RC_ASSERT(!found || expected != nullptr);
    RC_ASSERT(found || expected == nullptr || world_.forgets);
    return found;
  }
  void check(int feature, const std::string& key) {
    if (!stored(feature, key)) return;
    const Store::ReadGuard guard(store_);
    EntryView view;
    RC_ASSERT(store_.find(guard, hash(feature, key), id(feature), key, now_, &view));
    const Model::Entry* expected = model_.find(feature, key, now_);
    RC_ASSERT(view.value == expected->value);
    RC_ASSERT(view.meta.stamp == expected->meta.stamp);
    RC_ASSERT(view.meta.loaded_at == expected->meta.loaded_at);
    RC_ASSERT(view.meta.expires_at == expected->meta.expires_at);
    RC_ASSERT(view.meta.negative == expected->meta.negative);
    RC_ASSERT(view.meta.user_flags == expected->meta.user_flags);
  }
  void compare_all() {
    for (const auto& [name, entry] : model_.entries) check(name.first, name.second);
    std::uint64_t cursor = 0;
    do {
      cursor = store_.scan(cursor, 50, now_, [&](const Store::Visited& visited) {
        const Model::Entry* expected = model_.find(visited.feature.value, std::string(visited.key), now_);
        RC_ASSERT(expected != nullptr && expected->value == visited.view.value);
      });
    } while (cursor != 0);
  }

  const World& world_;
  Random random_;
  Store store_;
  Model model_;
  Millis now_ = 1000;
};

void check_world(const World& world) {
  const bool holds = rc::check([&](std::uint64_t seed) { Run(world, seed).steps(1000); });
  EXPECT_TRUE(holds);
}

TEST(StorePropertyTest, ForgetsNothingWithRoomToSpare) {
  check_world({std::size_t{64} << 20, false, make_test_policy<TwoQueueTestPolicy>(), 2});
}
TEST(StorePropertyTest, InventsNothingWhenTight) {
  check_world({std::size_t{1} << 20, true, make_test_policy<TwoQueueTestPolicy>(), 1});
}
TEST(StorePropertyTest, InventsNothingWhenTightInManyShards) {
  check_world({std::size_t{2} << 20, true, make_test_policy<TwoQueueTestPolicy>(), 8});
}
TEST(StorePropertyTest, InventsNothingWithAHandThatSkips) {
  check_world({std::size_t{1} << 20, true, make_test_policy<SkipTestPolicy>(), 1});
}
TEST(StorePropertyTest, InventsNothingWhenHitsMoveEntries) {
  check_world({std::size_t{1} << 20, true, make_test_policy<MoveOnHitTestPolicy>(), 1});
}

}  // namespace
}  // namespace candor::l1
