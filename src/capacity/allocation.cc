#include "capacity/allocation.h"

#include <algorithm>

namespace candor::capacity {
namespace {

// Saved by a byte on the way from a to b.
double slope(const CostPoint& a, const CostPoint& b) { return (a.cost - b.cost) / (b.bytes - a.bytes); }

}  // namespace

std::vector<CostPoint> lower_hull(std::span<const CostPoint> points) {
  std::vector<CostPoint> hull;
  for (const CostPoint& point : points) {
    if (!hull.empty() && (point.bytes <= hull.back().bytes || point.cost >= hull.back().cost)) continue;
    while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), point))
      hull.pop_back();
    hull.push_back(point);
  }
  return hull;
}

std::vector<double> allocate(std::span<const std::vector<CostPoint>> curves, double total) {
  struct Piece {
    std::size_t curve;
    double bytes, gain;
  };
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const auto hull = lower_hull(curves[i]);
    for (std::size_t k = 1; k < hull.size(); ++k)
      pieces.push_back({i, hull[k].bytes - hull[k - 1].bytes, slope(hull[k - 1], hull[k])});
  }
  // Of equal gains the smaller first: who needs less is helped whole.
  std::ranges::sort(pieces, [](const Piece& a, const Piece& b) {
    return a.gain != b.gain ? a.gain > b.gain : a.bytes < b.bytes;
  });
  std::vector<double> bytes(curves.size(), 0.0);
  for (const Piece& piece : pieces) {
    const double part = std::min(piece.bytes, total);
    bytes[piece.curve] += part;
    total -= part;
    if (total <= 0) break;
  }
  return bytes;
}

}  // namespace candor::capacity
