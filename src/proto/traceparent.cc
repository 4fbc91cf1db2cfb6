#include "proto/traceparent.h"

#include <algorithm>

namespace candor {

namespace {

constexpr std::size_t kLength = 55;

// Lower case only, as the recommendation asks.
int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<unsigned> byte_at(std::string_view text, std::size_t at) {
  const int high = digit(text[at]);
  const int low = digit(text[at + 1]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<unsigned>(high * 16 + low);
}

std::string hex_of(const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4U];
    out += kDigits[bytes[i] & 15U];
  }
  return out;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const auto version = byte_at(text, 0);
  if (!version || *version == 0xFF) return std::nullopt;
  if (text.size() > kLength && (*version == 0 || text[kLength] != '-')) return std::nullopt;
  TraceParent out;
  for (std::size_t i = 0; i < out.trace.bytes.size(); ++i) {
    const auto byte = byte_at(text, 3 + 2 * i);
    if (!byte) return std::nullopt;
    out.trace.bytes[i] = static_cast<unsigned char>(*byte);
  }
  for (std::size_t i = 0; i < 8; ++i) {
    const auto byte = byte_at(text, 36 + 2 * i);
    if (!byte) return std::nullopt;
    out.span = (out.span << 8U) | *byte;
  }
  const auto flags = byte_at(text, 53);
  if (!flags || out.span == 0 || out.trace == TraceId{}) return std::nullopt;
  out.is_sampled = (*flags & 1U) != 0;
  return out;
}

std::string trace_id_text(const TraceId& id) { return hex_of(id.bytes.data(), id.bytes.size()); }

std::string span_id_text(std::uint64_t id) {
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(id >> (8 * (bytes.size() - 1 - i)));
  return hex_of(bytes.data(), bytes.size());
}

// The last seven bytes, which callers draw at random.
bool is_in_share(const TraceId& id, double share) {
  if (share >= 1.0) return true;  // the largest numbers are not told from 2^56
  std::uint64_t drawn = 0;
  for (std::size_t i = 9; i < id.bytes.size(); ++i) drawn = (drawn << 8U) | id.bytes[i];
  return static_cast<double>(drawn) < share * 0x1.0p56;
}

}  // namespace candor
