#include "app/span_exporter.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/random.h"

namespace candor::app {

Result<WebhookTarget> parse_collector_url(std::string_view url) {
  const auto scheme = url.find("://");
  const auto host = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto path = url.substr(std::min(url.find('/', host), url.size()));
  if (!path.empty() && path != "/") return parse_webhook_url(url);
  return parse_webhook_url(std::string(url.substr(0, url.size() - path.size())) + "/v1/traces");
}

SpanExporter::SpanExporter(Executor* home, Transport* transport, WebhookTarget target, SpanSource source,
                           double sample, std::uint64_t seed, Say say)
    : home_(home),
      transport_(transport),
      target_(std::move(target)),
      source_(std::move(source)),
      sample_(sample),
      seed_(seed),
      say_(std::move(say)) {
  tick_ = home_->schedule(home_->now() + kPeriod, [this] { tick(); });
}

SpanExporter::~SpanExporter() = default;

void SpanExporter::stop() {
  end_attempt();
  home_->cancel(tick_);
}

void SpanExporter::add(server::RequestSpan span) {
  const MutexLock lock(mutex_);
  if (waiting_.size() >= kWaitingMax) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  waiting_.push_back(std::move(span));
}

void SpanExporter::tick() {
  tick_ = home_->schedule(home_->now() + kPeriod, [this] { tick(); });
  if (stream_ != nullptr) return;
  if (batch_.empty()) {
    const MutexLock lock(mutex_);
    const auto count = static_cast<std::ptrdiff_t>(std::min(kBatchMax, waiting_.size()));
    batch_.assign(std::move_iterator(waiting_.begin()), std::move_iterator(waiting_.begin() + count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
    attempts_ = 0;
  }
  if (!batch_.empty()) begin();
}

void SpanExporter::begin() {
  ++attempts_;
  answer_ = {};
  deadline_ = home_->schedule(home_->now() + kAttemptMax, [this] {
    deadline_ = {};
    failed("no answer in time", true);
  });
  stream_ = transport_->connect(target_.endpoint, this, kAttemptMax);
  seed_ = mix64(seed_);
  stream_->write(webhook_request(target_, spans_json(batch_, source_, seed_)));
}

void SpanExporter::on_data(std::string_view bytes) {
  if (answer_.feed(bytes)) return answered(answer_.status());
  if (answer_.is_bad()) failed("what answers there is no web server", false);
}

void SpanExporter::on_closed(const std::string& reason) {
  failed(reason.empty() ? "the connection ended before an answer" : reason, true);
}

void SpanExporter::answered(int status) {
  const bool may_pass = status == 408 || status == 429 || status >= 500;
  if (status < 200 || status >= 300) return failed(fmt::format("answers with status {}", status), may_pass);
  end_attempt();
  sent_.fetch_add(batch_.size(), std::memory_order_relaxed);
  batch_.clear();
  say_("");
}

void SpanExporter::failed(const std::string& reason, bool may_retry) {
  end_attempt();
  if (!may_retry || attempts_ >= kAttempts) {
    dropped_.fetch_add(batch_.size(), std::memory_order_relaxed);
    batch_.clear();
  }
  say_(fmt::format("{}; spans that it does not take in {} attempts are dropped", reason, kAttempts));
}

void SpanExporter::end_attempt() {
  stream_.reset();
  if (deadline_ != TimerId{}) home_->cancel(deadline_);
  deadline_ = {};
}

}  // namespace candor::app
