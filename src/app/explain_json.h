// What is known of one key, as JSON: one form for CANDOR.EXPLAIN, the API and `candor explain`. Pure.
//
// Strings may hold any bytes where they are keys: RESP carries them, HTTP marks them (mark_binary_keys).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/river.h"
#include "cache/explain.h"
#include "monitor/hot_keys.h"
#include "monitor/key_history.h"
#include "monitor/live_trace.h"

namespace candor::app {

struct KeyReport {
  std::string node, region, feature, key;
  MonoTime now{0};
  WallTime wall{};
  bool is_plain = false;
  KeyExplanation tiers;
  std::vector<KeyEvent> events;       // the latest first
  std::vector<River::Stages> stages;  // of each event; of all but changes empty
  std::array<std::optional<Duration>, KeyHistory::kRings> reach;
  bool keeps_history = false;
  std::array<std::optional<HotList::Figure>, kHotBys.size()> hot;
};
[[nodiscard]] nlohmann::json explain_json(const KeyReport& report);

// null: it is not in the list.
[[nodiscard]] nlohmann::json hot_figure_json(const std::optional<HotList::Figure>& figure);

// `feature`: its name, for an event of one.
[[nodiscard]] nlohmann::json trace_event_json(const TraceEvent& event, std::string_view feature, MonoTime now,
                                              WallTime wall);

// Where a "key" is no UTF-8, which JSON text cannot carry, its bytes are added as "key_hex".
void mark_binary_keys(nlohmann::json& json);

[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace candor::app
