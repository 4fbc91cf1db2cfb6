#include "bus/nats_url.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>

namespace candor::nats {
namespace {

constexpr std::string_view kDefaultPort = "4222";
constexpr std::size_t kHostsMax = 16;  // servers learn of the others from each other
constexpr std::string_view kForm = "the form is nats://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]], or tls://";

std::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::kConfiguration, fmt::format("NATS URL: {}; {}", what, kForm));
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, code] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (code != std::errc{} || end != text.data() + i + 3) return std::nullopt;
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return out;
}

Result<std::string> read_host(std::string_view text) {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : std::size_t{0};
  if (bracket == text.npos) return bad("an IPv6 host needs its closing bracket");
  const std::size_t colon = text.find(':', bracket);
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = colon == text.npos ? kDefaultPort : text.substr(colon + 1);
  const std::string_view allowed = bracket > 0 ? "[]:%." : "-._";
  for (const char c : host) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && allowed.find(c) == allowed.npos) return bad("a host has a character that no host has");
  }
  if (host.empty()) return bad("a host is empty");
  unsigned value = 0;
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (code != std::errc{} || end != port.data() + port.size() || value == 0 || value > 65'535) {
    return bad("a port is not a number from 1 to 65535");
  }
  return fmt::format("{}:{}", host, value);
}

}  // namespace

std::string Address::describe() const {
  return fmt::format("{} {}", tls ? "nats+tls" : "nats", fmt::join(hosts, ","));
}

Result<Address> parse_url(std::string_view url) {
  Address address;
  if (url.starts_with("tls://")) {
    address.tls = true;
    url.remove_prefix(6);
  } else if (url.starts_with("nats://")) {
    url.remove_prefix(7);
  } else {
    return bad("it begins with neither nats:// nor tls://");
  }
  if (const std::size_t at = url.rfind('@'); at != url.npos) {
    const std::string_view login = url.substr(0, at);
    const std::size_t colon = login.find(':');
    const auto first = percent_decoded(login.substr(0, colon));
    const auto second = percent_decoded(colon == login.npos ? "" : login.substr(colon + 1));
    if (!first || !second) return bad("user or password has a % that two hexadecimal digits do not follow");
    if (first->empty()) return bad("a login without a user (for a token alone write TOKEN@)");
    (colon == login.npos ? address.token : address.user) = *first;
    address.password = *second;
    url.remove_prefix(at + 1);
  }
  if (url.ends_with('/')) url.remove_suffix(1);
  for (bool more = true; more;) {
    const std::size_t comma = url.find(',');
    more = comma != url.npos;
    auto host = read_host(url.substr(0, comma));
    if (!host) return std::unexpected(host.error());
    address.hosts.push_back(std::move(*host));
    if (address.hosts.size() > kHostsMax) return bad("more than 16 hosts");
    if (more) url.remove_prefix(comma + 1);
  }
  return address;
}

}  // namespace candor::nats
