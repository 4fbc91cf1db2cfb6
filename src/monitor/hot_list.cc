#include "monitor/hot_list.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.h"

namespace candor {

namespace {

// Beyond so many half-lives the money is made anew: 2^40 leaves a double twelve bits of fractions.
constexpr double kHalfLivesMax = 40.0;

// Of a normal distribution, for 95 %.
constexpr double kDeviations = 1.96;

}  // namespace

double HotList::worth(MonoTime now) const {
  return std::exp2(to_seconds(now - epoch_) / to_seconds(kHalfLife));
}

double HotList::seconds(MonoTime now) const {
  if (!began_) return 0.0;
  const double half_life = to_seconds(kHalfLife);
  return half_life / std::log(2.0) * -std::expm1(-to_seconds(now - *began_) / half_life * std::log(2.0));
}

void HotList::rebase(MonoTime now) {
  const double value = worth(now);
  for (Entry& entry : entries_) {
    entry.count /= value;
    entry.over /= value;
    entry.variance /= value * value;
  }
  total_ /= value;
  epoch_ = now;
}

void HotList::add(MonoTime now, std::string_view key, std::uint64_t hash, double weight, double amount) {
  if (keys_max_ == 0 || weight <= 0.0 || amount <= 0.0) return;
  if (!began_) began_ = epoch_ = now;
  if (to_seconds(now - epoch_) > kHalfLivesMax * to_seconds(kHalfLife)) rebase(now);
  const double value = amount * worth(now);
  const double variance = weight * std::max(0.0, weight - 1.0) * value * value;
  total_ += weight * value;
  std::size_t index = 0;
  if (const auto it = by_hash_.find(hash); it != by_hash_.end()) {
    index = it->second;
  } else if (entries_.size() < keys_max_) {
    index = entries_.size();
    entries_.push_back({std::string(key), hash, 0.0, 0.0, 0.0, index});
    heap_.push_back(index);
    by_hash_.emplace(hash, index);
    rise(index);
  } else {
    index = heap_.front();
    Entry& least = entries_[index];
    by_hash_.erase(least.hash);
    by_hash_.emplace(hash, index);
    least.key.assign(key);
    least.hash = hash;
    least.over = least.count;
  }
  Entry& entry = entries_[index];
  entry.count += weight * value;
  entry.variance += variance;
  sink(entry.place);
}

void HotList::put(std::size_t place, std::size_t entry) {
  heap_[place] = entry;
  entries_[entry].place = place;
}

void HotList::sink(std::size_t place) {
  const std::size_t entry = heap_[place];
  for (;;) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && entries_[heap_[child + 1]].count < entries_[heap_[child]].count) ++child;
    if (entries_[heap_[child]].count >= entries_[entry].count) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, entry);
}

void HotList::rise(std::size_t place) {
  const std::size_t entry = heap_[place];
  while (place > 0 && entries_[entry].count < entries_[heap_[(place - 1) / 2]].count) {
    put(place, heap_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(place, entry);
}

HotList::Figure HotList::figure_of(const Entry& entry, MonoTime now) const {
  const double rate = 1.0 / (worth(now) * std::max(seconds(now), 1e-3));
  const double deviation = kDeviations * std::sqrt(entry.variance);
  return {entry.count * rate, std::max(0.0, entry.count - entry.over - deviation) * rate,
          (entry.count + deviation) * rate};
}

std::vector<HotList::Listed> HotList::top(MonoTime now, std::size_t count) const {
  std::vector<const Entry*> order;
  order.reserve(entries_.size());
  for (const Entry& entry : entries_) order.push_back(&entry);
  const std::size_t wanted = std::min(count, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(wanted),
                            [](const Entry* a, const Entry* b) {
                              return a->count != b->count ? a->count > b->count : a->key < b->key;
                            });
  std::vector<Listed> out;
  for (std::size_t i = 0; i < wanted; ++i)
    out.push_back({order[i]->key, order[i]->hash, figure_of(*order[i], now)});
  return out;
}

std::optional<HotList::Figure> HotList::find(MonoTime now, std::uint64_t hash) const {
  const auto it = by_hash_.find(hash);
  if (it == by_hash_.end()) return std::nullopt;
  return figure_of(entries_[it->second], now);
}

double HotList::per_second(MonoTime now) const {
  return began_ ? total_ / (worth(now) * std::max(seconds(now), 1e-3)) : 0.0;
}

double HotList::unlisted_at_most(MonoTime now) const {
  if (entries_.size() < keys_max_ || entries_.empty()) return 0.0;
  return figure_of(entries_[heap_.front()], now).high;
}

void HotList::check_invariants() const {
  CANDOR_ASSERT(entries_.size() <= keys_max_);
  CANDOR_ASSERT(heap_.size() == entries_.size() && by_hash_.size() == entries_.size());
  for (std::size_t place = 0; place < heap_.size(); ++place) {
    CANDOR_ASSERT(entries_[heap_[place]].place == place);
    CANDOR_ASSERT(place == 0 || entries_[heap_[(place - 1) / 2]].count <= entries_[heap_[place]].count);
  }
}

}  // namespace candor
