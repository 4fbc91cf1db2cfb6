// What the change river may do to this node's cache. CacheCore is it; the applier (invalidation/) calls it
// and knows nothing of tiers. All calls on the cache's home executor; none blocks, none fails.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "version/change.h"

namespace candor {

// What may become of entries that are suspect.
enum class Suspects : std::uint8_t {
  // Messages were missed, and the origin is what it was: an entry whose row the origin still holds under the
  // same
  // version is as good as loaded anew.
  kMayBeConfirmed,
  // The feed itself broke off: what stands behind a table may be another one, whose rows are older than the
  // entry, so that row versions prove nothing. Suspects are loaded again.
  kMustBeLoaded,
  // Ids and stamps of the history before mean something else now. Nothing of it is kept.
  kAreOfAnotherHistory,
};

class ChangeTarget {
 public:
  virtual ~ChangeTarget() = default;

  // A change of one key or of a whole feature: leaves its marker, fences loads under way, drops the L1 entry
  // unless its stamp includes the change. Features that this node does not have are ignored. `wait_for_l2`:
  // L2 may still hold what this change made old (Changes::l2_told is behind it), so the marker stays until
  // retire_markers() says that L2 was told.
  virtual void apply_change(std::string_view origin, const Change& change) = 0;

  // Whatever was loaded from this origin (of one feature of it, if `feature` is not empty) is suspect from
  // now on, also what is loaded until settle_floor().
  virtual void raise_floor(std::string_view origin, std::string_view feature, Suspects suspects) = 0;
  // Entries whose load began at or after `since` (this node's monotonic clock) are trusted again, older ones
  // are suspect: also once after a start, when nothing was raised.
  virtual void settle_floor(std::string_view origin, MonoTime since) = 0;

  // Every change committed before `fresh_as_of` (this node's monotonic clock) is applied here, and every
  // change with an id up to `applied_up_to`.
  virtual void prove(std::string_view origin, MonoTime fresh_as_of, ChangeId applied_up_to) = 0;
  // How far the origin's stream is applied here, and of which history.
  virtual void note_applied(std::string_view origin, Incarnation incarnation, Position position) = 0;
  virtual void lose_proof(std::string_view origin) = 0;

  // From now on exactly these features of the origin are unheard: not proven, whatever prove() says, until
  // they leave the list. Called before prove() of the message that said so; whoever calls has raised the
  // floor of a feature that leaves.
  virtual void note_unheard(std::string_view origin, const std::vector<Unheard>& unheard) = 0;

  // Every transaction with an id up to `visible` is visible to loads that began at or after `since`, and L2
  // has been told every change at or below `l2_told`: markers below both retire once the loads from before
  // `asked` are over.
  virtual void retire_markers(std::string_view origin, ChangeId visible, MonoTime asked,
                              Position l2_told) = 0;

  // After raise_floor(), and once after a start: may L2 be read again? Not before it was told, or made to
  // forget, everything that this node may have missed: an entry from there would come without the marker that
  // should stop it, and stay when L2 hears of its change at last.
  virtual void trust_l2(std::string_view origin, bool trusted) = 0;
  // The region's highest known state of L2, from the stream: an L2 that answers with less lost writes.
  virtual void note_l2_state(std::uint32_t generation, std::uint64_t told) = 0;

  // CANDOR.INVALIDATE and flushes of the region: `name` is `feature:key`.
  virtual void forget_name(std::string_view name) = 0;
  virtual void forget_feature(std::string_view feature) = 0;  // "*": all
  // Every key that has the tag. Who knows no tags has nothing to drop.
  virtual void forget_tag(std::string_view /*tag*/) {}
};

}  // namespace candor
