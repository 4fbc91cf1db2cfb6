// The whole job, read-through in front of PostgreSQL: Candor against what a user would write instead,
// cache-aside in a Redis client (GET; on a miss SELECT, then SET … EX) against redis-server. Same machine,
// same trace, same bytes of cache memory.
//
//   build/release/bench/read_through_bench [--trace FILE --format NAME] [--requests N] [--threads T]
//   [--memory-mib M] [--rounds R] [--batch N] [--rate R] [--only NAME]
//
// Contestants, in alternation, each round from an empty cache:
//   aside    T threads with a RESP connection to redis-server and a PostgreSQL connection each
//   daemon   T threads with a RESP connection to candord; candord has the PostgreSQL connections
//   library  T threads that call candor::Cache::get in their own process
// The RESP client is the same for both, and does as little as a blocking client can: one write and one read
// for each request.
//
// --batch N: a web request wants N rows. Cache-aside sends MGET, selects all misses with one `= any`, and
// stores them in one pipeline; the daemon gets MGET; the library starts all N reads and waits.
// --rate R: not as fast as possible but R requests a second together, on a schedule; latency counts from the
// moment that the schedule names. Contestants are then compared at equal load.
//
// CPU is the sum of the client process, the cache server and every PostgreSQL process. Loads are counted by
// PostgreSQL itself.
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <span>
#include <string>
#include <string_view>
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
  std::size_t batch = 1;
  double rate = 0;   // requests a second of all threads together; 0: as fast as possible
  std::string only;  // of the contestants; empty: all
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

using Ids = std::span<const std::string>;
// Bodies by position; empty: absent.
using Bodies = std::vector<std::string>;

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
  RespClient(const RespClient&) = delete;
  RespClient& operator=(const RespClient&) = delete;

  // GET for one, MGET for several.
  void get(Ids ids, Bodies& bodies) {
    begin(1 + ids.size());
    add(ids.size() == 1 ? "GET" : "MGET");
    for (const std::string& id : ids) add("item:", id);
    send();
    if (ids.size() > 1 && line() != "*" + std::to_string(ids.size())) die("the reply to MGET is no array");
    for (std::string& body : bodies) read_bulk(body);
  }
  // Several SETs leave together; the replies are awaited.
  void set_for(Ids ids, const Bodies& bodies, const std::vector<std::size_t>& which, int seconds) {
    for (const std::size_t i : which) {
      begin(5);
      add("SET");
      add("item:", ids[i]);
      add(bodies[i]);
      add("EX");
      add(std::to_string(seconds));
    }
    send();
    for (std::size_t i = 0; i < which.size(); ++i)
      if (line() != "+OK") die("SET failed");
  }

 private:
  void begin(std::size_t words) {
    out_ += '*';
    out_ += std::to_string(words);
    out_ += "\r\n";
  }
  void add(std::string_view word, std::string_view rest = {}) {
    out_ += '$';
    out_ += std::to_string(word.size() + rest.size());
    out_ += "\r\n";
    out_ += word;
    out_ += rest;
    out_ += "\r\n";
  }
  void send() {
    if (write(fd_, out_.data(), out_.size()) != static_cast<ssize_t>(out_.size())) die("short write");
    out_.clear();
  }
  void receive() {
    if (taken_ == in_.size()) {
      in_.clear();
      taken_ = 0;
    }
    const std::size_t had = in_.size();
    in_.resize(had + kChunk);
    const ssize_t n = read(fd_, in_.data() + had, kChunk);
    if (n <= 0) die("the server closed the connection");
    in_.resize(had + static_cast<std::size_t>(n));
  }
  std::string_view line() {
    std::size_t at;
    while ((at = in_.find("\r\n", taken_)) == std::string::npos) receive();
    const std::string_view out = std::string_view(in_).substr(taken_, at - taken_);
    taken_ = at + 2;
    return out;
  }
  void read_bulk(std::string& body) {
    const std::string header(line());
    body.clear();
    if (header == "$-1") return;
    if (header[0] != '$') die("not a bulk reply: " + header);
    const auto bytes = static_cast<std::size_t>(std::stoul(header.substr(1)));
    while (in_.size() - taken_ < bytes + 2) receive();
    body.assign(in_, taken_, bytes);
    taken_ += bytes + 2;
  }

  static constexpr std::size_t kChunk = 16384;
  int fd_;
  std::string out_;
  std::string in_;
  std::size_t taken_ = 0;  // of in_
};

