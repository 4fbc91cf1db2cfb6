#include "app/belady.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace candor::app {
namespace {

// Evicts by looking ahead, request by request.
std::uint64_t naive_misses(const std::vector<std::uint32_t>& keys, std::size_t capacity) {
  std::set<std::uint32_t> cached;
  std::uint64_t misses = 0;
  for (auto now = keys.begin(); now != keys.end(); ++now) {
    if (cached.contains(*now)) continue;
    ++misses;
    if (cached.size() == capacity) {
      cached.erase(*std::max_element(cached.begin(), cached.end(), [&](std::uint32_t a, std::uint32_t b) {
        return std::find(now, keys.end(), a) < std::find(now, keys.end(), b);
      }));
    }
    cached.insert(*now);
  }
  return misses;
}

RC_GTEST_PROP(Belady, MissesAsOftenAsLookingAheadDoes, ()) {
  const auto unique = *rc::gen::inRange<std::uint32_t>(1, 20);
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 12);
  const auto keys =
      *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange<std::uint32_t>(0, unique));
  RC_ASSERT(belady_misses({keys, unique}, capacity) == naive_misses(keys, capacity));
}

TEST(Belady, HoldsAllButOneOfALoop) {
  NumberedTrace trace{.keys = {}, .unique = 10};
  for (std::uint32_t i = 0; i < 10000; ++i) trace.keys.push_back(i % 10);
  EXPECT_LT(belady_misses(trace, 9), 1200U);
  EXPECT_EQ(belady_misses(trace, 10), 10U);
}

TEST(Belady, AnEmptyTraceHasNoMisses) { EXPECT_EQ(belady_misses({}, 5), 0U); }

}  // namespace
}  // namespace candor::app
