// HTTP/1.1 requests from bytes: what a control plane needs of RFC 9112 and nothing else. Pure.
//
// Invariants
//   - Holds at most header_bytes_max + body_bytes_max bytes, and grows only with bytes that came.
//   - One reading of every message: a request that two parsers could read differently (both kinds of length,
//   bare
//     line ends, folded lines, two Hosts) is refused, never guessed.
// Not here: chunked bodies, trailers, upgrades, absolute-form targets. They answer an error of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace candor {

struct HttpRequest {
  std::string method;
  std::string path;                                          // "/api/v1/status", as sent; not decoded
  std::string query;                                         // after '?', as sent
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  bool keep_alive = true;

  // The header's value, null when absent. `name` in lower case.
  [[nodiscard]] const std::string* header(std::string_view name) const;
};

struct HttpLimits {
  // Request line and headers. Browsers send below 2 KiB here; 8 KiB is the common server default.
  std::size_t header_bytes_max = 8 << 10;
  std::size_t headers_max = 64;
  // The largest request of the API is a key.
  std::size_t body_bytes_max = 16 << 10;
};

class HttpRequestParser {
 public:
  enum class Status : std::uint8_t { kMore, kRequest, kBad };
  struct Problem {
    int status = 400;  // the answer's status
    const char* text = "";
  };

  explicit HttpRequestParser(HttpLimits limits = {}) : limits_(limits) {}

  // Adds bytes. After kRequest take() gives the request; call next() before more bytes. kBad is final.
  [[nodiscard]] Status feed(std::string_view bytes);
  // Adds bytes that come while a request is being answered, without looking at them.
  void hold(std::string_view bytes);
  // Looks for a further request in what is already here.
  [[nodiscard]] Status next();
  [[nodiscard]] HttpRequest take() { return std::move(request_); }
  [[nodiscard]] const Problem& problem() const { return problem_; }
  // True while a request has begun and is not whole.
  [[nodiscard]] bool is_inside() const { return !buffer_.empty(); }
  [[nodiscard]] std::size_t held_bytes() const { return buffer_.size(); }

 private:
  Status bad(int status, const char* text);
  Status parse_head(std::string_view head);
  bool parse_request_line(std::string_view line);
  bool parse_header(std::string_view line);
  Status check_headers(bool is_http_1_0);
  Status take_body();

  HttpLimits limits_;
  std::string buffer_;
  HttpRequest request_;
  Problem problem_;
  std::size_t head_end_ = 0;  // of the request under way; 0 until its headers are whole
  std::size_t body_length_ = 0;
  bool is_http_1_0_ = false;
  bool failed_ = false;
};

}  // namespace candor
