#include "app/grafana.h"

#include <fmt/core.h>

#include <algorithm>

#include "app/grafana_board.h"
#include "app/metrics.h"
#include "base/units.h"

namespace candor::app {
namespace {

using Json = GrafanaBoard::Json;
using Query = GrafanaBoard::Query;

// What the reader chose above the dashboard.
constexpr const char* kRegion = "region=~\"$region\"";
constexpr const char* kFeature = "region=~\"$region\",feature=~\"$feature\"";

std::string rate_by(const char* labels, const char* metric, const char* selection) {
  return fmt::format("sum by ({}) (rate({}{{{}}}[$__rate_interval]))", labels, metric, selection);
}
std::string highest(const char* labels, const char* metric, const char* selection) {
  return fmt::format("max by ({}) ({}{{{}}})", labels, metric, selection);
}
std::string quantile(double q, const char* labels, const char* metric, const std::string& selection) {
  return fmt::format("histogram_quantile({}, sum by (le{}{}) (rate({}_bucket{{{}}}[$__rate_interval])))", q,
                     *labels == '\0' ? "" : ", ", labels, metric, selection);
}
// Of the reads judged in one way: staler than their limit.
std::string stale_fraction(const char* by, const char* window) {
  const auto sum = [&](const char* metric) {
    return fmt::format("sum by (feature, region) (rate({}{{{},by=\"{}\"}}[{}]))", metric, kFeature, by,
                       window);
  };
  return fmt::format("{} / ({} > 0)", sum("candor_stale_reads_total"), sum("candor_checked_reads_total"));
}

// Text from the configuration is neither Markdown, nor HTML, nor one of Grafana's variables.
std::string as_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_word =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == ' ';
    if (is_word || byte >= 0x80)
      out += c;
    else if (byte >= 0x20 && byte != 0x7F)
      out += fmt::format("&#{};", static_cast<unsigned>(byte));
    else
      out += ' ';
  }
  return out;
}

std::string promises(const Config& config) {
  std::string out =
      "| feature | reads may be staler than | for | over | what a stale read means | owner "
      "|\n|---|---|---|---|---|---|\n";
  for (const FeatureConfig& feature : config.features) {
    if (!feature.budget || feature.is_plain()) continue;
    const BudgetConfig& budget = *feature.budget;
    out += fmt::format("| {} | {} | {:.3g} % | {} | {} | {} |\n", as_text(feature.name),
                       format_duration(budget.max_staleness), budget.stale_fraction * 100.0,
                       format_duration(budget.window), as_text(budget.impact), as_text(budget.owner));
  }
  return out;
}

void add_budgets(GrafanaBoard& board, const Config& config) {
  const auto budgets = static_cast<int>(
      std::ranges::count_if(config.features, [](const FeatureConfig& f) { return f.budget.has_value(); }));
  board.row("Budgets");
  board.text("What was promised", promises(config), {.width = 24, .height = std::min(12, 3 + budgets)});
  board.table(
      "Each budget now",
      {{highest("feature, region, state", "candor_budget_state", kFeature), ""},
       {fmt::format("min by (feature, region) (candor_budget_remaining{{{}}})", kFeature), ""},
       {highest("feature, region", "candor_budget_burn_rate", kFeature), ""},
       {stale_fraction("stream", "1h"), ""},
       {stale_fraction("origin", "1h"), ""},
       {fmt::format("max by (feature, region) (candor_expected_stale_fraction{{{},model=\"over_limit\"}})",
                    kFeature),
        ""}},
      {"", "left of the budget", "fastest burn", "stale by stream, 1 h", "stale by origin, 1 h", "predicted"},
      {.width = 24,
       .height = 8,
       .description = "Burn 1: the budget lasts exactly its window. A missing figure is not measured, "
                      "which is not zero."});
  board.lines("Degraded", {{highest("region, reason", "candor_degraded", kRegion), "{{region}} {{reason}}"}},
              {.width = 12, .height = 6, .description = "Nothing here: all is well."});
  board.lines("Alerts of the nodes",
              {{fmt::format("sum by (region, severity) (candor_alerts_active{{{}}})", kRegion),
                "{{region}} {{severity}}"}},
              {.width = 12, .height = 6});
}

