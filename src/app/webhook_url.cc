#include "app/webhook_url.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "app/percent_encoding.h"
#include "app/version.h"

namespace candor::app {
namespace {

constexpr std::string_view kAlertsPath = "/api/v2/alerts";
constexpr std::size_t kUrlBytesMax = 2048;  // what servers take of a request line, and less

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? kDigits[group >> (18U - 6U * j) & 63U] : '=';
  }
  return out;
}

std::unexpected<Error> bad(std::string_view shown, std::string_view what) {
  return fail(
      ErrorCode::kInvalidArgument,
      fmt::format("\"{}\" {}; write http://HOST:PORT or https://HOST of an Alertmanager", shown, what));
}

// "host", "host:9093", "[::1]:9093".
bool take_authority(std::string_view text, Endpoint& out) {
  const bool is_bracketed = text.starts_with('[');
  const auto end_of_host = is_bracketed ? text.find(']') : text.find(':');
  if (is_bracketed && end_of_host == std::string_view::npos) return false;
  out.host = is_bracketed ? text.substr(1, end_of_host - 1) : text.substr(0, end_of_host);
  std::string_view rest = end_of_host == std::string_view::npos
                              ? std::string_view{}
                              : text.substr(end_of_host + (is_bracketed ? 1 : 0));
  if (out.host.empty()) return false;
  if (rest.empty()) return true;
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out.port);
  return error == std::errc{} && end == rest.data() + rest.size() && out.port != 0;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<WebhookTarget> parse_webhook_url(std::string_view url) {
  WebhookTarget out;
  out.endpoint.tls = url.starts_with("https://");
  if (!out.endpoint.tls && !url.starts_with("http://"))
    return bad(url.substr(0, std::min(url.find(':'), std::size_t{16})), "is no address of a web server");
  out.endpoint.port = out.endpoint.tls ? 443 : 80;
  const std::string_view scheme = out.endpoint.tls ? "https://" : "http://";
  std::string_view rest = url.substr(scheme.size());
  // An unescaped '/' or '@' in a password would be taken for the end of it: the last '@' is the safe reading.
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    out.authorization =
        "Basic " + base64(percent_decode(rest.substr(0, at), BadEscape::kKeep).value_or(std::string()));
    rest.remove_prefix(at + 1);
  }
  const auto slash = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  out.path = rest.substr(slash);
  out.host = authority;
  out.shown = fmt::format("{}{}", scheme, authority);
  if (url.size() > kUrlBytesMax) return bad(scheme, "is followed by too much");
  if (!is_printable(url)) return bad(scheme, "is followed by blanks or control characters");
  if (!take_authority(authority, out.endpoint)) return bad(out.shown, "has no HOST or HOST:PORT");
  if (out.path.empty() || out.path == "/") out.path = kAlertsPath;
  if (!out.path.starts_with('/')) return bad(out.shown, "is followed by no path");
  return out;
}

std::string webhook_request(const WebhookTarget& target, std::string_view json) {
  std::string out = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: candor/{}\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\nConnection: close\r\n",
      target.path, target.host, kVersion, json.size());
  if (!target.authorization.empty()) out += fmt::format("Authorization: {}\r\n", target.authorization);
  return fmt::format("{}\r\n{}", out, json);
}

}  // namespace candor::app
