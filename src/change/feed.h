// The origin's change feed: what was committed, by anyone, in commit order. One Feed watches one origin for
// one region.
//
//   origin ── feed ── publisher ── L2 markers ── region stream ── every node's applier ── L1, watermark
//
// Of the nodes of a region one feed is active (kLeading) at a time; the others stand by and take over.
// PostgreSQL's replication slot elects it; a SQLite file is local, so that each process that has it may lead
// for itself; see each feed's header.
//
// Invariants
//   - Changes arrive in the order of their positions, whole transactions together, each at least once: after
//   a restart
//     or a takeover what lies above the confirmed position comes again.
//   - What `Sink::on_changes` hands over as `up_to` is complete: every change of a watched table that was
//   committed at
//     or below it has been handed over in this or an earlier call of this leadership, or before the confirmed
//     position.
//   - A feed that cannot keep that promise (slot lost, log trimmed, origin restored) calls on_break() before
//   it goes on. A break outlives its leader: until a position at or above it is confirmed, whoever leads next
//   begins with it again, or names another incarnation. What is remembered lies outside of the leader: in the
//   slot's name (PostgreSQL, which also says for which tables it was made, so that the cause is found again),
//   beside the database (SQLite). Redis has no leader: each connection is a history of its own.
//
// Flow control: the feed holds at most Options' limits of changes that the sink has not taken; on_changes()
// answers by calling `taken` when it wants more, and the feed reads on only then.
//
// Thread safety: one executor; the sink is called on its thread, never inside a call of the sink's owner.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "version/change.h"

namespace candor {

// A table whose changes invalidate a feature.
struct Watch {
  std::string feature;
  std::string table;                     // as configured: "profile" or "app.profile"
  std::vector<std::string> key_columns;  // one or several; joined by ':' they are the key
};

class FeedSink {
 public:
  virtual ~FeedSink() = default;
  // Changes of one or more whole transactions; empty for a heartbeat, which only moves `up_to`. `taken` is
  // called once, later, when the sink can take the next call.
  virtual void on_changes(std::vector<Change> changes, Position up_to,
                          std::move_only_function<void()> taken) = 0;
  // Changes may have been missed, or positions count anew: nothing stamped before is to be trusted.
  // `incarnation` is the origin's from now on, `from` where the feed goes on. Also the first call of every
  // leadership that could not continue from its checkpoint.
  virtual void on_break(Incarnation incarnation, Position from, std::string reason) = 0;
  virtual void on_leading(bool leading) = 0;
};

struct FeedStatus {
  enum class State : std::uint8_t {
    kOff,  // not started
    kConnecting,
    kStandby,  // another node of the region leads
    kLeading,
    kMisconfigured,  // a person must act: `problem` says what, with the exact SQL
  } state = State::kOff;
  std::string problem;   // empty: none
  Position handed_over;  // `up_to` of the last on_changes()
  Position confirmed;    // told to the origin
  std::uint64_t lag_bytes =
      0;  // PostgreSQL: WAL that the slot holds back; SQLite: rows of the log not yet confirmed
  std::uint64_t changes = 0, transactions = 0, breaks = 0, reconnects = 0;
  Incarnation incarnation;  // of the history that is read; known from on_leading(true) on
  // Watched features that this leadership does not read. A feature enters with on_leading() or on_break(),
  // and leaves with one of them, or with the on_changes() that hands over a change of all its keys.
  std::vector<Unheard> unheard;
  // Names the last break within this incarnation, for readers that missed its message. Known to whoever leads
  // next; 0: this feed names a new incarnation at each break.
  std::uint64_t break_id = 0;
};
[[nodiscard]] constexpr const char* feed_state_name(FeedStatus::State state) {
  switch (state) {
    case FeedStatus::State::kOff:
      return "off";
    case FeedStatus::State::kConnecting:
      return "connecting";
    case FeedStatus::State::kStandby:
      return "standby";
    case FeedStatus::State::kLeading:
      return "leading";
    case FeedStatus::State::kMisconfigured:
      return "misconfigured";
  }
  return "?";
}

class Feed {
 public:
  virtual ~Feed() = default;
  // Once. The sink outlives the feed.
  virtual void start(FeedSink* sink) = 0;
  // Everything up to `position` is stored where it must be: the origin may forget it, and a restart begins
  // after it.
  virtual void confirm(Position position) = 0;
  // `incarnation` has lost commits that somebody has read, though what this feed reads goes on as if nothing
  // had happened. If that is the history it reads, or will read when it leads, it begins another one, with a
  // break. Feeds that notice by themselves need not listen.
  virtual void history_lost(Incarnation /*incarnation*/, const std::string& /*reason*/) {}
  // Gives leadership up (drain); another node may take it at once.
  virtual void stop() = 0;
  [[nodiscard]] virtual FeedStatus status() const = 0;
  [[nodiscard]] virtual std::string describe()
      const = 0;  // "postgresql app@127.0.0.1:5432/shop slot candor_eu"
};

}  // namespace candor
