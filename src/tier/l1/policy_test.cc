// What every policy must do, and the classical ones against naive references.
#include "tier/l1/policy.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <list>
#include <string>

#include "base/random.h"
#include "tier/l1/queue_model.h"

namespace candor::l1 {
namespace {

constexpr std::uint64_t kSeed = 1;

QueueModel model_of(PolicyKind kind, std::size_t capacity, std::uint64_t seed = kSeed) {
  return QueueModel(make_policy(kind, seed), capacity, seed);
}

double miss_ratio(QueueModel& model, const std::vector<std::uint64_t>& keys) {
  std::size_t misses = 0;
  for (std::uint64_t key : keys) misses += model.request(key) ? 0 : 1;
  return static_cast<double>(misses) / static_cast<double>(keys.size());
}

class AnyPolicy : public testing::TestWithParam<PolicyKind> {};

// The model asserts that every eviction ends and never asks for an empty queue's head.
TEST_P(AnyPolicy, EveryEvictionEndsUnderRandomRequestsAndErasures) {
  for (std::size_t capacity : {1U, 2U, 3U, 7U, 20U, 100U, 1000U}) {
    QueueModel model = model_of(GetParam(), capacity, capacity);
    Random random(capacity);
    const std::uint64_t keys = capacity * 3;
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t key =
          random.below(keys) * random.below(keys) / keys + static_cast<std::uint64_t>(i) / 100;
      if (random.below(20) == 0) {
        (void)model.erase(key);
      } else {
        (void)model.request(key);
      }
      if (i % 1000 == 0) model.check_invariants();
    }
    model.check_invariants();
  }
}

TEST_P(AnyPolicy, EveryEvictionEndsWhenEverythingWasReadOften) {
  QueueModel model = model_of(GetParam(), 50);
  for (int round = 0; round < 20; ++round) {
    for (std::uint64_t key = 0; key < 50; ++key) (void)model.request(key);
  }
  for (std::uint64_t key = 100; key < 300; ++key) EXPECT_FALSE(model.request(key));
  model.check_invariants();
}

TEST_P(AnyPolicy, EvictsNothingWhileThereIsRoom) {
  QueueModel model = model_of(GetParam(), 100);
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t key = 0; key < 100; ++key) (void)model.request(key);
  }
  EXPECT_EQ(model.evictions(), 0U);
}

TEST_P(AnyPolicy, KeepsAHotSetThatFitsEasily) {
  QueueModel model = model_of(GetParam(), 1000);
  Random random(5);
  std::uint64_t stranger = 1'000'000;
  std::size_t hot = 0;
  std::size_t hot_misses = 0;
  for (int i = 0; i < 50000; ++i) {
    if (i % 10 == 0) {
      (void)model.request(stranger++);
    } else {
      ++hot;
      hot_misses += model.request(random.below(200)) ? 0 : 1;
    }
  }
  EXPECT_LT(static_cast<double>(hot_misses) / static_cast<double>(hot), 0.02);
}

TEST_P(AnyPolicy, TheSameSeedGivesTheSameEvictions) {
  const auto run = [&] {
    QueueModel model = model_of(GetParam(), 60, 9);
    Random random(3);
    std::string pattern;
    for (int i = 0; i < 3000; ++i) pattern += model.request(random.below(200)) ? 'h' : 'm';
    return pattern;
  };
  EXPECT_EQ(run(), run());
}

TEST_P(AnyPolicy, CountsItsMemoryAndBoundsIt) {
  const auto policy = make_policy(GetParam(), kSeed);
  policy->set_capacity(std::size_t{100} << 20, std::size_t{1} << 20);
  EXPECT_GE(policy->memory_bytes(), 8U);
  EXPECT_LT(static_cast<double>(policy->memory_bytes()), 4.1 * (1 << 20));
  policy->set_capacity(1, 1);
  EXPECT_LT(policy->memory_bytes(), 8192U);
}

INSTANTIATE_TEST_SUITE_P(Policies, AnyPolicy,
                         testing::Values(PolicyKind::kDefault, PolicyKind::kS3Fifo, PolicyKind::kSieve,
                                         PolicyKind::kLru, PolicyKind::kWTinyLfu),
                         [](const auto& suite) { return std::string(policy_name(suite.param)); });

TEST(PolicyNames, AreReadBack) {
  for (PolicyKind kind : {PolicyKind::kDefault, PolicyKind::kS3Fifo, PolicyKind::kSieve, PolicyKind::kLru,
                          PolicyKind::kWTinyLfu}) {
    EXPECT_EQ(parse_policy(policy_name(kind)), kind);
  }
}

