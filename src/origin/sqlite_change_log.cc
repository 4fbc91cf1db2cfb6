#include "origin/sqlite_change_log.h"

#include <fmt/format.h>

namespace candor {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

Result<std::string> sqlite_watch_table(std::string_view table) {
  std::string name = lower(table);
  if (name.starts_with("main.")) name.erase(0, 5);
  if (name.empty()) return fail(ErrorCode::kConfiguration, "watch.table is empty");
  return name;
}

std::string sqlite_watch_columns(const std::vector<std::string>& columns) {
  std::string out;
  for (const std::string& column : columns) {
    if (!out.empty()) out += ',';
    out += quoted_sql_name(lower(column));
  }
  return out;
}

Result<std::int64_t> find_sqlite_watch(SqliteHandle& db, const std::string& table,
                                       const std::string& columns) {
  auto rows = db.query(
      "select id from candor_watches where tbl = ?1 and columns = ?2 and triggers = (select count(*) from "
      "sqlite_master where type = 'trigger' and tbl_name = ?1 collate nocase and name glob 'candor_' || id "
      "|| '_*')");
  if (!rows) return std::unexpected(rows.error());
  rows->bind(1, table).bind(2, columns);
  const auto found = rows->step();
  if (!found) return std::unexpected(found.error());
  return *found ? rows->integer(0) : 0;
}

}  // namespace candor
