#include "sim/history.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

namespace candor::sim {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 5> kLevels = {"eventual", "session", "bounded", "strong", "origin"};
constexpr std::array<std::string_view, 3> kOutcomes = {"ok", "refused", "unknown"};
constexpr std::array<std::string_view, 5> kTiers = {"none", "l1", "disk", "l2", "origin"};
constexpr std::array<std::string_view, 5> kKinds = {"read", "write", "erase", "token", "adopt"};

// A field of one record; the first thing that is wrong is remembered.
struct Fields {
  const Json& json;
  std::string wrong;

  template <class T>
  T number(const char* name, T absent) {
    const auto found = json.find(name);
    if (found == json.end()) return absent;
    if (!found->is_number_integer()) {
      wrong = name;
      return absent;
    }
    return found->template get<T>();
  }
  bool flag(const char* name) {
    const auto found = json.find(name);
    if (found == json.end()) return false;
    if (!found->is_boolean()) {
      wrong = name;
      return false;
    }
    return found->get<bool>();
  }
  std::string text(const char* name) {
    const auto found = json.find(name);
    if (found == json.end()) return {};
    if (!found->is_string()) {
      wrong = name;
      return {};
    }
    return found->get<std::string>();
  }
  template <class E>
  E choice(const char* name, std::span<const std::string_view> words, E absent) {
    const std::string word = text(name);
    if (word.empty()) return absent;
    for (std::size_t i = 0; i < words.size(); ++i)
      if (words[i] == word) return static_cast<E>(i);
    wrong = name;
    return absent;
  }
};

Operation operation_of(Fields& f, History& h) {
  Operation op;
  op.session = f.number("session", op.session);
  op.node = h.nodes.number(f.text("node"));
  op.key = h.keys.number(f.text("key"));
  op.kind = f.choice("kind", kKinds, op.kind);
  op.level = f.choice("level", kLevels, op.level);
  op.outcome = f.choice("outcome", kOutcomes, op.outcome);
  op.tier = f.choice("tier", kTiers, op.tier);
  op.degraded = f.flag("degraded");
  op.invoked = f.number("invoked", op.invoked);
  op.responded = f.number("responded", op.responded);
  op.version = f.number("version", op.version);
  op.bound_ns = f.number("bound_ns", op.bound_ns);
  op.fresh_within_ns = f.number("fresh_within_ns", op.fresh_within_ns);
  op.token = f.number("token", op.token);
  return op;
}

// False if the record's "is" is unknown.
bool add_record(Fields& f, History& h) {
  const std::string is = f.text("is");
  if (is == "operation") {
    h.operations.push_back(operation_of(f, h));
  } else if (is == "commit") {
    h.commits.push_back({h.keys.number(f.text("key")), f.number("version", kAbsent),
                         f.number("visible", std::int64_t{0}), f.flag("by_restore")});
  } else if (is == "load") {
    h.loads.push_back({h.keys.number(f.text("key")), h.nodes.number(f.text("node")),
                       f.number("lease", std::uint64_t{0}), f.number("begun", std::int64_t{0}),
                       f.number("ended", kNever)});
  } else if (is == "lease") {
    h.leases.push_back({h.keys.number(f.text("key")), f.number("lease", std::uint64_t{0}),
                        f.number("granted", std::int64_t{0}), f.number("ended", kNever)});
  } else if (is == "holding") {
    h.holdings.push_back({h.nodes.number(f.text("node")), h.keys.number(f.text("key")),
                          f.choice("tier", kTiers, Tier::kL1), f.number("version", kAbsent)});
  } else if (is == "quiet") {
    h.quiet_from = f.number("from", kNever);
  } else {
    return false;
  }
  return true;
}

std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write_operation(std::string& out, const History& h, const Operation& op) {
  auto to = std::back_inserter(out);
  fmt::format_to(to, R"({{"is":"operation","session":{},"node":{},"kind":"{}","invoked":{})", op.session,
                 quoted(h.nodes.name(op.node)), kind_name(op.kind), op.invoked);
  if (op.responded != kNever) fmt::format_to(to, R"(,"responded":{})", op.responded);
  fmt::format_to(to, R"(,"outcome":"{}")", outcome_name(op.outcome));
  if (op.kind == OperationKind::kToken || op.kind == OperationKind::kAdopt) {
    fmt::format_to(to, R"(,"token":{})", op.token);
  } else {
    fmt::format_to(to, R"(,"key":{},"version":{})", quoted(h.keys.name(op.key)), op.version);
  }
  if (op.kind == OperationKind::kRead) {
    fmt::format_to(to, R"(,"level":"{}","tier":"{}")", level_name(op.level), tier_name(op.tier));
    if (op.level == Level::kBounded) fmt::format_to(to, R"(,"bound_ns":{})", op.bound_ns);
    if (op.fresh_within_ns >= 0) fmt::format_to(to, R"(,"fresh_within_ns":{})", op.fresh_within_ns);
    if (op.degraded) out += R"(,"degraded":true)";
  }
  out += "}\n";
}

}  // namespace

