// Warming, wired: what is to be warmed (configuration, queries, the last run's hot set, peers, whoever asks),
// a Warmer that does it, the hot set that is kept for the next start, and what /readyz waits for. See
// docs/warming.md.
//
// Thread safety: the cache's home executor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/hot_set_file.h"
#include "base/transport.h"
#include "cache/cache.h"
#include "warm/warmer.h"

namespace candor::app {

class Warming {
 public:
  struct NamedOrigin {
    std::string name;
    Origin* origin = nullptr;
    unsigned max_concurrency = 1;
  };
  struct World {
    CacheCore* cache = nullptr;
    Executor* home = nullptr;
    BlockingPool* pool = nullptr;
    const Clock* clock = nullptr;
    const std::vector<FeatureConfig>* features = nullptr;  // by FeatureId
    std::vector<NamedOrigin> origins;
    std::string node;
    bool keeps_hot_set = false;
    std::function<void(bool is_warning, const std::string& line)> log;
    // Keys whose reads were counted, a second; null: none are.
    std::function<std::vector<HotSetFile::Counted>()> counted{};
  };
  Warming(const Config& config, World world);
  ~Warming();
  Warming(const Warming&) = delete;
  Warming& operator=(const Warming&) = delete;

  // Once, when the origins are prepared: everything that the configuration names.
  void start();
  // Every half a second or so.
  void tick();
  // What /readyz still waits for. Once it has ended it never begins again.
  [[nodiscard]] std::string why_not_ready();

  struct Request {
    std::string feature;            // empty: all
    std::vector<std::string> keys;  // of that feature; empty: what the configuration says of it
  };
  // kNoFeature: no such feature, or none that can be warmed; kInvalidArgument: nothing is known to warm.
  [[nodiscard]] Result<void> request(Request what);

  [[nodiscard]] warm::WarmProgress progress() const { return warmer_.progress(); }
  // Null: none is kept.
  [[nodiscard]] const HotSetFile* hot_set() const { return hot_set_.get(); }

  // The cache is closing. `save`: the hot set, for the next start.
  void stop(bool save);

  static constexpr std::size_t kItemsPerTurn = 2048;  // handed to the Warmer: about a millisecond
  static constexpr Duration kRatesPeriod = 5s;        // shorter spans tell more of chance than of rates
  static constexpr double kFull = 0.9;                // of L1's memory

 private:
  struct Query {
    std::size_t source = 0;
    FeatureId feature;
    std::string sql;
  };
  struct Handing;

  [[nodiscard]] warm::Warmer::World warmer_world(const Config& config);
  [[nodiscard]] bool is_warmable(FeatureId id) const;
  [[nodiscard]] std::size_t origin_of(FeatureId id) const;
  void open_declared(FeatureId id, std::vector<std::vector<Query>>* queries);
  void ask_queries(std::vector<std::vector<Query>> queries);
  [[nodiscard]] bool may_be_asked_again(const Error& error, std::size_t origin) const;
  Task<void> run_queries(std::size_t origin, std::vector<Query> queries);
  void open_hot_set();
  void open_peers();
  void take_hot_set(std::size_t source, Result<std::string> bytes, bool is_file);
  void hand(std::size_t source, std::vector<warm::WarmItem> items, std::string problem = {},
            bool is_the_origins = false);
  void hand_more(const std::shared_ptr<Handing>& handing);
  [[nodiscard]] static std::vector<warm::WarmItem> items_of(FeatureId id, std::vector<std::string> keys);
  [[nodiscard]] std::vector<warm::HotSetBuilder::Feature> read_rates();
  void save_hot_set();
  void say_end();

  WarmingConfig config_;
  World world_;
  std::unique_ptr<HotSetFile> hot_set_;
  MonoTime next_save_{0}, rates_at_{0}, ready_until_{0};
  std::vector<std::uint64_t> reads_;  // by feature, when the rates were last taken
  std::vector<warm::HotSetBuilder::Feature> rates_;
  bool is_ready_ = false, has_read_ = false, has_saved_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  warm::Warmer warmer_;  // last: its end calls nobody
};

}  // namespace candor::app
