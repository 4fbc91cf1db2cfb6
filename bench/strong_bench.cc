// What a strong read costs beside the same read sent straight at the database: PostgreSQL, one daemon, rows
// that L1 holds, so that each strong read is one question to the origin ("is this row still the one that I
// loaded?") and the value comes from L1. One at a time, and in batches. Rounds alternate; ratios are taken
// within a round.
//
// CPU is that of the cache server and of every PostgreSQL process, by the kernel's own accounts.
//
// Usage: strong_bench [--rounds N] [--seconds-each S] [--value BYTES]
#include <fmt/core.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "proto/command_writer.h"
#include "tests/support/candord.h"
#include "tests/support/resp_client.h"
#include "tests/support/sql_client.h"

namespace candor::bench {
namespace {

constexpr int kRows = 2000;
constexpr int kBatch = 100;

struct Arguments {
  int rounds = 5;
  double seconds = 1.0;
  int value_bytes = 128;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// User and system time of a process, in seconds; 0 if it is gone.
double cpu_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto end = text.rfind(')');
  if (end == std::string::npos) return 0;
  std::vector<std::string> fields;
  for (std::size_t at = end + 2; at < text.size();) {
    const std::size_t space = std::min(text.find(' ', at), text.size());
    fields.push_back(text.substr(at, space - at));
    at = space + 1;
  }
  return fields.size() < 13 ? 0
                            : static_cast<double>(std::stoll(fields[11]) + std::stoll(fields[12])) /
                                  static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Of this server's backends; they live as long as their connections.
double cpu_of_postgres(testing::SqlClient& admin) {
  (void)admin.run("select pid from pg_stat_activity");
  double sum = 0;
  for (const auto& row : admin.rows()) sum += cpu_of(row[0]);
  return sum;
}

struct Figure {
  double reads_per_second = 0, p50_us = 0, p99_us = 0;  // of a request, which is a batch where there is one
  double cpu_us = 0;                                    // of a read: cache server and database
};

class Bench {
 public:
  explicit Bench(const Arguments& arguments) : arguments_(arguments) {}

  int run() {
    if (!server_.start()) return 1;
    admin_ = std::make_unique<testing::SqlClient>(server_.url());
    admin_->value("create table item (id text primary key, body text)");
    admin_->value(fmt::format("insert into item select g, repeat('x', {}) from generate_series(0, {}) g",
                              arguments_.value_bytes, kRows - 1));
    admin_->value("analyze item");
    daemon_ = std::make_unique<testing::Candord>(
        "strong", "strong",
        fmt::format("[l2]\nurl = \"none\"\n[origins.shop]\nurl = \"{}\"\n[features.item]\norigin = \"shop\"\n"
                    "load = \"select body from item where id = :key\"\n"
                    "load_many = \"select id, body from item where id = any(:keys)\"\nttl = \"1h\"\n"
                    "watch = {{ table = \"item\", key = \"id\" }}\n",
                    server_.url()));
    if (!daemon_->start()) return 1;
    client_ = std::make_unique<testing::RespClient>(daemon_->port());
    direct_ = PQconnectdb(server_.url().c_str());
    PQclear(PQprepare(direct_, "one", "select body from item where id = $1", 1, nullptr));
    PQclear(PQprepare(direct_, "many", "select id, body from item where id = any($1)", 1, nullptr));
    warm();
    compare();
    PQfinish(direct_);
    return failed_ ? 1 : 0;
  }

 private:
  // Until strong reads are answered out of L1: the stream is joined, and every row is held with its stamp.
  void warm() {
    const double end = seconds_now() + 20;
    int held = 0;
    while (held < kRows && seconds_now() < end) {
      held = 0;
      for (int i = 0; i < kRows; ++i) {
        const auto answer = client_->call({"CANDOR.GET", fmt::format("item:{}", i), "STRONG"});
        if (answer && answer->find("tier") != nullptr && answer->find("tier")->text == "l1") ++held;
      }
    }
    fmt::print("{} of {} rows are answered out of L1 with the origin's word\n", held, kRows);
  }

  std::string id() { return std::to_string(random_.below(kRows)); }

