// What the server needs to know of budgets and levers, for CANDOR.BUDGET. The app implements it over the
// same reports that its API shows. Thread safety: any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace candor::server {

class BudgetDesk {
 public:
  virtual ~BudgetDesk() = default;
  // {"at_ms": …, "features": […], "levers": […], "pulled": […], …}: as GET /api/v1/budgets and /levers, of
  // the last evaluation; each element names its `feature`. No features: none has a budget.
  [[nodiscard]] virtual nlohmann::json budgets() const = 0;
};

}  // namespace candor::server
