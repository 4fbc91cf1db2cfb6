// A world of processes in virtual time: one queue of events for all of them, one seed, one trace.
//
//   World world({.seed = 7});
//   Process& node = world.add_process("n1");
//   node.set_life({.start = ..., .stop = ..., .destroy = ...});
//   world.start(node);
//   world.run_for(10min);
//   world.finish();      // the run's hash: equal for equal seeds
//
// A turn of a process: what fell due or arrived at this moment, what was posted meanwhile, then what asked
// for the end of the turn. Work posted during that is the next turn, `turn_cost` later, so that a loop that
// posts itself for ever cannot stop time.
//
// Invariants
//   - Time never goes back. What falls on one moment happens in the order in which it was asked for.
//   - Nothing runs on a process that is down or paused.
//   - All randomness comes from stream(): one for each name, so that a change in how one part draws does not
//   shift the rest.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "sim/event_queue.h"
#include "sim/fault_ledger.h"
#include "sim/process.h"
#include "sim/trace.h"

namespace candor::sim {

class World {
 public:
  struct Options {
    std::uint64_t seed = 0;
    // What a turn of a loop takes at least: a microsecond is a short one.
    Duration turn_cost = 1us;
  };
  struct Stats {
    std::uint64_t events = 0;
    // Afterlives that did not come to an end within their limits: a loop that stop() does not stop, or a wait
    // without a deadline. Always a defect, of the code or of its Life.
    std::uint64_t afterlives_cut = 0;
  };

  explicit World(Options options);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Process& add_process(std::string name);
  [[nodiscard]] Process& process(std::uint32_t number) { return *processes_[number]; }
  [[nodiscard]] std::size_t processes() const { return processes_.size(); }

  [[nodiscard]] TrueTime now() const { return now_; }
  [[nodiscard]] Random stream(std::string_view name) const;
  [[nodiscard]] Trace& trace() { return trace_; }
  [[nodiscard]] FaultLedger& faults() { return faults_; }
  [[nodiscard]] const Stats& stats() const { return stats_; }

  // Events of nature: they run on no process.
  EventId at(TrueTime when, Work work);
  EventId after(Duration delay, Work work) { return at(now_ + delay, std::move(work)); }
  // On a process, as something that arrives there. Nothing happens if it is down.
  EventId at(TrueTime when, Process& process, Work work);
  bool cancel(EventId id) { return queue_.cancel(id); }

  // Runs the next event. False: there is none.
  bool step();
  void run_until(TrueTime when);
  void run_for(Duration duration) { run_until(now_ + duration); }

  // From outside of every process (an event of nature, or between steps).
  void start(Process& process);
  void crash(Process& process);
  void restart(Process& process);
  void pause(Process& process, Duration duration);
  // Ends a pause early.
  void resume(Process& process);
  // An orderly end at the end of a run: as a crash, but no fault. A World that goes runs nothing any more.
  void stop(Process& process);

  // Runs `work` on the process now, as a turn of it: for tests and set-up.
  void run_on(Process& process, Work work);

  // Draws one more number from every stream that the run used, and gives the run's hash.
  [[nodiscard]] std::uint64_t finish();

 private:
  friend class Process;
  static constexpr std::uint32_t kNobody = UINT32_MAX;

  void take_turn(Process& process, Work first);
  void call_turn(Process& process, Duration delay);
  void end_life(Process& process);
  void live_out(Process& process);

  Options options_;
  Random random_;
  TrueTime now_;
  EventQueue queue_;
  std::vector<std::unique_ptr<Process>> processes_;
  Process* current_ = nullptr;
  Trace trace_;
  FaultLedger faults_;
  Stats stats_;
};

}  // namespace candor::sim
