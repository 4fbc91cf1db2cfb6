#include "app/top_screen.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/terminal_text.h"
#include "base/units.h"

namespace candor::app {
namespace {

using nlohmann::json;

// ---- members of whatever answered ----

const json& member(const json& object, const char* name) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto it = object.find(name);
  return it == object.end() ? kNothing : *it;
}
std::optional<double> number(const json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}
double count(const json& object, const char* name) { return number(member(object, name)).value_or(0.0); }
std::string text(const json& value, std::size_t width = 64) {
  return value.is_string() ? printable_within(value.get_ref<const std::string&>(), width) : "-";
}
bool is_true(const json& value) { return value.is_boolean() && value.get<bool>(); }

std::string short_bytes(double bytes) {
  if (bytes >= 1U << 30) return fmt::format("{:.3g} GiB", bytes / (1U << 30));
  if (bytes >= 1U << 20) return fmt::format("{:.3g} MiB", bytes / (1U << 20));
  return fmt::format("{:.3g} KiB", bytes / 1024);
}

std::string percent(std::optional<double> share) {
  return share ? fmt::format("{:.1f}%", 100 * *share) : "-";
}

// Cut to a width, by letters; the rest of the line is ours.
std::string first_letters(const std::string& line, std::size_t columns) {
  std::size_t letters = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U) continue;
    if (++letters > columns) return line.substr(0, i);
  }
  return line;
}

// ---- differences between two moments ----

const json& same_in(const json& list, const json& wanted) {
  static const json kNothing;
  if (!list.is_array()) return kNothing;
  for (const json& one : list)
    if (member(one, "name") == wanted) return one;
  return kNothing;
}

class Rates {
 public:
  explicit Rates(const TopFacts& facts) : facts_(facts) {}
  // Nothing: there is no earlier moment, or the daemon started anew since.
  [[nodiscard]] std::optional<double> of(double now, double before) const {
    if (facts_.before == nullptr || facts_.seconds <= 0 || now < before) return std::nullopt;
    return (now - before) / facts_.seconds;
  }
  [[nodiscard]] std::string text_of(double now, double before) const {
    const auto rate = of(now, before);
    return rate ? short_number(*rate) : "-";
  }
  [[nodiscard]] const json& before() const {
    static const json kNothing;
    return facts_.before == nullptr ? kNothing : *facts_.before;
  }

 private:
  const TopFacts& facts_;
};

// ---- parts of the screen ----

using Lines = std::vector<std::string>;

void add_head(const json& status, const Rates& rates, Lines& out) {
  const auto uptime = static_cast<std::int64_t>(count(status, "uptime_seconds"));
  const bool is_ready = is_true(member(status, "ready"));
  out.push_back(fmt::format("{} ({})  candor {}  up {}  {}", text(member(status, "node")),
                            text(member(status, "region")), text(member(status, "version")),
                            format_duration(std::chrono::seconds(uptime)),
                            is_ready ? "ready" : "NOT READY: " + text(member(status, "not_ready_because"))));
  for (const json& reason : member(status, "degraded")) out.push_back("DEGRADED: " + text(reason));
  const json& clients = member(status, "connections");
  const json& clients_before = member(rates.before(), "connections");
  const json& process = member(status, "process");
  out.push_back(fmt::format("clients {}  commands/s {}  reads waiting {}  memory {}", count(clients, "open"),
                            rates.text_of(count(clients, "commands"), count(clients_before, "commands")),
                            count(status, "waiting_reads"), short_bytes(count(process, "resident_bytes"))));
}

void add_tiers(const json& status, Lines& out) {
  for (const json& tier : member(status, "tiers")) {
    const auto bytes = number(member(tier, "bytes"));
    const auto limit = number(member(tier, "limit_bytes"));
    std::string used = "-";
    if (bytes && limit && *limit > 0)
      used =
          fmt::format("{} of {} ({:.0f}%)", short_bytes(*bytes), short_bytes(*limit), 100 * *bytes / *limit);
    out.push_back(
        fmt::format("{:<8}{}  {}", text(member(tier, "tier")), used,
                    member(tier, "description").is_string() ? text(member(tier, "description")) : ""));
  }
  for (const json& origin : member(status, "origins"))
    out.push_back(fmt::format("origin  {}: {} of {} statements in flight, {} waiting{}",
                              text(member(origin, "name")), count(origin, "in_flight"),
                              count(origin, "max_concurrency"), count(origin, "waiting"),
                              is_true(member(origin, "connected")) ? "" : "  NOT CONNECTED"));
}

void add_river(const json& river, Lines& out) {
  for (const json& origin : member(river, "origins")) {
    const auto within = number(member(origin, "fresh_within_ms"));
    out.push_back(fmt::format("changes {}: {}, {}, {} applied", text(member(origin, "name")),
                              text(member(origin, "feed")),
                              within ? "fresh within " + short_millis(*within) : std::string("NOT PROVEN"),
                              short_number(count(origin, "changes_applied"))));
  }
}

double loads_of(const json& feature) {
  double all = 0;
  for (const char* outcome : {"ok", "absent", "failed", "timeout"})
    all += count(member(feature, "loads"), outcome);
  return all;
}

