#include "bus/redis_stream.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/units.h"
#include "bus/message_format.h"
#include "bus/redis_stream_scripts.h"

namespace candor {
namespace {

// One script call: the server does nothing else meanwhile; 64 messages are about 200 µs.
constexpr std::size_t kChunkMessages = 64;
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
// Entries of one XREAD: 64 of the largest are 64 MiB, which the reply's limit lets pass.
constexpr std::string_view kReadCount = "64";
// A reply may come this much after the block is over, before the connection counts as dead.
constexpr Duration kBlockSlack = 2s;
// A demoted server refuses writes for as long as we stay connected to it.
constexpr Duration kReplacePause = 1s;

redis::ClientOptions client_options(const RedisStream::Options& options, Duration timeout) {
  redis::ClientOptions client = options.client;
  client.command_timeout = timeout;
  client.reconnect = {.first = 20ms, .limit = 500ms};
  return client;
}

std::string advice(std::string_view error) {
  if (error.starts_with("OOM")) {
    return "; its `maxmemory` is used up: raise it (a stream must not share memory with an L2 that fills it)";
  }
  if (error.starts_with("NOPERM")) {
    return "; give the user EVAL, EVALSHA, SCRIPT, XREAD and the keys {candor:*}";
  }
  if (error.starts_with("MISCONF")) return "; it cannot write its snapshot, see its own log";
  if (error.starts_with("WRONGTYPE")) return "; another program uses the stream's keys";
  return "";
}

// Of the form {key: [entry, ...]}; RESP2 servers send [[key, [entry, ...]]].
const std::vector<resp::RespValue>* entries_of(const resp::RespValue& reply) {
  if (!reply.is_list() || reply.items.empty()) return nullptr;
  const bool flat = reply.type == resp::RespValue::Type::kMap;
  const std::vector<resp::RespValue>& pair = flat ? reply.items : reply.items[0].items;
  return pair.size() == 2 && pair[1].is_list() ? &pair[1].items : nullptr;
}

}  // namespace

RedisStream::RedisStream(Executor* executor, Transport* transport, Options options, std::uint64_t seed)
    : executor_(executor),
      transport_(transport),
      options_(std::move(options)),
      stream_key_(fmt::format("{{candor:{}}}:stream", options_.region)),
      state_key_(fmt::format("{{candor:{}}}:state", options_.region)),
      random_(mix64(seed)),
      backoff_(options_.retry, mix64(seed + 1)) {
  make_clients();
}

RedisStream::~RedisStream() {
  *alive_ = false;
  executor_->cancel(read_timer_);
  for (Appending& a : std::exchange(waiting_, {})) {
    a.done.set(fail(ErrorCode::kUnavailable, describe() + ": shutting down"));
  }
}

std::string RedisStream::describe() const {
  return fmt::format("{} stream candor:{}", commands_->describe(), options_.region);
}

StreamStatus RedisStream::status() const { return status_; }

void RedisStream::make_clients() {
  redis::ClientOptions commands = client_options(options_, options_.append_timeout);
  commands.hello.scripts.assign(stream_scripts::kTexts.begin(), stream_scripts::kTexts.end());
  commands.hello.client_name = "candor-stream";
  redis::ClientOptions blocking = client_options(options_, options_.block + kBlockSlack);
  blocking.hello.client_name = "candor-stream-reader";
  // One command at a time, paced by our own backoff: a breaker would only add to it.
  blocking.breaker.outcomes_min = UINT32_MAX;
  commands.breaker.cool_down_max = 2s;
  commands_ = std::make_unique<redis::Client>(executor_, transport_, std::move(commands), random_());
  blocking_ = std::make_unique<redis::Client>(executor_, transport_, std::move(blocking), random_());
}

// A server that answers READONLY was demoted; its name may lead to another one by now.
void RedisStream::replace_clients() {
  if (std::exchange(replacing_, true)) return;
  auto later = [this, alive = alive_] {
    if (!*alive) return;
    auto commands = std::move(commands_), blocking = std::move(blocking_);
    make_clients();
    commands.reset();  // answers what is outstanding
    blocking.reset();
    if (!*alive) return;
    executor_->schedule(executor_->now() + kReplacePause, [this, alive] {
      if (*alive) replacing_ = false;
    });
  };
  executor_->post(std::move(later));
}

// ---- appending ----

Task<Result<SequenceNumber>> RedisStream::append(StreamMessage message) {
  auto bytes = encode_message(message);
  if (!bytes) {
    ++status_.errors;
    co_return std::unexpected(bytes.error());
  }
  if (appends_under_way_ >= options_.appends_max ||
      append_bytes_under_way_ + bytes->size() > options_.append_bytes_max) {
    ++status_.errors;
    co_return fail(ErrorCode::kOverloaded,
                   fmt::format("{}: {} appends of {} bytes wait already; retry later", describe(),
                               appends_under_way_, append_bytes_under_way_));
  }
  ++appends_under_way_;
  append_bytes_under_way_ += bytes->size();
  Appending appending{fmt::format("{:016x}", random_()), std::move(*bytes), {}};
  const OneShot<Result<SequenceNumber>> done = appending.done;
  waiting_.push_back(std::move(appending));
  if (waiting_.size() == 1) {
    executor_->at_end_of_turn([this, alive = alive_] {
      if (*alive) flush();
    });
  }
  Result<SequenceNumber> result = co_await done;
  co_return result;
}

void RedisStream::flush() {
  Chunk chunk;
  std::size_t bytes = 0;
  for (Appending& a : std::exchange(waiting_, {})) {
    if (!chunk.empty() && (chunk.size() >= kChunkMessages || bytes + a.bytes.size() > kChunkBytes)) {
      spawn(send(std::exchange(chunk, {})));
      bytes = 0;
    }
    bytes += a.bytes.size();
    chunk.push_back(std::move(a));
  }
  if (!chunk.empty()) spawn(send(std::move(chunk)));
}

Task<void> RedisStream::send(Chunk chunk) {
  std::vector<std::string> args{stream_key_, state_key_, std::to_string(options_.messages_kept),
                                std::to_string(options_.bytes_kept)};
  std::size_t bytes = 0;
  for (Appending& a : chunk) {
    bytes += a.bytes.size();
    args.push_back(a.nonce);
    args.push_back(std::move(a.bytes));
  }
  const auto alive = alive_;
  Result<resp::RespValue> reply = co_await commands_->run(stream_scripts::kAppend, 2, std::move(args));
  if (!*alive) {
    for (Appending& a : chunk) a.done.set(fail(ErrorCode::kTimeout, "the stream was closed"));
    co_return;
  }
  appends_under_way_ -= chunk.size();
  append_bytes_under_way_ -= bytes;
  settle(chunk, checked(std::move(reply)));
}

// The callers may do anything, the last thing included.
void RedisStream::settle(Chunk& chunk, const Result<resp::RespValue>& reply) {
  std::optional<std::uint64_t> last;
  if (reply && reply->items.size() == 2) last = parse_digits(reply->items[1].text);
  if (!last || *last < chunk.size()) {
    status_.errors += chunk.size();
    const Error error =
        reply ? Error{ErrorCode::kInternal, describe() + ": the append script gave an unknown answer"}
              : reply.error();
    for (Appending& a : chunk) a.done.set(std::unexpected(error));
    return;
  }
  status_.appended += chunk.size();
  std::uint64_t n = *last - chunk.size();
  for (Appending& a : chunk) a.done.set(SequenceNumber{++n});
}

// An error of the server is an error of ours, with what to do about it.
Result<resp::RespValue> RedisStream::checked(Result<resp::RespValue> reply) {
  if (!reply) {
    // The client turns errors that speak of the server's state into kUnavailable, with their text.
    if (reply.error().message.find("READONLY") != std::string::npos) replace_clients();
    return reply;
  }
  if (!reply->is_error()) return reply;
  if (reply->text.find("READONLY") != std::string::npos) replace_clients();
  return fail(ErrorCode::kUnavailable, fmt::format("{}: {}{}", describe(), reply->text, advice(reply->text)));
}

// ---- looking ----

Task<Result<RedisStream::Look>> RedisStream::look() {
  const auto alive = alive_;
  std::vector<std::string> keys{stream_key_, state_key_};
  Result<resp::RespValue> raw = co_await commands_->run(stream_scripts::kLook, 2, std::move(keys));
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "the stream was closed");
  Result<resp::RespValue> reply = checked(std::move(raw));
  if (!reply) co_return std::unexpected(reply.error());
  Look seen;
  if (reply->is_null()) co_return seen;
  if (reply->items.size() == 3) {
    const auto epoch = parse_digits(reply->items[0].text), last = parse_digits(reply->items[1].text);
    if (epoch && last && *epoch != 0) {
      seen.epoch = *epoch;
      seen.last.value = *last;
      seen.chain = reply->items[2].text;
      co_return seen;
    }
  }
  co_return fail(ErrorCode::kUnavailable,
                 fmt::format("{}: the key {} holds something that is not ours", describe(), state_key_));
}

