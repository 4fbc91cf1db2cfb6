#include "app/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>

#include "app/config_check.h"
#include "app/config_keys.h"
#include "app/toml_tree.h"
#include "base/assert.h"
#include "base/stable_sort.h"
#include "base/units.h"
#include "origin/statement.h"

namespace candor::app {
namespace {

using Kind = TomlNode::Kind;

// A configuration is written by people; more than this is the wrong file.
constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;
constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kPasswordFileBytesMax = 4096;

std::string join_path(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

const ConfigKey* find_key(std::string_view section, std::string_view name) {
  const auto keys = config_keys();
  const auto it = std::ranges::find_if(
      keys, [&](const ConfigKey& key) { return key.section == section && key.name == name; });
  return it == keys.end() ? nullptr : &*it;
}

const ConfigSection* find_section(std::string_view path) {
  const auto sections = config_sections();
  const auto it = std::ranges::find(sections, path, &ConfigSection::path);
  return it == sections.end() ? nullptr : &*it;
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> out;
  while (!choices.empty()) {
    const auto bar = choices.find('|');
    out.push_back(choices.substr(0, bar));
    choices = bar == std::string_view::npos ? std::string_view{} : choices.substr(bar + 1);
  }
  return out;
}

std::string quoted_choices(std::string_view choices) {
  std::string out;
  for (const auto choice : split_choices(choices))
    out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", choice);
  return out;
}

bool is_name(std::string_view name) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, ok);
}

// The text of a finding, for a value that is not what its key wants.
using Typed = std::expected<TypedValue, std::string>;

std::string wrong_kind(std::string_view wanted, const TomlNode& node) {
  return fmt::format("must be {}, not {}", wanted, toml_kind_name(node.kind));
}

Typed type_text(const TomlNode& node) {
  if (node.kind != Kind::kText) return std::unexpected(wrong_kind("a string", node));
  TypedValue value;
  value.text = node.text;
  return value;
}

Typed type_choice(const ConfigKey& key, const TomlNode& node) {
  if (node.kind != Kind::kText)
    return std::unexpected(wrong_kind("one of " + quoted_choices(key.choices), node));
  const auto choices = split_choices(key.choices);
  const auto it = std::ranges::find(choices, node.text);
  if (it == choices.end()) {
    const std::string near = closest_name(node.text, choices);
    return std::unexpected(fmt::format("\"{}\" is not one of {}{}", node.text, quoted_choices(key.choices),
                                       near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }
  TypedValue value;
  value.text = node.text;
  value.integer = it - choices.begin();
  return value;
}

Typed type_duration(const TomlNode& node) {
  if (node.kind != Kind::kText)
    return std::unexpected(wrong_kind("a duration in quotes such as \"250ms\" or \"10m\"", node));
  const auto duration = parse_duration(node.text);
  if (!duration) return std::unexpected(duration.error().message);
  TypedValue value;
  value.duration = *duration;
  return value;
}

std::string outside_limits(std::string_view shown, std::string_view least, std::string_view most,
                           bool has_most) {
  if (!has_most) return fmt::format("{} is too small; the least is {}", shown, least);
  return fmt::format("{} is outside the limits; use {} to {}", shown, least, most);
}

Typed type_size(const ConfigKey& key, const TomlNode& node) {
  if (node.kind != Kind::kText)
    return std::unexpected(wrong_kind("a size in quotes such as \"256MiB\"", node));
  const auto size = parse_size(node.text);
  if (!size) return std::unexpected(size.error().message);
  TypedValue value;
  value.integer = static_cast<std::int64_t>(*size);
  if (value.integer < key.least || value.integer > key.most)
    return std::unexpected(outside_limits(node.text, format_size(static_cast<std::uint64_t>(key.least)),
                                          format_size(static_cast<std::uint64_t>(key.most)),
                                          key.most != INT64_MAX));
  return value;
}

Typed type_count(const ConfigKey& key, const TomlNode& node) {
  if (node.kind != Kind::kInteger) return std::unexpected(wrong_kind("a whole number", node));
  if (node.integer < key.least || node.integer > key.most)
    return std::unexpected(outside_limits(std::to_string(node.integer), std::to_string(key.least),
                                          std::to_string(key.most), true));
  TypedValue value;
  value.integer = node.integer;
  return value;
}

Typed type_number(const TomlNode& node, double most) {
  if (node.kind != Kind::kFloat && node.kind != Kind::kInteger)
    return std::unexpected(wrong_kind("a number", node));
  TypedValue value;
  value.number = node.kind == Kind::kFloat ? node.number : static_cast<double>(node.integer);
  if (!(value.number >= 0 && value.number <= most))
    return std::unexpected(fmt::format("{} is outside the limits; use 0 to {}", value.number, most));
  return value;
}

Typed type_flag(const TomlNode& node) {
  if (node.kind != Kind::kBool) return std::unexpected(wrong_kind("true or false without quotes", node));
  TypedValue value;
  value.flag = node.flag;
  return value;
}

Typed type_texts(const ConfigKey& key, const TomlNode& node) {
  if (node.kind != Kind::kArray)
    return std::unexpected(wrong_kind("a list of strings such as [\"a\", \"b\"]", node));
  const auto choices = split_choices(key.choices);
  TypedValue value;
  for (const TomlNode& element : node.children) {
    if (element.kind != Kind::kText)
      return std::unexpected("the list may hold strings only, not " +
                             std::string(toml_kind_name(element.kind)));
    if (!choices.empty() && std::ranges::find(choices, element.text) == choices.end())
      return std::unexpected(
          fmt::format("\"{}\" is not one of {}", element.text, quoted_choices(key.choices)));
    value.texts.push_back(element.text);
  }
  return value;
}

Typed type_address(const TomlNode& node) {
  if (node.kind != Kind::kText)
    return std::unexpected(wrong_kind("an address in quotes such as \"127.0.0.1:6390\"", node));
  auto address = parse_listen_address(node.text);
  if (!address) return std::unexpected(address.error().message);
  TypedValue value;
  value.address = std::move(*address);
  return value;
}

Typed type_url(const ConfigKey& key, const TomlNode& node) {
  if (node.kind != Kind::kText) return std::unexpected(wrong_kind("a URL in quotes", node));
  for (const auto scheme : split_choices(key.choices)) {
    if (!node.text.starts_with(scheme)) continue;
    const bool is_word = scheme == "none" || scheme == "memory:";
    if (is_word ? node.text != scheme : node.text.size() == scheme.size())
      return std::unexpected(fmt::format("\"{}\" is not a whole URL", mask_password(node.text)));
    TypedValue value;
    value.text = node.text;
    return value;
  }
  return std::unexpected(fmt::format("\"{}\" is none of the URLs that are understood: {}",
                                     mask_password(node.text), quoted_choices(key.choices)));
}

Typed to_typed(const ConfigKey& key, const TomlNode& node) {
  switch (key.type) {
    case ConfigType::kText:
      return type_text(node);
    case ConfigType::kChoice:
      return type_choice(key, node);
    case ConfigType::kDuration:
      return type_duration(node);
    case ConfigType::kSize:
      return type_size(key, node);
    case ConfigType::kCount:
      return type_count(key, node);
    case ConfigType::kFraction:
      return type_number(node, 1);
    case ConfigType::kNumber:
      return type_number(node, static_cast<double>(key.most));
    case ConfigType::kFlag:
      return type_flag(node);
    case ConfigType::kTexts:
      return type_texts(key, node);
    case ConfigType::kAddress:
      return type_address(node);
    case ConfigType::kUrl:
      return type_url(key, node);
  }
  return std::unexpected("has a type that is not known here");
}

// A default from the table as the node that the same text in a file would give.
TomlNode node_from_fallback(const ConfigKey& key) {
  TomlNode node;
  const std::string_view text = key.fallback;
  if (text.starts_with('"')) {
    node.kind = Kind::kText;
    node.text = text.substr(1, text.size() - 2);
  } else if (text == "true" || text == "false") {
    node.kind = Kind::kBool;
    node.flag = text == "true";
  } else if (text.starts_with('[')) {
    node.kind = Kind::kArray;
    for (auto rest = text; rest.find('"') != std::string_view::npos;) {
      rest.remove_prefix(rest.find('"') + 1);
      TomlNode& element = node.children.emplace_back();
      element.kind = Kind::kText;
      element.text = rest.substr(0, rest.find('"'));
      rest.remove_prefix(rest.find('"') + 1);
    }
  } else if (text.find('.') != std::string_view::npos) {
    node.kind = Kind::kFloat;
    std::from_chars(text.data(), text.data() + text.size(), node.number);
  } else {
    node.kind = Kind::kInteger;
    std::from_chars(text.data(), text.data() + text.size(), node.integer);
  }
  return node;
}

// Lines of one statement are one text in a table of changes.
std::string show(const TomlNode& node) {
  switch (node.kind) {
    case Kind::kText:
      return node.text;
    case Kind::kInteger:
      return std::to_string(node.integer);
    case Kind::kFloat:
      return fmt::format("{}", node.number);
    case Kind::kBool:
      return node.flag ? "true" : "false";
    case Kind::kArray: {
      std::string out;
      for (const TomlNode& element : node.children)
        out += fmt::format("{}{}", out.empty() ? "" : ", ", show(element));
      return out;
    }
    default:
      return {};
  }
}

class Reader {
 public:
  explicit Reader(ConfigReading& out) : out_(out) { target_.config = &out.config; }

  void read(const TomlNode& root) {
    for (const ConfigSection& section : config_sections())
      if (section.always) apply_defaults(section.path, std::string(section.path));
    for (const TomlNode& child : root.children) read_member("", "", child);
  }

 private:
  void add(int line, std::string key, std::string text) {
    out_.findings.push_back(
        {Finding::Severity::kError, out_.config.file, line, std::move(key), std::move(text)});
  }

  void apply_defaults(std::string_view section, const std::string& shown) {
    for (const ConfigKey& key : config_keys()) {
      if (key.section != section || key.fallback.empty()) continue;
      const TomlNode node = node_from_fallback(key);
      const auto value = to_typed(key, node);
      CANDOR_ASSERT(value.has_value());
      key.store(target_, *value);
      out_.config.values.insert_or_assign(join_path(shown, key.name), ConfigValue{show(node), 0, &key});
    }
  }

  // One member of a table: a key, a section, a table of named tables, or a list of tables.
  void read_member(std::string_view section, const std::string& shown, const TomlNode& node) {
    const std::string path = join_path(section, node.key);
    const std::string shown_path = join_path(shown, node.key);
    const ConfigSection* inner = find_section(path);
    const ConfigKey* key = find_key(section, node.key);
    if (key != nullptr && (inner == nullptr || node.kind != Kind::kTable))
      return read_key(*key, shown_path, node);
    if (inner != nullptr) return read_section(*inner, shown_path, node);
    if (const auto* named = find_section(path + ".*")) return read_named(*named, shown_path, node);
    if (const auto* list = find_section(path + "[]")) return read_list(*list, shown_path, node);
    report_unknown(section, shown_path, node);
  }

  void read_key(const ConfigKey& key, const std::string& shown, const TomlNode& node) {
    const auto value = to_typed(key, node);
    if (!value) return add(node.line, shown, value.error() + table_form(key));
    key.store(target_, *value);
    out_.config.values.insert_or_assign(shown, ConfigValue{show(node), node.line, &key});
  }

  // Of a key that may also be written as a table: that form, for the message.
  static std::string table_form(const ConfigKey& key) {
    const std::string path = join_path(key.section, key.name);
    if (find_section(path) == nullptr) return {};
    const auto keys = config_keys();
    const auto inner = std::ranges::find(keys, path, &ConfigKey::section);
    return fmt::format("; or write {} = {{ {} = … }}", key.name, inner->name);
  }

  void read_section(const ConfigSection& section, const std::string& shown, const TomlNode& node) {
    if (node.kind != Kind::kTable)
      return add(node.line, shown,
                 fmt::format("must be a table, [{}], not {}", shown, toml_kind_name(node.kind)));
    if (section.enter != nullptr) section.enter(target_, node.key, node.line);
    if (!section.always) apply_defaults(section.path, shown);
    for (const TomlNode& child : node.children) read_member(section.path, shown, child);
    report_missing(section.path, shown, node);
  }

  void read_named(const ConfigSection& section, const std::string& shown, const TomlNode& node) {
    if (node.kind != Kind::kTable)
      return add(
          node.line, shown,
          fmt::format("must be tables with names, [{}.NAME], not {}", shown, toml_kind_name(node.kind)));
    for (const TomlNode& child : node.children) {
      const std::string child_shown = join_path(shown, child.key);
      if (child.kind != Kind::kTable)
        add(child.line, child_shown,
            fmt::format("must be a table, [{}], not {}", child_shown, toml_kind_name(child.kind)));
      else if (!is_name(child.key))
        add(child.line, child_shown,
            fmt::format("a name is 1 to {} letters, digits, '_', '-' or '.'; rename it", kNameBytesMax));
      else
        read_section(section, child_shown, child);
    }
  }

  void read_list(const ConfigSection& section, const std::string& shown, const TomlNode& node) {
    if (node.kind != Kind::kArray)
      return add(node.line, shown,
                 fmt::format("must be a list of tables, [[{}]], not {}", shown, toml_kind_name(node.kind)));
    for (std::size_t i = 0; i < node.children.size(); ++i)
      read_section(section, fmt::format("{}[{}]", shown, i), node.children[i]);
  }

  void report_missing(std::string_view section, const std::string& shown, const TomlNode& node) {
    for (const ConfigKey& key : config_keys())
      if (key.required && key.section == section && node.find(key.name) == nullptr)
        add(node.line, join_path(shown, key.name), fmt::format("missing; {}", lower_first(key.meaning)));
  }

  void report_unknown(std::string_view section, const std::string& shown, const TomlNode& node) {
    std::vector<std::string_view> names;
    for (const ConfigKey& key : config_keys())
      if (key.section == section) names.push_back(key.name);
    for (const ConfigSection& inner : config_sections()) append_member_name(section, inner.path, names);
    const std::string near = closest_name(node.key, names);
    const std::string_view what = node.kind == Kind::kTable ? "unknown section" : "unknown key";
    if (!near.empty()) return add(node.line, shown, fmt::format("{}; did you mean \"{}\"?", what, near));
    const std::string where = section.empty()
                                  ? "the file"
                                  : fmt::format("[{}]", shown.substr(0, shown.size() - node.key.size() - 1));
    std::string known;
    std::ranges::sort(names);
    for (const auto name : names) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
    add(node.line, shown, fmt::format("{}; {} may hold: {}", what, where, known));
  }

  // "features.*.budget" is a member "budget" of "features.*"; "origins.*" is a member "origins" of the root.
  static void append_member_name(std::string_view section, std::string_view path,
                                 std::vector<std::string_view>& names) {
    if (!section.empty()) {
      if (!path.starts_with(section) || path.size() <= section.size() || path[section.size()] != '.') return;
      path.remove_prefix(section.size() + 1);
    }
    const std::string_view name = path.substr(0, path.find_first_of(".["));
    if (name == "*" || std::ranges::find(names, name) != names.end()) return;
    names.push_back(name);
  }

  static std::string lower_first(std::string_view text) {
    std::string out(text);
    if (out.size() > 1 && (out[1] == ' ' || (out[1] >= 'a' && out[1] <= 'z')))
      out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
    while (out.ends_with('.')) out.pop_back();
    return out;
  }

  ConfigReading& out_;
  ConfigTarget target_;
};

// A plain feature keeps what was SET until it is evicted or asked to expire, as Redis does, unless the owner
// says more.
void apply_plain_defaults(Config& config) {
  for (FeatureConfig& feature : config.features) {
    ConfigValue& ttl = config.values[fmt::format("features.{}.ttl", feature.name)];
    if (!feature.is_plain() || ttl.line > 0) continue;
    feature.ttl = Duration::zero();
    ttl.text = "0s";
  }
}

Result<std::string> read_bounded(const std::string& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(ErrorCode::kConfiguration,
                fmt::format("cannot read {}; check the path and its permissions", path));
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad())
    return fail(ErrorCode::kConfiguration, fmt::format("cannot read {}; it is not a plain file", path));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max)
    return fail(ErrorCode::kConfiguration,
                fmt::format("{} is larger than {}; is it the right file?", path, format_size(bytes_max)));
  return text;
}

// The secret in the file's first line; nothing where no file is named, or it cannot be read: then that is
// found.
std::optional<std::string> read_secret(ConfigReading& out, const std::string& key, const std::string& path) {
  if (path.empty()) return std::nullopt;
  const auto text = read_bounded(path, kPasswordFileBytesMax);
  if (text) return text->substr(0, text->find_first_of("\r\n"));
  out.findings.push_back(
      {Finding::Severity::kError, out.config.file, out.config.values[key].line, key, text.error().message});
  return std::nullopt;
}

void read_password(ConfigReading& out, const std::string& key, const std::string& path, std::string& url) {
  if (const auto password = read_secret(out, key, path)) url = with_password(url, *password);
}

}  // namespace

