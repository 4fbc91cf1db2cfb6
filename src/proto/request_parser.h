// Parses what clients send: arrays of bulk strings, and inline commands. Incremental and zero-copy: the
// arguments of a request that lies wholly inside one chunk are views into that chunk; only the bytes of a
// request that is not yet complete are kept.
//
//   parser.feed(chunk);
//   while (parser.next() == Status::kRequest) use(parser.args());
//   parser.keep_rest();
//
// A caller that has enough may stop early: keep_rest() keeps whole requests too, and resume() goes on with
// them.
//
// Invariants
//   - Every limit is checked on the announced number, before anything is allocated for it; memory grows only
//   with
//     bytes received.
//   - Views stay valid until keep_rest() (or the next feed()); the args() array until the next next().
//   - Where a chunk is cut makes no difference to the requests that come out.
//   - After an error the parser is done: the stream cannot be trusted any more, close the connection.
// Thread safety: none. One per connection.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace candor::resp {

struct RequestLimits {
  // Redis' own limit before 7.0; an MGET of a million keys is already more than anyone should send.
  std::size_t args_max = std::size_t{1024} * 1024;
  // The largest value of the data model.
  std::size_t bulk_bytes_max = std::size_t{64} << 20;
  // Lines: inline commands and the headers of arrays and bulks. Redis' PROTO_INLINE_MAX_SIZE.
  std::size_t line_bytes_max = std::size_t{64} << 10;
  // One whole request: room for one value of the largest size with its key, or an MSET of as much.
  std::size_t request_bytes_max = std::size_t{80} << 20;
  // Before AUTH; Redis' numbers since 6.2.6 (CVE-2021-32675).
  std::size_t unauthenticated_args_max = 10;
  std::size_t unauthenticated_bulk_bytes_max = 16384;
};

class RequestParser {
 public:
  enum class Status : std::uint8_t { kRequest, kNeedMore, kError };

  explicit RequestParser(RequestLimits limits = {}) : limits_(limits) {}

  // While false, the two `unauthenticated` limits hold.
  void set_authenticated(bool authenticated) { authenticated_ = authenticated; }

  // Begins a chunk. The bytes must stay where they are until keep_rest().
  void feed(std::string_view chunk);
  // Begins with what keep_rest() kept after a caller stopped early; a request of which a part has come is
  // parsed from its beginning.
  void resume();

  // The next request, if it is complete. Empty requests ("*0", an empty line) are skipped.
  [[nodiscard]] Status next();
  [[nodiscard]] std::span<const std::string_view> args() const { return args_; }

  // Ends a chunk: keeps the bytes that were not parsed, forgets the rest. Invalidates all views.
  void keep_rest();

  // After kError: Redis' words ("Protocol error: invalid bulk length"), without the "ERR " before it.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] bool failed() const { return !error_.empty(); }
  // True between requests: nothing has arrived of the next one.
  [[nodiscard]] bool is_idle() const { return !in_array_ && at_ == end_ && kept_.empty(); }
  // Bytes that the parser holds on to, for the client list and for limits.
  [[nodiscard]] std::size_t kept_bytes() const {
    return kept_.capacity() + replayed_.capacity() + args_.capacity() * sizeof(std::string_view);
  }

 private:
  enum class Length : std::uint8_t { kRead, kNeedMore, kError };

  // One attempt at the request at hand with the bytes that are in [at_, end_).
  Status step();
  Status parse_bulks();
  Status parse_inline();
  Status complete();
  Status fail(std::string message);
  // Reads "<number>CRLF" behind the type byte at `at_`; moves `at_` behind it only when it is complete.
  Length read_length(const char* what, std::int64_t* out);
  bool check_array(std::int64_t count);
  bool check_bulk(std::int64_t bytes);
  bool split_inline(std::string_view line);
  // Copies more of the chunk behind the unfinished request in kept_. False if there is no more.
  bool append_more();
  void grow_kept(std::size_t bytes);
  void rebase_args(const char* old_base, const char* new_base);

  RequestLimits limits_;
  bool authenticated_ = true;

  // What is being parsed: [at_, end_) of the chunk, or of kept_ while finishing_. base_ is where the current
  // request begins; everything in args_ that belongs to an unfinished request lies at or behind it.
  const char* base_ = nullptr;
  const char* at_ = nullptr;
  const char* end_ = nullptr;

  bool in_array_ = false;         // the array's header has been read, its bulks are under way
  std::int64_t args_left_ = 0;    // bulks not yet complete
  std::int64_t bulk_bytes_ = -1;  // of the bulk under way; -1: its header has not been read

  // A request that began in an earlier chunk is being completed in kept_, out of chunk_. Once it is complete,
  // parsing goes on in the chunk itself.
  bool finishing_ = false;
  std::string_view chunk_;  // what of the chunk has not been copied to kept_; used while finishing_
  std::string kept_;
  std::string replayed_;  // what resume() parses, as its chunk
  std::vector<std::string_view> args_;
  std::list<std::string> unquoted_;  // inline arguments that had quotes
  std::string error_;
};

}  // namespace candor::resp
