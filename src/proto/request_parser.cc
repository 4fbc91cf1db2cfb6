#include "proto/request_parser.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/resp_number.h"

namespace candor::resp {

namespace {

// How much of a new chunk is copied behind an unfinished request when nobody can tell how much is missing:
// enough to finish a usual request in one step, little enough that the rest of the chunk stays uncopied.
constexpr std::size_t kCopyStep = 512;

// What a parser holds on to between requests; more (after a large value) is given back.
constexpr std::size_t kKeptCapacityMax = std::size_t{64} << 10;
constexpr std::size_t kArgsCapacityMax = 1024;

// Longer than any number; a header that goes on beyond it is wrong whatever follows.
constexpr std::size_t kHeaderBytesMax = 32;

constexpr std::int64_t kBulkHeaderUnread = -1;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A length in its usual form: up to eight digits, no leading zero, CRLF behind, all in hand. Returns the
// position behind the CRLF, or null for anything else, which the careful path then judges.
inline const char* quick_length(const char* at, const char* end, std::int64_t* out) {
  if (end - at < 3) return nullptr;
  const unsigned first = static_cast<unsigned char>(*at) - unsigned{'0'};
  if (first > 9) return nullptr;
  std::int64_t value = first;
  const char* p = at + 1;
  if (first != 0) {
    const char* const last = at + std::min<std::ptrdiff_t>(8, end - at - 2);
    for (; p < last; ++p) {
      const unsigned digit = static_cast<unsigned char>(*p) - unsigned{'0'};
      if (digit > 9) break;
      value = value * 10 + digit;
    }
  }
  if (p[0] != '\r' || p[1] != '\n') return nullptr;
  *out = value;
  return p + 2;
}

char unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

// One argument with quotes in it, from `at`; null if the quotes do not balance. The rules are those of Redis'
// sdssplitargs(): "…" knows escapes and \xHH, '…' knows only \', and a closing quote ends the argument.
const char* take_quoted(const char* at, const char* end, std::string* out) {
  char quote = 0;
  for (; at != end; ++at) {
    const char c = *at;
    if (quote == 0) {
      if (is_space(c)) return at;
      if (c == '"' || c == '\'') {
        quote = c;
      } else {
        out->push_back(c);
      }
      continue;
    }
    if (c == quote) {
      ++at;
      return at == end || is_space(*at) ? at : nullptr;
    }
    if (quote == '"' && c == '\\' && end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 &&
        hex_digit(at[3]) >= 0) {
      out->push_back(static_cast<char>(hex_digit(at[2]) * 16 + hex_digit(at[3])));
      at += 3;
    } else if (quote == '"' && c == '\\' && end - at >= 2) {
      out->push_back(unescape(*++at));
    } else if (quote == '\'' && c == '\\' && end - at >= 2 && at[1] == '\'') {
      out->push_back(*++at);
    } else {
      out->push_back(c);
    }
  }
  return quote == 0 ? at : nullptr;
}

}  // namespace

void RequestParser::feed(std::string_view chunk) {
  unquoted_.clear();
  if (!kept_.empty()) {
    finishing_ = true;
    chunk_ = chunk;
    return;
  }
  base_ = at_ = chunk.data();
  end_ = chunk.data() + chunk.size();
}

void RequestParser::resume() {
  unquoted_.clear();
  finishing_ = in_array_ = false;  // kept_ begins where the request at hand does
  args_.clear();
  bulk_bytes_ = kBulkHeaderUnread;
  replayed_.swap(kept_);
  kept_.clear();
  base_ = at_ = replayed_.data();
  end_ = at_ + replayed_.size();
}

RequestParser::Status RequestParser::next() {
  if (failed()) return Status::kError;
  if (!in_array_) args_.clear();
  for (;;) {
    if (!in_array_) base_ = at_;
    const Status status = step();
    if (status == Status::kRequest && args_.empty()) continue;
    if (status != Status::kNeedMore) return status;
    if (!finishing_ || !append_more()) return Status::kNeedMore;
  }
}

RequestParser::Status RequestParser::step() {
  if (in_array_) return parse_bulks();
  if (at_ == end_) return Status::kNeedMore;
  if (*at_ != '*') return parse_inline();
  std::int64_t count = 0;
  switch (read_length("mbulk", &count)) {
    case Length::kNeedMore:
      return Status::kNeedMore;
    case Length::kError:
      return Status::kError;
    case Length::kRead:
      break;
  }
  if (!check_array(count)) return Status::kError;
  if (count <= 0) return complete();
  in_array_ = true;
  args_left_ = count;
  bulk_bytes_ = kBulkHeaderUnread;
  return parse_bulks();
}

RequestParser::Status RequestParser::parse_bulks() {
  for (;;) {
    if (bulk_bytes_ == kBulkHeaderUnread) {
      if (at_ == end_) return Status::kNeedMore;
      if (*at_ != '$') return fail(std::string("Protocol error: expected '$', got '") + *at_ + "'");
      std::int64_t bytes = 0;
      const Length length = read_length("bulk", &bytes);
      if (length == Length::kNeedMore) return Status::kNeedMore;
      if (length == Length::kError || !check_bulk(bytes)) return Status::kError;
      bulk_bytes_ = bytes;
    }
    if (end_ - at_ < bulk_bytes_ + 2) return Status::kNeedMore;
    const char* const tail = at_ + bulk_bytes_;
    if (tail[0] != '\r' || tail[1] != '\n') return fail("Protocol error: expected CRLF after a bulk string");
    args_.emplace_back(at_, static_cast<std::size_t>(bulk_bytes_));
    at_ = tail + 2;
    bulk_bytes_ = kBulkHeaderUnread;
    if (--args_left_ == 0) return complete();
  }
}

RequestParser::Status RequestParser::parse_inline() {
  const auto in_hand = static_cast<std::size_t>(end_ - at_);
  const std::size_t searched = std::min(in_hand, limits_.line_bytes_max + 1);
  const auto* newline = static_cast<const char*>(std::memchr(at_, '\n', searched));
  if (newline == nullptr) {
    return searched > limits_.line_bytes_max ? fail("Protocol error: too big inline request")
                                             : Status::kNeedMore;
  }
  std::string_view line(at_, static_cast<std::size_t>(newline - at_));
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!split_inline(line)) return Status::kError;
  at_ = newline + 1;
  return complete();
}

