#include "sim/network.h"

#include <gtest/gtest.h>

#include <optional>

#include "sim/channel.h"
#include "sim/faults.h"

namespace candor::sim {
namespace {

Task<Result<int>> answer_with(int value) { co_return value; }
Task<Result<int>> too_late(Process* server) {
  co_await sleep_for(*server, 5s);
  co_return 0;
}

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() {
    client_place_ = network_.add_place("client", client_);
    server_place_ = network_.add_place("server", server_);
  }

  // What a call with this much patience came to.
  std::shared_ptr<std::optional<Result<int>>> call(Duration patience, Network::Serve<int> serve) {
    auto result = std::make_shared<std::optional<Result<int>>>();
    world_.run_on(client_, [&] {
      spawn(network_.call<int>(client_place_, server_place_, std::move(serve), client_.now() + patience),
            [result](Result<int> r) { *result = std::move(r); });
    });
    return result;
  }
  std::shared_ptr<std::optional<Result<int>>> ask_for_seven() {
    return call(1s, [this] {
      EXPECT_TRUE(server_.is_current());
      ++served_;
      return answer_with(7);
    });
  }
  void with(Weather weather) { network_.set_weather(weather); }
  void both_ways_cut() {
    cut_ = network_.partition({{client_place_, server_place_}, {server_place_, client_place_}});
  }

