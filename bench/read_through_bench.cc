// The whole job, read-through in front of PostgreSQL: Candor against what a user would write instead,
// cache-aside in a Redis client (GET; on a miss SELECT, then SET … EX) against redis-server. Same machine,
// same trace, same bytes of cache memory.
//
//   build/release/bench/read_through_bench [--trace FILE --format NAME] [--requests N] [--threads T]
//   [--memory-mib M] [--rounds R]
//
// Contestants, in alternation, each round from an empty cache:
//   aside    T threads with a RESP connection to redis-server and a PostgreSQL connection each
//   daemon   T threads with a RESP connection to candord; candord has the PostgreSQL connections
//   library  T threads that call candor::Cache::get in their own process
// CPU is the sum of the client process, the cache server and every PostgreSQL process. Loads are counted by
// PostgreSQL itself.
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>
#include <vector>

#include "app/trace_reader.h"
#include "base/counters.h"
#include "base/random.h"
#include "candor/candor.h"
#include "tests/support/process.h"

namespace {

using candor::LatencyHistogram;
using Clock = std::chrono::steady_clock;
namespace testing = candor::testing;

constexpr int kBodyBytes = 128;

struct Options {
  std::string trace;
  std::string format = "be32";
  std::size_t requests = 600'000;
  unsigned threads = 8;
  int memory_mib = 10;  // of it 1 MiB is Candor's embedded L2, the least it takes
  int rounds = 3;
  std::string candord = "build/release/candord";
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "read_through_bench: %s\n", what.c_str());
  std::exit(2);
}

// ---- the trace ----

candor::app::NumberedTrace requests_of(const Options& options) {
  candor::app::NumberedTrace trace;
  if (!options.trace.empty()) {
    auto format = candor::app::parse_trace_format(options.format);
    if (!format) die(format.error().message);
    auto read = candor::app::read_numbered_trace(options.trace, *format);
    if (!read) die(read.error().message);
    trace = std::move(*read);
    trace.keys.resize(std::min(trace.keys.size(), options.requests));
    return trace;
  }
  // Without a trace: Zipf, exponent 0.9, over 50,000 keys (by inversion of the cumulative sum).
  constexpr std::uint32_t kKeys = 50'000;
  std::vector<double> cumulative(kKeys);
  double sum = 0;
  for (std::uint32_t i = 0; i < kKeys; ++i) cumulative[i] = sum += std::pow(i + 1.0, -0.9);
  candor::Random random(1);
  trace.unique = kKeys;
  for (std::size_t i = 0; i < options.requests; ++i) {
    const auto at = std::ranges::lower_bound(cumulative, random.unit() * sum) - cumulative.begin();
    trace.keys.push_back(static_cast<std::uint32_t>(at));
  }
  return trace;
}

// ---- PostgreSQL ----

struct Database {
  testing::PostgresServer server;
  PGconn* admin = nullptr;

  void start(std::uint32_t rows) {
    if (!server.start()) die("PostgreSQL does not start");
    admin = PQconnectdb(server.url().c_str());
    if (PQstatus(admin) != CONNECTION_OK) die(PQerrorMessage(admin));
    run("create table item(id text primary key, body text not null)");
    run("insert into item select n::text, rpad('body of ' || n, " + std::to_string(kBodyBytes) +
        ", '.') from generate_series(0, " + std::to_string(rows) + ") n");
    run("vacuum analyze item");
  }
  void run(const std::string& sql) const {
    PGresult* result = PQexec(admin, sql.c_str());
    const auto status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) die(PQerrorMessage(admin));
    PQclear(result);
  }
  [[nodiscard]] std::string text(const std::string& sql) const {
    PGresult* result = PQexec(admin, sql.c_str());
    if (PQresultStatus(result) != PGRES_TUPLES_OK) die(PQerrorMessage(admin));
    std::string value = PQgetvalue(result, 0, 0);
    PQclear(result);
    return value;
  }
  // Rows that PostgreSQL fetched from `item` by its index: loads of keys, however they were batched.
  [[nodiscard]] double loads() const {
    run("select pg_stat_force_next_flush()");
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // backends that are ending
    return std::stod(text("select idx_tup_fetch from pg_stat_user_tables where relname = 'item'"));
  }
  [[nodiscard]] pid_t postmaster() const {
    const auto file = text("show data_directory") + "/postmaster.pid";
    std::ifstream in(file);
    pid_t pid = 0;
    in >> pid;
    return pid;
  }
};

