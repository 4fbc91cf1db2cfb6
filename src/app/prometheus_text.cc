#include "app/prometheus_text.h"

#include <fmt/core.h>

#include <cstdint>

namespace candor::app {
namespace {

constexpr char32_t kReplacement = 0xFFFD;  // for what is no UTF-8

struct Decoded {
  char32_t code = kReplacement;
  std::size_t bytes = 1;
};

// The character that `rest`, not empty, begins with: strictly, without surrogates and overlong forms.
Decoded decode(std::string_view rest) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || rest.size() < length) return {};
  char32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0U) != 0x80U) return {};
    code = code << 6 | (at(i) & 0x3FU);
  }
  const char32_t least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, length};
}

// What YAML and PromQL both read as a part of a text and as nothing else. The replacement character is what
// PromQL calls invalid UTF-8; 2028 and 2029 end lines, and FEFF is a mark of byte order.
bool is_plain(char32_t code) {
  if (code < 0x80) return code >= 0x20 && code != 0x7F;
  return code >= 0xA0 && code != 0x2028 && code != 0x2029 && code != 0xFEFF && code != kReplacement &&
         (code & 0xFFFEU) != 0xFFFEU;
}

std::string escaped(char32_t code) {
  const auto number = static_cast<std::uint32_t>(code);
  if (code < 0x80) return fmt::format("\\x{:02x}", number);
  return code <= 0xFFFF ? fmt::format("\\u{:04x}", number) : fmt::format("\\U{:08x}", number);
}

// Double-quoted strings of PromQL and YAML agree on these escapes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::string_view rest = text; !rest.empty();) {
    const Decoded next = decode(rest);
    if (next.code == '"' || next.code == '\\')
      out += {'\\', static_cast<char>(next.code)};
    else if (next.code == '\n')
      out += "\\n";
    else if (is_plain(next.code))
      out += rest.substr(0, next.bytes);
    else
      out += escaped(next.code);
    rest.remove_prefix(next.bytes);
  }
  return out + '"';
}

}  // namespace

std::string promql_string(std::string_view text) { return quoted(text); }

std::string yaml_string(std::string_view text) { return quoted(text); }

std::string yaml_safe_json(std::string_view json) {
  std::string out;
  for (std::string_view rest = json; !rest.empty();) {
    const Decoded next = decode(rest);
    // JSON has no other way to write what lies beyond 16 bits, and YAML takes it as it stands.
    if (next.code < 0x7F || is_plain(next.code) || next.code > 0xFFFF)
      out += rest.substr(0, next.bytes);
    else
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(next.code));
    rest.remove_prefix(next.bytes);
  }
  return out;
}

// One brace at a time: two would meet again with one that stands beside them.
std::string template_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '{')
      out += R"({{"{"}})";
    else
      out += c;
  }
  return out;
}

}  // namespace candor::app
