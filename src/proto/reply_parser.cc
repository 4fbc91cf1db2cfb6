#include "proto/reply_parser.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "proto/reply_writer.h"
#include "proto/resp_number.h"

namespace candor::resp {

namespace {

using Type = RespValue::Type;

constexpr std::size_t kVerbatimPrefix = 4;  // "txt:"

// A list's vector is given room for at most this many elements before any of them has arrived.
constexpr std::size_t kItemsReservedMax = 64;

bool parse_double(std::string_view text, double* out) {
  if (text == "inf" || text == "+inf") {
    *out = std::numeric_limits<double>::infinity();
    return true;
  }
  if (text == "-inf") {
    *out = -std::numeric_limits<double>::infinity();
    return true;
  }
  if (text == "nan" || text == "-nan") {
    *out = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return !text.empty() && code == std::errc{} && end == text.data() + text.size();
}

bool is_big_number(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

RespValue text_value(Type type, std::string_view text) {
  RespValue value;
  value.type = type;
  value.text = text;
  return value;
}

}  // namespace

const RespValue* RespValue::find(std::string_view key) const {
  if (type != Type::kMap && type != Type::kArray) return nullptr;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].is_text() && items[i].text == key) return &items[i + 1];
  }
  return nullptr;
}

void write_value(std::string& out, const RespValue& value) {
  constexpr auto kProtocol = Protocol::kResp3;
  switch (value.type) {
    case Type::kNull:
      return write_null(out, kProtocol);
    case Type::kSimple:
      return write_simple(out, value.text);
    case Type::kError:
      return write_error(out, value.text);
    case Type::kInteger:
      return write_integer(out, value.integer);
    case Type::kBulk:
      return write_bulk(out, value.text);
    case Type::kDouble:
      return write_double(out, value.number, kProtocol);
    case Type::kBoolean:
      return write_boolean(out, value.integer != 0, kProtocol);
    case Type::kVerbatim:
      return write_verbatim(out, "txt", value.text, kProtocol);
    case Type::kBigNumber:
      out.append("(").append(value.text).append("\r\n");
      return;
    case Type::kArray:
      write_array(out, value.items.size());
      break;
    case Type::kMap:
      write_map(out, value.items.size() / 2, kProtocol);
      break;
    case Type::kSet:
      write_set(out, value.items.size(), kProtocol);
      break;
    case Type::kPush:
      write_push(out, value.items.size(), kProtocol);
      break;
  }
  for (const auto& item : value.items) write_value(out, item);
}

void ReplyParser::reset() { *this = ReplyParser(limits_); }

ReplyParser::Status ReplyParser::next(std::string_view* bytes, RespValue* out) {
  if (!error_.empty()) return Status::kError;
  for (;;) {
    switch (step(bytes)) {
      case Step::kGoOn:
        break;
      case Step::kNeedMore:
        return Status::kNeedMore;
      case Step::kError:
        return Status::kError;
      case Step::kFinished:
        *out = std::exchange(finished_, RespValue{});
        items_ = 0;
        bytes_ = 0;
        return Status::kValue;
    }
  }
}

ReplyParser::Step ReplyParser::step(std::string_view* bytes) {
  return in_body_ ? take_body(bytes) : take_line(bytes);
}

ReplyParser::Step ReplyParser::take_line(std::string_view* bytes) {
  const std::size_t room = limits_.line_bytes_max - std::min(limits_.line_bytes_max, line_.size());
  const std::size_t newline = bytes->substr(0, room).find('\n');
  if (newline == std::string_view::npos) {
    if (bytes->size() >= room) return fail("a reply's line is longer than the limit");
    line_.append(*bytes);
    *bytes = {};
    return Step::kNeedMore;
  }
  std::string_view line = bytes->substr(0, newline + 1);
  bytes->remove_prefix(newline + 1);
  std::string joined;
  if (!line_.empty()) {
    joined = std::move(line_.append(line));
    line_.clear();
    line = joined;
  }
  if (line.size() < 3 || line[line.size() - 2] != '\r') return fail("a reply's line does not end in CRLF");
  return on_line(line.substr(0, line.size() - 2));
}

ReplyParser::Step ReplyParser::on_line(std::string_view line) {
  const char type = line[0];
  const std::string_view rest = line.substr(1);
  if (rest.find('\r') != std::string_view::npos) return fail("a carriage return inside a reply's line");
  RespValue value;
  switch (type) {
    case '+':
    case '-':
      if (!charge(rest.size())) return fail("a reply is larger than the limit");
      return deliver(text_value(type == '+' ? Type::kSimple : Type::kError, rest));
    case ':':
      value.type = Type::kInteger;
      if (!parse_integer(rest.starts_with('+') ? rest.substr(1) : rest, &value.integer))
        return fail("a reply's integer is not one");
      return deliver(std::move(value));
    case '_':
      return rest.empty() ? deliver(std::move(value)) : fail("a reply's null has text");
    case '#':
      value.type = Type::kBoolean;
      value.integer = rest == "t" ? 1 : 0;
      return rest == "t" || rest == "f" ? deliver(std::move(value))
                                        : fail("a reply's boolean is neither t nor f");
    case ',':
      value.type = Type::kDouble;
      return parse_double(rest, &value.number) ? deliver(std::move(value))
                                               : fail("a reply's double is not one");
    case '(':
      if (!charge(rest.size())) return fail("a reply is larger than the limit");
      return is_big_number(rest) ? deliver(text_value(Type::kBigNumber, rest))
                                 : fail("a reply's big number is not one");
    case '$':
    case '=':
    case '!':
      return on_text_length(type, rest);
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
      return on_list_length(type, rest);
    default:
      return fail("a reply begins with an unknown type byte");
  }
}

