// What write-behind saves the origin, and what it does to a writer's wait: one daemon, a skewed stream of
// writes at a fixed rate, first through, then behind with several windows. Told: origin statements for these
// writes, and how long writers waited.
//
// Usage: write_behind_bench [--writes N] [--writes-per-second N] [--keys N] [--value-bytes N]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "origin/sqlite_handle.h"
#include "proto/command_writer.h"
#include "tests/support/candord.h"
#include "tests/support/resp_client.h"
#include "tests/support/sql_client.h"

namespace candor::bench {
namespace {

struct Arguments {
  int writes = 50'000, writes_per_second = 5000, keys = 10'000, value_bytes = 100;
};

constexpr int kPipeline = 50;
constexpr double kSkew = 0.99;  // YCSB's zipfian constant

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

struct Outcome {
  std::uint64_t statements = 0;
  std::vector<double> waits;  // of a pipeline of writes, seconds
  double seconds = 0;
};

std::uint64_t origin_statements(const testing::Candord& daemon) {
  const std::string answer = daemon.status();
  const auto body = answer.find("\r\n\r\n");
  if (body == std::string::npos) return 0;
  const auto status = nlohmann::json::parse(answer.substr(body + 4), nullptr, false);
  if (status.is_discarded()) return 0;
  return status["origins"][0]["statements"].get<std::uint64_t>();
}

bool write_all(const Arguments& arguments, testing::RespClient& client, Outcome* outcome) {
  const Zipf zipf(arguments.keys, kSkew);
  Random random(1);
  const std::string padding(static_cast<std::size_t>(arguments.value_bytes), 'x');
  const double begin = seconds_now();
  for (int sent = 0; sent < arguments.writes; sent += kPipeline) {
    const double due = begin + static_cast<double>(sent) / arguments.writes_per_second;
    std::this_thread::sleep_for(std::chrono::duration<double>(due - seconds_now()));
    std::string commands;
    for (int n = 0; n < kPipeline; ++n)
      resp::write_command(commands, {"SET", fmt::format("item:{}", zipf.draw(random)),
                                     fmt::format("{}:{}", sent + n, padding)});
    const double from = seconds_now();
    if (!client.send(commands)) return false;
    for (int n = 0; n < kPipeline; ++n) {
      const auto answer = client.receive();
      if (!answer || answer->text != "OK") return false;
    }
    outcome->waits.push_back(seconds_now() - from);
  }
  outcome->seconds = seconds_now() - begin;
  return true;
}

bool measure_one(const Arguments& arguments, const std::string& url, const std::string& mode,
                 Outcome* outcome) {
  testing::Candord daemon(
      "behind", "local",
      fmt::format(
          "[origins.shop]\nurl = \"{}\"\n[features.item]\norigin = \"shop\"\n"
          "load = \"select body from item where id = :key\"\n"
          "store = \"insert into item(id, body) values (:key, :value) on conflict (id) do update set body = "
          "excluded.body\"\n{}\n",
          url, mode));
  if (!daemon.start()) return fmt::print("{}\n", daemon.log()), false;
  const std::uint64_t before = origin_statements(daemon);
  testing::RespClient client(daemon.port());
  if (!write_all(arguments, client, outcome)) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // the longest window, and its batch
  outcome->statements = origin_statements(daemon) - before;
  daemon.stop();
  return true;
}

int measure_origin(const Arguments& arguments, const std::string& name, const std::string& url) {
  const std::vector<std::pair<std::string, std::string>> modes = {
      {"through", ""},
      {"behind, 10 ms", "write = \"behind\"\nwrite_behind = { window = \"10ms\" }"},
      {"behind, 100 ms", "write = \"behind\"\nwrite_behind = { window = \"100ms\" }"},
      {"behind, 1 s", "write = \"behind\"\nwrite_behind = { window = \"1s\" }"},
      {"behind, 2 s", "write = \"behind\"\nwrite_behind = { window = \"2s\" }"},
  };
  std::uint64_t through = 0;
  for (const auto& [shown, mode] : modes) {
    Outcome outcome;
    if (!measure_one(arguments, url, mode, &outcome)) return fmt::print("{}: {} failed\n", name, shown), 1;
    if (through == 0) through = outcome.statements;
    std::ranges::sort(outcome.waits);
    const auto at = [&](double q) {
      return 1000 *
             outcome.waits[static_cast<std::size_t>(q * static_cast<double>(outcome.waits.size() - 1))];
    };
    fmt::print(
        "{:<10} {:<15} {:>7} origin statements, {:>5.1f} times fewer; {:>6.0f} writes/s; {} writes waited "
        "p50 {:.2f} ms, p99 {:.2f} ms\n",
        name, shown, outcome.statements,
        static_cast<double>(through) / static_cast<double>(std::max<std::uint64_t>(1, outcome.statements)),
        arguments.writes / outcome.seconds, kPipeline, at(0.5), at(0.99));
  }
  return 0;
}

int measure(const Arguments& arguments) {
  fmt::print("{} writes of {} bytes to {} keys, zipf {}, at most {} a second, pipelines of {}\n",
             arguments.writes, arguments.value_bytes, arguments.keys, kSkew, arguments.writes_per_second,
             kPipeline);
  const testing::TempDir folder;
  const std::string path = folder.path() + "/bench.db";
  {
    auto db = SqliteHandle::open(path, SqliteHandle::Mode::kCreate, 1s);
    if (!db || !db->execute("create table item(id text primary key, body text)")) return 1;
  }
  if (measure_origin(arguments, "sqlite", "sqlite:" + path) != 0) return 1;
  testing::PostgresServer server{{"autovacuum=off"}};
  if (!server.start()) return 1;
  testing::SqlClient(server.url()).value("create table item(id text primary key, body text); select 1");
  return measure_origin(arguments, "postgresql", server.url());
}

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) {
  candor::bench::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const int number = std::atoi(argv[i + 1]);
    if (number <= 0) continue;
    if (std::strcmp(argv[i], "--writes") == 0) arguments.writes = number;
    if (std::strcmp(argv[i], "--writes-per-second") == 0) arguments.writes_per_second = number;
    if (std::strcmp(argv[i], "--keys") == 0) arguments.keys = number;
    if (std::strcmp(argv[i], "--value-bytes") == 0) arguments.value_bytes = number;
  }
  return candor::bench::measure(arguments);
}
