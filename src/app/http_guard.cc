#include "app/http_guard.h"

#include <fmt/core.h>

#include <algorithm>

namespace candor::app {
namespace {

// Takes as long for a wrong token as for a right one, whatever they share.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0U : 1U;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^
                                        static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]));
  return difference == 0;
}

bool is_loopback_name(std::string_view name) {
  return name == "localhost" || name == "127.0.0.1" || name == "::1";
}

std::optional<Refusal> check_host(const HttpRequest& request, const GuardRules& rules) {
  const std::string* host = request.header("host");
  const std::string name = host != nullptr ? host_name(*host) : std::string{};
  if (is_loopback_name(name) || (!name.empty() && std::ranges::find(rules.hosts, name) != rules.hosts.end()))
    return std::nullopt;
  return Refusal{403, "this Host is not allowed; use a loopback name or add yours to [http] hosts"};
}

// Programs send no Origin; a browser always does with POST, and it must name the page's own host and port.
std::optional<Refusal> check_origin(const HttpRequest& request) {
  const std::string* origin = request.header("origin");
  if (origin == nullptr) return std::nullopt;
  const std::string* host = request.header("host");
  if (host != nullptr && (*origin == "http://" + *host || *origin == "https://" + *host)) return std::nullopt;
  return Refusal{403, "this Origin is not this server's own"};
}

std::optional<Refusal> check_token(const HttpRequest& request, const GuardRules& rules) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string* authorization = request.header("authorization");
  if (authorization == nullptr || !authorization->starts_with(kScheme))
    return Refusal{401, "this needs the token of data_dir/admin.token: send Authorization: Bearer TOKEN"};
  const std::string_view given = std::string_view(*authorization).substr(kScheme.size());
  if (rules.token.empty() || !equal_in_constant_time(given, rules.token))
    return Refusal{401, "this is not the token of data_dir/admin.token"};
  return std::nullopt;
}

}  // namespace

std::string host_name(std::string_view host) {
  std::string name;
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    if (end == std::string_view::npos) return {};
    name = host.substr(1, end - 1);
  } else {
    name = host.substr(0, host.find(':'));
  }
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

std::optional<Refusal> check_guard(Guard guard, const HttpRequest& request, const GuardRules& rules) {
  if (guard == Guard::kOpen) return std::nullopt;
  if (auto refusal = check_host(request, rules)) return refusal;
  if (guard == Guard::kPage) return std::nullopt;
  // A page cannot make a browser send the token, whatever the method; POST is for what changes something.
  const bool is_read = guard == Guard::kKeys && (request.method == "GET" || request.method == "HEAD");
  if (!is_read && request.method != "POST") return Refusal{405, "use POST"};
  if (auto refusal = check_origin(request)) return refusal;
  return check_token(request, rules);
}

}  // namespace candor::app
