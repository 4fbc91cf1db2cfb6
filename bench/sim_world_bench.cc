// The simulator's machinery without any of the code that it will run: events and calls a second on one core.
//
//   sim_world_bench [SECONDS]     (default 2 for each row)
#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "sim/network.h"
#include "sim/world.h"

namespace {

using namespace candor;
using namespace candor::sim;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Hopper {
  World* world;
  Process* process;
  Random random;
  void hop() {
    const auto delay = Duration{1'000 + static_cast<std::int64_t>(random.below(1'000'000))};
    process->schedule(process->now() + delay, [this] { hop(); });
  }
};

// Timers on ten processes, a thousand pending at any time.
void timers(double seconds) {
  World world({.seed = 1});
  std::vector<Hopper> hoppers;
  hoppers.reserve(1000);
  for (int p = 0; p < 10; ++p) {
    Process& process = world.add_process("p" + std::to_string(p));
    for (int i = 0; i < 100; ++i) {
      Hopper& hopper =
          hoppers.emplace_back(&world, &process, world.stream("hop " + std::to_string(hoppers.size())));
      world.run_on(process, [&hopper] { hopper.hop(); });
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  while (seconds_since(begin) < seconds) world.run_for(10ms);
  fmt::print("timers: {:.2f} million events a second\n",
             static_cast<double>(world.stats().events) / seconds_since(begin) / 1e6);
}

Task<Result<std::uint64_t>> serve(std::uint64_t n) { co_return n; }
Task<void> client(Network* network, PlaceId from, PlaceId to, std::uint64_t* done) {
  Process& home = network->process(from);
  for (;;) {
    Network::Serve<std::uint64_t> work = [done] { return serve(*done); };
    auto call = network->call<std::uint64_t>(from, to, std::move(work), home.now() + 1s);
    (void)co_await call;
    ++*done;
  }
}

// A hundred clients that call one server as fast as they are answered.
void calls(double seconds) {
  World world({.seed = 1});
  Network network(world);
  std::uint64_t done = 0;
  const PlaceId server = network.add_place("server", world.add_process("server"));
  std::vector<PlaceId> clients;
  for (int i = 0; i < 10; ++i)
    clients.push_back(network.add_place("c" + std::to_string(i), world.add_process("c" + std::to_string(i))));
  for (int i = 0; i < 100; ++i) {
    const PlaceId from = clients[static_cast<std::size_t>(i) % clients.size()];
    world.run_on(network.process(from), [&] { spawn(client(&network, from, server, &done)); });
  }
  const auto begin = std::chrono::steady_clock::now();
  while (seconds_since(begin) < seconds) world.run_for(1ms);
  fmt::print("calls: {:.2f} million a second, {:.2f} million events a second\n",
             static_cast<double>(done) / seconds_since(begin) / 1e6,
             static_cast<double>(world.stats().events) / seconds_since(begin) / 1e6);
}

}  // namespace

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::stod(arguments[1]) : 2;
  timers(seconds);
  calls(seconds);
}
