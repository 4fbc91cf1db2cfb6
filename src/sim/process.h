// One simulated process: an executor with one thread, a clock of its own and a source of randomness, all fed
// by the World. Code of Candor runs on it unchanged.
//
// Clock: now() runs at (1 + drift) of true time from an arbitrary beginning; wall() besides can be set.
// Pause (SIGSTOP): nothing runs, the clocks go on, and what arrived or fell due runs at the end, in order.
// Crash: from one moment on nothing that the process does can be seen by anybody. Its coroutines still have
// to unwind, because nobody else can destroy the frames that wait for each other: World::crash() lets them
// run to their ends on a queue and in a time of their own ("afterlife"), where every message is dropped and
// every deadline passes, and then destroys what `Life` says.
//
// Thread safety: none; is_current() is true while the process runs, and its methods but post() are for
// itself.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "base/time.h"
#include "sim/event_queue.h"

namespace candor::sim {

class World;

class Process final : public Executor, public Clock, public EntropySource {
 public:
  // What lives in the process; each is called while the process is current. All may be empty.
  struct Life {
    std::function<void()> start;    // at birth and after each restart
    std::function<void()> stop;     // after a crash: end every loop, so that the coroutines can unwind
    std::function<void()> destroy;  // then: destroy everything
  };

  Process(World& world, std::uint32_t number, std::string name);

  void post(Work work) override;
  void at_end_of_turn(Work work) override;
  TimerId schedule(MonoTime at, Work work) override;
  void cancel(TimerId timer) override;
  [[nodiscard]] MonoTime now() const override;
  [[nodiscard]] bool is_current() const override;
  [[nodiscard]] WallTime wall() const override;
  [[nodiscard]] std::uint64_t next_seed() override { return random_(); }
  void fill(unsigned char* bytes, std::size_t count) override;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] bool is_up() const { return is_up_; }
  [[nodiscard]] bool is_paused() const { return is_paused_; }
  // Counts starts: a message for an earlier life of the process reaches nobody.
  [[nodiscard]] std::uint32_t life() const { return life_number_; }

  void set_life(Life life) { life_ = std::move(life); }
  // From now on; timers that were set before run late rather than early.
  void set_drift(std::int64_t ppm);
  void step_wall(Duration by);

 private:
  friend class World;

  // In a timer's id: it is in the afterlife's queue.
  static constexpr std::uint64_t kAfterlifeBit = std::uint64_t{1} << 63;

  [[nodiscard]] static TimerId timer_id(EventId id) { return {std::uint64_t{id.generation} << 32 | id.slot}; }
  [[nodiscard]] TrueTime true_now() const;
  [[nodiscard]] TrueTime true_time_of(MonoTime local) const;
  [[nodiscard]] MonoTime local_time_of(TrueTime t) const;
  [[nodiscard]] bool has_ready() const { return !ready_.empty(); }
  void run_ready();
  void run_end_of_turn();

  World& world_;
  std::uint32_t number_;
  std::string name_;
  Random random_;
  Life life_;
  bool is_up_ = true;
  bool is_paused_ = false;
  bool has_turn_coming_ = false;
  mutable bool saw_wall_ = true;  // since the last step of the wall clock
  std::uint32_t life_number_ = 1;

  TrueTime clock_from_;
  MonoTime clock_base_;
  Duration wall_ahead_{0};  // of now()
  std::int64_t drift_ppm_ = 0;

  std::deque<Work> ready_;
  std::vector<Work> end_of_turn_;
  std::uint64_t pauses_ = 0;
  std::uint64_t held_ = 0;  // events that fell due in this pause
  TrueTime paused_until_{INT64_MAX};

  EventQueue afterlife_;
  std::unordered_map<std::uint64_t, TimerId> moved_;  // timers set before the crash, and their ids since
  bool is_in_afterlife_ = false;
  TrueTime afterlife_now_;
};

}  // namespace candor::sim
