// Is the server that answers now the one that answered before? Restored from an older backup, failed over to
// a standby that lagged, crashed with commits that readers had seen and its log had not: then its ids count
// again from lower down, and what was loaded before may never have been.
//
// The change feed finds out as well, when it has its connection back. Loads may be quicker: so each new
// connection, and each probe, is compared with what this process has seen, before anything goes out on it.
//
// Evidence, each enough for itself
//   - a slot of the region that was there is gone (postgres_identity.h: it is in no backup)
//   - another timeline
//   - transaction ids below those that were seen
//   - a crash of a server whose commits do not wait for the disk (synchronous_commit = off). What was lost
//   may
//     have left its id in the log, so that ids go on
// A standby says nothing: its ids run behind, and it has no slot. Its loads are not counted either.
//
// Questions overtake each other on several connections: each is compared with what was known when it left.
// Pure. Thread safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "version/stamp.h"

namespace candor {

struct PostgresPlace {
  bool is_primary = false;
  std::uint32_t timeline = 0;  // 0: not known
  std::uint64_t next = 0;      // the snapshot's xmax: every id that was visible lies below
  std::string slots;           // the region's, by name, with a space between
  std::string
      unsafe_since{};  // commits may be lost in a crash, and the last one was then; empty: they may not
};

class PostgresHistory {
 public:
  // What was known when a question left.
  struct Mark {
    std::uint64_t number = 0;
    std::uint64_t history = 0;
    std::uint32_t timeline = 0;
    std::uint64_t next = 0;
    std::string slots;
    std::string unsafe_since{};
  };
  struct Verdict {
    enum class Kind : std::uint8_t {
      kGoesOn,
      kLost,       // another history than before: `reason` says how it shows
      kOvertaken,  // a loss was noticed while the question was under way: the answer may be of either
    } kind = Kind::kGoesOn;
    std::string reason{};
    // kLost: timeline and slots are as they were. Then the change feed may go on as if nothing had happened.
    bool slots_stayed = false;
  };

  [[nodiscard]] Mark mark();
  // A load, on a primary.
  void saw(const Stamp& stamp);
  [[nodiscard]] Verdict compare(const Mark& asked, const PostgresPlace& answer);

 private:
  std::uint64_t marks_ = 0, answered_ = 0;  // the newest question whose answer is in the figures below
  std::uint64_t history_ = 0;               // losses so far
  std::uint32_t timeline_ = 0;
  std::uint64_t next_ = 0;
  std::string slots_, unsafe_since_;
};

}  // namespace candor
