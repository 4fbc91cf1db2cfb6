// Writes whose outcome is unknown: the origin did not answer in time, and the statement may still commit.
//
//   SET fails at its deadline        UPDATE still waits for a row lock
//   the entry is dropped             …
//   a reader loads the OLD row       …
//   (stored: wrong for a ttl)        UPDATE commits
//
// So until the statement can no longer commit, loads of the key are handed out and stored nowhere; at the end
// of that time the key is dropped once more. More than `keys_max` such keys become "every key", for as long.
// Pure; belongs to the home executor.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"
#include "base/time.h"

namespace candor {

class UnsettledWrites {
 public:
  UnsettledWrites(std::size_t keys_max, std::uint64_t seed)
      : keys_max_(keys_max), keys_(16, SeededHash{seed}) {}

  void add(std::string_view name, MonoTime until) {
    const auto it = keys_.find(name);
    if (it != keys_.end()) {
      it->second = std::max(it->second, until);
    } else if (keys_.size() < keys_max_) {
      keys_.emplace(name, until);
    } else {
      every_key_until_ = std::max(every_key_until_, until);
    }
  }

  [[nodiscard]] bool is_unsettled(std::string_view name, MonoTime now) const {
    if (now < every_key_until_) return true;
    const auto it = keys_.find(name);
    return it != keys_.end() && now < it->second;
  }

  // Forgets the key if its time is over. False: a later write of it is unsettled, or it is not here.
  bool settle(std::string_view name, MonoTime now) {
    const auto it = keys_.find(name);
    if (it == keys_.end() || now < it->second) return false;
    keys_.erase(it);
    return true;
  }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }

 private:
  std::size_t keys_max_;
  MonoTime every_key_until_{0};
  std::unordered_map<std::string, MonoTime, SeededHash, std::equal_to<>> keys_;
};

}  // namespace candor
