#include "tier/disk/forgotten.h"

#include <algorithm>

namespace candor::disk {

bool Forgotten::add(std::string_view name, std::uint64_t sequence) {
  if (const auto found = names_.find(name); found != names_.end()) {
    found->second = std::max(found->second, sequence);
    return true;
  }
  if (names_.size() >= limits_.names_max || name_bytes_ + name.size() > limits_.name_bytes_max) return false;
  names_.emplace(std::string(name), sequence);
  name_bytes_ += name.size();
  return true;
}

void Forgotten::removed(std::string_view name, std::uint64_t sequence) {
  const auto found = names_.find(name);
  // Forgotten again since: that removal is still on its way.
  if (found == names_.end() || found->second > sequence) return;
  name_bytes_ -= name.size();
  names_.erase(found);
}

bool Forgotten::covers(std::string_view name, std::uint64_t sequence) const {
  const auto found = names_.find(name);
  return found != names_.end() && sequence <= found->second;
}

void Forgotten::clear() {
  names_.clear();
  name_bytes_ = 0;
}

}  // namespace candor::disk
