// One node's end of the region stream: what the stream says is done to the cache, in order, and what it
// proves is told.
//
//   region stream ── Applier ── ChangeTarget (markers, L1, floors, proofs)
//   origin ── Prober ──┘
//
// Invariants
//   - A message moves the watermark only after every change in it has been applied.
//   - A hole in the stream raises the floor of every origin before anything after the hole is applied.
//   - A probe's time is read before the question is sent.
// Thread safety: the cache's home executor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "bus/region_stream.h"
#include "cache/change_target.h"
#include "invalidation/change_lag.h"
#include "invalidation/l2_known.h"
#include "invalidation/origin_tracker.h"
#include "invalidation/region_writes.h"
#include "origin/origin.h"

namespace candor {

// A floor was raised, or has settled: for people.
struct FloorNews {
  std::string origin;
  std::string feature;  // empty: all of the origin
  std::string reason;
  bool settled = false;
  Duration lasted{0};  // settled: since it was raised
};

struct ApplierOptions {
  std::string node;
  std::uint64_t process = 0;  // random for each start
  Duration probe_period = 200ms;
  Duration probe_timeout = 1s;
  Duration presence_period = 1s;
  // A node not heard for this long is not waited for: three beats.
  Duration presence_lost_after = 3s;
  Duration self_test_patience = 5s;
  std::function<void(const FloorNews&)> tell_floor{};  // null: nobody listens
  // This history of the origin lost commits, though its feed may not know: it must begin another one. Null:
  // nobody listens.
  std::function<void(const std::string& origin, Incarnation lost, const std::string& reason)> tell_feed{};
  RegionWrites* writes = nullptr;  // what this node says of writes, and hears; null: nothing. Outlives this
};

struct AppliedOrigin {
  std::string name;
  Incarnation incarnation;
  Position applied;
  Position l2_told;
  bool settled = false;
  MonoTime fresh_as_of{0};
  std::uint64_t changes = 0, floors = 0, probes = 0, probes_failed = 0;
  std::uint64_t histories_lost = 0;  // that this node saw at the origin, before the feed said so
  std::string history_lost;          // how the last of them showed
  // Why nothing of it, or of one feature (empty: all), was trusted the last time; never longer than
  // kFloorReasonMax. `last_floor_at` 0: no floor was raised since the start.
  std::string last_floor_reason, last_floor_feature;
  MonoTime last_floor_at{0};
  std::vector<Unheard> unheard;  // features that are not heard of: by ttl alone, nothing is proven of them
  Duration lag{0};  // commit, by the origin's clock, to applied, by this node's wall clock: for people only
};

// A reason comes from a message of another node: what is kept and logged of it.
inline constexpr std::size_t kFloorReasonMax = 300;

struct ApplierStatus {
  std::vector<AppliedOrigin> origins;
  SequenceNumber applied;
  std::uint64_t gaps = 0, messages = 0;
  bool self_heard = false;         // this node's own message came back
  std::vector<std::string> nodes;  // heard of lately, this one included
  std::string problem;             // empty: none
};

class Applier final : public StreamReader {
 public:
  // `known`: hears of L2's state what the stream says, so that a publisher of this node which begins to lead
  // notices an L2 that has forgotten; null: nobody asks. Outlives this.
  Applier(Executor* executor, const Clock* clock, RegionStream* stream, ChangeTarget* target,
          ApplierOptions options, L2Known* known = nullptr);
  ~Applier() override;
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // An origin whose changes arrive on the stream. Before start(); `origin` outlives this.
  void watch(std::string name, Origin* origin);
  // This node has seen at the origin itself that its history is another one: at once what a break with
  // another incarnation does when the feed has found out as well. It settles with the feed's next messages.
  // `feed_knows` false: the feed may go on in what it takes for the same history. Then the region is told,
  // until there is another incarnation, and nothing of this one is believed but what it invalidates.
  void lose_history(std::string_view origin, const std::string& reason, bool feed_knows);
  void start();
  // Says goodbye on the stream; nothing more is probed.
  void stop();

  // CANDOR.INVALIDATE, flushes: what the message says, whose request and node are set here. Answers when
  // every live node of the region has applied it, this one included; kTimeout names the nodes that have not.
  // Live is who was heard before the message, in the stream's own order; a node that has just started listens
  // for a beat and a half first.
  Task<Result<void>> invalidate_everywhere(message::Invalidate what, Duration timeout);

  void on_message(SequenceNumber sequence, StreamMessage message) override;
  void on_gap(SequenceNumber next, std::string reason) override;
  void on_connected(bool connected) override;

  [[nodiscard]] ApplierStatus status() const;
  // From commit to applied here; null: no such origin.
  [[nodiscard]] const ChangeLag* lag(std::string_view origin) const;

 private:
  struct Watched {
    std::string name;
    Origin* origin = nullptr;
    OriginTracker tracker;
    Position l2_told;
    // What L2 must have been told before it is read again: set when the floor settles. Nothing: not settled.
    std::optional<Position> l2_bar;
    AppliedOrigin figures;
    std::optional<MonoTime> unsettled_since;  // by a floor; nothing: settled, or not yet since the start
    ChangeLag lag;
    std::uint64_t break_id = 0;  // the last that was heard of; 0: whichever comes next
    Incarnation lost;            // has lost commits; 0: none is known to have
    std::string lost_reason;     // who found out, and how
  };
  struct Request {
    std::vector<std::string> waiting_for;  // this node alone until the message has come back
    OneShot<bool> done;
  };
  struct Heard {
    MonoTime at;
    std::uint64_t process = 0;
  };

  void apply(SequenceNumber sequence, const message::Changes& changes);
  void apply(const message::Floor& floor);
  void hear_of_loss(Watched& origin, const message::Floor& floor);
  void say_what_is_lost(const Watched& origin);
  void look_for_break(Watched& origin, const message::Changes& changes);
  void note_unheard(Watched& origin, const std::vector<Unheard>& unheard, bool same_history);
  void apply(const message::Invalidate& invalidate);
  void note(const message::Applied& applied);
  void note(const message::Presence& presence);
  void act(Watched& origin, const OriginTracker::Outcome& outcome);
  void look_at_l2(Watched& origin);
  void note_l2(L2State state);
  void lose(Watched& origin, Suspects suspects, const std::string& feature, std::string_view reason);
  void tell_settled(Watched& origin);
  void probe_soon(Watched* origin, Duration in);
  Task<void> probe(Watched* origin);
  void beat();
  void say(StreamMessage message);
  [[nodiscard]] Watched* find(std::string_view name);
  [[nodiscard]] std::vector<std::string> live_nodes() const;

  Executor* executor_;
  const Clock* clock_;
  RegionStream* stream_;
  ChangeTarget* target_;
  ApplierOptions options_;
  L2Known* known_;
  std::vector<std::unique_ptr<Watched>> origins_;
  std::map<std::string, Heard, std::less<>> nodes_;
  std::map<std::uint64_t, Request> requests_;
  std::uint64_t next_request_ = 0;
  SequenceNumber applied_;
  std::uint64_t gaps_ = 0, messages_ = 0;
  bool self_seen_ = false;
  bool stopped_ = false;
  MonoTime started_{0};
  std::optional<MonoTime> beat_said_;  // a presence that has not come back
  MonoTime twin_heard_{0};             // another process with this node's name
  std::string problem_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // shared with timers and tasks that outlive this
};

}  // namespace candor
