// From the feed of one origin to the region: L2's markers first, then the region stream, then the feed's
// position is confirmed. Runs on the node whose feed leads.
//
// Invariants
//   - A change is appended to the stream after L2 has answered for it, or after L2 had `l2_patience` to
//   answer and the
//     message says so (`l2_told` stays behind): then it is owed to L2.
//   - Messages leave in the order of the feed; one that cannot be appended is tried again for ever, and holds
//   back the rest.
//   - confirm() never passes a position that is not appended, that L2 was not told, or whose transactions may
//   still be
//     invisible to new loads: those come again after a takeover.
//   - Bounded: one batch of the feed at a time, kOwedMax names owed to L2; beyond that L2's generation is
//   raised instead.
// Thread safety: the cache's home executor.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "bus/region_stream.h"
#include "change/feed.h"
#include "origin/origin.h"
#include "tier/l2.h"

namespace candor {

struct PublisherOptions {
  std::string origin;
  Duration l2_patience = 500ms;
  Duration marker_hold = 10min;  // renewed by nothing: visibility takes milliseconds, or a person's attention
  Duration visible_period = 200ms;  // how often the origin is asked what is visible
  Duration probe_timeout = 1s;
  Duration repay_period = 200ms;
};

struct PublisherStatus {
  bool leading = false;
  Position published, l2_told, visible, confirmed;
  std::uint64_t changes = 0, messages = 0, floors = 0;
  std::uint64_t append_failures = 0, l2_failures = 0, l2_generations = 0;
  std::size_t owed = 0;
};

class Publisher final : public FeedSink {
 public:
  // `l2` may be null: none.
  Publisher(Executor* executor, Feed* feed, RegionStream* stream, L2* l2, Origin* origin,
            PublisherOptions options);
  ~Publisher() override;
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void start();

  void on_changes(std::vector<Change> changes, Position up_to,
                  std::move_only_function<void()> taken) override;
  void on_break(Incarnation incarnation, Position from, std::string reason) override;
  void on_leading(bool leading) override;

  [[nodiscard]] PublisherStatus status() const;

  static constexpr std::size_t kOwedMax = 100'000;
  static constexpr std::size_t kChangesPerMessage = 1000;
  static constexpr std::size_t kMessageKeyBytesMax = std::size_t{512} << 10;

 private:
  struct Batch {
    std::vector<Change> changes;
    Position up_to;
    std::move_only_function<void()> taken;
    bool is_floor = false;
    Incarnation incarnation;
    std::string reason;
  };
  // Positions that wait for their transactions to be visible.
  struct Published {
    Position up_to;
    ChangeId highest;
  };

  Task<void> run();
  Task<void> publish(Batch* batch);
  Task<bool> tell_l2(const std::vector<Change>* changes);
  Task<void> append(StreamMessage message);
  Task<void> repay();
  Task<void> look_what_is_visible();
  void owe(const std::vector<Change>& changes);
  void confirm_what_may();
  [[nodiscard]] message::Changes message_of(Position up_to) const;
  void every(Duration period, Task<void> (Publisher::*step)());

  Executor* executor_;
  Feed* feed_;
  RegionStream* stream_;
  L2* l2_;
  Origin* origin_;
  PublisherOptions options_;
  std::deque<Batch> queue_;
  bool running_ = false;
  std::uint64_t leadership_ = 0;  // work of an earlier one is dropped
  Incarnation incarnation_;
  L2State l2_state_;
  std::unordered_map<std::string, ChangeId> owed_;
  bool owes_generation_ = false;
  std::deque<Published> invisible_;
  PublisherStatus status_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