  World world_{{.seed = 3}};
  Process& client_ = world_.add_process("client");
  Process& server_ = world_.add_process("server");
  Network network_{world_};
  PlaceId client_place_, server_place_;
  Network::Cut cut_;
  int served_ = 0;
};

TEST_F(NetworkTest, ACallIsServedThereAndAnsweredHere) {
  const auto result = ask_for_seven();
  EXPECT_FALSE(result->has_value()) << "the way takes time";
  world_.run_for(1ms);
  ASSERT_TRUE(result->has_value());
  EXPECT_EQ(result->value().value(), 7);
}

TEST_F(NetworkTest, ACallThatIsNotAnsweredTimesOut) {
  const auto result = call(1s, [this] { return too_late(&server_); });
  world_.run_for(999ms);
  EXPECT_FALSE(result->has_value());
  world_.run_for(2ms);
  EXPECT_EQ(result->value().error().code, ErrorCode::kTimeout);
  world_.run_for(5s);  // the server's work ends, for nobody: no task is left behind
  EXPECT_EQ(result->value().error().code, ErrorCode::kTimeout);
}

TEST_F(NetworkTest, AServerThatIsDownRefuses) {
  world_.crash(server_);
  const auto result = ask_for_seven();
  world_.run_for(2ms);
  EXPECT_EQ(result->value().error().code, ErrorCode::kUnavailable);
}

TEST_F(NetworkTest, ARequestDoesNotReachTheServersNextLife) {
  const auto result = ask_for_seven();
  world_.crash(server_);
  world_.restart(server_);
  world_.run_for(2s);
  EXPECT_EQ(served_, 0);
  EXPECT_EQ(result->value().error().code, ErrorCode::kTimeout);
}

TEST_F(NetworkTest, ACrashedCallersCoroutineEndsAndWhatItHadSentIsServed) {
  const auto result = ask_for_seven();
  world_.crash(client_);
  EXPECT_EQ(result->value().error().code, ErrorCode::kTimeout) << "in its afterlife";
  world_.run_for(2s);
  EXPECT_EQ(served_, 1);
}

Task<void> call_again_and_again(Network* network, PlaceId from, PlaceId to, int* served) {
  for (int i = 0; i < 5; ++i) {
    Network::Serve<int> serve = [served] { return answer_with(++*served); };
    auto call = network->call<int>(from, to, std::move(serve), network->process(from).now() + 1s);
    (void)co_await call;
  }
}

TEST_F(NetworkTest, NothingLeavesAProcessAfterItsCrash) {
  world_.run_on(client_,
                [&] { spawn(call_again_and_again(&network_, client_place_, server_place_, &served_)); });
  world_.crash(client_);
  world_.run_for(10s);
  EXPECT_EQ(served_, 1) << "its second call is made in its afterlife";
}

TEST_F(NetworkTest, APartitionHoldsCallsUpAndCountsOnce) {
  both_ways_cut();
  const auto first = ask_for_seven();
  const auto second = ask_for_seven();
  world_.run_for(2s);
  EXPECT_EQ(first->value().error().code, ErrorCode::kTimeout);
  EXPECT_EQ(second->value().error().code, ErrorCode::kTimeout);
  EXPECT_EQ(served_, 0);
  EXPECT_EQ(world_.faults().of("partition").effective, 1U);
}

TEST_F(NetworkTest, SomeOfWhatAPartitionHeldUpIsServedLongAfterItsCallerGaveUp) {
  both_ways_cut();
  for (int i = 0; i < 20; ++i) ask_for_seven();
  world_.run_for(5s);
  network_.heal(cut_);
  world_.run_for(1s);
  EXPECT_GT(served_, 3);
  EXPECT_LT(served_, 17);
}

TEST_F(NetworkTest, APartitionThatNoMessageMetIsNotCounted) {
  both_ways_cut();
  network_.heal(cut_);
  EXPECT_EQ(world_.faults().of("partition").planned, 1U);
  EXPECT_EQ(world_.faults().of("partition").effective, 0U);
}

TEST_F(NetworkTest, LossesMakeCallsLateButKeepTheirOrder) {
  with({.loss = 0.3});
  std::vector<int> order;
  world_.run_on(client_, [&] {
    for (int i = 0; i < 50; ++i)
      spawn(network_.call<int>(
                client_place_, server_place_,
                [&order, i] {
                  order.push_back(i);
                  return answer_with(i);
                },
                client_.now() + 1h),
            [](Result<int>) {});
  });
  world_.run_for(10min);
  ASSERT_EQ(order.size(), 50U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_GT(world_.faults().of("loss").effective, 5U);
}

TEST_F(NetworkTest, SingleMessagesAreLostDoubledAndOvertaken) {
  with({.loss = 0.2, .duplicate = 0.2, .reorder = 0.2});
  std::vector<int> arrived;
  for (int i = 0; i < 500; ++i) {
    world_.run_on(client_, [&] {
      network_.send(client_place_, server_place_, [&arrived, i] { arrived.push_back(i); });
    });
    world_.run_for(100us);
  }
  world_.run_for(1s);
  EXPECT_FALSE(std::ranges::is_sorted(arrived));
  for (const auto* name : {"loss", "duplicate", "reorder"})
    EXPECT_GT(world_.faults().of(name).effective, 20U) << name;
  std::ranges::sort(arrived);
  EXPECT_NE(std::ranges::adjacent_find(arrived), arrived.end());
  EXPECT_LT(std::ranges::unique(arrived).begin() - arrived.begin(), 460);
}

// ---- channels ----

class ChannelTest : public NetworkTest {
 protected:
  void open() {
    channel_ = Channel::open(network_, {client_place_, [this] { ++client_closed_; }},
                             {server_place_, [this] { ++server_closed_; }}, 5s);
  }
  void send(int value) {
    world_.run_on(server_, [&] { channel_->send(server_place_, [this, value] { got_.push_back(value); }); });
  }
  std::shared_ptr<Channel> channel_;
  std::vector<int> got_;
  int client_closed_ = 0, server_closed_ = 0;
};

TEST_F(ChannelTest, EverythingArrivesInOrderThroughLossAndAShortPartition) {
  with({.loss = 0.3});
  open();
  for (int i = 0; i < 30; ++i) {
    if (i == 10) both_ways_cut();
    if (i == 20) network_.heal(cut_);
    send(i);
    world_.run_for(100ms);
  }
  world_.run_for(1min);
  ASSERT_EQ(got_.size(), 30U);
  EXPECT_TRUE(std::ranges::is_sorted(got_));
  EXPECT_EQ(channel_->under_way(server_place_), 0U);
  EXPECT_EQ(client_closed_ + server_closed_, 0);
}

TEST_F(ChannelTest, ALongPartitionEndsItForBothSidesOnce) {
  open();
  both_ways_cut();
  send(1);
  world_.run_for(4s);
  EXPECT_TRUE(channel_->is_open());
  world_.run_for(2s);
  EXPECT_FALSE(channel_->is_open());
  EXPECT_EQ(std::pair(client_closed_, server_closed_), std::pair(1, 1));
  EXPECT_TRUE(got_.empty());
}

TEST_F(ChannelTest, ThePeerOfADeadProcessHearsOfIt) {
  open();
  world_.crash(server_);
  world_.run_for(1s);
  EXPECT_EQ(std::pair(client_closed_, server_closed_), std::pair(1, 0));
}

TEST_F(ChannelTest, ClosingTellsTheOtherSideAfterWhatWasSent) {
  open();
  send(1);
  world_.run_on(server_, [&] { channel_->close(server_place_); });
  world_.run_for(1s);
  EXPECT_EQ(got_, std::vector<int>{1});
  EXPECT_EQ(std::pair(client_closed_, server_closed_), std::pair(1, 0));
}

// ---- plans ----

struct Suffered {
  std::uint64_t hash;
  std::string lines, faults;
  std::uint64_t effective;
};

Suffered run_with_faults(std::uint64_t seed, std::vector<std::string> wanted = {}) {
  World world({.seed = seed});
  Network network(world);
  Suffered run;
  world.trace().set_sink([&](std::string_view line) { run.lines.append(line).append("\n"); });
  std::vector<PlaceId> places;
  FaultPlan plan(world, network, std::move(wanted));
  for (int i = 0; i < 4; ++i) {
    Process& p = world.add_process("p" + std::to_string(i));
    places.push_back(network.add_place(p.name(), p));
    plan.add_victim(p);
  }
  for (const PlaceId place : places) {
    Process& p = network.process(place);
    auto running = std::make_shared<bool>();
    auto beat = std::make_shared<std::function<void()>>();
    *beat = [&network, &p, &places, place, running, weak = std::weak_ptr(beat)] {
      if (!*running) return;
      (void)p.wall();
      for (const PlaceId other : places)
        if (other != place) network.send(place, other, [] {});
      p.schedule(p.now() + 100ms, [next = weak.lock()] { (*next)(); });
    };
    p.set_life({.start =
                    [beat, running] {
                      *running = true;
                      (*beat)();
                    },
                .stop = [running] { *running = false; },
                .destroy = {}});
    world.start(p);
  }
  plan.start();
  world.run_for(5min);
  plan.heal();
  world.run_for(1min);
  for (const PlaceId place : places) EXPECT_TRUE(network.process(place).is_up());
  run.faults = plan.describe();
  run.effective = world.faults().effective();
  run.hash = world.finish();
  return run;
}

TEST(FaultPlanTest, OneSeedGivesTheSameFaultsByteForByte) {
  const Suffered first = run_with_faults(11), second = run_with_faults(11);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.lines, second.lines);
  EXPECT_EQ(first.faults, second.faults);
}

TEST(FaultPlanTest, SeedsDifferInWhatTheySuffer) {
  EXPECT_NE(run_with_faults(1).faults, run_with_faults(2).faults);
}

TEST(FaultPlanTest, MostSeedsSufferSeveralKindsThatTakeEffect) {
  int suffering = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) suffering += run_with_faults(seed).effective > 5 ? 1 : 0;
  EXPECT_GE(suffering, 8);
}

TEST(FaultPlanTest, OnlyWhatIsWantedHappens) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Suffered run = run_with_faults(seed, {"pause"});
    EXPECT_EQ(run.lines.find("crashes"), std::string::npos);
    EXPECT_EQ(run.lines.find("partition"), std::string::npos);
  }
}

}  // namespace
}  // namespace candor::sim
