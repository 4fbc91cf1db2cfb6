// One connection to the control plane: requests in, answers out, one at a time, with deadlines. What the
// answers are is the service's business.
//
// Invariants
//   - At most one request is being answered; what comes meanwhile waits in the parser, within its limits.
//   - Every answer carries the security headers.
// Thread safety: none; lives on its peer's loop. An HttpReply may outlive the connection: it then does
// nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/acceptor.h"
#include "base/time.h"
#include "proto/http_request.h"

namespace candor::app {

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // besides those that every answer has
};

class HttpConnection;

// The right to answer one request, on the connection's loop. Copyable; the first answer counts.
class HttpReply {
 public:
  explicit HttpReply(std::weak_ptr<HttpConnection*> link) : link_(std::move(link)) {}
  void send(HttpResponse response) const;
  // Turns the connection into a stream of events, after `first`. False: the connection is gone.
  bool open_stream(std::string_view first) const;
  // Sends an event on the stream. False: the stream is over; forget it.
  bool send_event(std::string_view bytes) const;
  // Bytes of the stream that the client has not taken yet; nothing: the stream is over.
  [[nodiscard]] std::optional<std::size_t> unsent() const;

 private:
  std::weak_ptr<HttpConnection*> link_;
};

class HttpService {
 public:
  virtual ~HttpService() = default;
  virtual void on_request(HttpRequest request, HttpReply reply) = 0;
  // A request that carried `traceparent` was answered.
  struct Traced {
    std::string traceparent, method, path;
    int status = 0;
    Duration took{0};
  };
  virtual void on_traced(const Traced& /*request*/) {}
};

class HttpConnection final : public ConnectionHandler {
 public:
  // A request has to be whole this long after its first byte, and a connection may rest this long between
  // two.
  static constexpr Duration kRequestDeadline = 10s;
  static constexpr Duration kIdleDeadline = 60s;
  // An answer may take as long as a flush of every tier; then the client is told to ask again.
  static constexpr Duration kAnswerDeadline = 30s;
  // A client that does not read: more than one status of all features waiting for it.
  static constexpr std::size_t kUnsentBytesMax = std::size_t{16} << 20;
  static constexpr std::size_t kStreamUnsentBytesMax = std::size_t{1} << 20;

  HttpConnection(Peer* peer, HttpService* service);

  void on_data(std::string_view bytes) override;
  void on_tick(MonoTime now) override;
  void on_drain_requested() override;
  void on_closed(const std::string& reason) override;

 private:
  friend class HttpReply;
  enum class State : std::uint8_t { kReading, kAnswering, kStreaming, kClosing };

  void handle(HttpRequestParser::Status status);
  void answer(HttpResponse response);
  void write_answer(const HttpResponse& response, bool keep_alive);
  bool start_stream(std::string_view first);
  bool push(std::string_view bytes);
  void close();

  Peer* peer_;
  HttpService* service_;
  HttpRequestParser parser_;
  State state_ = State::kReading;
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool draining_ = false;
  HttpService::Traced traced_;             // of the request under way; no traceparent: it is not told
  MonoTime since_;                         // of the state, or of the request's first byte
  std::shared_ptr<HttpConnection*> link_;  // replies hold it weakly
};

// Headers that every answer carries; see docs/security notes in src/app/README.md.
[[nodiscard]] const std::vector<std::pair<std::string, std::string>>& security_headers();

}  // namespace candor::app
