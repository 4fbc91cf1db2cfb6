// What `candor plan` found, for a terminal, for programs, and for somebody who has to sign it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/workload_known.h"
#include "budget/planner.h"

namespace candor::app {

struct PlannedFeature {
  std::string name;
  FeaturePolicy policy;
  bool has_budget = false;
  bool is_redis = false;  // its origin
  std::string impact, owner;
  FeatureModel model;
  Plan plan;
  std::string source;                    // of the workload; empty: none
  std::vector<std::string> notes;        // what the figures leave out
  std::vector<std::string> assumptions;  // what nobody said and was assumed
  std::optional<MeasuredFraction> measured;
};

struct PlanReport {
  std::string file;
  std::vector<PlannedFeature> features;
  // Something needs a decision: a budget that is not kept as configured, or of which nothing can be said.
  [[nodiscard]] bool has_finding() const;
};

struct PlanSources {
  KnownWorkloads known;
  PlanLimits limits;
  bool has_load_cap = false;      // limits.origin_loads_added_max was given; else the origin's is used
  std::vector<std::string> only;  // features; empty: all
};
// Pure.
[[nodiscard]] PlanReport plan_features(const Config& config, const PlanSources& sources);

[[nodiscard]] std::string plan_text(const PlanReport& report);
[[nodiscard]] std::string plan_json(const PlanReport& report);
[[nodiscard]] std::string plan_markdown(const PlanReport& report);

// "0.13 %", "1.2e-05 %", "0"; what is rounded away is not called 0.
[[nodiscard]] std::string format_fraction(double fraction);
// "1.5s", "20ms": three digits.
[[nodiscard]] std::string format_seconds(double seconds);
// "0.02", "1230", "1.2e-06": three digits.
[[nodiscard]] std::string format_rate(double rate);
// "watch", "ttl = 8.2s", "12 % of reads to the origin"
[[nodiscard]] std::string format_setting(const LeverSetting& setting);

}  // namespace candor::app
