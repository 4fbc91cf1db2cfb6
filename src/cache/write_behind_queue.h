// The writes of one feature that are durable in its log and not yet at the origin, merged by key. Pure:
// callers pass `now`.
//
// Of each key only the last write is kept: what an earlier one of the same window would have stored is
// replaced by it before anybody but a reader of this node could see it. Batches go out in the order of the
// positions of these last writes, so that "the origin has everything up to P" is one number:
//
//   log:     a=1 (1)   b=1 (2)   a=2 (3)   c=1 (4)
//   queue:   b=1 (2)   a=2 (3)   c=1 (4)
//   a batch of two: b=1, a=2 with P = 3. A crash now replays what is above 3: c=1. Write 1 is below 3 and is
//   not applied again, nor was it ever: write 3 is what came of it.
//
// Invariants
//   - A pending write has the highest position of its key.
//   - A key whose batch is under way stays pending, and readable, until finish(); a later write of it stays
//   beyond that.
// Thread safety: none. Belongs to the cache's home executor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/time.h"
#include "cache/write_behind_format.h"

namespace candor::write_behind {

class Queue {
 public:
  struct Options {
    Duration window = 100ms;
    std::size_t batch_keys = 1000;
    std::size_t batch_bytes = std::size_t{16} << 20;
    std::size_t keys_max = 100'000;
    std::size_t bytes_max = std::size_t{256} << 20;
    Duration age_max = 1h;
  };
  struct Pending {
    std::uint64_t position = 0;
    RecordKind kind = RecordKind::kStore;
    std::shared_ptr<const std::string> value;
    std::uint64_t merged = 0;  // earlier writes that it replaced
  };
  struct Item {
    std::string key;
    Pending write;
  };

  Queue(Options options, std::uint64_t seed) : options_(options), keys_(16, SeededHash{seed}) {}

  // Why another write of `key` is not taken now; empty: it is. `on_the_way`: writes, and their bytes, that
  // wait for the log.
  [[nodiscard]] std::string refusal(std::string_view key, std::size_t bytes, std::size_t on_the_way,
                                    std::size_t bytes_on_the_way, MonoTime now) const;

  // A write that is durable. Positions rise.
  void add(const Record& record, MonoTime now);
  // The last write of the key, if the origin may not have it yet.
  [[nodiscard]] const Pending* find(std::string_view key) const;

  // When the next batch is due; nothing: the queue is empty.
  [[nodiscard]] std::optional<MonoTime> due(MonoTime now) const;
  // All that is pending, by position: what one round brings to the origin, in batches. Nothing is taken from
  // the middle of the log, and nothing is left out: a key that is written without a pause would otherwise
  // always be too new for the next batch.
  [[nodiscard]] std::vector<Item> snapshot() const;
  // How many of the items from `begin` on go into one batch: at least one.
  [[nodiscard]] std::size_t batch_size(const std::vector<Item>& items, std::size_t begin) const;
  // The origin has the write, and tiers were told: forgets it, unless a later one of its key came. True: it
  // is gone.
  bool finish(const std::string& key, std::uint64_t position);
  // What came up to now has been dealt with: a new window begins with what is left, if anything.
  void end_round(MonoTime now);

  void set_window(Duration window) { options_.window = window; }
  [[nodiscard]] Duration window() const { return options_.window; }

  [[nodiscard]] bool empty() const { return keys_.empty(); }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t merged() const { return merged_; }
  [[nodiscard]] std::uint64_t last_position() const { return last_position_; }
  [[nodiscard]] std::uint64_t first_position() const { return order_.empty() ? 0 : order_.begin()->first; }
  // How long the oldest write has been waiting at least: since the round began in which it came.
  [[nodiscard]] Duration age(MonoTime now) const;

 private:
  using Keys = std::unordered_map<std::string, Pending, SeededHash, std::equal_to<>>;

  [[nodiscard]] static std::size_t bytes_of(std::string_view key, const Pending& write) {
    return key.size() + write.value->size() + kEntryBytes;
  }
  // Map node, order node and strings' own: measured about 200 bytes with glibc.
  static constexpr std::size_t kEntryBytes = 200;

  Options options_;
  Keys keys_;
  std::map<std::uint64_t, std::string> order_;  // by position: key
  std::size_t bytes_ = 0;
  std::uint64_t merged_ = 0;
  std::uint64_t last_position_ = 0;
  MonoTime round_began_{0};         // of what waits now
  std::optional<MonoTime> oldest_;  // when the first write came that is not at the origin
};

}  // namespace candor::write_behind