// ---- CPU ----

double ticks_of(const std::string& stat, pid_t* parent) {
  std::ifstream in(stat);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto at = text.rfind(')');
  if (at == std::string::npos) return 0;
  int ppid = 0;
  unsigned long long user = 0, system = 0, child_user = 0, child_system = 0;
  std::sscanf(text.c_str() + at + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &ppid,
              &user, &system, &child_user, &child_system);
  *parent = ppid;
  return static_cast<double>(user + system + child_user + child_system) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

// User and system seconds of a process and its children, those that have ended included.
double cpu_of_family(pid_t root) {
  double sum = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (!std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) continue;
    pid_t parent = 0;
    const double cpu = ticks_of(entry.path() / "stat", &parent);
    if (std::stoi(name) == root || parent == root) sum += cpu;
  }
  return sum;
}

double own_cpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// ---- a small blocking RESP client ----

class RespClient {
 public:
  explicit RespClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~RespClient() { close(fd_); }

  // The value of a bulk reply; false for null.
  bool get(const std::string& key, std::string* value) {
    send("*2\r\n$3\r\nGET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n");
    const std::string header = line();
    if (header == "$-1") return false;
    if (header[0] != '$') die("reply to GET: " + header);
    const auto bytes = static_cast<std::size_t>(std::stoul(header.substr(1)));
    while (buffer_.size() < bytes + 2) receive();
    value->assign(buffer_, 0, bytes);
    buffer_.erase(0, bytes + 2);
    return true;
  }
  void set_for(const std::string& key, const std::string& value, int seconds) {
    const std::string life = std::to_string(seconds);
    send("*5\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$" +
         std::to_string(value.size()) + "\r\n" + value + "\r\n$2\r\nEX\r\n$" + std::to_string(life.size()) +
         "\r\n" + life + "\r\n");
    if (line() != "+OK") die("SET failed");
  }

 private:
  void send(const std::string& bytes) {
    if (write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) die("short write");
  }
  void receive() {
    char chunk[4096];
    const ssize_t n = read(fd_, chunk, sizeof chunk);
    if (n <= 0) die("the server closed the connection");
    buffer_.append(chunk, static_cast<std::size_t>(n));
  }
  std::string line() {
    std::size_t at;
    while ((at = buffer_.find("\r\n")) == std::string::npos) receive();
    std::string out = buffer_.substr(0, at);
    buffer_.erase(0, at + 2);
    return out;
  }
  int fd_;
  std::string buffer_;
};

// ---- contestants ----

struct Measured {
  double seconds = 0;
  double cpu = 0;
  double loads = 0;
  double p50_us = 0;
  double p99_us = 0;
};

// Splits the trace over the threads and times every read. `make` gives each thread its reader.
template <class Make>
void replay(const candor::app::NumberedTrace& trace, const Options& options, LatencyHistogram& latency,
            Make make) {
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < options.threads; ++t) {
    threads.emplace_back([&, t] {
      auto read = make();
      std::string expected;
      for (std::size_t i = t; i < trace.keys.size(); i += options.threads) {
        const std::string id = std::to_string(trace.keys[i]);
        const auto began = Clock::now();
        const std::string value = read(id);
        latency.record(static_cast<std::uint64_t>((Clock::now() - began).count()));
        if (value.size() != kBodyBytes || value.compare(0, 8 + id.size(), "body of " + id) != 0)
          die("wrong value for " + id);
      }
    });
  }
}