TEST(PolicyNames, AnUnknownOneIsAnErrorThatListsThem) {
  const auto parsed = parse_policy("arc");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().message.find("wtinylfu"), std::string::npos);
}

// --- naive references

class NaiveLru {
 public:
  explicit NaiveLru(std::size_t capacity) : capacity_(capacity) {}
  bool request(std::uint64_t key) {
    const auto at = std::find(keys_.begin(), keys_.end(), key);
    const bool hit = at != keys_.end();
    if (hit) keys_.erase(at);
    if (keys_.size() == capacity_) keys_.pop_front();
    keys_.push_back(key);
    return hit;
  }

 private:
  std::size_t capacity_;
  std::list<std::uint64_t> keys_;
};

// After the paper's pseudocode: new at the front, the hand walks from the back to the front and wraps.
class NaiveSieve {
 public:
  explicit NaiveSieve(std::size_t capacity) : capacity_(capacity) {}
  bool request(std::uint64_t key) {
    for (Node& node : nodes_) {
      if (node.key != key) continue;
      node.visited = true;
      return true;
    }
    if (nodes_.size() == capacity_) evict();
    nodes_.push_front({key, false});
    return false;
  }

 private:
  struct Node {
    std::uint64_t key;
    bool visited;
  };
  void evict() {
    auto at = has_hand_ ? hand_ : std::prev(nodes_.end());
    while (at->visited) {
      at->visited = false;
      at = at == nodes_.begin() ? std::prev(nodes_.end()) : std::prev(at);
    }
    has_hand_ = at != nodes_.begin();
    if (has_hand_) hand_ = std::prev(at);
    nodes_.erase(at);
  }

  std::size_t capacity_;
  std::list<Node> nodes_;
  std::list<Node>::iterator hand_;
  bool has_hand_ = false;
};

template <class Naive>
void hits_what_the_reference_hits(PolicyKind kind) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 40);
  const auto keys = *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>());
  QueueModel model = model_of(kind, capacity);
  Naive naive(capacity);
  Random random(capacity);
  for (std::size_t i = 0; i < keys.size() + 1000; ++i) {
    const std::uint64_t key = i < keys.size() ? keys[i] % 64 : random.below(capacity * 2);
    RC_ASSERT(model.request(key) == naive.request(key));
  }
  model.check_invariants();
}

RC_GTEST_PROP(LruPolicy, HitsWhatANaiveLruHits, ()) {
  hits_what_the_reference_hits<NaiveLru>(PolicyKind::kLru);
}
RC_GTEST_PROP(SievePolicy, HitsWhatANaiveSieveHits, ()) {
  hits_what_the_reference_hits<NaiveSieve>(PolicyKind::kSieve);
}

// --- what makes each policy itself

void fill(QueueModel& model, std::uint64_t from, std::uint64_t count) {
  for (std::uint64_t key = from; key < from + count; ++key) (void)model.request(key);
}

TEST(S3FifoPolicy, TwoReadsOnProbationOutliveAScan) {
  QueueModel model = model_of(PolicyKind::kS3Fifo, 100);
  (void)model.request(1);
  (void)model.request(1);
  (void)model.request(1);
  fill(model, 1000, 1000);
  EXPECT_TRUE(model.contains(1));
}

TEST(S3FifoPolicy, OneReadOnProbationDoesNot) {
  QueueModel model = model_of(PolicyKind::kS3Fifo, 100);
  (void)model.request(1);
  (void)model.request(1);
  fill(model, 1000, 1000);
  EXPECT_FALSE(model.contains(1));
}

TEST(S3FifoPolicy, AKeyMissedAgainSoonGoesToMain) {
  QueueModel model = model_of(PolicyKind::kS3Fifo, 100);
  fill(model, 0, 120);  // 0 … 19 have left through the small queue
  ASSERT_FALSE(model.request(10));
  fill(model, 1000, 1000);
  EXPECT_TRUE(model.contains(10));
}

TEST(WTinyLfuPolicy, AScanDoesNotDisplaceWhatIsPopular) {
  QueueModel model = model_of(PolicyKind::kWTinyLfu, 100);
  for (int round = 0; round < 5; ++round) fill(model, 0, 100);
  fill(model, 1000, 500);  // shorter than the sketch's period: popularity that nobody renews is forgotten
  std::size_t kept = 0;
  for (std::uint64_t key = 0; key < 100; ++key) kept += model.contains(key) ? 1 : 0;
  EXPECT_GT(kept, 70U);
}