bool ListenAddress::is_loopback() const {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string ListenAddress::to_string() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" is not an address; write HOST:PORT such as \"127.0.0.1:6390\"", text));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string_view::npos) return bad();
  if (host.find_first_of(" \t/[]") != std::string_view::npos) return bad();
  ListenAddress address{.host = std::string(host)};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size() || port.empty()) return bad();
  return address;
}

const OriginConfig* Config::find_origin(std::string_view name) const {
  const auto it = std::ranges::find(origins, name, &OriginConfig::name);
  return it == origins.end() ? nullptr : &*it;
}
const FeatureConfig* Config::find_feature(std::string_view name) const {
  const auto it = std::ranges::find(features, name, &FeatureConfig::name);
  return it == features.end() ? nullptr : &*it;
}

std::string Finding::to_string() const {
  std::string out = file;
  if (line > 0) out += fmt::format(":{}", line);
  out += ": ";
  if (!is_error()) out += "warning: ";
  if (!key.empty()) out += key + ": ";
  return out + text;
}

bool ConfigReading::has_errors() const { return std::ranges::any_of(findings, &Finding::is_error); }

ConfigReading read_config_text(std::string_view text, std::string file) {
  ConfigReading out;
  out.config.file = std::move(file);
  TomlNode root;
  auto parsed = parse_toml(text);
  if (parsed)
    root = std::move(*parsed);
  else
    out.findings.push_back({Finding::Severity::kError, out.config.file, parsed.error().line, "",
                            "not valid TOML: " + parsed.error().message});
  Reader(out).read(root);
  apply_plain_defaults(out.config);
  if (parsed) check_config(out.config, out.findings);
  stable_sort_by(out.findings, [](const auto& finding) { return finding.line; });
  return out;
}

