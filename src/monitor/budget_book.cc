#include "monitor/budget_book.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "base/units.h"
#include "monitor/interval.h"

namespace candor {
namespace {

// The last digit is the format's: another build's history is not read, it is begun anew.
constexpr std::string_view kMagic = "candor budget windows 1\n";
// Written after all that it protects.
constexpr std::uint64_t kChecksumSeed = 0x62756467'65747331ULL;
// What a wall clock is corrected by while it runs; nothing to speak of.
constexpr Duration kClockSlack = 1min;

Measured measured(const Tally& tally) {
  Measured out;
  out.reads = tally.effective();
  if (!out.is_measured()) return out;
  out.stale_fraction = std::min(1.0, tally.fraction());
  for (std::size_t i = 0; i < kStaleCauses; ++i) out.by_cause[i] = tally.by_cause[i] / tally.reads;
  const Interval interval = wilson_interval(out.stale_fraction, out.reads);
  out.low = interval.low;
  out.high = interval.high;
  return out;
}

// What the blob says of a feature's budget must be what the configuration says.
bool is_same(const BudgetBook::Feature& feature, std::int64_t window, std::int64_t max_staleness) {
  return feature.budget && feature.budget->window.count() == window &&
         feature.budget->max_staleness.count() == max_staleness;
}

}  // namespace

BudgetBook::BudgetBook(std::vector<Feature> features) {
  for (Feature& feature : features) entries_.push_back({std::move(feature), {}});
}

void BudgetBook::add(std::size_t feature, JudgedBy by, MonoTime now, const Tally& tally) {
  CANDOR_ASSERT(feature < entries_.size());
  Entry& entry = entries_[feature];
  if (!entry.feature.budget || tally.reads <= 0.0) return;
  auto& way = entry.ways[static_cast<std::size_t>(by)];
  if (way == nullptr) way = std::make_unique<Way>(*entry.feature.budget);
  way->windows.add(own_time(now), tally);
}

const BudgetBook::Way* BudgetBook::choose(const Entry& entry, MonoTime own) const {
  const Budget& budget = *entry.feature.budget;
  const Way* best = nullptr;
  double best_left = 0.0;
  for (const auto& way : entry.ways) {
    if (way == nullptr) continue;
    const Tally whole = way->windows.sum(own, budget.window);
    const double left = budget_left(whole, budget);
    const bool is_worse =
        best != nullptr &&
        (way->judge.state() > best->judge.state() ||
         (way->judge.state() == best->judge.state() && left < best_left && tells_enough(whole, budget)));
    if (best != nullptr && !is_worse) continue;
    best = way.get();
    best_left = left;
  }
  return best;
}

void BudgetBook::fill(std::size_t feature, FeatureExposure& out, MonoTime now) {
  CANDOR_ASSERT(feature < entries_.size());
  Entry& entry = entries_[feature];
  if (!entry.feature.budget) return;
  const Budget& budget = *entry.feature.budget;
  const MonoTime own = own_time(now);
  for (const auto& way : entry.ways)
    if (way != nullptr) way->judge.step(own, [&](Duration window) { return way->windows.sum(own, window); });
  const auto over_window = [&](JudgedBy by) {
    const auto& way = entry.ways[static_cast<std::size_t>(by)];
    return way == nullptr ? Measured{} : measured(way->windows.sum(own, budget.window));
  };
  out.by_stream_window = over_window(JudgedBy::kStream);
  out.by_origin_window = over_window(JudgedBy::kOrigin);
  out.burn.clear();
  const Way* chosen = choose(entry, own);
  out.state = chosen == nullptr ? BudgetState::kUnknown : chosen->judge.state();
  for (const Duration window : burn_windows(budget)) {
    const Tally tally = chosen == nullptr ? Tally{} : chosen->windows.sum(own, window);
    out.burn.push_back({window, burn(tally, budget, window), tally.effective()});
  }
  out.reads_window = out.burn.back().reads;
  out.budget_remaining = 1.0 - out.burn.back().rate;
}

std::size_t BudgetBook::bytes() const {
  std::size_t sum = sizeof *this + entries_.size() * sizeof(Entry);
  for (const Entry& entry : entries_)
    for (const auto& way : entry.ways)
      if (way != nullptr) sum += sizeof(Way) + way->windows.bytes();
  return sum;
}

// ---- for the next process ----

std::string BudgetBook::save(MonoTime now, WallTime wall) const {
  BlobWriter out;
  out.put(kMagic);
  out.put(wall.ns);
  out.put(own_time(now).ns);
  const auto is_used = [](const Entry& entry) {
    return std::ranges::any_of(entry.ways, [](const auto& way) { return way != nullptr; });
  };
  out.put(static_cast<std::uint32_t>(std::ranges::count_if(entries_, is_used)));
  for (const Entry& entry : entries_) {
    if (!is_used(entry)) continue;
    out.put(entry.feature.name);
    out.put(entry.feature.budget->window.count());
    out.put(entry.feature.budget->max_staleness.count());
    BlobWriter ways;
    for (const auto& way : entry.ways) {
      ways.put(static_cast<std::uint8_t>(way != nullptr ? 1 : 0));
      if (way == nullptr) continue;
      way->judge.save(ways);
      way->windows.save(ways);
    }
    out.put(ways.bytes());
  }
  out.put(hash_bytes(out.bytes(), kChecksumSeed));
  return out.take();
}

// Gathered first and taken over at the end, so that damage found on the way leaves the book alone.
struct BudgetBook::Restored {
  MonoTime own{0};  // the time that it is now on the windows' own line
  std::vector<std::pair<std::size_t, std::array<std::unique_ptr<Way>, kJudges>>> ways;
  std::vector<std::string> lines;
};

void BudgetBook::restore_entry(BlobReader& in, Restored& out) const {
  const std::string_view name = in.take_text();
  const auto window = in.take<std::int64_t>();
  const auto max_staleness = in.take<std::int64_t>();
  BlobReader ways(in.take_text());
  if (!in.is_good()) return;
  const auto found = std::ranges::find(entries_, name, [](const Entry& e) { return e.feature.name; });
  if (found == entries_.end() || !is_same(found->feature, window, max_staleness)) {
    out.lines.push_back(
        fmt::format("the history of feature {}'s budget (max_staleness {}, window {}) is dropped: {}", name,
                    format_duration(Duration{max_staleness}), format_duration(Duration{window}),
                    found == entries_.end() || !found->feature.budget ? "it has no budget now"
                                                                      : "its budget is another one now"));
    return;
  }
  auto& [place, taken] = out.ways.emplace_back();
  place = static_cast<std::size_t>(found - entries_.begin());
  for (auto& way : taken) {
    const auto is_used = ways.take<std::uint8_t>();
    if (is_used > 1) ways.fail();
    if (is_used != 1 || !ways.is_good()) continue;
    way = std::make_unique<Way>(*found->feature.budget);
    way->judge.restore(ways);
    way->windows.restore(ways, out.own);
  }
  if (!ways.is_good() || !ways.is_at_end()) in.fail();
}

Result<std::vector<std::string>> BudgetBook::restore(std::string_view bytes, MonoTime now, WallTime wall) {
  const auto corrupt = [](std::string_view what) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}; the windows of the budgets begin empty", what));
  };
  std::uint64_t checksum = 0;
  if (bytes.size() < sizeof checksum) return corrupt("it is cut short");
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof checksum);
  std::memcpy(&checksum, bytes.data() + body.size(), sizeof checksum);
  BlobReader in(body);
  if (in.take_text() != kMagic) return corrupt("it was not written by this build's format");
  if (checksum != hash_bytes(body, kChecksumSeed)) return corrupt("its checksum is wrong: it is damaged");
  const WallTime saved_wall{in.take<std::int64_t>()};
  const MonoTime saved_own{in.take<std::int64_t>()};
  if (saved_own.ns < 0) return corrupt("it holds a time that cannot be");
  Restored restored;
  const Duration pause{wall.ns - saved_wall.ns};
  restored.own = saved_own + std::max(pause, Duration::zero());
  if (pause < -kClockSlack)
    restored.lines.push_back(
        "the wall clock was set back since the windows of the budgets were written: they go on as if no time "
        "had passed");
  const auto count = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && in.is_good(); ++i) restore_entry(in, restored);
  if (!in.is_good() || !in.is_at_end()) return corrupt("it holds what cannot have been written");
  offset_ = restored.own - now;
  for (auto& [place, ways] : restored.ways) entries_[place].ways = std::move(ways);
  return std::move(restored.lines);
}

}  // namespace candor
