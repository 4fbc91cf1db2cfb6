// CANDOR.GET at each level, and session tokens: what goes to the origin and what may come out of L1.
#include <gtest/gtest.h>

#include "server/testing_server.h"

namespace candor::server::testing {
namespace {

// This node has applied the origin "main" up to `applied`; it stands at `stands`.
struct FakeDesk : SessionDesk {
  std::uint64_t applied = 0, stands = 0;
  bool down = false;
  void issue(std::function<void(Result<SessionToken>)> done) override {
    if (down) return done(fail(ErrorCode::kOriginDown, "origin 'main' does not answer"));
    SessionToken token;
    (void)token.add("main", Incarnation{1}, Position{stands});
    done(std::move(token));
  }
  void check(SessionToken token, std::function<void(Result<void>)> done) override {
    if (token.find("main")->position.value > stands)
      return done(fail(ErrorCode::kInvalidArgument, "the token is ahead of origin 'main'"));
    done({});
  }
  [[nodiscard]] bool meets(const SessionToken& token, const Feature& feature) const override {
    return feature.trust() == nullptr || token.find("main")->position.value <= applied;
  }
};

std::string token_at(std::uint64_t position) {
  SessionToken token;
  (void)token.add("main", Incarnation{1}, Position{position});
  return token.text();
}

// As ServerTest, and `live`: a feature whose origin's changes are heard of.
class LevelsTest : public ServerTest {
 protected:
  LevelsTest() {
    FeaturePolicy policy;
    policy.name = "live";
    policy.refresh_beta = 0;
    policy.ttl_jitter = 0;
    auto origin = std::make_unique<FakeOrigin>();
    origin->rows = &rows;
    origin->calls = &calls;
    origin->down = &origin_down;
    (void)cache.add_feature(policy, std::move(origin), "main");
    context.desk = &desk;
    rows["1"] = "old";
  }
  std::string run(const std::string& line) { return exchange(line + "\r\n"); }
  // L1 holds "old", the origin "new".
  void let_l1_fall_behind() {
    (void)run("GET live:1");
    rows["1"] = "new";
    calls.clear();
  }
  FakeDesk desk;
};

TEST_F(LevelsTest, EachLevelReadsWhereItMust) {
  let_l1_fall_behind();
  EXPECT_NE(run("CANDOR.GET live:1 EVENTUAL").find("old"), std::string::npos);
  EXPECT_NE(run("CANDOR.GET live:1 STRONG").find("new"), std::string::npos);
  EXPECT_NE(run("CANDOR.GET live:1 ORIGIN").find("new"), std::string::npos);
  EXPECT_EQ(calls.size(), 2U);
}

TEST_F(LevelsTest, BoundedReadComesOutOfL1WhileTheLoadIsYoungEnough) {
  let_l1_fall_behind();
  executor.advance(100ms);
  EXPECT_NE(run("CANDOR.GET live:1 BOUNDED 200").find("$15\r\nfresh_within_ms\r\n:101\r\n"),
            std::string::npos);
  EXPECT_TRUE(calls.empty());
  EXPECT_NE(run("CANDOR.GET live:1 BOUNDED 50").find("new"), std::string::npos);
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(LevelsTest, ProofOfTheFeedMakesOldEntriesFreshEnough) {
  let_l1_fall_behind();
  executor.advance(1s);
  cache.prove("main", executor.now(), ChangeId{1});
  EXPECT_NE(run("CANDOR.GET live:1 BOUNDED 50").find("$15\r\nfresh_within_ms\r\n:1\r\n"), std::string::npos);
  EXPECT_TRUE(calls.empty());
}

TEST_F(LevelsTest, BoundThatCannotBeProvenIsAnErrorWhenTheOriginIsDown) {
  let_l1_fall_behind();
  executor.advance(100ms);
  origin_down = true;
  EXPECT_TRUE(run("CANDOR.GET live:1 BOUNDED 50").starts_with("-TOOSTALE "));
  EXPECT_TRUE(run("CANDOR.GET live:1 STRONG").starts_with("-TOOSTALE "));
}

TEST_F(LevelsTest, UnwatchedFeatureReadsTheOriginForABound) {
  (void)run("GET row:1");
  calls.clear();
  (void)run("CANDOR.GET row:1 BOUNDED 60000");
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(LevelsTest, PlainValueIsItsOwnAuthorityAtEveryLevel) {
  (void)run("SET cache:k v");
  for (const char* level : {"", "EVENTUAL", "STRONG", "ORIGIN", "BOUNDED 5"})
    EXPECT_NE(run(std::string("CANDOR.GET cache:k ") + level).find("$5\r\nvalue\r\n$1\r\nv\r\n"),
              std::string::npos)
        << level;
}

TEST_F(LevelsTest, LevelsAreParsedStrictly) {
  EXPECT_EQ(run("CANDOR.GET live:1 BOUNDED"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("CANDOR.GET live:1 SESSION"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("CANDOR.GET live:1 STRONG 5"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("CANDOR.GET live:1 BOUNDED x"), "-ERR value is not an integer or out of range\r\n");
  EXPECT_TRUE(run("CANDOR.GET live:1 BOUNDED -1").starts_with("-ERR the bound"));
  EXPECT_TRUE(run("CANDOR.GET live:1 SESSION nonsense").starts_with("-ERR not a session token"));
  EXPECT_TRUE(calls.empty());
}

TEST_F(LevelsTest, ReadWithATokenGoesToTheOriginUntilItsPositionIsApplied) {
  let_l1_fall_behind();
  desk.applied = 4;
  const std::string read = "CANDOR.GET live:1 SESSION " + token_at(5);
  EXPECT_NE(run(read).find("new"), std::string::npos);
  EXPECT_EQ(calls.size(), 1U);
  desk.applied = 5;
  EXPECT_NE(run(read).find("$4\r\ntier\r\n$2\r\nl1\r\n"), std::string::npos);
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(LevelsTest, AdoptedTokenHoldsForEveryReadOfItsConnectionUntilReset) {
  let_l1_fall_behind();
  desk.stands = 5;
  Client& client = connect();
  ASSERT_EQ(client.send("CANDOR.SESSION " + token_at(5) + "\r\n"), "+OK\r\n");
  EXPECT_EQ(client.send("GET live:1\r\n"), "$3\r\nnew\r\n");
  EXPECT_EQ(client.send("EXISTS live:1\r\n"), ":1\r\n");
  EXPECT_EQ(client.send("MGET live:1 live:1\r\n"), "*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
  EXPECT_EQ(calls.size(), 4U);
  EXPECT_EQ(client.send("RESET\r\n"), "+RESET\r\n");
  (void)client.send("GET live:1\r\n");
  EXPECT_EQ(calls.size(), 4U);
}

TEST_F(LevelsTest, OtherConnectionsAreServedOutOfL1Meanwhile) {
  let_l1_fall_behind();
  desk.stands = 5;
  (void)connect().send("CANDOR.SESSION " + token_at(5) + "\r\n");
  EXPECT_EQ(run("GET live:1"), "$3\r\nold\r\n");
}

TEST_F(LevelsTest, TokenAheadOfTheOriginIsNotAdopted) {
  EXPECT_EQ(run("CANDOR.SESSION " + token_at(5)), "-ERR the token is ahead of origin 'main'\r\n");
}

TEST_F(LevelsTest, TokenTellsWhereTheOriginStandsAndKeepsWhatWasAdopted) {
  desk.stands = 7;
  const std::string seven = token_at(7);
  EXPECT_EQ(run("CANDOR.TOKEN"), "$" + std::to_string(seven.size()) + "\r\n" + seven + "\r\n");
  Client& client = connect();
  (void)client.send("CANDOR.SESSION " + seven + "\r\n");
  desk.stands = 6;
  EXPECT_EQ(client.send("CANDOR.TOKEN\r\n"), "$" + std::to_string(seven.size()) + "\r\n" + seven + "\r\n");
  desk.down = true;
  EXPECT_TRUE(client.send("CANDOR.TOKEN\r\n").starts_with("-ORIGINDOWN "));
}

TEST_F(LevelsTest, WithoutADeskThereAreNoTokens) {
  context.desk = nullptr;
  EXPECT_TRUE(run("CANDOR.TOKEN").starts_with("-ERR session tokens need"));
  EXPECT_TRUE(run("CANDOR.SESSION x").starts_with("-ERR session tokens need"));
}

}  // namespace
}  // namespace candor::server::testing
