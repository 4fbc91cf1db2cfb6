#include "tier/l2/memory_l2.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/virtual_executor.h"

namespace candor::l2 {
namespace {

L2Entry entry_of(std::string value, Duration ttl = 60s, std::uint64_t position = 0) {
  L2Entry e;
  e.value = std::move(value);
  e.ttl_left = ttl;
  e.stamp = Stamp{ChangeId{position}};
  return e;
}

class MemoryL2Test : public ::testing::Test {
 protected:
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    executor.run_ready();
    CANDOR_ASSERT(result.has_value());
    return std::move(*result);
  }
  L2Lookup look(const std::string& key, bool refresh = false) {
    return wait(tier.get_or_lease(key, 3s, refresh)).value();
  }
  LeaseToken lease(const std::string& key) {
    const L2Lookup l = look(key);
    CANDOR_ASSERT(l.state == L2Lookup::State::kLease);
    return l.token;
  }
  L2FillVerdict fill(const std::string& key, LeaseToken token, L2Entry e) {
    return wait(tier.fill(key, token, std::move(e))).value();
  }
  void put(const std::string& key, L2Entry e) { ASSERT_TRUE(wait(tier.put(key, std::move(e))).has_value()); }
  bool invalidate(const std::string& key, std::uint64_t position = 0, Duration hold = 0s) {
    return wait(tier.invalidate(key, L2Marker{ChangeId{position}, hold})).value();
  }
  void TearDown() override { tier.check_invariants(); }

  VirtualExecutor executor;
  MemoryL2 tier{&executor, {.bytes_limit = 100'000, .guards_max = 50}, 1};
};

using State = L2Lookup::State;

TEST_F(MemoryL2Test, FirstMissGetsTheLeaseOthersAreToldToWait) {
  const L2Lookup first = look("f:1");
  EXPECT_EQ(first.state, State::kLease);
  EXPECT_NE(first.token.value, 0U);
  EXPECT_EQ(look("f:1").state, State::kBusy);
  EXPECT_EQ(look("f:2").state, State::kLease);
}

TEST_F(MemoryL2Test, FilledValueIsHitWithItsAgeAndTtl) {
  L2Entry e = entry_of("v", 10s, 7);
  e.age = 200ms;
  EXPECT_EQ(fill("f:1", lease("f:1"), e), L2FillVerdict::kStored);
  executor.advance(3s);
  const L2Lookup hit = look("f:1");
  ASSERT_EQ(hit.state, State::kHit);
  EXPECT_EQ(hit.entry.value, "v");
  EXPECT_EQ(hit.entry.age, Duration{3200ms});
  EXPECT_EQ(hit.entry.ttl_left, Duration{7s});
  EXPECT_EQ(hit.entry.stamp.up_to.value, 7U);
}

TEST_F(MemoryL2Test, LeaseEndsByItselfAndItsFillIsTooLate) {
  const LeaseToken old = lease("f:1");
  executor.advance(3s);
  const LeaseToken fresh = lease("f:1");
  EXPECT_EQ(fill("f:1", old, entry_of("old")), L2FillVerdict::kLeaseLost);
  EXPECT_EQ(fill("f:1", fresh, entry_of("new")), L2FillVerdict::kStored);
  EXPECT_EQ(look("f:1").entry.value, "new");
  EXPECT_EQ(tier.stats().fills_refused, 1U);
}

TEST_F(MemoryL2Test, LateFillAfterInvalidateIsRefused) {
  const LeaseToken token = lease("f:1");
  EXPECT_FALSE(invalidate("f:1"));
  EXPECT_EQ(fill("f:1", token, entry_of("old")), L2FillVerdict::kLeaseLost);
  EXPECT_EQ(look("f:1").state, State::kLease);
}

TEST_F(MemoryL2Test, MarkerRefusesALoadThatDoesNotIncludeIt) {
  invalidate("f:1", 10, 5s);
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("old", 60s, 9)), L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("unknown", 60s, 0)), L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("new", 60s, 10)), L2FillVerdict::kStored);
}

