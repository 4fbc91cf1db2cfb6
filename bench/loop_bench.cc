// What the event loop itself costs: server CPU time per operation of a responder that answers every GET with
// the same 64 bytes, over each backend, beside redis-server, under redis-benchmark with 50 connections.
//
//   loop_bench [rounds] [operations at pipeline 1]
//
// The responder looks nothing up: this is the floor that the loop and the kernel set, not the daemon's
// figure.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "io/listener.h"
#include "io/loop.h"

namespace {
using namespace candor;

constexpr std::array<int, 3> kPipelines = {1, 16, 64};
constexpr int kConnections = 50;
constexpr std::string_view kReply =
    "$64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";

// Counts commands by their '*': redis-benchmark's keys hold none. Enough of a parser for a floor.
class Responder final : public ConnectionHandler {
 public:
  explicit Responder(Peer* peer) : peer_(peer) {}
  void on_data(std::string_view bytes) override {
    buffered_.append(bytes);
    std::size_t at = 0;
    while (const std::size_t length = command_length(std::string_view(buffered_).substr(at))) {
      peer_->output().append(kReply);
      at += length;
    }
    buffered_.erase(0, at);
    peer_->flush();
  }
  void on_closed(const std::string&) override {}

 private:
  // Length of the first whole command, 0 if there is none yet.
  static std::size_t command_length(std::string_view bytes) {
    if (bytes.size() < 4) return 0;
    std::size_t lines = 1 + 2 * static_cast<std::size_t>(bytes[1] - '0');
    std::size_t at = 0;
    for (; lines > 0; --lines) {
      const std::size_t end = bytes.find('\n', at);
      if (end == std::string_view::npos) return 0;
      at = end + 1;
    }
    return at;
  }
  Peer* peer_;
  std::string buffered_;
};

struct Responders final : ConnectionFactory {
  std::unique_ptr<ConnectionHandler> accept(Peer* peer) override { return std::make_unique<Responder>(peer); }
};

// Starts `arguments[0]`, silent.
pid_t start(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const auto& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  if (::posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ) != 0) pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

bool run(const std::vector<std::string>& arguments) {
  const pid_t pid = start(arguments);
  int status = -1;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

// User and system time of a process, nanoseconds, from its threads' scheduler statistics: exact, not in
// ticks.
double cpu_time(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/schedstat", pid));
  double nanoseconds = 0;
  stat >> nanoseconds;
  return nanoseconds;
}

struct Server {
  pid_t pid = -1;
  int port = 0;
};

// Serves in a child process, so that its CPU time is its own.
Server serve(LoopBackend backend) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return {};
  const pid_t pid = ::fork();
  if (pid == 0) {
    Responders factory;
    Loop loop({.backend = backend});
    auto listener = Listener::open({}, {&loop}, &factory);
    const int port = listener ? (*listener)->port() : 0;
    (void)!::write(ends[1], &port, sizeof port);
    loop.run();
  }
  Server server{.pid = pid};
  (void)!::read(ends[0], &server.port, sizeof server.port);
  ::close(ends[0]);
  ::close(ends[1]);
  return server;
}

// Redis with as many keys as the run asks for, so that it answers with values, too.
Server serve_redis() {
  Server server{.port = 20'000 + static_cast<int>(::getpid() % 20'000)};
  server.pid =
      start({"redis-server", "--port", std::to_string(server.port), "--save", "", "--appendonly", "no"});
  for (int i = 0; i < 50 && !run({"redis-cli", "-p", std::to_string(server.port), "ping"}); ++i)
    ::usleep(100'000);
  run({"redis-benchmark", "-p", std::to_string(server.port), "-t", "set", "-d", "64", "-r", "100000", "-n",
       "1000000", "-P", "64", "-q"});
  return server;
}

double nanoseconds_per_operation(const Server& server, int pipeline, int operations) {
  const double before = cpu_time(server.pid);
  run({"redis-benchmark", "-p", std::to_string(server.port), "-t", "get", "-r", "100000", "-c",
       std::to_string(kConnections), "-P", std::to_string(pipeline), "-n", std::to_string(operations), "-q"});
  return (cpu_time(server.pid) - before) / operations;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int operations = argc > 2 ? std::atoi(argv[2]) : 200'000;
  std::map<std::string, Server> servers = {{"epoll", serve(LoopBackend::kEpoll)},
                                           {"io_uring", serve(LoopBackend::kUring)},
                                           {"redis", serve_redis()}};
  fmt::print("server CPU per operation, {} connections, median of {} alternating rounds\n", kConnections,
             rounds);
  for (const int pipeline : kPipelines) {
    std::map<std::string, std::vector<double>> figures;
    // Deep pipelines need more operations for the same time.
    const int count = pipeline == 1 ? operations : operations * 8;
    for (int round = 0; round < rounds; ++round) {
      for (const auto& [name, server] : servers) {
        figures[name].push_back(nanoseconds_per_operation(server, pipeline, count));
      }
    }
    const double redis = median(figures["redis"]);
    for (const auto& [name, values] : figures) {
      fmt::print("pipeline={} server={} ns_per_op={:.0f} of_redis={:.2f}\n", pipeline, name, median(values),
                 median(values) / redis);
    }
  }
  for (const auto& [name, server] : servers) {
    ::kill(server.pid, SIGKILL);
    ::waitpid(server.pid, nullptr, 0);
  }
  return 0;
}
