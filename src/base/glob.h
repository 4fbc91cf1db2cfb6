// Redis' globs: * ? [abc] [a-z] [^a] and backslash, on bytes. Used on patterns that clients send, so the cost
// must be bounded: at most pattern × text steps, by returning only to the latest star. (Redis' own matcher
// recursed until 7.0; a pattern of many stars took exponential time, CVE-2022-36021.)
#pragma once

#include <string_view>

namespace candor {

[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace candor
