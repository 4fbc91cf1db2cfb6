// `candor budget`: what the dashboard's first page shows, for a terminal and for a deployment pipeline.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/blocking_client.h"
#include "app/terminal_text.h"
#include "app/tool.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/loop.h"

namespace candor::app {
namespace {

using nlohmann::json;

constexpr Duration kWaitMax = 24h;  // a pipeline that would wait longer has a typing error in it

struct BudgetOptions {
  std::string at = "127.0.0.1:8390";
  std::string feature;  // empty: all
  std::string wait = "0s";
  bool strict = false;
};

// Three significant digits, as people write shares: "0.0123%".
std::string share_text(const json& fraction) {
  if (!fraction.is_number()) return "-";
  return fmt::format("{:.3g}%", 100.0 * fraction.get<double>());
}

std::string short_count(double n) {
  if (n >= 1e6) return fmt::format("{:.3g}M", n / 1e6);
  if (n >= 1e4) return fmt::format("{:.3g}k", n / 1e3);
  return fmt::format("{:.0f}", n);
}

// For a column of its own width: no exponents.
std::string measured_percent(const json& fraction) {
  const double value = fraction.is_number() ? 100.0 * fraction.get<double>() : 0.0;
  return value > 0.0 && value < 0.001 ? "<0.001" : fmt::format("{:.3g}", value);
}

std::string measured_text(const json& measured) {
  if (!measured.is_object()) return "not measured";
  return fmt::format("{}% ({}-{}) n={}", measured_percent(measured["stale_fraction"]),
                     measured_percent(measured["low"]), measured_percent(measured["high"]),
                     short_count(measured["reads"].get<double>()));
}

// The windows of one rule burn together; the fastest that has reads is what an operator looks at.
std::string fastest_burn(const json& burn) {
  double fastest = -1.0;
  for (const json& one : burn)
    if (one["reads"].is_number() && one["reads"].get<double>() > 0.0 && one["rate"].is_number())
      fastest = std::max(fastest, one["rate"].get<double>());
  return fastest < 0.0 ? "-" : fmt::format("{:.3g}", fastest);
}

std::string remaining_text(const json& feature) {
  if (feature["verdict"] == "not measured" || !feature["budget_remaining"].is_number()) return "-";
  return fmt::format("{:.0f}%", std::max(-999.0, 100.0 * feature["budget_remaining"].get<double>()));
}

// "Inside" says that nothing measured contradicts the budget. As long as every interval reaches beyond what
// is allowed, too few reads were judged to say more.
bool is_decided(const json& feature) {
  const double allowed = feature["budget"]["stale_fraction"].get<double>();
  return std::ranges::any_of(std::array{"by_stream_window", "by_origin_window"}, [&](const char* way) {
    const json& measured = feature["measured"][way];
    return measured.is_object() && measured["high"].is_number() && measured["high"].get<double>() <= allowed;
  });
}

std::string judgement(const json& feature) {
  const auto state = feature["state"].get<std::string>();
  auto verdict = feature["verdict"].get<std::string>();
  if (verdict == "inside" && !is_decided(feature)) verdict = "undecided";
  return state == "page" || state == "ticket" ? verdict + ", " + state : verdict;
}

constexpr const char* kRow = "{:<14} {:>5} {:>7} {:>9} {:<6} {:<27} {:>5} {:>5} {}\n";  // 100 columns at most

void print_budgets(const json& features) {
  if (features.empty()) {
    fmt::print("no feature of this node has a budget: add [features.NAME.budget] to its configuration\n");
    return;
  }
  fmt::print(fmt::runtime(kRow), "feature", "limit", "allowed", "predicted", "by", "measured (95% interval)",
             "burn", "left", "verdict");
  for (const json& one : features) {
    const json& budget = one["budget"];
    const json& measured = one["measured"];
    const json& predicted = one["predicted"];
    fmt::print(fmt::runtime(kRow), printable_within(one["feature"].get<std::string>(), 14),
               format_duration(std::chrono::milliseconds(budget["max_staleness_ms"].get<std::int64_t>())),
               share_text(budget["stale_fraction"]),
               predicted.is_object() ? share_text(predicted["over_limit"]) : std::string("-"), "stream",
               measured_text(measured["by_stream_window"]), fastest_burn(one["burn"]), remaining_text(one),
               judgement(one));
    fmt::print(fmt::runtime(kRow), "", "", "", "", "origin", measured_text(measured["by_origin_window"]), "",
               "", "");
  }
}

// What a pipeline should stop at.
json findings_of(const json& features, bool strict) {
  json findings = json::array();
  const auto add = [&](const json& feature, const char* what) {
    findings.push_back({{"feature", feature["feature"]}, {"finding", what}});
  };
  for (const json& one : features) {
    if (one["verdict"] == "outside")
      add(one, "outside");
    else if (one["state"] == "page")
      add(one, "page");
    else if (strict && one["verdict"] == "not measured")
      add(one, "not measured");
  }
  if (strict && features.empty()) findings.push_back({{"feature", nullptr}, {"finding", "not measured"}});
  return findings;
}

bool is_exposure(const json& one) {
  return one.is_object() && one.contains("feature") && one.contains("budget") && one.contains("measured") &&
         one.contains("verdict") && one.contains("state") && one.contains("burn") &&
         one.contains("predicted") && one.contains("budget_remaining");
}

// Whatever answers on that port, the tool must not fall over it.
Result<json> fetch_budgets(const BudgetOptions& options) {
  const auto answer = http_get(options.at, "/api/v1/budgets", kPageTimeout);
  if (!answer) return std::unexpected(answer.error());
  json budgets = json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !budgets.is_object() || !budgets.contains("features") ||
      !budgets["features"].is_array() || !std::ranges::all_of(budgets["features"], is_exposure))
    return fail(
        ErrorCode::kUnavailable,
        fmt::format("{} answered {} and no budgets; is it the HTTP address of a candord of this version?",
                    options.at, answer->status));
  if (options.feature.empty()) return budgets;
  json& features = budgets["features"];
  for (std::size_t i = features.size(); i-- > 0;)
    if (features[i]["feature"] != options.feature) features.erase(i);
  if (features.empty())
    return fail(ErrorCode::kNoFeature,
                fmt::format("no feature '{}' with a budget; `candor budget` without --feature lists all",
                            options.feature));
  return budgets;
}

void budget(const BudgetOptions& options, ToolRun& run) {
  const auto wait = parse_duration(options.wait);
  if (!wait || *wait > kWaitMax)
    throw CLI::ValidationError("--wait", wait ? "at most 24h" : wait.error().message);
  // A daemon that is not there, or a feature that is not, should be said before the wait and not after it.
  auto budgets = fetch_budgets(options);
  if (budgets && *wait > Duration::zero()) {
    pause_for(*wait);
    budgets = fetch_budgets(options);
  }
  if (!budgets) return report_failure(run, "budget", budgets.error().message);
  const json findings = findings_of((*budgets)["features"], options.strict);
  if (!findings.empty()) run.exit_code = kExitFinding;
  if (!run.json) return print_budgets((*budgets)["features"]);
  (*budgets)["findings"] = findings;
  fmt::print("{}\n", budgets->dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace

void add_budget(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<BudgetOptions>();
  CLI::App* command = tool.add_subcommand(
      "budget", "Says how each feature of a running daemon keeps its budget: predicted, measured, left");
  command->add_option("--at", options->at, "Where the daemon's HTTP listens")->capture_default_str();
  command->add_option("--feature", options->feature, "This one only");
  command->add_flag("--strict", options->strict, "What is not measured is a finding as well");
  command
      ->add_option("--wait", options->wait,
                   "Wait so long first, for reads to be judged: such as 5m, at most 24h")
      ->capture_default_str();
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when a budget is missed: even the lower end of the measured interval is above what is\n"
      "allowed (outside), or the budget burns so fast that someone is paged (page).\n"
      "Undecided: too few reads were judged so far for the interval to lie within what is allowed.\n"
      "Examples:\n  candor budget\n  candor budget --feature profile --wait 5m --strict\n"
      "  candor budget --at 127.0.0.1:8391 --json");
  command->callback([options, &run] { budget(*options, run); });
}

}  // namespace candor::app
