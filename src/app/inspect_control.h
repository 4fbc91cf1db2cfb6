// What the control plane may ask about keys. Every call and every `done` runs on the control plane's loop,
// once.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/hot_keys.h"
#include "monitor/live_trace.h"

namespace candor::app {

class InspectControl {
 public:
  using Done = std::function<void(Result<nlohmann::json>)>;
  virtual ~InspectControl() = default;
  virtual void explain_key(std::string feature, std::string key, Done done) = 0;
  // `feature` empty: of all.
  virtual void list_hot_keys(std::string feature, std::size_t count, HotBy by, Done done) = 0;
  virtual void picture_ttls(std::string feature, Done done) = 0;

  // ---- traces ----
  // `feature` goes into the filter by its name; empty: every one.
  [[nodiscard]] virtual Result<std::uint64_t> open_trace(const std::string& feature, TraceFilter filter) = 0;
  struct TraceNews {
    std::vector<nlohmann::json> events;
    std::uint64_t left_out = 0;  // since the last call
    double sample = 0.0;
  };
  [[nodiscard]] virtual TraceNews trace_news(std::uint64_t trace) = 0;
  virtual void close_trace(std::uint64_t trace) = 0;
};

}  // namespace candor::app
