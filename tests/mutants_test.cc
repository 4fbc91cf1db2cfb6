// Deliberate breaks of the consistency protocol are noticed by the simulator, by name; and with nothing
// broken the same runs hold. Built with CANDOR_MUTANTS, so a program of its own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sim/simulation.h"
#include "version/mutant.h"

namespace candor::sim {
namespace {

// About 40 ms each: a mutant that hides for this long is taken to have survived. Most are caught within ten.
constexpr std::uint64_t kRunsMax = 200;
constexpr std::uint64_t kSoundRuns = 200;

SimulationOptions options_of(std::uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.length = 5min;
  return options;
}

// Every second run draws from all faults; the others have few kinds, each of them often: breaks that need two
// rare things at one time show in those.
SimulationOptions hunt_of(std::uint64_t seed) {
  static const std::vector<std::vector<std::string>> kHunts = {
      {"late visibility", "slow", "crash"},
      {"late visibility", "slow", "pause", "partition"},
      {"shared tier restored", "shared tier forgets", "crash", "slow"},
      {"failover", "slot lost", "slow"},
      {"log trimmed", "log made anew", "late visibility", "slow"},
      {"changes hidden", "shared tier restored", "pause"}};
  SimulationOptions options = options_of(seed);
  if (seed % 2 == 0) return options;
  options.faults = kHunts[seed / 2 % kHunts.size()];
  options.certain_faults = true;
  return options;
}

// Breaks that show rarely under the hunts above, with the faults that they need; runs of ten minutes.
SimulationOptions hunt_for(Mutant mutant, std::uint64_t seed) {
  struct Hunt {
    Mutant mutant;
    std::vector<std::string> faults;
  };
  static const std::vector<Hunt> kHunts = {
      {Mutant::kGapIgnored, {"log trimmed", "pause", "partition"}},
      {Mutant::kStartTrusted, {"crash"}},
      {Mutant::kRepairUnfenced, {"log trimmed", "loss", "pause"}},
      {Mutant::kHistoryIgnored, {"failover", "slot lost"}},
  };
  const auto found = std::ranges::find(kHunts, mutant, &Hunt::mutant);
  if (found == kHunts.end()) {
    SimulationOptions options = hunt_of(seed);
    options.disk = mutant == Mutant::kDiskForgetLost || mutant == Mutant::kDiskReadOutlives;
    return options;
  }
  SimulationOptions options = options_of(seed);
  options.length = 10min;
  options.faults = found->faults;
  options.certain_faults = true;
  return options;
}

// Caught, but late: a change of the simulator that draws otherwise must not lose them.
std::uint64_t runs_for(Mutant mutant) {
  static constexpr Mutant kRare[] = {Mutant::kGapIgnored,       Mutant::kStartTrusted,
                                     Mutant::kRepairUnfenced,   Mutant::kHistoryIgnored,
                                     Mutant::kDiskReadOutlives, Mutant::kL2AgeTrusted};
  return std::ranges::find(kRare, mutant) != std::end(kRare) ? 3 * kRunsMax : kRunsMax;
}

class MutantTest : public testing::TestWithParam<Mutant> {
 protected:
  void TearDown() override { the_mutant = Mutant::kNone; }
};

TEST_P(MutantTest, IsCaught) {
  the_mutant = GetParam();
  const std::uint64_t runs = runs_for(GetParam());
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    const SimulationResult run = simulate(hunt_for(GetParam(), seed));
    for (const CheckResult& check : run.checks) {
      if (check.broken == 0) continue;
      fmt::print("{} caught by rule '{}' in run {}: {}\n", kMutantNames[static_cast<std::size_t>(GetParam())],
                 check.rule, seed, check.violations.front().summary);
      return;
    }
  }
  FAIL() << "survived " << runs << " runs";
}

// By scenarios_test.cc: random runs come to them once in some hundred hours.
constexpr Mutant kInAScenario[] = {Mutant::kHistoryUncompared, Mutant::kTokenIgnored,
                                   Mutant::kErrorKeepsEntry};

// Not noticed within kRunsMax runs. Some were the way a fault was found (with longer runs, or before another
// guard stood beside it); some need two rare things at one time; some break a sentence that another one
// covers. Each is an open question: is the sentence needed, or is it not checked?
constexpr Mutant kNotNoticed[] = {
    Mutant::kConfirmInvisible,  Mutant::kL2MarkerShort,  Mutant::kRaiseWithoutRetell,
    Mutant::kFloorSettledEarly, Mutant::kFloorTimeAsked, Mutant::kRetireAtAsked,
    Mutant::kSeenMarkersOff,    Mutant::kFenceOff,       Mutant::kBypassUnfenced,
    Mutant::kSeenByBound,       Mutant::kL2TrustedEarly, Mutant::kReconnectIgnored};

std::vector<Mutant> noticed_mutants() {
  std::vector<Mutant> noticed;
  for (std::size_t i = 1; i < static_cast<std::size_t>(Mutant::kCount); ++i) {
    const auto mutant = static_cast<Mutant>(i);
    const auto is_in = [mutant](const auto& list) {
      return std::ranges::find(list, mutant) != std::end(list);
    };
    if (!is_in(kInAScenario) && !is_in(kNotNoticed)) noticed.push_back(mutant);
  }
  return noticed;
}

INSTANTIATE_TEST_SUITE_P(All, MutantTest, testing::ValuesIn(noticed_mutants()), [](const auto& one) {
  return std::string(kMutantNames[static_cast<std::size_t>(one.param)]);
});

TEST(SoundTest, NothingIsCaughtWhenNothingIsBroken) {
  for (std::uint64_t seed = 1; seed <= kSoundRuns; ++seed) {
    const SimulationResult run = simulate(hunt_of(seed));
    ASSERT_TRUE(run.holds()) << "seed " << seed << "\n" << report(run.checks);
  }
}

TEST(SoundTest, ADiskTierBreaksNothing) {
  std::uint64_t by_disk = 0;
  for (std::uint64_t seed = 1; seed <= kSoundRuns; ++seed) {
    SimulationOptions options = hunt_of(seed);
    options.disk = true;
    const SimulationResult run = simulate(options);
    ASSERT_TRUE(run.holds()) << "seed " << seed << "\n" << report(run.checks);
    by_disk +=
        static_cast<std::uint64_t>(std::ranges::count(run.history.operations, Tier::kDisk, &Operation::tier));
  }
  EXPECT_GT(by_disk, kSoundRuns) << "reads that the disk answered";
}

TEST(SoundTest, OneSeedGivesOneTrace) {
  const SimulationResult one = simulate(options_of(7)), again = simulate(options_of(7));
  EXPECT_EQ(one.trace, again.trace);
  EXPECT_EQ(to_json_lines(one.history), to_json_lines(again.history));
  EXPECT_NE(simulate(options_of(8)).trace, one.trace);
}

}  // namespace
}  // namespace candor::sim
