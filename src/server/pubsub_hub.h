// Who listens to which channel, across the loops of this node. Messages are handed to each loop once, with
// the list of its listeners.
//
// Invariant: a subscription is here exactly while its session lists it.
// Thread safety: any thread. The lock is held for the lookup of listeners, never while messages are
// delivered.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/mutex.h"
#include "server/loop_state.h"

namespace candor::server {

class PubSubHub {
 public:
  enum class Kind : std::uint8_t { kChannel, kPattern };

  PubSubHub(std::uint64_t seed, std::size_t patterns_max)
      : patterns_max_(patterns_max), channels_(0, SeededHash{seed}), patterns_(0, SeededHash{seed}) {}

  // False: too many different patterns.
  [[nodiscard]] bool subscribe(Kind kind, std::string_view name, const std::shared_ptr<LoopState>& loop,
                               std::uint64_t session);
  void unsubscribe(Kind kind, std::string_view name, std::uint64_t session);

  // Delivers to everyone who listens now; says how many that are.
  std::size_t publish(std::string_view channel, std::string_view payload);

  [[nodiscard]] std::vector<std::string> channels_like(std::string_view pattern);
  [[nodiscard]] std::size_t listeners(std::string_view channel);
  [[nodiscard]] std::size_t channel_count();
  [[nodiscard]] std::size_t pattern_count();

 private:
  struct Listener {
    std::shared_ptr<LoopState> loop;
    std::uint64_t session = 0;
  };
  using Table = std::unordered_map<std::string, std::vector<Listener>, SeededHash, std::equal_to<>>;
  struct Message;
  // What one loop has to deliver.
  struct Delivery {
    std::uint64_t session = 0;
    std::shared_ptr<const std::string> pattern;  // null: by channel
  };
  using Deliveries = std::vector<std::pair<std::shared_ptr<LoopState>, std::vector<Delivery>>>;
  static void add(Deliveries& deliveries, const Listener& listener,
                  const std::shared_ptr<const std::string>& pattern);

  [[nodiscard]] Table& table(Kind kind) CANDOR_REQUIRES(mutex_) {
    return kind == Kind::kChannel ? channels_ : patterns_;
  }

  const std::size_t patterns_max_;
  Mutex mutex_;
  Table channels_ CANDOR_GUARDED_BY(mutex_);
  Table patterns_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::server
