// The server against what a user could pick instead: redis-server and memcached, in alternation, in one run.
//
// For each pipeline depth and each round every server answers uniform GETs of existing keys over the same
// number of connections; the figure is the server's own CPU time per operation (user + system, from
// /proc/PID/stat), which is steadier than operations per second on a shared machine. A last part sends a
// fixed load, open loop, and compares latencies.
//
//   build/release/bench/server_bench [--keys N] [--seconds S] [--rounds R] [--connections C] [--candord PATH]
//   [--threads T] [--rate R] [--scaling 1]
//
// --scaling 1: instead of all that, one data-plane thread of candord against two, as fast as possible and at
// equal load: CPU per operation and context switches. The load generator then repeats batches that it made
// beforehand, so that it costs as little as it can: on two cores it takes one of them.
//
// It starts every server itself, on loopback ports that the kernel chose, and ends them by pid.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/counters.h"
#include "base/random.h"

namespace {

using candor::LatencyHistogram;
using candor::Random;
using Clock = std::chrono::steady_clock;

constexpr int kKeyBytes = 16;
constexpr int kValueBytes = 64;

struct Options {
  std::uint64_t keys = 3'000'000;
  double seconds = 3;
  int rounds = 5;
  int connections = 50;
  int threads = 1;
  int latency_rate = 20'000;
  bool scaling = false;
  std::string candord = "build/release/candord";
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "server_bench: %s\n", what.c_str());
  std::exit(2);
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) die("no free port");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

struct Server {
  std::string name;
  bool memcached = false;
  std::vector<std::string> command;
  int port = 0;
  pid_t pid = 0;

  void start() {
    pid = fork();
    if (pid == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 0);
      dup2(null, 1);
      if (std::getenv("SERVER_BENCH_VERBOSE") == nullptr) dup2(null, 2);
      std::vector<char*> argv;
      for (auto& part : command) argv.push_back(part.data());
      argv.push_back(nullptr);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    for (int i = 0; i < 500; ++i) {
      const int fd = connect_to(port);
      if (fd >= 0) {
        close(fd);
        return;
      }
      if (waitpid(pid, nullptr, WNOHANG) == pid) die(name + " did not start: " + command[0]);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    die(name + " does not answer on its port");
  }
  void stop() {
    if (pid > 0) {
      kill(pid, SIGTERM);
      waitpid(pid, nullptr, 0);
    }
    pid = 0;
  }
  // User plus system time of the whole process, in seconds.
  [[nodiscard]] double cpu_seconds() const {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto close_paren = text.rfind(')');
    unsigned long long user = 0;
    unsigned long long system = 0;
    std::sscanf(text.c_str() + close_paren + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                &user, &system);
    return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  // Voluntary switches of all threads: how often one of them slept.
  [[nodiscard]] double sleeps() const {
    double sum = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      std::ifstream in(task.path() / "status");
      for (std::string line; std::getline(in, line);)
        if (line.starts_with("voluntary_ctxt_switches:")) sum += std::stod(line.substr(24));
    }
    return sum;
  }
  [[nodiscard]] double resident_mib() const {
    std::ifstream in("/proc/" + std::to_string(pid) + "/statm");
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    in >> size >> resident;
    return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1048576.0;
  }

  // "$64\r\n" value "\r\n", or "VALUE key 0 64\r\n" value "\r\nEND\r\n".
  [[nodiscard]] std::size_t reply_bytes() const {
    return memcached ? 6 + kKeyBytes + 5 + 2 + kValueBytes + 2 + 5 : 5 + kValueBytes + 2;
  }
  static std::string key(std::uint64_t n) {
    char text[32];
    std::snprintf(text, sizeof text, "key:%012llu", static_cast<unsigned long long>(n));
    return std::string(text, kKeyBytes);
  }
  void append_get(std::string& out, std::uint64_t n) const {
    if (memcached) {
      out += "get ";
      out += key(n);
      out += "\r\n";
    } else {
      out += "*2\r\n$3\r\nGET\r\n$16\r\n";
      out += key(n);
      out += "\r\n";
    }
  }
  void append_set(std::string& out, std::uint64_t n) const {
    std::string value = key(n);
    value.resize(kValueBytes, 'v');
    if (memcached) {
      out += "set " + key(n) + " 0 0 64\r\n" + value + "\r\n";
    } else {
      out += "*3\r\n$3\r\nSET\r\n$16\r\n" + key(n) + "\r\n$64\r\n" + value + "\r\n";
    }
  }
};

void write_all(int fd, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n <= 0) die("the server closed the connection");
    done += static_cast<std::size_t>(n);
  }
}

