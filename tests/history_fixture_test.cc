// The ending that every history shares.
#include "tests/history_fixture.h"

#include <algorithm>
#include <unordered_map>

namespace candor {

testing::PostgresServer* HistoryTest::postgres_ = nullptr;

void HistoryTest::settle(Duration repair) {
  clients_->stop_writers();
  region_->heal();
  const bool proven =
      region_->wait_until_proven(repair) && (also_ == nullptr || also_->wait_until_proven(repair));
  if (!proven) show_standing();
  ASSERT_TRUE(proven);
  recorder_.set_quiet(testing::Recorder::now());
}

// What an operator would look at when a node proves nothing.
void HistoryTest::show_standing() {
  for (testing::Candord* daemon : daemons()) {
    testing::RespClient client(daemon->port(), 5s);
    for (int i = 0; i < 3; ++i) {
      std::string text;
      if (const auto answer = client.call({"CANDOR.GET", "item:calm"})) resp::write_value(text, *answer);
      std::replace(text.begin(), text.end(), '\r', ' ');
      std::erase(text, '\n');
      fmt::print("{} answers: {}\n", daemon->name(), text);
      run(500ms);
    }
  }
  for (const testing::Candord* daemon : daemons())
    fmt::print("{} says: {}\n", daemon->name(), daemon->status());
  if (database_ == nullptr) return;
  for (const char* const question :
       {"select slot_name, active, active_pid, wal_status, confirmed_flush_lsn, pg_current_wal_lsn(), "
        "pg_current_snapshot() from pg_replication_slots",
        "select pid, client_port, state, wait_event, backend_xmin, xact_start, left(query, 60) from "
        "pg_stat_activity where datname = current_database()"}) {
    (void)database_->sql().run(question);
    for (const auto& row : database_->sql().rows()) fmt::print("  {}\n", fmt::join(row, " | "));
  }
}

void HistoryTest::read_everything() {
  for (testing::Candord* daemon : daemons()) {
    testing::Visitor visitor(&recorder_, daemon);
    for (const std::string& key : clients_->keys_with_extra())
      for (const auto level : {sim::Level::kEventual, sim::Level::kBounded, sim::Level::kStrong})
        EXPECT_TRUE(visitor.read(key, level)) << daemon->name() << " " << visitor.last_error();
  }
}

void HistoryTest::finish(Duration repair) {
  ASSERT_NO_FATAL_FAILURE(settle(repair));
  read_everything();
  clients_->stop();
  // An empty L1: what a node serves now is what L2 holds.
  region_->daemon(0).kill_now();
  ASSERT_TRUE(region_->daemon(0).start());
  read_everything();
  check();
}

namespace {

// What came from where, in one line.
std::string summary(const sim::History& history) {
  std::array<std::array<std::uint64_t, 5>, 5> reads{};
  std::uint64_t refused = 0, writes = 0, proven = 0;
  for (const auto& op : history.operations) {
    if (op.kind == sim::OperationKind::kWrite || op.kind == sim::OperationKind::kErase) ++writes;
    if (op.kind != sim::OperationKind::kRead) continue;
    if (op.outcome != sim::Outcome::kOk) {
      ++refused;
      continue;
    }
    ++reads[static_cast<std::size_t>(op.level)][static_cast<std::size_t>(op.tier)];
    if (op.fresh_within_ns >= 0) ++proven;
  }
  std::string text = fmt::format("{} operations, {} writes, {} commits, {} reads refused, {} with a proof;",
                                 history.operations.size(), writes, history.commits.size(), refused, proven);
  for (const auto level :
       {sim::Level::kEventual, sim::Level::kSession, sim::Level::kBounded, sim::Level::kStrong}) {
    const auto& row = reads[static_cast<std::size_t>(level)];
    text += fmt::format(
        " {} l1 {} l2 {} origin {};", sim::level_name(level), row[static_cast<std::size_t>(sim::Tier::kL1)],
        row[static_cast<std::size_t>(sim::Tier::kL2)], row[static_cast<std::size_t>(sim::Tier::kOrigin)]);
  }
  return text;
}

}  // namespace

// A register cannot lose what was written to it: where the origin did, the time before and the time after are
// two registers, and the second begins with what was restored.
std::vector<sim::CheckResult> HistoryTest::judge(const sim::History& history) const {
  auto results = sim::check_all(history);
  if (lost_at_ == 0) return results;
  std::erase_if(results, [](const auto& result) { return result.rule == "linearizable"; });
  sim::History before, after;
  before.keys = after.keys = history.keys;
  before.nodes = after.nodes = history.nodes;
  for (const sim::Operation& op : history.operations)
    (op.invoked < lost_at_ ? before : after).operations.push_back(op);
  std::unordered_map<std::uint32_t, std::uint64_t> state;
  for (const sim::Commit& commit : history.commits)
    if (commit.visible <= lost_at_) state[commit.key] = commit.version;
  for (const auto& [key, version] : state) {
    sim::Operation begins;
    begins.kind = version == 0 ? sim::OperationKind::kErase : sim::OperationKind::kWrite;
    begins.key = key;
    begins.version = version;
    begins.invoked = begins.responded = lost_at_;
    after.operations.push_back(begins);
  }
  results.push_back(sim::check_linearizable(before));
  results.push_back(sim::check_linearizable(after));
  return results;
}

void HistoryTest::check() {
  recorder_.add_commits(origin_->journal(journal_done_), testing::Recorder::now());
  for (testing::Candord* daemon : daemons()) daemon->kill_now();
  sim::History history = recorder_.take();
  const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const auto results = judge(history);
  fmt::print("{}: {}\n  checked:", name, summary(history));
  for (const auto& result : results) fmt::print(" {} {}", result.rule, result.checked);
  fmt::print("\n");
  if (sim::holds(results)) return;
  const std::string file = ::testing::TempDir() + "candor-history-" + name + ".jsonl";
  std::ofstream(file) << sim::to_json_lines(history);
  ADD_FAILURE() << sim::report(results) << "\nthe whole history: " << file;
  for (testing::Candord* daemon : daemons()) {
    const std::string log = daemon->log();
    fmt::print("---- log of {}\n{}\n", daemon->name(), log.substr(log.size() > 4000 ? log.size() - 4000 : 0));
  }
}

}  // namespace candor
