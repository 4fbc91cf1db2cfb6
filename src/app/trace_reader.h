// Reads traces: files that say which keys were asked for, in order. Streaming, in bounded memory.
//
// Formats, by the names that `candor replay --format` takes:
//   be32, be64    big-endian keys of 4 or 8 bytes, nothing else
//   lirs          text, one key a line; blank lines and lines of `*` are skipped
//   csvkey:N      text, the key is field N (counted from 0) of a line; fields end at commas, semicolons,
//   blanks or tabs arc           text, `start count …`: `count` consecutive keys from `start` oracle 24-byte
//   little-endian records: u32 time, u64 key, u32 size, i64 next (libCacheSim's oracleGeneral)
// A file that ends in .gz, .xz or .zst is decompressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/byte_source.h"
#include "base/result.h"

namespace candor::app {

struct TraceFormat {
  enum class Kind : std::uint8_t { kBe32, kBe64, kLirs, kCsvKey, kArc, kOracle } kind = Kind::kBe32;
  unsigned field = 0;  // of csvkey
};
[[nodiscard]] Result<TraceFormat> parse_trace_format(std::string_view name);
inline constexpr std::string_view kTraceFormatNames = "be32, be64, lirs, csvkey:N, arc, oracle";

// The key that a reader gives for this text: the number that it is, or its 64-bit hash.
[[nodiscard]] std::uint64_t trace_key(std::string_view text);

struct TraceRequest {
  std::uint64_t key = 0;   // text that is not a number: its 64-bit hash
  bool is_text = false;    // it is such a hash
  std::uint64_t size = 0;  // bytes of the value; 0 where the format does not say
};

// Thread safety: none.
class TraceReader {
 public:
  [[nodiscard]] static Result<TraceReader> open(const std::string& path, TraceFormat format);

  // The next requests, as many as there are up to into.size(); 0 at the end of the trace.
  [[nodiscard]] Result<std::size_t> read(std::span<TraceRequest> into);

  // How far it is, in bytes of the file as stored.
  [[nodiscard]] std::uint64_t bytes_read() const { return source_->consumed(); }
  [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; }

 private:
  TraceReader(std::string path, TraceFormat format, std::unique_ptr<ByteSource> source,
              std::uint64_t bytes_total);

  [[nodiscard]] Result<bool> refill();
  [[nodiscard]] Result<bool> next(TraceRequest* request);
  [[nodiscard]] Result<bool> next_record(TraceRequest* request);
  [[nodiscard]] Result<bool> next_line(std::string_view* line);
  [[nodiscard]] Result<bool> next_text(TraceRequest* request);
  [[nodiscard]] Result<bool> parse_line(std::string_view line, TraceRequest* request);
  [[nodiscard]] std::unexpected<Error> overlong_line() const;
  [[nodiscard]] std::unexpected<Error> bad_line(std::string_view line, const std::string& expected) const;

  std::string path_;
  TraceFormat format_;
  std::unique_ptr<ByteSource> source_;
  std::uint64_t bytes_total_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // unread bytes are [begin_, end_)
  std::size_t end_ = 0;
  std::uint64_t line_number_ = 0;
  std::uint64_t run_key_ = 0;  // arc: the rest of a line
  std::uint64_t run_left_ = 0;
};

// A whole trace in memory, its keys numbered in order of appearance: what the offline optimum needs.
struct NumberedTrace {
  std::vector<std::uint32_t> keys;  // below `unique`
  std::uint32_t unique = 0;
};
[[nodiscard]] Result<NumberedTrace> read_numbered_trace(const std::string& path, TraceFormat format);

}  // namespace candor::app
