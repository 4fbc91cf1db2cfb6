// A stable sort by a key. (std::stable_sort would do, but libstdc++ 12 builds it on a function that clang
// refuses as deprecated.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace candor {

template <class T, class Key>
void stable_sort_by(std::vector<T>& items, Key key) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const auto& first = key(items[a]);
    const auto& second = key(items[b]);
    if (first < second) return true;
    return !(second < first) && a < b;
  });
  std::vector<T> sorted;
  sorted.reserve(items.size());
  for (const std::size_t i : order) sorted.push_back(std::move(items[i]));
  items = std::move(sorted);
}

}  // namespace candor