TEST_F(MemoryL2Test, MarkerNeverStepsBackAndEndsAfterItsHold) {
  invalidate("f:1", 10, 5s);
  invalidate("f:1", 4, 1s);
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("old", 60s, 9)), L2FillVerdict::kMarkerNewer);
  executor.advance(5s);
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("old", 60s, 9)), L2FillVerdict::kStored);
}

TEST_F(MemoryL2Test, RefreshGivesALeaseBesideTheEntry) {
  put("f:1", entry_of("v"));
  const L2Lookup refresh = look("f:1", true);
  ASSERT_EQ(refresh.state, State::kLease);
  EXPECT_EQ(look("f:1", true).state, State::kBusy);
  EXPECT_EQ(look("f:1").state, State::kHit);
  EXPECT_EQ(fill("f:1", refresh.token, entry_of("w")), L2FillVerdict::kStored);
  EXPECT_EQ(look("f:1").entry.value, "w");
}

TEST_F(MemoryL2Test, ReleaseLetsTheNextOneLoadAndOnlyTheHolderMay) {
  const LeaseToken token = lease("f:1");
  EXPECT_TRUE(wait(tier.release("f:1", LeaseToken{token.value + 1})).has_value());
  EXPECT_EQ(look("f:1").state, State::kBusy);
  EXPECT_TRUE(wait(tier.release("f:1", token)).has_value());
  EXPECT_EQ(look("f:1").state, State::kLease);
}

TEST_F(MemoryL2Test, PutBeatsALoadUnderWay) {
  const LeaseToken token = lease("f:1");
  put("f:1", entry_of("put"));
  EXPECT_EQ(fill("f:1", token, entry_of("loaded")), L2FillVerdict::kLeaseLost);
  EXPECT_EQ(wait(tier.get("f:1")).value()->value, "put");
}

TEST_F(MemoryL2Test, ExpiredEntriesGiveTheirMemoryBackUntouched) {
  for (int i = 0; i < 100; ++i) put(fmt::format("f:{}", i), entry_of(std::string(100, 'x'), 1s));
  executor.advance(1s);
  for (int i = 0; i < 20; ++i) (void)wait(tier.get("other"));
  EXPECT_EQ(tier.keys(), 0U);
  EXPECT_EQ(tier.bytes(), 0U);
}

TEST_F(MemoryL2Test, NoTtlStaysAndSaysSo) {
  put("f:1", entry_of("v", 0s));
  executor.advance(1h);
  EXPECT_EQ(look("f:1").entry.ttl_left, Duration{0});
}

