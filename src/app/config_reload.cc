#include <fmt/core.h>

#include "app/config.h"
#include "app/config_keys.h"

namespace candor::app {
namespace {

std::string shown_value(const ConfigValue& value) {
  if (value.key == nullptr) return value.text;
  if (value.key->type == ConfigType::kUrl) return mask_password(value.text);
  if (value.key->name == "password_hash") return "***";
  return value.text;
}

// A whole feature or origin that comes or goes needs a restart, whatever its keys are.
bool applies_now(const ConfigValue* before, const ConfigValue* after) {
  if (before == nullptr || after == nullptr) {
    const ConfigKey* key = (before != nullptr ? before : after)->key;
    return key != nullptr && key->reloadable && key->section == "features.*.on_origin_failure";
  }
  return after->key != nullptr && after->key->reloadable;
}

}  // namespace

void adopt_reloadable(FeatureConfig& held, const FeatureConfig& fresh) {
  held.consistency = fresh.consistency;
  held.ttl = fresh.ttl;
  held.negative_ttl = fresh.negative_ttl;
  held.ttl_jitter = fresh.ttl_jitter;
  held.refresh_beta = fresh.refresh_beta;
  held.soft_timeout = fresh.soft_timeout;
  held.hard_timeout = fresh.hard_timeout;
  held.lease_ttl = fresh.lease_ttl;
  held.serve_stale = fresh.serve_stale;  // on_origin_failure
}

std::vector<ConfigChange> compare_configs(const Config& before, const Config& after) {
  std::vector<ConfigChange> changes;
  for (const auto& [name, old_value] : before.values) {
    const auto it = after.values.find(name);
    if (it == after.values.end())
      changes.push_back({name, shown_value(old_value), "", applies_now(&old_value, nullptr)});
    else if (it->second.text != old_value.text)
      changes.push_back(
          {name, shown_value(old_value), shown_value(it->second), applies_now(&old_value, &it->second)});
  }
  for (const auto& [name, new_value] : after.values)
    if (!before.values.contains(name))
      changes.push_back({name, "", shown_value(new_value), applies_now(nullptr, &new_value)});
  return changes;
}

}  // namespace candor::app
