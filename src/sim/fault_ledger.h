// Which faults were planned, and which were seen to take effect. A lost message that nobody waited for, a
// partition that no message met and a pause of an idle process prove nothing: only effects count.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace candor::sim {

class FaultLedger {
 public:
  struct Entry {
    std::uint64_t planned = 0;
    std::uint64_t effective = 0;
  };
  void plan(std::string_view name) { ++entry(name).planned; }
  void take_effect(std::string_view name) { ++entry(name).effective; }

  // By name, in alphabetical order.
  [[nodiscard]] const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  [[nodiscard]] Entry of(std::string_view name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? Entry{} : found->second;
  }
  [[nodiscard]] std::uint64_t effective() const {
    std::uint64_t sum = 0;
    for (const auto& [name, e] : entries_) sum += e.effective;
    return sum;
  }

 private:
  Entry& entry(std::string_view name) {
    const auto found = entries_.find(name);
    return found != entries_.end() ? found->second : entries_[std::string(name)];
  }
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace candor::sim
