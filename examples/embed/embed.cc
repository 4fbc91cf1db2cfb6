// A C++ service with Candor inside: the loader is a function of the service, and nothing listens anywhere.
//
//   cmake --install build/release --prefix /tmp/candor
//   cmake -S examples/embed -B build/embed -DCMAKE_PREFIX_PATH=/tmp/candor && cmake --build build/embed &&
//   build/embed/embed
#include <candor/candor.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <thread>

namespace {

using namespace std::chrono_literals;

// Stands for a query or a call to another service: slow, and counted.
std::atomic<int> calls{0};
candor::Result<std::optional<std::string>> slow_square(std::string_view key) {
  ++calls;
  std::this_thread::sleep_for(20ms);
  const int n = std::atoi(std::string(key).c_str());
  if (n < 0) return std::nullopt;  // no such row, and Candor remembers that too
  return std::to_string(n * n);
}

// The least coroutine there is; a service has its own task type.
struct Job {
  struct promise_type {
    Job get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Job sum_of_squares(candor::Cache* cache, std::promise<int>* answer) {
  const auto three = co_await cache->read("square:3");
  const auto four = co_await cache->read("square:4");
  answer->set_value(std::stoi(*three->value) + std::stoi(*four->value));
}

}  // namespace

int main() {
  candor::CacheOptions options;
  options.memory_bytes = 16 << 20;
  options.features.push_back({.name = "square", .ttl = 60s, .load = slow_square});
  auto cache = candor::Cache::open(std::move(options));
  if (!cache) {
    std::fprintf(stderr, "%s\n", cache.error().message.c_str());
    return 1;
  }

  for (int round = 0; round < 3; ++round) {
    const auto answer = cache->get("square:12");
    if (!answer) return 1;
    std::printf("square:12 = %s, from %s\n", answer->value->c_str(), std::string(answer->tier).c_str());
  }
  std::printf("square:-1 %s\n", cache->get("square:-1")->value ? "exists" : "does not exist");

  std::promise<int> sum;
  sum_of_squares(&*cache, &sum);
  std::printf("3*3 + 4*4 = %d\n", sum.get_future().get());

  std::printf("loads: %d\n", calls.load());
  return calls == 4 ? 0 : 1;
}
