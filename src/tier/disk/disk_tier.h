// The tier between L1 and L2: what L1 evicts and is still warm, on this node's flash.
//
//   L1 evicts → admission → queue ─┐                        ┌→ removal of the record
//   a change, a newer load → forget ┴→ one writer, in order ─┤
//                                                            └→ record
//   L1 misses → may it be there? → read (pool) → not forgotten since? → the cache judges it as L1's own
//
// Invariants
//   - Every demotion and every forgetting has a sequence number, in one order. A record is served only if
//     nothing was forgotten of it since; that is decided here in memory, when the answer has come
//     (Forgotten). The removal on the disk follows, and a disk that fails only costs hits.
//   - Whoever forgets a key has erased it from L1 before: what L1 evicts later is newer.
//   - At most one write and kReadsMax reads are under way; beyond, and while the disk is slow, the tier has
//     no answer. Nothing here blocks the home executor.
//   - What an earlier run left is served only if that run ended with close() and every age is known (life.h).
//
// Thread safety: on_evicted() on any thread; everything else on the home executor.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/task.h"
#include "base/transport.h"
#include "tier/disk/admission.h"
#include "tier/disk/byte_store.h"
#include "tier/disk/forgotten.h"
#include "tier/disk/life.h"
#include "tier/disk/presence.h"
#include "tier/disk/record.h"
#include "tier/l1/eviction_sink.h"

namespace candor::disk {

struct Hit {
  std::string value;
  l1::EntryMeta meta;  // as L1 held it
  std::uint64_t sequence = 0;
  std::uint64_t history = 0;       // of the origin, that the stamp belongs to; 0: not known
  bool is_of_earlier_run = false;  // nobody heard of the changes since
  bool is_old = false;             // the disk drops it soon
};

struct Stats {
  std::uint64_t hits = 0;       // records found and not forgotten
  std::uint64_t misses = 0;     // asked of the disk in vain
  std::uint64_t absent = 0;     // known not to be there, without asking
  std::uint64_t forgotten = 0;  // found, and older than what is known
  std::uint64_t slow = 0;       // passed over: no answer in time
  std::uint64_t busy = 0;       // passed over: too many reads under way
  std::uint64_t corrupt = 0;    // found damaged
  std::uint64_t demoted = 0;    // written
  std::uint64_t too_cold = 0, over_budget = 0, queue_full = 0, too_large = 0;  // not written, and why
  std::uint64_t removals = 0;
  std::uint64_t errors = 0;  // of the disk; each takes the tier off
  std::uint64_t disk_bytes = 0, disk_limit = 0, memory_bytes = 0, written_bytes = 0;
  std::string off;  // why the tier is off now; empty: it is on
};

class DiskTier final : public l1::EvictionSink {
 public:
  struct World {
    Executor* home = nullptr;
    const Clock* clock = nullptr;
    BlockingPool* pool = nullptr;  // its threads are this tier's alone
    std::uint64_t seed = 0;
    // A line for the log. On home.
    std::function<void(bool is_warning, const std::string&)> tell{};
  };
  struct Options {
    std::uint64_t disk_bytes = std::uint64_t{10} << 30;
    std::uint64_t write_rate = std::uint64_t{16} << 20;  // bytes a second; 0: no limit
    std::uint64_t boot = 0;                              // names this start of the machine
    bool keeps_over_restart = true;
    // Of EntryMeta::user_flags: the disk holds it as it is; it must not be written.
    std::uint8_t held_flag = 4;
    std::uint8_t never_flags = 2;
  };
  static constexpr Duration kReadPatience = 50ms;  // a flash read takes 0.1 ms; an origin some more
  static constexpr std::size_t kReadsMax = 64;
  static constexpr std::size_t kQueueBytesMax = std::size_t{8} << 20;
  static constexpr std::size_t kOpsMax = 131'072;
  // A larger value would push out hundreds of others, and takes long to read within kReadPatience.
  static constexpr std::size_t kValueBytesMax = std::size_t{1} << 20;
  static constexpr Duration kRetryEvery = 10s;

  // Blocks on the store. `store` was opened; what it holds is taken over or cleared.
  DiskTier(World world, Options options, std::shared_ptr<ByteStore> store);
  ~DiskTier() override;
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;

  // Before traffic, in the order of the ids. `fingerprint`: of everything that a value depends on beside its
  // row; another one than the last run's makes its records worthless. Not `is_held`: never demoted.
  void add_feature(std::string name, std::uint64_t fingerprint, bool is_held);

  // Of which history of its origin is a stamp of a load of then? 0: not known. On home.
  using HistoryOf = std::function<std::uint64_t(FeatureId, l1::Millis loaded_at)>;
  void use_history(HistoryOf history_of) { history_of_ = std::move(history_of); }

  // Was what L1 held of it dropped without being erased, as a tag's entries are? Such an entry is evicted
  // after what dropped it was told, and would outlive it here. On home.
  using IsDropped = std::function<bool(FeatureId, std::string_view key, l1::Millis loaded_at)>;
  void use_dropped(IsDropped is_dropped) { is_dropped_ = std::move(is_dropped); }

