// Which files are traces, and of which format, by the names that the public ones go by.
#pragma once

#include <string_view>

#include "app/trace_reader.h"

namespace candor::bench {

// Formats by the names that the public files go by.
inline app::TraceFormat format_of(std::string_view name) {
  using Kind = app::TraceFormat::Kind;
  if (name.find(".lis") != std::string_view::npos) return {Kind::kArc};
  if (name.find(".oracleGeneral") != std::string_view::npos) return {Kind::kOracle};
  if (name.find(".be64") != std::string_view::npos || name.starts_with("scarab")) return {Kind::kBe64};
  if (name.starts_with("lirs-")) return {Kind::kLirs};
  if (name.starts_with("address-")) return {.kind = Kind::kCsvKey, .field = 1};
  return {Kind::kBe32};
}

inline bool is_trace(std::string_view name) {
  return name.find(".trace") != std::string_view::npos || name.find(".lis") != std::string_view::npos ||
         name.find(".oracleGeneral") != std::string_view::npos ||
         name.find(".be64") != std::string_view::npos;
}

}  // namespace candor::bench
