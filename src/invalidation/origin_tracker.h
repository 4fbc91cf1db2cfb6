// What this node may claim about one origin, from two streams of facts: how far the region stream has been
// applied, and what the origin answered when it was asked where it stands. Pure: no clock, no I/O.
//
// The proof, without synchronised clocks: at local time t the origin is asked for its position P. Once
// everything up to P has been applied here, every change that was committed before t is applied here:
// fresh_as_of = t.
//
// Invariants
//   - A proof is given only while the stream has been without holes since the last loss, and for probes asked
//   after it.
//   - fresh_as_of and the applied position never move back within one history.
//   - After a loss nothing is trusted until a probe, asked after the stream was whole again, says that
//   everything which
//     may have been missed is visible to new loads: its `all_up_to` has reached the `next` of the first such
//     probe. Loads that begin at or after its answer are good again (the floor).
// Thread safety: none. Owned by the executor of its Applier.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include "base/time.h"
#include "version/change.h"

namespace candor {

class OriginTracker {
 public:
  struct Outcome {
    bool other_history = false;            // stamps and positions count anew: nothing from before compares
    std::optional<MonoTime> settle_floor;  // loads since then are trusted
    std::optional<MonoTime> fresh_as_of;   // proven now
    ChangeId applied_up_to;  // with fresh_as_of: every change with an id up to this is applied here
    // Every transaction up to this id is visible to loads that began at or after `visible_since`. 0: nothing
    // new.
    ChangeId visible;
    MonoTime visible_since{0};
  };

  // A message of the stream has been applied: everything up to `up_to` of this history is applied here.
  Outcome on_applied(Incarnation incarnation, Position up_to, MonoTime now);
  // What the origin said to a question. `asked`: by this node's clock, before it was sent. `answered`: when
  // the answer was here. The origin looked somewhere in between: what it says of positions proves for
  // `asked`, what it says of visibility holds for loads that began at or after `answered`.
  Outcome on_probe(MonoTime asked, MonoTime answered, const OriginProbe& probe);
  // Messages were missed, or may have been: the stream goes on, whole again, from the next on_applied().
  void on_loss();

  [[nodiscard]] Incarnation incarnation() const { return incarnation_; }
  [[nodiscard]] Position applied() const { return applied_; }
  [[nodiscard]] bool is_settled() const { return settled_; }
  [[nodiscard]] MonoTime fresh_as_of() const { return fresh_as_of_; }  // 0: no proof

  // Probes that wait for the stream to come past them. With one probe each 100 ms the stream may be 6 s
  // behind before a middle one is dropped, which costs precision only.
  static constexpr std::size_t kProbesMax = 64;

 private:
  struct Asked {
    MonoTime at;
    OriginProbe probe;
  };
  void look_for_settlement(const OriginProbe& probe, MonoTime answered, Outcome& outcome);
  void look_for_proof(Outcome& outcome);

  Incarnation incarnation_;
  Position applied_;
  std::deque<Asked> waiting_;
  // Since when the stream is whole: probes asked before count for nothing. nullopt: not yet.
  std::optional<MonoTime> whole_since_;
  std::optional<ChangeId> bar_;
  bool settled_ = false;
  MonoTime fresh_as_of_{0};
};

}  // namespace candor
