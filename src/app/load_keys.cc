#include "app/load_keys.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/assert.h"

namespace candor::load {
namespace {

class GeneratedKeys final : public KeySource {
 public:
  GeneratedKeys(const KeyShape& shape, std::uint64_t seed)
      : shape_(shape),
        random_(seed),
        cumulative_(shape.keys),
        key_at_rank_(shape.keys),
        recent_(shape.repeat_window) {
    CANDOR_ASSERT(shape.keys > 0 && shape.repeat_window > 0 && shape.scan_share < kScanPace);
    double sum = 0;
    for (std::uint32_t rank = 0; rank < shape.keys; ++rank) {
      sum += std::pow(rank + 1.0, -shape.zipf);
      cumulative_[rank] = sum;
    }
    std::iota(key_at_rank_.begin(), key_at_rank_.end(), 0U);
    for (std::uint32_t i = shape.keys; i > 1; --i) {
      std::swap(key_at_rank_[i - 1], key_at_rank_[random_.below(i)]);
    }
  }

  std::uint32_t next() override {
    const std::uint32_t key = fresh_or_repeated();
    recent_[count_++ % recent_.size()] = key;
    return key;
  }

 private:
  // While a scan runs, its keys arrive among the others, not in one block.
  static constexpr double kScanPace = 0.5;

  std::uint32_t fresh_or_repeated() {
    if (shape_.repeat_share > 0 && count_ >= recent_.size() && random_.unit() < shape_.repeat_share) {
      // exp(uniform) has the density 1/distance.
      const double reach = std::log(static_cast<double>(recent_.size()));
      const auto distance = static_cast<std::uint64_t>(std::exp(random_.unit() * reach));
      return recent_[(count_ - distance) % recent_.size()];
    }
    return fresh();
  }

  std::uint32_t fresh() {
    if (scan_left_ > 0 && random_.unit() < kScanPace) return scan_step();
    // Between two scans lie so many requests that scans make up scan_share of all; while one runs at
    // kScanPace, as many others come along as it has keys.
    const double start_chance = shape_.scan_share / (1 - shape_.scan_share / kScanPace) / shape_.scan_length;
    if (shape_.scan_share > 0 && scan_left_ == 0 && random_.unit() < start_chance) {
      scan_left_ = shape_.scan_length;
      scan_next_ = static_cast<std::uint32_t>(random_.below(shape_.keys));
    }
    const std::uint32_t rank = popular_rank();
    if (shape_.drift > 0 && random_.unit() < shape_.drift) {
      std::swap(key_at_rank_[rank], key_at_rank_[random_.below(shape_.keys)]);
    }
    return key_at_rank_[rank];
  }

  std::uint32_t popular_rank() {
    const double at = random_.unit() * cumulative_.back();
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), at);
    return static_cast<std::uint32_t>(std::min<std::ptrdiff_t>(found - cumulative_.begin(), shape_.keys - 1));
  }

  std::uint32_t scan_step() {
    --scan_left_;
    const std::uint32_t key = scan_next_;
    scan_next_ = (scan_next_ + 1) % shape_.keys;
    return key;
  }

  const KeyShape shape_;
  Random random_;
  std::vector<double> cumulative_;  // by rank
  std::vector<std::uint32_t> key_at_rank_;
  std::vector<std::uint32_t> recent_;  // a ring of the last requests
  std::uint64_t count_ = 0;
  std::uint32_t scan_left_ = 0;
  std::uint32_t scan_next_ = 0;
};

class RecordedKeys final : public KeySource {
 public:
  explicit RecordedKeys(std::vector<std::uint32_t> requests) : requests_(std::move(requests)) {
    CANDOR_ASSERT(!requests_.empty());
  }
  std::uint32_t next() override {
    const std::uint32_t key = requests_[at_];
    at_ = at_ + 1 == requests_.size() ? 0 : at_ + 1;
    return key;
  }

 private:
  std::vector<std::uint32_t> requests_;
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<KeySource> make_generated_keys(const KeyShape& shape, std::uint64_t seed) {
  return std::make_unique<GeneratedKeys>(shape, seed);
}

std::unique_ptr<KeySource> make_recorded_keys(std::vector<std::uint32_t> requests) {
  return std::make_unique<RecordedKeys>(std::move(requests));
}

}  // namespace candor::load
