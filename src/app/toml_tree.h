// A TOML document as a small tree that remembers lines. The TOML library is slow to compile and throws; it
// stays behind this file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor::app {

struct TomlNode {
  enum class Kind : std::uint8_t { kText, kInteger, kFloat, kBool, kDate, kArray, kTable };

  std::string key;  // in its table; empty for array elements and for the root
  int line = 0;     // of the key where there is one, else of the value
  Kind kind = Kind::kTable;
  std::string text;  // kText
  std::int64_t integer = 0;
  double number = 0;
  bool flag = false;
  std::vector<TomlNode> children;  // of arrays and tables, in the order of the file

  [[nodiscard]] const TomlNode* find(std::string_view name) const;
};

[[nodiscard]] std::string_view toml_kind_name(TomlNode::Kind kind);  // "a string", "a whole number", …

struct TomlError {
  int line = 0;
  std::string message;
};

[[nodiscard]] std::expected<TomlNode, TomlError> parse_toml(std::string_view text);

}  // namespace candor::app
