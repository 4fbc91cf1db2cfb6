#include "monitor/budget_windows.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.h"

namespace candor {
namespace {

// A bucket is at most a thirtieth of the ring's shortest window: what sum() may lack is 3 %.
constexpr int kBucketsInShortest = 30;
// … and at most a 360th of its longest: 2 h of 30 days.
constexpr int kBucketsInLongest = 360;
// A ring serves windows up to twelve times its shortest: as the short window of a burn rule is to its long.
constexpr int kLongestToShortest = 12;

bool is_count(double value) { return std::isfinite(value) && value >= 0.0; }

// Sums in floating point may exceed what they are a part of by their rounding.
bool is_part(double part, double whole) { return is_count(part) && part <= whole * (1.0 + 1e-9) + 1e-9; }

}  // namespace

BudgetWindows::BudgetWindows(std::span<const Duration> windows) {
  CANDOR_ASSERT(!windows.empty() && windows.front() >= kShortest);
  CANDOR_ASSERT(std::ranges::is_sorted(windows));
  for (std::size_t i = 0; i < windows.size();) {
    const Duration shortest = windows[i];
    while (i < windows.size() && windows[i] / kLongestToShortest <= shortest)
      ++i;  // no product: it may overflow
    Ring ring;
    ring.longest = windows[i - 1];
    ring.width =
        std::max(kBucketLeast, std::min(shortest / kBucketsInShortest, ring.longest / kBucketsInLongest));
    // The newest bucket is not full yet, so that one more is needed.
    ring.buckets.resize(static_cast<std::size_t>((ring.longest + ring.width - 1ns) / ring.width) + 1);
    rings_.push_back(std::move(ring));
  }
  rings_.back().causes.resize(rings_.back().buckets.size());
}

void BudgetWindows::Ring::advance(std::int64_t number) {
  const auto size = static_cast<std::int64_t>(buckets.size());
  for (std::int64_t next = std::max(head + 1, number - size + 1); next <= number; ++next) {
    buckets[place(next)] = {};
    if (!causes.empty()) causes[place(next)] = {};
  }
  head = std::max(head, number);
}

void BudgetWindows::Ring::add(MonoTime now, const Tally& tally) {
  advance(std::max<std::int64_t>(now.ns, 0) / width.count());
  Bucket& bucket = buckets[place(head)];
  bucket.reads += tally.reads;
  bucket.stale += tally.stale;
  bucket.squares += tally.squares;
  if (causes.empty()) return;
  for (std::size_t i = 0; i < kStaleCauses; ++i) causes[place(head)][i] += tally.by_cause[i];
}

template <class Visit>
void BudgetWindows::Ring::each(MonoTime now, Duration window, Visit visit) const {
  const std::int64_t from = std::max<std::int64_t>((now - window).ns, 0);
  const std::int64_t first = (from + width.count() - 1) / width.count();
  const auto size = static_cast<std::int64_t>(buckets.size());
  for (std::int64_t number = std::max(first, head - size + 1); number <= head; ++number) visit(place(number));
}

const BudgetWindows::Ring& BudgetWindows::ring_of(Duration window) const {
  const auto it = std::ranges::find_if(rings_, [&](const Ring& ring) { return window <= ring.longest; });
  CANDOR_ASSERT(it != rings_.end());
  return *it;
}

void BudgetWindows::add(MonoTime now, const Tally& tally) {
  if (tally.reads <= 0.0) return;
  for (Ring& ring : rings_) ring.add(now, tally);
}

Tally BudgetWindows::sum(MonoTime now, Duration window) const {
  Tally out;
  const Ring& ring = ring_of(window);
  const bool with_causes = window == rings_.back().longest;
  ring.each(now, window, [&](std::size_t place) {
    const Bucket& bucket = ring.buckets[place];
    out += Tally{bucket.reads, bucket.stale, bucket.squares, with_causes ? ring.causes[place] : Causes{}};
  });
  return out;
}

Duration BudgetWindows::bucket(Duration window) const { return ring_of(window).width; }

std::size_t BudgetWindows::bytes() const {
  std::size_t sum = sizeof *this + rings_.size() * sizeof(Ring);
  for (const Ring& ring : rings_)
    sum += ring.buckets.size() * sizeof(Bucket) + ring.causes.size() * sizeof(Causes);
  return sum;
}

// Most buckets of most features are empty: only the others are written, each with its age in buckets.
void BudgetWindows::Ring::save(BlobWriter& out) const {
  out.put(width.count());
  out.put(static_cast<std::uint32_t>(buckets.size()));
  out.put(head);
  const auto used = std::ranges::count_if(buckets, [](const Bucket& b) { return b.reads > 0.0; });
  out.put(static_cast<std::uint32_t>(used));
  for (std::uint32_t age = 0; head >= 0 && age < buckets.size() && std::cmp_less_equal(age, head); ++age) {
    const std::size_t at = place(head - age);
    const Bucket& bucket = buckets[at];
    if (bucket.reads <= 0.0) continue;
    out.put(age);
    out.put(bucket.reads);
    out.put(bucket.stale);
    out.put(bucket.squares);
    if (!causes.empty())
      for (const double part : causes[at]) out.put(part);
  }
}

void BudgetWindows::Ring::restore(BlobReader& in, MonoTime now) {
  if (in.take<Duration::rep>() != width.count() || in.take<std::uint32_t>() != buckets.size())
    return in.fail();
  head = in.take<std::int64_t>();
  const auto used = in.take<std::uint32_t>();
  if (head < -1 || head > now.ns / width.count() || used > buckets.size()) return in.fail();
  for (std::uint32_t i = 0; i < used && in.is_good(); ++i) {
    const auto age = in.take<std::uint32_t>();
    if (age >= buckets.size() || std::cmp_greater(age, head)) return in.fail();
    Bucket& bucket = buckets[place(head - age)];
    bucket = {in.take<double>(), in.take<double>(), in.take<double>()};
    if (!is_count(bucket.reads) || !is_part(bucket.stale, bucket.reads) || !is_count(bucket.squares))
      return in.fail();
    if (causes.empty()) continue;
    for (double& part : causes[place(head - age)]) {
      part = in.take<double>();
      if (!is_part(part, bucket.stale)) return in.fail();
    }
  }
}

void BudgetWindows::save(BlobWriter& out) const {
  for (const Ring& ring : rings_) ring.save(out);
}

void BudgetWindows::restore(BlobReader& in, MonoTime now) {
  for (Ring& ring : rings_)
    if (in.is_good()) ring.restore(in, now);
}

}  // namespace candor
