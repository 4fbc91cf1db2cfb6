// After a floor of one origin has settled, brings what L1 holds from before it back: walks L1 for suspects,
// and has them confirmed or loaded again in batches, the most read first, at a limited rate, until none is
// left.
//
//   floor settles ── walk L1 ── line, most read first ── batches ── MissPath::repair(), a flight for each key
//        ▲             └──────────── again, until a walk finds none ◄───────┘
//   floor raised: the line is dropped; the next settlement begins anew
//
// Invariants
//   - At most RepairPace::kUnderWayMax batches under way; never more keys a second than configured.
//   - It decides nothing about trust: a key goes the way that a reader's miss goes, through the same flight,
//   fence
//     and markers.
// Thread safety: the cache's home executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "cache/repair_pace.h"
#include "cache/suspect_line.h"
#include "tier/l1/store.h"

namespace candor {

enum class Repaired : std::uint8_t {
  kConfirmed,  // the origin says that it is still what the row holds
  kReplaced,   // by what L2 or the origin holds
  kDropped,    // what was held is gone, and what was loaded may not be kept
  kElsewhere,  // a reader or a change was faster
  kLeft,       // it may not be trusted yet
  kFailed,     // the origin did not answer
};

struct RepairStatus {
  bool is_running = false;
  std::uint64_t left = 0;  // suspects that the last walk saw, without those that were dealt with since
  std::uint64_t confirmed = 0, replaced = 0, dropped = 0, failed = 0;
  double rate = 0;  // keys a second that are allowed now
};

class GapRepair {
 public:
  enum class Verdict : std::uint8_t { kSound, kSuspect, kForgotten };
  struct World {
    Executor* home = nullptr;
    l1::Store* l1 = nullptr;
    // What is this entry now? Only suspects that are worth a question: a reader would still be served them.
    std::function<Verdict(const l1::Store::Visited&)> judge;
    std::function<Task<Repaired>(FeatureId, std::string)> repair;
  };
  GapRepair(World world, unsigned keys_per_second);
  ~GapRepair();
  GapRepair(const GapRepair&) = delete;
  GapRepair& operator=(const GapRepair&) = delete;

  void set_rate(unsigned keys_per_second) { pace_ = RepairPace(keys_per_second); }  // before traffic
  // The floor has settled.
  void begin();
  // The floor was raised, or the cache is closing.
  void halt();
  [[nodiscard]] RepairStatus status() const;

 private:
  struct Batch {
    std::uint64_t walk = 0;
    MonoTime began{0};
    std::size_t waiting = 0;
    bool failed = false;
  };
  void walk_later(Duration in);
  void walk();
  void walked();
  void pump();
  void send_batch();
  void on_repaired(const std::shared_ptr<Batch>& batch, Repaired how);
  void set_timer(Duration in, void (GapRepair::*then)());

  World world_;
  RepairPace pace_;
  SuspectLine line_;
  bool is_running_ = false;
  std::uint64_t walk_ = 0;    // counts begin() and halt(): what belongs to another one is over
  std::uint64_t cursor_ = 0;  // of the walk; 0: not walking
  bool is_walking_ = false;
  std::uint64_t found_ = 0, handled_ = 0, bettered_ = 0;  // of this walk
  Duration pause_{0};  // before the next walk, when one has bettered nothing
  RepairStatus counts_;
  TimerId timer_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // shared with timers and tasks that outlive this
};

}  // namespace candor