// ---- contestants ----

struct Measured {
  double seconds = 0;
  double client_cpu = 0, server_cpu = 0, database_cpu = 0;
  double loads = 0;
  double p50_us = 0;
  double p99_us = 0;
  [[nodiscard]] double cpu() const { return client_cpu + server_cpu + database_cpu; }
};

void check(Ids ids, const Bodies& bodies) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (bodies[i].size() != kBodyBytes || bodies[i].compare(0, 8 + ids[i].size(), "body of " + ids[i]) != 0)
      die("wrong value for " + ids[i]);
  }
}

// One thread's share of the trace, `batch` reads in each request.
template <class Read>
void replay_share(const candor::app::NumberedTrace& trace, const Options& options, unsigned thread,
                  LatencyHistogram& latency, Read read) {
  (void)prctl(PR_SET_TIMERSLACK, 1);  // of --rate: sleep to the microsecond, not to the next 50
  const auto interval = options.rate > 0 ? std::chrono::duration<double>(options.threads / options.rate)
                                         : std::chrono::duration<double>(0);
  auto due = Clock::now() + std::chrono::duration_cast<Clock::duration>(interval * thread / options.threads);
  std::vector<std::string> ids;
  Bodies bodies;
  for (std::size_t i = thread; i < trace.keys.size();) {
    ids.clear();
    for (; ids.size() < options.batch && i < trace.keys.size(); i += options.threads)
      ids.push_back(std::to_string(trace.keys[i]));
    bodies.resize(ids.size());
    if (options.rate > 0) {
      std::this_thread::sleep_until(due);
    } else {
      due = Clock::now();
    }
    read(Ids(ids), bodies);
    latency.record(static_cast<std::uint64_t>((Clock::now() - due).count()));
    due += std::chrono::duration_cast<Clock::duration>(interval);
    check(ids, bodies);
  }
}

// Splits the trace over the threads and times every request. `make` gives each thread its reader.
template <class Make>
void replay(const candor::app::NumberedTrace& trace, const Options& options, LatencyHistogram& latency,
            Make make) {
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < options.threads; ++t)
    threads.emplace_back([&, t] { replay_share(trace, options, t, latency, make()); });
}

template <class Make>
Measured measure(const candor::app::NumberedTrace& trace, const Options& options, const Database& database,
                 pid_t server, Make make) {
  LatencyHistogram latency;
  const pid_t postmaster = database.postmaster();
  Measured m;
  m.client_cpu = -own_cpu();
  m.database_cpu = -cpu_of_family(postmaster);
  m.server_cpu = server > 0 ? -cpu_of_family(server) : 0;
  const auto began = Clock::now();
  replay(trace, options, latency, make);
  m.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  m.client_cpu += own_cpu();
  m.database_cpu += cpu_of_family(postmaster);
  if (server > 0) m.server_cpu += cpu_of_family(server);
  const auto snapshot = latency.snapshot();
  m.p50_us = static_cast<double>(snapshot.quantile_ns(0.5)) / 1000.0;
  m.p99_us = static_cast<double>(snapshot.quantile_ns(0.99)) / 1000.0;
  return m;
}

// What cache-aside does on a miss: the rows from PostgreSQL, one statement for all of a request.
class AsideLoader {
 public:
  explicit AsideLoader(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    prepare("one", "select body from item where id = $1");
    prepare("many", "select id, body from item where id = any($1)");
  }
  ~AsideLoader() { PQfinish(connection_); }
  AsideLoader(const AsideLoader&) = delete;
  AsideLoader& operator=(const AsideLoader&) = delete;

