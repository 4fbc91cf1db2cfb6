#include "base/result.h"

namespace candor {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kNoFeature:
      return "no such feature";
    case ErrorCode::kReadOnly:
      return "read only";
    case ErrorCode::kOriginDown:
      return "origin down";
    case ErrorCode::kOverloaded:
      return "overloaded";
    case ErrorCode::kTooStale:
      return "too stale";
    case ErrorCode::kLimit:
      return "limit";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kUnknownOutcome:
      return "unknown outcome";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kConfiguration:
      return "configuration";
    case ErrorCode::kRejected:
      return "rejected";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

}  // namespace candor
