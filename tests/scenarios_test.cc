// Single sentences of the consistency protocol, each in a run made for it: what a reader is answered, and
// that it is another answer when the sentence is broken. For breaks that random runs come to too rarely. Part
// of candor_mutants.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/database.h"
#include "sim/node.h"
#include "sim/shared_log.h"
#include "sim/shared_tier.h"
#include "version/mutant.h"

namespace candor::sim {
namespace {

// Two nodes of a region and one key, "f:k", whose versions are written straight to the database.
class ScenarioTest : public testing::Test {
 protected:
  ScenarioTest() {
    for (std::uint32_t i = 0; i < world_.processes(); ++i) world_.start(world_.process(i));
    world_.run_for(1s);
  }
  void TearDown() override { the_mutant = Mutant::kNone; }

  using Answer = Result<SimNode::Answer>;
  Answer read(SimNode& node, Consistency level, const SessionToken* token = nullptr) {
    const auto answer = std::make_shared<std::optional<Answer>>();  // it may come after the test has gone on
    world_.run_on(node.process(), [&] {
      node.read({"f", "k", level, Duration{0}, token},
                [answer](auto result) { answer->emplace(std::move(result)); });
    });
    for (int i = 0; i < 100 && !*answer; ++i) world_.run_for(100ms);
    return answer->value_or(fail(ErrorCode::kTimeout, "no answer in ten seconds"));
  }
  // 0: an error.
  std::uint64_t version(SimNode& node, Consistency level, const SessionToken* token = nullptr) {
    const Answer answer = read(node, level, token);
    return answer ? answer->version : 0;
  }
  void write(std::uint64_t version) {
    world_.run_on(database_.process(), [&] {
      database_.transact({{database_.key_number("f:k"), version}}, 0s, [](const auto&) {});
    });
    world_.run_for(1s);
  }
  // Written, and held by both.
  void hold(std::uint64_t value) {
    write(value);
    for (SimNode* node : {&one_, &other_})
      for (int i = 0; i < 2; ++i) ASSERT_EQ(version(*node, Consistency::kEventual), value);
  }
  void cut(PlaceId a, PlaceId b) { (void)network_.partition({{a, b}, {b, a}}); }
  SessionToken token_of(SimNode& node) {
    const auto token = std::make_shared<std::optional<Result<SessionToken>>>();
    world_.run_on(node.process(),
                  [&] { node.issue_token([token](auto made) { token->emplace(std::move(made)); }); });
    world_.run_for(1s);
    EXPECT_TRUE(*token && **token) << "no token";
    return *token && **token ? ***token : SessionToken{};
  }

  World world_{{.seed = 3}};
  Network network_{world_};
  History history_;
  Database database_{world_, network_, world_.add_process("db"), &history_, {}};
  SharedTier tier_{world_, network_, world_.add_process("l2"), &history_};
  SharedLog log_{world_, network_, world_.add_process("stream")};
  SimNode one_{world_, network_, world_.add_process("n1"), database_, tier_, log_, options()};
  SimNode other_{world_, network_, world_.add_process("n2"), database_, tier_, log_, options()};
  Random random_{1};

 private:
  static NodeOptions options() {
    FeaturePolicy policy;
    policy.name = "f";
    policy.ttl = policy.negative_ttl = 10min;
    return {.region = "r1", .features = {policy}};
  }
};

// The version before the failover that a read from memory answers with, a moment after a read of the origin
// has said that it is gone, and before the feed has its connection back.
class FailoverTest : public ScenarioTest {
 protected:
  std::uint64_t read_behind_it() {
    hold(1);
    hold(2);
    while (!history_.commits.back().by_restore) database_.failover(1, random_);
    EXPECT_EQ(version(one_, Consistency::kOrigin), 1u);
    return version(one_, Consistency::kEventual);
  }
};

TEST_F(FailoverTest, WhatANewConnectionShowsEndsWhatTheOldOneTaught) { EXPECT_EQ(read_behind_it(), 1u); }

TEST_F(FailoverTest, HistoryUncomparedIsCaught) {
  the_mutant = Mutant::kHistoryUncompared;
  EXPECT_EQ(read_behind_it(), 2u);
}

// A session goes on at a node that the stream does not reach, and that holds what was before.
class TokenTest : public ScenarioTest {
 protected:
  std::uint64_t read_where_the_stream_does_not_come() {
    hold(1);
    cut(other_.place(), log_.place());
    write(2);
    const SessionToken token = token_of(one_);
    return version(other_, Consistency::kSession, &token);
  }
};

TEST_F(TokenTest, WhoeverBringsOneIsAnsweredNothingOlder) {
  EXPECT_EQ(read_where_the_stream_does_not_come(), 2u);
}

TEST_F(TokenTest, TokenIgnoredIsCaught) {
  the_mutant = Mutant::kTokenIgnored;
  EXPECT_EQ(read_where_the_stream_does_not_come(), 1u);
}

// A write whose answer is lost: it has happened, and its writer is told that nobody knows.
class LostAnswerTest : public ScenarioTest {
 protected:
  std::uint64_t read_after_it() {
    hold(1);
    cut(one_.place(), log_.place());
    const Network::Cut answers = network_.partition({{database_.place(), one_.place()}});
    const auto done = std::make_shared<std::optional<Result<void>>>();
    world_.run_on(one_.process(), [&] {
      one_.write("f", "k", 2, [done](auto result) { done->emplace(std::move(result)); });
    });
    for (int i = 0; i < 200 && !*done; ++i) world_.run_for(100ms);
    EXPECT_TRUE(*done && !**done) << "somebody knows, or nobody answered";
    network_.heal(answers);
    EXPECT_EQ(version(other_, Consistency::kOrigin), 2u);
    return version(one_, Consistency::kEventual);
  }
};

TEST_F(LostAnswerTest, WhatItMayHaveReplacedIsNotServed) { EXPECT_EQ(read_after_it(), 2u); }

TEST_F(LostAnswerTest, ErrorKeepsEntryIsCaught) {
  the_mutant = Mutant::kErrorKeepsEntry;
  EXPECT_EQ(read_after_it(), 1u);
}

}  // namespace
}  // namespace candor::sim
