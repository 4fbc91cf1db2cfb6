// The rules as the files that Prometheus reads: YAML for people, JSON for programs.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "app/alert_rules.h"
#include "app/prometheus_text.h"
#include "base/units.h"

namespace candor::app {
namespace {

using nlohmann::ordered_json;

// A literal block: its lines are ours, and promql_string() leaves nothing in them that could end one.
std::string block(std::string_view text, std::string_view indent) {
  std::string out = "|-\n";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    out += fmt::format("{}{}\n", indent, line);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return out;
}

std::string texts_yaml(std::string_view name, const PrometheusRule::Texts& texts) {
  if (texts.empty()) return {};
  std::string out = fmt::format("        {}:\n", name);
  for (const auto& [key, value] : texts) out += fmt::format("          {}: {}\n", key, yaml_string(value));
  return out;
}

std::string rule_yaml(const PrometheusRule& rule) {
  const bool records = !rule.record.empty();
  std::string out =
      fmt::format("      - {}: {}\n        expr: {}", records ? "record" : "alert",
                  yaml_string(records ? rule.record : rule.alert), block(rule.expr, "          "));
  if (rule.pending > Duration::zero()) out += fmt::format("        for: {}\n", format_duration(rule.pending));
  if (rule.keep_firing > Duration::zero())
    out += fmt::format("        keep_firing_for: {}\n", format_duration(rule.keep_firing));
  return out + texts_yaml("labels", rule.labels) + texts_yaml("annotations", rule.annotations);
}

ordered_json texts_json(const PrometheusRule::Texts& texts) {
  ordered_json out = ordered_json::object();
  for (const auto& [key, value] : texts) out[key] = value;
  return out;
}

ordered_json rule_json(const PrometheusRule& rule) {
  ordered_json out;
  const bool records = !rule.record.empty();
  out[records ? "record" : "alert"] = records ? rule.record : rule.alert;
  out["expr"] = rule.expr;
  if (rule.pending > Duration::zero()) out["for"] = format_duration(rule.pending);
  if (rule.keep_firing > Duration::zero()) out["keep_firing_for"] = format_duration(rule.keep_firing);
  if (!rule.labels.empty()) out["labels"] = texts_json(rule.labels);
  if (!rule.annotations.empty()) out["annotations"] = texts_json(rule.annotations);
  return out;
}

}  // namespace

std::string rules_yaml(const RuleFile& file) {
  std::string out = fmt::format(
      "# Budgets of staleness in region {}: what to record and when to alert. Printed by `candor rules`;\n"
      "# docs/alerting.md explains it. Prometheus 2.42 or later.\ngroups:\n",
      yaml_string(file.region));
  for (const RuleGroup& group : file.groups) {
    out += fmt::format("  - name: {}\n", yaml_string(group.name));
    if (group.interval > Duration::zero())
      out += fmt::format("    interval: {}\n", format_duration(group.interval));
    out += "    rules:\n";
    for (const PrometheusRule& rule : group.rules) out += rule_yaml(rule);
  }
  return out;
}

std::string rules_json(const RuleFile& file) {
  ordered_json out = {{"groups", ordered_json::array()}};
  for (const RuleGroup& group : file.groups) {
    ordered_json one = {{"name", group.name}};
    if (group.interval > Duration::zero()) one["interval"] = format_duration(group.interval);
    one["rules"] = ordered_json::array();
    for (const PrometheusRule& rule : group.rules) one["rules"].push_back(rule_json(rule));
    out["groups"].push_back(std::move(one));
  }
  return yaml_safe_json(out.dump(2, ' ', false, ordered_json::error_handler_t::replace)) + '\n';
}

}  // namespace candor::app
