// The one thing that a client who only delivers needs of an HTTP/1.1 answer: its status. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace candor {

class HttpStatusLine {
 public:
  // A line is at most this long; no server says more.
  static constexpr std::size_t kBytesMax = 1024;

  // Adds bytes; true when status() is known. Interim answers (1xx) are passed over, headers and all.
  // Bytes that are no answer of HTTP/1 make is_bad() true for ever after.
  [[nodiscard]] bool feed(std::string_view bytes);
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool is_bad() const { return is_bad_; }

 private:
  void take_line(std::string_view line);

  std::string line_;
  int status_ = 0;
  bool is_bad_ = false;
  bool passes_over_ = false;  // inside an interim answer's headers
};

}  // namespace candor
