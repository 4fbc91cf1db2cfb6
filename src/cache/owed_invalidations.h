// Invalidations that L2 did not take (it was down or too slow) and that are still owed to it.
//
// While a key is owed, this node does not read it from L2 (it may be old there). When L2 answers again the
// debts are paid before anything else about those keys is believed. More than `keys_max` owed keys become
// debts of whole features ("every key that begins with `profile:`"): L2 is cleared of them, which costs
// misses and never a stale read.
//
// Only features with an origin may owe: a plain feature's value has no other home than L2, and paying a
// feature's debt deletes all of it there. Pure; belongs to the cache's home executor. Debts live in memory: a
// restart forgets them (docs/read-path.md).
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
      : keys_max_(keys_max), keys_(16, SeededHash{seed}), features_(16, SeededHash{seed}) {}

  // `name` is `feature:key`.
  void add(std::string_view name) {
    if (const auto it = features_.find(prefix_of(name)); it != features_.end()) {
      it->second = ++generation_;  // a clear that is under way may have been too early for this one
      return;
    }
    if (keys_.size() >= keys_max_) {
      for (const auto& [key, _] : keys_) add_feature(prefix_of(key));
      keys_.clear();
      add_feature(prefix_of(name));
      return;
    }
    keys_.insert_or_assign(std::string(name), ++generation_);
  }
  // `prefix` is `feature:`.
  void add_feature(std::string_view prefix) {
    features_.insert_or_assign(std::string(prefix), ++generation_);
  }

  // A debt as it stood when its payment was sent. A payment settles only that: a debt that was renewed
  // meanwhile (another write of the key, committed after the payment reached L2) stays.
  struct Debt {
    std::string name;
    std::uint64_t generation = 0;
  };
  void settle(const Debt& debt) { settle_in(keys_, debt); }
  void settle_feature(const Debt& debt) { settle_in(features_, debt); }

  // May this node not read `name` from L2 now?
  [[nodiscard]] bool owes(std::string_view name) const {
    return keys_.contains(name) || features_.contains(prefix_of(name));
  }
  [[nodiscard]] bool empty() const { return keys_.empty() && features_.empty(); }
  [[nodiscard]] std::size_t size() const { return keys_.size() + features_.size(); }
  // Up to `count` debts, in no order.
  [[nodiscard]] std::vector<Debt> some_keys(std::size_t count) const { return some_of(keys_, count); }
  [[nodiscard]] std::vector<Debt> features() const { return some_of(features_, features_.size()); }

 private:
  using Debts = std::unordered_map<std::string, std::uint64_t, SeededHash, std::equal_to<>>;

  // Feature names have no colon.
  static std::string_view prefix_of(std::string_view name) { return name.substr(0, name.find(':') + 1); }
  static void settle_in(Debts& debts, const Debt& debt) {
    const auto it = debts.find(debt.name);
    if (it != debts.end() && it->second == debt.generation) debts.erase(it);
  }
  static std::vector<Debt> some_of(const Debts& debts, std::size_t count) {
    std::vector<Debt> out;
    for (const auto& [name, generation] : debts) {
      if (out.size() >= count) break;
      out.push_back({name, generation});
    }
    return out;
  }

  std::size_t keys_max_;
  std::uint64_t generation_ = 0;
  Debts keys_;
  Debts features_;
};

}  // namespace candor
