// Somebody else's connection to PostgreSQL: statements sent straight at the database.
// Thread safety: none.
#pragma once

#include <libpq-fe.h>

#include <string>
#include <vector>

namespace candor::testing {

class SqlClient {
 public:
  enum class Outcome { kOk, kRefused, kUnknown };

  explicit SqlClient(const std::string& url);
  ~SqlClient();
  SqlClient(const SqlClient&) = delete;
  SqlClient& operator=(const SqlClient&) = delete;

  [[nodiscard]] bool is_open() const { return PQstatus(connection_) == CONNECTION_OK; }
  // kUnknown: the connection was lost meanwhile; the statement may have been carried out.
  Outcome run(const std::string& text);
  // Of the last run(): rows as text.
  [[nodiscard]] const std::vector<std::vector<std::string>>& rows() const { return rows_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  // The first field of the first row; empty if there is none. Asserts that the statement succeeds.
  std::string value(const std::string& text);
  // Connects anew if the connection was lost.
  void mend();

 private:
  std::string url_;
  PGconn* connection_;
  std::vector<std::vector<std::string>> rows_;
  std::string error_;
};

}  // namespace candor::testing