Task<Result<SequenceNumber>> RedisStream::tail() {
  Result<Look> seen = co_await look();
  if (!seen) co_return std::unexpected(seen.error());
  co_return seen->last;
}

// ---- reading ----

void RedisStream::read(std::optional<SequenceNumber> after, StreamReader* reader) {
  CANDOR_ASSERT(reader_ == nullptr && reader != nullptr);
  reader_ = reader;
  after_ = after;
  read_soon(Duration{0});
}

void RedisStream::read_soon(Duration pause) {
  read_timer_ = executor_->schedule(executor_->now() + pause, [this] {
    read_timer_ = TimerId{};
    spawn(read_for_ever());
  });
}

// Look; then wait for entries as long as some come; look again. Ends with the first failure, and begins anew
// after a pause.
Task<void> RedisStream::read_for_ever() {
  const auto alive = alive_;
  const std::string block = std::to_string(options_.block.count() / 1'000'000);
  for (;;) {
    Result<Look> seen = co_await look();
    if (!*alive) co_return;
    if (!seen) {
      set_connected(false, seen.error().message);
      break;
    }
    compare(*seen);
    if (!*alive) co_return;
    set_connected(true, "");
    bool more = true;
    while (more) {
      const std::string after = fmt::format("{}-{}", status_.epoch, status_.last.value);
      const std::array<std::string_view, 8> words{"XREAD", "COUNT",   kReadCount,  "BLOCK",
                                                  block,   "STREAMS", stream_key_, after};
      redis::Answer reading = blocking_->send(words);
      Result<resp::RespValue> raw = co_await reading;
      if (!*alive) co_return;
      Result<resp::RespValue> reply = checked(std::move(raw));
      if (!reply) {
        set_connected(false, reply.error().message);
        if (*alive) read_soon(backoff_.next());
        co_return;
      }
      more = !reply->is_null();
      if (more && !hand_over(*reply)) co_return;
      if (!more && expected_ > status_.last) {
        gap(SequenceNumber{expected_.value + 1}, "messages were trimmed before they were read");
        chain_.reset();
        if (!*alive) co_return;
      }
      if (!more) backoff_.reset();
    }
  }
  if (*alive) read_soon(backoff_.next());
}

