// What the server needs to know of budgets and levers, for CANDOR.BUDGET. The app implements it over the
// same reports that its API shows. Thread safety: any thread.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace candor::server {

class BudgetDesk {
 public:
  virtual ~BudgetDesk() = default;
  // Of one feature, or (empty) of all; of the levers' log the latest kRecordsMost.
  // {"at_ms": …, "features": […], "levers": […], "pulled": […], …}: as GET /api/v1/budgets and /levers, of
  // the last evaluation; each element names its `feature`. No features: none has a budget.
  [[nodiscard]] virtual nlohmann::json budgets(std::string_view feature) const = 0;
  static constexpr std::size_t kRecordsMost = 200;
};

}  // namespace candor::server
