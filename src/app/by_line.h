// Things that stand on lines of a file, in the order of the lines; what shares a line keeps its order.
// (std::stable_sort would do, but libstdc++ 12 builds it on a function that clang refuses as deprecated.)
#pragma once

#include <map>
#include <utility>
#include <vector>

namespace candor::app {

template <class T>
void sort_by_line(std::vector<T>& things) {
  std::map<int, std::vector<T>> by_line;
  for (T& thing : things) by_line[thing.line].push_back(std::move(thing));
  things.clear();
  for (auto& [line, group] : by_line)
    for (T& thing : group) things.push_back(std::move(thing));
}

}  // namespace candor::app
