#include "app/load_client.h"

#include <utility>

namespace candor::load {
namespace {

constexpr Duration kConnectTimeout = 2s;
// A server that restarts is back within seconds; trying twice a second costs nothing.
constexpr Duration kReconnectAfter = 500ms;

}  // namespace

LoadClient::LoadClient(Executor* executor, Transport* transport, Endpoint endpoint, OnReply on_reply,
                       OnLost on_lost)
    : executor_(executor),
      transport_(transport),
      endpoint_(std::move(endpoint)),
      on_reply_(std::move(on_reply)),
      on_lost_(std::move(on_lost)) {}

void LoadClient::start() {
  restarting_ = false;
  parser_.reset();
  stream_ = transport_->connect(endpoint_, this, kConnectTimeout);
}

bool LoadClient::try_send(const Asked& asked, std::initializer_list<std::string_view> command) {
  if (!connected_ || pending_.size() >= kPendingMax) return false;
  resp::write_command(gathered_, command);
  pending_.push_back(asked);
  return true;
}

void LoadClient::flush() {
  if (gathered_.empty()) return;
  if (connected_) stream_->write(gathered_);
  gathered_.clear();
}

void LoadClient::on_connected() { connected_ = true; }

void LoadClient::on_data(std::string_view bytes) {
  resp::RespValue value;
  for (;;) {
    switch (parser_.next(&bytes, &value)) {
      case resp::ReplyParser::Status::kNeedMore:
        return;
      case resp::ReplyParser::Status::kError:
        lose("the answer is not RESP: " + parser_.error());
        return;
      case resp::ReplyParser::Status::kValue:
        break;
    }
    if (pending_.empty()) {
      lose("an answer to nothing");
      return;
    }
    const Asked asked = pending_.front();
    pending_.pop_front();
    on_reply_(asked, value);
  }
}

void LoadClient::on_closed(const std::string& reason) { lose(reason); }

void LoadClient::lose(const std::string& reason) {
  if (std::exchange(restarting_, true)) return;
  connected_ = false;
  gathered_.clear();
  const std::size_t unanswered = std::exchange(pending_, {}).size();
  on_lost_(unanswered, reason);
  // The stream may be on the call stack: it is replaced from the timer, not here.
  executor_->schedule(executor_->now() + kReconnectAfter, [this] { start(); });
}

}  // namespace candor::load
