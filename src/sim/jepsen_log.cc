#include "sim/jepsen_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <unordered_map>

namespace candor::sim {
namespace {

using Kind = RegisterOperation::Kind;

// "INFO  jepsen.util - 4 :invoke :cas [2 4]"
struct Line {
  std::uint64_t process = 0;
  std::string_view what, function, value;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Line> parse_line(std::string_view text) {
  constexpr std::string_view kBefore = "jepsen.util - ";
  constexpr std::string_view kBlank = " \t\r";
  const auto begin = text.find(kBefore);
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin + kBefore.size());
  // Some logs have tabs between the fields, some spaces; the last field may hold a space of its own.
  std::array<std::string_view, 4> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    const auto field_end =
        i + 1 < fields.size() ? text.find_first_of(kBlank) : text.find_last_not_of(kBlank) + 1;
    fields[i] = text.substr(0, field_end);
    text.remove_prefix(fields[i].size());
  }
  const auto process = number(fields[0]);
  if (!process) return std::nullopt;
  return Line{*process, fields[1], fields[2], fields[3]};
}

std::optional<std::uint64_t> register_value(std::string_view text) {
  if (text == "nil") return kAbsent;
  const auto value = number(text);
  return value ? std::optional(*value + 1) : std::nullopt;
}

std::optional<RegisterOperation> invocation(const Line& line) {
  RegisterOperation op;
  if (line.function == ":read") return op;
  if (line.function == ":write") {
    const auto value = register_value(line.value);
    if (!value) return std::nullopt;
    op.kind = Kind::kWrite;
    op.value = *value;
    return op;
  }
  const auto space = line.value.find(' ');
  if (line.function != ":cas" || space == std::string_view::npos || line.value.size() < 5)
    return std::nullopt;
  const auto expected = register_value(line.value.substr(1, space - 1));
  const auto value = register_value(line.value.substr(space + 1, line.value.size() - space - 2));
  if (!expected || !value) return std::nullopt;
  op.kind = Kind::kCompareAndSet;
  op.expected = *expected;
  op.value = *value;
  return op;
}

// False if the line makes no sense for this operation.
bool respond(RegisterOperation& op, const Line& line, std::int64_t time) {
  if (line.value == ":timed-out") return true;  // stays open
  if (op.kind == Kind::kRead) {
    const auto value = register_value(line.value);
    if (!value || line.what != ":ok") return false;
    op.value = *value;
  }
  op.applied = line.what == ":ok";
  op.responded = time;
  return op.applied || op.kind == Kind::kCompareAndSet;
}

}  // namespace

Result<std::vector<RegisterOperation>> parse_jepsen_log(std::string_view text) {
  std::vector<RegisterOperation> history;
  std::unordered_map<std::uint64_t, std::size_t> open;  // by process
  std::int64_t row = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = parse_line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++row;
    if (!line) continue;
    bool understood = false;
    if (line->what == ":invoke") {
      auto op = invocation(*line);
      understood = op.has_value();
      if (op) {
        op->invoked = row;
        open[line->process] = history.size();
        history.push_back(*op);
      }
    } else if (const auto found = open.find(line->process); found != open.end()) {
      understood = respond(history[found->second], *line, row);
      open.erase(found);
    }
    if (!understood)
      return fail(ErrorCode::kInvalidArgument, fmt::format("line {} is not of a Jepsen etcd log", row));
  }
  std::erase_if(history, [](const auto& op) { return op.kind == Kind::kRead && op.responded == kNever; });
  return history;
}

}  // namespace candor::sim
