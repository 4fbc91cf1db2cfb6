// The region stream of one process: `memory:`, the embedded default. Several caches in one process share one
// MemoryLog, each through a MemoryStream of its own. Other processes cannot see it: changes made by them
// reach this process through its own feed only.
//
// Invariants
//   - The log holds the newest messages, bounded in number and bytes; a reader that is behind what was
//   trimmed gets
//     on_gap.
//   - A message is handed over in a later turn than its append(), also to the stream that appended it.
// Thread safety: MemoryLog: all of it. MemoryStream: its executor, for destruction as well.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "bus/region_stream.h"

namespace candor {

class MemoryStream;

class MemoryLog {
 public:
  struct Options {
    // Readers in one process are behind by turns of a loop, not by minutes: this is seconds of the highest
    // rate.
    std::size_t messages_max = 20'000;
    std::size_t bytes_max = std::size_t{32} << 20;  // in their binary form, which is about half of the memory
  };
  // `epoch` is drawn at random by whoever makes the log; never 0.
  MemoryLog(Options options, std::uint64_t epoch) : options_(options), epoch_(epoch) {}

  [[nodiscard]] SequenceNumber append(StreamMessage message, std::size_t bytes);
  [[nodiscard]] SequenceNumber tail() const;
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }

  struct Page {
    SequenceNumber first;  // of `messages`; beyond the one asked for when that was trimmed
    SequenceNumber tail;
    std::vector<std::shared_ptr<const StreamMessage>> messages;
  };
  // Up to `messages_max` messages after `after`.
  [[nodiscard]] Page read(SequenceNumber after, std::size_t messages_max) const;

 private:
  friend class MemoryStream;
  struct Kept {
    // Shared: readers copy it outside the lock, while it may be trimmed.
    std::shared_ptr<const StreamMessage> message;
    std::size_t bytes;
  };
  void join(MemoryStream* reader);
  void leave(MemoryStream* reader);

  const Options options_;
  const std::uint64_t epoch_;
  mutable Mutex mutex_;
  std::deque<Kept> kept_ CANDOR_GUARDED_BY(mutex_);
  std::size_t bytes_ CANDOR_GUARDED_BY(mutex_) = 0;
  std::uint64_t last_ CANDOR_GUARDED_BY(mutex_) = 0;
  std::vector<MemoryStream*> readers_ CANDOR_GUARDED_BY(mutex_);
};

class MemoryStream final : public RegionStream {
 public:
  // Shared: the log lives as long as its last stream.
  MemoryStream(Executor* executor, std::shared_ptr<MemoryLog> log);
  ~MemoryStream() override;

  void read(std::optional<SequenceNumber> after, StreamReader* reader) override;
  Task<Result<SequenceNumber>> append(StreamMessage message) override;
  Task<Result<SequenceNumber>> tail() override;
  [[nodiscard]] StreamStatus status() const override;
  [[nodiscard]] std::string describe() const override { return "memory"; }

 private:
  friend class MemoryLog;
  void wake();  // any thread, under the log's lock
  void deliver();

  Executor* executor_;
  std::shared_ptr<MemoryLog> log_;
  StreamReader* reader_ = nullptr;
  StreamStatus status_;
  std::atomic<bool> woken_{false};  // a deliver() is posted
  // Shared with posted work, which may outlive the stream; used on the executor only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
