// What the model says before deployment against what the monitor measures afterwards, over a grid that is
// printed: within 10 %.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <vector>

#include "budget/exposure.h"
#include "monitor/truth_world.h"

namespace candor {
namespace {

using testing::Scenario;
using testing::TruthOptions;
using testing::TruthWorld;

struct Cell {
  double u = 0.0, r = 0.0, ttl = 0.0, loss = 1.0;  // loss 1: nobody listens
};

double measured(const Cell& cell, std::uint64_t seed, double* reads) {
  TruthOptions options;
  options.scenario = cell.loss < 1.0 ? Scenario::kLossy : Scenario::kTtlOnly;
  options.keys = 200;
  options.reads_per_second = cell.r * 200.0;
  options.updates_per_second = cell.u;
  options.ttl = Duration{static_cast<std::int64_t>(cell.ttl * 1e9)};
  options.limit = 2s;
  options.lag = 5ms;
  options.loss = cell.loss;
  options.run = cell.loss < 1.0 ? 120min : 30min;
  options.sample = 1.0;
  options.seed = seed;
  TruthWorld world(options);
  world.run();
  const Measured& by_origin = world.report().by_origin_window;
  *reads = by_origin.reads;
  return by_origin.stale_fraction;
}

double modelled(const Cell& cell) {
  Workload workload;
  workload.classes = {{.read_share = 1.0, .reads_per_second = cell.r, .updates_per_second = cell.u}};
  Delivery delivery;
  delivery.ttl_seconds = cell.ttl;
  delivery.is_pushed = cell.loss < 1.0;
  delivery.delay_seconds = 0.005;
  delivery.loss = cell.loss < 1.0 ? cell.loss : 0.0;
  return predict(workload, delivery, 2s).over_limit;
}

void compare(const std::vector<Cell>& cells) {
  fmt::print("   u/s    r/s    T   loss    model  measured  off\n");
  for (const Cell& cell : cells) {
    double reads = 0.0;
    const double seen = measured(cell, 7, &reads);
    const double said = modelled(cell);
    fmt::print("{:6.3f} {:6.2f} {:4.0f} {:6.2f} {:8.5f} {:9.5f} {:+.1f} %\n", cell.u, cell.r, cell.ttl,
               cell.loss, said, seen, 100.0 * (seen / said - 1.0));
    EXPECT_NEAR(seen / said, 1.0, 0.10) << cell.u << " " << cell.r << " " << cell.ttl << " " << cell.loss;
  }
}

TEST(ModelAgainstMeasurement, TtlOnly) {
  std::vector<Cell> cells;
  for (const double u : {0.01, 0.1})
    for (const double r : {0.05, 0.5})
      for (const double ttl : {10.0, 60.0}) cells.push_back({u, r, ttl, 1.0});
  compare(cells);
}

TEST(ModelAgainstMeasurement, PushWithLoss) {
  std::vector<Cell> cells;
  for (const double u : {0.02, 0.1})
    for (const double ttl : {10.0, 60.0})
      for (const double loss : {0.05, 0.5}) cells.push_back({u, 0.3, ttl, loss});
  compare(cells);
}

}  // namespace
}  // namespace candor