// Is what the log says about itself a continuation of what was handed over?
void RedisStream::compare(const Look& look) {
  if (!started_) {
    started_ = true;
    status_.epoch = look.epoch;
    status_.last = after_.value_or(look.last);
    if (!after_) chain_ = look.chain;
    expected_ = look.last;
    if (look.last < status_.last) {
      gap(SequenceNumber{look.last.value + 1}, "the log ends before the position asked for");
      chain_ = look.chain;
    }
    return;
  }
  expected_ = look.last;
  if (look.epoch != status_.epoch) {
    const bool had_log = status_.epoch != 0;
    status_.epoch = look.epoch;
    if (!had_log && status_.last.value == 0) return;  // the first message of all is on its way
    chain_.reset();
    return gap(SequenceNumber{1}, look.epoch == 0 ? "the log was deleted" : "the log was made anew");
  }
  if (look.last < status_.last) {
    gap(SequenceNumber{look.last.value + 1}, "the log went backwards: restored, or a replica took over");
    chain_ = look.chain;
  } else if (look.last == status_.last && chain_ && *chain_ != look.chain) {
    gap(SequenceNumber{look.last.value + 1}, "the log has another history: restored, or a replica took over");
    chain_ = look.chain;
  }
}

// False: the reader closed the stream.
bool RedisStream::hand_over(const resp::RespValue& reply) {
  const auto alive = alive_;
  const std::vector<resp::RespValue>* const entries = entries_of(reply);
  if (entries == nullptr) return true;
  for (const resp::RespValue& entry : *entries) {
    hand_over_entry(entry);
    if (!*alive) return false;
  }
  return true;
}

