// Figures given by hand: a TOML or JSON file, or an option.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/toml_tree.h"
#include "app/workload_known.h"
#include "base/units.h"
#include "budget/key_classes.h"
#include "io/files.h"

namespace candor::app {
namespace {

using Kind = TomlNode::Kind;

constexpr std::size_t kRatesBytesMax = std::size_t{16} << 20;
constexpr std::size_t kJsonDepthMax = 8;

// A finding with its place: `rates.toml:3: features.profile.keys: …`.
std::unexpected<Error> wrong(const std::string& file, int line, const std::string& key,
                             const std::string& what) {
  const std::string place = line > 0 ? fmt::format("{}:{}", file, line) : file;
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}: {}", place, key, what));
}

TomlNode node_of(const nlohmann::json& value, std::string key, std::size_t depth) {
  TomlNode node;
  node.key = std::move(key);
  if (value.is_string()) {
    node.kind = Kind::kText;
    node.text = value.get<std::string>();
  } else if (value.is_number()) {
    node.kind = Kind::kFloat;
    node.number = value.get<double>();
  } else if (value.is_boolean()) {
    node.kind = Kind::kBool;
  } else if (value.is_array() && depth < kJsonDepthMax) {
    node.kind = Kind::kArray;
    for (const auto& one : value) node.children.push_back(node_of(one, "", depth + 1));
  } else if (value.is_object() && depth < kJsonDepthMax) {
    for (const auto& [name, one] : value.items()) node.children.push_back(node_of(one, name, depth + 1));
  } else {
    node.kind = Kind::kDate;  // null, or too deep: no figure
  }
  return node;
}

const std::vector<std::string_view> kFigureNames = {
    "reads_per_second", "updates_per_second", "keys", "read_skew", "update_skew", "classes",
    "through_share",    "own_share",          "load", "delay",     "delay_p99",   "loss"};
const std::vector<std::string_view> kClassNames = {"read_share", "reads_per_second", "updates_per_second"};

// One feature's table.
class FeatureFigures {
 public:
  FeatureFigures(const TomlNode& table, std::string file) : table_(table), file_(std::move(file)) {}

  Result<KnownWorkload> read() {
    if (auto known = check_names(table_, kFigureNames, at()); !known) return std::unexpected(known.error());
    KnownWorkload known;
    known.source = table_.line > 0 ? fmt::format("{}:{}", file_, table_.line) : file_;
    if (auto done = read_optional(known); !done) return std::unexpected(done.error());
    // Figures of delivery alone complete what a node or a log knows of the workload.
    const bool has_workload = std::ranges::any_of(table_.children, [](const TomlNode& one) {
      return one.key == "classes" || one.key == "keys" || one.key.ends_with("_per_second") ||
             one.key.ends_with("_skew");
    });
    if (!has_workload) return known;
    auto workload = table_.find("classes") != nullptr ? from_classes() : from_figures();
    if (!workload) return std::unexpected(workload.error());
    known.workload = std::move(*workload);
    return known;
  }

 private:
  [[nodiscard]] std::string at(std::string_view key = "") const {
    return key.empty() ? "features." + table_.key : fmt::format("features.{}.{}", table_.key, key);
  }

  Result<void> check_names(const TomlNode& table, const std::vector<std::string_view>& names,
                           const std::string& where) {
    for (const TomlNode& child : table.children) {
      if (std::ranges::find(names, child.key) != names.end()) continue;
      const std::string near = closest_name(child.key, names);
      return wrong(
          file_, child.line, where,
          near.empty()
              ? fmt::format("no figure is named \"{}\"; there are {}", child.key, fmt::join(names, ", "))
              : fmt::format("no figure is named \"{}\"; did you mean \"{}\"?", child.key, near));
    }
    return {};
  }

