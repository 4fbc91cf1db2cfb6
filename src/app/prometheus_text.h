// Text from outside (names, owners, reasons) inside the three languages of a file of Prometheus rules. Each
// function quotes for one of them; what is nested is quoted from the inside out. Pure.
#pragma once

#include <string>
#include <string_view>

namespace candor::app {

// A string of PromQL with its quotes. The result holds nothing that YAML would not take as it stands: no
// line break of any kind, no control character.
[[nodiscard]] std::string promql_string(std::string_view text);

// Labels and annotations of a rule are Go templates: no brace of `text` opens an action, wherever it is put.
[[nodiscard]] std::string template_text(std::string_view text);

// A double-quoted YAML scalar with its quotes, on one line.
[[nodiscard]] std::string yaml_string(std::string_view text);

// JSON that a reader of YAML understands as well: what YAML would take for the end of a line, or not take at
// all, is written as a number. In JSON such characters stand in strings only.
[[nodiscard]] std::string yaml_safe_json(std::string_view json);

}  // namespace candor::app
