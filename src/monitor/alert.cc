#include "monitor/alert.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/stable_sort.h"
#include "base/units.h"
#include "monitor/burn_rules.h"

namespace candor {
namespace {

constexpr std::size_t kKeysShown = 5;
constexpr std::size_t kKeyBytesShown = 100;

// At a boundary between characters of UTF-8, with a mark that something is missing.
std::string cut(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "…";
}

double rate_over(const FeatureExposure& feature, Duration window) {
  const auto it = std::ranges::find(feature.burn, window, &BurnRate::window);
  return it == feature.burn.end() ? 0.0 : it->rate;
}

// Of the rules with this severity, the one that burns the most: it is what a person wants to know.
const BurnRule* loudest(const FeatureExposure& feature, std::span<const BurnRule> rules) {
  const BurnRule* best = nullptr;
  for (const BurnRule& rule : rules) {
    if (rule.severity != feature.state) continue;
    if (best == nullptr || rate_over(feature, rule.long_window) > rate_over(feature, best->long_window))
      best = &rule;
  }
  return best;
}

std::string percent(double fraction) { return fmt::format("{:.3g} %", fraction * 100.0); }

std::string summary_of(const FeatureExposure& feature) {
  const auto rules = burn_rules(feature.budget);
  const BurnRule* rule = loudest(feature, rules);
  if (rule == nullptr) return {};
  return fmt::format(
      "{} in {}: stale reads burn the budget {:.3g} times as fast as it allows ({} over {}, {:.3g} over {}); "
      "{} of the {} budget is left",
      feature.feature, feature.region, rate_over(feature, rule->long_window),
      fmt::format("{:.3g}", rate_over(feature, rule->long_window)), format_duration(rule->long_window),
      rate_over(feature, rule->short_window), format_duration(rule->short_window),
      percent(feature.budget_remaining), format_duration(feature.budget.window));
}

std::string causes_of(const Measured& measured) {
  std::string out;
  for (std::size_t i = 0; i < kStaleCauses; ++i) {
    if (measured.by_cause[i] <= 0.0) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", stale_cause_name(static_cast<StaleCause>(i)),
                       percent(measured.by_cause[i]));
  }
  return out;
}

std::string measured_text(std::string_view how, const Measured& measured) {
  if (!measured.is_measured()) return fmt::format("{}: not measured", how);
  const std::string causes = causes_of(measured);
  return fmt::format("{}: {} of {:.0f} reads (95 %: {} to {}){}", how, percent(measured.stale_fraction),
                     measured.reads, percent(measured.low), percent(measured.high),
                     causes.empty() ? "" : ", by cause: " + causes);
}

std::string description_of(const FeatureExposure& feature) {
  return fmt::format("Reads may be staler than {} for {} of reads. Over {}, {}; {}.",
                     format_duration(feature.budget.max_staleness), percent(feature.budget.stale_fraction),
                     format_duration(feature.budget.window),
                     measured_text("seen from the stream", feature.by_stream_window),
                     measured_text("checked against the origin", feature.by_origin_window));
}

std::string lost_text(const FeatureExposure& feature) {
  std::string keys;
  for (std::size_t i = 0; i < std::min(kKeysShown, feature.lost_keys.size()); ++i)
    keys += (keys.empty() ? "" : ", ") + cut(feature.lost_keys[i], kKeyBytesShown);
  const std::string swept =
      feature.lost_entries == 0
          ? ""
          : fmt::format(" The sweep found {} entries that such a change made old.", feature.lost_entries);
  return fmt::format(
      "{} of the reads that were checked against the origin were stale by changes that the stream never told "
      "of.{} Latest keys: {}",
      percent(feature.lost_fraction), swept, keys.empty() ? "none" : keys);
}

}  // namespace

std::string Alert::key() const {
  std::string out;
  for (const auto& [name, value] : labels) out += fmt::format("{}={}\n", name, value);
  return out;
}
std::string_view Alert::label(std::string_view name) const {
  const auto it = labels.find(name);
  return it == labels.end() ? std::string_view{} : it->second;
}
std::string_view Alert::annotation(std::string_view name) const {
  const auto it = annotations.find(name);
  return it == annotations.end() ? std::string_view{} : it->second;
}

