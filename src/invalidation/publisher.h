// From the feed of one origin to the region: L2's markers first, then the region stream, then the feed's
// position is confirmed. Runs on the node whose feed leads.
//
//   feed ── on_changes ──> slices ── L2Teller ──> message ── append ──> PublishLedger ── confirm ──> feed
//
// Invariants
//   - A change is appended to the stream after L2 has answered for it, or after L2 had `l2_patience` to
//   answer: then
//     the message says so (`l2_told` stays behind) and it is owed to L2.
//   - Messages leave in the order of the feed, one at a time; one that cannot be appended is tried again for
//   ever, and
//     holds back the rest. That freezes the origin's position, is counted and shown, and fails nobody's
//     write.
//   - confirm() never passes a position that is not appended, that L2 was not told, or whose transactions may
//   still be
//     invisible to new loads: those come again after a takeover.
//   - Losing leadership drops everything: what was not confirmed is handed to the next leader.
//   - Bounded: kSlicesMax slices wait, kSlicesTelling of them are being told to L2; MarkerBook bounds what is
//   owed.
//
// Heartbeats: a message without changes when there is something to say (the feed's position, l2_told or
// replay_from moved), at most one each `heartbeat_period`; and one each kIdlePeriods of them when there is
// nothing. Nobody needs more: a node whose applied position is the one that the origin answers proves itself
// without any message, and silence longer than 2.5 idle periods is shown as an overdue publisher. Thread
// safety: the cache's home executor. The feed is called from its own turns only, never inside its own calls.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "bus/region_stream.h"
#include "change/feed.h"
#include "invalidation/change_lag.h"
#include "invalidation/l2_known.h"
#include "invalidation/l2_teller.h"
#include "invalidation/publish_ledger.h"
#include "origin/origin.h"
#include "tier/l2.h"

namespace candor {

struct PublisherOptions {
  std::string origin;
  Duration l2_patience = 500ms;
  Duration heartbeat_period = 100ms;
  Duration probe_period = 200ms;  // how often the origin is asked what is visible, while something may not be
  Duration probe_timeout = 1s;
  Duration append_patience = 5s;  // the stream has time-outs of its own; nothing waits for ever here
  MarkerBook::Options book{};
  std::uint64_t seed = 0;
};

struct PublisherStatus {
  bool leading = false;
  Position handed_over, published, l2_told, confirmed;
  ChangeId visible;
  std::uint64_t changes = 0, messages = 0, heartbeats = 0, floors = 0;
  std::uint64_t append_failures = 0;
  std::uint64_t probes_failed = 0;
  std::size_t waiting_slices = 0;  // not appended yet
  std::size_t unconfirmed = 0;     // messages appended and not confirmed
  L2Teller::Status l2;             // of this leadership
  Duration lag_append{0};  // of the last change: commit, by the origin's clock, to appended, by this node's
  std::string problem;     // empty: none
};

class Publisher final : public FeedSink {
 public:
  // `l2` null: none. `known` may be shared by the publishers and the applier of a node; null: its own.
  Publisher(Executor* executor, const Clock* clock, Feed* feed, RegionStream* stream, L2* l2, Origin* origin,
            PublisherOptions options, L2Known* known = nullptr);
  ~Publisher() override;
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void start();

  void on_changes(std::vector<Change> changes, Position up_to,
                  std::move_only_function<void()> taken) override;
  void on_break(Incarnation incarnation, Position from, std::string reason) override;
  void on_leading(bool leading) override;

  [[nodiscard]] PublisherStatus status() const;
  // From commit to: handed over by the feed, answered by L2, appended to the stream.
  struct Lags {
    ChangeLag feed, l2, append;
  };
  [[nodiscard]] const Lags& lags() const { return lags_; }

  static constexpr std::size_t kSlicesMax = 64;     // 64,000 changes: more than L2's patience at 100,000/s
  static constexpr std::size_t kSlicesTelling = 4;  // 4,000 commands under way keep an L2 at 1 ms busy
  static constexpr std::size_t kChangesPerMessage = 1000;
  static constexpr std::size_t kMessageBytes = kMessageBytesMax / 2;  // room for the rest of the message
  static constexpr int kIdlePeriods = 10;

 private:
  struct FeedWord;
  struct Slice;
  struct Leadership;
  using Term = std::shared_ptr<Leadership>;

  Task<void> lead(Term term);
  Task<void> send_changes(Term term);
  Task<void> send_floor(Term term);
  Task<void> send_heartbeat(Term term);
  Task<SequenceNumber> append(Term term, StreamMessage message);
  Task<void> wait_for_work(Term term);
  Task<void> probe(Term term);
  [[nodiscard]] static FeedWord word_of(FeedStatus feed);
  void cut(Leadership& term, std::vector<Change> changes, Position up_to, const FeedWord& word);
  void tell_ahead(const Term& term);
  void offer_room(const Term& term);
  void confirm(Leadership& term);
  void nudge(const Term& term);
  void beat();
  [[nodiscard]] message::Changes message_of(Leadership& term, Position up_to) const;
  [[nodiscard]] bool has_news(Leadership& term) const;
  void end_term();

  Executor* executor_;
  const Clock* clock_;
  Feed* feed_;
  RegionStream* stream_;
  L2* l2_;
  Origin* origin_;
  PublisherOptions options_;
  L2Known own_known_;
  L2Known* known_;
  Term term_;  // null: not leading
  std::uint64_t terms_ = 0;
  PublisherStatus status_;
  Lags lags_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
