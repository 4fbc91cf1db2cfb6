// CANDOR.BUDGET's source: the engine's last report, as the API has it.
#pragma once

#include "server/budget_desk.h"

namespace candor::app {

class Engine;

class BudgetDesk final : public server::BudgetDesk {
 public:
  explicit BudgetDesk(const Engine* engine) : engine_(engine) {}  // outlives this
  [[nodiscard]] nlohmann::json budgets(std::string_view feature) const override;

 private:
  const Engine* engine_;
};

}  // namespace candor::app
