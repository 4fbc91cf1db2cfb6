// What was seen: logs of reads and of changes, or a trace of reads beside a log of changes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "app/byte_source.h"
#include "app/workload_known.h"
#include "base/random.h"
#include "base/units.h"
#include "budget/key_classes.h"

namespace candor::app {
namespace {

constexpr std::size_t kLogLineBytesMax = 64 << 10;  // a longer line means that the file is not a log
// Keys that are counted, of all features together: about 60 bytes each, 1.2 GB.
constexpr std::size_t kKeysMax = 20'000'000;
constexpr std::size_t kFeaturesMax = 4096;
constexpr double kSecondsMax = 1e11;  // the year 5138; larger numbers are milliseconds or no times
constexpr double kSpanSecondsMin = 1.0;

struct Mixed {
  std::size_t operator()(std::uint64_t key) const { return mix64(key); }
};
using Counts = std::unordered_map<std::uint64_t, KeyCount, Mixed>;

// Lines of a file, in bounded memory.
class LineReader {
 public:
  static Result<LineReader> open(const std::string& path) {
    auto source = open_bytes(path);
    if (!source) return std::unexpected(source.error());
    return LineReader(path, std::move(*source));
  }

  // False at the end. `line` is valid until the next call.
  Result<bool> next(std::string_view* line) {
    for (std::size_t searched = 0;;) {
      const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
      const std::size_t newline = unread.find('\n', searched);
      if (newline != std::string_view::npos || (is_over_ && !unread.empty())) {
        *line = unread.substr(0, newline);
        begin_ += std::min(unread.size(), line->size() + 1);
        ++number;
        return true;
      }
      if (is_over_) return false;
      if (unread.size() > kLogLineBytesMax)
        return fail(ErrorCode::kCorrupt, fmt::format("{}:{}: longer than {} bytes: not a log", path_,
                                                     number + 1, kLogLineBytesMax));
      searched = unread.size();
      if (auto more = refill(); !more) return std::unexpected(more.error());
    }
  }

  std::uint64_t number = 0;

 private:
  LineReader(std::string path, std::unique_ptr<ByteSource> source)
      : path_(std::move(path)), source_(std::move(source)), buffer_(4 * kLogLineBytesMax) {}

  Result<void> refill() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const auto got = source_->read(std::span(buffer_).subspan(end_));
    if (!got) return std::unexpected(got.error());
    end_ += *got;
    is_over_ = *got == 0;
    return {};
  }

  std::string path_;
  std::unique_ptr<ByteSource> source_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool is_over_ = false;
};

bool is_log_separator(char c) { return c == ' ' || c == '\t' || c == ',' || c == ';'; }

// The next field; nothing is left of `line` but what follows it.
std::string_view take_field(std::string_view* line) {
  const std::size_t end =
      static_cast<std::size_t>(std::ranges::find_if(*line, is_log_separator) - line->begin());
  const std::string_view field = line->substr(0, end);
  line->remove_prefix(end);
  while (!line->empty() && is_log_separator(line->front())) line->remove_prefix(1);
  return field;
}

class Seen {
 public:
  Result<void> count_log(const std::string& path, std::uint64_t KeyCount::* what) {
    auto lines = LineReader::open(path);
    if (!lines) return std::unexpected(lines.error());
    bool has_any = false;
    for (std::string_view line;;) {
      const auto more = lines->next(&line);
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      const auto parsed = parse_log_line(line);
      if (!parsed)
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("{}:{}: {}", path, lines->number, parsed.error().message));
      if (!*parsed) continue;
      has_any = true;
      first_ = std::min(first_, (*parsed)->seconds);
      last_ = std::max(last_, (*parsed)->seconds);
      auto count = at((*parsed)->feature, trace_key((*parsed)->key));
      if (!count) return std::unexpected(count.error());
      ++((*count)->*what);
    }
    if (!has_any)
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: no line in it says `time feature key`", path));
    return {};
  }

  Result<void> count_trace(const SeenFiles& files) {
    auto reader = TraceReader::open(files.trace, files.format);
    if (!reader) return std::unexpected(reader.error());
    std::array<TraceRequest, 1024> batch;
    for (;;) {
      const auto got = reader->read(batch);
      if (!got) return std::unexpected(got.error());
      if (*got == 0) return {};
      for (const TraceRequest& request : std::span(batch).first(*got)) {
        auto count = at(files.trace_feature, request.key);
        if (!count) return std::unexpected(count.error());
        ++(*count)->reads;
      }
    }
  }

