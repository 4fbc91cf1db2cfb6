#include "origin/statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "origin/sql_letters.h"

namespace candor {
namespace {

[[nodiscard]] bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
[[nodiscard]] bool is_name(char c) { return is_name_start(c) || is_sql_digit(c); }

// Walks one statement, copies it to `out_` and replaces parameters as it goes.
class Scanner {
 public:
  Scanner(StatementRole role, std::string_view sql, SqlDialect dialect)
      : role_(role), sql_(sql), dialect_(dialect) {}

  Result<SqlStatement> run() {
    if (sql_.size() > kStatementBytesMax) {
      return problem(fmt::format("is {} bytes long, more than {}", sql_.size(), kStatementBytesMax));
    }
    if (sql_.find('\0') != std::string_view::npos) return problem("holds a NUL byte: remove it");
    while (at_ < sql_.size()) {
      if (auto step = next_token(); !step) return std::unexpected(step.error());
    }
    if (!has_content_) return problem("is empty: write a statement, or remove the line");
    while (!out_.sql.empty() && is_sql_space(out_.sql.back())) out_.sql.pop_back();
    return std::move(out_);
  }

 private:
  using Step = Result<void>;

  // Without the statement's name: the caller knows it.
  [[nodiscard]] static std::unexpected<Error> problem(std::string what) {
    return fail(ErrorCode::kConfiguration, std::move(what));
  }
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0';
  }
  void copy(std::size_t count) {
    out_.sql.append(sql_.substr(at_, count));
    at_ = std::min(at_ + count, sql_.size());
  }

  Step next_token() {
    const char c = peek();
    if (is_sql_space(c)) return copy(1), Step{};
    if (c == '-' && peek(1) == '-') return line_comment();
    if (c == '/' && peek(1) == '*') return block_comment();
    if (c == ';') return semicolon();
    if (ended_)
      return problem("holds more than one statement: keep one (what follows the first `;` would not run)");
    has_content_ = true;
    if (c == '\'') return quoted('\'', "string");
    if (c == '"') return quoted('"', "quoted name");
    if (is_name(c)) return word();
    if (c == ':') return colon();
    return dialect_ == SqlDialect::kPostgres ? postgres_token(c) : sqlite_token(c);
  }

  Step postgres_token(char c) {
    if (c == '$') return dollar();
    copy(1);
    return {};
  }

  Step sqlite_token(char c) {
    if (c == '`') return quoted('`', "quoted name");
    if (c == '[') return until("]", "quoted name");
    if (c == '?' || ((c == '@' || c == '$') && is_name(peek(1)))) return foreign_parameter();
    copy(1);
    return {};
  }

  // A semicolon may end the statement; it is dropped, and only blanks and comments may follow.
  Step semicolon() {
    ended_ = true;
    ++at_;
    return {};
  }

  // Line comments end at the line; the newline stays, so that what follows is not commented out by joining
  // lines.
  Step line_comment() {
    const auto end = sql_.find('\n', at_);
    copy((end == std::string_view::npos ? sql_.size() : end + 1) - at_);
    if (end == std::string_view::npos) out_.sql.push_back('\n');
    return {};
  }

  // PostgreSQL nests block comments, SQLite does not. SQLite lets the end of the text close one; we do not.
  Step block_comment() {
    const bool nests = dialect_ == SqlDialect::kPostgres;
    int depth = 0;
    do {
      if (at_ >= sql_.size()) return problem("has a comment that does not end: add `*/`");
      if (peek() == '/' && peek(1) == '*' && (nests || depth == 0)) {
        ++depth;
        copy(2);
      } else if (peek() == '*' && peek(1) == '/') {
        --depth;
        copy(2);
      } else {
        copy(1);
      }
    } while (depth > 0);
    return {};
  }

  // A doubled quote inside is the quote itself; a backslash escapes in PostgreSQL's E'' strings only.
  Step quoted(char quote, std::string_view what, bool backslash_escapes = false) {
    copy(1);
    while (at_ < sql_.size()) {
      const char c = peek();
      if (backslash_escapes && c == '\\') {
        copy(2);
      } else if (c == quote && peek(1) == quote) {
        copy(2);
      } else if (c == quote) {
        copy(1);
        return {};
      } else {
        copy(1);
      }
    }
    return problem(fmt::format("has a {} that does not end: add {}", what, quote));
  }

  Step until(std::string_view terminator, std::string_view what) {
    const auto end = sql_.find(terminator, at_ + 1);
    if (end == std::string_view::npos) {
      return problem(fmt::format("has a {} that does not end: add {}", what, terminator));
    }
    copy(end + terminator.size() - at_);
    return {};
  }

  // Words and numbers as a whole: a `$` inside a PostgreSQL name opens no dollar quote.
  Step word() {
    const std::size_t start = at_;
    while (is_name(peek()) || (peek() == '$' && at_ < sql_.size())) copy(1);
    const auto text = sql_.substr(start, at_ - start);
    const bool escape_string = dialect_ == SqlDialect::kPostgres && (text == "e" || text == "E");
    if (escape_string && peek() == '\'') return quoted('\'', "string", true);
    return {};
  }

