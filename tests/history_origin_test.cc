// Histories in which the PostgreSQL server itself fails; each has a server of its own. And one in which
// everything may fail.
#include <unordered_map>

#include "tests/history_fixture.h"

namespace candor {
namespace {

using testing::PostgresServer;

class OwnServer : public HistoryTest {
 protected:
  void begin_over(const std::string& name, std::vector<std::string> extra = {}) {
    auto settings = postgres_settings();
    settings.insert(settings.end(), extra.begin(), extra.end());
    server_ = std::make_unique<PostgresServer>(settings);
    ASSERT_TRUE(server_->start());
    ASSERT_NO_FATAL_FAILURE(over_postgres(*server_, {.name = name}));
    begin();
  }
  // What was committed after the backup is gone, and everything that was loaded of it is wrong.
  void lose_what_came_after_the_backup() {
    clients_->stop_writers();
    const auto lost = origin_->journal(0);
    recorder_.add_commits(lost, testing::Recorder::now());
    for (std::size_t i = 0; i < region_->size(); ++i) node(i).to_origin->set({.refuse = true});
    server_->stop();
    lost_at_ = testing::Recorder::now();
    server_->restore();
    ASSERT_TRUE(server_->start());
    ASSERT_NO_FATAL_FAILURE(note_what_is_gone(lost, origin_->journal(0)));
  }
  void note_what_is_gone(const std::vector<testing::JournalEntry>& lost,
                         const std::vector<testing::JournalEntry>& held) {
    ASSERT_LT(held.size(), lost.size());
    std::unordered_map<std::string, std::uint64_t> then, now;
    for (const auto& entry : lost) then[entry.key] = entry.version;
    for (const auto& entry : held) now[entry.key] = entry.version;
    std::vector<testing::JournalEntry> back;
    for (const auto& [key, version] : then)
      if (now[key] != version) back.push_back({key, now[key]});
    ASSERT_FALSE(back.empty());
    recorder_.add_restored(back, lost_at_);
    journal_done_ = held.size();
  }
  // By this node, of [origins.shop].
  static std::string history_lost(const testing::Candord& daemon) {
    const std::string status = daemon.status();
    const std::string name = "\"history_lost\":\"";
    const auto at = status.find(name);
    return at == std::string::npos
               ? std::string()
               : status.substr(at + name.size(), status.find('"', at + name.size()) - at - name.size());
  }
  void TearDown() override {
    clients_.reset();
    region_.reset();
    origin_.reset();
  }
  // Of some floor: why it was raised.
  void expect_every_log_says(std::string_view why, std::string_view or_why = {}) {
    constexpr std::string_view kFloor = "nothing loaded before now is trusted (everything): ";
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string log = region_->daemon(i).log();
      bool found = false;
      for (std::size_t at = log.find(kFloor); at != std::string::npos; at = log.find(kFloor, at + 1)) {
        const std::string line = log.substr(at, log.find('\n', at) - at);
        found = found || line.find(why) != std::string::npos ||
                (!or_why.empty() && line.find(or_why) != std::string::npos);
      }
      EXPECT_TRUE(found) << "daemon " << i << " does not say '" << why << "':\n" << log;
    }
  }
  std::unique_ptr<PostgresServer> server_;
};

TEST_F(OwnServer, IsRestartedAndCrashes) {
  ASSERT_NO_FATAL_FAILURE(begin_over("restarted"));
  server_->stop();
  run(500ms);
  ASSERT_TRUE(server_->start());
  run(1500ms);
  server_->crash();
  ASSERT_TRUE(server_->start());
  run(1s);
  finish(20s);
}

TEST_F(OwnServer, IsRestoredFromAnOlderBackup) {
  ASSERT_NO_FATAL_FAILURE(begin_over("restored"));
  ASSERT_TRUE(server_->back_up());
  run(1500ms);
  ASSERT_NO_FATAL_FAILURE(lose_what_came_after_the_backup());
  region_->heal();
  clients_->start_writers();
  run(2s);
  finish(20s);
  expect_every_log_says("restored");
}

// The feed cannot say so: its new slot waits for a transaction, for longer than anything here takes. Loads
// come back at once.
TEST_F(OwnServer, IsRestoredAndTheFeedIsTheLastToKnow) {
  ASSERT_NO_FATAL_FAILURE(begin_over("mute"));
  ASSERT_TRUE(server_->back_up());
  run(1500ms);
  ASSERT_NO_FATAL_FAILURE(lose_what_came_after_the_backup());
  testing::SqlClient holder(database_->url(0));
  holder.value("begin");
  holder.value("select pg_current_xact_id()");
  region_->heal();
  clients_->start_writers();
  run(3s);
  for (testing::Candord* daemon : daemons()) {
    for (int i = 0; i < 100 && history_lost(*daemon).empty(); ++i)
      run(100ms);  // pauses between attempts grow
    EXPECT_NE(history_lost(*daemon), "") << daemon->name() << ": " << daemon->status();
  }
  holder.value("commit");
  run(1s);
  finish(20s);
}

// Commits that readers have seen, and the disk has not. Slot and timeline are as they were, and ids go on
// when the log has what came before the commit.
TEST_F(OwnServer, LosesCommitsInACrash) {
  ASSERT_NO_FATAL_FAILURE(begin_over("unlogged", {"synchronous_commit=off", "wal_writer_delay=2s"}));
  const std::string slot =
      testing::SqlClient(database_->url(0)).value("select slot_name from pg_replication_slots");
  std::vector<testing::JournalEntry> lost, held;
  for (int i = 0; i < 20 && held.size() == lost.size(); ++i) {  // until no flush comes between
    if (i > 0) clients_->start_writers();
    run(300ms);
    clients_->stop_writers();
    lost = origin_->journal(0);
    server_->crash();
    lost_at_ = testing::Recorder::now();
    ASSERT_TRUE(server_->start());
    held = origin_->journal(0);
  }
  recorder_.add_commits(lost, lost_at_);
  ASSERT_NO_FATAL_FAILURE(note_what_is_gone(lost, held));
  run(3s);
  EXPECT_NE(testing::SqlClient(database_->url(0)).value("select slot_name from pg_replication_slots"), slot);
  clients_->start_writers();
  run(1s);
  finish(40s);  // proofs wait for the log to be written
  expect_every_log_says("synchronous_commit = off", "transaction ids went back");
}

// Nobody reads the slot while more is written than it may hold back.
TEST_F(OwnServer, RemovesTheLogUnderTheFeed) {
  ASSERT_NO_FATAL_FAILURE(begin_over("removed", {"max_slot_wal_keep_size=1MB"}));
  for (std::size_t i = 0; i < 2; ++i) node(i).to_origin->partition();
  testing::SqlClient admin(database_->url(0));
  for (int i = 0; i < 4; ++i) {
    admin.value(
        "select count(pg_logical_emit_message(false, 'x', repeat('y', 100000))) from generate_series(1, "
        "200)");
    admin.value("select pg_switch_wal()");
  }
  admin.value("checkpoint");
  EXPECT_EQ(admin.value("select wal_status from pg_replication_slots"), "lost");
  region_->heal();
  run(2s);
  finish(20s);
  expect_every_log_says("the WAL that slot");
}

// ---- Everything ----

// One to three things are broken at a time, for 0.2 to 2 seconds.
class Chaos {
 public:
  Chaos(testing::TestRegion* region, testing::PostgresTestOrigin* origin, std::uint64_t seed)
      : region_(region), origin_(origin), random_(seed) {}

