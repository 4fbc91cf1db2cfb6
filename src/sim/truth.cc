#include "sim/truth.h"

#include <algorithm>
#include <limits>

#include "base/stable_sort.h"

namespace candor::sim {

Truth::Truth(const History& history) {
  std::vector<std::uint32_t> order(history.commits.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  stable_sort_by(
      order, [&](std::uint32_t i) { return std::pair(history.commits[i].key, history.commits[i].visible); });
  spans_.reserve(order.size() + history.keys.size());
  begin_.reserve(history.keys.size() + 1);
  std::size_t at = 0;
  for (std::uint32_t key = 0; key < history.keys.size(); ++key) {
    begin_.push_back(static_cast<std::uint32_t>(spans_.size()));
    spans_.push_back({kAbsent, std::numeric_limits<std::int64_t>::min(), kNever, kBeforeAll});
    for (; at < order.size() && history.commits[order[at]].key == key; ++at) {
      const Commit& commit = history.commits[order[at]];
      spans_.back().until = commit.visible;
      spans_.push_back({commit.version, commit.visible, kNever, order[at]});
    }
  }
  begin_.push_back(static_cast<std::uint32_t>(spans_.size()));
}

std::span<const Truth::Span> Truth::of(std::uint32_t key) const {
  return std::span(spans_).subspan(begin_[key], begin_[key + 1] - begin_[key]);
}

const Truth::Span* Truth::last_span(std::uint32_t key, std::uint64_t version, std::int64_t until) const {
  const auto spans = of(key);
  auto at = std::ranges::upper_bound(spans, until, {}, &Span::from);
  while (at != spans.begin())
    if ((--at)->version == version) return &*at;
  return nullptr;
}

std::optional<std::int64_t> Truth::staleness(const Operation& read) const {
  const Span* span = last_span(read.key, read.version, read.responded);
  if (span == nullptr) return std::nullopt;
  return span->until >= read.invoked ? 0 : read.invoked - span->until;
}

}  // namespace candor::sim