  Result<double> span_seconds(Duration given) const {
    if (given > Duration::zero()) return to_seconds(given);
    if (last_ - first_ >= kSpanSecondsMin) return last_ - first_;
    return fail(
        ErrorCode::kInvalidArgument,
        "the logs' times span less than a second, so there is no rate in them; say how long was logged "
        "with --duration");
  }

  // Takes the counts apart.
  KnownWorkloads take(double seconds, const SeenFiles& files) {
    KnownWorkloads known;
    for (auto& [name, counts] : features_) {
      std::vector<KeyCount> list;
      list.reserve(counts.size());
      for (const auto& [key, count] : counts) list.push_back(count);
      counts.clear();
      known.emplace(name, describe(std::move(list), seconds, files));
    }
    return known;
  }

 private:
  static KnownWorkload describe(std::vector<KeyCount> list, double seconds, const SeenFiles& files) {
    std::uint64_t reads = 0, updates = 0, keys = 0, updates_of_read = 0;
    for (const KeyCount& one : list) {
      reads += one.reads;
      updates += one.updates;
      keys += one.reads > 0 ? 1 : 0;
      updates_of_read += one.reads > 0 ? one.updates : 0;
    }
    KnownWorkload known;
    known.workload = workload_of(std::move(list), seconds);
    known.source =
        fmt::format("{}: {} reads of {} keys, {} changes in {:.0f} s",
                    files.trace.empty() ? files.reads : files.trace, reads, keys, updates, seconds);
    if (reads == 0) known.notes.emplace_back("nobody read it in that time: its workload is not known");
    // Reads and changes of wholly different keys are far likelier two spellings than two worlds, and would be
    // predicted never to be stale.
    if (reads > 0 && updates > 0 && updates_of_read == 0) {
      known.workload.classes.clear();
      known.notes.push_back(
          fmt::format("none of its {} changes is of a key that was read: do the two files spell keys "
                      "alike? Its workload counts as not known",
                      updates));
    }
    // With none seen in t, rates above 3 / t are refuted at 95 %.
    if (updates == 0)
      known.notes.push_back(
          fmt::format("no change seen: all its keys together change less than {:.2g} times "
                      "a second (95 %)",
                      3.0 / seconds));
    return known;
  }

  Result<KeyCount*> at(std::string_view feature, std::uint64_t key) {
    auto it = features_.find(feature);
    if (it == features_.end()) {
      if (features_.size() == kFeaturesMax)
        return fail(ErrorCode::kLimit, fmt::format("more than {} features in the logs", kFeaturesMax));
      it = features_.emplace(feature, Counts()).first;
    }
    const auto [entry, is_new] = it->second.try_emplace(key);
    if (is_new && ++keys_ > kKeysMax)
      return fail(ErrorCode::kLimit, fmt::format("more than {} keys in the files: cut them", kKeysMax));
    return &entry->second;
  }

  std::map<std::string, Counts, std::less<>> features_;
  std::size_t keys_ = 0;
  double first_ = kSecondsMax, last_ = -kSecondsMax;
};

}  // namespace

Result<std::optional<LogLine>> parse_log_line(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  while (!line.empty() && is_log_separator(line.front())) line.remove_prefix(1);
  if (line.empty() || line.front() == '#') return std::nullopt;
  LogLine parsed;
  const std::string_view time = take_field(&line);
  parsed.feature = take_field(&line);
  parsed.key = line;
  if (time == "time" && parsed.feature == "feature") return std::nullopt;
  const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), parsed.seconds);
  if (error != std::errc() || end != time.data() + time.size() || !(std::abs(parsed.seconds) < kSecondsMax))
    return fail(ErrorCode::kInvalidArgument,
                "expected `time feature key`, the time in seconds such as 1700000000.25");
  if (parsed.key.empty())
    return fail(ErrorCode::kInvalidArgument, "expected `time feature key`, but the key is missing");
  return parsed;
}

Result<KnownWorkloads> read_seen_files(const SeenFiles& files) {
  Seen seen;
  if (auto done = seen.count_log(files.writes, &KeyCount::updates); !done)
    return std::unexpected(done.error());
  auto done = files.trace.empty() ? seen.count_log(files.reads, &KeyCount::reads) : seen.count_trace(files);
  if (!done) return std::unexpected(done.error());
  const auto seconds = seen.span_seconds(files.duration);
  if (!seconds) return std::unexpected(seconds.error());
  return seen.take(*seconds, files);
}

}  // namespace candor::app
