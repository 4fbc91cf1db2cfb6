#include <fmt/core.h>

#include <algorithm>

#include "app/config.h"
#include "app/config_keys.h"

namespace candor::app {
namespace {

std::string shown_value(const ConfigValue& value) {
  if (value.key == nullptr) return value.text;
  if (value.key->type == ConfigType::kUrl) return mask_password(value.text);
  if (value.key->name == "password_hash" || value.key->name == "webhook") return "***";
  return value.text;
}

bool applies_now(const ConfigValue* before, const ConfigValue* after) {
  if (before == nullptr || after == nullptr) {
    const ConfigKey* key = (before != nullptr ? before : after)->key;
    return key != nullptr && key->reloadable && key->section == "features.*.on_origin_failure";
  }
  return after->key != nullptr && after->key->reloadable;
}

// What is reported as one change; the keys below it are not reported one by one.
class WholeChanges {
 public:
  WholeChanges(const Config& before, const Config& after) {
    compare(before.features, after.features, "features.");
    compare(before.origins, after.origins, "origins.");
    for (const FeatureConfig& held : before.features) {
      const FeatureConfig* fresh = after.find_feature(held.name);
      if (fresh == nullptr || fresh->is_plain() == held.is_plain()) continue;
      const std::string path = "features." + held.name;
      changes.push_back({path + ".origin", held.origin, fresh->origin, false, ConfigChange::Kind::kRebound});
      covered_.push_back(path + ".");
    }
  }

  [[nodiscard]] bool cover(std::string_view key) const {
    return std::ranges::any_of(covered_, [key](const std::string& path) { return key.starts_with(path); });
  }

  std::vector<ConfigChange> changes;

 private:
  template <class Named>
  void compare(const std::vector<Named>& before, const std::vector<Named>& after, std::string_view section) {
    note_missing(before, after, section, ConfigChange::Kind::kRemoved);
    note_missing(after, before, section, ConfigChange::Kind::kAdded);
  }

  template <class Named>
  void note_missing(const std::vector<Named>& these, const std::vector<Named>& others,
                    std::string_view section, ConfigChange::Kind kind) {
    for (const Named& one : these) {
      if (std::ranges::find(others, one.name, &Named::name) != others.end()) continue;
      std::string path = std::string(section) + one.name;
      changes.push_back({path, "", "", false, kind});
      covered_.push_back(std::move(path) + ".");
    }
  }

  std::vector<std::string> covered_;  // "features.profile."
};

}  // namespace

std::string ConfigChange::to_string() const {
  switch (kind) {
    case Kind::kAdded:
      return fmt::format("{} is new and needs a restart", key);
    case Kind::kRemoved:
      return fmt::format("{} is no longer in the file, which needs a restart; until then it stays as it is",
                         key);
    case Kind::kRebound:
      return fmt::format(
          "{} = \"{}\" needs a restart; until then \"{}\" stays in force, and nothing of this feature "
          "changes",
          key, after, before);
    case Kind::kValue:
      break;
  }
  if (applies_now) return fmt::format("{} is now \"{}\" (was \"{}\")", key, after, before);
  return fmt::format("{} = \"{}\" needs a restart; \"{}\" stays in force", key, after, before);
}

void adopt_reloadable(FeatureConfig& held, const FeatureConfig& fresh) {
  held.consistency = fresh.consistency;
  held.priority = fresh.priority;
  held.ttl = fresh.ttl;
  held.negative_ttl = fresh.negative_ttl;
  held.ttl_jitter = fresh.ttl_jitter;
  held.refresh_beta = fresh.refresh_beta;
  held.soft_timeout = fresh.soft_timeout;
  held.hard_timeout = fresh.hard_timeout;
  held.lease_ttl = fresh.lease_ttl;
  held.write = fresh.write;
  // Leave to gather writes that go through is taken back at once; given anew, it waits for a restart, which
  // opens the log.
  if (fresh.write != "behind" && !fresh.write_behind) held.write_behind.reset();
  const bool has_log = held.write_behind.has_value() || fresh.write == "behind";
  if (has_log && held.batching().window != fresh.batching().window) {
    BatchingConfig batching = held.batching();  // the size of a batch stays
    batching.window = fresh.batching().window;
    held.write_behind = batching;
  }
  held.serve_stale = fresh.serve_stale;  // on_origin_failure
}

std::vector<ConfigChange> compare_configs(const Config& before, const Config& after) {
  WholeChanges whole(before, after);
  std::vector<ConfigChange> changes = std::move(whole.changes);
  for (const auto& [name, old_value] : before.values) {
    if (whole.cover(name)) continue;
    const auto it = after.values.find(name);
    if (it == after.values.end())
      changes.push_back({name, shown_value(old_value), "", applies_now(&old_value, nullptr)});
    else if (it->second.text != old_value.text)
      changes.push_back(
          {name, shown_value(old_value), shown_value(it->second), applies_now(&old_value, &it->second)});
  }
  for (const auto& [name, new_value] : after.values)
    if (!before.values.contains(name) && !whole.cover(name))
      changes.push_back({name, "", shown_value(new_value), applies_now(nullptr, &new_value)});
  return changes;
}

}  // namespace candor::app
