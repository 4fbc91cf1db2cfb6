// Text for a terminal: what comes from outside must not drive it, and long things have to fit.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace candor::app {

// Letters of any script as they are; control characters, bytes that are no UTF-8, and characters that turn
// the direction of the text or hide (bidi, zero width, separators) as \xNN or \u{NNNN}, and a backslash
// doubled: what is printed says exactly which bytes there were.
[[nodiscard]] std::string printable(std::string_view text);

// At most `width` characters of what printable() gives; a longer text ends with '~'. Never a part of an
// escape.
[[nodiscard]] std::string printable_within(std::string_view text, std::size_t width);

// "850", "12.3k", "4.56M"
[[nodiscard]] std::string short_number(double value);
// "12.5 MiB"; "-": nobody said.
[[nodiscard]] std::string mebibytes(const nlohmann::json& bytes);
// "0.42 ms", "12.3 ms", "4.5 s", "3 min", "2.1 h"
[[nodiscard]] std::string short_millis(double ms);

}  // namespace candor::app
