// The sweep: asks the origin, slowly and for ever, whether what the tiers hold is still true. It is there for
// what nothing else would notice: a change that the feed was never told of, a feature that nobody watches, an
// L2 that kept an old value. See docs/reconciliation.md.
//
//   walk L1 ── batches, at a set rate ── look(): L1, L2 and the origin's word of one key
//     ▲                                     │ they agree: counted
//     └── again, for ever                   └ they differ: in doubt, until the feed has passed the moment of
//                                             the answer; then judge(): was a change under way? If not, it
//                                             is counted with its cause, and what is held is dropped
//
// Invariants
//   - Never more keys a second than configured, and at most RepairPace::kUnderWayMax batches under way.
//   - Nothing is asked of an origin that suffers. The walk waits for it, and after kPatience passes its keys
//     over, counted as skipped: one origin that is away must not end the sweep of the others.
//   - A change that is under way is no divergence.
//   - It stores nothing: what is wrong is dropped as an invalidation drops it, and readers load it again.
// Thread safety: the cache's home executor.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "cache/repair_pace.h"
#include "tier/l1/store.h"
#include "version/stamp.h"

namespace candor {

// What became of one entry.
enum class Reconciled : std::uint8_t {
  kEqual,
  kInFlight,  // it differed, and its change came: no divergence
  // Divergences, as in cache/observer.h.
  kLost,
  kTtlOnly,
  kRace,
  kL2Only,
  // Not judged.
  kElsewhere,  // the entry was gone, or another one, before the origin had answered
  kUnproven,   // it differs, and the feed did not pass the answer in time: the next pass asks again
  kFailed,     // the origin, or L2, did not answer
  kSkipped,    // the origin suffered
};
inline constexpr std::size_t kReconciledKinds = 10;
inline constexpr std::array<std::string_view, kReconciledKinds> kReconciledNames = {
    "equal",   "in-flight", "lost",     "ttl-only", "race",
    "l2-only", "elsewhere", "unproven", "failed",   "skipped"};

struct ReconcileTally {
  std::array<std::uint64_t, kReconciledKinds> entries{};
  std::uint64_t negatives = 0;  // divergences of entries that said "no such row"

  [[nodiscard]] std::uint64_t of(Reconciled how) const { return entries[static_cast<std::size_t>(how)]; }
  [[nodiscard]] std::uint64_t divergent() const {
    return of(Reconciled::kLost) + of(Reconciled::kTtlOnly) + of(Reconciled::kRace) + of(Reconciled::kL2Only);
  }
  // Entries that were judged.
  [[nodiscard]] std::uint64_t judged() const {
    return of(Reconciled::kEqual) + of(Reconciled::kInFlight) + divergent();
  }
  void add(Reconciled how, bool negative) {
    ++entries[static_cast<std::size_t>(how)];
    const bool diverges = how >= Reconciled::kLost && how <= Reconciled::kL2Only;
    if (diverges && negative) ++negatives;
  }
};

// An entry that differs from the origin's word, and may only be on its way.
struct ReconcileDoubt {
  FeatureId feature;
  std::string key;
  bool in_l1 = false;  // L1 differs; `entry` says which load it is of
  l1::EntryMeta entry;
  bool in_l2 = false;  // L2 differs; its value is known again by its hash
  bool l2_negative = false;
  std::uint64_t l2_hash = 0;
  ChangeId seen;         // every change up to this one is in the origin's word; 0: not known
  MonoTime answered{0};  // the origin's word is from before
  [[nodiscard]] bool negative() const { return in_l1 ? entry.negative : l2_negative; }
};

// Not nested in Reconciler: clang wants the class around a default member initializer complete before a task
// of it is named there.
struct ReconcileAnswer {
  Reconciled how = Reconciled::kElsewhere;
  std::optional<ReconcileDoubt> doubt{};  // then `how` says nothing
};

struct ReconcileStatus {
  bool is_on = false;
  bool is_waiting = false;  // an origin suffers
  double rate = 0;          // keys a second that are allowed now
  std::uint64_t passes = 0;
  Duration last_pass{0};           // from the first entry of L1 to the last
  std::uint64_t asked = 0;         // keys of this pass until now
  std::uint64_t in_doubt = 0;      // keys
  MonoTime last_divergence_at{0};  // 0: none since the start
  struct OfFeature {
    ReconcileTally since_start, last_pass;
  };
  std::vector<OfFeature> features;  // by FeatureId
};

class Reconciler {
 public:
  using Looked = ReconcileAnswer;
  struct World {
    Executor* home = nullptr;
    l1::Store* l1 = nullptr;
    // Would a reader be served this entry, and is there an origin to ask?
    std::function<bool(const l1::Store::Visited&)> is_due;
    std::function<bool(FeatureId)> suffers;
    std::function<Task<Looked>(FeatureId, std::string)> look;
    // Has whatever the origin's word includes been applied here, if anybody told of it?
    std::function<bool(const ReconcileDoubt&)> is_ripe;
    // Looks once more, and drops what is wrong.
    std::function<Task<Reconciled>(ReconcileDoubt)> judge;
  };
  struct Options {
    unsigned keys_per_second = 0;  // 0: off
    // From the beginning of one pass to that of the next, at least: a store of ten entries is not asked about
    // all the time.
    Duration period = 10s;
  };
  explicit Reconciler(World world);
  ~Reconciler();
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // The first pass begins one period from now. `features`: numbers below it are counted.
  void start(Options options, std::size_t features);
  // The cache is closing.
  void halt();
  [[nodiscard]] ReconcileStatus status() const;
  // Questions and judgements under way.
  [[nodiscard]] std::size_t under_way() const { return tasks_; }

