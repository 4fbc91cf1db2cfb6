#include "app/webhook.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/units.h"

namespace candor::app {
namespace {

// Busy, or not well: it may take the same alerts later.
bool may_pass(int status) { return status >= 500 || status == 408 || status == 425 || status == 429; }

}  // namespace

Webhook::Webhook(Executor* home, Transport* transport, WebhookTarget target, std::string source,
                 std::uint64_t seed, Say say)
    : home_(home),
      transport_(transport),
      target_(std::move(target)),
      source_(std::move(source)),
      say_(std::move(say)),
      outbox_(seed) {}

Webhook::~Webhook() {
  home_->cancel(next_);
  home_->cancel(deadline_);
}

void Webhook::put(const Alert& alert) {
  outbox_.put(alert);
  // Alerts of one evaluation leave together.
  if (next_ == TimerId{}) pump();
}

// Always by the timer, never from within a call: what is put in this turn goes along.
void Webhook::pump() {
  const auto due = outbox_.due();
  if (!due) return;
  home_->cancel(next_);
  next_ = home_->schedule(std::max(*due, home_->now()), [this] {
    next_ = {};
    begin();
  });
}

void Webhook::begin() {
  const auto due = outbox_.due();
  if (!due || *due > home_->now()) return pump();
  const std::vector<Alert> batch = outbox_.take();
  answer_ = {};
  deadline_ = home_->schedule(home_->now() + attempt_max_, [this] {
    deadline_ = {};
    failed(fmt::format("no answer within {}", format_duration(attempt_max_)));
  });
  stream_ = transport_->connect(target_.endpoint, this, attempt_max_);
  stream_->write(webhook_request(target_, alerts_json(batch, source_)));
}

void Webhook::on_data(std::string_view bytes) {
  if (answer_.feed(bytes)) return answered(answer_.status());
  if (answer_.is_bad()) failed("what answers there is no web server");
}

void Webhook::on_closed(const std::string& reason) {
  failed(reason.empty() ? "the connection ended before an answer" : reason);
}

void Webhook::answered(int status) {
  end_attempt();
  if (status >= 200 && status < 300) {
    outbox_.on_taken(home_->now());
    say_("");
  } else if (may_pass(status)) {
    outbox_.on_failed(home_->now());
    say_(fmt::format("answers with status {}; its alerts are kept and sent again", status));
  } else {
    outbox_.on_refused(home_->now());
    say_(
        fmt::format("refuses alerts with status {}; check its address, which must take POST of "
                    "Alertmanager's /api/v2/alerts",
                    status));
  }
  pump();
}

void Webhook::failed(const std::string& reason) {
  end_attempt();
  outbox_.on_failed(home_->now());
  say_(fmt::format("{}; its alerts are kept and sent again", reason));
  pump();
}

void Webhook::end_attempt() {
  stream_.reset();
  home_->cancel(deadline_);
  deadline_ = {};
}

}  // namespace candor::app