  // $tag$ … $tag$, or a numbered parameter, which we do not bind.
  Step dollar() {
    if (is_sql_digit(peek(1))) return foreign_parameter();
    std::size_t end = at_ + 1;
    while (end < sql_.size() && is_name(sql_[end])) ++end;
    if (end >= sql_.size() || sql_[end] != '$') {
      copy(1);
      return {};
    }
    const auto tag = sql_.substr(at_, end + 1 - at_);
    const auto close = sql_.find(tag, end + 1);
    if (close == std::string_view::npos) {
      return problem(fmt::format("has a dollar quote that does not end: add {}", tag));
    }
    copy(close + tag.size() - at_);
    return {};
  }

  Step colon() {
    if (peek(1) == ':') return copy(2), Step{};
    if (!is_name_start(peek(1))) return copy(1), Step{};
    std::size_t end = at_ + 1;
    while (end < sql_.size() && is_name(sql_[end])) ++end;
    const auto name = sql_.substr(at_ + 1, end - at_ - 1);
    at_ = end;
    const auto parameter = parameter_named(name);
    if (!parameter) {
      return problem(fmt::format("uses :{}, which is not a parameter: use {}", name, known_parameters()));
    }
    if (auto allowed = check_allowed(*parameter, name); !allowed) return allowed;
    place(*parameter);
    return {};
  }

  Step foreign_parameter() {
    return problem(fmt::format("uses the placeholder {}, which Candor does not bind: use {}",
                               sql_.substr(at_, is_name(peek(1)) ? 2 : 1), known_parameters()));
  }

  static std::optional<SqlParameter> parameter_named(std::string_view name) {
    using Kind = SqlParameter::Kind;
    if (name == "key") return SqlParameter{Kind::kKey, 0};
    if (name == "value") return SqlParameter{Kind::kValue, 0};
    if (name == "keys") return SqlParameter{Kind::kKeys, 0};
    if (!name.starts_with("key") || name.size() > 5 || name[3] == '0') return std::nullopt;
    unsigned part = 0;
    for (const char c : name.substr(3)) {
      if (!is_sql_digit(c)) return std::nullopt;
      part = part * 10 + static_cast<unsigned>(c - '0');
    }
    if (part == 0 || part > kKeyPartsMax) return std::nullopt;
    return SqlParameter{Kind::kKeyPart, static_cast<std::uint8_t>(part)};
  }

  [[nodiscard]] std::string known_parameters() const {
    switch (role_) {
      case StatementRole::kLoadMany:
        return ":keys";
      case StatementRole::kStore:
        return fmt::format(":key (or :key1 to :key{}) and :value", kKeyPartsMax);
      case StatementRole::kLoad:
      case StatementRole::kErase:
        break;
    }
    return fmt::format(":key (or :key1 to :key{} for a key of several columns)", kKeyPartsMax);
  }

  [[nodiscard]] Step check_allowed(SqlParameter parameter, std::string_view name) const {
    using Kind = SqlParameter::Kind;
    const bool allowed = parameter.kind == Kind::kKeys    ? role_ == StatementRole::kLoadMany
                         : parameter.kind == Kind::kValue ? role_ == StatementRole::kStore
                                                          : role_ != StatementRole::kLoadMany;
    if (allowed) return {};
    return problem(fmt::format("uses :{}, which has no meaning here: use {}", name, known_parameters()));
  }

  // One number for each name: a value of many megabytes that is used twice travels once.
  void place(SqlParameter parameter) {
    auto& all = out_.parameters;
    auto found = std::find(all.begin(), all.end(), parameter);
    const auto number = found - all.begin() + 1;
    if (found == all.end()) all.push_back(parameter);
    out_.key_parts = std::max(out_.key_parts, parameter.part);
    // `limit:key` would become the name `limit$1`.
    if (!out_.sql.empty() && (is_name(out_.sql.back()) || out_.sql.back() == '$')) out_.sql.push_back(' ');
    out_.sql += fmt::format("{}{}", dialect_ == SqlDialect::kPostgres ? '$' : '?', number);
  }

