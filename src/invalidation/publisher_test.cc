// The publisher on a virtual clock, between a feed, an L2, an origin and a stream that the test plays.
#include "invalidation/publisher.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "bus/memory_stream.h"
#include "bus/testing_stream.h"
#include "invalidation/testing_l2.h"

namespace candor {
namespace {

using testing_invalidation::FakeL2;

struct FakeFeed final : Feed {
  FeedSink* sink = nullptr;
  FeedStatus now;
  void start(FeedSink* s) override { sink = s; }
  void confirm(Position position) override { now.confirmed = position; }
  void stop() override {}
  [[nodiscard]] FeedStatus status() const override { return now; }
  [[nodiscard]] std::string describe() const override { return "fake"; }
};

struct ToldOrigin final : Origin {
  std::optional<OriginProbe> answer;
  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements) override {
    return fail(ErrorCode::kInternal, "not here");
  }
  Task<Result<void>> prepare() override { co_return Result<void>{}; }
  Task<Result<OriginProbe>> probe(MonoTime) override {
    if (!answer) co_return fail(ErrorCode::kOriginDown, "the origin is down");
    co_return *answer;
  }
  [[nodiscard]] OriginStats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "fake"; }
};

// A stream whose appends fail when the test says so.
struct FlakyStream final : RegionStream {
  explicit FlakyStream(MemoryStream* s) : below(s) {}
  MemoryStream* below;
  int failures = 0;
  void read(std::optional<SequenceNumber> after, StreamReader* reader) override {
    below->read(after, reader);
  }
  Task<Result<SequenceNumber>> append(StreamMessage message) override {
    if (failures > 0) {
      --failures;
      co_return fail(ErrorCode::kTimeout, "no answer");
    }
    co_return co_await below->append(std::move(message));
  }
  Task<Result<SequenceNumber>> tail() override { return below->tail(); }
  [[nodiscard]] StreamStatus status() const override { return below->status(); }
  [[nodiscard]] std::string describe() const override { return "flaky"; }
};

class PublisherTest : public testing::Test {
 protected:
  PublisherTest() {
    feed_.now.incarnation = Incarnation{7};
    memory_.read(SequenceNumber{0}, &reader_);
  }
  void start(bool lead = true) {
    PublisherOptions options;
    options.origin = "shop";
    publisher_ =
        std::make_unique<Publisher>(&executor_, &executor_, &feed_, &stream_, &l2_, &origin_, options);
    publisher_->start();
    if (lead) feed_.sink->on_leading(true);
    executor_.run_ready();
  }
  void TearDown() override {
    l2_.answer_all();
    executor_.advance(10s);
    publisher_.reset();
    executor_.advance(10s);
  }
  static Change change(std::uint64_t position, std::uint64_t id, std::string key) {
    return {"user", std::move(key), Change::Scope::kKey, ChangeId{id}, Position{position}, WallTime{0}};
  }
  void hand_over(std::vector<Change> changes, std::uint64_t up_to) {
    feed_.sink->on_changes(std::move(changes), Position{up_to}, [this] { ++taken_; });
    executor_.run_ready();
  }
  void visible(std::uint64_t id) {
    origin_.answer = OriginProbe{Incarnation{7}, Position{1000}, ChangeId{id}, ChangeId{id + 1}};
    executor_.advance(400ms);
  }
  std::vector<message::Changes> changes() const {
    std::vector<message::Changes> out;
    for (const auto& one : reader_.messages) {
      if (const auto* c = std::get_if<message::Changes>(&one)) out.push_back(*c);
    }
    return out;
  }

  VirtualExecutor executor_;
  FakeFeed feed_;
  ToldOrigin origin_;
  FakeL2 l2_;
  std::shared_ptr<MemoryLog> log_ = std::make_shared<MemoryLog>(MemoryLog::Options{}, 5);
  MemoryStream memory_{&executor_, log_};
  FlakyStream stream_{&memory_};
  testing_stream::RecordingReader reader_;
  std::unique_ptr<Publisher> publisher_;
  int taken_ = 0;
};