template <class Make>
Measured measure(const candor::app::NumberedTrace& trace, const Options& options, const Database& database,
                 pid_t server, Make make) {
  LatencyHistogram latency;
  const pid_t postmaster = database.postmaster();
  const double cpu = own_cpu() + cpu_of_family(postmaster) + (server > 0 ? cpu_of_family(server) : 0);
  const auto began = Clock::now();
  replay(trace, options, latency, make);
  Measured m;
  m.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  m.cpu = own_cpu() + cpu_of_family(postmaster) + (server > 0 ? cpu_of_family(server) : 0) - cpu;
  const auto snapshot = latency.snapshot();
  m.p50_us = static_cast<double>(snapshot.quantile_ns(0.5)) / 1000.0;
  m.p99_us = static_cast<double>(snapshot.quantile_ns(0.99)) / 1000.0;
  return m;
}

Measured run_aside(const candor::app::NumberedTrace& trace, const Options& options,
                   const Database& database) {
  testing::RedisServer redis(
      {"--maxmemory", std::to_string(options.memory_mib) + "mb", "--maxmemory-policy", "allkeys-lru"});
  if (!redis.start()) die("redis-server does not start");
  const std::string url = database.server.url();
  return measure(trace, options, database, redis.process().pid(), [&] {
    auto client = std::make_shared<RespClient>(redis.port());
    std::shared_ptr<PGconn> connection(PQconnectdb(url.c_str()), PQfinish);
    PQclear(PQprepare(connection.get(), "load", "select body from item where id = $1", 1, nullptr));
    return [client, connection](const std::string& id) {
      std::string value;
      if (client->get("item:" + id, &value)) return value;
      const char* parameters[] = {id.c_str()};
      PGresult* result = PQexecPrepared(connection.get(), "load", 1, parameters, nullptr, nullptr, 0);
      if (PQntuples(result) != 1) die("no row for " + id);
      value.assign(PQgetvalue(result, 0, 0), static_cast<std::size_t>(PQgetlength(result, 0, 0)));
      PQclear(result);
      client->set_for("item:" + id, value, 3600);
      return value;
    };
  });
}

std::string write_config(const testing::TempDir& folder, const Options& options, const Database& database,
                         int resp, int http) {
  const std::string path = folder.path() + "/candor.toml";
  std::ofstream out(path);
  out << "[node]\ndata_dir = \"" << folder.path()
      << "/data\"\n[resp]\nthreads = 1\nlisten = \"127.0.0.1:" << resp
      << "\"\n[http]\nlisten = \"127.0.0.1:" << http << "\"\n[l1]\nmemory = \"" << options.memory_mib - 1
      << "MiB\"\n[l2]\nurl = \"memory:\"\nmemory = \"1MiB\"\n[origins.shop]\nurl = \""
      << database.server.url()
      << "\"\nmax_concurrency = 8\n[features.item]\norigin = \"shop\"\nload = \"select body from item where "
         "id = :key\"\n"
      << "load_many = \"select id, body from item where id = any(:keys)\"\nttl = \"1h\"\n";
  return path;
}

Measured run_daemon(const candor::app::NumberedTrace& trace, const Options& options,
                    const Database& database) {
  const testing::TempDir folder;
  const int resp = testing::free_port();
  const auto config = write_config(folder, options, database, resp, testing::free_port());
  testing::Process candord({{options.candord, "--config", config}, folder.path() + "/log", "", ""});
  if (!testing::wait_for_port(static_cast<std::uint16_t>(resp))) {
    std::ifstream log(folder.path() + "/log");
    die("candord does not start: " + std::string((std::istreambuf_iterator<char>(log)), {}));
  }
  return measure(trace, options, database, candord.pid(), [&] {
    auto client = std::make_shared<RespClient>(resp);
    return [client](const std::string& id) {
      std::string value;
      if (!client->get("item:" + id, &value)) die("no value for " + id);
      return value;
    };
  });
}

