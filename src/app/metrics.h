// The Prometheus page, made from a NodeReport. The table of metrics is also docs/metrics.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "app/node_report.h"

namespace candor::app {

enum class MetricKind : std::uint8_t { kCounter, kGauge, kHistogram };

struct MetricSpec {
  std::string_view name;
  MetricKind kind;
  std::string_view labels;  // "feature region tier", as documented
  std::string_view help;
};

[[nodiscard]] std::span<const MetricSpec> metric_specs();
// Text format 0.0.4.
[[nodiscard]] std::string metrics_text(const NodeReport& report);
// docs/metrics.md.
[[nodiscard]] std::string metrics_reference();

}  // namespace candor::app