ConfigReading read_config_without_secrets(const std::string& path) {
  const auto text = read_bounded(path, kConfigBytesMax);
  if (text) return read_config_text(*text, path);
  ConfigReading out = read_config_text("", path);
  out.findings = {{Finding::Severity::kError, path, 0, "", text.error().message}};
  return out;
}

ConfigReading read_config_file(const std::string& path) {
  ConfigReading out = read_config_without_secrets(path);
  read_password(out, "l2.password_file", out.config.l2.password_file, out.config.l2.url);
  for (std::string& webhook : out.config.alerts.webhook)
    if (webhook.find('@') != std::string::npos)
      read_password(out, "alerts.password_file", out.config.alerts.password_file, webhook);
  out.config.warm.peer_token =
      read_secret(out, "warm.peer_token_file", out.config.warm.peer_token_file).value_or("");
  for (OriginConfig& origin : out.config.origins)
    read_password(out, fmt::format("origins.{}.password_file", origin.name), origin.password_file,
                  origin.url);
  stable_sort_by(out.findings, [](const auto& finding) { return finding.line; });
  return out;
}

Budget budget_of(const BudgetConfig& config) {
  Budget budget;
  budget.max_staleness = config.max_staleness;
  budget.stale_fraction = config.stale_fraction;
  budget.window = config.window;
  budget.sample = config.sample;
  return budget;
}

