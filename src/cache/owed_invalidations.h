// Invalidations that L2 did not take (it was down or too slow) and that are still owed to it.
//
// While a key is owed, this node does not read it from L2 (it may be old there). When L2 answers again the
// owed keys are sent before anything else is believed. More than `keys_max` owed keys become "everything": L2
// is cleared as a whole, which costs misses and never a stale read. Pure; belongs to the cache's home
// executor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace candor {

class OwedInvalidations {
 public:
  OwedInvalidations(std::size_t keys_max, std::uint64_t seed)
      : keys_max_(keys_max), keys_(16, SeededHash{seed}) {}

  void add(std::string_view name) {
    if (everything_) {
      ++generation_;  // a clear that is under way may have been too early for this one
      return;
    }
    if (keys_.size() >= keys_max_) {
      add_everything();
      return;
    }
    keys_.insert_or_assign(std::string(name), ++generation_);
  }
  void add_everything() {
    everything_ = true;
    ++generation_;
    keys_.clear();
  }

  // A debt as it stood when its payment was sent. A payment settles only that: a debt that was renewed
  // meanwhile (another write of the key, committed after the payment reached L2) stays.
  struct Debt {
    std::string name;
    std::uint64_t generation = 0;
  };
  void settle(const Debt& debt) {
    auto it = keys_.find(debt.name);
    if (it != keys_.end() && it->second == debt.generation) keys_.erase(it);
  }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  void settle_everything(std::uint64_t generation) {
    if (generation == generation_) everything_ = false;
  }

  // May this node read `name` from L2 now?
  [[nodiscard]] bool owes(std::string_view name) const { return everything_ || keys_.contains(name); }
  [[nodiscard]] bool owes_everything() const { return everything_; }
  [[nodiscard]] bool empty() const { return !everything_ && keys_.empty(); }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  // Up to `count` owed keys, in no order.
  [[nodiscard]] std::vector<Debt> some(std::size_t count) const {
    std::vector<Debt> out;
    for (const auto& [name, generation] : keys_) {
      if (out.size() >= count) break;
      out.push_back({name, generation});
    }
    return out;
  }

 private:
  std::size_t keys_max_;
  std::uint64_t generation_ = 0;
  bool everything_ = false;
  std::unordered_map<std::string, std::uint64_t, SeededHash, std::equal_to<>> keys_;
};

}  // namespace candor
