// Result<T>: what a call that can fail in operation returns. Things that cannot happen assert instead
// (assert.h).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace candor {

// What kind of failure, for code that must act on it. The text of an Error is for people:
// it says what failed, where, and what to do about it, and never holds a secret or a whole value.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  // the caller's input is wrong; retrying cannot help
  kNotFound,         // no such thing (never used for a row that does not exist: that is a negative result)
  kNoFeature,        // NOFEATURE: the key names no configured feature
  kReadOnly,         // READONLY: the feature has no `store` or `erase`
  kOriginDown,       // ORIGINDOWN: the origin cannot be reached or fails
  kOverloaded,       // OVERLOADED: a limit of ours was reached; retry later, with backoff
  kTooStale,         // TOOSTALE: freshness asked for cannot be proven
  kLimit,            // LIMIT: a key, value or request is larger than allowed
  kTimeout,          // a deadline passed; the work may or may not have happened (writes: kUnknownOutcome)
  kUnknownOutcome,   // ORIGINDOWN unknown outcome: a write went out, and whether it was carried out nobody
                     // knows
  kUnavailable,      // a peer (L2, stream) is not reachable now
  kCorrupt,          // bytes read back are not what was written
  kConfiguration,    // a configuration that cannot work
  kRejected,         // the origin refused the statement (constraint, type, syntax)
  kInternal,         // a defect of ours; the text says where
};

[[nodiscard]] std::string_view error_code_name(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace candor
