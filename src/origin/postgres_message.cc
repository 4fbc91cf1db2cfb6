#include "origin/postgres_message.h"

#include <fmt/format.h>

#include <algorithm>

namespace candor {

std::string without_newline(const char* text) {
  std::string line = text != nullptr ? text : "";
  while (!line.empty() && line.back() == '\n') line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::erase(line, '\t');
  return line;
}

std::string sqlstate_of(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return state != nullptr ? state : "";
}

std::string message_of(const PGresult* result) {
  const auto state = sqlstate_of(result);
  auto text = without_newline(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  if (text.empty()) text = without_newline(PQresultErrorMessage(result));
  const auto hint = without_newline(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
  if (!state.empty()) text += fmt::format(" (SQLSTATE {})", state);
  if (!hint.empty()) text += "; " + hint;
  return text;
}

}  // namespace candor
