#include "sim/database.h"

#include <gtest/gtest.h>

#include <optional>

#include "sim/database_client.h"

namespace candor::sim {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.start(server_);
    client_place_ = network_.add_place("client", client_);
  }
  // Writes as somebody at the database's own console does.
  std::shared_ptr<std::optional<Result<std::uint64_t>>> write(std::vector<Database::Write> writes,
                                                              Duration think = 0s) {
    auto end = std::make_shared<std::optional<Result<std::uint64_t>>>();
    world_.run_on(server_, [&] {
      database_.transact(std::move(writes), think,
                         [end](Result<std::uint64_t> result) { *end = std::move(result); });
    });
    return end;
  }
  Database::Met connect() {
    std::optional<Result<Database::Met>> met;
    world_.run_on(server_, [&] {
      spawn(database_.connect("slot"), [&met](Result<Database::Met> m) { met = std::move(m); });
    });
    world_.run_for(10ms);
    return **met;
  }
  Database::Loaded load(std::uint32_t key) {
    const auto connection = connect().connection;
    std::optional<Result<Database::Loaded>> loaded;
    world_.run_on(server_, [&] {
      spawn(database_.load(connection, key),
            [&loaded](Result<Database::Loaded> l) { loaded = std::move(l); });
    });
    world_.run_for(10ms);
    return **loaded;
  }
  OriginProbe probe() {
    const auto connection = connect().connection;
    std::optional<Result<Database::Probed>> answer;
    world_.run_on(server_, [&] {
      spawn(database_.probe(connection, "slot"),
            [&answer](Result<Database::Probed> p) { answer = std::move(p); });
    });
    world_.run_for(10ms);
    return (**answer).probe;
  }

  World world_{{.seed = 5}};
  Network network_{world_};
  History history_;
  Process& server_ = world_.add_process("db");
  Process& client_ = world_.add_process("client");
  Database database_{world_, network_, server_, &history_, {}};
  PlaceId client_place_;
  std::uint32_t a_ = history_.keys.number("f:a"), b_ = history_.keys.number("f:b");
  Random random_{1};
};

TEST_F(DatabaseTest, ACommitIsInTheSnapshotsThatShowItAndInNoOther) {
  const auto before = load(a_);
  const auto written = write({{a_, 7}});
  const ChangeId change{**written->operator->()};
  const auto after = load(a_);
  EXPECT_EQ(before.version, kAbsent);
  EXPECT_FALSE(before.stamp.includes(change));
  EXPECT_EQ(after.version, 7u);
  EXPECT_TRUE(after.stamp.includes(change));
}

TEST_F(DatabaseTest, ALateCommitIsInTheLogBeforeAnybodySeesIt) {
  const OriginProbe before = probe();
  database_.be_late(world_.now() + 1h);
  const auto written = write({{a_, 7}});
  const auto seen = load(a_);
  const OriginProbe meanwhile = probe();
  EXPECT_FALSE(written->has_value());
  EXPECT_EQ(seen.version, kAbsent);
  EXPECT_GT(meanwhile.position, before.position);
  EXPECT_LT(meanwhile.all_up_to.value + 1, meanwhile.next.value) << "it is still in progress";
  world_.run_for(4s);
  ASSERT_TRUE(written->has_value());
  EXPECT_EQ(load(a_).version, 7u);
  EXPECT_EQ(history_.commits.back().version, 7u);
}

TEST_F(DatabaseTest, WritersOfOneRowFollowEachOther) {
  const auto first = write({{a_, 1}, {b_, 1}}, 100ms);
  const auto second = write({{a_, 2}});
  world_.run_for(50ms);
  EXPECT_FALSE(second->has_value());
  world_.run_for(100ms);
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_EQ(load(a_).version, 2u);
  EXPECT_EQ(load(b_).version, 1u);
}

TEST_F(DatabaseTest, ACrashRollsBackWhatHadNotCommitted) {
  const auto open = write({{a_, 1}, {b_, 1}}, 10s);
  database_.be_late(world_.now() + 1h);
  const auto late = write({{history_.keys.number("f:c"), 3}});
  world_.crash(server_);
  world_.restart(server_);
  EXPECT_FALSE((*open)->has_value());
  EXPECT_FALSE((*late)->has_value()) << "its writer hears nothing, though it is there";
  EXPECT_EQ(load(a_).version, kAbsent);
  EXPECT_EQ(load(history_.keys.number("f:c")).version, 3u);
}

TEST_F(DatabaseTest, AFailoverLosesTheLastCommitsAndGivesTheirIdsOutAgain) {
  (void)write({{a_, 1}});
  const auto lost = write({{a_, 2}});
  for (int i = 0; i < 20 && load(a_).version != 1; ++i) database_.failover(1, random_);
  ASSERT_EQ(load(a_).version, 1u);
  EXPECT_TRUE(history_.commits.back().by_restore);
  const auto next = write({{b_, 3}});
  EXPECT_EQ(**next->operator->(), **lost->operator->());
}

TEST_F(DatabaseTest, AConnectionEndsWithItsServer) {
  const Database::Met before = connect();
  database_.failover(0, random_);
  std::optional<Result<Database::Loaded>> loaded;
  world_.run_on(server_, [&] {
    spawn(database_.load(before.connection, a_), [&](Result<Database::Loaded> l) { loaded = std::move(l); });
  });
  world_.run_for(10ms);
  ASSERT_FALSE(loaded->has_value());
  EXPECT_EQ(loaded->error().code, ErrorCode::kRejected);
}

