// The region stream: time from append() to on_message() at another handle, one message at a time, and how
// many messages a second pass when they are appended in batches. Starts its own redis-server and nats-server.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "bus/make_stream.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "tests/support/stream_server.h"

namespace candor {
namespace {

constexpr int kSingles = 3000;
constexpr std::uint64_t kBatch = 200, kBatches = 200;
constexpr int kChanges = 16;  // of one message

struct Receiver final : StreamReader {
  void on_message(SequenceNumber, StreamMessage) override { ++received; }
  void on_gap(SequenceNumber, std::string reason) override { fmt::print("gap: {}\n", reason); }
  void on_connected(bool now) override { connected = now; }
  std::uint64_t received = 0;
  bool connected = false;
};

StreamMessage changes(std::uint64_t i) {
  message::Changes m;
  m.origin = "shop";
  m.up_to.value = i;
  for (int n = 0; n < kChanges; ++n) {
    m.changes.push_back({"profile", fmt::format("{:010}", i * kChanges + n), Change::Scope::kKey,
                         ChangeId{1'000'000 + i}, Position{i << 20}, WallTime{1'700'000'000'000'000'000}});
  }
  return m;
}

void turn_until(Loop& loop, const std::function<bool()>& done) {
  while (!done()) loop.turn(100ms);
}

void measure(const std::string& kind) {
  auto server = testing::StreamServer::make(kind);
  if (!server->start()) return;
  Loop loop;
  ThreadPool pool(2, "blocking");
  const SystemClock clock;
  MakeStreamOptions options;
  options.memory_log = std::make_shared<MemoryLog>(MemoryLog::Options{.messages_max = 100'000}, 1);
  Receiver receiver;
  {
    auto from = make_stream(server->url(), options, {&loop, &loop, &pool, 1}).value();
    auto to = make_stream(server->url(), options, {&loop, &loop, &pool, 2}).value();
    to->read(std::nullopt, &receiver);
    turn_until(loop, [&] { return receiver.connected; });
    for (bool up = false; !up;) {  // the sender's connection
      std::optional<bool> ok;
      spawn(from->append(changes(0)), [&ok](Result<SequenceNumber> r) { ok = r.has_value(); });
      turn_until(loop, [&] { return ok.has_value(); });
      up = *ok;
    }
    turn_until(loop, [&] { return receiver.received > 0; });
    std::vector<double> micros;
    for (int i = 0; i < kSingles; ++i) {
      const std::uint64_t before = receiver.received;
      const MonoTime begin = clock.now();
      spawn(from->append(changes(1)), [](Result<SequenceNumber>) {});
      turn_until(loop, [&] { return receiver.received > before; });
      micros.push_back(static_cast<double>((clock.now() - begin).count()) / 1000);
    }
    std::ranges::sort(micros);
    const std::uint64_t base = receiver.received;
    const MonoTime begin = clock.now();
    std::uint64_t answered = 0, failed = 0, sent = 0;
    while (answered < kBatch * kBatches) {
      for (std::uint64_t i = 0; i < kBatch && sent < kBatch * kBatches && sent < answered + 4 * kBatch; ++i) {
        spawn(from->append(changes(++sent)), [&](Result<SequenceNumber> r) {
          ++answered;
          failed += r.has_value() ? 0 : 1;
        });
      }
      loop.turn(100ms);
    }
    turn_until(loop, [&] { return receiver.received >= base + answered - failed; });
    const double seconds = static_cast<double>((clock.now() - begin).count()) / 1e9;
    fmt::print("{:10} p50 {:7.0f} us  p99 {:7.0f} us  {:9.0f} messages/s  {:10.0f} changes/s  failed {}\n",
               kind, micros[micros.size() / 2], micros[micros.size() * 99 / 100],
               static_cast<double>(answered) / seconds, static_cast<double>(answered * kChanges) / seconds,
               failed);
  }
  loop.turn(1ms);
}

}  // namespace
}  // namespace candor

int main() {
  for (const char* kind : {"memory", "redis", "redis_aof", "nats"}) candor::measure(kind);
}
