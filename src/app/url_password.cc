#include <fmt/core.h>

#include <algorithm>

#include "app/config.h"
#include "app/percent_encoding.h"

namespace candor::app {
namespace {

struct Authority {
  std::size_t begin = std::string_view::npos;  // after "://"
  std::size_t at = std::string_view::npos;     // the '@', npos without user information
};

Authority find_authority(std::string_view url) {
  Authority out;
  const auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return out;
  out.begin = scheme_end + 3;
  // A password written by hand may hold an unescaped '/' or '@': the last '@' before the query is the safe
  // reading.
  out.at = url.substr(0, url.find('?')).rfind('@');
  if (out.at != std::string_view::npos && out.at < out.begin) out.at = std::string_view::npos;
  return out;
}

// libpq and others also take the password as a parameter: ...?user=app&password=secret.
void mask_parameter(std::string& url, std::string_view name) {
  for (auto from = url.find('?'); from != std::string::npos;) {
    from = url.find(name, from);
    if (from == std::string::npos) return;
    const auto begin = from + name.size();
    const auto end = std::min(url.find('&', begin), url.size());
    url.replace(begin, end - begin, "***");
    from = begin;
  }
}

}  // namespace

std::string mask_password(std::string_view url) {
  std::string out(url);
  const Authority authority = find_authority(url);
  if (authority.at != std::string_view::npos) {
    const auto colon = url.find(':', authority.begin);
    if (colon != std::string_view::npos && colon < authority.at)
      out.replace(colon + 1, authority.at - colon - 1, "***");
  }
  mask_parameter(out, "password=");
  return out;
}

std::string with_password(std::string_view url, std::string_view password) {
  const Authority authority = find_authority(url);
  if (authority.begin == std::string_view::npos) return std::string(url);
  const bool has_user = authority.at != std::string_view::npos;
  std::string_view user =
      has_user ? url.substr(authority.begin, authority.at - authority.begin) : std::string_view{};
  user = user.substr(0, user.find(':'));
  const std::string_view rest = url.substr(has_user ? authority.at + 1 : authority.begin);
  return fmt::format("{}{}:{}@{}", url.substr(0, authority.begin), user, percent_encode(password), rest);
}

}  // namespace candor::app