void add_staleness(GrafanaBoard& board) {
  board.row("Burn");
  board.lines("Burn rate by window",
              {{highest("feature, region, window", "candor_budget_burn_rate", kFeature),
                "{{feature}} {{region}} over {{window}}"}},
              {.description = "1: the budget lasts exactly its window."});
  board.lines("Left of the budget",
              {{fmt::format("min by (feature, region) (candor_budget_remaining{{{}}})", kFeature),
                "{{feature}} {{region}}"}},
              {.unit = "percentunit"});
  board.row("Predicted and measured");
  board.lines(
      "Reads staler than their limit",
      {{stale_fraction("stream", "$__rate_interval"), "{{feature}} {{region}} by stream"},
       {stale_fraction("origin", "$__rate_interval"), "{{feature}} {{region}} by origin"},
       {fmt::format("max by (feature, region) (candor_expected_stale_fraction{{{},model=\"over_limit\"}})",
                    kFeature),
        "{{feature}} {{region}} predicted"}},
      {.unit = "percentunit"});
  board.lines("Stale reads by cause",
              {{rate_by("feature, region, by, cause", "candor_stale_reads_total", kFeature),
                "{{feature}} {{region}} {{cause}} by {{by}}"}},
              {.unit = "reqps"});
  board.lines(
      "Invalidations lost",
      {{highest("feature, region", "candor_lost_fraction", kFeature), "{{feature}} {{region}}"}},
      {.unit = "percentunit",
       .description = "Of the reads checked against the origin: stale by a change that the stream never "
                      "told of. Should be zero."});
  board.lines("Reads judged",
              {{rate_by("feature, region, by", "candor_checked_reads_total", kFeature),
                "{{feature}} {{region}} by {{by}}"},
               {rate_by("feature, region", "candor_unjudged_reads_total", kFeature),
                "{{feature}} {{region}} could not be judged"}},
              {.unit = "reqps"});
  board.row("How stale");
  board.heatmap("Staleness of stale reads",
                fmt::format("sum by (le) (increase(candor_staleness_seconds_bucket{{{}}}[$__rate_interval]))",
                            kFeature),
                {.unit = "s"});
  board.lines("Staleness of stale reads, median and 99th percentile",
              {{quantile(0.5, "feature, region, by", "candor_staleness_seconds", kFeature),
                "{{feature}} {{region}} by {{by}}, p50"},
               {quantile(0.99, "feature, region, by", "candor_staleness_seconds", kFeature),
                "{{feature}} {{region}} by {{by}}, p99"}},
              {.unit = "s"});
}

void add_reads(GrafanaBoard& board) {
  board.row("Reads");
  board.lines(
      "Reads by tier",
      {{rate_by("feature, region, tier", "candor_reads_total", kFeature), "{{feature}} {{region}} {{tier}}"}},
      {.unit = "reqps"});
  board.lines(
      "Errors, and values past their ttl",
      {{rate_by("feature, region", "candor_read_errors_total", kFeature), "{{feature}} {{region}} errors"},
       {rate_by("feature, region", "candor_reads_stale_total", kFeature), "{{feature}} {{region}} past ttl"}},
      {.unit = "reqps"});
  const std::string hit = fmt::format("{},path=\"hit\"", kRegion);
  const std::string miss = fmt::format("{},path=\"miss\"", kFeature);
  board.lines("Latency of hits",
              {{quantile(0.5, "region", "candor_read_seconds", hit), "{{region}} p50"},
               {quantile(0.99, "region", "candor_read_seconds", hit), "{{region}} p99"},
               {quantile(0.999, "region", "candor_read_seconds", hit), "{{region}} p99.9"}},
              {.unit = "s", .description = "Of a sample of the reads that L1 answered."});
  board.lines(
      "Latency of misses",
      {{quantile(0.5, "feature, region", "candor_read_seconds", miss), "{{feature}} {{region}} p50"},
       {quantile(0.99, "feature, region", "candor_read_seconds", miss), "{{feature}} {{region}} p99"}},
      {.unit = "s"});
}

void add_changes(GrafanaBoard& board) {
  board.row("Changes");
  board.lines(
      "Lag of changes, 99th percentile",
      {{quantile(0.99, "origin, region, stage", "candor_change_lag_seconds", kRegion),
        "{{origin}} {{region}} {{stage}}"}},
      {.unit = "s", .description = "From the commit, by the origin's clock, to each stage, by the node's."});
  board.lines(
      "Fresh within",
      {{highest("origin, region", "candor_fresh_within_seconds", kRegion), "{{origin}} {{region}}"}},
      {.unit = "s",
       .description = "Every change that is older is applied; the worst node. A gap: nothing is proven."});
  board.lines(
      "Gaps, floors, and entries still suspect",
      {{rate_by("region", "candor_stream_gaps_total", kRegion), "{{region}} gaps a second"},
       {rate_by("origin, region", "candor_floors_total", kRegion), "{{origin}} {{region}} floors a second"},
       {highest("origin, region", "candor_suspects_left", kRegion), "{{origin}} {{region}} suspects"}},
      {});
  board.lines("Change feed",
              {{fmt::format("sum by (origin, region, state) (candor_feed_state{{{}}})", kRegion),
                "{{origin}} {{region}} {{state}}"}},
              {.description = "Nodes in each state; one leads."});
}

