// What each feature deserves of a memory: where the next byte saves most.
//
// Greedy on the lower convex hull of each feature's curve of cost over bytes: on hulls the steepest next
// piece is always the right one (a curve with a cliff is taken up to the cliff or not at all).
//
// Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace candor::capacity {

struct CostPoint {
  double bytes = 0;
  double cost = 0;  // loads per second, weighed by what a load costs
};

// Its corners, from no bytes on; cost falls and pieces get flatter. `points` by rising bytes.
[[nodiscard]] std::vector<CostPoint> lower_hull(std::span<const CostPoint> points);

// Bytes for each curve; together at most `total`. What nobody can use is given to nobody.
[[nodiscard]] std::vector<double> allocate(std::span<const std::vector<CostPoint>> curves, double total);

}  // namespace candor::capacity
