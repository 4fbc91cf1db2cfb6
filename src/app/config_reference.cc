#include <fmt/core.h>

#include "app/config.h"
#include "app/config_keys.h"
#include "base/units.h"

namespace candor::app {
namespace {

std::string heading(std::string_view path) {
  std::string shown(path);
  if (const auto star = shown.find('*'); star != std::string::npos) shown.replace(star, 1, "NAME");
  if (shown.ends_with("[]")) return fmt::format("[[{}]]", shown.substr(0, shown.size() - 2));
  return fmt::format("[{}]", shown);
}

std::string type_cell(const ConfigKey& key) {
  std::string out;
  for (std::string_view rest = key.choices; !rest.empty();) {
    const auto bar = rest.find('|');
    out += fmt::format("{}`{}`", out.empty() ? "" : ", ", rest.substr(0, bar));
    rest = bar == std::string_view::npos ? std::string_view{} : rest.substr(bar + 1);
  }
  if (key.type == ConfigType::kChoice) return "one of " + out;
  if (key.type == ConfigType::kUrl) return "URL";
  if (!out.empty()) return fmt::format("{}: {}", config_type_name(key.type), out);
  return std::string(config_type_name(key.type));
}

std::string limit_text(const ConfigKey& key) {
  if (key.type == ConfigType::kCount) return fmt::format(" {} to {}.", key.least, key.most);
  if (key.type == ConfigType::kSize && key.least > 0)
    return fmt::format(" At least {}.", format_size(static_cast<std::uint64_t>(key.least)));
  return {};
}

std::string fallback_cell(const ConfigKey& key) {
  if (key.required) return "required";
  return key.fallback.empty() ? "none" : fmt::format("`{}`", key.fallback);
}

std::string section_text(const ConfigSection& section) {
  std::string out = fmt::format("\n## `{}`\n\n{}\n\n", heading(section.path), section.meaning);
  out += "| key | type | default | reload | meaning |\n|---|---|---|---|---|\n";
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section.path) continue;
    out += fmt::format("| `{}` | {} | {} | {} | {}{} |\n", key.name, type_cell(key), fallback_cell(key),
                       key.reloadable ? "yes" : "no", key.meaning, limit_text(key));
  }
  return out;
}

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Printed by `candor check --print-reference` from the table in src/app/config_keys.cc; a test compares. Change the table. -->

One TOML file, `candord --config candor.toml`; `candor check FILE` says everything that is wrong with it without starting.
Durations are a whole number and a unit: `"250ms"`, `"5s"`, `"10m"`, `"24h"`, `"30d"`. Sizes are `"64KiB"`, `"256MiB"`, `"10GiB"`.
An unknown key, a wrong type, a reference to nothing or an impossible budget is an error that names file, line and key, and
nothing listens until there is none. Sections and keys marked "not built yet" are read and checked, and a warning at start says
that they have no effect. `SIGHUP` reads the file again: keys with "yes" under *reload* change at once, others are named in the log
and wait for a restart.
)";

}  // namespace

std::string config_reference() {
  std::string out(kIntroduction);
  for (const ConfigSection& section : config_sections()) out += section_text(section);
  return out;
}

}  // namespace candor::app
