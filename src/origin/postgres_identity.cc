#include "origin/postgres_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/hash.h"

namespace candor {
namespace {

constexpr std::size_t kNameBytesMax = 63;  // NAMEDATALEN - 1
// "_", a timeline of eight hexadecimal digits, "_", a nonce of twelve.
constexpr std::size_t kSuffixBytesMax = 1 + 8 + 1 + 12;
constexpr std::size_t kNonceDigits = 12;
constexpr std::uint64_t kNameSeed = 0x636e6472;  // fixed: all nodes must agree

// XLOG_BLCKSZ of every packaged server, and the two heads of a page (xlog_internal.h).
constexpr std::uint64_t kPageBytes = 8192;
constexpr std::uint64_t kPageHead = 24;
constexpr std::uint64_t kSegmentHead = 40;

// A snapshot of more transactions than a server has places for is no snapshot.
constexpr std::size_t kInProgressMax = std::size_t{1} << 20;

std::string plain(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool upper = c >= 'A' && c <= 'Z';
    name.push_back(letter ? c : upper ? static_cast<char>(c - 'A' + 'a') : '_');
  }
  return name;
}

std::string fit(std::string name, std::string_view whole, std::size_t bytes_max) {
  constexpr std::size_t kHashBytes = 9;
  if (name.size() <= bytes_max) return name;
  return name.substr(0, bytes_max - kHashBytes) +
         fmt::format("_{:08x}", static_cast<std::uint32_t>(hash_bytes(whole, kNameSeed)));
}

template <class T>
bool read_number(std::string_view text, T& value, int base = 10) {
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc{} && stop == end && !text.empty();
}

}  // namespace

std::string postgres_slot_prefix(std::string_view region, std::string_view origin) {
  return fit("candor_" + plain(region) + "_" + plain(origin), fmt::format("{}/{}", region, origin),
             kNameBytesMax - kSuffixBytesMax);
}

std::string postgres_publication_name(std::string_view origin) {
  return fit("candor_" + plain(origin), origin, kNameBytesMax);
}

std::string postgres_slot_name(std::string_view prefix, PostgresSlotName parts) {
  return fmt::format("{}_{:x}_{:012x}", prefix, parts.timeline, parts.nonce & kPostgresNonceMask);
}

namespace {

constexpr unsigned kPartBits = 16;
constexpr std::uint64_t kPartMask = (std::uint64_t{1} << kPartBits) - 1;

std::uint64_t tables_part(std::string_view tables) { return hash_bytes(tables, kNameSeed) & kPartMask; }

// Never 0, which is "not known".
std::uint64_t made_part(Position made) {
  return std::max<std::uint64_t>(1, hash_bytes(postgres_position_text(made), kNameSeed) & kPartMask);
}

}  // namespace

std::uint64_t postgres_nonce(std::uint64_t random, std::string_view tables, std::optional<Position> made) {
  return (random & kPartMask) << (2 * kPartBits) | tables_part(tables) << kPartBits |
         (made ? made_part(*made) : 0);
}

bool postgres_nonce_is_of(std::uint64_t nonce, std::string_view tables) {
  return (nonce >> kPartBits & kPartMask) == tables_part(tables);
}

bool postgres_nonce_knows_its_place(std::uint64_t nonce) { return (nonce & kPartMask) != 0; }

bool postgres_nonce_is_new(std::uint64_t nonce, Position confirmed) {
  return !postgres_nonce_knows_its_place(nonce) || (nonce & kPartMask) == made_part(confirmed);
}

std::optional<PostgresSlotName> parse_postgres_slot_name(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (!name.starts_with('_')) return std::nullopt;
  name.remove_prefix(1);
  const auto dash = name.find('_');
  if (dash == std::string_view::npos || name.size() - dash - 1 != kNonceDigits) return std::nullopt;
  PostgresSlotName parts;
  if (!read_number(name.substr(0, dash), parts.timeline, 16)) return std::nullopt;
  if (!read_number(name.substr(dash + 1), parts.nonce, 16)) return std::nullopt;
  return parts;
}

// Prefixes are of a-z, 0-9 and _ (postgres_slot_prefix), so that they need no quoting.
std::string postgres_slot_condition(std::string_view prefix) {
  return fmt::format(
      "slot_type = 'logical' and plugin = 'pgoutput' and database = current_database() and "
      "slot_name ~ '^{}_[0-9a-f]+_[0-9a-f]{{{}}}$'",
      prefix, kNonceDigits);
}

Incarnation postgres_incarnation(std::string_view prefix, std::string_view slot_name,
                                 std::uint32_t timeline) {
  const auto parts = parse_postgres_slot_name(prefix, slot_name);
  if (!parts || parts->timeline != timeline) return {};
  return Incarnation{std::max<std::uint64_t>(1, hash_bytes(slot_name, kNameSeed))};
}

std::optional<Position> parse_postgres_position(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::uint32_t high = 0, low = 0;
  if (!read_number(text.substr(0, slash), high, 16) || !read_number(text.substr(slash + 1), low, 16)) {
    return std::nullopt;
  }
  return Position{std::uint64_t{high} << 32 | low};
}

std::string postgres_position_text(Position position) {
  return fmt::format("{:X}/{:X}", position.value >> 32, position.value & 0xffffffff);
}

Position postgres_end_of_log(Position insert, std::uint64_t segment_bytes) {
  const bool first_page = segment_bytes != 0 && insert.value % segment_bytes == kSegmentHead;
  if (first_page) return Position{insert.value - kSegmentHead};
  if (insert.value % kPageBytes == kPageHead) return Position{insert.value - kPageHead};
  return insert;
}

std::optional<PostgresSnapshot> parse_postgres_snapshot(std::string_view text) {
  const auto first = text.find(':');
  const auto second = first == std::string_view::npos ? first : text.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  PostgresSnapshot snapshot;
  if (!read_number(text.substr(0, first), snapshot.xmin)) return std::nullopt;
  if (!read_number(text.substr(first + 1, second - first - 1), snapshot.xmax)) return std::nullopt;
  std::vector<std::uint64_t> in_progress;
  for (auto rest = text.substr(second + 1); !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    std::uint64_t xid = 0;
    if (!read_number(rest.substr(0, comma), xid) || xid < snapshot.xmin || xid >= snapshot.xmax ||
        (!in_progress.empty() && xid <= in_progress.back()) || in_progress.size() >= kInProgressMax) {
      return std::nullopt;
    }
    in_progress.push_back(xid);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (snapshot.xmin > snapshot.xmax) return std::nullopt;
  snapshot.stamp = Stamp::of_snapshot(snapshot.xmin, snapshot.xmax, std::move(in_progress));
  return snapshot;
}

}  // namespace candor
