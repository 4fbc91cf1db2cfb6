// Percent-encoding, as URLs have it (RFC 3986, section 2.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candor::app {

// Everything but unreserved characters is escaped: fits a path's segment, a query and a password.
[[nodiscard]] std::string percent_encode(std::string_view text);
// kKeep: what is no escape stands for itself, as in a password that was written by hand.
enum class BadEscape : std::uint8_t { kRefuse, kKeep };
// "a%20b" becomes "a b"; nullopt when an escape is not one and kRefuse.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text,
                                                        BadEscape bad = BadEscape::kRefuse);

}  // namespace candor::app