std::uint32_t Names::number(std::string_view name) {
  const auto [found, is_new] = numbers_.try_emplace(std::string(name), static_cast<std::uint32_t>(size()));
  if (is_new) names_.push_back(found->first);
  return found->second;
}

std::string_view level_name(Level level) { return kLevels[static_cast<std::size_t>(level)]; }
std::string_view tier_name(Tier tier) { return kTiers[static_cast<std::size_t>(tier)]; }
std::string_view kind_name(OperationKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view outcome_name(Outcome outcome) { return kOutcomes[static_cast<std::size_t>(outcome)]; }

std::string to_json_lines(const History& h) {
  std::string out;
  auto to = std::back_inserter(out);
  for (const auto& op : h.operations) write_operation(out, h, op);
  for (const auto& c : h.commits)
    fmt::format_to(to,
                   R"({{"is":"commit","key":{},"version":{},"visible":{},"by_restore":{}}})"
                   "\n",
                   quoted(h.keys.name(c.key)), c.version, c.visible, c.by_restore);
  for (const auto& l : h.loads)
    fmt::format_to(to,
                   R"({{"is":"load","key":{},"node":{},"lease":{},"begun":{},"ended":{}}})"
                   "\n",
                   quoted(h.keys.name(l.key)), quoted(h.nodes.name(l.node)), l.lease, l.begun, l.ended);
  for (const auto& l : h.leases)
    fmt::format_to(to,
                   R"({{"is":"lease","key":{},"lease":{},"granted":{},"ended":{}}})"
                   "\n",
                   quoted(h.keys.name(l.key)), l.lease, l.granted, l.ended);
  for (const auto& e : h.holdings)
    fmt::format_to(to,
                   R"({{"is":"holding","node":{},"key":{},"tier":"{}","version":{}}})"
                   "\n",
                   quoted(h.nodes.name(e.node)), quoted(h.keys.name(e.key)), tier_name(e.tier), e.version);
  if (h.quiet_from != kNever)
    fmt::format_to(to,
                   R"({{"is":"quiet","from":{}}})"
                   "\n",
                   h.quiet_from);
  return out;
}

Result<History> parse_json_lines(std::string_view text) {
  History history;
  for (std::size_t row = 1; !text.empty(); ++row) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object())
      return fail(ErrorCode::kInvalidArgument, fmt::format("history line {}: not a JSON object", row));
    Fields fields{json, {}};
    if (!add_record(fields, history))
      return fail(ErrorCode::kInvalidArgument, fmt::format("history line {}: unknown kind of record", row));
    if (!fields.wrong.empty())
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("history line {}: '{}' is not of its type", row, fields.wrong));
  }
  return history;
}

std::string describe(const History& h, const Operation& op) {
  std::string out = fmt::format("{:>14.6f} ms  s{}@{}  {}", in_ms(op.invoked), op.session,
                                h.nodes.name(op.node), kind_name(op.kind));
  auto to = std::back_inserter(out);
  if (op.kind == OperationKind::kToken || op.kind == OperationKind::kAdopt) {
    fmt::format_to(to, " token {}", op.token);
  } else if (op.kind == OperationKind::kRead) {
    fmt::format_to(to, " {}", level_name(op.level));
    if (op.level == Level::kBounded) fmt::format_to(to, "({} ms)", in_ms(op.bound_ns));
    fmt::format_to(to, " {} -> version {} from {}", h.keys.name(op.key), op.version, tier_name(op.tier));
    if (op.fresh_within_ns >= 0) fmt::format_to(to, ", claims fresh within {} ms", in_ms(op.fresh_within_ns));
    if (op.degraded) out += ", degraded";
  } else {
    fmt::format_to(to, " {} version {}", h.keys.name(op.key), op.version);
  }
  if (op.responded == kNever)
    out += " (never answered)";
  else
    fmt::format_to(to, " ({} at {:.6f} ms)", outcome_name(op.outcome), in_ms(op.responded));
  return out;
}

std::string describe(const History& h, const Commit& c) {
  return fmt::format("{:>14.6f} ms  origin  {} is version {}{}", in_ms(c.visible), h.keys.name(c.key),
                     c.version, c.by_restore ? " again (commits were lost)" : "");
}

}  // namespace candor::sim
