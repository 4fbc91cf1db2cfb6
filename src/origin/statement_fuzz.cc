// Any bytes as a statement: an answer or an error, never a crash, and a rewritten statement holds no name
// that is still ours to bind.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "origin/statement.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  if (size < 1) return 0;
  const std::string_view sql(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto dialect = (data[0] & 1) != 0 ? SqlDialect::kPostgres : SqlDialect::kSqlite;
  const auto role = static_cast<StatementRole>((data[0] >> 1) & 3);
  const auto statement = parse_statement("f", role, sql, dialect);
  if (statement) {
    CANDOR_ASSERT(statement->exists());
    CANDOR_ASSERT(!statement->parameters.empty());
    CANDOR_ASSERT(statement->parameters.size() <= kKeyPartsMax + 2u);
  }
  const auto parts = split_key("f", sql, static_cast<std::uint8_t>(data[0] >> 3));
  if (parts) {
    std::size_t bytes = parts->size() - 1;
    for (const auto part : *parts) bytes += part.size();
    CANDOR_ASSERT(bytes == sql.size());
  }
  return 0;
}
