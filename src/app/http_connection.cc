#include "app/http_connection.h"

#include <fmt/core.h>

#include <utility>

#include "base/assert.h"

namespace candor::app {
namespace {

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

HttpResponse plain_error(int status, std::string_view text) {
  return {.status = status,
          .body = fmt::format(R"({{"error":"{}"}})", text)};  // our own texts: nothing to escape
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& security_headers() {
  static const std::vector<std::pair<std::string, std::string>> headers = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
       "base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
  };
  return headers;
}

void HttpReply::send(HttpResponse response) const {
  if (const auto link = link_.lock()) (*link)->answer(std::move(response));
}
bool HttpReply::open_stream(std::string_view first) const {
  const auto link = link_.lock();
  return link != nullptr && (*link)->start_stream(first);
}
bool HttpReply::send_event(std::string_view bytes) const {
  const auto link = link_.lock();
  return link != nullptr && (*link)->push(bytes);
}

std::optional<std::size_t> HttpReply::unsent() const {
  const auto link = link_.lock();
  if (link == nullptr || (*link)->state_ != HttpConnection::State::kStreaming) return std::nullopt;
  return (*link)->peer_->unsent_bytes();
}

HttpConnection::HttpConnection(Peer* peer, HttpService* service)
    : peer_(peer),
      service_(service),
      since_(peer->executor().now()),
      link_(std::make_shared<HttpConnection*>(this)) {}

void HttpConnection::on_data(std::string_view bytes) {
  if (state_ == State::kClosing || state_ == State::kStreaming) return;  // nothing more is expected; ignored
  if (!parser_.is_inside() && state_ == State::kReading) since_ = peer_->executor().now();
  if (state_ == State::kAnswering) return parser_.hold(bytes);
  handle(parser_.feed(bytes));
}

void HttpConnection::handle(HttpRequestParser::Status status) {
  using Status = HttpRequestParser::Status;
  if (status == Status::kMore) return;
  if (status == Status::kBad) {
    keep_alive_ = false;
    state_ = State::kAnswering;
    return answer(plain_error(parser_.problem().status, parser_.problem().text));
  }
  HttpRequest request = parser_.take();
  keep_alive_ = request.keep_alive;
  head_only_ = request.method == "HEAD";
  traced_ = {};
  if (const std::string* parent = request.header("traceparent"))
    traced_ = {*parent, request.method, request.path};
  state_ = State::kAnswering;
  since_ = peer_->executor().now();
  peer_->pause_reading(true);
  service_->on_request(std::move(request), HttpReply(link_));
}

void HttpConnection::answer(HttpResponse response) {
  if (state_ != State::kAnswering) return;
  if (!traced_.traceparent.empty()) {
    traced_.status = response.status;
    traced_.took = peer_->executor().now() - since_;
    service_->on_traced(std::exchange(traced_, {}));
  }
  const bool keep =
      keep_alive_ && !draining_ && peer_->unsent_bytes() + response.body.size() < kUnsentBytesMax;
  write_answer(response, keep);
  if (!keep) return close();
  peer_->flush();
  state_ = State::kReading;
  since_ = peer_->executor().now();
  peer_->pause_reading(false);
  // A request that came while this one was answered; in a later turn, so that many of them cannot nest.
  peer_->executor().post([link = std::weak_ptr(link_)] {
    const auto self = link.lock();
    if (self != nullptr && (*self)->state_ == State::kReading) (*self)->handle((*self)->parser_.next());
  });
}

void HttpConnection::write_answer(const HttpResponse& response, bool keep_alive) {
  std::string& out = peer_->output();
  out += fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n",
                     response.status, status_text(response.status), response.content_type,
                     response.body.size(), keep_alive ? "keep-alive" : "close");
  for (const auto& [name, value] : security_headers()) out += fmt::format("{}: {}\r\n", name, value);
  bool has_cache_control = false;
  for (const auto& [name, value] : response.headers) {
    out += fmt::format("{}: {}\r\n", name, value);
    has_cache_control |= name == "Cache-Control";
  }
  if (!has_cache_control) out += "Cache-Control: no-store\r\n";
  out += "\r\n";
  if (!head_only_) out += response.body;
}

bool HttpConnection::start_stream(std::string_view first) {
  if (state_ != State::kAnswering) return false;
  state_ = State::kStreaming;
  std::string& out = peer_->output();
  out +=
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: "
      "close\r\n";
  for (const auto& [name, value] : security_headers()) out += fmt::format("{}: {}\r\n", name, value);
  out += "\r\n";
  if (head_only_) {  // nobody would read it
    close();
    return false;
  }
  out += first;
  peer_->flush();
  peer_->pause_reading(false);  // so that the client's end is noticed
  return true;
}

bool HttpConnection::push(std::string_view bytes) {
  if (state_ != State::kStreaming) return false;
  if (peer_->unsent_bytes() + bytes.size() > kStreamUnsentBytesMax) {
    state_ = State::kClosing;
    peer_->abort("does not read its events");
    return false;
  }
  peer_->output() += bytes;
  peer_->flush();
  return true;
}

void HttpConnection::close() {
  state_ = State::kClosing;
  since_ = peer_->executor().now();
  peer_->close_after_flush();
}

void HttpConnection::on_tick(MonoTime now) {
  const Duration age = now - since_;
  switch (state_) {
    case State::kReading:
      if (age > (parser_.is_inside() ? kRequestDeadline : kIdleDeadline)) close();
      return;
    case State::kAnswering:
      if (age <= kAnswerDeadline) return;
      keep_alive_ = false;
      return answer(plain_error(504, "this took too long; it may still happen"));
    case State::kStreaming:
      return;
    case State::kClosing:
      if (age > kRequestDeadline) peer_->abort("does not read its answer");
      return;
  }
}

void HttpConnection::on_drain_requested() {
  draining_ = true;
  if (state_ == State::kReading || state_ == State::kStreaming) close();
}

void HttpConnection::on_closed(const std::string& /*reason*/) {
  state_ = State::kClosing;
  link_.reset();
}

}  // namespace candor::app
