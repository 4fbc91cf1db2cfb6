#include "tier/l1/queue_model.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "base/random.h"

namespace candor::l1 {
namespace {

// Does what a test tells it to do.
class ScriptedPolicy final : public EvictionPolicy {
 public:
  unsigned queue_count() const override { return 2; }
  void set_capacity(std::size_t, std::size_t) override {}
  unsigned on_insert(std::uint64_t, std::size_t) override { return insert_into; }
  unsigned pick_queue(std::span<const QueueLevel> queues) override { return queues[0].entries != 0 ? 0 : 1; }
  HeadDecision on_head(const HeadEntry& head) override {
    seen_accesses = head.accesses;
    if (head.accesses == 0) return {.action = HeadDecision::Action::kEvict};
    return {.action = if_read, .queue = head.queue, .accesses = head.accesses - 1};
  }
  bool on_hit(std::uint64_t, unsigned*) override {
    ++hits_heard;
    return false;
  }
  HitSampling hit_sampling() const override { return {.mask = 0}; }
  std::size_t memory_bytes() const override { return 0; }

  HeadDecision::Action if_read = HeadDecision::Action::kMove;
  unsigned insert_into = 0;
  unsigned seen_accesses = 0;
  int hits_heard = 0;
};

struct Driven {
  explicit Driven(std::size_t capacity) {
    auto owned = std::make_unique<ScriptedPolicy>();
    policy = owned.get();
    model = std::make_unique<QueueModel>(std::move(owned), capacity, 1);
  }
  ~Driven() { model->check_invariants(); }
  ScriptedPolicy* policy;
  std::unique_ptr<QueueModel> model;
};

TEST(QueueModel, AccessBitsSaturate) {
  Driven driven(1);
  for (int i = 0; i < 20; ++i) (void)driven.model->request(1);
  (void)driven.model->request(2);
  EXPECT_TRUE(driven.model->contains(2));
  EXPECT_EQ(driven.model->examined(), kAccessMax + 1);
}

TEST(QueueModel, ASkippedEntryKeepsItsPlaceAndTheHandMovesOn) {
  Driven driven(3);
  driven.policy->if_read = HeadDecision::Action::kSkip;
  for (std::uint64_t key : {1, 2, 3, 1}) (void)driven.model->request(key);
  (void)driven.model->request(4);  // skips 1, evicts 2
  EXPECT_TRUE(driven.model->contains(1));
  EXPECT_FALSE(driven.model->contains(2));
  (void)driven.model->request(5);  // the hand stands at 3
  EXPECT_FALSE(driven.model->contains(3));
  EXPECT_TRUE(driven.model->contains(1));
}

TEST(QueueModel, TheHandWraps) {
  Driven driven(2);
  driven.policy->if_read = HeadDecision::Action::kSkip;
  for (std::uint64_t key : {1, 2, 1, 2}) (void)driven.model->request(key);
  (void)driven.model->request(3);  // skips both, then evicts 1
  EXPECT_FALSE(driven.model->contains(1));
  EXPECT_TRUE(driven.model->contains(2));
}

TEST(QueueModel, DelayedHitsAreToldAtTheNextMissAndBounded) {
  Driven driven(4);
  driven.model->delay_hits(3);
  (void)driven.model->request(1);
  for (int i = 0; i < 10; ++i) (void)driven.model->request(1);
  EXPECT_EQ(driven.policy->hits_heard, 0);
  (void)driven.model->request(2);
  EXPECT_EQ(driven.policy->hits_heard, 3);
}

RC_GTEST_PROP(QueueModel, HoldsWhatItSaysUnderRequestsAndErasures, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 30);
  Random random(*rc::gen::arbitrary<std::uint64_t>());
  Driven driven(capacity);
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t key = random.below(60);
    const bool there = driven.model->contains(key);
    if (random.below(8) == 0) {
      RC_ASSERT(driven.model->erase(key) == there);
      RC_ASSERT(!driven.model->contains(key));
    } else {
      driven.policy->insert_into = static_cast<unsigned>(random.below(2));
      RC_ASSERT(driven.model->request(key) == there);
      RC_ASSERT(driven.model->contains(key));
    }
    driven.model->check_invariants();
  }
}

TEST(QueueModel, WithWeightsTheLimitIsTheirSum) {
  QueueModel model(make_policy(PolicyKind::kLru, 1), QueueModel::Weighted{100, 1000}, 1);
  model.insert(1, 40, {});
  model.insert(2, 40, {});
  EXPECT_TRUE(model.touch(1));
  model.insert(3, 40, {});  // the least recently used leaves
  EXPECT_FALSE(model.contains(2));
  EXPECT_TRUE(model.contains(1));
  model.resize(1, 90);
  EXPECT_LE(model.weight(), 100U);
  model.insert(4, 101, {});
  EXPECT_FALSE(model.contains(4));
  model.check_invariants();
}

TEST(QueueModel, WeightsChangeByLabelAndZeroLeaves) {
  QueueModel model(make_policy(PolicyKind::kDefault, 1), QueueModel::Weighted{10'000, 1000}, 1);
  for (std::uint64_t key = 0; key < 100; ++key)
    model.insert(key, 10, {static_cast<std::uint32_t>(key), static_cast<std::uint16_t>(key % 2)});
  model.reweigh([](QueueModel::Label label, std::size_t weight) {
    if (label.group == 0) return weight;
    return label.number < 50 ? weight * 2 : 0;
  });
  EXPECT_EQ(model.entries(), 75U);
  EXPECT_EQ(model.weight(), 50U * 10 + 25U * 20);
  EXPECT_TRUE(model.contains(49));
  EXPECT_FALSE(model.contains(51));
  model.check_invariants();
}

TEST(QueueModel, UnderRandomWeightsItsInvariantsHold) {
  for (const PolicyKind kind : {PolicyKind::kDefault, PolicyKind::kLru, PolicyKind::kSieve}) {
    QueueModel model(make_policy(kind, 1), QueueModel::Weighted{20'000, 300}, 1);
    Random random(1);
    for (int i = 0; i < 20'000; ++i) {
      const std::uint64_t key = random.below(1000);
      const std::size_t weight = 1 + random.below(200);
      switch (random.below(20)) {
        case 0:
          (void)model.erase(key);
          break;
        case 1:
          model.resize(key, weight);
          break;
        case 2:
          if (random.below(50) == 0) model.set_capacity(5'000 + random.below(20'000));
          break;
        default:
          (void)model.request(key, weight);
      }
      if (i % 500 == 0) model.check_invariants();
    }
    model.check_invariants();
  }
}

}  // namespace
}  // namespace candor::l1
