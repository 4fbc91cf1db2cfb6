#include "app/terminal_text.h"

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/explain_json.h"

namespace candor::app {
namespace {

struct Letter {
  std::size_t bytes = 1;
  char32_t code = 0;
  bool is_good = false;  // well-formed
};

Letter letter_at(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {1, first, true};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (at + bytes > text.size() || !is_utf8(text.substr(at, bytes))) return {};
  char32_t code = first & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i)
    code = (code << 6U) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
  return {bytes, code, true};
}

// Moves the cursor, changes the direction, or cannot be seen.
bool is_hidden(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xAD || code == 0x61C ||
         (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code >= 0xFFF0 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE0FFF);
}

std::string shown(std::string_view text, std::size_t at, const Letter& letter) {
  if (!letter.is_good) return fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
  if (letter.code == '\\') return "\\\\";
  if (!is_hidden(letter.code)) return std::string(text.substr(at, letter.bytes));
  if (letter.code < 0x80) return fmt::format("\\x{:02x}", static_cast<unsigned>(letter.code));
  return fmt::format("\\u{{{:x}}}", static_cast<unsigned>(letter.code));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Letter letter = letter_at(text, i);
    out += shown(text, i, letter);
    i += letter.bytes;
  }
  return out;
}

std::string printable_within(std::string_view text, std::size_t width) {
  std::string out, before_last;
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Letter letter = letter_at(text, i);
    const std::string one = shown(text, i, letter);
    const std::size_t takes = one.front() == '\\' ? one.size() : 1;
    if (used + takes > width) return before_last + "~";
    if (used + takes < width) before_last = out + one;
    used += takes;
    out += one;
    i += letter.bytes;
  }
  return out;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 1e9) return fmt::format("{:.3g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.3g}k", value / 1e3);
  if (size >= 100 || value == std::floor(value)) return fmt::format("{:.0f}", value);
  return fmt::format("{:.2g}", value);
}

std::string mebibytes(const nlohmann::json& bytes) {
  if (!bytes.is_number()) return "-";
  return fmt::format("{:.1f} MiB", bytes.get<double>() / (1 << 20));
}

std::string short_millis(double ms) {
  const double size = std::abs(ms);
  if (size < 1000) return fmt::format("{:.3g} ms", ms);
  if (size < 60'000) return fmt::format("{:.3g} s", ms / 1e3);
  if (size < 3'600'000) return fmt::format("{:.3g} min", ms / 6e4);
  return fmt::format("{:.3g} h", ms / 3.6e6);
}

}  // namespace candor::app