  Result<std::optional<double>> number(const TomlNode& table, std::string_view name, double low,
                                       double high) {
    const TomlNode* node = table.find(name);
    if (node == nullptr) return std::nullopt;
    double value = 0.0;
    if (node->kind == Kind::kInteger)
      value = static_cast<double>(node->integer);
    else if (node->kind == Kind::kFloat)
      value = node->number;
    else
      return wrong(file_, node->line, at(name),
                   fmt::format("{} where a number belongs", toml_kind_name(node->kind)));
    if (!std::isfinite(value) || value < low || value > high)
      return wrong(file_, node->line, at(name), fmt::format("{} is not within {} and {}", value, low, high));
    return value;
  }
  Result<double> needed(const TomlNode& table, std::string_view name, double low, double high) {
    auto value = number(table, name, low, high);
    if (!value) return std::unexpected(value.error());
    if (!*value)
      return wrong(file_, table.line, at(), fmt::format("{} is missing; {}", name, why_needed(name)));
    return **value;
  }
  static std::string_view why_needed(std::string_view name) {
    if (name == "keys")
      return "say how many keys are read: a rate for each key is what staleness depends on (or give "
             "`classes`)";
    return "write 0 if it is none; what is not said is not taken for 0";
  }
  Result<std::optional<double>> seconds(std::string_view name) {
    const TomlNode* node = table_.find(name);
    if (node == nullptr) return std::nullopt;
    if (node->kind != Kind::kText)
      return wrong(file_, node->line, at(name), "durations are text with a unit, such as \"20ms\"");
    const auto duration = parse_duration(node->text);
    if (!duration) return wrong(file_, node->line, at(name), duration.error().message);
    return to_seconds(*duration);
  }

  Result<void> read_optional(KnownWorkload& known) {
    for (const auto& [name, into] :
         {std::pair{"through_share", &known.through_share}, std::pair{"own_share", &known.own_share},
          std::pair{"loss", &known.loss}}) {
      auto value = number(table_, name, 0.0, 1.0);
      if (!value) return std::unexpected(value.error());
      *into = *value;
    }
    for (const auto& [name, into] :
         {std::pair{"load", &known.load_seconds}, std::pair{"delay", &known.delay_seconds},
          std::pair{"delay_p99", &known.delay_p99_seconds}}) {
      auto value = seconds(name);
      if (!value) return std::unexpected(value.error());
      *into = *value;
    }
    if (known.own_share && !known.through_share) known.through_share = known.own_share;
    if (known.own_share && *known.own_share > *known.through_share)
      return wrong(file_, table_.line, at("own_share"), "is part of through_share and cannot exceed it");
    return {};
  }

  static constexpr double kRateMax = 1e9;
  static constexpr double kKeysMax = 1e12;
  static constexpr double kSkewMax = 4.0;

  Result<Workload> from_figures() {
    SpreadFigures figures;
    const auto reads = needed(table_, "reads_per_second", 0.0, kRateMax);
    if (!reads) return std::unexpected(reads.error());
    const auto updates = needed(table_, "updates_per_second", 0.0, kRateMax);
    if (!updates) return std::unexpected(updates.error());
    const auto keys = needed(table_, "keys", 1.0, kKeysMax);
    if (!keys) return std::unexpected(keys.error());
    const auto read_skew = number(table_, "read_skew", 0.0, kSkewMax);
    if (!read_skew) return std::unexpected(read_skew.error());
    const auto update_skew = number(table_, "update_skew", 0.0, kSkewMax);
    if (!update_skew) return std::unexpected(update_skew.error());
    figures.reads_per_second = *reads;
    figures.updates_per_second = *updates;
    figures.keys = *keys;
    figures.read_skew = read_skew->value_or(0.0);
    // What is read much is often changed much; and it is the assumption that predicts more staleness.
    figures.update_skew = update_skew->value_or(figures.read_skew);
    return spread_workload(figures);
  }

  Result<Workload> from_classes() {
    const TomlNode& list = *table_.find("classes");
    if (list.kind != Kind::kArray || list.children.empty() || list.children.size() > kKeyClassesMax)
      return wrong(
          file_, list.line, at("classes"),
          fmt::format("a list of 1 to {} tables with {}", kKeyClassesMax, fmt::join(kClassNames, ", ")));
    const auto reads = needed(table_, "reads_per_second", 0.0, kRateMax);
    if (!reads) return std::unexpected(reads.error());
    Workload workload{.reads_per_second = *reads};
    double shares = 0.0;
    for (const TomlNode& one : list.children) {
      if (one.kind != Kind::kTable)
        return wrong(file_, one.line, at("classes"),
                     fmt::format("{} where a table belongs", toml_kind_name(one.kind)));
      if (auto good = check_names(one, kClassNames, at("classes")); !good)
        return std::unexpected(good.error());
      const auto share = needed(one, "read_share", 0.0, 1.0);
      if (!share) return std::unexpected(share.error());
      const auto r = needed(one, "reads_per_second", 0.0, kRateMax);
      if (!r) return std::unexpected(r.error());
      const auto u = needed(one, "updates_per_second", 0.0, kRateMax);
      if (!u) return std::unexpected(u.error());
      workload.classes.push_back({*share, *r, *u});
      shares += *share;
      if (*r > 0.0) workload.updates_per_second += *u * *share * *reads / *r;
    }
    constexpr double kSlack = 0.01;  // shares are written with two or three digits
    if (std::abs(shares - 1.0) > kSlack)
      return wrong(file_, list.line, at("classes"),
                   fmt::format("the read_share of all together is {:.3g}, not 1", shares));
    for (KeyClass& one : workload.classes) one.read_share /= shares;
    const auto updates = number(table_, "updates_per_second", 0.0, kRateMax);
    if (!updates) return std::unexpected(updates.error());
    if (*updates) workload.updates_per_second = **updates;
    return workload;
  }