TEST_F(MemoryL2Test, LimitHoldsAndTheOldestGoFirst) {
  for (int i = 0; i < 2000; ++i) {
    put(fmt::format("f:{}", i), entry_of(std::string(200, 'x')));
    (void)wait(tier.get("f:0"));
    ASSERT_LE(tier.bytes(), 100'000U);
  }
  EXPECT_EQ(look("f:0").state, State::kHit);
  EXPECT_EQ(look("f:1999").state, State::kHit);
  EXPECT_EQ(wait(tier.get("f:1")).value(), std::nullopt);
}

TEST_F(MemoryL2Test, AnEntryLargerThanTheTierIsRefusedWithALimit) {
  const auto refused = wait(tier.put("f:1", entry_of(std::string(200'000, 'x'))));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
}

TEST_F(MemoryL2Test, LeasesAreBoundedAndTheCallerIsTold) {
  for (int i = 0; i < 50; ++i) (void)lease(fmt::format("f:{}", i));
  const auto refused = wait(tier.get_or_lease("f:50", 3s, false));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  executor.advance(3s);
  EXPECT_EQ(look("f:50").state, State::kLease);
}

TEST_F(MemoryL2Test, MarkersWithoutRoomBecomeAFloorOfTheirFeature) {
  const LeaseToken token = lease("f:free");
  // Of another origin, whose ids count from elsewhere.
  const LeaseToken other = lease("other:1");
  for (int i = 0; i < 60; ++i) invalidate(fmt::format("f:{}", i), 100, 5s);
  EXPECT_EQ(fill("f:free", token, entry_of("v", 60s, 99)), L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(fill("other:1", other, entry_of("v", 60s, 7)), L2FillVerdict::kStored);
  executor.advance(5s);
  EXPECT_EQ(fill("f:59", lease("f:59"), entry_of("v", 60s, 99)), L2FillVerdict::kStored);
}

TEST_F(MemoryL2Test, MoreFeaturesThanFloorsShareOne) {
  const LeaseToken token = lease("quiet:1");
  for (int i = 0; i < 60; ++i) invalidate(fmt::format("f:{}", i), 1, 5s);  // no room from here on
  for (int i = 0; i < 300; ++i) invalidate(fmt::format("feature{}:1", i), 100, 5s);
  EXPECT_EQ(fill("quiet:1", token, entry_of("v", 60s, 99)), L2FillVerdict::kMarkerNewer);
  executor.advance(5s);
  EXPECT_EQ(fill("quiet:1", lease("quiet:1"), entry_of("v", 60s, 99)), L2FillVerdict::kStored);
}

TEST_F(MemoryL2Test, ClearDropsOnePrefixAndEveryLease) {
  for (int i = 0; i < 100; ++i) {
    put(fmt::format("a:{}", i), entry_of("v"));
    put(fmt::format("b:{}", i), entry_of("v"));
  }
  const LeaseToken token = lease("c:1");
  ASSERT_TRUE(wait(tier.clear("a:")).has_value());
  EXPECT_EQ(wait(tier.get("a:5")).value(), std::nullopt);
  EXPECT_TRUE(wait(tier.get("b:5")).value().has_value());
  EXPECT_EQ(fill("c:1", token, entry_of("v")), L2FillVerdict::kLeaseLost);
  ASSERT_TRUE(wait(tier.clear("")).has_value());
  EXPECT_EQ(tier.keys(), 0U);
}

TEST_F(MemoryL2Test, ClearKeepsMarkers) {
  invalidate("f:1", 10, 5s);
  ASSERT_TRUE(wait(tier.clear("")).has_value());
  EXPECT_EQ(fill("f:1", lease("f:1"), entry_of("old", 60s, 9)), L2FillVerdict::kMarkerNewer);
}

class TaggedL2Test : public MemoryL2Test {
 protected:
  TaggedL2Test() {
    std::vector<TagPattern> patterns;
    for (const char* text : {"all", "one:{1}"}) patterns.push_back(TagPattern::parse(text).value());
    rules.add("f", FeatureTags(std::move(patterns), 1));
    tier.use_tags(&rules);
  }
  void store(const std::string& key) {
    const L2Lookup l = look(key);
    ASSERT_EQ(l.state, State::kLease) << key;
    L2Entry entry = entry_of("v");
    entry.tag_mark = l.tag_mark;
    entry.generation = l.l2.generation;
    ASSERT_EQ(fill(key, l.token, std::move(entry)), L2FillVerdict::kStored);
    ASSERT_EQ(look(key).state, State::kHit);
  }
  void drop_tag(const std::string& tag) { ASSERT_TRUE(wait(tier.invalidate_tag(tag, 120s)).has_value()); }
  TagRules rules{7};
};

TEST_F(TaggedL2Test, EntriesFromBeforeATagWasInvalidatedAreMisses) {
  for (const char* key : {"f:1", "f:2", "g:1"}) store(key);
  drop_tag("one:1");
  EXPECT_NE(look("f:1").state, State::kHit);
  EXPECT_EQ(look("f:2").state, State::kHit);
  drop_tag("all");
  EXPECT_NE(look("f:2").state, State::kHit);
  EXPECT_EQ(look("g:1").state, State::kHit);
}

TEST_F(TaggedL2Test, LoadFromBeforeATagWasInvalidatedIsRefused) {
  const L2Lookup l = look("f:1");
  drop_tag("all");
  L2Entry entry = entry_of("v");
  entry.tag_mark = l.tag_mark;
  EXPECT_EQ(fill("f:1", l.token, std::move(entry)), L2FillVerdict::kLeaseLost);
  store("f:1");
}

TEST_F(TaggedL2Test, MoreTagsThanThereIsRoomForMakeEverythingAMiss) {
  store("f:1");
  store("g:1");
  for (int i = 0; i < 2000; ++i) {
    drop_tag("one:" + std::to_string(100 + i));
    tier.check_invariants();
  }
  EXPECT_NE(look("f:1").state, State::kHit);
  EXPECT_NE(look("g:1").state, State::kHit);
  store("f:3");
  drop_tag("one:3");
  EXPECT_NE(look("f:3").state, State::kHit);
}

TEST_F(MemoryL2Test, ClearMayOutliveTheTier) {
  VirtualExecutor world;
  auto big = std::make_unique<MemoryL2>(&world, MemoryL2::Options{.bytes_limit = 10'000'000}, 1);
  for (int i = 0; i < 5000; ++i) spawn(big->put(fmt::format("f:{}", i), entry_of("v")), [](Result<void>) {});
  bool done = false;
  spawn(big->clear(""), [&done](Result<void>) { done = true; });
  EXPECT_FALSE(done);
  big.reset();
  world.run_ready();
  EXPECT_TRUE(done);
}

// Nodes, a writer and time in random order, against the contract written the naive way.
class MemoryL2AgainstModel : public MemoryL2Test {
 protected:
  struct Key {
    std::optional<std::string> value;
    MonoTime expires;
    std::uint64_t token = 0;
    MonoTime lease_until;
    std::uint64_t marker = 0;
    MonoTime marker_until;
    std::vector<std::uint64_t> tokens_given;
  };

  Key& settled(const std::string& key) {
    Key& m = model[key];
    if (m.value && m.expires <= executor.now()) m.value.reset();
    if (m.lease_until <= executor.now()) m.token = 0;
    if (m.marker_until <= executor.now()) m.marker = 0;
    return m;
  }
  void look_up(const std::string& key, Key& m) {
    const bool refresh = random.below(4) == 0;
    const L2Lookup l = look(key, refresh);
    if (m.value && !refresh) {
      ASSERT_EQ(l.state, State::kHit);
      ASSERT_EQ(l.entry.value, *m.value);
    } else if (m.token != 0) {
      ASSERT_EQ(l.state, State::kBusy);
    } else {
      ASSERT_EQ(l.state, State::kLease);
      m.token = l.token.value;
      m.lease_until = executor.now() + 3s;
      m.tokens_given.push_back(m.token);
    }
  }
  // With a token of any age.
  void fill_some(const std::string& key, Key& m) {
    if (m.tokens_given.empty()) return;
    const std::uint64_t token = m.tokens_given[random.below(m.tokens_given.size())];
    const std::uint64_t position = random.below(20);
    const std::string value = std::to_string(random());
    const auto verdict = fill(key, LeaseToken{token}, entry_of(value, 4s, position));
    if (token != m.token) {
      ASSERT_EQ(verdict, L2FillVerdict::kLeaseLost);
      return;
    }
    m.token = 0;
    if (position < m.marker) {
      ASSERT_EQ(verdict, L2FillVerdict::kMarkerNewer);
      return;
    }
    ASSERT_EQ(verdict, L2FillVerdict::kStored);
    m.value = value;
    m.expires = executor.now() + 4s;
  }
  void invalidate_it(const std::string& key, Key& m) {
    const std::uint64_t position = random.below(20);
    ASSERT_EQ(invalidate(key, position, 2s), m.value.has_value());
    m.value.reset();
    m.token = 0;
    if (position == 0) return;
    m.marker = std::max(m.marker, position);
    m.marker_until = executor.now() + 2s;
  }

  std::map<std::string, Key> model;
  Random random{7};
};

TEST_F(MemoryL2AgainstModel, RandomCallsKeepTheContract) {
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = fmt::format("f:{}", random.below(8));
    Key& m = settled(key);
    switch (random.below(6)) {
      case 0:
        look_up(key, m);
        break;
      case 1:
      case 2:
        fill_some(key, m);
        break;
      case 3:
        invalidate_it(key, m);
        break;
      case 4:
        ASSERT_EQ(wait(tier.get(key)).value().has_value(), m.value.has_value());
        break;
      default:
        executor.advance(std::chrono::milliseconds(random.below(700)));
    }
    if (HasFatalFailure()) return;
    tier.check_invariants();
  }
}

}  // namespace
}  // namespace candor::l2