Measured run_library(const candor::app::NumberedTrace& trace, const Options& options,
                     const Database& database) {
  const testing::TempDir folder;
  auto cache = candor::Cache::open(
      write_config(folder, options, database, testing::free_port(), testing::free_port()));
  if (!cache) die(cache.error().message);
  return measure(trace, options, database, 0, [&] {
    return [&cache](const std::string& id) {
      auto reading = cache->get("item:" + id);
      if (!reading) die(reading.error().message);
      return reading->value.value_or("");
    };
  });
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--trace")
      options.trace = argv[i + 1];
    else if (flag == "--format")
      options.format = argv[i + 1];
    else if (flag == "--requests")
      options.requests = std::strtoull(argv[i + 1], nullptr, 10);
    else if (flag == "--threads")
      options.threads = static_cast<unsigned>(std::atoi(argv[i + 1]));
    else if (flag == "--memory-mib")
      options.memory_mib = std::atoi(argv[i + 1]);
    else if (flag == "--rounds")
      options.rounds = std::atoi(argv[i + 1]);
    else if (flag == "--candord")
      options.candord = argv[i + 1];
    else
      die("unknown option " + flag);
  }
  const auto trace = requests_of(options);
  Database database;
  database.start(trace.unique);
  std::printf(
      "%zu reads of %u distinct rows of %d bytes (%s), %u threads, %d MiB of cache, %d rounds in "
      "alternation\n\n",
      trace.keys.size(), trace.unique, kBodyBytes, options.trace.empty() ? "zipf 0.9" : options.trace.c_str(),
      options.threads, options.memory_mib, options.rounds);

  using Run = Measured (*)(const candor::app::NumberedTrace&, const Options&, const Database&);
  const std::vector<std::pair<std::string, Run>> contestants = {
      {"cache-aside, redis", run_aside}, {"candor daemon", run_daemon}, {"candor library", run_library}};
  std::map<std::string, std::vector<Measured>> results;
  for (int round = 0; round < options.rounds; ++round) {
    for (const auto& [name, run] : contestants) {
      // Backends hand in their counts at the latest when their connection ends, so both looks are outside the
      // run.
      const double before = database.loads();
      Measured measured = run(trace, options, database);
      measured.loads = database.loads() - before;
      results[name].push_back(measured);
    }
  }
  const auto of = [&](const std::string& name, auto member) {
    std::vector<double> values;
    for (const auto& m : results[name]) values.push_back(member(m));
    return median(values);
  };
  const auto per_cpu = [&](const Measured& m) { return static_cast<double>(trace.keys.size()) / m.cpu; };
  const auto loads = [](const Measured& m) { return m.loads; };
  const auto p50 = [](const Measured& m) { return m.p50_us; };
  const auto p99 = [](const Measured& m) { return m.p99_us; };
  const auto per_second = [&](const Measured& m) {
    return static_cast<double>(trace.keys.size()) / m.seconds;
  };
  const std::string base = contestants[0].first;
  std::printf(
      "| contestant | reads/s | reads per CPU second | × | origin loads | × | p50 µs | p99 µs | × |\n"
      "|---|---|---|---|---|---|---|---|---|\n");
  for (const auto& [name, _] : contestants) {
    std::printf("| %s | %.0f | %.0f | %.2f | %.0f | %.2f | %.0f | %.0f | %.2f |\n", name.c_str(),
                of(name, per_second), of(name, per_cpu), of(name, per_cpu) / of(base, per_cpu),
                of(name, loads), of(name, loads) / of(base, loads), of(name, p50), of(name, p99),
                of(name, p99) / of(base, p99));
  }
  PQfinish(database.admin);
  return 0;
}
