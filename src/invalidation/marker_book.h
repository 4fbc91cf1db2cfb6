// The markers that the publisher of one origin has to look after in L2: those that L2 has not been told yet,
// and those that must outlive their time there because their change may still be invisible to new loads.
// Pure.
//
//   begin() ── told() ──> held ── on_visible() ──> shortened to one lease time ──> forgotten
//      └── owe() ──> owed, first come first served ── take_owed() ──> told()
//
// Invariants
//   - A change is untold from begin() until told(): first_untold() never passes it.
//   - A held marker is renewed before it ends, as long as its change may be invisible.
//   - Untold and held are bounded. A change that finds no place is the caller's to cover (LateDebts).
// Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "version/change.h"

namespace candor {

class MarkerBook {
 public:
  struct Options {
    std::size_t untold_max = 100'000;  // about 20 MB; five seconds of the highest rate
    std::size_t held_max = 100'000;
    Duration hold = 10min;        // of a new marker: longer than any takeover of a feed
    Duration renew_after = 5min;  // half of it: one renewal may be lost
    Duration lease_time = 3s;     // the longest lease that a load may hold in L2
  };
  struct Item {
    std::string name;  // `feature:key`, or `feature:` for all of it
    ChangeId change;
    Position position;
    bool whole_feature = false;
  };
  using Ticket = std::uint64_t;
  struct Owed {
    Ticket ticket = 0;
    Item item;
  };
  struct Hold {
    std::string name;
    ChangeId change;
    Duration hold{0};
  };

  explicit MarkerBook(Options options) : options_(options) {}

  // nullopt: no place.
  [[nodiscard]] std::optional<Ticket> begin(Item item);
  void told(Ticket ticket, MonoTime now);
  // L2 did not answer (in time): to be told again. Nothing if it was told meanwhile.
  void owe(Ticket ticket);
  // Up to `count` owed ones, to be told now.
  [[nodiscard]] std::vector<Owed> take_owed(std::size_t count);
  [[nodiscard]] bool owes() const { return !owed_.empty(); }
  // The lowest position that L2 has not been told.
  [[nodiscard]] std::optional<Position> first_untold() const;

  // What to do about markers now that everything up to `visible` is: at most `count` at a time.
  [[nodiscard]] std::vector<Hold> on_visible(ChangeId visible, MonoTime now, std::size_t count);
  // L2 may have lost what it was told: whatever was told and still matters is owed again.
  void tell_again();
  // L2 has counted what it was told so far: an L2 that lost some of it shows that.
  void counted() { ++count_; }
  // As tell_again(), of what was told since.
  void tell_uncounted_again();
  // Another history: nothing of this one matters. Tickets under way are void.
  void clear();
  // Of markers that found no place to be held: they end at `ends`, and their changes go up to `id`.
  struct Unheld {
    ChangeId id;
    Position position;
    MonoTime ends;
  };
  [[nodiscard]] const std::optional<Unheld>& unheld() const { return unheld_; }
  void forget_unheld() { unheld_.reset(); }

  [[nodiscard]] std::size_t untold() const { return untold_.size(); }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  struct Untold {
    Item item;
    bool in_flight = true;
  };
  struct Held {
    Item item;
    MonoTime since;
    bool shortened = false;
    std::uint64_t count = 0;  // count_ when L2 was told
  };
  void owe_again(Held held);
  void hold(Item item, MonoTime now);

  Options options_;
  Ticket last_ticket_ = 0;
  std::uint64_t count_ = 0;
  std::map<Ticket, Untold> untold_;
  std::multiset<Position> untold_positions_;
  std::deque<Ticket> owed_;  // may name tickets that were told late
  std::deque<Held> held_;    // in the order they were told
  std::optional<Unheld> unheld_;
};

}  // namespace candor