void add_origins(GrafanaBoard& board) {
  board.row("Origins");
  board.lines("Loads",
              {{rate_by("feature, region, outcome", "candor_origin_loads_total", kFeature),
                "{{feature}} {{region}} {{outcome}}"}},
              {.unit = "reqps"});
  board.lines("Statements under way",
              {{fmt::format("sum by (origin, region) (candor_origin_in_flight{{{}}})", kRegion),
                "{{origin}} {{region}}"},
               {fmt::format("sum by (origin, region) (candor_origin_in_flight_limit{{{}}})", kRegion),
                "{{origin}} {{region}} limit"},
               {fmt::format("sum by (origin, region) (candor_origin_waiting{{{}}})", kRegion),
                "{{origin}} {{region}} waiting"}},
              {});
}

void add_memory(GrafanaBoard& board) {
  board.row("Memory");
  board.lines(
      "Tiers",
      {{fmt::format("sum by (region, tier) (candor_memory_bytes{{{}}})", kRegion), "{{region}} {{tier}}"},
       {fmt::format("sum by (region, tier) (candor_memory_limit_bytes{{{}}})", kRegion),
        "{{region}} {{tier}} limit"}},
      {.unit = "bytes"});
  board.lines("Features in L1",
              {{fmt::format("sum by (feature, region) (candor_feature_bytes{{{}}})", kFeature),
                "{{feature}} {{region}}"}},
              {.unit = "bytes"});
  board.lines("Evictions",
              {{rate_by("feature, region, tier", "candor_evictions_total", kFeature),
                "{{feature}} {{region}} {{tier}}"}},
              {.unit = "ops"});
}

bool is_listed(std::string_view metric) {
  return std::ranges::any_of(metric_specs(), [&](const MetricSpec& spec) { return spec.name == metric; });
}

// What levers do shows in these whoever pulls them, the controller or the configuration.
void add_levers(GrafanaBoard& board) {
  board.row("Levers");
  if (is_listed("candor_lever"))
    board.lines(
        "Levers pulled",
        {{highest("feature, region, lever", "candor_lever", kFeature), "{{feature}} {{region}} {{lever}}"}},
        {});
  board.lines(
      "Loads that levers and measuring cost",
      {{rate_by("feature, region", "candor_refreshes_total", kFeature), "{{feature}} {{region}} refreshes"},
       {fmt::format("sum by (feature, region) (candor_check_loads_per_second{{{}}})", kFeature),
        "{{feature}} {{region}} checks"},
       {fmt::format("sum by (origin, region) (candor_repair_keys_per_second{{{}}})", kRegion),
        "{{origin}} {{region}} repair, at most"}},
      {.unit = "reqps"});
  board.lines("Writes acknowledged before the origin has them",
              {{fmt::format("sum by (feature, region) (candor_write_behind_pending_keys{{{}}})", kFeature),
                "{{feature}} {{region}} pending keys"},
               {highest("feature, region", "candor_write_behind_oldest_seconds", kFeature),
                "{{feature}} {{region}} oldest, seconds"}},
              {});
}

Json variable(const char* name, const char* label, const char* query) {
  return {{"name", name},
          {"label", label},
          {"type", "query"},
          {"datasource", grafana_datasource()},
          {"query", {{"query", query}, {"refId", name}}},
          {"definition", query},
          {"refresh", 2},  // when the time range changes
          {"sort", 1},
          {"multi", true},
          {"includeAll", true},
          {"allValue", ".*"},
          {"current", {{"selected", true}, {"text", {"All"}}, {"value", {"$__all"}}}}};
}

Json variables() {
  const Json source = {{"name", "datasource"},  {"label", "Prometheus"},     {"type", "datasource"},
                       {"query", "prometheus"}, {"current", Json::object()}, {"refresh", 1}};
  return Json::array(
      {source, variable("region", "Region", "label_values(candor_build_info, region)"),
       variable("feature", "Feature", "label_values(candor_budget_state{region=~\"$region\"}, feature)")});
}

}  // namespace

std::string grafana_dashboard(const Config& config) {
  GrafanaBoard board;
  add_budgets(board, config);
  add_staleness(board);
  add_reads(board);
  add_changes(board);
  add_origins(board);
  add_memory(board);
  add_levers(board);
  const Json out = {{"uid", "candor-budgets"},
                    {"title", "Candor: budgets of staleness"},
                    {"tags", {"candor"}},
                    {"schemaVersion", 38},  // Grafana 10; later ones bring it up to theirs
                    {"editable", true},
                    {"graphTooltip", 1},
                    {"time", {{"from", "now-6h"}, {"to", "now"}}},
                    {"refresh", "30s"},
                    {"templating", {{"list", variables()}}},
                    {"annotations", {{"list", Json::array()}}},
                    {"panels", board.take()}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace candor::app
