// Letters of SQL, as PostgreSQL and SQLite read it: ASCII, whatever the locale.
#pragma once

namespace candor {

[[nodiscard]] constexpr bool is_sql_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_sql_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace candor
