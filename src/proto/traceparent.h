// W3C Trace Context, level 1: the `traceparent` that a request carries. Pure.
//
//   00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//   version, trace id, id of the caller's span, flags (bit 0: the caller records)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candor {

struct TraceId {
  std::array<unsigned char, 16> bytes{};
  friend bool operator==(const TraceId&, const TraceId&) = default;
};

struct TraceParent {
  TraceId trace;
  std::uint64_t span = 0;  // never 0
  bool is_sampled = false;
  friend bool operator==(const TraceParent&, const TraceParent&) = default;
};

// Nothing: it is not one. Of versions above 00 what this one has is read, and what follows it is not.
[[nodiscard]] std::optional<TraceParent> parse_traceparent(std::string_view text);
[[nodiscard]] std::string trace_id_text(const TraceId& id);
[[nodiscard]] std::string span_id_text(std::uint64_t id);

// Is this trace among a share of all? By its id: every node that is asked says the same.
[[nodiscard]] bool is_in_share(const TraceId& id, double share);

}  // namespace candor