  void strong_one() { check(client_->call({"CANDOR.GET", "item:" + id(), "STRONG"})); }
  void strong_batch() {
    std::string commands;
    for (int i = 0; i < kBatch; ++i) resp::write_command(commands, {"CANDOR.GET", "item:" + id(), "STRONG"});
    (void)client_->send(commands);
    for (int i = 0; i < kBatch; ++i) check(client_->receive());
  }
  void check(const std::optional<resp::RespValue>& answer) {
    const auto* const value = answer ? answer->find("value") : nullptr;
    if (value == nullptr || value->text.size() != static_cast<std::size_t>(arguments_.value_bytes))
      failed_ = true;
  }
  void direct(const char* statement, const std::string& parameter, int rows) {
    const char* const values[] = {parameter.c_str()};
    PGresult* const result = PQexecPrepared(direct_, statement, 1, values, nullptr, nullptr, 0);
    if (PQntuples(result) < rows) failed_ = true;
    PQclear(result);
  }
  void direct_one() { direct("one", id(), 1); }
  void direct_batch() {
    std::string ids = "{";
    for (int i = 0; i < kBatch; ++i) ids += (i == 0 ? "" : ",") + id();
    direct("many", ids + "}", 1);
  }

  Figure measure(int reads_each, const std::function<void()>& request) {
    for (int i = 0; i < 20; ++i) request();
    std::vector<double> took;
    const double cpu = cpu_of(std::to_string(daemon_->pid())) + cpu_of_postgres(*admin_);
    const double begin = seconds_now();
    double now = begin;
    while (now - begin < arguments_.seconds) {
      const double before = now;
      request();
      now = seconds_now();
      took.push_back((now - before) * 1e6);
    }
    const double spent = cpu_of(std::to_string(daemon_->pid())) + cpu_of_postgres(*admin_) - cpu;
    std::ranges::sort(took);
    const double reads = static_cast<double>(took.size()) * reads_each;
    return {reads / (now - begin), took[took.size() / 2], took[took.size() * 99 / 100], spent * 1e6 / reads};
  }

  void compare() {
    struct Contest {
      const char* name;
      int reads_each;
      std::function<void()> direct, strong;
    };
    const std::array<Contest, 2> contests = {{
        {"one at a time", 1, [this] { direct_one(); }, [this] { strong_one(); }},
        {"batches of 100", kBatch, [this] { direct_batch(); }, [this] { strong_batch(); }},
    }};
    fmt::print("{} rows of {} bytes, {} rounds of {} s each; direct = any() in batches, strong = pipelined\n",
               kRows, arguments_.value_bytes, arguments_.rounds, arguments_.seconds);
    for (const Contest& contest : contests) {
      std::vector<Figure> direct, strong;
      for (int round = 0; round < arguments_.rounds; ++round) {
        direct.push_back(measure(contest.reads_each, contest.direct));
        strong.push_back(measure(contest.reads_each, contest.strong));
      }
      show(contest.name, "direct", direct, direct);
      show(contest.name, "strong", strong, direct);
    }
  }

  // Medians over the rounds, and the ratio of the time for a read with its spread.
  static void show(const char* contest, const char* who, const std::vector<Figure>& figures,
                   const std::vector<Figure>& against) {
    const auto median = [&](double Figure::* field) {
      std::vector<double> values;
      for (const Figure& figure : figures) values.push_back(figure.*field);
      std::ranges::sort(values);
      return values[values.size() / 2];
    };
    std::vector<double> ratios;
    for (std::size_t i = 0; i < figures.size(); ++i)
      ratios.push_back(against[i].reads_per_second / figures[i].reads_per_second);
    std::ranges::sort(ratios);
    fmt::print(
        "{:16} {:8} {:9.0f} reads/s  p50 {:7.0f} us  p99 {:7.0f} us  cpu {:6.1f} us a read  time a read "
        "{:.2f} ({:.2f} … {:.2f}) of direct\n",
        contest, who, median(&Figure::reads_per_second), median(&Figure::p50_us), median(&Figure::p99_us),
        median(&Figure::cpu_us), ratios[ratios.size() / 2], ratios.front(), ratios.back());
  }

  Arguments arguments_;
  testing::PostgresServer server_{{"wal_level=logical", "autovacuum=off"}};
  std::unique_ptr<testing::SqlClient> admin_;
  std::unique_ptr<testing::Candord> daemon_;
  std::unique_ptr<testing::RespClient> client_;
  PGconn* direct_ = nullptr;
  Random random_{1};
  bool failed_ = false;
};

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) {
  candor::bench::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) arguments.rounds = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--seconds-each") == 0) arguments.seconds = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--value") == 0) arguments.value_bytes = std::atoi(argv[i + 1]);
  }
  return candor::bench::Bench(arguments).run();
}
