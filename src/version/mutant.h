// Deliberate breaks of single sentences of the consistency protocol (docs/decisions/0005). The simulator
// turns one on at a time and must notice it; a mutant that survives points at a sentence that is not needed
// or not checked.
//
// In every build but the simulator's own, mutant() is a constant `false` and the compiler drops the branch.
// With CANDOR_MUTANTS defined it compares with one variable, which only the simulator sets, before it starts.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace candor {

enum class Mutant : std::uint8_t {
  kNone,
  // ---- publisher ----
  kConfirmEarly,        // the feed is confirmed when it hands over, not when all three conditions hold
  kConfirmInvisible,    // the feed is confirmed without waiting for visibility
  kL1BeforeL2,          // the stream hears of a change while L2 is still being told
  kToldClaimedEarly,    // l2_told says that L2 knows what it was never told
  kL2MarkersOff,        // L2 forgets the key, and no marker is left
  kL2MarkerShort,       // L2's marker ends after one lease time, whether the change is visible or not
  kL2LossIgnored,       // an L2 that lost writes is not noticed
  kRaiseWithoutRetell,  // after a loss the generation is raised, and the markers that were lost are not told
                        // again
  kFloorAfterChanges,   // a break of the feed is not told
  kAppendOnce,          // an append of unknown outcome is not repeated
  // ---- applier ----
  kGapIgnored,           // holes in the stream do not raise the floor
  kFloorMessageIgnored,  // nor do Floor messages
  kUnappliedWatermark,   // the watermark passes a message that was not applied
  kFloorSettledEarly,    // the floor settles at the first answer, visible or not
  kFloorTimeAsked,       // loads begun while the settling probe was under way are trusted
  kProbeClockAfter,      // a probe's time is read when its answer is there
  kRetireByPosition,     // markers retire when the position is passed, visible or not
  kRetireAtAsked,        // markers retire for loads begun while the probe was under way
  kRetireUntold,         // markers retire although L2 was not told
  kIncarnationIgnored,   // positions of two histories are compared
  kStartTrusted,         // a node trusts what it loaded before it heard the stream
  // ---- cache and tiers: hooks in src/cache ----
  kMarkersOff,           // L1 keeps no markers
  kSeenMarkersOff,       // loads beyond the watermark leave no trace
  kFenceOff,             // loads under way are stored after an invalidation
  kErrorKeepsEntry,      // an error keeps what is held: of a write, of a question about a suspect
  kBoundIgnored,         // bounded reads are served without proof
  kStrongUnconfirmed,    // strong reads are served without the origin's word
  kTokenIgnored,         // an adopted token has no effect
  kL2AgeTrusted,         // an age told by L2's clock counts as a proof
  kL2GenerationIgnored,  // entries of an older generation are hits
  kLeaseIgnored,         // a fill without its lease is stored
  kClockAsStamp,         // the newer load time wins
  kSuspectServed,        // entries below the floor are served at every level
  kAgeFromStore,         // a value is as young as its storing
  kBypassUnfenced,       // a load past the tiers is kept after a floor
  kSeenByBound,          // of two loads with one bound neither is older
  kHistoryIgnored,       // a row is confirmed by the ids of another history
  kHistoryUncompared,    // what a new connection reads of another history touches nothing that is held
  kL2TrustedEarly,       // L2 is read again when the floor settles, told or not
  kRepairUnfenced,       // a suspect entry is kept on the origin's word although its key changed meanwhile
  kRepairOtherHistory,   // suspects of another history are kept, and confirmed by the ids of this one
  kDiskForgetLost,       // the disk tier is not told what L1 forgets
  kDiskReadOutlives,     // what is forgotten on the disk is answered by a read that began before
  kReconnectIgnored,     // L2 counts what it was told before it began anew
  kCount,
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Mutant::kCount)> kMutantNames = {
    "none",
    "confirm_early",
    "confirm_invisible",
    "l1_before_l2",
    "told_claimed_early",
    "l2_markers_off",
    "l2_marker_short",
    "l2_loss_ignored",
    "raise_without_retell",
    "floor_after_changes",
    "append_once",
    "gap_ignored",
    "floor_message_ignored",
    "unapplied_watermark",
    "floor_settled_early",
    "floor_time_asked",
    "probe_clock_after",
    "retire_by_position",
    "retire_at_asked",
    "retire_untold",
    "incarnation_ignored",
    "start_trusted",
    "markers_off",
    "seen_markers_off",
    "fence_off",
    "error_keeps_entry",
    "bound_ignored",
    "strong_unconfirmed",
    "token_ignored",
    "l2_age_trusted",
    "l2_generation_ignored",
    "lease_ignored",
    "clock_as_stamp",
    "suspect_served",
    "age_from_store",
    "bypass_unfenced",
    "seen_by_bound",
    "history_ignored",
    "history_uncompared",
    "l2_trusted_early",
    "repair_unfenced",
    "repair_other_history",
    "disk_forget_lost",
    "disk_read_outlives",
    "reconnect_ignored"};
static_assert(!kMutantNames.back().empty(), "every mutant has a name");

#ifdef CANDOR_MUTANTS
inline Mutant the_mutant = Mutant::kNone;  // one per program; set before anything runs
inline bool mutant(Mutant which) { return the_mutant == which; }
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace candor
