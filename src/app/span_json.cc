#include "app/span_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/random.h"

namespace candor::app {
namespace {

using nlohmann::json;
using server::RequestSpan;

// opentelemetry.proto.trace.v1: Span.SpanKind, Status.StatusCode.
constexpr int kInternal = 1, kServer = 2, kClient = 3;
constexpr int kError = 2;

json attribute(const char* key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

std::uint64_t next_id(std::uint64_t* seed) {
  *seed = mix64(*seed);
  return *seed == 0 ? 1 : *seed;
}

// 64-bit integers are strings in proto3's JSON.
json span(const RequestSpan& request, std::uint64_t id, std::uint64_t parent, const std::string& name,
          int kind, WallTime from, Duration took) {
  return {{"traceId", trace_id_text(request.parent.trace)},
          {"spanId", span_id_text(id)},
          {"parentSpanId", span_id_text(parent)},
          {"name", name},
          {"kind", kind},
          {"startTimeUnixNano", std::to_string(from.ns)},
          {"endTimeUnixNano", std::to_string(from.ns + took.count())},
          {"attributes", json::array()}};
}

// What a request waited for comes at its end: first the line, then L2, then the origin.
void add(const RequestSpan& request, std::uint64_t* seed, json& out) {
  const std::uint64_t id = next_id(seed);
  json server = span(request, id, request.parent.span, request.name, kServer, request.began, request.took);
  server["attributes"].push_back(attribute("network.protocol.name", request.system));
  if (!request.feature.empty()) server["attributes"].push_back(attribute("candor.feature", request.feature));
  if (!request.error.empty()) server["status"] = {{"code", kError}, {"message", request.error}};
  out.push_back(std::move(server));
  const Duration line = std::max<Duration>(request.took - request.in_l2 - request.in_origin, Duration{0});
  WallTime at{request.began.ns + line.count()};
  if (request.is_hit)
    out.push_back(span(request, next_id(seed), id, "l1", kInternal, request.began, request.took));
  if (request.in_l2 > Duration::zero())
    out.push_back(span(request, next_id(seed), id, "l2", kClient, at, request.in_l2));
  at.ns += request.in_l2.count();
  if (request.in_origin > Duration::zero())
    out.push_back(span(request, next_id(seed), id, "origin", kClient, at, request.in_origin));
}

}  // namespace

std::string spans_json(const std::vector<RequestSpan>& requests, const SpanSource& source,
                       std::uint64_t seed) {
  json spans = json::array();
  for (const RequestSpan& request : requests) add(request, &seed, spans);
  const json resource = {
      {"attributes",
       {attribute("service.name", "candor"), attribute("service.version", source.version),
        attribute("service.instance.id", source.node), attribute("candor.region", source.region)}}};
  const json out = {{"resourceSpans",
                     {{{"resource", resource},
                       {"scopeSpans", {{{"scope", {{"name", "candor"}}}, {"spans", std::move(spans)}}}}}}}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace candor::app
