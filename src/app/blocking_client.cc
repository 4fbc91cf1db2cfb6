#include "app/blocking_client.h"

#include <fmt/core.h>
#include <httplib.h>

#include <memory>

#include "app/config.h"
#include "io/clock.h"
#include "io/loop.h"
#include "proto/command_writer.h"

namespace candor::app {
namespace {

// The largest answer of the API is a status of 4096 features, about 4 MiB.
constexpr std::size_t kHttpAnswerBytesMax = std::size_t{64} << 20;
// However steadily it comes.
constexpr Duration kHttpAnswerPatience = 60s;

std::string unreachable(const std::string& address, const std::string& reason) {
  return fmt::format(
      "no daemon answers at {} ({}): start it with `candord --config FILE`, or name another address "
      "with --at HOST:PORT",
      address, reason);
}

// One connection's worth of replies, gathered on a loop that the caller turns.
class Conversation final : public StreamHandler {
 public:
  Conversation(Loop& loop, std::size_t replies_wanted) : loop_(loop), wanted_(replies_wanted) {}

  Result<void> run(const ListenAddress& address, const std::string& bytes, Duration timeout) {
    const MonoTime deadline = SystemClock().now() + timeout;
    const Endpoint endpoint{address.host, address.port, false};
    stream_ = loop_.connect(endpoint, this, timeout);
    stream_->write(bytes);
    while (replies.size() < wanted_ && !closed_) {
      const Duration left = deadline - SystemClock().now();
      if (left <= Duration::zero())
        return fail(ErrorCode::kTimeout, unreachable(address.to_string(), "no reply in time"));
      loop_.turn(left);
    }
    stream_.reset();
    if (replies.size() < wanted_)
      return fail(ErrorCode::kUnavailable, unreachable(address.to_string(), reason_));
    return {};
  }

  void on_connected() override {}
  void on_data(std::string_view bytes) override {
    using Status = resp::ReplyParser::Status;
    for (;;) {
      resp::RespValue value;
      const Status status = parser_.next(&bytes, &value);
      if (status == Status::kNeedMore) return;
      if (status == Status::kError) return end("not a Redis protocol reply: " + parser_.error());
      replies.push_back(std::move(value));
      if (replies.size() == wanted_) return;
    }
  }
  void on_closed(const std::string& reason) override { end(reason); }

  std::vector<resp::RespValue> replies;

 private:
  void end(std::string reason) {
    closed_ = true;
    reason_ = std::move(reason);
  }

  Loop& loop_;
  std::size_t wanted_;
  std::unique_ptr<Stream> stream_;
  resp::ReplyParser parser_;
  bool closed_ = false;
  std::string reason_;
};

// `limit`: of the connection, and of each silence after it.
Result<std::unique_ptr<httplib::Client>> http_client(const std::string& address, Duration limit) {
  const auto target = parse_listen_address(address);
  if (!target) return std::unexpected(target.error());
  auto client = std::make_unique<httplib::Client>(target->host, target->port);
  client->set_connection_timeout(std::chrono::duration_cast<std::chrono::microseconds>(limit));
  client->set_read_timeout(std::chrono::duration_cast<std::chrono::microseconds>(limit));
  return client;
}

httplib::Headers authorization(const std::string& token) {
  if (token.empty()) return {};
  return {{"Authorization", "Bearer " + token}};
}

}  // namespace

void pause_for(Duration wait) {
  const MonoTime end = SystemClock().now() + wait;
  Loop loop(LoopOptions{.backend = LoopBackend::kEpoll});
  for (Duration left = wait; left > Duration::zero(); left = end - SystemClock().now()) loop.turn(left);
}

Result<HttpAnswer> http_get(const std::string& address, const std::string& path, Duration timeout,
                            const std::string& token) {
  const auto client = http_client(address, timeout);
  if (!client) return std::unexpected(client.error());
  std::string body;
  const auto receive = [&](const char* data, std::size_t size) {
    if (body.size() + size > kHttpAnswerBytesMax) return false;
    body.append(data, size);
    return true;
  };
  const auto answer = (*client)->Get(path, authorization(token), receive);
  if (!answer) return fail(ErrorCode::kUnavailable, unreachable(address, httplib::to_string(answer.error())));
  return HttpAnswer{answer->status, std::move(body)};
}

Result<HttpAnswer> http_follow(const std::string& address, const std::string& path, const std::string& token,
                               Duration silence, const std::function<bool(std::string_view)>& take) {
  const auto client = http_client(address, silence);
  if (!client) return std::unexpected(client.error());
  int status = 0;
  std::string refusal;
  bool is_over = false;  // by our own will
  const auto head = [&](const httplib::Response& response) {
    status = response.status;
    return true;
  };
  const auto receive = [&](const char* data, std::size_t size) {
    if (status != 200) {
      refusal.append(data, std::min(size, kHttpAnswerBytesMax - refusal.size()));
      return true;
    }
    is_over = !take(std::string_view(data, size));
    return !is_over;
  };
  const auto answer = (*client)->Get(path, authorization(token), head, receive);
  if (!answer && !is_over && status != 200)
    return fail(ErrorCode::kUnavailable, unreachable(address, httplib::to_string(answer.error())));
  return HttpAnswer{status, std::move(refusal)};
}

Result<HttpAnswer> http_post(const std::string& address, const std::string& path, const std::string& token,
                             const std::string& body, Duration timeout) {
  const auto client = http_client(address, timeout);
  if (!client) return std::unexpected(client.error());
  // Neither one that never ends nor one that comes byte by byte may hold the caller for ever.
  const MonoTime end = SystemClock().now() + kHttpAnswerPatience;
  std::string received;
  bool is_too_large = false;
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.headers = {{"Authorization", "Bearer " + token}, {"Content-Type", "application/json"}};
  request.body = body;
  request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    is_too_large = received.size() + size > kHttpAnswerBytesMax;
    if (is_too_large || SystemClock().now() > end) return false;
    received.append(data, size);
    return true;
  };
  const auto answer = (*client)->send(request);
  if (is_too_large) return fail(ErrorCode::kLimit, "the answer is too large");
  if (!answer) return fail(ErrorCode::kUnavailable, unreachable(address, httplib::to_string(answer.error())));
  return HttpAnswer{answer->status, std::move(received)};
}

Result<std::vector<resp::RespValue>> resp_ask(const std::string& address,
                                              const std::vector<std::vector<std::string>>& commands,
                                              Duration timeout) {
  const auto target = parse_listen_address(address);
  if (!target) return std::unexpected(target.error());
  std::string bytes;
  for (const auto& command : commands) {
    const std::vector<std::string_view> args(command.begin(), command.end());
    resp::write_command(bytes, args);
  }
  Loop loop(LoopOptions{.backend = LoopBackend::kEpoll});
  Conversation conversation(loop, commands.size());
  if (auto done = conversation.run(*target, bytes, timeout); !done) return std::unexpected(done.error());
  return std::move(conversation.replies);
}

}  // namespace candor::app