FeaturePolicy feature_policy(const FeatureConfig& feature) {
  FeaturePolicy policy;
  policy.name = feature.name;
  const bool unproven = !feature.watch && (feature.consistency == Consistency::kBounded ||
                                           feature.consistency == Consistency::kStrong);
  if (feature.budget) policy.max_staleness = feature.budget->max_staleness;
  policy.consistency = unproven ? Consistency::kOrigin : feature.consistency;
  policy.ttl = feature.ttl;
  policy.negative_ttl = std::min(feature.negative_ttl, feature.ttl);
  policy.ttl_jitter = feature.ttl_jitter;
  policy.refresh_beta = feature.refresh_beta;
  policy.soft_timeout = feature.soft_timeout;
  policy.hard_timeout = feature.hard_timeout;
  policy.serve_stale = feature.serve_stale;
  policy.lease_ttl = feature.lease_ttl;
  policy.plain = feature.is_plain();
  policy.priority = feature.priority;
  return policy;
}

std::string why_not_gathered(const FeatureConfig& feature, const OriginConfig* origin) {
  if (feature.write == "behind") return "writes are gathered already, as configured";
  if (!feature.write_behind) return "its owner has not allowed it: no `write_behind`";
  if (!feature.budget || feature.budget->control != "auto") return "`control` is not \"auto\"";
  if (feature.store.empty() && feature.erase.empty()) return "there is no statement to write with";
  const bool has_batches =
      origin != nullptr && (origin->url.starts_with("sqlite:") || origin->url.starts_with("postgres"));
  if (feature.is_plain() || !has_batches) return "its origin takes no batches of writes";
  const Consistency level = feature_policy(feature).consistency;
  if (level == Consistency::kStrong || level == Consistency::kOrigin)
    return "its level promises acknowledged writes to readers of other nodes";
  return {};
}

std::uint8_t key_columns(const FeatureConfig& feature, const OriginConfig* origin) {
  if (origin == nullptr || origin->url.starts_with("redis")) return 1;
  const auto dialect = origin->url.starts_with("sqlite:") ? SqlDialect::kSqlite : SqlDialect::kPostgres;
  const auto load = parse_statement(feature.name, StatementRole::kLoad, feature.load, dialect);
  return load ? std::max<std::uint8_t>(1, load->key_parts) : 1;
}

std::string closest_name(std::string_view wrong, const std::vector<std::string_view>& names) {
  // Levenshtein distance; a slip changes a letter or two, or a third of a longer word.
  const auto distance = [&](std::string_view name) {
    std::vector<std::size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < wrong.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < name.size(); ++j) {
        const std::size_t replaced = diagonal + (wrong[i] == name[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
      }
    }
    return row.back();
  };
  if (wrong.size() > kNameBytesMax) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  for (const auto name : names) {
    const std::size_t d = distance(name);
    if (d < best_distance && d < name.size()) {
      best = name;
      best_distance = d;
    }
  }
  return std::string(best);
}

}  // namespace candor::app
