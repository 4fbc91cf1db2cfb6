// Sends spans to an OpenTelemetry collector: a batch at a time, each on a connection of its own, bounded in
// time, tried again a little, and dropped rather than kept. Nothing here blocks, and nobody waits for it.
//
// Invariants
//   - At most kWaitingMax requests wait; more are counted and dropped.
// Thread safety: wants() and add() from any thread; the rest on home.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/span_json.h"
#include "app/webhook_url.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/transport.h"
#include "proto/http_status_line.h"
#include "server/span_sink.h"

namespace candor::app {

// The collector's address; without a path /v1/traces is meant.
[[nodiscard]] Result<WebhookTarget> parse_collector_url(std::string_view url);

class SpanExporter final : public server::SpanSink, public StreamHandler {
 public:
  static constexpr std::size_t kWaitingMax = 2048;
  static constexpr std::size_t kBatchMax = 256;
  static constexpr Duration kPeriod = 1s;
  static constexpr Duration kAttemptMax = 5s;
  static constexpr int kAttempts = 3;

  // `say(text)`: what is wrong with the collector; empty when all is well again.
  using Say = std::function<void(const std::string& text)>;
  SpanExporter(Executor* home, Transport* transport, WebhookTarget target, SpanSource source, double sample,
               std::uint64_t seed, Say say);
  ~SpanExporter() override;
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  [[nodiscard]] bool wants(const TraceParent& parent) const override {
    return parent.is_sampled && is_in_share(parent.trace, sample_);
  }
  void add(server::RequestSpan span) override;
  // On home: nothing more is sent, and what waits is dropped.
  void stop();

  struct Counts {
    std::uint64_t sent = 0, dropped = 0;  // requests
  };
  [[nodiscard]] Counts counts() const {
    return {sent_.load(std::memory_order_relaxed), dropped_.load(std::memory_order_relaxed)};
  }

 private:
  void tick();
  void begin();
  void on_connected() override {}
  void on_data(std::string_view bytes) override;
  void on_closed(const std::string& reason) override;
  void answered(int status);
  // `may_retry`: the same batch may be taken later.
  void failed(const std::string& reason, bool may_retry);
  void end_attempt();

  Executor* home_;
  Transport* transport_;
  WebhookTarget target_;
  SpanSource source_;
  double sample_;
  std::uint64_t seed_;
  Say say_;
  std::atomic<std::uint64_t> sent_{0}, dropped_{0};
  Mutex mutex_;
  std::vector<server::RequestSpan> waiting_ CANDOR_GUARDED_BY(mutex_);
  // Home's.
  std::vector<server::RequestSpan> batch_;  // under way, or to be tried again
  int attempts_ = 0;                        // of this batch
  std::unique_ptr<Stream> stream_;          // null: no attempt is under way
  HttpStatusLine answer_;
  TimerId tick_{}, deadline_{};
};

}  // namespace candor::app
