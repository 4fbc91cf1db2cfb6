// Sends alerts to one Alertmanager: a POST at a time, each on a connection of its own, bounded in time, tried
// again until it is taken. Nothing here blocks.
//
// Thread safety: none; everything on the executor's thread, the destructor too.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/webhook_url.h"
#include "base/executor.h"
#include "base/transport.h"
#include "monitor/alert_outbox.h"
#include "proto/http_status_line.h"

namespace candor::app {

class Webhook final : public StreamHandler {
 public:
  // `say(text)`: what is wrong with the receiver, or empty when all is well again; each attempt says one.
  using Say = std::function<void(const std::string& text)>;
  Webhook(Executor* home, Transport* transport, WebhookTarget target, std::string source, std::uint64_t seed,
          Say say);
  ~Webhook() override;
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  // From connecting to the status of the answer; before the first put().
  static constexpr Duration kAttemptMax = 10s;
  void limit_attempts(Duration attempt_max) { attempt_max_ = attempt_max; }

  void put(const Alert& alert);
  [[nodiscard]] const AlertOutbox& outbox() const { return outbox_; }
  [[nodiscard]] const std::string& shown() const { return target_.shown; }

 private:
  void pump();
  void begin();
  void on_connected() override {}
  void on_data(std::string_view bytes) override;
  void on_closed(const std::string& reason) override;
  void answered(int status);
  void failed(const std::string& reason);
  void end_attempt();

  Executor* home_;
  Transport* transport_;
  WebhookTarget target_;
  std::string source_;
  Say say_;
  AlertOutbox outbox_;
  std::unique_ptr<Stream> stream_;  // null: no attempt is under way
  HttpStatusLine answer_;
  Duration attempt_max_ = kAttemptMax;
  TimerId next_;      // of the next attempt
  TimerId deadline_;  // of this one
};

}  // namespace candor::app
