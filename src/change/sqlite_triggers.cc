#include "change/sqlite_triggers.h"

#include <fmt/format.h>

#include "origin/sqlite_handle.h"

namespace candor {
namespace {

// Milliseconds since 1970, at the statement's time; the same for all rows of one statement.
constexpr const char* kNow = "cast((julianday('now') - 2440587.5) * 86400000.0 as integer)";

// "cast(new."a" as text) || ':' || cast(new."b" as text)"
std::string key_text(const char* row, const std::vector<std::string>& columns) {
  std::string out;
  for (const std::string& column : columns) {
    if (!out.empty()) out += " || ':' || ";
    out += fmt::format("cast({}.{} as text)", row, quoted_sql_name(column));
  }
  return out;
}

std::string log_key(std::int64_t watch, const std::string& key, const std::string& unless = {}) {
  return fmt::format(
      "  insert into candor_changes (watch, key, at) select {}, {}, {} where {} is not null{};\n", watch, key,
      kNow, key, unless.empty() ? "" : " and " + key + " is not " + unless);
}

SqliteTrigger trigger(std::int64_t watch, const std::string& table, const char* name, const char* when,
                      const std::string& body) {
  SqliteTrigger out;
  out.name = fmt::format("candor_{}_{}", watch, name);
  out.sql =
      fmt::format("create trigger {} {} on {} begin\n{}end", out.name, when, quoted_sql_name(table), body);
  return out;
}

// Rows that a unique index makes the new row collide with, under another key than the new row's own.
std::string log_collisions(std::int64_t watch, const SqliteTableShape& shape,
                           const std::vector<std::string>& key_columns, bool is_update) {
  const std::string key = key_text("t", key_columns);
  // The row that is updated collides with itself; the update's own trigger logs it.
  const std::string unless_old =
      is_update ? fmt::format(" and {} is not {}", key, key_text("old", key_columns)) : "";
  std::string out;
  for (const auto& unique : shape.uniques) {
    std::string same;
    for (const auto& column : unique) {
      const std::string name = quoted_sql_name(column.name);
      same += fmt::format("t.{} = new.{} collate {} and ", name, name, quoted_sql_name(column.collation));
    }
    out += fmt::format(
        "  insert into candor_changes (watch, key, at) select {}, {}, {} from {} as t where {}{} is not null "
        "and {} is not {}{};\n",
        watch, key, kNow, quoted_sql_name(shape.table), same, key, key, key_text("new", key_columns),
        unless_old);
  }
  return out;
}

}  // namespace

std::vector<SqliteTrigger> sqlite_triggers(std::int64_t watch, const SqliteTableShape& shape,
                                           const std::vector<std::string>& key_columns) {
  const std::string before = key_text("old", key_columns), after = key_text("new", key_columns);
  std::vector<SqliteTrigger> out;
  out.push_back(trigger(watch, shape.table, "insert", "after insert", log_key(watch, after)));
  out.push_back(trigger(watch, shape.table, "update", "after update",
                        log_key(watch, before) + log_key(watch, after, before)));
  out.push_back(trigger(watch, shape.table, "delete", "after delete", log_key(watch, before)));
  if (shape.uniques.empty()) return out;
  out.push_back(trigger(watch, shape.table, "replace_insert", "before insert",
                        log_collisions(watch, shape, key_columns, false)));
  out.push_back(trigger(watch, shape.table, "replace_update", "before update",
                        log_collisions(watch, shape, key_columns, true)));
  return out;
}

const char* sqlite_log_tables() {
  return "create table if not exists candor_feed (one integer primary key check (one = 1), format integer "
         "not null, incarnation integer not null);\n"
         "insert or ignore into candor_feed values (1, 1, (random() & 9223372036854775806) | 1);\n"
         "create table if not exists candor_watches (id integer primary key autoincrement, tbl text not "
         "null, "
         "columns text not null, triggers integer not null, unique (tbl, columns));\n"
         "create table if not exists candor_changes (seq integer primary key autoincrement, watch integer "
         "not "
         "null, key text, at integer not null);\n";
}

}  // namespace candor
