// The region stream: how changes reach every node of a region, and nodes answer each other. One ordered log
// with contiguous sequence numbers, replayable as far as it is kept. Behind it: this process (`memory:`),
// Redis Streams, NATS JetStream.
//
// Invariants
//   - append() that answers kOk with sequence n means: every reader that is not cut off will be handed
//   message n exactly
//     at that place in the order. An error means "unknown": the message may be in the log or not; appending
//     it again is harmless, because every message is idempotent.
//   - A reader is handed sequence numbers without holes, or is told of the hole (on_gap) before it is handed
//   anything
//     after it. Duplicates and reordering below this interface are its implementation's to remove; the gap
//     detector in invalidation/ checks nevertheless.
//   - Numbers count within one `epoch` of the log (drawn when the log was created). A log that was deleted
//   and made anew
//     has another epoch: that is a gap as well.
//
// Thread safety: one executor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "version/change.h"

namespace candor {

struct SequenceNumber {
  std::uint64_t value = 0;  // the first message of a log is 1; 0: before the first
  friend constexpr auto operator<=>(SequenceNumber, SequenceNumber) = default;
};

// ---- what is said ----

// Features in Changes::unheard. Tables that nobody can watch are a handful while somebody mends them; each
// costs a message some hundred bytes.
inline constexpr std::size_t kUnheardMax = 64;

// What a node says of the writes of a feature, for levers that need the whole region.
struct FeatureWrites {
  std::string feature;
  std::uint64_t changes_per_hour = 0;  // made through this node
  // What this node asks of every node that writes: to wait until the old value is dropped everywhere, or to
  // gather writes for so long; 0: not to.
  bool waits = false;
  std::uint32_t gather_ms = 0;
  friend bool operator==(const FeatureWrites&, const FeatureWrites&) = default;
};
// Features in one Presence; each adds some 20 bytes to a message that every node sends each second.
inline constexpr std::size_t kFeatureWritesMax = 64;

namespace message {

// From the publisher: committed changes, complete up to `up_to`. With no changes it is the heartbeat.
struct Changes {
  std::string origin;
  Incarnation incarnation;
  Position up_to;
  // Every change at or below this position has been told to L2 (or L2's floor covers it). Below `up_to` while
  // L2 does not answer the publisher: then nodes keep their markers, which guard L1 against L2's old entries.
  Position l2_told;
  // L2's state after the markers of these changes (tier/l2.h, L2State). 0: not known.
  std::uint32_t l2_generation = 0;
  std::uint64_t l2_told_count = 0;
  // A node that begins to read the stream must apply from here to know every change that may not yet be
  // visible to new loads of the origin. 0: from this message.
  SequenceNumber replay_from;
  std::vector<Change> changes;
  // Features whose changes are not among these, whatever `up_to` says. At most kUnheardMax; more are one
  // entry that stands for every feature of the origin.
  std::vector<Unheard> unheard{};
  // FeedStatus::break_id. A reader that knows another one of this incarnation has missed a Floor.
  std::uint64_t break_id = 0;
  friend bool operator==(const Changes&, const Changes&) = default;
};

// "Nothing of this origin (or of one feature of it) that was loaded before is trusted."
struct Floor {
  std::string origin;
  std::string feature;  // empty: every feature of the origin
  Incarnation incarnation;
  Position from;  // the feed goes on from here
  std::string reason;
  // Not the feed says so, but a node that has seen it at the origin: `incarnation` has lost commits that were
  // read, though its feed may go on in it as if nothing had happened. Whoever leads that feed begins another.
  bool is_lost = false;
  friend bool operator==(const Floor&, const Floor&) = default;
};

// CANDOR.INVALIDATE, FLUSH: every node applies it and answers with Applied.
struct Invalidate {
  std::uint64_t request = 0;       // random
  std::string node;                // who asks
  std::vector<std::string> names;  // `feature:key`
  std::string feature;             // all of it; empty: only `names`; "*": every feature
  std::string tag{};               // every key that has it; empty: none
  friend bool operator==(const Invalidate&, const Invalidate&) = default;
};

struct Applied {
  std::uint64_t request = 0;
  std::string node;
  friend bool operator==(const Applied&, const Applied&) = default;
};

// Every node, once a second: I live, and have applied everything up to `applied`.
struct Presence {
  std::string node;
  std::uint64_t process =
      0;  // random for each start: two processes with one node name are a misconfiguration
  SequenceNumber applied;
  bool leaving = false;  // graceful stop: do not wait for me
  // The highest state of L2 that this node has heard of; 0: none. A publisher that has just begun to lead, on
  // a node that has just started, notices by it that L2 forgot what the others were told.
  std::uint32_t l2_generation = 0;
  std::uint64_t l2_told_count = 0;
  std::vector<FeatureWrites> writes{};
  friend bool operator==(const Presence&, const Presence&) = default;
};

// The start-up self-test: a node appends it and must read it back.
struct SelfTest {
  std::string node;
  std::uint64_t token = 0;
  friend bool operator==(const SelfTest&, const SelfTest&) = default;
};

}  // namespace message

using StreamMessage = std::variant<message::Changes, message::Floor, message::Invalidate, message::Applied,
                                   message::Presence, message::SelfTest>;

// The largest message in its binary form (message_format.h). NATS's default limit for a message is 1 MiB; the
// kilobyte below it is for what an implementation sends along.
inline constexpr std::size_t kMessageBytesMax = (std::size_t{1} << 20) - 1024;

// ---- the log ----

class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // In order of `sequence`, on the executor.
  virtual void on_message(SequenceNumber sequence, StreamMessage message) = 0;
  // Messages from the one after the last handed over, up to and including `next` - 1, are lost to this reader
  // (trimmed, undecodable, the log was made anew: then `next` counts in the new epoch). Goes on with `next`.
  virtual void on_gap(SequenceNumber next, std::string reason) = 0;
  // The connection: while it is away nothing arrives, and nothing is lost if it comes back in time.
  virtual void on_connected(bool connected) = 0;
};

struct StreamStatus {
  bool connected = false;
  std::uint64_t epoch = 0;
  SequenceNumber last;  // last handed to the reader
  std::uint64_t appended = 0, received = 0, duplicates = 0, gaps = 0, errors = 0, reconnects = 0;
  std::string problem;  // empty: none
};

class RegionStream {
 public:
  virtual ~RegionStream() = default;
  // Begins to read after `after` (nullopt: only what is appended from now on). Once; the reader outlives the
  // stream.
  virtual void read(std::optional<SequenceNumber> after, StreamReader* reader) = 0;
  // Appends that are made in one turn of the loop leave together. Errors: kUnavailable, kTimeout (unknown),
  // kOverloaded (too much waits already), kLimit (message too large).
  virtual Task<Result<SequenceNumber>> append(StreamMessage message) = 0;
  // The last number in the log now, asked of the log itself.
  virtual Task<Result<SequenceNumber>> tail() = 0;
  [[nodiscard]] virtual StreamStatus status() const = 0;
  [[nodiscard]] virtual std::string describe()
      const = 0;  // "memory", "redis 127.0.0.1:6379/0 stream candor:eu"
};

}  // namespace candor
