#include "version/session_token.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/hash.h"

namespace candor {

namespace {

constexpr unsigned char kVersion = 1;
constexpr std::size_t kChecksumBytes = 4;
// Not a secret and the same everywhere: tokens travel between nodes.
constexpr std::uint64_t kChecksumSeed = 0;
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void put(std::string& bytes, std::uint64_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i, value >>= 8) bytes.push_back(static_cast<char>(value & 0xff));
}

std::uint64_t take(std::string_view& bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
  bytes.remove_prefix(count);
  return value;
}

std::uint64_t checksum(std::string_view bytes) { return hash_bytes(bytes, kChecksumSeed) & 0xffffffff; }

std::string to_base64url(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) text.push_back(kAlphabet[bits >> (count - 6) & 63]);
  }
  if (count > 0) text.push_back(kAlphabet[bits << (6 - count) & 63]);
  return text;
}

// False: not what to_base64url() writes.
bool from_base64url(std::string_view text, std::string* bytes) {
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const auto digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes->push_back(static_cast<char>(bits >> count & 0xff));
  }
  return count < 6 && (bits & ((1U << count) - 1)) == 0;
}

std::unexpected<Error> no_token(const char* why) {
  return fail(ErrorCode::kInvalidArgument,
              std::string("not a session token: ") + why + "; use what CANDOR.TOKEN answered, unchanged");
}

}  // namespace

const SessionToken::Entry* SessionToken::find(std::string_view origin) const {
  const auto it = std::ranges::lower_bound(entries_, origin, {}, &Entry::origin);
  return it == entries_.end() || it->origin != origin ? nullptr : &*it;
}

Result<void> SessionToken::add(std::string_view origin, Incarnation incarnation, Position position) {
  const auto it = std::ranges::lower_bound(entries_, origin, {}, &Entry::origin);
  if (it != entries_.end() && it->origin == origin) {
    if (it->incarnation != incarnation) {
      return fail(ErrorCode::kRejected,
                  "tokens of two histories of origin '" + it->origin +
                      "' cannot be merged: it was restored or replaced in between; begin a new session");
    }
    it->position = std::max(it->position, position);
    return {};
  }
  if (origin.empty() || origin.size() > kOriginNameBytesMax || entries_.size() >= kOriginsMax) {
    return fail(ErrorCode::kLimit, "a session token holds up to " + std::to_string(kOriginsMax) +
                                       " origins with names of 1 to " + std::to_string(kOriginNameBytesMax) +
                                       " bytes");
  }
  entries_.insert(it, Entry{std::string(origin), incarnation, position});
  return {};
}

Result<void> SessionToken::merge(const SessionToken& other) {
  SessionToken merged = *this;
  for (const auto& entry : other.entries_) {
    if (auto added = merged.add(entry.origin, entry.incarnation, entry.position); !added) return added;
  }
  entries_ = std::move(merged.entries_);
  return {};
}

std::string SessionToken::text() const {
  std::string bytes;
  put(bytes, kVersion, 1);
  put(bytes, entries_.size(), 1);
  for (const auto& entry : entries_) {
    put(bytes, entry.origin.size(), 1);
    bytes.append(entry.origin);
    put(bytes, entry.incarnation.value, 8);
    put(bytes, entry.position.value, 8);
  }
  put(bytes, checksum(bytes), kChecksumBytes);
  return to_base64url(bytes);
}

Result<SessionToken> SessionToken::parse(std::string_view text) {
  if (text.size() > kTextBytesMax) return no_token("it is too long");
  std::string bytes;
  if (!from_base64url(text, &bytes)) return no_token("it is not base64url without padding");
  if (bytes.size() < 2 + kChecksumBytes) return no_token("it is too short");
  std::string_view body = std::string_view(bytes).substr(0, bytes.size() - kChecksumBytes);
  std::string_view tail = std::string_view(bytes).substr(body.size());
  if (take(tail, kChecksumBytes) != checksum(body)) return no_token("its checksum is wrong");
  if (take(body, 1) != kVersion) return no_token("another version wrote it");
  const std::uint64_t count = take(body, 1);
  SessionToken token;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t length = body.empty() ? 0 : take(body, 1);
    if (body.size() < length + 16) return no_token("it is cut off");
    const std::string_view origin = body.substr(0, length);
    body.remove_prefix(length);
    const Incarnation incarnation{take(body, 8)};
    const Position position{take(body, 8)};
    if (!token.empty() && token.entries_.back().origin >= origin)
      return no_token("its origins are not in order");
    if (!token.add(origin, incarnation, position)) return no_token("an origin's name is out of bounds");
  }
  if (!body.empty()) return no_token("it has bytes left over");
  return token;
}

}  // namespace candor
