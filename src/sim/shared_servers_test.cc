// The models of the shared tier and of the region stream, by their contracts.
#include <gtest/gtest.h>

#include <optional>

#include "sim/shared_log.h"
#include "sim/shared_tier.h"

namespace candor::sim {
namespace {

Stamp up_to(std::uint64_t id) {
  Stamp stamp;
  stamp.up_to = ChangeId{id};
  return stamp;
}
L2Entry entry(const char* value, std::uint64_t id, std::uint32_t generation = 0) {
  L2Entry e;
  e.value = value;
  e.stamp = up_to(id);
  e.generation = generation;
  return e;
}

class SharedTierTest : public testing::Test {
 protected:
  void SetUp() override { world_.start(process_); }
  L2Lookup lookup(bool refresh = false) { return tier_.get_or_lease("f:k", 3s, refresh); }

  World world_{{.seed = 2}};
  Network network_{world_};
  History history_;
  Process& process_ = world_.add_process("l2");
  SharedTier tier_{world_, network_, process_, &history_};
  Random random_{1};
};

TEST_F(SharedTierTest, OneCallerLoadsAndTheOthersWait) {
  const auto first = lookup();
  EXPECT_EQ(first.state, L2Lookup::State::kLease);
  EXPECT_EQ(lookup().state, L2Lookup::State::kBusy);
  EXPECT_EQ(tier_.fill("f:k", first.token, entry("7", 5)), L2FillVerdict::kStored);
  EXPECT_EQ(lookup().entry.value, "7");
  ASSERT_EQ(history_.leases.size(), 1u);
  EXPECT_NE(history_.leases[0].ended, kNever);
}

TEST_F(SharedTierTest, ALeaseEndsByItsTime) {
  const auto first = lookup();
  world_.run_for(4s);
  EXPECT_EQ(lookup().state, L2Lookup::State::kLease);
  EXPECT_EQ(tier_.fill("f:k", first.token, entry("7", 5)), L2FillVerdict::kLeaseLost);
}

TEST_F(SharedTierTest, AMarkerRefusesWhatLacksItsChange) {
  (void)tier_.invalidate("f:k", {ChangeId{9}, 1min});
  EXPECT_EQ(tier_.fill("f:k", lookup().token, entry("7", 8)), L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(tier_.fill("f:k", lookup().token, entry("7", 9)), L2FillVerdict::kStored);
}

TEST_F(SharedTierTest, AnEntryOfAnOlderGenerationIsAMiss) {
  (void)tier_.fill("f:k", lookup().token, entry("7", 5));
  const L2State raised = tier_.raise_generation({4, 20});
  EXPECT_GT(raised.generation, 4u);
  EXPECT_EQ(lookup().state, L2Lookup::State::kLease);
}

TEST_F(SharedTierTest, ATierThatWentBackKnowsLess) {
  world_.run_for(6s);
  (void)tier_.advance({});
  const auto known = *tier_.advance({});
  const auto life = tier_.life();
  tier_.restore_old(random_);
  EXPECT_LT(tier_.state(), known);
  EXPECT_EQ(tier_.advance(known).error().code, ErrorCode::kCorrupt);
  EXPECT_NE(tier_.life(), life);
}

struct Reader final : StreamReader {
  void on_message(SequenceNumber sequence, StreamMessage message) override {
    EXPECT_EQ(sequence.value, next++) << "in order, without holes";
    tokens.push_back(std::get<message::SelfTest>(message).token);
  }
  void on_gap(SequenceNumber at, std::string) override { next = at.value, ++gaps; }
  void on_connected(bool) override {}
  std::uint64_t next = 1;
  int gaps = 0;
  std::vector<std::uint64_t> tokens;
};

class SharedLogTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.start(server_);
    node_place_ = network_.add_place("node", node_);
    world_.run_on(node_, [&] {
      client_ = std::make_unique<SharedLogClient>(network_, node_place_, log_);
      client_->read(std::nullopt, &reader_);
    });
    world_.run_for(1s);
  }
  void TearDown() override {
    world_.run_on(node_, [&] { client_.reset(); });
    world_.run_for(5s);
  }
  void append(std::uint64_t token) {
    world_.run_on(server_, [&] {
      (void)log_.append(std::make_shared<const StreamMessage>(message::SelfTest{"n", token}));
    });
  }

  World world_{{.seed = 4}};
  Network network_{world_};
  Process& server_ = world_.add_process("stream");
  Process& node_ = world_.add_process("node");
  SharedLog log_{world_, network_, server_};
  PlaceId node_place_;
  Reader reader_;
  std::unique_ptr<SharedLogClient> client_;
};

TEST_F(SharedLogTest, WhatIsLostDoubledAndOvertakenArrivesOnceAndInOrder) {
  Weather weather;
  weather.loss = 0.3;
  weather.duplicate = 0.3;
  weather.reorder = 0.5;
  network_.set_weather(weather);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    append(i);
    world_.run_for(5ms);
  }
  world_.run_for(10s);
  ASSERT_EQ(reader_.tokens.size(), 200u);
  EXPECT_TRUE(std::is_sorted(reader_.tokens.begin(), reader_.tokens.end()));
  EXPECT_EQ(reader_.gaps, 0);
}

TEST_F(SharedLogTest, WhatWasTrimmedIsAGap) {
  world_.pause(node_, 5s);
  for (std::uint64_t i = 1; i <= 3000; ++i) append(i);
  world_.crash(server_);  // pushes under way are gone with it
  world_.restart(server_);
  log_.trim(10);
  network_.set_weather({.loss = 1});
  world_.run_for(4s);
  network_.set_weather({});
  world_.run_for(10s);
  EXPECT_EQ(reader_.tokens.back(), 3000u);
}

TEST_F(SharedLogTest, ALogMadeAnewIsAGapAndReadFromItsBeginning) {
  append(1);
  world_.run_for(100ms);
  log_.make_anew();
  append(2);
  world_.run_for(5s);
  EXPECT_EQ(reader_.gaps, 1);
  EXPECT_EQ(reader_.tokens, (std::vector<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace candor::sim
