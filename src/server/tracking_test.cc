// CLIENT TRACKING as Redis documents it, and what a read that waits makes harder here. The table of
// ServerTest holds four keys.
#include "server/tracking.h"

#include <gtest/gtest.h>

#include "server/testing_server.h"

namespace candor::server::testing {
namespace {

std::string told(const std::string& key) {
  return ">2\r\n$10\r\ninvalidate\r\n*1\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
}
constexpr const char* kToldEverything = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

class TrackingTest : public ServerTest {
 protected:
  TrackingTest() {
    context.options.plain_feature = "cache";
    rows = {{"1", "a"}, {"2", "b"}};
  }
  Client& tracker(const std::string& options = "") {
    Client& client = connect();
    client.send("HELLO 3\r\n");
    EXPECT_EQ(client.send("CLIENT TRACKING ON " + options + "\r\n"), "+OK\r\n");
    return client;
  }
  std::string run(const std::string& line) { return exchange(line + "\r\n"); }
};

TEST_F(TrackingTest, ReaderIsToldOnceOfAChange) {
  Client& client = tracker();
  (void)client.send("GET row:1\r\nGET row:2\r\n");
  EXPECT_EQ(run("SET row:1 x"), "+OK\r\n");
  EXPECT_EQ(client.take(), told("row:1"));
  (void)run("SET row:1 y");
  EXPECT_EQ(client.take(), "");
}

TEST_F(TrackingTest, WhoDidNotReadOrDoesNotTrackIsNotTold) {
  Client& silent = tracker();
  Client& plain = connect();
  (void)plain.send("GET row:1\r\n");
  (void)run("SET row:1 x");
  EXPECT_EQ(silent.take() + plain.take(), "");
}

TEST_F(TrackingTest, EveryReadingCommandRemembersItsKeys) {
  Client& client = tracker();
  (void)client.send("MGET row:1 row:2\r\nEXISTS k\r\n");
  (void)run("DEL row:1 row:2");
  EXPECT_EQ(client.take(), told("row:1") + told("row:2"));
  (void)run("SET k v");
  EXPECT_EQ(client.take(), told("k"));
}

TEST_F(TrackingTest, PlainValuesAreToldByTheNameTheReaderUsed) {
  Client& bare = tracker();
  Client& prefixed = tracker();
  (void)run("SET k 1");
  (void)bare.send("GET k\r\n");
  (void)prefixed.send("GET cache:k\r\n");
  (void)run("INCR k");
  EXPECT_EQ(bare.take(), told("k"));
  EXPECT_EQ(prefixed.take(), told("cache:k"));
}

TEST_F(TrackingTest, OwnChangeIsToldAfterItsReplyUnlessNoLoop) {
  Client& client = tracker();
  EXPECT_EQ(client.send("GET row:1\r\nSET row:1 x\r\n"), "$1\r\na\r\n+OK\r\n" + told("row:1"));
  EXPECT_EQ(client.send("GET k\r\nSET k x\r\n"), "_\r\n+OK\r\n" + told("k"));
  Client& quiet = tracker("NOLOOP");
  EXPECT_EQ(quiet.send("GET row:1\r\nSET row:1 x\r\n"), "$1\r\nx\r\n+OK\r\n");
  EXPECT_EQ(quiet.send("GET k\r\nDEL k\r\n"), "$1\r\nx\r\n:1\r\n");
  (void)quiet.send("GET row:1\r\n");
  (void)run("SET row:1 z");
  EXPECT_EQ(quiet.take(), told("row:1"));
}

TEST_F(TrackingTest, ValueThatWasReadWhileItsKeyChangedIsToldAfterItsReply) {
  hold_answers();
  Client& client = tracker();
  (void)client.send("GET row:1\r\n");
  cache.forget_name("row:1");
  EXPECT_EQ(client.take(), told("row:1"));
  let_go(0);
  EXPECT_EQ(client.take(), "$1\r\na\r\n" + told("row:1"));
}

TEST_F(TrackingTest, ValueThatTheCacheRefusedToKeepIsToldBehindItsReply) {
  hold_answers();
  Client& client = tracker();
  (void)client.send("GET row:1\r\n");
  const KeyRef key{cache.find_feature("row")->id(), "1"};
  tracking.on_fill(key, Stamp{}, FillOutcome::kStored);
  EXPECT_EQ(client.take(), "");
  tracking.on_fill(key, Stamp{}, FillOutcome::kFenced);
  let_go(0);
  EXPECT_TRUE(client.take().ends_with("$1\r\na\r\n" + told("row:1")));
}

TEST_F(TrackingTest, SuspectFeatureIsToldOnceToThoseWhoRead) {
  Client& reader = tracker();
  Client& silent = tracker();
  (void)reader.send("GET row:1\r\n");
  tracking.on_invalidate_feature(FeatureId{0});
  tracking.on_invalidate_feature(FeatureId{1});
  EXPECT_EQ(reader.take(), kToldEverything);
  EXPECT_EQ(silent.take(), "");
}

TEST_F(TrackingTest, BroadcastTellsEveryKeyUnderItsPrefixes) {
  Client& client = tracker("BCAST PREFIX row: PREFIX k");
  (void)run("SET row:9 x");
  (void)run("SET k1 x");
  (void)run("SET other x");
  EXPECT_EQ(client.take(), told("row:9") + told("k1"));
  Client& all = tracker("BCAST");
  (void)run("SET other y");
  EXPECT_EQ(all.take(), told("other"));
}

TEST_F(TrackingTest, OptInAndOptOutSpeakOfTheNextCommand) {
  Client& in = tracker("OPTIN");
  EXPECT_EQ(in.send("GET row:1\r\nCLIENT CACHING YES\r\nGET row:2\r\n"), "$1\r\na\r\n+OK\r\n$1\r\nb\r\n");
  Client& out = tracker("OPTOUT");
  (void)out.send("CLIENT CACHING NO\r\nGET row:1\r\nGET row:2\r\n");
  (void)run("SET row:1 x");
  (void)run("SET row:2 x");
  EXPECT_EQ(in.take(), told("row:2"));
  EXPECT_EQ(out.take(), told("row:2"));
}

TEST_F(TrackingTest, FlushTellsEverybodyToDropEverything) {
  Client& client = tracker();
  EXPECT_EQ(run("FLUSHALL"), "+OK\r\n");
  EXPECT_EQ(client.take(), kToldEverything);
}

TEST_F(TrackingTest, FullTableTellsItsOldestKeys) {
  Client& client = tracker();
  const std::string replies = client.send("GET k1\r\nGET k2\r\nGET k3\r\nGET k4\r\nGET k5\r\n");
  EXPECT_EQ(replies, "_\r\n_\r\n_\r\n_\r\n_\r\n" + told("k1"));
  EXPECT_EQ(tracking.keys(), 4U);
}

TEST_F(TrackingTest, RedirectReachesASubscriberOfTheChannel) {
  Client& listener = connect();
  (void)listener.send("SUBSCRIBE __redis__:invalidate\r\n");
  Client& client = connect();
  EXPECT_EQ(client.send("CLIENT TRACKING ON REDIRECT " + std::to_string(listener.peer.id()) + "\r\n"),
            "+OK\r\n");
  EXPECT_EQ(client.send("CLIENT GETREDIR\r\n"), ":" + std::to_string(listener.peer.id()) + "\r\n");
  (void)client.send("GET row:1\r\n");
  (void)run("SET row:1 x");
  EXPECT_EQ(client.take(), "");
  EXPECT_EQ(listener.take(), "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$5\r\nrow:1\r\n");
}

TEST_F(TrackingTest, RedirectThatIsGoneIsReported) {
  Client& listener = connect();
  Client& client = tracker("REDIRECT " + std::to_string(listener.peer.id()));
  listener.hang_up();
  (void)client.send("GET row:1\r\n");
  (void)run("SET row:1 x");
  EXPECT_EQ(client.take(), ">2\r\n$21\r\ntracking-redir-broken\r\n:1\r\n");
  EXPECT_NE(client.send("CLIENT TRACKINGINFO\r\n").find("broken_redirect"), std::string::npos);
}

TEST_F(TrackingTest, NothingIsToldAfterOffOrReset) {
  Client& off = tracker();
  Client& reset = tracker("BCAST");
  (void)off.send("GET row:1\r\nCLIENT TRACKING OFF\r\n");
  (void)reset.send("RESET\r\n");
  EXPECT_FALSE(tracking.is_used());
  (void)run("SET row:1 x");
  EXPECT_EQ(off.take() + reset.take(), "");
  EXPECT_EQ(tracking.keys(), 0U);
}

TEST_F(TrackingTest, RepeatedOnKeepsWhatWasRead) {
  Client& client = tracker();
  (void)client.send("GET row:1\r\nCLIENT TRACKING ON NOLOOP\r\n");
  (void)run("SET row:1 x");
  EXPECT_EQ(client.take(), told("row:1"));
}

TEST_F(TrackingTest, OptionsThatCannotGoTogetherAreRefused) {
  Client& client = connect();
  const auto error = [&](const std::string& options) {
    return client.send("CLIENT TRACKING " + options + "\r\n");
  };
  EXPECT_TRUE(error("ON PREFIX a").starts_with("-ERR PREFIX option requires BCAST"));
  EXPECT_TRUE(error("ON BCAST OPTIN").starts_with("-ERR OPTIN and OPTOUT are not compatible with BCAST"));
  EXPECT_TRUE(error("ON OPTIN OPTOUT").starts_with("-ERR You can't specify both"));
  EXPECT_TRUE(error("ON BCAST PREFIX a PREFIX ab").starts_with("-ERR Prefix 'a' overlaps with another"));
  EXPECT_TRUE(error("ON REDIRECT 999").starts_with("-ERR The client ID you want redirect to"));
  EXPECT_EQ(error("MAYBE"), "-ERR syntax error\r\n");
  EXPECT_EQ(error("ON"), "+OK\r\n");
  EXPECT_TRUE(error("ON BCAST").starts_with("-ERR You can't switch BCAST mode"));
}

}  // namespace
}  // namespace candor::server::testing