void read_exactly(int fd, std::size_t count, std::string* keep = nullptr) {
  std::vector<char> buffer(1 << 16);
  while (count > 0) {
    const ssize_t n = read(fd, buffer.data(), std::min(count, buffer.size()));
    if (n <= 0) die("the server closed the connection");
    if (keep != nullptr) keep->append(buffer.data(), static_cast<std::size_t>(n));
    count -= static_cast<std::size_t>(n);
  }
}

void fill(const Server& server, std::uint64_t keys) {
  const int fd = connect_to(server.port);
  const std::size_t ok = server.memcached ? 8 : 5;  // "STORED\r\n", "+OK\r\n"
  constexpr std::uint64_t kBatch = 500;
  for (std::uint64_t n = 0; n < keys; n += kBatch) {
    std::string out;
    const std::uint64_t until = std::min(keys, n + kBatch);
    for (std::uint64_t k = n; k < until; ++k) server.append_set(out, k);
    write_all(fd, out);
    read_exactly(fd, ok * (until - n));
  }
  // Prove that it holds what it said it stored.
  for (std::uint64_t n = 0; n < keys; n += std::max<std::uint64_t>(1, keys / 100)) {
    std::string out;
    std::string got;
    server.append_get(out, n);
    write_all(fd, out);
    read_exactly(fd, server.reply_bytes(), &got);
    if (got.find(Server::key(n)) == std::string::npos) die(server.name + " lost " + Server::key(n));
  }
  close(fd);
}

struct Measured {
  double ops = 0;
  double seconds = 0;
  double server_cpu = 0;
  double sleeps = 0;
  LatencyHistogram::Snapshot latency;
  [[nodiscard]] double cpu_ns_per_op() const { return server_cpu * 1e9 / ops; }
  [[nodiscard]] double ops_per_second() const { return ops / seconds; }
  [[nodiscard]] double sleeps_per_1000() const { return sleeps * 1000 / ops; }
};

// Requests of `pipeline` random keys, made when they are sent or beforehand.
class Batches {
 public:
  Batches(const Server& server, const Options& options, int pipeline)
      : server_(server), keys_(options.keys), pipeline_(pipeline) {
    if (!options.scaling) return;
    constexpr std::size_t kMade = 1024;
    for (std::size_t i = 0; i < kMade; ++i) append(made_.emplace_back());
  }
  [[nodiscard]] const std::string& next() {
    if (!made_.empty()) return made_[random_.below(made_.size())];
    fresh_.clear();
    append(fresh_);
    return fresh_;
  }

 private:
  void append(std::string& out) {
    for (int i = 0; i < pipeline_; ++i) server_.append_get(out, random_.below(keys_));
  }
  const Server& server_;
  std::uint64_t keys_;
  int pipeline_;
  Random random_{20240611};
  std::string fresh_;
  std::vector<std::string> made_;
};

