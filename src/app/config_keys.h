// The table of every configuration key: name, type, default, meaning, and where its value goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"

namespace candor::app {

enum class ConfigType : std::uint8_t {
  kText,
  kChoice,
  kDuration,
  kSize,
  kCount,
  kFraction,
  kNumber,
  kFlag,
  kTexts,
  kAddress,
  kUrl
};

// A value of the right type, ready to be stored.
struct TypedValue {
  std::string text;          // kText, kChoice, kUrl
  std::int64_t integer = 0;  // kCount, kSize, the position of a kChoice
  double number = 0;         // kFraction, kNumber
  bool flag = false;
  Duration duration{0};
  std::vector<std::string> texts;
  ListenAddress address;
};

// Where a value goes: the parts of the configuration that are being filled.
struct ConfigTarget {
  Config* config = nullptr;
  OriginConfig* origin = nullptr;
  FeatureConfig* feature = nullptr;
  UserConfig* user = nullptr;
};

struct ConfigKey {
  std::string_view section;  // "node", "origins.*", "resp.users[]"
  std::string_view name;
  ConfigType type = ConfigType::kText;
  std::string_view fallback;  // as it would stand in the file; empty: none
  std::string_view meaning;
  void (*store)(ConfigTarget&, const TypedValue&) = nullptr;
  bool reloadable = false;
  bool required = false;
  bool active = true;        // false: read and checked, but nothing uses it yet
  std::string_view choices;  // "a|b|c"
  std::int64_t least = 0;    // of kCount and kSize
  std::int64_t most = INT64_MAX;
};

struct ConfigSection {
  std::string_view path;  // "origins.*": a table of named tables; "resp.users[]": a list of tables
  std::string_view meaning;
  void (*enter)(ConfigTarget&, std::string_view name, int line) = nullptr;
  bool always = true;  // its defaults hold even when the file does not name it
  bool active = true;
};

[[nodiscard]] std::span<const ConfigSection> config_sections();
[[nodiscard]] std::span<const ConfigKey> config_keys();
[[nodiscard]] std::string_view config_type_name(ConfigType type);

}  // namespace candor::app
