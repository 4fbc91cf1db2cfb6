#include "origin/sqlite_spelling.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "origin/sql_letters.h"
#include "origin/sqlite_change_log.h"

namespace candor {
namespace {

bool contains_no_case(std::string_view text, std::string_view upper_word) {
  return !std::ranges::search(text, upper_word, [](char a, char b) {
            return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b;
          }).empty();
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// What SQLite may take for a number: more than what it does, which is the safe side.
bool may_be_number(std::string_view text) {
  while (!text.empty() && is_sql_space(text.front())) text.remove_prefix(1);
  return !text.empty() &&
         (is_sql_digit(text.front()) || text.front() == '+' || text.front() == '-' || text.front() == '.');
}

bool is_plain_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc{} && end == text.data() + text.size() && std::to_string(value) == text;
}

// As SQLite prints it, which is how the log spells it.
bool is_plain_real(std::string_view text, bool may_be_whole) {
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size() || !std::isfinite(value)) return false;
  if (!may_be_whole && value == std::floor(value)) return false;  // an integer column makes 7 of 7.0
  char printed[64];
  sqlite3_snprintf(sizeof printed, printed, "%!.15g", value);
  return copy == printed;
}

SqliteSpelling by_collation(std::string_view collation, std::string_view text) {
  if (collation == "BINARY") return SqliteSpelling::kOwn;
  const bool has_letters = std::ranges::any_of(text, is_letter);
  return collation == "NOCASE" && !has_letters ? SqliteSpelling::kOwn : SqliteSpelling::kAskTheRow;
}

struct Column {
  std::string name;  // quoted
  SqliteAffinity affinity;
  std::string collation;
};

// Nothing: there is no such column.
std::vector<Column> columns_of(sqlite3* db, const std::string& table, const std::vector<std::string>& names) {
  std::vector<Column> out;
  for (const std::string& name : names) {
    const char* type = nullptr;
    const char* collation = nullptr;
    const int code = sqlite3_table_column_metadata(db, "main", table.c_str(), name.c_str(), &type, &collation,
                                                   nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return {};
    std::string upper(collation != nullptr ? collation : "BINARY");
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    out.push_back({quoted_sql_name(name), sqlite_affinity(type != nullptr ? type : ""), std::move(upper)});
  }
  return out;
}

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += c;
    out += c;
  }
  return out + "'";
}

// 1: a unique index within these columns, with their collations, lets one row equal the key, and it is there
// and spelled so. ?1 …: the parts; the next: the key.
std::string row_question(const std::string& table, const std::vector<Column>& columns) {
  std::string spelled, equal, indexed;
  std::size_t number = 0;
  for (const Column& column : columns) {
    spelled += fmt::format("{}cast(t.{} as text)", number == 0 ? "" : " || ':' || ", column.name);
    equal += fmt::format("{}t.{} = ?{}", number == 0 ? "" : " and ", column.name, number + 1);
    // The catalog's names are as they were written: compared without case, as SQLite compares names.
    std::string bare = column.name.substr(1, column.name.size() - 2);
    indexed += fmt::format("{}(x.name = {} collate nocase and upper(x.coll) = {})", number == 0 ? "" : " or ",
                           sql_text(bare), sql_text(column.collation));
    ++number;
  }
  return fmt::format(
      "select case when exists (select 1 from pragma_index_list({0}) l where l.\"unique\" and not l.partial "
      "and not exists (select 1 from pragma_index_xinfo(l.name) x where x.key and (x.name is null or not "
      "({1})))) then (select coalesce(min((({2}) collate binary) = ?{3}), 0) from main.{4} t where {5}) else "
      "0 end",
      sql_text(table), indexed, spelled, number + 1, quoted_sql_name(table), equal);
}

bool ask_the_row(sqlite3* db, const std::string& table, const std::vector<Column>& columns,
                 const std::vector<std::string_view>& parts) {
  sqlite3_stmt* raw = nullptr;
  const std::string sql = row_question(table, columns);
  (void)sqlite3_prepare_v2(db, sql.c_str(), static_cast<int>(sql.size()), &raw, nullptr);
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> question(raw, &sqlite3_finalize);
  if (question == nullptr) return false;
  std::string key;
  int number = 0;
  for (const std::string_view part : parts) {
    key += fmt::format("{}{}", number == 0 ? "" : ":", part);
    ++number;
    sqlite3_bind_text64(raw, number, part.data(), part.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  sqlite3_bind_text64(raw, number + 1, key.data(), key.size(), SQLITE_STATIC, SQLITE_UTF8);
  return sqlite3_step(raw) == SQLITE_ROW && sqlite3_column_int(raw, 0) == 1;
}

}  // namespace

SqliteAffinity sqlite_affinity(std::string_view declared_type) {
  const auto has = [&](std::string_view word) { return contains_no_case(declared_type, word); };
  if (has("INT")) return SqliteAffinity::kInteger;
  if (has("CHAR") || has("CLOB") || has("TEXT")) return SqliteAffinity::kText;
  if (declared_type.empty() || has("BLOB")) return SqliteAffinity::kBlob;
  if (has("REAL") || has("FLOA") || has("DOUB")) return SqliteAffinity::kReal;
  return SqliteAffinity::kNumeric;
}

SqliteSpelling sqlite_spelling(SqliteAffinity affinity, std::string_view collation, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return SqliteSpelling::kAnothers;  // SQL functions cut there
  const bool converts = affinity != SqliteAffinity::kText && affinity != SqliteAffinity::kBlob;
  if (!converts || !may_be_number(text)) return by_collation(collation, text);
  const bool is_real = affinity == SqliteAffinity::kReal;
  const bool is_own = (!is_real && is_plain_integer(text)) || is_plain_real(text, is_real);
  return is_own ? SqliteSpelling::kOwn : SqliteSpelling::kAnothers;
}

bool is_spelled_as_its_row(sqlite3* db, const std::string& table, const std::vector<std::string>& columns,
                           const std::vector<std::string_view>& parts) {
  const auto name = sqlite_watch_table(table);
  if (!name || parts.size() != columns.size()) return false;
  const std::vector<Column> known = columns_of(db, *name, columns);
  if (known.empty()) return false;
  bool asks = false;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const auto spelling = sqlite_spelling(known[i].affinity, known[i].collation, parts[i]);
    if (spelling == SqliteSpelling::kAnothers) return false;
    asks = asks || spelling == SqliteSpelling::kAskTheRow;
  }
  return !asks || ask_the_row(db, *name, known, parts);
}

}  // namespace candor