void add_features(const json& status, const Rates& rates, Lines& out) {
  out.push_back(fmt::format("{:<20} {:>9} {:>7} {:>7} {:>8} {:>9} {:>9} {:>9} {:>10}", "feature", "reads/s",
                            "l1", "l2", "origin", "loads/s", "errors/s", "entries", "miss p99"));
  for (const json& feature : member(status, "features")) {
    const json& before = same_in(member(rates.before(), "features"), member(feature, "name"));
    const json& tiers = member(feature, "reads_by_tier");
    const json& tiers_before = member(before, "reads_by_tier");
    const auto reads = rates.of(count(feature, "reads"), count(before, "reads"));
    const auto share = [&](const char* tier) -> std::optional<double> {
      const auto of_tier = rates.of(count(tiers, tier), count(tiers_before, tier));
      return reads && *reads > 0 && of_tier ? std::optional(*of_tier / *reads) : std::nullopt;
    };
    const auto p99 = number(member(member(feature, "miss_latency"), "p99_us"));
    out.push_back(fmt::format(
        "{:<20} {:>9} {:>7} {:>7} {:>8} {:>9} {:>9} {:>9} {:>10}", text(member(feature, "name"), 20),
        reads ? short_number(*reads) : "-", percent(share("l1")), percent(share("l2")),
        percent(share("origin")), rates.text_of(loads_of(feature), loads_of(before)),
        rates.text_of(count(feature, "errors"), count(before, "errors")),
        short_number(count(feature, "entries")), p99 ? short_millis(*p99 / 1000) : "-"));
  }
}

void add_budgets(const json& budgets, Lines& out) {
  const json& features = member(budgets, "features");
  if (!features.is_array() || features.empty()) return;
  out.push_back("");
  out.push_back(fmt::format("{:<20} {:>10} {:>10} {:>10} {:>9}  {}", "budget", "limit", "allowed", "measured",
                            "left", "verdict"));
  for (const json& one : features) {
    const json& budget = member(one, "budget");
    const json& measured = member(one, "measured");
    auto stale = number(member(member(measured, "by_origin_window"), "stale_fraction"));
    if (!stale) stale = number(member(member(measured, "by_stream_window"), "stale_fraction"));
    const std::string state = text(member(one, "state"));
    const bool is_alarm = state == "page" || state == "ticket";
    out.push_back(fmt::format("{:<20} {:>10} {:>10} {:>10} {:>9}  {}{}", text(member(one, "feature"), 20),
                              short_millis(count(budget, "max_staleness_ms")),
                              fmt::format("{:.3g}%", 100 * count(budget, "stale_fraction")),
                              stale ? fmt::format("{:.3g}%", 100 * *stale) : "-",
                              percent(number(member(one, "budget_remaining"))), text(member(one, "verdict")),
                              is_alarm ? ", " + state : ""));
  }
}

void add_levers(const json& levers, Lines& out) {
  for (const json& one : member(levers, "pulled"))
    out.push_back(fmt::format("lever   {}: {} at {}", text(member(one, "feature"), 20),
                              text(member(one, "lever")), text(member(one, "to"))));
}

void add_warming(const json& warm, Lines& out) {
  if (!warm.is_object()) return;
  const std::string state = text(member(warm, "state"));
  const auto done = number(member(warm, "loaded"));
  const auto total = number(member(warm, "total"));
  if (state == "-" && !done) return;
  out.push_back(fmt::format("warming {}{}", state,
                            done && total
                                ? fmt::format(": {} of {} keys", short_number(*done), short_number(*total))
                                : std::string()));
}

std::string bounds(const json& figure) {
  const auto rate = number(member(figure, "per_second"));
  if (!rate) return "-";
  return fmt::format("{} ({}-{})", short_number(*rate), short_number(count(figure, "low")),
                     short_number(count(figure, "high")));
}

void add_hot_keys(const TopFacts& facts, Lines& out) {
  out.push_back("");
  if (facts.hot_keys == nullptr) {
    if (!facts.hot_keys_problem.empty())
      out.push_back("hot keys: " + printable_within(facts.hot_keys_problem, 100));
    return;
  }
  out.push_back(
      fmt::format("{:<40} {:>22} {:>16} {:>16}", "hot key", "reads/s (bounds)", "misses/s", "changes/s"));
  for (const json& one : member(*facts.hot_keys, "keys")) {
    const json& feature = member(one, "feature");
    const json& key = member(one, "key");
    if (!feature.is_string() || !key.is_string()) continue;
    const auto rate = [&](const char* by) {
      const auto value = number(member(member(one, by), "per_second"));
      return value ? short_number(*value) : std::string("-");
    };
    // Aligned by letters: a key may be of any script.
    std::string name = printable_within(feature.get<std::string>() + ":" + key.get<std::string>(), 40);
    const auto letters = static_cast<std::size_t>(
        std::ranges::count_if(name, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
    if (letters < 40) name.append(40 - letters, ' ');
    out.push_back(fmt::format("{} {:>22} {:>16} {:>16}", name, bounds(member(one, "reads")), rate("misses"),
                              rate("changes")));
  }
}

}  // namespace

std::vector<std::string> top_screen(const TopFacts& facts, std::size_t rows, std::size_t columns) {
  static const json kNothing;
  const json& status = facts.status == nullptr ? kNothing : *facts.status;
  const Rates rates(facts);
  Lines lines;
  add_head(status, rates, lines);
  add_tiers(status, lines);
  add_river(member(status, "river"), lines);
  if (facts.warm != nullptr) add_warming(*facts.warm, lines);
  if (facts.levers != nullptr) add_levers(*facts.levers, lines);
  lines.emplace_back();
  add_features(status, rates, lines);
  if (facts.budgets != nullptr) add_budgets(*facts.budgets, lines);
  add_hot_keys(facts, lines);
  if (rows > 0 && lines.size() > rows) {
    lines.resize(rows);
    lines.back() = "… more than fits: make the window larger, or use --once";
  }
  for (std::string& line : lines) line = first_letters(line, columns);
  return lines;
}

}  // namespace candor::app
