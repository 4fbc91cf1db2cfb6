// One connection of the demo's traffic: commands out, replies back in order, with the time each one took.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/transport.h"
#include "proto/resp.h"

namespace candor::load {

enum class Operation : std::uint8_t { kRead, kWrite };

// What was asked, until its answer comes.
struct Asked {
  Operation operation = Operation::kRead;
  std::uint16_t feature = 0;
  MonoTime at;
};

// Invariants
//   - at most kPendingMax commands are unanswered; try_send() refuses beyond that.
//   - commands that were unanswered when a connection ended are reported as lost, never sent again.
// Thread safety: none; lives on the loop of its transport.
class LoadClient final : public StreamHandler {
 public:
  // Deep enough to keep a server busy over loopback, small enough that one connection's wait stays a few
  // milliseconds.
  static constexpr std::size_t kPendingMax = 256;

  using OnReply = std::function<void(const Asked&, const resp::RespValue&)>;
  using OnLost = std::function<void(std::size_t unanswered, const std::string& reason)>;

  LoadClient(Executor* executor, Transport* transport, Endpoint endpoint, OnReply on_reply, OnLost on_lost);

  void start();
  // False: too many are unanswered, or there is no connection now.
  bool try_send(const Asked& asked, std::initializer_list<std::string_view> command);
  // Hands over what try_send() gathered.
  void flush();
  [[nodiscard]] std::size_t unanswered() const { return pending_.size(); }

  void on_connected() override;
  void on_data(std::string_view bytes) override;
  void on_closed(const std::string& reason) override;

 private:
  void lose(const std::string& reason);

  Executor* executor_;
  Transport* transport_;
  Endpoint endpoint_;
  OnReply on_reply_;
  OnLost on_lost_;
  std::unique_ptr<Stream> stream_;
  bool connected_ = false;
  bool restarting_ = false;  // a timer will call start()
  std::string gathered_;
  std::deque<Asked> pending_;
  resp::ReplyParser parser_;
};

}  // namespace candor::load
