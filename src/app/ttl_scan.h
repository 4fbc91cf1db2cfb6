// Walks L1 once, in small steps between which its loop does other things, and makes the TTL picture of every
// feature. Asked for, not kept up: a picture is made when somebody looks, and is good for kGoodFor.
//
// Invariants
//   - One walk at a time; whoever asks meanwhile gets its result.
//   - At most kEntriesMost entries are looked at; of more, the picture is a part, and says which.
// Thread safety: its executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "cache/cache.h"
#include "monitor/ttl_picture.h"

namespace candor::app {

class TtlScan {
 public:
  static constexpr Duration kGoodFor = 5s;
  // About 100 µs.
  static constexpr std::size_t kEntriesPerStep = 1000;
  static constexpr std::uint64_t kEntriesMost = 2'000'000;

  struct Result {
    std::vector<TtlPicture> features;  // by FeatureId
    MonoTime at{0};
    std::uint64_t looked_at = 0, held = 0;  // entries
    // How many entries one that was looked at stands for.
    [[nodiscard]] double scale() const {
      return looked_at == 0 || held <= looked_at ? 1.0
                                                 : static_cast<double>(held) / static_cast<double>(looked_at);
    }
  };
  using Done = std::move_only_function<void(const Result&)>;

  TtlScan(Executor* executor, CacheCore* cache) : executor_(executor), cache_(cache) {}
  void run(Done done);

 private:
  void step();
  void add(const l1::Store::Visited& one, l1::Millis now);
  void finish();

  Executor* executor_;
  CacheCore* cache_;
  std::vector<Done> waiting_;
  bool is_running_ = false;
  std::uint64_t cursor_ = 0;
  Result building_;
  Result last_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor::app