TEST(WTinyLfuPolicy, ANewlyPopularKeyGetsIn) {
  QueueModel model = model_of(PolicyKind::kWTinyLfu, 100);
  fill(model, 0, 100);
  for (std::uint64_t i = 0; i < 100; ++i) {
    (void)model.request(7777);
    (void)model.request(10000 + i);
  }
  EXPECT_TRUE(model.contains(7777));
}

// --- the default

std::vector<std::uint64_t> loop(std::uint64_t keys, std::size_t requests) {
  std::vector<std::uint64_t> trace;
  for (std::size_t i = 0; i < requests; ++i) trace.push_back(i % keys);
  return trace;
}

// Keys are popular for a while, the nearer to now the more: LRU is as good as anything here.
std::vector<std::uint64_t> drift(std::size_t requests, std::uint64_t window) {
  Random random(11);
  std::vector<std::uint64_t> trace;
  for (std::size_t i = 0; i < requests; ++i) {
    const std::uint64_t back = random.below(window) * random.below(window) / window;
    trace.push_back(i / 4 + window - back);
  }
  return trace;
}

TEST(DefaultPolicy, HoldsPartOfALoopThatDoesNotFit) {
  QueueModel model = model_of(PolicyKind::kDefault, 500);
  EXPECT_LT(miss_ratio(model, loop(1000, 50000)), 0.65);  // LRU: 1.0, optimum: about 0.5
}

TEST(DefaultPolicy, IsCloseToLruWhereLruIsRight) {
  const std::vector<std::uint64_t> trace = drift(200000, 4000);
  for (std::size_t capacity : {100U, 1000U, 3000U}) {
    QueueModel model = model_of(PolicyKind::kDefault, capacity);
    QueueModel lru = model_of(PolicyKind::kLru, capacity);
    EXPECT_LT(miss_ratio(model, trace), miss_ratio(lru, trace) + 0.01) << capacity;
  }
}

TEST(DefaultPolicy, FollowsALoadThatChangesItsWays) {
  // A loop for a while, then drift: each part as if it had been alone, but for the time of learning.
  QueueModel model = model_of(PolicyKind::kDefault, 1000);
  (void)miss_ratio(model, loop(3000, 100000));
  QueueModel lru = model_of(PolicyKind::kLru, 1000);
  const std::vector<std::uint64_t> trace = drift(200000, 4000);
  EXPECT_LT(miss_ratio(model, trace), miss_ratio(lru, trace) + 0.02);
}

TEST(DefaultPolicy, LateAndLostHitsCostLittle) {
  // The store's readers leave 62 hits in each of four stripes and overwrite the oldest.
  Random random(2);
  std::vector<std::uint64_t> trace;
  for (std::size_t i = 0; i < 200000; ++i) trace.push_back(random.below(6000) * random.below(6000) / 6000);
  QueueModel at_once = model_of(PolicyKind::kDefault, 1500);
  QueueModel late = model_of(PolicyKind::kDefault, 1500);
  late.delay_hits(62);
  EXPECT_NEAR(miss_ratio(at_once, trace), miss_ratio(late, trace), 0.01);
}

TEST(DefaultPolicy, HearsOfFewHitsOnALargeShard) {
  const auto policy = make_policy(PolicyKind::kDefault, kSeed);
  policy->set_capacity(std::size_t{8} << 20, 80000);
  EXPECT_EQ(policy->hit_sampling().mask, 255U);
}

TEST(DefaultPolicy, CostsAByteAndAHalfAnEntryOnALargeShard) {
  const auto policy = make_policy(PolicyKind::kDefault, kSeed);
  for (std::size_t entries : {80000U, 200000U, 1000000U}) {
    policy->set_capacity(entries * 100, entries);
    EXPECT_LT(static_cast<double>(policy->memory_bytes()), 1.5 * static_cast<double>(entries)) << entries;
  }
}

TEST(DefaultPolicy, KeepsWhatItLearntWhenTheEstimateOfItsSizeMoves) {
  const auto policy = make_policy(PolicyKind::kDefault, kSeed);
  policy->set_capacity(1 << 20, 10000);
  const std::uint64_t mask = policy->hit_sampling().mask;
  for (std::size_t entries : {10500U, 9000U, 11500U, 10000U}) {
    policy->set_capacity(1 << 20, entries);
    EXPECT_EQ(policy->hit_sampling().mask, mask);
  }
}

}  // namespace
}  // namespace candor::l1
