// Integers as RESP writes them: decimal, no plus sign, no leading zeros, no spaces. Strict on purpose: two
// parsers that disagree about a length are how requests are smuggled past a proxy.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace candor::resp {

// Digits of the longest integer, "-9223372036854775808".
inline constexpr std::size_t kIntegerDigitsMax = 20;

// False if `text` is not exactly one integer in the form above.
[[nodiscard]] inline bool parse_integer(std::string_view text, std::int64_t* out) {
  if (text.empty() || text.size() > kIntegerDigitsMax) return false;
  const std::size_t first = text[0] == '-' ? 1 : 0;
  if (first == text.size()) return false;
  if (text[first] == '0' && (text.size() > first + 1 || first == 1)) return false;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return code == std::errc{} && end == text.data() + text.size();
}

// Writes `value` at `to` (room for kIntegerDigitsMax) and returns the end.
inline char* format_integer(char* to, std::int64_t value) {
  return std::to_chars(to, to + kIntegerDigitsMax, value).ptr;
}

}  // namespace candor::resp
