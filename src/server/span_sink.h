// Where spans of requests that carry a trace id go. The app implements it over OTLP. Thread safety: any
// thread; add() never blocks.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "proto/traceparent.h"

namespace candor::server {

// One request: its span, and what its time went into, which become spans of their own.
struct RequestSpan {
  TraceParent parent;
  std::string name;     // "GET", "GET /api/v1/status"
  std::string feature;  // empty: none
  const char* system = "resp";
  std::string error;  // empty: none
  WallTime began;
  Duration took{0};
  bool is_hit = false;              // L1 answered
  Duration in_l2{0}, in_origin{0};  // 0: was not asked
};

class SpanSink {
 public:
  virtual ~SpanSink() = default;
  // Is this trace to be recorded?
  [[nodiscard]] virtual bool wants(const TraceParent& parent) const = 0;
  virtual void add(RequestSpan span) = 0;
};

}  // namespace candor::server
