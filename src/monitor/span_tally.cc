#include "monitor/span_tally.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "monitor/interval.h"

namespace candor {

void SpanTally::Sum::add(const Judged& read) {
  reads += read.weight;
  squares += read.weight * read.weight;
  ++samples;
  if (read.over <= 0.0) return;
  if (read.over >= 1.0) {
    sure += read.weight;
  } else {
    const double part = read.weight / std::max(read.weight, read.together);
    log_none += part * std::log1p(-read.over);
  }
  guess_variance += read.weight * std::max(read.weight, read.together) * read.over * (1.0 - read.over);
  over += read.weight * read.over;
  by_cause[static_cast<std::size_t>(read.cause)] += read.weight * read.over;
}

void SpanTally::Sum::add(const Sum& other) {
  reads += other.reads;
  squares += other.squares;
  over += other.over;
  sure += other.sure;
  log_none += other.log_none;
  guess_variance += other.guess_variance;
  samples += other.samples;
  for (std::size_t i = 0; i < kStaleCauses; ++i) by_cause[i] += other.by_cause[i];
}

void SpanTally::add(MonoTime now, const Judged& read) {
  const std::int64_t number = step_of(now);
  Step& step = steps_[static_cast<std::size_t>(number) % steps_.size()];
  if (step.number != number) step = Step{number, {}};
  step.sum.add(read);
  total_.add(read);
}

Measured SpanTally::over_span(MonoTime now) const {
  const std::int64_t current = step_of(now);
  Sum sum;
  for (const Step& step : steps_)
    if (step.number >= 0 && step.number <= current &&
        step.number > current - static_cast<std::int64_t>(steps_.size()))
      sum.add(step.sum);
  return measured(sum);
}

Measured SpanTally::measured(const Sum& sum) {
  Measured out;
  if (sum.reads <= 0.0) return out;
  out.reads = sum.reads * sum.reads / sum.squares;
  out.stale_fraction = sum.over / sum.reads;
  for (std::size_t i = 0; i < kStaleCauses; ++i) out.by_cause[i] = sum.by_cause[i] / sum.reads;
  // As many reads, each sure, as would leave the same variance.
  const double p = out.stale_fraction;
  double n = out.reads;
  double population = sum.reads;
  if (sum.guess_variance > 0.0 && p < 1.0) {
    const double rest = std::max(0.0, 1.0 - n / population);  // of the sampling error, without replacement
    n = p * (1.0 - p) / (p * (1.0 - p) * rest / n + sum.guess_variance / (sum.reads * sum.reads));
    population = std::numeric_limits<double>::infinity();
  }
  const Interval interval = wilson_interval(p, n, population);
  // Nothing but guesses, and it may well be that none of them came true.
  constexpr double kTail = 0.025;
  const bool may_be_none = sum.sure <= 0.0 && sum.log_none > std::log(kTail);
  out.low = may_be_none ? 0.0 : interval.low;
  out.high = interval.high;
  return out;
}

}  // namespace candor
