// The origin's truth, key by key: which version was visible when. Made from the commits of a history.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sim/history.h"

namespace candor::sim {

class Truth {
 public:
  struct Span {
    std::uint64_t version;
    std::int64_t from, until;  // [from, until); the last one ends at kNever
    std::uint32_t commit;      // index into History::commits; kBeforeAll for the first span
  };
  static constexpr std::uint32_t kBeforeAll = UINT32_MAX;

  explicit Truth(const History& history);

  // In order of time; a key begins absent.
  [[nodiscard]] std::span<const Span> of(std::uint32_t key) const;
  [[nodiscard]] const Span& last(std::uint32_t key) const { return of(key).back(); }

  // The last span that showed `version` and began at or before `until`. Null: there was none.
  [[nodiscard]] const Span* last_span(std::uint32_t key, std::uint64_t version, std::int64_t until) const;
  // How long before `invoked` the version of this read ceased to be the truth; 0: it was the truth during the
  // read. nullopt: it never was, up to the answer.
  [[nodiscard]] std::optional<std::int64_t> staleness(const Operation& read) const;

 private:
  std::vector<Span> spans_;
  std::vector<std::uint32_t> begin_;  // of each key in spans_, and one past the last
};

}  // namespace candor::sim