bool RequestParser::split_inline(std::string_view line) {
  const std::size_t args_max = authenticated_ ? limits_.args_max : limits_.unauthenticated_args_max;
  const char* at = line.data();
  const char* const end = at + line.size();
  for (;;) {
    while (at != end && is_space(*at)) ++at;
    if (at == end) return true;
    if (args_.size() == args_max) {
      fail("Protocol error: too many arguments in an inline request");
      return false;
    }
    const char* const begin = at;
    while (at != end && !is_space(*at) && *at != '"' && *at != '\'') ++at;
    if (at == end || is_space(*at)) {
      args_.emplace_back(begin, static_cast<std::size_t>(at - begin));
      continue;
    }
    std::string& copy = unquoted_.emplace_back();
    at = take_quoted(begin, end, &copy);
    if (at == nullptr) {
      fail("Protocol error: unbalanced quotes in request");
      return false;
    }
    args_.emplace_back(copy);
  }
}

RequestParser::Status RequestParser::complete() {
  in_array_ = false;
  if (finishing_) {
    // What was copied too much lies in the chunk just before the part that was not copied.
    const char* const resume = chunk_.data() - (end_ - at_);
    base_ = at_ = resume;
    end_ = chunk_.data() + chunk_.size();
    finishing_ = false;
  }
  return Status::kRequest;
}

RequestParser::Status RequestParser::fail(std::string message) {
  error_ = std::move(message);
  return Status::kError;
}