  static constexpr Duration kPatience = 5s;          // with an origin that suffers
  static constexpr Duration kDoubtPatience = 60s;    // with a feed that is behind
  static constexpr std::size_t kDoubtsMax = 1024;    // more are left to the next pass, as unproven
  static constexpr std::size_t kLooksPerTurn = 256;  // entries of L1: some 25 µs of home's time

 private:
  struct Key {
    FeatureId feature;
    std::string key;
  };
  struct Batch {
    std::uint64_t run = 0;
    MonoTime began{0};
    std::size_t waiting = 0;
    bool failed = false;
  };
  struct OfFeature {
    ReconcileTally since_start, this_pass, last_pass;
    MonoTime suffers_since{0};  // 0: it does not
  };
  enum class Way : std::uint8_t { kAsk, kWait, kSkip };

  void turn();
  void begin_pass(MonoTime now);
  void end_pass(MonoTime now);
  bool refill();
  bool send_batch();
  [[nodiscard]] std::vector<Key> take();
  [[nodiscard]] Way way_of(FeatureId feature);
  void on_looked(const std::shared_ptr<Batch>& batch, FeatureId feature, Looked found);
  void doubt(ReconcileDoubt doubt);
  [[nodiscard]] std::uint64_t id_of(const ReconcileDoubt& doubt) const {
    return world_.l1->hash(doubt.feature, doubt.key).value;
  }
  void settle_doubts();
  void judge(ReconcileDoubt doubt);
  void count(FeatureId feature, Reconciled how, bool negative);
  [[nodiscard]] std::optional<MonoTime> next_turn(MonoTime now) const;
  void arm();

  World world_;
  RepairPace pace_{0};
  Duration period_{0};
  std::uint64_t run_ = 0;  // counts start() and halt(): what belongs to another one is over
  std::vector<OfFeature> features_;
  std::deque<Key> queue_;  // of this pass, seen and not yet asked about
  std::uint64_t cursor_ = 0;
  bool is_on_ = false, is_in_pass_ = false, has_walked_ = false, is_waiting_ = false;
  MonoTime began_{0}, next_pass_{0};
  std::uint64_t passes_ = 0, asked_ = 0;
  Duration last_pass_{0};
  MonoTime last_divergence_at_{0};
  std::deque<ReconcileDoubt> doubts_;
  std::unordered_set<std::uint64_t> doubted_;  // hashes of their keys, until they are judged
  std::size_t tasks_ = 0;
  TimerId timer_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // shared with timers and tasks that outlive this
};

}  // namespace candor
