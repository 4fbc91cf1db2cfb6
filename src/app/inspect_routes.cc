#include "app/inspect_routes.h"

#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/http_answers.h"
#include "app/percent_encoding.h"
#include "server/inspect_desk.h"

namespace candor::app {
namespace {

using nlohmann::json;

constexpr std::string_view kKeysPrefix = "/api/v1/keys/";
constexpr std::size_t kHotKeysShown = 20;
constexpr double kMillisMost = 1e9;  // twelve days: more is a wrong unit
constexpr unsigned kRateMost = 10'000;

// An answer that has to be made on another loop and comes back.
InspectControl::Done answer(const HttpReply& reply) {
  return [reply](Result<json> made) {
    reply.send(made ? json_response(200, *made) : error_response(made.error()));
  };
}

std::optional<double> decimal(std::string_view text) {
  double out = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return out;
}

std::unexpected<Error> wrong(std::string_view name, std::string_view wanted) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} must be {}", name, wanted));
}

// Absent: `fallback`.
Result<double> number_of(std::string_view query, std::string_view name, double least, double most,
                         double fallback) {
  const auto text = query_value(query, name);
  if (!text) return fallback;
  const auto value = decimal(*text);
  if (!value || !(*value >= least) || !(*value <= most))
    return wrong(name, fmt::format("a number from {} to {}", least, most));
  return *value;
}

Duration millis(double ms) { return Duration{static_cast<std::int64_t>(ms * 1e6)}; }

Result<void> parse_times(std::string_view query, TraceFilter* filter) {
  const auto slower = number_of(query, "slower_ms", 0, kMillisMost, 0);
  if (!slower) return std::unexpected(slower.error());
  filter->slower = millis(*slower);
  const auto staler = number_of(query, "staler_ms", 0, kMillisMost, -1);
  if (!staler) return std::unexpected(staler.error());
  filter->staler = *staler < 0 ? Duration{-1} : millis(*staler);
  const auto sample = number_of(query, "sample", 0, 1, -1);
  if (!sample) return std::unexpected(sample.error());
  if (*sample >= 0) filter->sample = *sample;
  const auto rate = number_of(query, "rate", 1, kRateMost, filter->rate);
  if (!rate) return std::unexpected(rate.error());
  filter->rate = static_cast<unsigned>(*rate);
  return {};
}

Result<void> parse_kind(std::string_view text, TraceFilter* filter) {
  using Kind = TraceEvent::Kind;
  if (text == "read") {
    filter->kinds = {Kind::kHit, Kind::kMiss};
    return {};
  }
  for (const Kind kind : {Kind::kHit, Kind::kMiss, Kind::kFill, Kind::kInvalidation, Kind::kChange}) {
    if (trace_kind_name(kind) != text) continue;
    filter->kinds = {kind};
    return {};
  }
  return wrong("kind", "read, hit, miss, fill, invalidation or change");
}

Result<void> parse_tier(std::string_view text, TraceFilter* filter) {
  for (const Tier tier : {Tier::kL1, Tier::kDisk, Tier::kL2, Tier::kOrigin})
    if (tier_name(tier) == text) filter->tier = tier;
  if (!filter->tier) return wrong("tier", "l1, disk, l2 or origin");
  return {};
}

}  // namespace

Result<TraceFilter> parse_trace_filter(std::string_view query) {
  TraceFilter filter;
  filter.key_glob = query_value(query, "key").value_or("");
  filter.outcome = query_value(query, "outcome").value_or("");
  if (const auto kind = query_value(query, "kind"))
    if (auto parsed = parse_kind(*kind, &filter); !parsed) return std::unexpected(parsed.error());
  if (const auto tier = query_value(query, "tier"))
    if (auto parsed = parse_tier(*tier, &filter); !parsed) return std::unexpected(parsed.error());
  if (auto parsed = parse_times(query, &filter); !parsed) return std::unexpected(parsed.error());
  return filter;
}

InspectRoutes::~InspectRoutes() {
  for (const Stream& stream : streams_) node_->close_trace(stream.trace);
}

bool InspectRoutes::is_there(const HttpReply& reply) const {
  if (node_ == nullptr) reply.send(error_response(503, "this node cannot be looked into"));
  return node_ != nullptr;
}

// A key may hold anything, a slash as it stands as well.
void InspectRoutes::get_key(const HttpReply& reply, const HttpRequest& request) {
  if (!is_there(reply)) return;
  const std::string_view rest = std::string_view(request.path).substr(kKeysPrefix.size());
  const auto slash = rest.find('/');
  auto feature = percent_decode(rest.substr(0, slash));
  auto key = percent_decode(rest.substr(slash + 1));
  if (!feature || !key) return reply.send(error_response(400, "an escape of the path is not %XX"));
  node_->explain_key(std::move(*feature), std::move(*key), answer(reply));
}

void InspectRoutes::get_hot_keys(const HttpReply& reply, const HttpRequest& request) {
  if (!is_there(reply)) return;
  const auto count =
      number_of(request.query, "n", 1, static_cast<double>(server::InspectDesk::kHotKeysMost), kHotKeysShown);
  if (!count) return reply.send(error_response(count.error()));
  const auto by = hot_by_of(query_value(request.query, "by").value_or("reads"));
  if (!by) return reply.send(error_response(400, "by must be reads, bytes, misses or changes"));
  node_->list_hot_keys(query_value(request.query, "feature").value_or(""), static_cast<std::size_t>(*count),
                       *by, answer(reply));
}

void InspectRoutes::get_ttl(const HttpReply& reply, const HttpRequest& request) {
  if (!is_there(reply)) return;
  node_->picture_ttls(query_value(request.query, "feature").value_or(""), answer(reply));
}

void InspectRoutes::get_trace(const HttpReply& reply, const HttpRequest& request) {
  if (!is_there(reply)) return;
  auto filter = parse_trace_filter(request.query);
  if (!filter) return reply.send(error_response(filter.error()));
  const auto trace =
      node_->open_trace(query_value(request.query, "feature").value_or(""), std::move(*filter));
  if (!trace) return reply.send(error_response(trace.error()));
  if (reply.open_stream(": a trace\n\n"))
    streams_.push_back({reply, *trace});
  else
    node_->close_trace(*trace);
}

// False: the client is gone.
bool InspectRoutes::feed(Stream& stream) {
  const auto unsent = stream.reply.unsent();
  if (!unsent) return false;
  if (*unsent > kUnsentBytesMax) return true;
  const InspectControl::TraceNews news = node_->trace_news(stream.trace);
  stream.left_out += news.left_out;
  std::string text;
  for (const json& one : news.events) text += event_text("event", one);
  if (++stream.ticks >= kTicksPerState) {
    text += event_text("state", {{"sample", news.sample}, {"left_out", std::exchange(stream.left_out, 0)}});
    stream.ticks = 0;
  }
  return text.empty() || stream.reply.send_event(text);
}

void InspectRoutes::tick() {
  std::erase_if(streams_, [this](Stream& stream) {
    if (feed(stream)) return false;
    node_->close_trace(stream.trace);
    return true;
  });
}

}  // namespace candor::app
