// Writes replies, RESP2 or RESP3, at the end of a string. What RESP2 does not know is written in the form
// that Redis uses for it: maps as flat arrays, sets as arrays, doubles and verbatim text as bulk strings,
// booleans as 1 and 0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace candor::resp {

enum class Protocol : std::uint8_t { kResp2 = 2, kResp3 = 3 };

// Text that must be one line: CR and LF inside it become spaces.
void write_simple(std::string& out, std::string_view text);
// `text` begins with its code word: "ERR unknown command".
void write_error(std::string& out, std::string_view text);
void write_integer(std::string& out, std::int64_t value);
void write_bulk(std::string& out, std::string_view bytes);
// The absent value: "$-1" or "_".
void write_null(std::string& out, Protocol protocol);
// The absent array: "*-1" or "_".
void write_null_array(std::string& out, Protocol protocol);
void write_array(std::string& out, std::size_t elements);
// Followed by 2 × `pairs` values.
void write_map(std::string& out, std::size_t pairs, Protocol protocol);
void write_set(std::string& out, std::size_t elements, Protocol protocol);
// Out of band in RESP3; an ordinary array in RESP2, where only subscribers get one.
void write_push(std::string& out, std::size_t elements, Protocol protocol);
void write_double(std::string& out, double value, Protocol protocol);
void write_boolean(std::string& out, bool value, Protocol protocol);
// `format` has three letters: "txt" or "mkd".
void write_verbatim(std::string& out, std::string_view format, std::string_view text, Protocol protocol);

// The shortest decimal form that reads back as the same double; "inf", "-inf", "nan" as Redis writes them.
[[nodiscard]] std::string format_double(double value);

}  // namespace candor::resp
