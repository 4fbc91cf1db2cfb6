// The demo's traffic as a table: which features, how popular their keys are, how often they are read and
// written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "app/load_keys.h"

namespace candor::load {

// How a key number becomes a key, and a write becomes a value.
enum class KeyForm : std::uint8_t { kNumber, kSession, kWord };

struct FeatureTraffic {
  std::string_view name;
  KeyForm form;
  double read_share;         // of all reads
  double writes_per_second;  // through Candor
  KeyShape shape;            // when no recording is played
  std::string_view character;
};

[[nodiscard]] std::span<const FeatureTraffic> demo_mix();

[[nodiscard]] std::string key_text(KeyForm form, std::uint32_t number, std::span<const std::string> words);
// What the writers store; `count` makes each write differ from the last.
[[nodiscard]] std::string value_text(std::string_view feature, std::uint32_t number, std::uint64_t count);

}  // namespace candor::load