RequestParser::Length RequestParser::read_length(const char* what, std::int64_t* out) {
  if (const char* after = quick_length(at_ + 1, end_, out)) [[likely]] {
    at_ = after;
    return Length::kRead;
  }
  const auto in_hand = static_cast<std::size_t>(end_ - at_);
  const std::size_t searched = std::min(in_hand, kHeaderBytesMax);
  const auto* cr = static_cast<const char*>(std::memchr(at_, '\r', searched));
  if (cr == nullptr) {
    if (searched < kHeaderBytesMax) return Length::kNeedMore;
    fail(std::string("Protocol error: too big ") + what + " count string");
    return Length::kError;
  }
  if (cr + 1 == end_) return Length::kNeedMore;
  const std::string_view digits(at_ + 1, static_cast<std::size_t>(cr - at_ - 1));
  if (cr[1] != '\n' || !parse_integer(digits, out)) {
    fail(*at_ == '*' ? "Protocol error: invalid multibulk length" : "Protocol error: invalid bulk length");
    return Length::kError;
  }
  at_ = cr + 2;
  return Length::kRead;
}

bool RequestParser::check_array(std::int64_t count) {
  if (count <= 0) return true;  // Redis takes "*-1" as an empty request, so do we
  const auto args = static_cast<std::uint64_t>(count);
  if (args > limits_.args_max) {
    fail("Protocol error: invalid multibulk length");
  } else if (!authenticated_ && args > limits_.unauthenticated_args_max) {
    fail("Protocol error: unauthenticated multibulk length");
  }
  return !failed();
}

bool RequestParser::check_bulk(std::int64_t bytes) {
  const auto size = static_cast<std::uint64_t>(bytes);
  if (bytes < 0 || size > limits_.bulk_bytes_max) {
    fail("Protocol error: invalid bulk length");
  } else if (!authenticated_ && size > limits_.unauthenticated_bulk_bytes_max) {
    fail("Protocol error: unauthenticated bulk length");
  } else if (static_cast<std::uint64_t>(at_ - base_) + size + 2 > limits_.request_bytes_max) {
    fail("Protocol error: request larger than the limit");
  }
  return !failed();
}

bool RequestParser::append_more() {
  if (chunk_.empty()) return false;
  std::size_t wanted = kCopyStep;
  if (in_array_ && bulk_bytes_ != kBulkHeaderUnread) {
    const std::int64_t missing = bulk_bytes_ + 2 - (end_ - at_);
    wanted = std::max(wanted, static_cast<std::size_t>(missing));
  }
  const std::size_t taken = std::min(wanted, chunk_.size());
  grow_kept(taken);
  kept_.append(chunk_.substr(0, taken));
  chunk_.remove_prefix(taken);
  end_ = kept_.data() + kept_.size();
  return true;
}

// Makes room for `bytes` more, doubling: memory stays within twice of what was received.
void RequestParser::grow_kept(std::size_t bytes) {
  if (kept_.capacity() - kept_.size() >= bytes) return;
  std::string grown;
  grown.reserve(std::max(kept_.capacity() * 2, kept_.size() + bytes));
  grown.append(kept_);
  rebase_args(kept_.data(), grown.data());
  at_ = grown.data() + (at_ - kept_.data());
  base_ = grown.data();
  kept_.swap(grown);
}

void RequestParser::rebase_args(const char* old_base, const char* new_base) {
  for (auto& arg : args_) {
    // Arguments that were unquoted live elsewhere, but inline requests are parsed only when they are
    // complete.
    arg = std::string_view(new_base + (arg.data() - old_base), arg.size());
  }
}

void RequestParser::keep_rest() {
  if (finishing_) {
    grow_kept(chunk_.size());
    kept_.append(chunk_);
    chunk_ = {};
    end_ = kept_.data() + kept_.size();
    return;
  }
  const char* const begin = in_array_ ? base_ : at_;
  const std::ptrdiff_t parsed = at_ - begin;
  if (kept_.capacity() > kKeptCapacityMax) std::string().swap(kept_);
  kept_.assign(begin, static_cast<std::size_t>(end_ - begin));
  if (in_array_) {
    rebase_args(begin, kept_.data());
  } else {
    args_.clear();
    if (args_.capacity() > kArgsCapacityMax) args_.shrink_to_fit();
  }
  std::string().swap(replayed_);
  base_ = kept_.data();
  at_ = base_ + parsed;
  end_ = base_ + kept_.size();
}

}  // namespace candor::resp