// Closed loop: each connection has `pipeline` requests out and sends the next batch when all are answered.
// With `rate` > 0 open loop: batches leave on a schedule, and latency counts from the scheduled moment (no
// coordinated omission).
// tidy: allow(one event loop whose steps share its state)
Measured load(const Server& server, const Options& options, int pipeline, double seconds, int rate) {
  struct Connection {
    int fd = -1;
    std::size_t awaited = 0;
    Clock::time_point due;
  };
  std::vector<Connection> connections(static_cast<std::size_t>(options.connections));
  const int epoll = epoll_create1(0);
  for (std::size_t i = 0; i < connections.size(); ++i) {
    connections[i].fd = connect_to(server.port);
    if (connections[i].fd < 0) die(server.name + " refuses connections");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
  }
  Batches batches(server, options, pipeline);
  const std::size_t batch_bytes = server.reply_bytes() * static_cast<std::size_t>(pipeline);
  const auto interval =
      rate > 0 ? std::chrono::nanoseconds(1'000'000'000LL * options.connections * pipeline / rate)
               : std::chrono::nanoseconds(0);
  LatencyHistogram histogram;
  Measured measured;
  const auto send = [&](Connection& c, Clock::time_point due) {
    c.due = due;
    c.awaited = batch_bytes;
    write_all(c.fd, batches.next());
  };

  const double cpu_before = server.cpu_seconds();
  const double sleeps_before = server.sleeps();
  const auto began = Clock::now();
  const auto until =
      began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<Clock::time_point> next(connections.size(), began);
  for (std::size_t i = 0; i < connections.size(); ++i) {
    next[i] = began + interval * static_cast<long>(i) / static_cast<long>(connections.size());
    if (rate == 0) send(connections[i], Clock::now());
  }
  std::vector<char> buffer(1 << 18);
  std::vector<epoll_event> events(connections.size());
  std::uint64_t answered = 0;
  for (auto now = began; now < until; now = Clock::now()) {
    if (rate > 0) {
      for (std::size_t i = 0; i < connections.size(); ++i) {
        if (connections[i].awaited == 0 && next[i] <= now) {
          send(connections[i], next[i]);
          next[i] += interval;
        }
      }
    }
    const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), rate > 0 ? 0 : 100);
    for (int i = 0; i < ready; ++i) {
      Connection& c = connections[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t n = read(c.fd, buffer.data(), buffer.size());
      if (n <= 0) die(server.name + " closed a connection under load");
      if (static_cast<std::size_t>(n) > c.awaited) die(server.name + " sent more than was asked for");
      c.awaited -= static_cast<std::size_t>(n);
      if (c.awaited > 0) continue;
      answered += static_cast<std::uint64_t>(pipeline);
      const auto at = Clock::now();
      histogram.record(static_cast<std::uint64_t>((at - c.due).count()));
      if (rate == 0) send(c, at);
    }
  }
  measured.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  measured.server_cpu = server.cpu_seconds() - cpu_before;
  measured.sleeps = server.sleeps() - sleeps_before;
  measured.ops = static_cast<double>(answered);
  measured.latency = histogram.snapshot();
  for (auto& c : connections) close(c.fd);
  close(epoll);
  return measured;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

std::string write_config(const std::filesystem::path& folder, int resp_port, int http_port, int threads) {
  const auto path = folder / ("candor-" + std::to_string(threads) + ".toml");
  std::ofstream out(path);
  out << "[node]\ndata_dir = \"" << (folder / ("data-" + std::to_string(threads))).string() << "\"\n"
      << "[resp]\nlisten = \"127.0.0.1:" << resp_port << "\"\nthreads = " << threads
      << "\nplain_feature = \"cache\"\n"
      << "[http]\nlisten = \"127.0.0.1:" << http_port << "\"\n[l1]\nmemory = \"1GiB\"\n"
      << "[features.cache]\norigin = \"none\"\n";
  return path.string();
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--keys")
      options.keys = std::strtoull(argv[i + 1], nullptr, 10);
    else if (flag == "--seconds")
      options.seconds = std::atof(argv[i + 1]);
    else if (flag == "--rounds")
      options.rounds = std::atoi(argv[i + 1]);
    else if (flag == "--connections")
      options.connections = std::atoi(argv[i + 1]);
    else if (flag == "--candord")
      options.candord = argv[i + 1];
    else if (flag == "--threads")
      options.threads = std::atoi(argv[i + 1]);
    else if (flag == "--rate")
      options.latency_rate = std::atoi(argv[i + 1]);
    else if (flag == "--scaling")
      options.scaling = std::atoi(argv[i + 1]) != 0;
    else
      die("unknown option " + flag);
  }
  return options;
}

std::vector<Server> make_servers(const Options& options, const std::filesystem::path& folder) {
  std::vector<Server> servers(3);
  servers[0].name = "redis";
  servers[0].port = free_port();
  servers[0].command = {"redis-server",
                        "--port",
                        std::to_string(servers[0].port),
                        "--bind",
                        "127.0.0.1",
                        "--save",
                        "",
                        "--appendonly",
                        "no",
                        "--dir",
                        folder.string()};
  servers[1].name = "memcached";
  servers[1].memcached = true;
  servers[1].port = free_port();
  servers[1].command = {"memcached",
                        "-u",
                        "nobody",
                        "-l",
                        "127.0.0.1",
                        "-p",
                        std::to_string(servers[1].port),
                        "-m",
                        "2048",
                        "-t",
                        std::to_string(options.threads),
                        "-U",
                        "0",
                        "-R",
                        "1000"};
  servers[2].name = "candor";
  servers[2].port = free_port();
  servers[2].command = {options.candord, "--config",
                        write_config(folder, servers[2].port, free_port(), options.threads)};
  return servers;
}

Server make_candor(const Options& options, const std::filesystem::path& folder, int threads) {
  Server server;
  server.name = threads == 1 ? "one thread" : "two threads";
  server.port = free_port();
  server.command = {options.candord, "--config", write_config(folder, server.port, free_port(), threads)};
  return server;
}

