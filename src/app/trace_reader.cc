#include "app/trace_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "base/hash.h"
#include "base/random.h"

namespace candor::app {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
constexpr std::size_t kLineBytesMax = 64 << 10;  // a longer line means that the file is not text
// A run of more keys than this in one line means that the columns are not what they should be.
constexpr std::uint64_t kRunMax = 1 << 24;
constexpr std::size_t kShownBytes = 40;  // of a bad line, in messages
constexpr std::size_t kOracleRecordBytes = 24;
constexpr unsigned kFieldMax = 255;
constexpr std::uint64_t kTextKeySeed = 0x7472616365;  // fixed: keys must be the same in every run

std::uint64_t big_endian(const char* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::uint64_t little_endian(const char* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::size_t record_bytes(TraceFormat format) {
  switch (format.kind) {
    case TraceFormat::Kind::kBe32:
      return 4;
    case TraceFormat::Kind::kBe64:
      return 8;
    case TraceFormat::Kind::kOracle:
      return kOracleRecordBytes;
    default:
      return 0;  // text
  }
}

bool is_separator(char c) { return c == ' ' || c == '\t' || c == ',' || c == ';' || c == '\r'; }

// The field of that number; several blanks count as one end, as in column-aligned text.
std::string_view field_of(std::string_view line, unsigned number) {
  std::size_t at = 0;
  for (unsigned field = 0;; ++field) {
    while (at < line.size() && is_separator(line[at])) ++at;
    std::size_t end = at;
    while (end < line.size() && !is_separator(line[end])) ++end;
    if (field == number || end == line.size()) {
      return field == number ? line.substr(at, end - at) : std::string_view();
    }
    at = end;
  }
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string shown(std::string_view line) {
  std::string text;
  for (char c : line.substr(0, kShownBytes)) text += c >= ' ' && c <= '~' ? c : '?';
  return line.size() > kShownBytes ? text + "…" : text;
}

}  // namespace

std::uint64_t trace_key(std::string_view text) {
  const std::optional<std::uint64_t> number = number_in(text);
  return number ? *number : hash_bytes(text, kTextKeySeed);
}

Result<TraceFormat> parse_trace_format(std::string_view name) {
  using Kind = TraceFormat::Kind;
  constexpr std::array<std::pair<std::string_view, Kind>, 5> kPlain{{{"be32", Kind::kBe32},
                                                                     {"be64", Kind::kBe64},
                                                                     {"lirs", Kind::kLirs},
                                                                     {"arc", Kind::kArc},
                                                                     {"oracle", Kind::kOracle}}};
  for (const auto& [known, kind] : kPlain) {
    if (known == name) return TraceFormat{.kind = kind};
  }
  if (constexpr std::string_view kPrefix = "csvkey:"; name.starts_with(kPrefix)) {
    const std::optional<std::uint64_t> field = number_in(name.substr(kPrefix.size()));
    if (field && *field <= kFieldMax) {
      return TraceFormat{.kind = Kind::kCsvKey, .field = static_cast<unsigned>(*field)};
    }
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("unknown trace format \"{}\": use one of {} (N counts from 0)", shown(name),
                          kTraceFormatNames));
}

TraceReader::TraceReader(std::string path, TraceFormat format, std::unique_ptr<ByteSource> source,
                         std::uint64_t bytes_total)
    : path_(std::move(path)),
      format_(format),
      source_(std::move(source)),
      bytes_total_(bytes_total),
      buffer_(kBufferBytes) {}

Result<TraceReader> TraceReader::open(const std::string& path, TraceFormat format) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error)
    return fail(ErrorCode::kInvalidArgument, fmt::format("{}: cannot be opened: {}", path, error.message()));
  auto source = open_bytes(path);
  if (!source) return std::unexpected(source.error());
  return TraceReader(path, format, std::move(*source), bytes);
}

Result<std::size_t> TraceReader::read(std::span<TraceRequest> into) {
  std::size_t count = 0;
  while (count < into.size()) {
    const Result<bool> got = next(&into[count]);
    if (!got) return std::unexpected(got.error());
    if (!*got) break;
    ++count;
  }
  return count;
}

// False at the end of the file. Keeps what is unread.
Result<bool> TraceReader::refill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const Result<std::size_t> got = source_->read(std::span(buffer_).subspan(end_));
  if (!got) return std::unexpected(got.error());
  end_ += *got;
  return *got > 0;
}

Result<bool> TraceReader::next(TraceRequest* request) {
  return record_bytes(format_) != 0 ? next_record(request) : next_text(request);
}

