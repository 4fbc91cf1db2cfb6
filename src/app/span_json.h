// Spans of requests as OTLP/HTTP JSON (opentelemetry-proto 1.x, ExportTraceServiceRequest): what an
// OpenTelemetry collector takes at /v1/traces. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/span_sink.h"

namespace candor::app {

struct SpanSource {
  std::string node, region, version;
};

// `seed`: of the spans' ids; each call another. A request becomes one span, and one for each tier that it
// asked.
[[nodiscard]] std::string spans_json(const std::vector<server::RequestSpan>& requests,
                                     const SpanSource& source, std::uint64_t seed);

}  // namespace candor::app
