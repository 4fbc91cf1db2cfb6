#include "warm/warm_line.h"

#include <algorithm>
#include <utility>

namespace candor::warm {

void WarmLine::add(WarmClass of, WarmItem item) { put_back(of, std::move(item), Again::kLast); }

void WarmLine::put_back(WarmClass of, WarmItem item, Again when) {
  Class& into = classes_[index(of)];
  ++into.size;
  std::deque<WarmItem>& line = into.by_feature[item.feature.value];
  if (when == Again::kNext)
    line.push_front(std::move(item));
  else
    line.push_back(std::move(item));
}

std::optional<WarmLine::Group> WarmLine::take(const std::function<std::size_t(FeatureId)>& items_max) {
  const auto of = next_class();
  if (!of) return std::nullopt;
  Class& from = classes_[index(*of)];
  const auto best = std::ranges::max_element(from.by_feature, {},
                                             [](const auto& entry) { return entry.second.front().worth; });
  Group group{.of = *of, .items = {}};
  std::deque<WarmItem>& line = best->second;
  const std::size_t count = std::min(std::max<std::size_t>(1, items_max(line.front().feature)), line.size());
  for (std::size_t i = 0; i < count; ++i) {
    group.items.push_back(std::move(line.front()));
    line.pop_front();
  }
  from.size -= count;
  if (line.empty()) from.by_feature.erase(best);
  return group;
}

std::vector<WarmItem> WarmLine::drop(WarmClass of) {
  std::vector<WarmItem> all;
  for (auto& [feature, line] : classes_[index(of)].by_feature)
    std::ranges::move(line, std::back_inserter(all));
  classes_[index(of)] = {};
  return all;
}

std::size_t WarmLine::size() const {
  std::size_t sum = 0;
  for (const Class& one : classes_) sum += one.size;
  return sum;
}

std::optional<WarmClass> WarmLine::next_class() const {
  for (std::size_t i = 0; i < kWarmClasses; ++i)
    if (classes_[i].size > 0) return static_cast<WarmClass>(i);
  return std::nullopt;
}

}  // namespace candor::warm
