// How our errors read on the wire: the first word is a code for programs, the rest is for people.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace candor::server {

// What a program reads after ORIGINDOWN when a write failed. "unknown outcome": it was sent, and may or may
// not have happened: read before you repeat it. "not written": nothing happened. "partly written": of a
// command with several keys, some were written and the others certainly not.
inline constexpr std::string_view kUnknownOutcome = "unknown outcome";
inline constexpr std::string_view kNotWritten = "not written";
inline constexpr std::string_view kPartlyWritten = "partly written";

// "NOFEATURE", "ORIGINDOWN", … or "ERR" where Redis clients expect nothing more precise.
[[nodiscard]] std::string_view reply_code(ErrorCode code);
[[nodiscard]] std::string reply_text(const Error& error);

}  // namespace candor::server
