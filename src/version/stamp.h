// The evidence of what a load saw. It answers one question only: does it include change c? No clocks are
// compared anywhere in this.
//
//   SQLite      the change log's highest sequence number, read in the same transaction as the row: every
//   change up
//               to it is included, none above.
//   PostgreSQL  pg_current_snapshot() of the statement that read the row: a change is included exactly when
//   its
//               transaction is visible in the snapshot (xmin, xmax, transactions in progress).
//
// A full Stamp travels with a load to the fence and into L2. L1 keeps only its StampBound (44 bits):
// conservative, it may deny a change that is included and never claims one that is not. What that costs is a
// reload, never a lie.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

namespace candor {

// Names one change at its origin in the order that stamps compare: a SQLite sequence number, a PostgreSQL
// transaction id with its epoch (xid8). 0: none.
struct ChangeId {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(ChangeId, ChangeId) = default;
};

// A point in an origin's change stream: a SQLite sequence number, a PostgreSQL LSN. Changes become known in
// this order, which for PostgreSQL is not the order of their ChangeIds. 0: nothing.
struct Position {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(Position, Position) = default;
};

// "Every change with an id up to this one is included." 0: nothing is known.
struct StampBound {
  ChangeId up_to;
  [[nodiscard]] constexpr bool is_known() const { return up_to.value != 0; }
  [[nodiscard]] constexpr bool includes(ChangeId change) const { return is_known() && change <= up_to; }
  friend constexpr auto operator<=>(StampBound, StampBound) = default;
};

struct Stamp {
  ChangeId up_to;  // every change up to this id is included; 0: nothing is known, no change is included
  // A snapshot's upper part: changes above `up_to` and below `limit` are included unless they were in
  // progress.
  ChangeId limit{};
  // Ascending, within (up_to, limit). Shared because a stamp is copied along with every waiter of a load, and
  // a busy PostgreSQL has hundreds of transactions in progress. Null: none.
  std::shared_ptr<const std::vector<std::uint64_t>> in_progress{};

  [[nodiscard]] bool is_known() const { return up_to.value != 0; }
  [[nodiscard]] StampBound bound() const { return StampBound{up_to}; }
  [[nodiscard]] bool includes(ChangeId change) const {
    if (!is_known()) return false;
    if (change <= up_to) return true;
    if (change >= limit) return false;
    return in_progress == nullptr ||
           !std::binary_search(in_progress->begin(), in_progress->end(), change.value);
  }
  // Does this stamp include every change that `other` includes?
  [[nodiscard]] bool covers(const Stamp& other) const {
    if (!other.is_known()) return true;
    if (!is_known() || highest() < other.highest()) return false;
    if (in_progress == nullptr) return true;
    return std::none_of(in_progress->begin(), in_progress->end(),
                        [&](std::uint64_t id) { return other.includes(ChangeId{id}); });
  }
  // The highest id that may be included: two stamps of one origin are compared by it only to choose what to
  // keep.
  [[nodiscard]] ChangeId highest() const {
    return std::max(up_to, ChangeId{limit.value == 0 ? 0 : limit.value - 1});
  }
  friend bool operator==(const Stamp& a, const Stamp& b) {
    const auto same_list = [&] {
      if (a.in_progress == b.in_progress) return true;
      return a.in_progress != nullptr && b.in_progress != nullptr && *a.in_progress == *b.in_progress;
    };
    return a.up_to == b.up_to && a.limit == b.limit && same_list();
  }

  // From a PostgreSQL snapshot. `in_progress` is ascending, each in [xmin, xmax).
  [[nodiscard]] static Stamp of_snapshot(std::uint64_t xmin, std::uint64_t xmax,
                                         std::vector<std::uint64_t> in_progress) {
    Stamp stamp;
    const std::uint64_t first_missing = in_progress.empty() ? xmax : std::min(xmin, in_progress.front());
    stamp.up_to = ChangeId{first_missing == 0 ? 0 : first_missing - 1};
    if (!in_progress.empty()) {
      stamp.limit = ChangeId{xmax};
      stamp.in_progress = std::make_shared<const std::vector<std::uint64_t>>(std::move(in_progress));
    }
    return stamp;
  }
};

}  // namespace candor
