#include "budget/key_classes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

namespace candor {
namespace {

// Classes of their own: enough that what follows is read less than a percent each in any skew seen in traces.
constexpr std::size_t kOwnClasses = 64;
// Below this many changes seen of a key, its rate is known to no better than a factor of two, and the mean of
// its like says more. Taken one by one such rates would be too uneven, and the prediction, which is concave
// in the rate, too low.
constexpr std::uint64_t kTellableUpdates = 8;

// The sum of k^-skew for k in [first, last], by the integral with its first correction (Euler and Maclaurin).
double power_sum(double first, double last, double skew) {
  const auto term = [&](double k) { return std::pow(k, -skew); };
  const double integral = std::abs(skew - 1.0) < 1e-9
                              ? std::log(last / first)
                              : (std::pow(last, 1.0 - skew) - std::pow(first, 1.0 - skew)) / (1.0 - skew);
  return integral + (term(first) + term(last)) / 2.0 +
         skew * (term(first) / first - term(last) / last) / 12.0;
}

struct Span {
  double first, last;  // ranks
  [[nodiscard]] double keys() const { return last - first + 1.0; }
};

std::vector<Span> rank_spans(double keys) {
  constexpr double kGrowth = 1.25;
  std::vector<Span> spans;
  double first = 1.0;
  while (first <= keys) {
    const bool alone = spans.size() < kOwnClasses;
    const double last = alone ? first : std::min(keys, std::floor(first * kGrowth));
    spans.push_back({first, last});
    first = last + 1.0;
  }
  return spans;
}

}  // namespace

Workload workload_of(std::vector<KeyCount> counts, double seconds) {
  Workload workload;
  double reads = 0.0, updates = 0.0;
  for (const KeyCount& one : counts) {
    reads += static_cast<double>(one.reads);
    updates += static_cast<double>(one.updates);
  }
  if (seconds <= 0.0 || reads <= 0.0) return workload;
  workload.reads_per_second = reads / seconds;
  workload.updates_per_second = updates / seconds;
  const auto more_read = [](const KeyCount& a, const KeyCount& b) { return a.reads > b.reads; };
  const std::size_t own = std::min(kOwnClasses, counts.size());
  std::partial_sort(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(own), counts.end(),
                    more_read);

  struct Sum {
    double keys = 0.0, reads = 0.0, updates = 0.0;
  };
  std::map<std::pair<int, int>, Sum> bins;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const KeyCount& one = counts[i];
    if (one.reads == 0) continue;
    const int read_bin = i < own ? -1 - static_cast<int>(i) : static_cast<int>(std::bit_width(one.reads));
    const int update_bin = one.updates < kTellableUpdates ? 0 : static_cast<int>(std::bit_width(one.updates));
    Sum& sum = bins[{read_bin, update_bin}];
    sum.keys += 1.0;
    sum.reads += static_cast<double>(one.reads);
    sum.updates += static_cast<double>(one.updates);
  }
  for (const auto& [bin, sum] : bins)
    workload.classes.push_back({.read_share = sum.reads / reads,
                                .reads_per_second = sum.reads / sum.keys / seconds,
                                .updates_per_second = sum.updates / sum.keys / seconds});
  std::ranges::sort(workload.classes, std::greater<>(), &KeyClass::reads_per_second);
  return workload;
}

Workload spread_workload(const SpreadFigures& figures) {
  const double keys = std::max(1.0, std::floor(figures.keys));
  Workload workload{.reads_per_second = figures.reads_per_second,
                    .updates_per_second = figures.updates_per_second,
                    .classes = {}};
  const std::vector<Span> spans = rank_spans(keys);
  const auto weight = [](const Span& span, double skew) {
    return span.first == span.last ? std::pow(span.first, -skew) : power_sum(span.first, span.last, skew);
  };
  double all_reads = 0.0, all_updates = 0.0;
  for (const Span& span : spans) {
    all_reads += weight(span, figures.read_skew);
    all_updates += weight(span, figures.update_skew);
  }
  for (const Span& span : spans) {
    const double share = weight(span, figures.read_skew) / all_reads;
    workload.classes.push_back(
        {.read_share = share,
         .reads_per_second = figures.reads_per_second * share / span.keys(),
         .updates_per_second =
             figures.updates_per_second * weight(span, figures.update_skew) / all_updates / span.keys()});
  }
  return workload;
}

double keys_of(const Workload& workload) {
  double keys = 0.0;
  for (const KeyClass& one : workload.classes)
    if (one.reads_per_second > 0.0) keys += one.read_share * workload.reads_per_second / one.reads_per_second;
  return keys;
}

}  // namespace candor
