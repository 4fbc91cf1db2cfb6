#include "tier/l2/redis_url.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace candor::redis {
namespace {

constexpr std::uint16_t kDefaultPort = 6379;
constexpr std::uint32_t kDatabaseMax = 16'383;  // beyond any server's `databases`
constexpr std::string_view kForm = "the form is redis://[USER:PASSWORD@]HOST[:PORT][/DB]";

std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::kConfiguration, fmt::format("Redis URL: {}; {}", what, kForm));
}

template <class T>
std::optional<T> number(std::string_view text, T max) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size() || value > max)
    return std::nullopt;
  return value;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

Result<void> read_credentials(std::string_view text, Address* out) {
  const std::size_t colon = text.find(':');
  const auto user = percent_decoded(text.substr(0, colon));
  const auto password =
      colon == text.npos ? std::optional<std::string>{""} : percent_decoded(text.substr(colon + 1));
  if (!user || !password) return bad("user or password has a % that two hexadecimal digits do not follow");
  if (password->empty()) return bad("a user without a password (for the password alone write :PASSWORD@)");
  out->user = *user;
  out->password = *password;
  return {};
}

Result<void> read_host(std::string_view text, Address* out) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return bad("an IPv6 host needs its closing bracket");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return bad("after the IPv6 host comes :PORT or /DB");
    if (!port.empty()) port.remove_prefix(1);
    if (port.empty() && end + 1 < text.size()) return bad("the port is empty");
  } else if (const std::size_t colon = text.find(':'); colon != text.npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return bad("the port is empty");
  }
  if (host.empty()) return bad("the host is empty");
  out->endpoint.host = std::string(host);
  out->endpoint.port = kDefaultPort;
  if (port.empty()) return {};
  const auto value = number<std::uint32_t>(port, 65'535);
  if (!value || *value == 0) return bad("the port is not a number from 1 to 65535");
  out->endpoint.port = static_cast<std::uint16_t>(*value);
  return {};
}

}  // namespace

std::string Address::describe() const {
  return fmt::format("{} {}/{}", endpoint.tls ? "rediss" : "redis", endpoint.to_string(), database);
}

Result<Address> parse_url(std::string_view url) {
  Address address;
  if (url.starts_with("redis+cluster://")) {
    return fail(ErrorCode::kConfiguration,
                "redis+cluster:// is not supported yet: name one server with redis://HOST:PORT/DB");
  }
  if (url.starts_with("rediss://")) {
    address.endpoint.tls = true;
    url.remove_prefix(9);
  } else if (url.starts_with("redis://")) {
    url.remove_prefix(8);
  } else {
    return bad("it begins with neither redis:// nor rediss://");
  }
  if (const std::size_t at = url.rfind('@'); at != url.npos) {
    if (auto read = read_credentials(url.substr(0, at), &address); !read)
      return std::unexpected(read.error());
    url.remove_prefix(at + 1);
  }
  if (url.find_first_of("?#") != url.npos) return bad("options after ? or # are not known");
  const std::size_t slash = url.find('/');
  if (auto read = read_host(url.substr(0, slash), &address); !read) return std::unexpected(read.error());
  if (slash == url.npos || slash + 1 == url.size()) return address;
  const auto database = number<std::uint32_t>(url.substr(slash + 1), kDatabaseMax);
  if (!database) return bad("the database is not a small number");
  address.database = *database;
  return address;
}

}  // namespace candor::redis
