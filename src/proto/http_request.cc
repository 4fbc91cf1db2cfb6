#include "proto/http_request.h"

#include <algorithm>
#include <charconv>

namespace candor {
namespace {

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }

// Visible ASCII, blanks between; bytes above 127 are allowed as opaque, control bytes never.
bool is_field_value(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
}

bool is_target(std::string_view text) {
  return text.starts_with('/') &&
         std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

const std::string* HttpRequest::header(std::string_view name) const {
  const auto it = std::ranges::find(headers, name, [](const auto& h) -> std::string_view { return h.first; });
  return it == headers.end() ? nullptr : &it->second;
}

HttpRequestParser::Status HttpRequestParser::bad(int status, const char* text) {
  failed_ = true;
  problem_ = {status, text};
  buffer_.clear();
  return Status::kBad;
}

void HttpRequestParser::hold(std::string_view bytes) {
  if (failed_) return;
  if (buffer_.size() + bytes.size() > limits_.header_bytes_max + limits_.body_bytes_max) {
    (void)bad(413, "the request is too large");
    return;
  }
  buffer_ += bytes;
}

HttpRequestParser::Status HttpRequestParser::feed(std::string_view bytes) {
  hold(bytes);
  return next();
}

HttpRequestParser::Status HttpRequestParser::next() {
  if (failed_) return Status::kBad;
  if (head_end_ > 0) return take_body();
  // RFC 9112, 2.2: an empty line before a request may be ignored.
  while (buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
  const auto end = buffer_.find("\r\n\r\n");
  if (std::min(end, buffer_.size()) > limits_.header_bytes_max)
    return bad(431, "the request's headers are too large");
  if (end == std::string::npos) return Status::kMore;
  head_end_ = end + 4;
  request_ = {};
  body_length_ = 0;
  const Status head = parse_head(std::string_view(buffer_).substr(0, end));
  return head == Status::kBad ? head : take_body();
}

HttpRequestParser::Status HttpRequestParser::parse_head(std::string_view head) {
  for (bool first = true; first || !head.empty(); first = false) {
    const auto end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    if (first ? !parse_request_line(line) : !parse_header(line)) return Status::kBad;
  }
  return check_headers(is_http_1_0_);
}

bool HttpRequestParser::parse_request_line(std::string_view line) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return bad(400, "the request line is malformed"), false;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || method.size() > 16) return bad(400, "the method is malformed"), false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return bad(505, "only HTTP/1.1 is spoken here"), false;
  if (!is_target(target)) return bad(400, "the request's target is malformed"), false;
  is_http_1_0_ = version == "HTTP/1.0";
  request_.method = method;
  request_.path = target.substr(0, target.find('?'));
  if (const auto mark = target.find('?'); mark != std::string_view::npos)
    request_.query = target.substr(mark + 1);
  return true;
}

bool HttpRequestParser::parse_header(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return bad(400, "a header is malformed"), false;
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) return bad(400, "a header's value is malformed"), false;
  if (request_.headers.size() == limits_.headers_max) return bad(431, "there are too many headers"), false;
  request_.headers.emplace_back(lower(line.substr(0, colon)), value);
  return true;
}

HttpRequestParser::Status HttpRequestParser::check_headers(bool is_http_1_0) {
  const auto count = [&](std::string_view name) {
    return std::ranges::count_if(request_.headers, [&](const auto& h) { return h.first == name; });
  };
  if (count("transfer-encoding") > 0)
    return bad(501, "transfer encodings are not supported; send Content-Length");
  if (count("content-length") > 1) return bad(400, "there are two Content-Lengths");
  if (count("host") > 1 || (count("host") == 0 && !is_http_1_0)) return bad(400, "there must be one Host");
  for (const char* name : {"authorization", "origin"})
    if (count(name) > 1) return bad(400, "a header that may stand once stands twice");
  if (request_.header("expect") != nullptr) return bad(417, "expectations are not supported");
  if (const std::string* length = request_.header("content-length")) {
    const auto [end, error] = std::from_chars(length->data(), length->data() + length->size(), body_length_);
    if (error == std::errc::result_out_of_range) return bad(413, "the request's body is too large");
    if (error != std::errc{} || end != length->data() + length->size() || length->empty())
      return bad(400, "the Content-Length is malformed");
    if (body_length_ > limits_.body_bytes_max) return bad(413, "the request's body is too large");
  }
  const std::string* connection = request_.header("connection");
  const std::string wish = connection != nullptr ? lower(*connection) : std::string{};
  request_.keep_alive = is_http_1_0 ? wish == "keep-alive" : wish != "close";
  return Status::kMore;
}

HttpRequestParser::Status HttpRequestParser::take_body() {
  if (buffer_.size() < head_end_ + body_length_) return Status::kMore;
  request_.body = buffer_.substr(head_end_, body_length_);
  buffer_.erase(0, head_end_ + body_length_);
  head_end_ = 0;
  return Status::kRequest;
}

}  // namespace candor
