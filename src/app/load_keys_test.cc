#include "app/load_keys.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace candor::load {
namespace {

TEST(LoadKeysTest, ARecordingIsPlayedInOrderAndAgain) {
  auto keys = make_recorded_keys({3, 1, 2});
  std::vector<std::uint32_t> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(keys->next());
  EXPECT_EQ(seen, (std::vector<std::uint32_t>{3, 1, 2, 3, 1}));
}

TEST(LoadKeysTest, OneSeedGivesOneSequence) {
  const KeyShape shape{.keys = 1000, .zipf = 0.9, .scan_share = 0.2, .scan_length = 50, .drift = 0.01};
  auto a = make_generated_keys(shape, 7);
  auto b = make_generated_keys(shape, 7);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(a->next(), b->next());
}

TEST(LoadKeysTest, KeysStayInRange) {
  auto keys =
      make_generated_keys({.keys = 10, .zipf = 1.2, .scan_share = 0.4, .scan_length = 30, .drift = 0.5}, 1);
  for (int i = 0; i < 10'000; ++i) ASSERT_LT(keys->next(), 10U);
}

// The share of the most popular key under Zipf 1.0 with 1000 keys is 1/H(1000) = 0.1336.
TEST(LoadKeysTest, PopularityFollowsTheLaw) {
  auto keys = make_generated_keys({.keys = 1000, .zipf = 1.0}, 3);
  std::map<std::uint32_t, int> count;
  constexpr int kRequests = 200'000;
  for (int i = 0; i < kRequests; ++i) ++count[keys->next()];
  int most = 0;
  for (const auto& [key, n] : count) most = std::max(most, n);
  EXPECT_NEAR(static_cast<double>(most) / kRequests, 0.1336, 0.005);
}

TEST(LoadKeysTest, RepeatsAskForRecentKeysInTheAskedShare) {
  constexpr std::uint32_t kKeys = 1'000'000;
  auto keys = make_generated_keys({.keys = kKeys, .zipf = 0.0, .repeat_share = 0.4, .repeat_window = 100}, 5);
  std::map<std::uint32_t, int> last_seen;
  int repeated = 0;
  constexpr int kRequests = 100'000;
  for (int i = 0; i < kRequests; ++i) {
    const auto key = keys->next();
    const auto seen = last_seen.find(key);
    repeated += seen != last_seen.end() && i - seen->second <= 100 ? 1 : 0;
    last_seen[key] = i;
  }
  EXPECT_NEAR(static_cast<double>(repeated) / kRequests, 0.4, 0.02);
}

TEST(LoadKeysTest, ScansReadNeighboursInTheAskedShare) {
  constexpr std::uint32_t kKeys = 1'000'000;
  auto keys = make_generated_keys({.keys = kKeys, .zipf = 0.0, .scan_share = 0.3, .scan_length = 200}, 5);
  std::set<std::uint32_t> recent_next;
  int in_scan = 0;
  constexpr int kRequests = 200'000;
  for (int i = 0; i < kRequests; ++i) {
    const auto key = keys->next();
    in_scan += recent_next.contains(key) ? 1 : 0;
    if (recent_next.size() > 5000) recent_next.clear();
    recent_next.insert((key + 1) % kKeys);
  }
  EXPECT_NEAR(static_cast<double>(in_scan) / kRequests, 0.3, 0.05);
}

TEST(LoadKeysTest, DriftMovesThePopularKey) {
  auto keys = make_generated_keys({.keys = 1000, .zipf = 1.2, .drift = 0.01}, 11);
  std::set<std::uint32_t> leaders;
  for (int window = 0; window < 10; ++window) {
    std::map<std::uint32_t, int> count;
    for (int i = 0; i < 5000; ++i) ++count[keys->next()];
    leaders.insert(std::max_element(count.begin(), count.end(), [](const auto& a, const auto& b) {
                     return a.second < b.second;
                   })->first);
  }
  EXPECT_GT(leaders.size(), 3U);
}

}  // namespace
}  // namespace candor::load