Result<bool> TraceReader::next_record(TraceRequest* request) {
  const std::size_t bytes = record_bytes(format_);
  while (end_ - begin_ < bytes) {
    const Result<bool> more = refill();
    if (!more) return more;
    if (*more) continue;
    if (end_ == begin_) return false;
    return fail(
        ErrorCode::kCorrupt,
        fmt::format("{}: ends in the middle of a record: {} bytes left, a record has {}. Is --format right?",
                    path_, end_ - begin_, bytes));
  }
  const char* record = buffer_.data() + begin_;
  begin_ += bytes;
  if (format_.kind == TraceFormat::Kind::kOracle) {
    *request = {.key = little_endian(record + 4, 8), .size = little_endian(record + 12, 4)};
  } else {
    *request = {.key = big_endian(record, bytes)};
  }
  return true;
}

Result<bool> TraceReader::next_line(std::string_view* line) {
  std::size_t searched = 0;
  for (;;) {
    const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
    const std::size_t newline = unread.find('\n', searched);
    if (std::min(newline, unread.size()) > kLineBytesMax) return overlong_line();
    if (newline != std::string_view::npos) {
      *line = unread.substr(0, newline);
      begin_ += newline + 1;
      ++line_number_;
      return true;
    }
    searched = unread.size();
    const Result<bool> more = refill();
    if (!more) return more;
    if (*more) continue;
    if (end_ == begin_) return false;
    *line = std::string_view(buffer_.data() + begin_, end_ - begin_);
    begin_ = end_;
    ++line_number_;
    return true;
  }
}

Result<bool> TraceReader::next_text(TraceRequest* request) {
  while (run_left_ == 0) {
    std::string_view line;
    const Result<bool> got = next_line(&line);
    if (!got || !*got) return got;
    const Result<bool> is_request = parse_line(line, request);
    if (!is_request || *is_request) return is_request;
  }
  *request = {.key = run_key_++};
  --run_left_;
  return true;
}

// True if the line is a request; false if it is none, or a run of several.
Result<bool> TraceReader::parse_line(std::string_view line, TraceRequest* request) {
  const std::string_view first = field_of(line, 0);
  if (first.empty()) return false;
  switch (format_.kind) {
    case TraceFormat::Kind::kLirs:
      if (first == "*") return false;
      *request = {.key = trace_key(first), .is_text = !number_in(first)};
      return true;
    case TraceFormat::Kind::kCsvKey: {
      const std::string_view field = field_of(line, format_.field);
      if (field.empty()) return bad_line(line, fmt::format("a field {} (counted from 0)", format_.field));
      *request = {.key = trace_key(field), .is_text = !number_in(field)};
      return true;
    }
    default:
      break;
  }
  const std::optional<std::uint64_t> start = number_in(first);
  const std::optional<std::uint64_t> count = number_in(field_of(line, 1));
  if (!start || !count || *count > kRunMax) return bad_line(line, "`start count …`, two numbers");
  run_key_ = *start;
  run_left_ = *count;
  return false;
}

std::unexpected<Error> TraceReader::overlong_line() const {
  return fail(ErrorCode::kCorrupt,
              fmt::format("{}: line {} is longer than {} bytes: not a text trace. Is --format right?", path_,
                          line_number_ + 1, kLineBytesMax));
}

std::unexpected<Error> TraceReader::bad_line(std::string_view line, const std::string& expected) const {
  return fail(ErrorCode::kCorrupt, fmt::format("{}: line {}: expected {}, found \"{}\". Is --format right?",
                                               path_, line_number_, expected, shown(line)));
}

Result<NumberedTrace> read_numbered_trace(const std::string& path, TraceFormat format) {
  struct Mixed {
    std::size_t operator()(std::uint64_t key) const { return mix64(key); }
  };
  Result<TraceReader> reader = TraceReader::open(path, format);
  if (!reader) return std::unexpected(reader.error());
  constexpr std::size_t kRequestsMax = std::size_t{1}
                                       << 30;  // 4 GiB of memory here, and 4 more for the optimum
  NumberedTrace trace;
  std::unordered_map<std::uint64_t, std::uint32_t, Mixed> numbers;
  std::array<TraceRequest, 1024> batch;
  for (;;) {
    const Result<std::size_t> count = reader->read(batch);
    if (!count) return std::unexpected(count.error());
    if (*count == 0) break;
    if (trace.keys.size() + *count > kRequestsMax) {
      return fail(ErrorCode::kLimit, fmt::format("{}: more than {} requests: cut it", path, kRequestsMax));
    }
    for (const TraceRequest& request : std::span(batch).first(*count)) {
      const auto next_number = static_cast<std::uint32_t>(numbers.size());
      trace.keys.push_back(numbers.try_emplace(request.key, next_number).first->second);
    }
  }
  trace.unique = static_cast<std::uint32_t>(numbers.size());
  return trace;
}

}  // namespace candor::app
