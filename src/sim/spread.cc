#include "sim/spread.h"

#include <algorithm>

namespace candor::sim {

void Spread::note(std::size_t node, std::string_view name, TrueTime at) {
  applied_[std::string(name)].push_back({at.ns, node});
}

std::vector<std::int64_t> Spread::lags(const History& history, Duration apart) const {
  std::vector<std::int64_t> lags;
  std::unordered_map<std::uint32_t, std::int64_t> last;  // commit of each key
  std::vector<bool> seen(nodes_);
  for (const Commit& commit : history.commits) {
    const auto [before, is_first] = last.try_emplace(commit.key, commit.visible);
    const bool is_alone = is_first || commit.visible - before->second >= apart.count();
    before->second = commit.visible;
    const auto found = applied_.find(history.keys.name(commit.key));
    if (!is_alone || commit.by_restore || found == applied_.end()) continue;
    seen.assign(nodes_, false);
    std::size_t missing = nodes_;
    auto at = std::ranges::lower_bound(found->second, commit.visible, {}, &Applied::at);
    for (; at != found->second.end() && missing > 0; ++at) {
      if (seen[at->node]) continue;
      seen[at->node] = true;
      if (--missing == 0) lags.push_back(at->at - commit.visible);
    }
  }
  return lags;
}

std::int64_t quantile(std::vector<std::int64_t> values, double share) {
  if (values.empty()) return 0;
  const auto at =
      std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())));
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(at));
  return values[at];
}

}  // namespace candor::sim
