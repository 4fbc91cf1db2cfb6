#include "proto/http_status_line.h"

#include <charconv>

namespace candor {
namespace {

// "HTTP/1.1 200 OK" -> 200; 0: it is something else.
int parse_status(std::string_view line) {
  constexpr std::size_t kCodeAt = 9, kCodeEnd = 12;
  if (line.size() < kCodeEnd || !(line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "))) return 0;
  if (line.size() > kCodeEnd && line[kCodeEnd] != ' ') return 0;
  int status = 0;
  const auto [end, error] = std::from_chars(line.data() + kCodeAt, line.data() + kCodeEnd, status);
  const bool whole = error == std::errc{} && end == line.data() + kCodeEnd;
  return whole && status >= 100 && status <= 599 ? status : 0;
}

}  // namespace

void HttpStatusLine::take_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (passes_over_) {
    passes_over_ = !line.empty();
    return;
  }
  const int status = parse_status(line);
  if (status == 0)
    is_bad_ = true;
  else if (status < 200)
    passes_over_ = true;
  else
    status_ = status;
}

bool HttpStatusLine::feed(std::string_view bytes) {
  while (!bytes.empty() && status_ == 0 && !is_bad_) {
    const auto end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + part.size() > kBytesMax) {
      is_bad_ = true;
      break;
    }
    line_ += part;
    if (end == std::string_view::npos) break;
    take_line(line_);
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
  return status_ != 0;
}

}  // namespace candor
