// A row of several columns as a JSON object, by column name. Written here and not with a JSON library because
// numbers must keep the digits that the database printed (a numeric(30,10) does not survive a double).
#pragma once

#include <string>
#include <string_view>

namespace candor {

class RowJson {
 public:
  RowJson() : out_("{") {}
  // As it stands: numbers, true, false, null, and JSON columns.
  void add_raw(std::string_view column, std::string_view json);
  // Bytes that are not UTF-8 become U+FFFD.
  void add_text(std::string_view column, std::string_view text);
  // Bytes, as "\\x6869": the form PostgreSQL prints.
  void add_bytes(std::string_view column, std::string_view bytes);
  // The object. Call it once, at the end.
  [[nodiscard]] std::string take();

 private:
  void name(std::string_view column);
  std::string out_;
};

// `text` as a JSON string, quotes included, appended to `out`.
void append_json_string(std::string& out, std::string_view text);
[[nodiscard]] bool is_utf8(std::string_view bytes);

}  // namespace candor
