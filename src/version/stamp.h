// The evidence of what a load saw. It answers one question only: does it include change c?
//
// Today a stamp is a position in the origin's change stream, or unknown. PostgreSQL's snapshot form (xmin,
// xmax, transactions in progress) arrives with the change feeds; stored formats already reserve its place.
#pragma once

#include <compare>
#include <cstdint>

namespace candor {

// A point in an origin's change stream (a SQLite sequence number, a PostgreSQL transaction or LSN).
struct Position {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(Position, Position) = default;
};

struct Stamp {
  Position position;  // 0: nothing is known; includes no change

  [[nodiscard]] constexpr bool is_known() const { return position.value != 0; }
  [[nodiscard]] constexpr bool includes(Position change) const { return is_known() && position >= change; }
  friend constexpr bool operator==(const Stamp&, const Stamp&) = default;
};

}  // namespace candor
