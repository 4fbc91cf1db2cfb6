#include "server/reply_error.h"

namespace candor::server {

std::string_view reply_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNoFeature:
      return "NOFEATURE";
    case ErrorCode::kReadOnly:
      return "READONLY";
    case ErrorCode::kOriginDown:
    case ErrorCode::kTimeout:
    case ErrorCode::kUnknownOutcome:
      return "ORIGINDOWN";
    case ErrorCode::kOverloaded:
      return "OVERLOADED";
    case ErrorCode::kTooStale:
      return "TOOSTALE";
    case ErrorCode::kLimit:
      return "LIMIT";
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnavailable:
    case ErrorCode::kCorrupt:
    case ErrorCode::kConfiguration:
    case ErrorCode::kRejected:
    case ErrorCode::kInternal:
      return "ERR";
  }
  return "ERR";
}

std::string reply_text(const Error& error) {
  std::string text(reply_code(error.code));
  text.append(1, ' ');
  // A timeout shares its first word with a failure; the text tells them apart, whoever wrote it.
  const bool is_said = error.message.find("deadline") != std::string::npos;
  if (error.code == ErrorCode::kTimeout && !is_said) text.append("the deadline passed: ");
  if (error.code == ErrorCode::kUnknownOutcome) text.append(kUnknownOutcome).append(": ");
  text.append(error.message);
  return text;
}

}  // namespace candor::server
