// What must not be served from the disk although it may still be there: the names whose removal is on its
// way, and the floors. This is where an invalidation takes effect; the disk follows.
//
//   seq 10  key 7 is demoted            → record 10 is on its way to the disk
//   seq 11  a change of key 7           → 7 is forgotten up to 11; its removal goes behind record 10
//           a reader: the disk answers record 10 → 10 < 11: not served
//   seq 12  key 7, loaded anew, is demoted → record 12 may be served at once
//           the removal was written: nothing older can be read any more, and the name leaves the table
//
// Invariants
//   - A record is served only if its sequence is above everything that was forgotten of its name, its feature
//     or all, whatever happens to the disk.
//   - Never more than `names_max` names or `name_bytes_max` bytes of them: beyond, the whole feature is
//     forgotten.
// Pure. Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"

namespace candor::disk {

class Forgotten {
 public:
  struct Limits {
    std::size_t names_max = 65'536;
    std::size_t name_bytes_max = std::size_t{8} << 20;
  };
  Forgotten(Limits limits, std::uint64_t seed) : limits_(limits), names_(16, SeededHash{seed}) {}

  // False: there is no room; the caller forgets the feature instead.
  [[nodiscard]] bool add(std::string_view name, std::uint64_t sequence);
  // The removal of this name at this sequence is on the disk.
  void removed(std::string_view name, std::uint64_t sequence);
  [[nodiscard]] bool covers(std::string_view name, std::uint64_t sequence) const;
  void clear();
  [[nodiscard]] std::size_t size() const { return names_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const { return name_bytes_ + names_.size() * kNodeBytes; }

 private:
  static constexpr std::size_t kNodeBytes = 80;  // a node of the table, about
  Limits limits_;
  std::size_t name_bytes_ = 0;
  std::unordered_map<std::string, std::uint64_t, SeededHash, std::equal_to<>> names_;
};

}  // namespace candor::disk