void RedisStream::hand_over_entry(const resp::RespValue& entry) {
  const auto alive = alive_;
  const std::string id = entry.items.size() == 2 ? entry.items[0].text : "";
  const std::size_t dash = id.find('-');
  const auto epoch = parse_digits(id.substr(0, dash));
  const auto n = dash == id.npos ? std::nullopt : parse_digits(id.substr(dash + 1));
  if (!epoch || !n) {
    ++status_.errors;
    return;
  }
  const resp::RespValue& fields = entry.items[1];
  const resp::RespValue* const chain = fields.find("c");
  const resp::RespValue* const before = fields.find("p");
  const resp::RespValue* const bytes = fields.find("m");
  if (*epoch != status_.epoch) {
    const bool is_first = status_.epoch == 0 && status_.last.value == 0;
    status_.epoch = *epoch;
    if (is_first) {
      status_.last = SequenceNumber{0};
    } else {
      gap(SequenceNumber{*n}, "the log was made anew");
    }
    chain_ = is_first && *n == 1 ? std::optional<std::string>{""} : std::nullopt;
    expected_ = SequenceNumber{0};
  } else if (*n <= status_.last.value) {
    ++status_.duplicates;
    return;
  }
  if (!*alive) return;
  if (*n > status_.last.value + 1) {
    gap(SequenceNumber{*n}, fmt::format("messages before {} were trimmed", *n));
  } else if (chain_ && before != nullptr && before->text != *chain_) {
    gap(SequenceNumber{*n}, "the log has another history: restored, or a replica took over");
  }
  if (!*alive) return;
  auto message = decode_message(bytes == nullptr ? std::string_view{} : std::string_view{bytes->text});
  chain_ = chain == nullptr ? std::nullopt : std::optional{chain->text};
  if (!message) return gap(SequenceNumber{*n + 1}, message.error().message);
  status_.last.value = *n;
  ++status_.received;
  reader_->on_message(status_.last, std::move(*message));
}

void RedisStream::gap(SequenceNumber next, std::string reason) {
  ++status_.gaps;
  status_.last.value = next.value - 1;
  reader_->on_gap(next, fmt::format("{}: {}", describe(), reason));
}

void RedisStream::set_connected(bool connected, const std::string& problem) {
  status_.problem = problem;
  if (status_.connected == connected) return;
  status_.connected = connected;
  if (connected) status_.reconnects += std::exchange(was_connected_, true) ? 1U : 0U;
  reader_->on_connected(connected);
}

}  // namespace candor
