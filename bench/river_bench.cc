// The change river, seen from outside: PostgreSQL, a Redis as L2, a Redis as stream, two daemons, one
// machine.
//
//   lag         a row is written straight at the database while others are written at a steady rate; how long
//   until
//               a reader of each node is given the new value? The clock is this program's own: from just
//               before the statement is sent, and from its answer, to the last node's first new answer.
//               Before each sample both nodes hold the row in L1, so that the time includes the invalidation
//               of both, and the load.
//   sustained   rows are written in transactions of 100 at growing rates, for some seconds each; what lag do
//               readers see meanwhile, and how long after the last commit until the nodes have caught up?
//   proof       rows that nobody writes are read at bounded(2 s) while others of the same table are written:
//   how
//               many reads are answered by a tier, for which the node needs a proof younger than 2 s?
//
// Usage: river_bench [--only lag|sustained|proof] [--seconds S] [--rate CHANGES_PER_SECOND]
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "proto/command_writer.h"
#include "tests/support/candord.h"
#include "tests/support/process.h"
#include "tests/support/resp_client.h"
#include "tests/support/sql_client.h"

namespace candor::bench {
namespace {

constexpr int kRows = 100'000;
constexpr int kNodes = 2;

struct Arguments {
  std::string only;
  double seconds = 20;
  int rate = 1000;
};

double ms_now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Writes rows at a rate, in transactions of `rows_each`, on a thread of its own; never faster, and says what
// it did.
class Load {
 public:
  Load(const std::string& url, int rows_per_second, int rows_each, std::uint64_t seed)
      : thread_([this, url, rows_per_second, rows_each, seed] {
          testing::SqlClient sql(url);
          Random random(seed);
          const double begin = ms_now(), step = 1000.0 * rows_each / rows_per_second;
          for (std::uint64_t i = 0; !stop_; ++i) {
            const double due = begin + static_cast<double>(i) * step;
            const double wait = due - ms_now();
            if (wait > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(wait));
            // Rows from 1000 on: the first are for samples.
            const auto first = 1000 + random.below(kRows - 1000 - static_cast<std::uint64_t>(rows_each));
            (void)sql.run(fmt::format("update item set body = '{}' where id between {} and {}", i, first,
                                      first + static_cast<std::uint64_t>(rows_each) - 1));
            rows_ += static_cast<std::uint64_t>(rows_each);
          }
          took_ms_ = ms_now() - begin;
        }) {}
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] double rows_per_second() const { return static_cast<double>(rows_) * 1000 / took_ms_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> rows_ = 0;
  double took_ms_ = 1;
  std::thread thread_;
};

struct Lag {
  std::vector<double> from_sent, from_committed;  // ms
};

void show(const char* what, std::vector<double> values) {
  if (values.empty()) return;
  std::ranges::sort(values);
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  fmt::print("  {:24} n {:6}  p50 {:8.2f}  p90 {:8.2f}  p99 {:8.2f}  max {:8.2f} ms\n", what, values.size(),
             at(0.5), at(0.9), at(0.99), values.back());
}

class River {
 public:
  bool start() {
    if (!server_.start() || !l2_.start() || !stream_.start()) return false;
    sql_ = std::make_unique<testing::SqlClient>(server_.url());
    sql_->value("create table item (id integer primary key, body text)");
    sql_->value(fmt::format("insert into item select g, '0' from generate_series(0, {}) g", kRows - 1));
    sql_->value("analyze item");
    for (int i = 0; i < kNodes; ++i) {
      daemons_.push_back(
          std::make_unique<testing::Candord>(fmt::format("n{}", i + 1), "bench", configuration()));
      if (!daemons_.back()->start()) return false;
      clients_.push_back(
          std::make_unique<testing::RespClient>(daemons_.back()->port(), std::chrono::seconds(60)));
    }
    std::this_thread::sleep_for(std::chrono::seconds(3));  // the slot is made, the nodes have joined
    return true;
  }
  [[nodiscard]] std::string url() const { return server_.url(); }

