#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace candor {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kDurationUnits = {Unit{"d", 86'400'000'000'000ULL},
                                       Unit{"h", 3'600'000'000'000ULL},
                                       Unit{"m", 60'000'000'000ULL},
                                       Unit{"s", 1'000'000'000ULL},
                                       Unit{"ms", 1'000'000ULL},
                                       Unit{"us", 1'000ULL},
                                       Unit{"ns", 1ULL}};
constexpr std::array kSizeUnits = {Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20},
                                   Unit{"KiB", 1ULL << 10}, Unit{"B", 1ULL}};

struct Split {
  std::uint64_t number = 0;
  std::string_view unit;
  bool has_number = false;
  bool overflow = false;
};

Split split_number(std::string_view text) {
  Split split;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), split.number);
  split.has_number = end != text.data();
  split.overflow = error == std::errc::result_out_of_range;
  split.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return split;
}

// The amount in the smallest unit, or an error that names `what` was expected.
Result<std::uint64_t> parse_amount(std::string_view text, std::span<const Unit> units,
                                   std::string_view bare_unit, std::uint64_t limit,
                                   std::string_view expected) {
  const Split split = split_number(text);
  if (!split.has_number)
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not {}", text, expected));
  const std::string_view unit_name = split.unit.empty() ? bare_unit : split.unit;
  for (const Unit& unit : units) {
    if (unit.name != unit_name) continue;
    if (split.overflow || split.number > limit / unit.factor)
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is too large", text));
    return split.number * unit.factor;
  }
  if (split.unit.empty() && split.number == 0 && !split.overflow) return 0;
  return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not {}", text, expected));
}

std::string format_amount(std::uint64_t amount, std::span<const Unit> units) {
  for (const Unit& unit : units)
    if (amount % unit.factor == 0) return fmt::format("{}{}", amount / unit.factor, unit.name);
  return fmt::format("{}", amount);
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto ns = parse_amount(
      text, kDurationUnits, "", std::numeric_limits<std::int64_t>::max(),
      "a duration: write a whole number and a unit, such as \"250ms\", \"5s\", \"10m\" or \"24h\"");
  if (!ns) return std::unexpected(ns.error());
  return Duration{static_cast<std::int64_t>(*ns)};
}

std::string format_duration(Duration duration) {
  if (duration == Duration::zero()) return "0s";
  return format_amount(static_cast<std::uint64_t>(duration.count()), kDurationUnits);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  return parse_amount(text, kSizeUnits, "B", std::numeric_limits<std::int64_t>::max(),
                      "a size: write a whole number and a unit, such as \"64KiB\", \"256MiB\" or \"10GiB\"");
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == 0) return "0B";
  return format_amount(bytes, kSizeUnits);
}

std::optional<std::uint64_t> parse_digits(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace candor