// What a second data-plane thread costs: nothing shared between the two shows as equal CPU per operation and
// no sleeps that one thread does not have.
void compare_threads(const Options& options, const std::filesystem::path& folder) {
  std::vector<Server> servers = {make_candor(options, folder, 1), make_candor(options, folder, 2)};
  for (auto& server : servers) {
    server.start();
    fill(server, options.keys);
  }
  std::printf(
      "| pipeline | load | candord | ops/s | server CPU ns/op: median (min … max) | sleeps per 1000 ops |\n"
      "|---|---|---|---|---|---|\n");
  // Equal load: what one thread answers with room to spare, by the figures of docs/benchmarks.md.
  for (const auto& [pipeline, rate] : {std::pair{1, 0}, std::pair{1, 20'000}, std::pair{16, 0},
                                       std::pair{16, 320'000}, std::pair{64, 0}, std::pair{64, 640'000}}) {
    std::map<std::string, std::vector<double>> cpu, ops, sleeps;
    for (int round = 0; round < options.rounds; ++round) {
      for (const auto& server : servers) {
        const Measured m = load(server, options, pipeline, options.seconds, rate);
        cpu[server.name].push_back(m.cpu_ns_per_op());
        ops[server.name].push_back(m.ops_per_second());
        sleeps[server.name].push_back(m.sleeps_per_1000());
      }
    }
    for (const auto& server : servers) {
      const auto& values = cpu[server.name];
      std::printf("| %d | %s | %s | %.0f | %.0f (%.0f … %.0f) | %.1f |\n", pipeline,
                  rate == 0 ? "as fast as possible" : (std::to_string(rate) + "/s").c_str(),
                  server.name.c_str(), median(ops[server.name]), median(values),
                  *std::ranges::min_element(values), *std::ranges::max_element(values),
                  median(sleeps[server.name]));
      std::fflush(stdout);
    }
  }
  for (auto& server : servers) server.stop();
}

void compare_cpu(const Options& options, const std::vector<Server>& servers) {
  std::printf(
      "\n| pipeline | server | ops/s (median) | server CPU ns/op: median (min … max) | CPU against redis |\n"
      "|---|---|---|---|---|\n");
  for (const int pipeline : {1, 16, 64}) {
    std::map<std::string, std::vector<double>> cpu;
    std::map<std::string, std::vector<double>> rate;
    for (int round = 0; round < options.rounds; ++round) {
      for (auto& server : servers) {
        const Measured m = load(server, options, pipeline, options.seconds, 0);
        cpu[server.name].push_back(m.cpu_ns_per_op());
        rate[server.name].push_back(m.ops / m.seconds);
      }
    }
    for (auto& server : servers) {
      auto& values = cpu[server.name];
      std::printf("| %d | %s | %.0f | %.0f (%.0f … %.0f) | %.2f |\n", pipeline, server.name.c_str(),
                  median(rate[server.name]), median(values), *std::ranges::min_element(values),
                  *std::ranges::max_element(values), median(values) / median(cpu["redis"]));
      std::fflush(stdout);
    }
  }
}

void compare_latency(const Options& options, const std::vector<Server>& servers) {
  std::printf(
      "\nOpen loop, %d requests/s, pipeline 1, latency from the scheduled moment, %d rounds\n\n"
      "| server | p50 µs | p99 µs | p99.9 µs |\n|---|---|---|---|\n",
      options.latency_rate, options.rounds);
  std::map<std::string, std::map<int, std::vector<double>>> latency;
  for (int round = 0; round < options.rounds; ++round) {
    for (auto& server : servers) {
      const Measured m = load(server, options, 1, options.seconds, options.latency_rate);
      for (const int permille : {500, 990, 999}) {
        latency[server.name][permille].push_back(
            static_cast<double>(m.latency.quantile_ns(permille / 1000.0)) / 1000.0);
      }
    }
  }
  for (auto& server : servers) {
    auto& q = latency[server.name];
    std::printf("| %s | %.0f | %.0f | %.0f |\n", server.name.c_str(), median(q[500]), median(q[990]),
                median(q[999]));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  char folder_template[] = "/tmp/candor-bench-XXXXXX";
  const std::filesystem::path folder = mkdtemp(folder_template);
  if (options.scaling) {
    compare_threads(options, folder);
    std::filesystem::remove_all(folder);
    return 0;
  }
  std::vector<Server> servers = make_servers(options, folder);

  std::printf(
      "GET of %d-byte keys and %d-byte values, %llu keys, uniform, %d connections, %d data-plane thread(s), "
      "%d rounds of %.1f s in alternation\n\n",
      kKeyBytes, kValueBytes, static_cast<unsigned long long>(options.keys), options.connections,
      options.threads, options.rounds, options.seconds);
  for (auto& server : servers) {
    server.start();
    fill(server, options.keys);
    std::printf("%s holds the keys in %.0f MiB\n", server.name.c_str(), server.resident_mib());
  }
  compare_cpu(options, servers);
  compare_latency(options, servers);
  for (auto& server : servers) server.stop();
  std::filesystem::remove_all(folder);
  return 0;
}