TEST_F(PublisherTest, TellsL2ThenTheStream) {
  start();
  l2_.hangs = true;
  hand_over({change(10, 1, "a")}, 10);
  EXPECT_TRUE(changes().empty());
  l2_.answer_all();
  executor_.run_ready();
  ASSERT_EQ(changes().size(), 1u);
  const auto said = changes().at(0);
  EXPECT_EQ(said.origin, "shop");
  EXPECT_EQ(said.incarnation, Incarnation{7});
  EXPECT_EQ(said.up_to, Position{10});
  EXPECT_EQ(said.l2_told, Position{10});
  EXPECT_EQ(said.l2_told_count, 1u);
  EXPECT_EQ(l2_.log, (std::vector<std::string>{"invalidate user:a", "advance"}));
  EXPECT_EQ(l2_.holds["user:a"], 10min);
  EXPECT_EQ(taken_, 1);
}

TEST_F(PublisherTest, ConfirmsOnlyWhatIsVisible) {
  start();
  hand_over({change(10, 5, "a")}, 10);
  visible(4);
  EXPECT_EQ(feed_.now.confirmed, Position{0});
  visible(5);
  EXPECT_EQ(feed_.now.confirmed, Position{10});
}

TEST_F(PublisherTest, MarkerIsShortenedOnceItsChangeIsVisible) {
  start();
  hand_over({change(10, 5, "a")}, 10);
  visible(4);
  EXPECT_EQ(l2_.holds["user:a"], 10min);
  visible(5);
  EXPECT_EQ(l2_.holds["user:a"], 3s);
}

TEST_F(PublisherTest, MarkerIsRenewedWhileItsChangeIsInvisible) {
  start();
  hand_over({change(10, 5, "a")}, 10);
  visible(4);
  l2_.holds["user:a"] = 1s;
  executor_.advance(6min);
  EXPECT_EQ(l2_.holds["user:a"], 10min);
}

TEST_F(PublisherTest, SilentL2DelaysByItsPatienceAndTheMessageSaysSo) {
  start();
  origin_.answer = OriginProbe{Incarnation{7}, Position{10}, ChangeId{5}, ChangeId{6}};
  hand_over({change(10, 5, "a")}, 10);
  executor_.advance(1s);
  EXPECT_EQ(feed_.now.confirmed, Position{10});
  l2_.hangs = l2_.down = true;
  hand_over({change(20, 6, "b")}, 20);
  executor_.advance(499ms);
  EXPECT_EQ(changes().back().up_to, Position{10});
  executor_.advance(1ms);
  EXPECT_EQ(changes().back().up_to, Position{20});
  EXPECT_LT(changes().back().l2_told, Position{20});
  // The next one does not wait: L2 is known to be away.
  hand_over({change(30, 7, "c")}, 30);
  EXPECT_EQ(changes().back().up_to, Position{30});
  EXPECT_LT(changes().back().l2_told, Position{20});
  visible(9);
  EXPECT_EQ(feed_.now.confirmed, Position{10});
  EXPECT_NE(changes().back().replay_from, SequenceNumber{0});
  // It is back: debts are paid, the stream hears of it, the position moves.
  l2_.down = false;
  l2_.answer_all();
  executor_.advance(6s);
  EXPECT_TRUE(l2_.markers.contains("user:b"));
  EXPECT_TRUE(l2_.markers.contains("user:c"));
  EXPECT_EQ(changes().back().l2_told, Position{30});
  EXPECT_EQ(feed_.now.confirmed, Position{30});
}

TEST_F(PublisherTest, AppendIsRepeatedUntilItIsTakenAndNothingOvertakesIt) {
  start();
  stream_.failures = 5;
  hand_over({change(10, 1, "a")}, 10);
  hand_over({change(20, 2, "b")}, 20);
  EXPECT_TRUE(changes().empty());
  EXPECT_FALSE(publisher_->status().problem.empty());
  executor_.advance(5s);
  ASSERT_GE(changes().size(), 2u);
  EXPECT_EQ(changes()[0].up_to, Position{10});
  EXPECT_EQ(changes()[1].up_to, Position{20});
  EXPECT_EQ(publisher_->status().append_failures, 5u);
  EXPECT_TRUE(publisher_->status().problem.empty());
}

TEST_F(PublisherTest, LargeTransactionBecomesMessagesOfWhichTheLastCompletesIt) {
  start();
  std::vector<Change> many;
  for (int n = 0; n < 2500; ++n) many.push_back(change(10, 1, std::to_string(n)));
  hand_over(std::move(many), 10);
  ASSERT_EQ(changes().size(), 3u);
  EXPECT_EQ(changes()[0].changes.size(), 1000u);
  EXPECT_EQ(changes()[0].up_to, Position{0});
  EXPECT_EQ(changes()[1].up_to, Position{0});
  EXPECT_EQ(changes()[2].changes.size(), 500u);
  EXPECT_EQ(changes()[2].up_to, Position{10});
}

