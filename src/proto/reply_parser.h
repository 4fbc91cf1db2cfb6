// Parses what a server answers, RESP2 and RESP3, into value trees. Incremental: a cut anywhere makes no
// difference.
//
//   std::string_view bytes = chunk;
//   RespValue value;
//   while (parser.next(&bytes, &value) == ReplyParser::Status::kValue) use(value);
//
// Invariants
//   - Depth, elements and bytes of one reply are bounded; memory grows only with bytes received, never by an
//   announced number.
//   - After an error the stream cannot be trusted: close the connection.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace candor::resp {

struct RespValue {
  enum class Type : std::uint8_t {
    kNull,
    kSimple,     // text
    kError,      // text, with its code word first; bulk errors too
    kInteger,    // integer
    kBulk,       // text
    kArray,      // items
    kMap,        // items: key, value, key, value
    kSet,        // items
    kPush,       // items; out of band
    kDouble,     // number
    kBoolean,    // integer: 0 or 1
    kBigNumber,  // text: the digits
    kVerbatim,   // text, without its three-letter format
  };
  Type type = Type::kNull;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<RespValue> items;

  [[nodiscard]] bool is_null() const { return type == Type::kNull; }
  [[nodiscard]] bool is_error() const { return type == Type::kError; }
  [[nodiscard]] bool is_integer() const { return type == Type::kInteger; }
  [[nodiscard]] bool is_push() const { return type == Type::kPush; }
  // A simple or bulk string, or verbatim text.
  [[nodiscard]] bool is_text() const {
    return type == Type::kSimple || type == Type::kBulk || type == Type::kVerbatim;
  }
  [[nodiscard]] bool is_list() const {
    return type == Type::kArray || type == Type::kSet || type == Type::kPush || type == Type::kMap;
  }
  // The value of `key` in a map, or in a flat RESP2 array of pairs; null if absent.
  [[nodiscard]] const RespValue* find(std::string_view key) const;
  friend bool operator==(const RespValue&, const RespValue&) = default;
};

// Writes `value` as RESP3: for tests, fakes and logs.
void write_value(std::string& out, const RespValue& value);

struct ReplyLimits {
  std::size_t depth_max = 16;  // the deepest reply that Redis itself gives (COMMAND DOCS) nests 8 deep
  std::size_t items_max = std::size_t{1} << 20;
  std::size_t bulk_bytes_max = std::size_t{65} << 20;  // a value of 64 MiB and the header of its entry
  std::size_t line_bytes_max = std::size_t{64} << 10;
  std::size_t reply_bytes_max = std::size_t{256} << 20;  // all text of one reply together
};

class ReplyParser {
 public:
  enum class Status : std::uint8_t { kValue, kNeedMore, kError };

  explicit ReplyParser(ReplyLimits limits = {}) : limits_(limits) {}

  // Consumes from the front of `bytes`. kValue: `out` holds the next reply, `bytes` begins behind it.
  // kNeedMore: all of `bytes` was consumed.
  [[nodiscard]] Status next(std::string_view* bytes, RespValue* out);
  [[nodiscard]] const std::string& error() const { return error_; }
  // Forgets everything: a new connection.
  void reset();

 private:
  // A list whose elements are still arriving.
  struct Frame {
    RespValue value;
    std::size_t left = 0;
    bool is_attribute = false;  // RESP3 metadata: read and dropped
  };
  enum class Step : std::uint8_t { kGoOn, kNeedMore, kFinished, kError };

  Step step(std::string_view* bytes);
  Step take_line(std::string_view* bytes);
  Step take_body(std::string_view* bytes);
  Step on_line(std::string_view line);
  Step on_text_length(char type, std::string_view digits);
  Step on_list_length(char type, std::string_view digits);
  Step on_body();
  Step deliver(RespValue value);
  Step fail(std::string message);
  bool charge(std::size_t bytes);

  ReplyLimits limits_;
  std::string line_;  // the part of a line that came in an earlier chunk
  bool in_body_ = false;
  char body_type_ = 0;
  std::size_t body_left_ = 0;  // bytes of the body still to come, its CRLF included
  std::string body_;
  std::vector<Frame> frames_;
  std::size_t items_ = 0;
  std::size_t bytes_ = 0;
  RespValue finished_;
  std::string error_;
};

}  // namespace candor::resp