std::vector<AlertBook::Wanted> AlertBook::wanted(const ExposureReport& report) const {
  std::vector<Wanted> out;
  for (const FeatureExposure& feature : report.features) {
    if (!feature.has_budget) continue;
    const auto base = [&](const char* name, BudgetState severity) {
      Alert alert;
      alert.labels = {{"alertname", name},
                      {"severity", std::string(budget_state_name(severity))},
                      {"feature", feature.feature},
                      {"region", feature.region},
                      {"node", options_.node}};
      if (!feature.owner.empty()) alert.labels["owner"] = cut(feature.owner, kAlertTextMax);
      if (!feature.impact.empty()) alert.annotations["impact"] = feature.impact;
      if (!options_.runbook.empty()) alert.annotations["runbook_url"] = options_.runbook;
      return alert;
    };
    if (feature.state >= BudgetState::kTicket) {
      Alert alert = base("CandorStalenessBudget", feature.state);
      alert.annotations["summary"] = summary_of(feature);
      alert.annotations["description"] = description_of(feature);
      out.push_back({std::move(alert), Duration::zero()});
    }
    if (feature.lost_fraction > 0.0 || feature.lost_entries > 0) {
      Alert alert = base("CandorLostInvalidations", BudgetState::kTicket);
      alert.annotations["summary"] =
          fmt::format("{} in {}: invalidations are lost", feature.feature, feature.region);
      alert.annotations["description"] = lost_text(feature);
      out.push_back({std::move(alert), kLostQuiet});
    }
  }
  return out;
}

Alert AlertBook::firing(Alert alert, WallTime wall) const {
  alert.ends = {wall.ns + (options_.refresh * kLapseRefreshes).count()};
  return alert;
}

void AlertBook::go_on(const Wanted& want, MonoTime now, WallTime wall, std::vector<AlertEvent>& out) {
  const std::string key = want.alert.key();
  const auto held = active_.find(key);
  if (held == active_.end()) {
    if (active_.size() >= kAlertsMax) return void(++left_out_);
    Active fresh{want.alert, now, now, now, want.quiet};
    fresh.alert.starts = wall;
    out.push_back({AlertEvent::Kind::kBegan, firing(fresh.alert, wall)});
    active_.emplace(key, std::move(fresh));
    return;
  }
  Active& active = held->second;
  active.alert.annotations = want.alert.annotations;
  active.seen = now;
}

std::vector<AlertEvent> AlertBook::note(const ExposureReport& report, MonoTime now) {
  std::vector<AlertEvent> begun;
  for (const Wanted& want : wanted(report)) go_on(want, now, report.wall, begun);
  std::vector<AlertEvent> out;
  for (auto it = active_.begin(); it != active_.end();) {
    Active& active = it->second;
    if (active.seen != now && now - active.seen >= active.quiet) {
      active.alert.ends = report.wall;
      active.alert.is_resolved = true;
      out.push_back({AlertEvent::Kind::kResolved, std::move(active.alert)});
      it = active_.erase(it);
      continue;
    }
    const bool repeats = now - active.repeated >= options_.repeat;
    if (repeats || now - active.refreshed >= options_.refresh) {
      active.refreshed = now;
      if (repeats) active.repeated = now;
      out.push_back({repeats ? AlertEvent::Kind::kRepeated : AlertEvent::Kind::kRefreshed,
                     firing(active.alert, report.wall)});
    }
    ++it;
  }
  stable_sort_by(out, [](const AlertEvent& e) { return e.kind != AlertEvent::Kind::kResolved; });
  std::ranges::move(begun, std::back_inserter(out));
  return out;
}

std::size_t AlertBook::active(std::string_view severity) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      active_, [&](const auto& held) { return held.second.alert.label("severity") == severity; }));
}

// ---- what leaves ----

std::string alerts_json(std::span<const Alert> alerts, std::string_view source) {
  nlohmann::json out = nlohmann::json::array();
  const auto texts = [](const auto& from) {
    nlohmann::json to = nlohmann::json::object();
    for (const auto& [name, text] : from) to[name] = cut(text, kAlertTextMax);
    return to;
  };
  for (const Alert& alert : alerts) {
    nlohmann::json one = {{"labels", texts(alert.labels)},
                          {"annotations", texts(alert.annotations)},
                          {"startsAt", rfc3339(alert.starts)},
                          {"endsAt", rfc3339(alert.ends)}};
    if (!source.empty()) one["generatorURL"] = source;
    out.push_back(std::move(one));
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string rfc3339(WallTime at) {
  using namespace std::chrono;
  const sys_time<milliseconds> moment{milliseconds{at.ms()}};
  const auto day = floor<days>(moment);
  const year_month_day date{day};
  const hh_mm_ss<milliseconds> time{moment - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     time.subseconds().count());
}

}  // namespace candor
