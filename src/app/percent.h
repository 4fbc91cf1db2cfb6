// Percent-encoding, as URLs have it (RFC 3986, section 2.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace candor::app {

// Everything but unreserved characters is escaped: fits a path's segment, a query and a password.
[[nodiscard]] std::string percent_encode(std::string_view text);
// "a%20b" becomes "a b"; nullopt when an escape is not one.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

}  // namespace candor::app
