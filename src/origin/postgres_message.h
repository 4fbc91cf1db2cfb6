// What libpq and the server say, as our messages carry it: one line, and nothing that can hold a value.
#pragma once

#include <libpq-fe.h>

#include <string>

namespace candor {

[[nodiscard]] std::string without_newline(const char* text);

// Empty when libpq itself failed.
[[nodiscard]] std::string sqlstate_of(const PGresult* result);

// The server's primary message and hint. Not its detail, context or statement: those can hold values.
[[nodiscard]] std::string message_of(const PGresult* result);

}  // namespace candor