  StatementRole role_;
  std::string_view sql_;
  SqlDialect dialect_;
  std::size_t at_ = 0;
  bool has_content_ = false;
  bool ended_ = false;
  SqlStatement out_;
};

[[nodiscard]] bool uses(const SqlStatement& statement, SqlParameter::Kind kind) {
  return std::any_of(statement.parameters.begin(), statement.parameters.end(),
                     [kind](const SqlParameter& p) { return p.kind == kind; });
}

[[nodiscard]] bool uses_key(const SqlStatement& statement) {
  return uses(statement, SqlParameter::Kind::kKey) || uses(statement, SqlParameter::Kind::kKeyPart) ||
         uses(statement, SqlParameter::Kind::kKeys);
}

std::vector<StatementFault> missing_parameters(StatementRole role, const SqlStatement& statement) {
  std::vector<StatementFault> faults;
  if (!uses_key(statement)) {
    faults.push_back(
        {role, fmt::format("uses no key, so every key would mean the same row: add `where … = {}`",
                           role == StatementRole::kLoadMany ? "any(:keys)" : ":key")});
  }
  if (role == StatementRole::kStore && !uses(statement, SqlParameter::Kind::kValue)) {
    faults.push_back({role, "does not use :value, so what is stored would be lost"});
  }
  return faults;
}

// Every :keyN from 1 to N, and the same N in every statement that uses parts at all: otherwise one key would
// mean different rows to different statements.
std::optional<StatementFault> missing_part(StatementRole role, const SqlStatement& statement,
                                           std::uint8_t parts) {
  if (!statement.exists() || role == StatementRole::kLoadMany) return std::nullopt;
  if (statement.key_parts == 0 && uses(statement, SqlParameter::Kind::kKey)) return std::nullopt;
  for (std::uint8_t part = 1; part <= parts; ++part) {
    const SqlParameter wanted{SqlParameter::Kind::kKeyPart, part};
    const auto& all = statement.parameters;
    if (std::find(all.begin(), all.end(), wanted) == all.end()) {
      return StatementFault{role, fmt::format("does not use :key{0}, but the feature's keys have {1} columns "
                                              "(:key1 to :key{1}): use all of them in every statement",
                                              part, parts)};
    }
  }
  return std::nullopt;
}

std::unexpected<Error> as_error(std::string_view feature, const StatementFault& fault) {
  return fail(ErrorCode::kConfiguration,
              fmt::format("features.{}.{} {}", feature, statement_role_name(fault.role), fault.what));
}

struct Reading {
  FeatureStatements statements;
  std::vector<StatementFault> faults;
};

Reading read_statements(const OriginStatements& texts, SqlDialect dialect) {
  Reading out;
  FeatureStatements& parsed = out.statements;
  parsed.feature = texts.feature;
  struct Part {
    StatementRole role;
    const std::string* text;
    SqlStatement* into;
  };
  const Part all[] = {{StatementRole::kLoad, &texts.load, &parsed.load},
                      {StatementRole::kLoadMany, &texts.load_many, &parsed.load_many},
                      {StatementRole::kStore, &texts.store, &parsed.store},
                      {StatementRole::kErase, &texts.erase, &parsed.erase}};
  for (const auto& part : all) {
    if (part.text->empty() && part.role != StatementRole::kLoad) continue;
    auto statement = Scanner(part.role, *part.text, dialect).run();
    if (!statement) {
      out.faults.push_back({part.role, std::move(statement.error().message)});
      continue;
    }
    auto missing = missing_parameters(part.role, *statement);
    parsed.key_parts = std::max(parsed.key_parts, statement->key_parts);
    // One without a key is told so once; it has no parts to compare.
    if (missing.empty()) *part.into = std::move(*statement);
    std::move(missing.begin(), missing.end(), std::back_inserter(out.faults));
  }
  for (const auto& part : all) {
    if (auto fault = missing_part(part.role, *part.into, parsed.key_parts)) out.faults.push_back(*fault);
  }
  return out;
}

}  // namespace

std::string_view statement_role_name(StatementRole role) {
  switch (role) {
    case StatementRole::kLoad:
      return "load";
    case StatementRole::kLoadMany:
      return "load_many";
    case StatementRole::kStore:
      return "store";
    case StatementRole::kErase:
      return "erase";
  }
  return "statement";
}

Result<SqlStatement> parse_statement(std::string_view feature, StatementRole role, std::string_view sql,
                                     SqlDialect dialect) {
  auto statement = Scanner(role, sql, dialect).run();
  if (!statement) return as_error(feature, {role, statement.error().message});
  if (const auto missing = missing_parameters(role, *statement); !missing.empty()) {
    return as_error(feature, missing.front());
  }
  return statement;
}

Result<FeatureStatements> parse_statements(const OriginStatements& statements, SqlDialect dialect) {
  Reading reading = read_statements(statements, dialect);
  if (!reading.faults.empty()) return as_error(statements.feature, reading.faults.front());
  reading.statements.watch_table = statements.watch_table;
  reading.statements.watch_columns = statements.watch_columns;
  return std::move(reading.statements);
}

std::vector<StatementFault> find_statement_faults(const OriginStatements& statements, SqlDialect dialect) {
  return read_statements(statements, dialect).faults;
}

Result<std::vector<std::string_view>> split_key(std::string_view feature, std::string_view key,
                                                std::uint8_t parts) {
  std::vector<std::string_view> split;
  split.reserve(std::max<std::size_t>(parts, 1));
  std::string_view rest = key;
  while (split.size() + 1 < parts) {
    const auto colon = rest.find(':');
    if (colon == std::string_view::npos) {
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("a key of feature {0} has {1} parts separated by colons ({0}:a:b…); this one has {2}",
                      feature, parts, split.size() + 1));
    }
    split.push_back(rest.substr(0, colon));
    rest.remove_prefix(colon + 1);
  }
  split.push_back(rest);
  return split;
}

}  // namespace candor
