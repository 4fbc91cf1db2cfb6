// The budget loop of one node: what is measured, judged over windows, compared with the model, and reported.
// Wired here and nowhere else: Monitor (live reads), BudgetBook (windows, states), predict() (the model).
//
// Every kEvaluatePeriod a new report is made; who shows it (metrics, API, dashboard, CANDOR.BUDGET) and who
// acts on it (alerts, controller) gets the same one.
//
// Thread safety: tap() and observer() as they say; latest() from any thread; everything else on home.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/mutex.h"
#include "monitor/budget_book.h"
#include "monitor/monitor.h"

namespace candor::app {

class BudgetLoop {
 public:
  struct World {
    Executor* home = nullptr;
    const Clock* clock = nullptr;
    std::uint64_t seed = 0;
    std::function<bool(std::string_view origin)> origin_suffers{};
    std::function<void(const std::string& feature, const std::vector<std::string>& keys)> tell_lost{};
    // Each new report, right after it was made; null: nobody acts on it.
    std::function<void(const ExposureReport& report)> evaluated{};
  };
  // `features_max`: with those that the library adds, which have no budget.
  BudgetLoop(const Config& config, std::size_t features_max, World world);
  ~BudgetLoop();
  BudgetLoop(const BudgetLoop&) = delete;
  BudgetLoop& operator=(const BudgetLoop&) = delete;

  // Null when no feature has a budget: then nothing is measured and reads cost nothing.
  [[nodiscard]] ReadTap* tap() { return has_budgets_ ? monitor_.tap() : nullptr; }
  [[nodiscard]] Observer* observer() { return &monitor_; }
  // A feature with a budget, in the order of the configuration.
  void add(CacheCore* cache, FeatureId id, const FeatureConfig& config);
  void start();
  void stop();

  // Was a change of the key heard of lately that such a load does not include?
  [[nodiscard]] bool was_told(KeyRef key, StampBound stamp, MonoTime loaded_at) const {
    return monitor_.was_told(key, stamp, loaded_at);
  }
  [[nodiscard]] BudgetBook& book() { return book_; }
  [[nodiscard]] std::shared_ptr<const ExposureReport> latest() const;
  static constexpr Duration kEvaluatePeriod = 5s;

 private:
  void evaluate();
  [[nodiscard]] ExposureReport make_report();

  World world_;
  std::string region_;
  bool has_budgets_ = false;
  Monitor monitor_;
  BudgetBook book_;
  std::vector<std::size_t> places_;  // of the monitor's features in the configuration
  TimerId timer_{};
  mutable Mutex mutex_;
  std::shared_ptr<const ExposureReport> latest_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::app
