#include "origin/postgres_value.h"

#include <fmt/format.h>

#include <algorithm>

#include "origin/row_json.h"

namespace candor {
namespace {

// From PostgreSQL's catalog/pg_type.dat: part of its protocol, they do not change.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kJson = 114;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kUnknown = 705;
constexpr Oid kBpchar = 1042;
constexpr Oid kVarchar = 1043;
constexpr Oid kNumeric = 1700;
constexpr Oid kUuid = 2950;
constexpr Oid kJsonb = 3802;

[[nodiscard]] bool is_raw_in_binary(Oid type) {
  switch (type) {
    case kBytea:
    case kText:
    case kJson:
    case kUnknown:
    case kBpchar:
    case kVarchar:
      return true;
    default:
      return false;
  }
}

[[nodiscard]] bool is_number(Oid type) {
  switch (type) {
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
    case kFloat4:
    case kFloat8:
    case kNumeric:
      return true;
    default:
      return false;
  }
}

std::string_view field_text(const PGresult* rows, int row, int column) {
  return {PQgetvalue(rows, row, column), static_cast<std::size_t>(PQgetlength(rows, row, column))};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// bytea_output is set to hex on every session.
std::string decode_bytea(std::string_view text) {
  if (!text.starts_with("\\x")) return std::string(text);
  text.remove_prefix(2);
  std::string bytes(text.size() / 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
  }
  return bytes;
}

void add_column(RowJson& json, const PGresult* rows, int row, int column) {
  const std::string_view name = PQfname(rows, column);
  if (PQgetisnull(rows, row, column)) return json.add_raw(name, "null");
  const auto text = field_text(rows, row, column);
  const Oid type = PQftype(rows, column);
  if (type == kBool) return json.add_raw(name, text == "t" ? "true" : "false");
  if (type == kJson || type == kJsonb) return json.add_raw(name, text);
  // NaN and the infinities are no JSON numbers.
  const bool finite = !text.empty() && text.back() >= '0' && text.back() <= '9';
  if (is_number(type) && finite) return json.add_raw(name, text);
  json.add_text(name, text);
}

[[nodiscard]] bool is_canonical_integer(std::string_view key) {
  if (key.starts_with('-')) {
    key.remove_prefix(1);
    if (key == "0") return false;
  }
  if (key.empty() || (key.size() > 1 && key[0] == '0')) return false;
  return std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
}

[[nodiscard]] bool is_canonical_uuid(std::string_view key) {
  if (key.size() != 36) return false;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? key[i] != '-' : hex_digit(key[i]) < 0) return false;
  }
  return true;
}

}  // namespace

Result<PostgresParameters> bind_parameters(const SqlRequest& request, const SqlStatement& statement,
                                           const std::vector<Oid>& types) {
  const auto parts = split_key(request.feature->name(), request.key, request.feature->statements.key_parts);
  if (!parts) return std::unexpected(parts.error());
  PostgresParameters out;
  const auto count = statement.parameters.size();
  out.owned.reserve(count);  // pointers into it stay
  for (std::size_t i = 0; i < count; ++i) {
    const auto bytes = parameter_bytes(request, statement.parameters[i], *parts);
    const bool raw = i < types.size() && is_raw_in_binary(types[i]);
    if (!raw && bytes.find('\0') != std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("feature {}: a key or value with a NUL byte fits no column of this type",
                              request.feature->name()));
    }
    const char* data = bytes.data() != nullptr ? bytes.data() : "";
    if (!raw) data = out.owned.emplace_back(bytes).c_str();
    out.values.push_back(data);
    out.lengths.push_back(static_cast<int>(bytes.size()));
    out.formats.push_back(raw ? 1 : 0);
  }
  return out;
}

std::string array_literal(const std::vector<SqlRequestPtr>& requests) {
  std::string out = "{";
  for (const auto& request : requests) {
    if (out.size() > 1) out.push_back(',');
    out.push_back('"');
    for (const char c : request->key) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
  }
  out.push_back('}');
  return out;
}

std::optional<std::string> row_value(const PGresult* rows, int row, int first_column) {
  const int columns = PQnfields(rows);
  if (columns - first_column == 1) {
    if (PQgetisnull(rows, row, first_column)) return std::nullopt;
    const auto text = field_text(rows, row, first_column);
    return PQftype(rows, first_column) == kBytea ? decode_bytea(text) : std::string(text);
  }
  RowJson json;
  for (int column = first_column; column < columns; ++column) add_column(json, rows, row, column);
  return json.take();
}

bool has_one_spelling(Oid type, std::string_view key) {
  switch (type) {
    case kText:
    case kVarchar:
      return true;
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      return is_canonical_integer(key);
    case kBool:
      return key == "t" || key == "f";
    case kUuid:
      return is_canonical_uuid(key);
    default:
      return false;
  }
}

}  // namespace candor