  const TomlNode& table_;
  std::string file_;
};

Result<KnownWorkloads> read_tree(const TomlNode& root, const std::string& file) {
  const TomlNode* features = root.find("features");
  if (features == nullptr || features->kind != Kind::kTable)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}: no [features.NAME] in it; write one for each feature with reads_per_second, "
                            "updates_per_second and keys",
                            file));
  KnownWorkloads known;
  for (const TomlNode& table : features->children) {
    if (table.kind != Kind::kTable)
      return wrong(file, table.line, "features." + table.key,
                   fmt::format("{} where a table belongs", toml_kind_name(table.kind)));
    auto one = FeatureFigures(table, file).read();
    if (!one) return std::unexpected(one.error());
    known.emplace(table.key, std::move(*one));
  }
  return known;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

void add_known(KnownWorkloads& to, KnownWorkloads from) {
  const auto take = [](auto& into, auto& value) {
    if (value) into = std::move(value);
  };
  for (auto& [name, fresh] : from) {
    KnownWorkload& held = to[name];
    if (!fresh.workload.classes.empty() || held.source.empty()) {
      held.workload = std::move(fresh.workload);
      held.source = std::move(fresh.source);
      held.notes = std::move(fresh.notes);
    }
    take(held.through_share, fresh.through_share);
    take(held.own_share, fresh.own_share);
    take(held.load_seconds, fresh.load_seconds);
    take(held.delay_seconds, fresh.delay_seconds);
    take(held.delay_p99_seconds, fresh.delay_p99_seconds);
    take(held.loss, fresh.loss);
    take(held.measured, fresh.measured);
  }
}

Result<KnownWorkloads> read_rates_text(std::string_view text, const std::string& file, bool is_json) {
  if (!is_json) {
    const auto root = parse_toml(text);
    if (!root)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}:{}: {}", file, root.error().line, root.error().message));
    return read_tree(*root, file);
  }
  const auto document = nlohmann::json::parse(text, nullptr, false);
  if (document.is_discarded())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{}: not JSON; a file whose name ends in .toml is read as TOML", file));
  return read_tree(node_of(document, "", 0), file);
}

Result<KnownWorkloads> read_rates_file(const std::string& path) {
  const auto text = read_file(path, kRatesBytesMax);
  if (!text) return std::unexpected(text.error());
  return read_rates_text(*text, path, path.ends_with(".json"));
}

Result<KnownWorkloads> read_rate_option(std::string_view text) {
  const auto misshapen = [&] {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("--rate \"{}\": write FEATURE:reads_per_second=R,updates_per_second=U,keys=N", text));
  };
  const std::size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return misshapen();
  TomlNode table;
  table.key = std::string(trimmed(text.substr(0, colon)));
  std::string_view rest = text.substr(colon + 1);
  while (!trimmed(rest).empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view pair = rest.substr(0, comma);
    rest.remove_prefix(std::min(rest.size(), comma + 1));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return misshapen();
    TomlNode figure;
    figure.key = std::string(trimmed(pair.substr(0, equals)));
    const std::string_view value = trimmed(pair.substr(equals + 1));
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), figure.number);
    figure.kind = error == std::errc() && end == value.data() + value.size() ? Kind::kFloat : Kind::kText;
    figure.text = std::string(value);
    table.children.push_back(std::move(figure));
  }
  auto known = FeatureFigures(table, "--rate").read();
  if (!known) return std::unexpected(known.error());
  KnownWorkloads all;
  all.emplace(table.key, std::move(*known));
  return all;
}

}  // namespace candor::app