TEST_F(DatabaseTest, AStandbyBeginsATimelineAndABackupGoesOnWithTheOneThatWas) {
  int begun = 0;
  for (int i = 0; i < 20; ++i) {
    const auto before = connect().place.timeline;
    database_.failover(0, random_);
    begun += connect().place.timeline != before ? 1 : 0;
  }
  EXPECT_GT(begun, 0);
  EXPECT_LT(begun, 20);
}

TEST_F(DatabaseTest, OfAWriteOnAConnectionThatHasEndedNobodyKnows) {
  DatabaseOrigin origin(network_, client_place_, database_, "slot");
  const auto feature = *origin.bind({.feature = "f"});
  const auto store = [&] {
    const auto end = std::make_shared<std::optional<Result<OriginWrite>>>();
    world_.run_on(client_, [&] {
      spawn(feature->store("a", "1", client_.now() + 1s), [end](auto result) { *end = std::move(result); });
    });
    world_.run_for(2s);
    return **end;
  };
  EXPECT_TRUE(store());
  database_.failover(0, random_);
  const auto unknown = store();
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kTimeout);
  EXPECT_TRUE(store()) << "on a new connection";
}

struct Sink final : FeedSink {
  void on_changes(std::vector<Change> changes, Position position,
                  std::move_only_function<void()> taken) override {
    for (auto& change : changes) keys.push_back(change.key);
    up_to = position;
    taken();
  }
  void on_break(Incarnation now, Position, std::string) override { incarnation = now, ++breaks; }
  void on_leading(bool leads) override { leading = leads; }
  std::vector<std::string> keys;
  Position up_to;
  Incarnation incarnation;
  int breaks = 0;
  bool leading = false;
};

TEST_F(DatabaseTest, OneFeedLeadsAndTheNextGoesOnFromWhatWasConfirmed) {
  Sink first_sink, second_sink;
  std::unique_ptr<DatabaseFeed> first, second;
  world_.run_on(client_, [&] {
    first = std::make_unique<DatabaseFeed>(network_, client_place_, database_, "slot");
    second = std::make_unique<DatabaseFeed>(network_, client_place_, database_, "slot");
    first->start(&first_sink);
  });
  world_.run_for(1s);
  world_.run_on(client_, [&] { second->start(&second_sink); });
  (void)write({{a_, 1}});
  world_.run_for(2s);
  EXPECT_TRUE(first_sink.leading);
  EXPECT_EQ(first_sink.breaks, 1) << "a slot made anew";
  EXPECT_FALSE(second_sink.leading);
  EXPECT_EQ(first_sink.keys, std::vector<std::string>{"a"});
  const Position confirmed = first_sink.up_to;
  world_.run_on(client_, [&] { first->confirm(confirmed); });
  world_.run_for(100ms);
  (void)write({{b_, 1}});
  world_.run_for(100ms);
  world_.run_on(client_, [&] { first->stop(); });
  world_.run_for(3s);
  EXPECT_TRUE(second_sink.leading);
  EXPECT_EQ(second_sink.breaks, 0);
  EXPECT_EQ(second_sink.keys, std::vector<std::string>{"b"});
  database_.lose_slots();
  world_.run_for(3s);
  EXPECT_EQ(second_sink.breaks, 1);
  EXPECT_NE(second_sink.incarnation, first_sink.incarnation);
  world_.run_on(client_, [&] { first.reset(), second.reset(); });
}

TEST_F(DatabaseTest, ASlotThatIsLostStaysListedAndAfterAFailoverThereIsNone) {
  Sink sink;
  std::unique_ptr<DatabaseFeed> feed;
  world_.run_on(client_, [&] {
    feed = std::make_unique<DatabaseFeed>(network_, client_place_, database_, "slot");
    feed->start(&sink);
  });
  world_.run_for(1s);
  world_.run_on(client_, [&] { feed->stop(); });
  world_.run_for(1s);
  const std::string slots = connect().place.slots;
  EXPECT_FALSE(slots.empty());
  database_.lose_slots();
  EXPECT_EQ(connect().place.slots, slots);
  database_.failover(0, random_);
  EXPECT_EQ(connect().place.slots, "");
  world_.run_on(client_, [&] { feed.reset(); });
}

TEST_F(DatabaseTest, AConfirmationHoldsInItsHistoryOnly) {
  Sink sink;
  std::unique_ptr<DatabaseFeed> feed;
  world_.run_on(client_, [&] {
    feed = std::make_unique<DatabaseFeed>(network_, client_place_, database_, "slot");
    feed->start(&sink);
  });
  world_.run_for(1s);
  (void)write({{a_, 1}});
  const HeldRow held{load(a_).stamp.bound(), sink.incarnation};
  const auto confirm = [&, connection = connect().connection] {
    std::optional<Result<bool>> same;
    world_.run_on(server_, [&] {
      spawn(database_.confirm(connection, "slot", a_, held),
            [&same](Result<bool> s) { same = std::move(s); });
    });
    world_.run_for(10ms);
    return **same;
  };
  EXPECT_TRUE(confirm());
  database_.lose_slots();
  EXPECT_FALSE(confirm());
  world_.run_on(client_, [&] { feed.reset(); });
}

}  // namespace
}  // namespace candor::sim
