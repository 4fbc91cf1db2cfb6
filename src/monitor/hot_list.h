// The most frequent keys of a stream of weighted sightings, in bounded memory: Space-Saving (Metwally,
// Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", ICDT 2005),
// fading with a half-life, and with the error of sampling beside the error of the method.
//
//   method     a key that displaced another one may have been given up to the other's count: `over` of it
//   sampling   a sighting of weight w stands for w of them, w - 1 unseen: variance w (w - 1)
//
// Invariants
//   - At most `keys_max` keys. Without sampling, a key's true faded count lies in [count - over, count], and
//     that of a key which is not listed is at most unlisted_at_most().
// Pure: callers pass `now`, which does not go back. Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"

namespace candor {

class HotList {
 public:
  static constexpr Duration kHalfLife = 1min;

  explicit HotList(std::size_t keys_max) : keys_max_(keys_max) {}

  // `hash`: of the key, seeded. `weight`: sightings that it stands for, `amount`: how much each counts (its
  // bytes, say).
  void add(MonoTime now, std::string_view key, std::uint64_t hash, double weight, double amount = 1.0);

  struct Figure {
    double per_second = 0.0;  // as counted
    double low = 0.0,
           high = 0.0;  // the truth lies between them: surely for the method, 95 % for the sampling
  };
  struct Listed {
    std::string_view key;  // valid until the next add()
    std::uint64_t hash = 0;
    Figure figure;
  };
  // The most frequent first.
  [[nodiscard]] std::vector<Listed> top(MonoTime now, std::size_t count) const;
  [[nodiscard]] std::optional<Figure> find(MonoTime now, std::uint64_t hash) const;
  // Of all keys together.
  [[nodiscard]] double per_second(MonoTime now) const;
  // A key that is not listed has at most so many a second.
  [[nodiscard]] double unlisted_at_most(MonoTime now) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  void check_invariants() const;

 private:
  // Counts are kept in the money of `epoch_`, in which later sightings are worth more: nothing has to be
  // faded one by one.
  struct Entry {
    std::string key;
    std::uint64_t hash = 0;
    double count = 0.0;
    double over = 0.0;
    double variance = 0.0;
    std::size_t place = 0;  // in heap_
  };
  [[nodiscard]] double worth(MonoTime now) const;
  // Seconds that the faded counts stand for.
  [[nodiscard]] double seconds(MonoTime now) const;
  [[nodiscard]] Figure figure_of(const Entry& entry, MonoTime now) const;
  void rebase(MonoTime now);
  void sink(std::size_t place);
  void rise(std::size_t place);
  void put(std::size_t place, std::size_t entry);

  std::size_t keys_max_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> heap_;  // of entries, the smallest count first
  std::unordered_map<std::uint64_t, std::size_t> by_hash_;
  double total_ = 0.0;
  std::optional<MonoTime> began_;
  MonoTime epoch_{0};
};

}  // namespace candor