  void on_evicted(FeatureId feature, l1::KeyHash hash, std::string_view key,
                  const l1::EntryView& view) noexcept override;

  [[nodiscard]] bool holds(FeatureId feature) const {
    return feature.value < features_.size() && features_[feature.value].is_held;
  }
  // Nothing: not held, or not to be had in time.
  [[nodiscard]] Task<std::optional<Hit>> get(FeatureId feature, l1::KeyHash hash, std::string name);
  // Was nothing of it forgotten since it was found?
  [[nodiscard]] bool is_current(FeatureId feature, std::string_view name, const Hit& hit) const;

  // ---- from now on nothing older is served; each after L1 has erased it ----
  void forget(FeatureId feature, l1::KeyHash hash, std::string_view name);
  void forget_feature(FeatureId feature);
  void forget_all();
  // What is there may be served by this run, and by no later one.
  void keep_for_this_run(FeatureId feature);

  // The queue is empty and nothing is under way.
  [[nodiscard]] bool is_idle() const;
  // Once, when it is idle and nobody evicts any more: leaves the mark of a good end. Blocks.
  void close();

  [[nodiscard]] bool is_on() const { return !is_off_.load(std::memory_order_relaxed); }
  [[nodiscard]] Stats stats() const;

 private:
  struct FeatureState {
    std::string name;
    bool is_held = false;
    FeatureLife life;
  };
  // One thing to do, in order. Without a record: the name is removed.
  struct Op {
    FeatureId feature;
    std::string name;
    std::uint64_t sequence = 0;
    std::optional<Record> record;
    [[nodiscard]] std::size_t bytes() const {
      return name.size() + (record ? record->value.size() : 0) + 128;
    }
  };
  using Batch = std::vector<Op>;
  struct Found {
    bool answered = false;
    bool is_corrupt = false;
    std::optional<Record> record;
  };

  void take_over(std::string_view mark);
  void begin_anew();
  std::uint64_t next_sequence();
  void push(Op op, bool* wakes) CANDOR_REQUIRES(mutex_);
  void wake();
  void drain();
  void write(Batch batch);
  void written(const Batch& batch, const Result<void>& result);
  void end_read(std::uint64_t number);
  void go_off(const std::string& why);
  void try_again();
  [[nodiscard]] std::optional<Hit> judged(FeatureId feature, l1::KeyHash hash, const std::string& name,
                                          Found found);
  [[nodiscard]] std::optional<Hit> judge(FeatureId feature, std::string_view name, Record record);
  [[nodiscard]] bool dates(Record* record) const;
  [[nodiscard]] bool is_served(FeatureId feature, std::string_view name, std::uint64_t sequence) const;
  [[nodiscard]] static std::vector<ByteStore::Op> encode(const Batch& batch);
  [[nodiscard]] static Found read(ByteStore& store, const std::string& name);

  World world_;
  Options options_;
  std::shared_ptr<ByteStore> store_;  // shared with the pool's tasks, which may end after this
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<FeatureState> features_;  // fixed before traffic but for `life`, which is home's

  // ---- home's ----
  HistoryOf history_of_;
  IsDropped is_dropped_;
  Life life_;
  std::uint64_t first_of_run_ = 1;
  Forgotten forgotten_;
  bool is_writing_ = false;
  std::size_t reads_ = 0;  // on the pool
  // Lines of `forgotten_` whose removal was written, but not before these reads began: what such a read finds
  // may be of before.
  struct Settled {
    std::string name;
    std::uint64_t sequence = 0;
    std::uint64_t after = 0;  // all reads of a lower number have to be over
  };
  std::deque<Settled> settled_;
  std::set<std::uint64_t> reading_;  // numbers of those that are not judged yet
  std::uint64_t next_read_ = 1;
  Stats stats_;
  ByteStore::Usage usage_;           // as of the last write: asking the store may wait
  std::atomic<bool> is_off_{false};  // written on home
  bool is_closed_ = false;

  // Below any lock of L1; nothing is called under it but post().
  mutable Mutex mutex_;
  std::uint64_t sequence_ CANDOR_GUARDED_BY(mutex_) = 1;  // the next one
  Admission admission_ CANDOR_GUARDED_BY(mutex_);
  Presence presence_ CANDOR_GUARDED_BY(mutex_);
  Batch queue_ CANDOR_GUARDED_BY(mutex_);
  std::size_t queue_bytes_ CANDOR_GUARDED_BY(mutex_) = 0;
  bool is_woken_ CANDOR_GUARDED_BY(mutex_) = false;
  std::uint64_t too_cold_ CANDOR_GUARDED_BY(mutex_) = 0, over_budget_ CANDOR_GUARDED_BY(mutex_) = 0,
                          queue_full_ CANDOR_GUARDED_BY(mutex_) = 0, too_large_ CANDOR_GUARDED_BY(mutex_) = 0;
};

}  // namespace candor::disk
