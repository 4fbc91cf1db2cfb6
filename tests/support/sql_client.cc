#include "tests/support/sql_client.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace candor::testing {

SqlClient::SqlClient(const std::string& url) : url_(url), connection_(PQconnectdb(url.c_str())) {
  PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
}

SqlClient::~SqlClient() { PQfinish(connection_); }

void SqlClient::mend() {
  if (is_open()) return;
  PQfinish(connection_);
  connection_ = PQconnectdb(url_.c_str());
  PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
}

SqlClient::Outcome SqlClient::run(const std::string& text) {
  rows_.clear();
  error_.clear();
  if (!is_open()) {
    error_ = "not connected";
    return Outcome::kRefused;
  }
  PGresult* const result = PQexec(connection_, text.c_str());
  const auto status = PQresultStatus(result);
  const bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
  for (int row = 0; ok && row < PQntuples(result); ++row) {
    auto& fields = rows_.emplace_back();
    for (int field = 0; field < PQnfields(result); ++field)
      fields.emplace_back(PQgetvalue(result, row, field));
  }
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  // Classes 08 and 57: the connection, or an operator. A commit may have happened before either.
  const std::string_view code = state == nullptr ? "08" : state;
  const bool unknown = code.starts_with("08") || code.starts_with("57") || !is_open();
  if (!ok) error_ = PQerrorMessage(connection_);
  PQclear(result);
  if (ok) return Outcome::kOk;
  return unknown ? Outcome::kUnknown : Outcome::kRefused;
}

std::string SqlClient::value(const std::string& text) {
  auto outcome = run(text);
  if (outcome != Outcome::kOk && !is_open()) {  // an old connection, found dead: the server was restarted
    mend();
    outcome = run(text);
  }
  if (outcome != Outcome::kOk) {
    std::fprintf(stderr, "%s\n%s\n", text.c_str(), error_.c_str());
    std::abort();
  }
  return rows_.empty() || rows_[0].empty() ? "" : rows_[0][0];
}

}  // namespace candor::testing
