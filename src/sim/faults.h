// Which faults a run suffers, and how often: drawn from its seed, harsh, and each kind absent in some runs,
// because a fault that is always there hides what happens without it.
//
// Rates are per minute of simulated time and over all victims together. Models add faults of their own (an L2
// that forgets, an origin that stalls) by name; what they count in the world's ledger is up to them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/network.h"

namespace candor::sim {

struct FaultRates {
  Weather weather;
  double partitions = 0, crashes = 0, pauses = 0, clock_steps = 0;
  Duration partition_max = 0s, down_max = 0s, pause_max = 0s, clock_step_max = 0s;
  std::int64_t drift_ppm_max = 0;
};

class FaultPlan {
 public:
  // `wanted`: names of kinds ("loss", "duplicate", "reorder", "slow", "partition", "crash", "pause",
  // "clock step", "clock drift", or a model's); empty: all.
  // `certain`: every wanted kind strikes, and often: for runs that look for one fault.
  FaultPlan(World& world, Network& network, std::vector<std::string> wanted = {}, bool certain = false);

  [[nodiscard]] const FaultRates& rates() const { return rates_; }
  // For scenarios that want their own.
  void set_rates(const FaultRates& rates) { rates_ = rates; }
  [[nodiscard]] bool is_wanted(std::string_view name) const;

  // May be crashed and paused. A process that is not named suffers the network only.
  void add_victim(Process& process) { victims_.push_back(&process); }
  // A model's fault: `strike` is called at moments that follow a rate drawn up to `per_minute_max` (in half
  // of the runs 0), and `heal` when faults end. Events of nature: no process is current.
  void add(std::string name, double per_minute_max, std::function<void(Random&)> strike,
           std::function<void()> heal = {});

  void start();
  // Ends everything: the network is whole, processes run and are up, clocks keep what they have.
  void heal();
  // "loss 0.12, partition 3.1/min (up to 4.0 s), …" for a person.
  [[nodiscard]] std::string describe() const;

 private:
  struct Kind {
    std::string name;
    double per_minute;
    std::function<void(Random&)> strike;
    std::function<void()> heal;
  };

  void draw_rates();
  double draw_rate(std::string_view name, double max);
  void repeat(std::size_t kind);
  [[nodiscard]] Duration draw(Duration max);
  Process* draw_victim(bool (*fits)(const Process&));
  void strike_partition();
  void strike_crash();
  void strike_pause();
  void strike_clock();

  World& world_;
  Network& network_;
  std::vector<std::string> wanted_;
  bool certain_;
  Random random_;
  FaultRates rates_;
  std::vector<Process*> victims_;
  std::vector<Kind> kinds_;
  bool running_ = false;
};

}  // namespace candor::sim
