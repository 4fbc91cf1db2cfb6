#include "tier/l1/ghost.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace candor::l1 {
namespace {

class GhostTest : public testing::TestWithParam<Ghost::Fingerprints> {
 protected:
  Ghost ghost_{GetParam()};
};

TEST_P(GhostTest, WithoutReachRemembersNothing) {
  ghost_.add(1);
  EXPECT_FALSE(ghost_.take(1));
}

TEST_P(GhostTest, TakesWhatWasAddedAndForgetsIt) {
  ghost_.set_reach(100);
  ghost_.add(mix64(7));
  EXPECT_TRUE(ghost_.take(mix64(7)));
  EXPECT_FALSE(ghost_.take(mix64(7)));
}

TEST_P(GhostTest, TakingOneLeavesTheOthersOfItsWord) {
  ghost_.set_reach(1);  // a word or two for all
  for (std::uint64_t key = 0; key < 4; ++key) ghost_.add(mix64(key));
  std::size_t first = 0;
  for (std::uint64_t key = 0; key < 4; ++key) first += ghost_.take(mix64(key)) ? 1 : 0;
  EXPECT_EQ(first, 4U);
}

TEST_P(GhostTest, ReachesAboutAsFarAsAsked) {
  constexpr std::size_t kReach = 10000;
  ghost_.set_reach(kReach);
  const auto remembered_after = [&](std::uint64_t from, std::size_t additions) {
    constexpr std::uint64_t kProbes = 1000;
    for (std::uint64_t key = 0; key < kProbes; ++key) ghost_.add(mix64(from + key));
    for (std::uint64_t key = 0; key < additions; ++key) ghost_.add(mix64(from + 1'000'000 + key));
    std::size_t remembered = 0;
    for (std::uint64_t key = 0; key < kProbes; ++key) remembered += ghost_.take(mix64(from + key)) ? 1 : 0;
    return static_cast<double>(remembered) / kProbes;
  };
  EXPECT_GT(remembered_after(10'000'000, kReach / 4), 0.95);
  EXPECT_GT(remembered_after(20'000'000, kReach / 2), 0.80);
  EXPECT_LT(remembered_after(30'000'000, 3 * kReach), 0.02);
}

TEST_P(GhostTest, SeldomSaysYesToAKeyItNeverSaw) {
  ghost_.set_reach(10000);
  for (std::uint64_t key = 0; key < 20000; ++key) ghost_.add(mix64(key));
  std::size_t wrong = 0;
  for (std::uint64_t key = 0; key < 20000; ++key) wrong += ghost_.take(mix64(key + 1'000'000)) ? 1 : 0;
  EXPECT_LT(wrong, GetParam() == Ghost::Fingerprints::kFine ? 10U : 200U);
}

TEST_P(GhostTest, WorksWhenAllHashesShareTheirTopBits) {
  // The keys of one shard do.
  ghost_.set_reach(1000);
  const auto in_shard = [](std::uint64_t key) { return mix64(key) >> 6; };
  for (std::uint64_t key = 0; key < 250; ++key) ghost_.add(in_shard(key));
  std::size_t remembered = 0;
  for (std::uint64_t key = 0; key < 250; ++key) remembered += ghost_.take(in_shard(key)) ? 1 : 0;
  EXPECT_GT(remembered, 235U);
}

TEST_P(GhostTest, SmallChangesOfReachForgetNothing) {
  ghost_.set_reach(1000);
  ghost_.add(mix64(1));
  ghost_.set_reach(1100);
  EXPECT_TRUE(ghost_.take(mix64(1)));
}

TEST_P(GhostTest, CostsWhatTheHeaderSays) {
  ghost_.set_reach(60000);
  const double per_key = static_cast<double>(ghost_.memory_bytes()) / 60000;
  EXPECT_LT(per_key, GetParam() == Ghost::Fingerprints::kFine ? 2.01 : 1.34);
}

INSTANTIATE_TEST_SUITE_P(Fingerprints, GhostTest,
                         testing::Values(Ghost::Fingerprints::kCompact, Ghost::Fingerprints::kFine),
                         [](const auto& suite) {
                           return suite.param == Ghost::Fingerprints::kFine ? "Fine" : "Compact";
                         });

}  // namespace
}  // namespace candor::l1
