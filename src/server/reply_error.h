// How our errors read on the wire: the first word is a code for programs, the rest is for people.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace candor::server {

// "NOFEATURE", "ORIGINDOWN", … or "ERR" where Redis clients expect nothing more precise.
[[nodiscard]] std::string_view reply_code(ErrorCode code);
[[nodiscard]] std::string reply_text(const Error& error);

}  // namespace candor::server
