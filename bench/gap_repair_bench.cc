// What a gap in the region stream costs: PostgreSQL, a Redis as stream, one daemon whose L1 holds every row,
// a reader with a zipfian choice of keys at a fixed rate. The stream is deleted under the daemon: everything
// in L1 is suspect. Told: how many of the reads of each second L1 answered, and how many rows were loaded by
// readers, with the repair in the background and without.
//
// Usage: gap_repair_bench [--rows N] [--reads-per-second N] [--seconds N] [--rates 0,2000,…]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "proto/command_writer.h"
#include "tests/support/candord.h"
#include "tests/support/resp_client.h"
#include "tests/support/sql_client.h"
#include "tests/support/stream_server.h"

namespace candor::bench {
namespace {

struct Arguments {
  int rows = 50'000, reads_per_second = 2000, seconds = 60, value_bytes = 100;
  std::vector<int> rates = {0, 2000, 20'000};
};

constexpr int kPipeline = 20;
constexpr double kSkew = 0.8;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Ranks by a running sum of 1/rank^skew.
class Zipf {
 public:
  Zipf(int n, double skew) {
    double sum = 0;
    for (int i = 1; i <= n; ++i) sums_.push_back(sum += std::pow(i, -skew));
  }
  std::size_t draw(Random& random) const {
    const auto at = std::ranges::lower_bound(sums_, random.unit() * sums_.back());
    return static_cast<std::size_t>(at - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

struct Second {
  int reads = 0, from_l1 = 0;
};

class Gap {
 public:
  Gap(const Arguments& arguments, testing::PostgresServer& server, int rate)
      : arguments_(arguments), stream_(testing::StreamServer::make("redis")), zipf_(arguments.rows, kSkew) {
    if (!stream_->start()) return;
    daemon_ = std::make_unique<testing::Candord>(
        "gap", "gap",
        fmt::format(
            "[l2]\nurl = \"none\"\n[stream]\nurl = \"{}\"\n[origins.shop]\nurl = \"{}\"\nrepair_rate = {}\n"
            "[features.item]\norigin = \"shop\"\nload = \"select body from item where id = :key\"\n"
            "load_many = \"select id, body from item where id = any(:keys)\"\nttl = \"1h\"\n"
            "watch = {{ table = \"item\", key = \"id\" }}\n",
            stream_->url(), server.url(), rate));
    if (!daemon_->start()) return;
    client_ = std::make_unique<testing::RespClient>(daemon_->port());
  }

  bool run(std::vector<Second>* seconds) {
    if (client_ == nullptr || !warm()) return false;
    stream_->delete_log("gap");
    const double begin = seconds_now();
    while (seconds_now() - begin < arguments_.seconds) {
      const double from = seconds_now();
      seconds->push_back(read_for_a_second());
      std::this_thread::sleep_for(std::chrono::duration<double>(from + 1 - seconds_now()));
    }
    return !failed_;
  }

 private:
  // Until every row is answered out of L1, with a proof: the stream is joined and the floor of the start
  // settled.
  bool warm() {
    const double end = seconds_now() + 30;
    for (int held = 0; held < arguments_.rows;) {
      if (seconds_now() > end) return fmt::print("only {} rows came to be held\n", held), false;
      held = 0;
      for (int i = 0; i < arguments_.rows; i += kPipeline) {
        for (const bool is_l1 : ask([&](int n) { return (i + n) % arguments_.rows; })) held += is_l1 ? 1 : 0;
      }
    }
    for (int i = 0; i < 3 * arguments_.reads_per_second; i += kPipeline) (void)ask_at_random();
    return !failed_;
  }
  template <class Choose>
  std::vector<bool> ask(Choose choose) {
    std::string commands;
    for (int n = 0; n < kPipeline; ++n)
      resp::write_command(commands, {"CANDOR.GET", fmt::format("item:{}", choose(n))});
    (void)client_->send(commands);
    std::vector<bool> from_l1;
    for (int n = 0; n < kPipeline; ++n) {
      const auto answer = client_->receive();
      const auto* const tier = answer ? answer->find("tier") : nullptr;
      const auto* const fresh = answer ? answer->find("fresh_within_ms") : nullptr;
      if (tier == nullptr) failed_ = true;
      from_l1.push_back(tier != nullptr && tier->text == "l1" && fresh != nullptr &&
                        fresh->type != resp::RespValue::Type::kNull);
    }
    return from_l1;
  }
  std::vector<bool> ask_at_random() {
    return ask([&](int) { return static_cast<int>(zipf_.draw(random_)); });
  }
  Second read_for_a_second() {
    Second second;
    while (second.reads < arguments_.reads_per_second) {
      for (const bool is_l1 : ask_at_random()) second.from_l1 += is_l1 ? 1 : 0;
      second.reads += kPipeline;
    }
    return second;
  }

  const Arguments& arguments_;
  std::unique_ptr<testing::StreamServer> stream_;
  std::unique_ptr<testing::Candord> daemon_;
  std::unique_ptr<testing::RespClient> client_;
  Zipf zipf_;
  Random random_{1};
  bool failed_ = false;
};

void show(int rate, const std::vector<Second>& seconds) {
  int loaded = 0;
  std::size_t full = 0;  // the second after the last one with more than a hundredth of misses
  std::string curve;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const Second& one = seconds[i];
    loaded += one.reads - one.from_l1;
    const double hits = 100.0 * one.from_l1 / one.reads;
    if (hits < 99) full = i + 1;
    if (i == 0 || i == 1 || i == 4 || i == 9 || i == 19 || i == 39)
      curve += fmt::format("  {} s {:.1f} %", i + 1, hits);
  }
  fmt::print("repair_rate {:>6}: {:>6} reads past L1, hits under 99 % for {} s;{}\n", rate, loaded,
             full == seconds.size() ? fmt::format("all of {}", full) : std::to_string(full), curve);
}

int measure(const Arguments& arguments) {
  testing::PostgresServer server{{"wal_level=logical", "autovacuum=off"}};
  if (!server.start()) return 1;
  testing::SqlClient admin(server.url());
  admin.value("create table item (id text primary key, body text)");
  admin.value(fmt::format("insert into item select g, repeat('x', {}) from generate_series(0, {}) g",
                          arguments.value_bytes, arguments.rows - 1));
  admin.value("analyze item");
  fmt::print("{} rows of {} bytes, {} reads a second, zipf {}\n", arguments.rows, arguments.value_bytes,
             arguments.reads_per_second, kSkew);
  for (const int rate : arguments.rates) {
    std::vector<Second> seconds;
    if (!Gap(arguments, server, rate).run(&seconds)) return 1;
    show(rate, seconds);
    admin.value("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active");
  }
  return 0;
}

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) {
  candor::bench::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rates") == 0) {
      arguments.rates.clear();
      for (const char* at = argv[i + 1]; *at != '\0';) {
        char* end = nullptr;
        arguments.rates.push_back(static_cast<int>(std::strtol(at, &end, 10)));
        at = *end == ',' ? end + 1 : end;
      }
      continue;
    }
    const int number = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--rows") == 0) arguments.rows = number;
    if (std::strcmp(argv[i], "--reads-per-second") == 0) arguments.reads_per_second = number;
    if (std::strcmp(argv[i], "--seconds") == 0) arguments.seconds = number;
  }
  return candor::bench::measure(arguments);
}