  void load(Ids ids, Bodies& bodies, const std::vector<std::size_t>& which) {
    if (which.size() == 1) return load_one(ids[which[0]], bodies[which[0]]);
    std::string array = "{";
    for (const std::size_t i : which) array += (array.size() > 1 ? "," : "") + ids[i];
    array += "}";
    PGresult* rows = run("many", array);
    std::map<std::string_view, int> row_of;
    for (int row = 0; row < PQntuples(rows); ++row) row_of[PQgetvalue(rows, row, 0)] = row;
    for (const std::size_t i : which) take(rows, row_of.at(ids[i]), 1, bodies[i]);
    PQclear(rows);
  }

 private:
  void prepare(const char* name, const char* sql) { PQclear(PQprepare(connection_, name, sql, 1, nullptr)); }
  [[nodiscard]] PGresult* run(const char* name, const std::string& parameter) {
    const char* parameters[] = {parameter.c_str()};
    PGresult* result = PQexecPrepared(connection_, name, 1, parameters, nullptr, nullptr, 0);
    if (PQntuples(result) < 1) die("no row for " + parameter);
    return result;
  }
  static void take(const PGresult* rows, int row, int column, std::string& body) {
    body.assign(PQgetvalue(rows, row, column), static_cast<std::size_t>(PQgetlength(rows, row, column)));
  }
  void load_one(const std::string& id, std::string& body) {
    PGresult* rows = run("one", id);
    take(rows, 0, 0, body);
    PQclear(rows);
  }
  PGconn* connection_;
};

Measured run_aside(const candor::app::NumberedTrace& trace, const Options& options,
                   const Database& database) {
  testing::RedisServer redis(
      {"--maxmemory", std::to_string(options.memory_mib) + "mb", "--maxmemory-policy", "allkeys-lru"});
  if (!redis.start()) die("redis-server does not start");
  const std::string url = database.server.url();
  return measure(trace, options, database, redis.process().pid(), [&] {
    auto client = std::make_shared<RespClient>(redis.port());
    auto loader = std::make_shared<AsideLoader>(url);
    return [client, loader, misses = std::vector<std::size_t>()](Ids ids, Bodies& bodies) mutable {
      client->get(ids, bodies);
      misses.clear();
      for (std::size_t i = 0; i < ids.size(); ++i)
        if (bodies[i].empty()) misses.push_back(i);
      if (misses.empty()) return;
      loader->load(ids, bodies, misses);
      client->set_for(ids, bodies, misses, 3600);
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
    return [client](Ids ids, Bodies& bodies) { client->get(ids, bodies); };
  });
}

// All reads of a request under way at once; hits answer on the spot.
void read_together(candor::Cache& cache, Ids ids, Bodies& bodies) {
  std::latch left(static_cast<std::ptrdiff_t>(ids.size()));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    cache.get("item:" + ids[i], [&left, &body = bodies[i]](candor::Result<candor::Reading> reading) {
      if (!reading) die(reading.error().message);
      body = reading->value.value_or("");
      left.count_down();
    });
  }
  left.wait();
}

Measured run_library(const candor::app::NumberedTrace& trace, const Options& options,
                     const Database& database) {
  const testing::TempDir folder;
  auto cache = candor::Cache::open(
      write_config(folder, options, database, testing::free_port(), testing::free_port()));
  if (!cache) die(cache.error().message);
  return measure(trace, options, database, 0, [&] {
    return [&cache](Ids ids, Bodies& bodies) {
      if (ids.size() > 1) return read_together(*cache, ids, bodies);
      auto reading = cache->get("item:" + ids[0]);
      if (!reading) die(reading.error().message);
      bodies[0] = reading->value.value_or("");
    };
  });
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

using Trace = candor::app::NumberedTrace;
using Run = Measured (*)(const Trace&, const Options&, const Database&);
struct Contestant {
  std::string name, title;
  Run run;
};
using Results = std::map<std::string, std::vector<Measured>>;

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--trace")
      options.trace = value;
    else if (flag == "--format")
      options.format = value;
    else if (flag == "--requests")
      options.requests = std::strtoull(value, nullptr, 10);
    else if (flag == "--threads")
      options.threads = static_cast<unsigned>(std::atoi(value));
    else if (flag == "--memory-mib")
      options.memory_mib = std::atoi(value);
    else if (flag == "--rounds")
      options.rounds = std::atoi(value);
    else if (flag == "--batch")
      options.batch = std::max(1UL, std::strtoul(value, nullptr, 10));
    else if (flag == "--rate")
      options.rate = std::atof(value);
    else if (flag == "--only")
      options.only = value;
    else if (flag == "--candord")
      options.candord = value;
    else
      die("unknown option " + flag);
  }
  return options;
}