TEST_F(PublisherTest, LongKeysAreCutByBytes) {
  start();
  std::vector<Change> many;
  for (int n = 0; n < 900; ++n) many.push_back(change(10, 1, std::string(4000, 'k') + std::to_string(n)));
  hand_over(std::move(many), 10);
  std::size_t total = 0;
  for (const auto& one : changes()) total += one.changes.size();
  EXPECT_EQ(total, 900u);
  EXPECT_GT(changes().size(), 1u);
  EXPECT_EQ(publisher_->status().append_failures, 0u);
}

TEST_F(PublisherTest, FeedIsHeldBackWhenSlicesPileUp) {
  start();
  stream_.failures = 1'000'000;
  hand_over({change(1, 1, "a")}, 1);  // under way
  std::vector<Change> many;
  for (int n = 0; n < 70'000; ++n) many.push_back(change(10, 1, std::to_string(n)));
  taken_ = 0;
  hand_over(std::move(many), 10);
  EXPECT_EQ(taken_, 0);
  stream_.failures = 0;
  executor_.advance(3s);
  EXPECT_EQ(taken_, 1);
}

TEST_F(PublisherTest, BreakRaisesL2AndIsSaidBeforeAnythingAfterIt) {
  start();
  hand_over({change(10, 1, "a")}, 10);
  feed_.sink->on_break(Incarnation{8}, Position{3}, "restored from a backup");
  hand_over({change(4, 2, "b")}, 4);
  executor_.advance(1s);
  ASSERT_GE(reader_.messages.size(), 3u);
  EXPECT_EQ(std::get<message::Changes>(reader_.messages[0]).incarnation, Incarnation{7});
  EXPECT_EQ(std::get<message::Floor>(reader_.messages[1]).incarnation, Incarnation{8});
  const auto& after = std::get<message::Changes>(reader_.messages[2]);
  EXPECT_EQ(after.incarnation, Incarnation{8});
  EXPECT_EQ(after.up_to, Position{4});
  EXPECT_EQ(after.l2_generation, 2u);
  // What was missed has no marker: L2 counts as told only after a second raise.
  EXPECT_LT(after.l2_told, Position{4});
  EXPECT_EQ(after.replay_from, SequenceNumber{2});
  origin_.answer = OriginProbe{Incarnation{8}, Position{4}, ChangeId{5}, ChangeId{6}};
  executor_.advance(10s);
  EXPECT_EQ(l2_.now.generation, 3u);
  EXPECT_EQ(changes().back().l2_told, Position{4});
  EXPECT_EQ(feed_.now.confirmed, Position{4});
}

TEST_F(PublisherTest, L2ThatForgotIsToldAgainBeforeItsGenerationIsRaised) {
  start();
  hand_over({change(10, 5, "a")}, 10);
  visible(4);
  l2_.forget();
  l2_.log.clear();
  executor_.advance(3s);  // nothing changes: found by asking
  EXPECT_TRUE(l2_.markers.contains("user:a"));
  ASSERT_GE(l2_.log.size(), 2u);
  EXPECT_EQ(l2_.log[0], "invalidate user:a");
  EXPECT_EQ(l2_.log[1], "raise");
  EXPECT_EQ(changes().back().l2_generation, 2u);
  EXPECT_EQ(publisher_->status().l2.losses, 1u);
}

TEST_F(PublisherTest, GenerationRaisedBySomebodyElseMeansTellAgain) {
  start();
  hand_over({change(10, 5, "a")}, 10);
  l2_.markers.clear();
  l2_.now = L2State{9, 50};
  executor_.advance(3s);
  EXPECT_TRUE(l2_.markers.contains("user:a"));
  EXPECT_EQ(l2_.now.generation, 9u);
}

TEST_F(PublisherTest, WholeFeatureIsClearedAndClearedAgainWhenItIsVisible) {
  start();
  Change truncated = change(10, 5, "");
  truncated.scope = Change::Scope::kFeature;
  hand_over({truncated}, 10);
  ASSERT_EQ(changes().size(), 1u);
  EXPECT_EQ(changes()[0].changes[0].scope, Change::Scope::kFeature);
  EXPECT_LT(changes()[0].l2_told, Position{10});
  visible(5);
  executor_.advance(10s);
  EXPECT_EQ(std::ranges::count(l2_.log, "clear user:"), 2);
  EXPECT_EQ(changes().back().l2_told, Position{10});
}

TEST_F(PublisherTest, HeartbeatsAreFewWhenNothingMoves) {
  start();
  hand_over({}, 10);
  executor_.advance(100ms);
  EXPECT_EQ(changes().size(), 1u);
  executor_.advance(10s);
  EXPECT_GE(changes().size(), 10u);
  EXPECT_LE(changes().size(), 14u);
  for (const auto& one : changes()) EXPECT_EQ(one.up_to, Position{10});
}

TEST_F(PublisherTest, FeedsPositionIsPassedOnWithoutChangesWithinOnePeriod) {
  start();
  for (std::uint64_t n = 1; n <= 100; ++n) {
    hand_over({}, n);
    executor_.advance(10ms);
  }
  EXPECT_GE(changes().back().up_to, Position{85});
}

TEST_F(PublisherTest, LosingLeadershipDropsWhatWasUnderWay) {
  start();
  l2_.hangs = true;
  hand_over({change(10, 1, "a")}, 10);
  feed_.sink->on_leading(false);
  l2_.answer_all();
  executor_.advance(5s);
  EXPECT_TRUE(changes().empty());
  EXPECT_EQ(feed_.now.confirmed, Position{0});
  feed_.sink->on_leading(true);
  hand_over({change(10, 1, "a")}, 10);
  executor_.run_ready();
  EXPECT_EQ(changes().size(), 1u);
}

// A feature is heard of from the message on that has the change of all its keys, and not one message earlier.
TEST_F(PublisherTest, WhatIsUnheardIsSaidInTheOrderOfTheChanges) {
  feed_.now.unheard = {{"price", "no table"}};
  start();
  l2_.hangs = true;
  hand_over({change(10, 1, "a")}, 10);
  feed_.now.unheard.clear();
  hand_over({change(20, 2, "b")}, 20);
  l2_.hangs = false;
  (void)l2_.hanging.front().set(true);  // of "a"; "b" is still being told
  executor_.run_ready();
  ASSERT_EQ(changes().size(), 1u);
  EXPECT_EQ(changes()[0].unheard, (std::vector<Unheard>{{"price", "no table"}}));
  executor_.advance(200ms);  // heartbeats, which have no slice of their own
  EXPECT_EQ(changes().back().unheard.size(), 1u);
  l2_.answer_all();
  executor_.run_ready();
  EXPECT_EQ(changes().back().up_to, Position{20});
  EXPECT_TRUE(changes().back().unheard.empty());
}

TEST_F(PublisherTest, BreakIsNamedInTheMessagesAfterIt) {
  feed_.now.break_id = 5;
  start();
  hand_over({change(10, 1, "a")}, 10);
  feed_.now.break_id = 6;
  feed_.now.unheard = {{"price", "gone"}};
  l2_.hangs = true;
  hand_over({change(15, 2, "b")}, 15);  // before the break, as far as the feed's word goes
  feed_.now.break_id = 7;
  feed_.sink->on_break(Incarnation{7}, Position{20}, "made anew");
  l2_.answer_all();
  executor_.run_ready();
  hand_over({change(30, 3, "c")}, 30);
  std::vector<std::uint64_t> ids;
  for (const message::Changes& one : changes()) ids.push_back(one.break_id);
  EXPECT_EQ(ids, (std::vector<std::uint64_t>{5, 6, 7}));
  EXPECT_EQ(changes().back().unheard.size(), 1u);
}

TEST_F(PublisherTest, MoreUnheardFeaturesThanAMessageHoldsAreAllOfTheOrigin) {
  for (std::size_t i = 0; i <= kUnheardMax; ++i)
    feed_.now.unheard.push_back({"f" + std::to_string(i), "no table"});
  start();
  hand_over({change(10, 1, "a")}, 10);
  ASSERT_EQ(changes().at(0).unheard.size(), 1u);
  EXPECT_EQ(changes()[0].unheard[0].feature, "");
  EXPECT_NE(changes()[0].unheard[0].reason.find("65 features"), std::string::npos);
}

TEST_F(PublisherTest, EndsWithWorkUnderWay) {
  start();
  l2_.hangs = true;
  stream_.failures = 10;
  hand_over({change(10, 1, "a")}, 10);
  executor_.advance(600ms);
  publisher_.reset();
  l2_.answer_all();
  executor_.advance(10s);
  EXPECT_TRUE(changes().empty());
}

}  // namespace
}  // namespace candor
