// Durations and sizes as people write them in configuration, flags and answers: "250ms", "10m", "256MiB".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace candor {

// A whole number and one unit of ns us ms s m h d, or plain "0". No sign, no fraction, no blanks: one way to
// write a thing. Errors say what was expected. The largest is about 292 years (what a Duration holds).
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);
// The shortest exact form: 90s stays "90s", 60s becomes "1m", zero is "0s".
[[nodiscard]] std::string format_duration(Duration duration);

// A whole number and one unit of B KiB MiB GiB TiB, or plain digits for bytes. KB and MB are refused: they
// mean two things.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
// The shortest exact form: 268435456 becomes "256MiB", 1000 stays "1000B".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

// Digits and nothing else, such as another program's counter; nullopt: anything else, or too large.
[[nodiscard]] std::optional<std::uint64_t> parse_digits(std::string_view text);

}  // namespace candor