  void go_on_for(Duration duration) {
    const std::int64_t end = testing::Recorder::now() + duration.count();
    while (testing::Recorder::now() < end) {
      for (std::uint64_t i = 0, count = 1 + random_.below(3); i < count; ++i) hurt();
      std::this_thread::sleep_for(200ms + random_.below(1800) * 1ms);
      mend();
      std::this_thread::sleep_for(random_.below(600) * 1ms);
    }
    mend();
  }
  [[nodiscard]] const std::string& story() const { return story_; }

 private:
  void hurt() {
    const std::size_t i = random_.below(region_->size());
    switch (random_.below(9)) {
      case 0:
      case 1:
        return hurt_link(i);
      case 2:
        return cut_link(i);
      case 3:
        story_ += fmt::format(" kill {}", i);
        return region_->daemon(i).kill_now();
      case 4:
        story_ += fmt::format(" freeze {}", i);
        return region_->daemon(i).freeze();
      case 5: {
        story_ += " flush-l2";
        (void)testing::RespClient(region_->l2().port()).call({"FLUSHALL"});
        return;
      }
      case 6:
        story_ += " crash-l2";
        l2_is_down_ = true;
        return region_->l2().crash();
      case 7:
        story_ += " crash-stream";
        stream_is_down_ = true;
        return region_->stream().crash();
      default:
        story_ += " end-feed";
        (void)origin_->sql().run(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where active");
    }
  }
  testing::TcpProxy& link(std::size_t i, const char** name) {
    auto& node = region_->node(i);
    switch (random_.below(3)) {
      case 0:
        *name = "origin";
        return *node.to_origin;
      case 1:
        *name = "l2";
        return *node.to_l2;
      default:
        *name = "stream";
        return *node.to_stream;
    }
  }
  void hurt_link(std::size_t i) {
    const char* name = "";
    testing::TcpProxy& proxy = link(i, &name);
    const auto how = random_.below(4);
    story_ += fmt::format(" hold-{}-{}-{}", name, i, how);
    if (how == 0) proxy.partition();
    if (how == 1) proxy.set({.hold_to_server = true});
    if (how == 2) proxy.set({.hold_to_client = true});
    if (how == 3) proxy.set({.delay = 30ms, .jitter = 50ms, .bytes_per_second = 100'000});
  }
  void cut_link(std::size_t i) {
    const char* name = "";
    link(i, &name).cut();
    story_ += fmt::format(" cut-{}-{}", name, i);
  }
  void mend() {
    region_->heal();
    EXPECT_TRUE(!std::exchange(l2_is_down_, false) || region_->l2().start());
    EXPECT_TRUE(!std::exchange(stream_is_down_, false) || region_->stream().start());
    for (testing::Candord* daemon : region_->daemons()) {
      if (daemon->is_running()) daemon->thaw();
      EXPECT_TRUE(daemon->is_running() || daemon->start());
    }
    story_ += " |";
  }

  testing::TestRegion* region_;
  testing::PostgresTestOrigin* origin_;
  Random random_;
  bool l2_is_down_ = false, stream_is_down_ = false;
  std::string story_;
};

class RandomFaults : public HistoryTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(RandomFaults, AreSurvived) {
  ASSERT_NO_FATAL_FAILURE(
      over_postgres({.name = fmt::format("chaos{}", GetParam()), .nodes = 3, .stream = GetParam()}));
  begin();
  Chaos chaos(region_.get(), database_, setting("CANDOR_HISTORY_SEED", 1));
  chaos.go_on_for(std::chrono::seconds(setting("CANDOR_HISTORY_SECONDS", 8)));
  fmt::print("faults:{}\n", chaos.story());
  finish(25s);
}
INSTANTIATE_TEST_SUITE_P(Streams, RandomFaults, ::testing::Values("redis", "nats"));

}  // namespace
}  // namespace candor