ReplyParser::Step ReplyParser::on_text_length(char type, std::string_view digits) {
  std::int64_t length = 0;
  if (!parse_integer(digits, &length)) return fail("a reply's bulk length is not a number");
  if (length == -1 && type == '$') return deliver(RespValue{});
  if (length < 0 || static_cast<std::uint64_t>(length) > limits_.bulk_bytes_max) {
    return fail("a reply's bulk length is negative or above the limit");
  }
  if (type == '=' && static_cast<std::size_t>(length) < kVerbatimPrefix)
    return fail("a reply's verbatim text has no format");
  if (!charge(static_cast<std::size_t>(length))) return fail("a reply is larger than the limit");
  in_body_ = true;
  body_type_ = type;
  body_left_ = static_cast<std::size_t>(length) + 2;
  return Step::kGoOn;
}

ReplyParser::Step ReplyParser::on_list_length(char type, std::string_view digits) {
  std::int64_t length = 0;
  if (!parse_integer(digits, &length)) return fail("a reply's element count is not a number");
  if (length == -1 && type == '*') return deliver(RespValue{});
  const bool is_pairs = type == '%' || type == '|';
  if (length < 0 || static_cast<std::uint64_t>(length) > limits_.items_max) {
    return fail("a reply's element count is negative or above the limit");
  }
  const std::size_t elements = static_cast<std::size_t>(length) * (is_pairs ? 2 : 1);
  // Elements announced count at once: nested lists cannot multiply what one of them is allowed.
  if (items_ + elements > limits_.items_max) return fail("a reply has more elements than the limit");
  items_ += elements;
  Frame frame;
  frame.left = elements;
  frame.is_attribute = type == '|';
  switch (type) {
    case '*':
      frame.value.type = Type::kArray;
      break;
    case '~':
      frame.value.type = Type::kSet;
      break;
    case '>':
      frame.value.type = Type::kPush;
      break;
    default:
      frame.value.type = Type::kMap;
      break;
  }
  if (elements == 0) return frame.is_attribute ? Step::kGoOn : deliver(std::move(frame.value));
  if (frames_.size() >= limits_.depth_max) return fail("a reply is nested deeper than the limit");
  frame.value.items.reserve(std::min(elements, kItemsReservedMax));
  frames_.push_back(std::move(frame));
  return Step::kGoOn;
}

ReplyParser::Step ReplyParser::take_body(std::string_view* bytes) {
  const std::size_t taken = std::min(body_left_, bytes->size());
  if (body_.empty() && taken == body_left_) body_.reserve(taken);
  body_.append(bytes->substr(0, taken));
  bytes->remove_prefix(taken);
  body_left_ -= taken;
  return body_left_ == 0 ? on_body() : Step::kNeedMore;
}

ReplyParser::Step ReplyParser::on_body() {
  if (!body_.ends_with("\r\n")) return fail("a reply's bulk string does not end in CRLF");
  body_.resize(body_.size() - 2);
  in_body_ = false;
  RespValue value;
  value.type = body_type_ == '$' ? Type::kBulk : body_type_ == '=' ? Type::kVerbatim : Type::kError;
  if (body_type_ == '=') {
    if (body_[kVerbatimPrefix - 1] != ':') return fail("a reply's verbatim text has no format");
    body_.erase(0, kVerbatimPrefix);
  }
  value.text = std::exchange(body_, std::string());
  return deliver(std::move(value));
}

// Puts a value where it belongs, and closes every list that it completes.
ReplyParser::Step ReplyParser::deliver(RespValue value) {
  for (;;) {
    if (frames_.empty()) {
      finished_ = std::move(value);
      return Step::kFinished;
    }
    Frame& top = frames_.back();
    if (!top.is_attribute) top.value.items.push_back(std::move(value));
    if (--top.left > 0) return Step::kGoOn;
    const bool dropped = top.is_attribute;
    value = std::move(top.value);
    frames_.pop_back();
    if (dropped) return Step::kGoOn;
  }
}

ReplyParser::Step ReplyParser::fail(std::string message) {
  error_ = std::move(message);
  return Step::kError;
}

bool ReplyParser::charge(std::size_t bytes) {
  bytes_ += bytes;
  return bytes_ <= limits_.reply_bytes_max;
}

}  // namespace candor::resp