  // Writes row `id` and waits until every node answers the new value. False: some node does not, for a
  // minute.
  bool sample(int id, Lag* lag) {
    const std::string key = fmt::format("item:{}", id);
    for (auto& client : clients_)  // once from the origin, once from L1
      for (int i = 0; i < 2; ++i) (void)client->call({"CANDOR.GET", key, "EVENTUAL"});
    const std::string value = std::to_string(++value_);
    const std::string text = fmt::format("update item set body = '{}' where id = {}", value, id);
    const double sent = ms_now();
    sql_->value(text);
    const double committed = ms_now();
    double last = 0;
    for (auto& client : clients_) {
      for (;;) {
        const auto answer = client->call({"CANDOR.GET", key, "EVENTUAL"});
        last = ms_now();
        if (answer && answer->find("value") != nullptr && answer->find("value")->text == value) break;
        if (last - committed > 60'000) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    lag->from_sent.push_back(last - sent);
    lag->from_committed.push_back(last - committed);
    return true;
  }

  Lag sample_for(double seconds) {
    Lag lag;
    Random random(7);
    const double end = ms_now() + seconds * 1000;
    while (ms_now() < end) {
      if (!sample(static_cast<int>(random.below(1000)), &lag))
        fmt::print("  a node never answered the new value\n");
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(6000)));
    }
    return lag;
  }

  // Bounded reads of calm rows; how many a tier answered.
  void prove(double seconds) {
    std::uint64_t tier = 0, origin = 0, refused = 0;
    std::string commands;
    for (int i = 0; i < 100; ++i)
      resp::write_command(commands, {"CANDOR.GET", fmt::format("item:{}", i), "BOUNDED", "2000"});
    ask(commands, &tier, &origin, &refused);  // fills
    tier = origin = refused = 0;
    const double end = ms_now() + seconds * 1000;
    while (ms_now() < end) {
      ask(commands, &tier, &origin, &refused);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    const auto all = tier + origin + refused;
    fmt::print("  {} reads: {} by a tier with proof, {} by the origin, {} refused: {:.5f} %\n", all, tier,
               origin, refused, 100.0 * static_cast<double>(tier) / static_cast<double>(all));
  }

 private:
  void ask(const std::string& commands, std::uint64_t* tier, std::uint64_t* origin, std::uint64_t* refused) {
    for (auto& client : clients_) (void)client->send(commands);
    for (auto& client : clients_) {
      for (int i = 0; i < 100; ++i) {
        const auto answer = client->receive();
        const auto* const from = answer ? answer->find("tier") : nullptr;
        ++*(from == nullptr ? refused : from->text == "origin" ? origin : tier);
      }
    }
  }

  [[nodiscard]] std::string configuration() const {
    return fmt::format(
        "[l2]\nurl = \"{}\"\n[stream]\nurl = \"{}\"\n[origins.shop]\nurl = \"{}\"\n"
        "[features.item]\norigin = \"shop\"\nload = \"select body from item where id = :key\"\nttl = \"1h\"\n"
        "refresh_beta = 0.0\nwatch = {{ table = \"item\", key = \"id\" }}\n",
        l2_.url(), stream_.url(), server_.url());
  }

  testing::PostgresServer server_{{"wal_level=logical", "autovacuum=off", "max_connections=100",
                                   "checkpoint_timeout=1h", "max_wal_size=8GB"}};
  testing::RedisServer l2_, stream_;
  std::unique_ptr<testing::SqlClient> sql_;
  std::vector<std::unique_ptr<testing::Candord>> daemons_;
  std::vector<std::unique_ptr<testing::RespClient>> clients_;
  std::uint64_t value_ = 1'000'000'000;
};

void measure_lag(River& river, const Arguments& arguments) {
  constexpr int kWriters = 2;
  std::vector<std::unique_ptr<Load>> loads;
  for (int i = 0; i < kWriters; ++i)
    loads.push_back(
        std::make_unique<Load>(river.url(), arguments.rate / kWriters, 1, static_cast<std::uint64_t>(i)));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const Lag lag = river.sample_for(arguments.seconds);
  double rate = 0;
  for (auto& load : loads) {
    load->stop();
    rate += load->rows_per_second();
  }
  fmt::print("lag, {} nodes, {:.0f} changes/s beside the samples\n", kNodes, rate);
  show("from the statement sent", lag.from_sent);
  show("from its answer", lag.from_committed);
}

void measure_sustained(River& river, const Arguments& arguments) {
  for (const int rate : {5'000, 10'000, 20'000, 30'000}) {
    Load load(river.url(), rate, 100, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const Lag lag = river.sample_for(arguments.seconds / 4);
    load.stop();
    Lag after;
    const double begin = ms_now();
    (void)river.sample(0, &after);
    fmt::print(
        "sustained, transactions of 100 rows, {:.0f} of {} changes/s wanted; caught up {:.0f} ms after the "
        "last\n",
        load.rows_per_second(), rate, ms_now() - begin);
    show("from the answer", lag.from_committed);
  }
}

void measure_proof(River& river, const Arguments& arguments) {
  Load load(river.url(), arguments.rate, 1, 1);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  fmt::print("proof, bounded(2 s) reads of calm rows, {} changes/s wanted beside them\n", arguments.rate);
  river.prove(arguments.seconds);
}

int run(const Arguments& arguments) {
  River river;
  if (!river.start()) return 1;
  if (arguments.only.empty() || arguments.only == "lag") measure_lag(river, arguments);
  if (arguments.only.empty() || arguments.only == "sustained") measure_sustained(river, arguments);
  if (arguments.only.empty() || arguments.only == "proof") measure_proof(river, arguments);
  return 0;
}

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) {
  candor::bench::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--only") == 0) arguments.only = argv[i + 1];
    if (std::strcmp(argv[i], "--seconds") == 0) arguments.seconds = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--rate") == 0) arguments.rate = std::atoi(argv[i + 1]);
  }
  return candor::bench::run(arguments);
}