void print_results(const Trace& trace, const std::vector<Contestant>& contestants, Results& results) {
  const auto reads = static_cast<double>(trace.keys.size());
  const auto of = [&](const Contestant& c, auto member) {
    std::vector<double> values;
    for (const auto& m : results[c.name]) values.push_back(member(m));
    return median(values);
  };
  const auto per_cpu = [&](const Measured& m) { return reads / m.cpu(); };
  const auto per_second = [&](const Measured& m) { return reads / m.seconds; };
  const auto loads = [](const Measured& m) { return m.loads; };
  const auto p50 = [](const Measured& m) { return m.p50_us; };
  const auto p99 = [](const Measured& m) { return m.p99_us; };
  const auto client = [&](const Measured& m) { return m.client_cpu * 1e6 / reads; };
  const auto server = [&](const Measured& m) { return m.server_cpu * 1e6 / reads; };
  const auto database = [&](const Measured& m) { return m.database_cpu * 1e6 / reads; };
  const Contestant& base = contestants[0];
  std::printf(
      "| contestant | reads/s | reads per CPU second | × | CPU µs a read: client + cache server + PostgreSQL "
      "| "
      "origin loads | × | p50 µs | p99 µs | × |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Contestant& c : contestants) {
    std::printf("| %s | %.0f | %.0f | %.2f | %.1f + %.1f + %.1f | %.0f | %.2f | %.0f | %.0f | %.2f |\n",
                c.title.c_str(), of(c, per_second), of(c, per_cpu), of(c, per_cpu) / of(base, per_cpu),
                of(c, client), of(c, server), of(c, database), of(c, loads), of(c, loads) / of(base, loads),
                of(c, p50), of(c, p99), of(c, p99) / of(base, p99));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const Trace trace = requests_of(options);
  std::vector<Contestant> contestants = {{"aside", "cache-aside, redis", run_aside},
                                         {"daemon", "candor daemon", run_daemon},
                                         {"library", "candor library", run_library}};
  if (!options.only.empty())
    std::erase_if(contestants, [&](const Contestant& c) { return c.name != options.only; });
  if (contestants.empty()) die("--only takes aside, daemon or library");
  Database database;
  database.start(trace.unique);
  std::printf(
      "%zu reads of %u distinct rows of %d bytes (%s), %zu in a request, %u threads, %d MiB of cache, %d "
      "rounds in alternation%s\n\n",
      trace.keys.size(), trace.unique, kBodyBytes, options.trace.empty() ? "zipf 0.9" : options.trace.c_str(),
      options.batch, options.threads, options.memory_mib, options.rounds,
      options.rate > 0 ? (", " + std::to_string(static_cast<int>(options.rate)) + " requests/s").c_str()
                       : "");
  Results results;
  for (int round = 0; round < options.rounds; ++round) {
    for (const Contestant& contestant : contestants) {
      // Backends hand in their counts at the latest when their connection ends, so both looks are outside the
      // run.
      const double before = database.loads();
      Measured measured = contestant.run(trace, options, database);
      measured.loads = database.loads() - before;
      results[contestant.name].push_back(measured);
    }
  }
  print_results(trace, contestants, results);
  PQfinish(database.admin);
  return 0;
}
