// Tells L2 about the changes of one origin, and sees to it that it keeps knowing: the publisher's other half.
//
// Invariants
//   - told() never claims a position whose changes L2 may not know: untold or owed names, changes that no
//   marker can
//     stand for (LateDebts), markers that were lost, or an advance() that failed, all hold it back.
//   - What L2 lost (it says a state below the highest known, or somebody else raised its generation) is told
//   again
//     before its generation is raised: until then nodes refuse that L2, so nobody reads past a missing
//     marker.
//   - Bounded: MarkerBook and LateDebts bound what is owed, kRepayBatch what is sent at a time for debts.
// Thread safety: one executor. Work under way outlives this object harmlessly.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/executor.h"
#include "base/task.h"
#include "invalidation/l2_known.h"
#include "invalidation/late_debts.h"
#include "invalidation/marker_book.h"
#include "tier/l2.h"

namespace candor {

class L2Teller {
 public:
  struct Options {
    Duration patience =
        500ms;  // L2 may hold a change back this long; then the region hears of it all the same
    // An L2 that forgot is found by the next batch; when nothing changes, by this question.
    Duration state_period = 1s;
    MarkerBook::Options book{};
  };
  // `l2` null: there is none, and everything is told at once. `known` outlives this.
  L2Teller(Executor* executor, L2* l2, L2Known* known, Options options, std::uint64_t seed);
  ~L2Teller();
  L2Teller(const L2Teller&) = delete;
  L2Teller& operator=(const L2Teller&) = delete;

  // Tells L2 of each change. True: it answered for all. False: the rest is owed.
  [[nodiscard]] Task<bool> tell(std::vector<Change> changes);
  // After tell(): counts the batch in L2. Whether it failed shows in told().
  [[nodiscard]] Task<void> advance();
  // The feed broke: L2 may hold what was missed.
  [[nodiscard]] Task<void> on_break(Position from, bool same_history);
  void on_probe(const ProbeAnswer& answer);
  // Every now and then (heartbeat): asks L2 for its state, pays debts.
  void tick();

  // The highest position, at most `published`, up to which L2 was told every change.
  [[nodiscard]] Position told(Position published);
  [[nodiscard]] L2State known() const { return known_->highest(); }

  struct Status {
    std::size_t owed = 0, held = 0, late = 0;
    std::uint64_t failures = 0;     // rounds that L2 did not answer in time
    std::uint64_t generations = 0;  // raised by this node
    std::uint64_t losses = 0;       // times that L2 had forgotten something
    std::uint64_t retold = 0;       // debts paid
    bool away = false;              // L2 is not waited for
    bool lost = false;              // being told again
  };
  [[nodiscard]] Status status() const;

  static constexpr std::size_t kRepayBatch = 512;      // a few hundred KB on the wire
  static constexpr std::size_t kHoldsPerProbe = 4096;  // 20,000/s at five probes a second

 private:
  void cover_without_marker(const Change& change);
  [[nodiscard]] Task<Result<void>> tell_one(MarkerBook::Item item);
  void note(L2State state);
  void lose();
  Task<void> look();
  Task<void> pay();
  Task<bool> pay_some();
  Task<bool> finish_loss();
  Task<void> pay_late();

  Executor* executor_;
  L2* l2_;
  L2Known* known_;
  Options options_;
  MarkerBook book_;
  LateDebts late_;
  Backoff backoff_;
  Position last_told_;
  std::uint32_t generation_seen_ = 0;  // by this teller: another's raise may mean that markers were lost
  bool advance_due_ = false;
  // Of L2's connection when the first of what is to be counted next was told: an L2 that began anew from a
  // dump of between the last count and that would count on as if nothing were missing.
  std::uint64_t told_on_ = 0;
  bool away_ = false;
  bool lost_ = false;
  bool paying_ = false, looking_ = false;
  MonoTime looked_{0};
  Status counted_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
