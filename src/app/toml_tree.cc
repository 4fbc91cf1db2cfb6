#include "app/toml_tree.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "base/stable_sort.h"

namespace candor::app {
namespace {

using Kind = TomlNode::Kind;

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

TomlNode convert(const toml::node& node);

void convert_table(const toml::table& table, TomlNode& out) {
  for (const auto& [key, value] : table) {
    TomlNode child = convert(value);
    child.key = std::string(key.str());
    // A `[table]` made implicitly by `[table.inner]` has no line of its own; the value's is the best there
    // is.
    if (const auto line = static_cast<int>(key.source().begin.line); line > 0) child.line = line;
    out.children.push_back(std::move(child));
  }
  // The library keeps keys sorted; people read their file from top to bottom.
  stable_sort_by(out.children, [](const auto& child) { return child.line; });
}

TomlNode convert(const toml::node& node) {
  TomlNode out;
  out.line = line_of(node);
  if (const auto* table = node.as_table()) {
    convert_table(*table, out);
  } else if (const auto* array = node.as_array()) {
    out.kind = Kind::kArray;
    for (const auto& element : *array) out.children.push_back(convert(element));
  } else if (const auto* text = node.as_string()) {
    out.kind = Kind::kText;
    out.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.kind = Kind::kInteger;
    out.integer = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    out.kind = Kind::kFloat;
    out.number = number->get();
  } else if (const auto* flag = node.as_boolean()) {
    out.kind = Kind::kBool;
    out.flag = flag->get();
  } else {
    out.kind = Kind::kDate;
  }
  return out;
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view name) const {
  const auto it = std::ranges::find(children, name, &TomlNode::key);
  return it == children.end() ? nullptr : &*it;
}

std::string_view toml_kind_name(Kind kind) {
  switch (kind) {
    case Kind::kText:
      return "a string";
    case Kind::kInteger:
      return "a whole number";
    case Kind::kFloat:
      return "a number with a fraction";
    case Kind::kBool:
      return "true or false";
    case Kind::kDate:
      return "a date or time";
    case Kind::kArray:
      return "a list";
    case Kind::kTable:
      return "a table";
  }
  return "a value";
}

std::expected<TomlNode, TomlError> parse_toml(std::string_view text) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const auto& error = parsed.error();
    return std::unexpected(
        TomlError{static_cast<int>(error.source().begin.line), std::string(error.description())});
  }
  return convert(parsed.table());
}

}  // namespace candor::app
