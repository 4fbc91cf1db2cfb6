// What is still to be warmed from one origin: critical before hot before the rest; within a class the feature
// whose next key is worth most; within a feature in the order of its sources, which name their best first.
// Taken in groups of one feature, because such loads leave as one statement. Every step costs the same
// however long the line is. Thread safety: none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace candor::warm {

enum class WarmClass : std::uint8_t { kCritical, kHot, kRest };
inline constexpr std::size_t kWarmClasses = 3;
inline constexpr std::array<std::string_view, kWarmClasses> kWarmClassNames = {"critical", "hot", "rest"};

struct WarmItem {
  FeatureId feature;
  std::string key;
  double worth = 0.0;  // within its class; see hot_set.h
  double reads = 0.0;  // a second, that are expected of it; 0: not known
  std::uint8_t attempts = 0;
};

class WarmLine {
 public:
  void add(WarmClass of, WarmItem item);
  // To be tried again: as the next one, or as the last.
  enum class Again : std::uint8_t { kNext, kLast };
  void put_back(WarmClass of, WarmItem item, Again when);

  struct Group {
    WarmClass of{};
    std::vector<WarmItem> items;  // of one feature
  };
  // The best feature's next items, at most as many as `items_max` says of it; nothing: the line is empty.
  [[nodiscard]] std::optional<Group> take(const std::function<std::size_t(FeatureId)>& items_max);
  // All of a class; for what will not be warmed.
  [[nodiscard]] std::vector<WarmItem> drop(WarmClass of);

  [[nodiscard]] std::size_t size(WarmClass of) const { return classes_[index(of)].size; }
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::optional<WarmClass> next_class() const;

 private:
  struct Class {
    std::map<std::uint32_t, std::deque<WarmItem>> by_feature;  // none empty
    std::size_t size = 0;
  };
  static std::size_t index(WarmClass of) { return static_cast<std::size_t>(of); }
  std::array<Class, kWarmClasses> classes_;
};

}  // namespace candor::warm
