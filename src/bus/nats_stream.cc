#include "bus/nats_stream.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
#include "base/units.h"
#include "bus/message_format.h"

namespace candor {
namespace {

using nlohmann::json;

constexpr std::size_t kNonceBytes = 8;
static_assert(kMessageBytesMax + kNonceBytes <= std::size_t{1} << 20, "NATS's default max_payload");
constexpr Duration kExpireTick = 25ms;
constexpr int kStreamNotFound = 10059;

// Values of a foreign document: a wrong type is the same as absent.
std::uint64_t number_in(const json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() && it->is_number() ? it->get<std::uint64_t>() : 0;
}
std::string text_in(const json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}
json part_of(const json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it != object.end() ? *it : json();
}

struct Numbers {
  std::string_view consumer_name;
  std::uint64_t stream = 0, consumer = 0;
};

// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; newer servers put
// <domain>.<account> before <stream>, and may add a token at the end.
std::optional<Numbers> numbers_of(std::string_view reply) {
  std::vector<std::string_view> tokens;
  for (std::size_t begin = 0; begin <= reply.size() && tokens.size() < 16;) {
    const std::size_t end = std::min(reply.find('.', begin), reply.size());
    tokens.push_back(reply.substr(begin, end - begin));
    begin = end + 1;
  }
  if (tokens.size() < 9 || tokens[0] != "$JS" || tokens[1] != "ACK") return std::nullopt;
  const std::size_t at = tokens.size() == 9 ? 5 : 7;
  const auto stream = parse_digits(tokens[at]), consumer = parse_digits(tokens[at + 1]);
  if (!stream || !consumer) return std::nullopt;
  return Numbers{tokens[at - 2], *stream, *consumer};
}

// What would break the promise of a log: messages that go earlier than limits say, or that are not all ours.
std::string incompatibility(const json& config, const std::string& subject) {
  if (text_in(config, "retention") != "limits") return "its retention must be `limits`";
  if (text_in(config, "discard") != "old") return "its discard policy must be `old`";
  if (part_of(config, "subjects") != json::array({subject})) return "its only subject must be " + subject;
  if (part_of(config, "no_ack") == json(true)) return "it must acknowledge (no_ack)";
  if (part_of(config, "sealed") == json(true)) return "it is sealed";
  if (part_of(config, "mirror").is_object()) return "it must not be a mirror";
  const json size = part_of(config, "max_msg_size");
  if (size.is_number() && size.get<std::int64_t>() > 0 &&
      size.get<std::uint64_t>() < kMessageBytesMax + kNonceBytes) {
    return fmt::format("its max_msg_size must be -1 or at least {}", kMessageBytesMax + kNonceBytes);
  }
  const json each = part_of(config, "max_msgs_per_subject");
  if (each.is_number() && each.get<std::int64_t>() > 0) return "max_msgs_per_subject must not be set";
  return "";
}

}  // namespace

NatsStream::NatsStream(Executor* executor, BlockingPool* pool, Options options, std::uint64_t seed)
    : executor_(executor),
      options_(std::move(options)),
      stream_name_("CANDOR_" + options_.region),
      subject_(fmt::format("candor.{}.stream", options_.region)),
      random_(mix64(seed)),
      backoff_(options_.retry, mix64(seed + 1)),
      link_(executor, pool, options_.link, mix64(seed + 2), this) {
  executor_->post([this, alive = alive_] {
    if (*alive) link_.connect();
  });
}

NatsStream::~NatsStream() {
  *alive_ = false;
  for (const TimerId timer : {expire_timer_, establish_timer_, watch_timer_}) executor_->cancel(timer);
  fail_waiting("shutting down");
}

std::string NatsStream::describe() const {
  return fmt::format("{} stream {}", options_.link.address.describe(), stream_name_);
}

// ---- requests ----

Task<NatsStream::Reply> NatsStream::request(std::string subject, std::string data, std::string_view kind,
                                            Duration timeout) {
  if (!link_.is_connected()) {
    co_return fail(ErrorCode::kUnavailable,
                   describe() + ": not connected; it is tried again in the background");
  }
  const std::uint64_t id = ++requests_;
  Waiting waiting;
  waiting.deadline = executor_->now() + timeout;
  const OneShot<Reply> done = waiting.done;
  waiting_.emplace(id, std::move(waiting));
  link_.send({std::move(subject), fmt::format("{}.{}", kind, id), std::move(data)});
  if (expire_timer_ == TimerId{}) {
    expire_timer_ = executor_->schedule(executor_->now() + kExpireTick, [this] { expire(); });
  }
  Reply reply = co_await done;
  co_return reply;
}

void NatsStream::expire() {
  expire_timer_ = TimerId{};
  const MonoTime now = executor_->now();
  std::vector<OneShot<Reply>> expired;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->second.deadline > now) {
      ++it;
      continue;
    }
    expired.push_back(it->second.done);
    it = waiting_.erase(it);
  }
  if (!waiting_.empty()) expire_timer_ = executor_->schedule(now + kExpireTick, [this] { expire(); });
  const Error error{ErrorCode::kTimeout, describe() + ": no answer in time; it may have been carried out"};
  for (const auto& done : expired) done.set(std::unexpected(error));
}

void NatsStream::fail_waiting(const std::string& reason) {
  const Error error{ErrorCode::kTimeout,
                    fmt::format("{}: the connection was lost ({}) before the answer; it may have been "
                                "carried out",
                                describe(), reason)};
  for (auto& [id, waiting] : std::exchange(waiting_, {})) waiting.done.set(std::unexpected(error));
}

void NatsStream::on_link(bool connected, const std::string& reason) {
  if (connected) return establish_soon(Duration{0});
  ++attempt_;
  consumer_.clear();
  const auto alive = alive_;
  fail_waiting(reason);
  if (*alive) set_connected(false, describe() + ": " + reason);
}

void NatsStream::on_incoming(nats::Incoming message) {
  if (message.subject == subject_) return on_delivery(message);
  if (message.subject.starts_with("d.")) return on_control(message);
  const std::size_t dot = message.subject.find('.');
  const auto id = dot == std::string::npos ? std::nullopt : parse_digits(message.subject.substr(dot + 1));
  const auto it = id ? waiting_.find(*id) : waiting_.end();
  if (it == waiting_.end()) return;  // it timed out
  const OneShot<Reply> done = it->second.done;
  waiting_.erase(it);
  if (message.status == "503") {
    done.set(fail(ErrorCode::kUnavailable, describe() + ": nobody answers"));
  } else {
    done.set(std::move(message.data));
  }
}

// ---- appending ----

Task<Result<SequenceNumber>> NatsStream::append(StreamMessage message) {
  auto bytes = encode_message(message);
  if (!bytes) {
    ++status_.errors;
    co_return std::unexpected(bytes.error());
  }
  const std::size_t size = bytes->size();
  if (appends_under_way_ >= options_.appends_max ||
      append_bytes_under_way_ + size > options_.append_bytes_max) {
    ++status_.errors;
    co_return fail(ErrorCode::kOverloaded,
                   fmt::format("{}: {} appends of {} bytes wait already; retry later", describe(),
                               appends_under_way_, append_bytes_under_way_));
  }
  std::uint64_t nonce = 0;
  while (nonce == 0) nonce = random_();
  std::string payload(kNonceBytes, '\0');
  std::memcpy(payload.data(), &nonce, kNonceBytes);
  payload += *bytes;
  ++appends_under_way_;
  append_bytes_under_way_ += size;
  const auto alive = alive_;
  Reply reply = co_await request(subject_, std::move(payload), "a", options_.append_timeout);
  if (!*alive) co_return fail(ErrorCode::kTimeout, "the stream was closed");
  --appends_under_way_;
  append_bytes_under_way_ -= size;
  if (reply) {
    const json ack = json::parse(*reply, nullptr, false);
    const std::uint64_t sequence = number_in(ack, "seq");
    if (text_in(ack, "stream") == stream_name_ && sequence != 0 && !ack.contains("error")) {
      ++status_.appended;
      co_return SequenceNumber{sequence};
    }
    const std::string why = text_in(part_of(ack, "error"), "description");
    reply = fail(ErrorCode::kUnavailable,
                 fmt::format("{}: refused: {}", describe(), why.empty() ? "another stream answered" : why));
  } else if (reply.error().code == ErrorCode::kUnavailable && link_.is_connected()) {
    establish_soon(Duration{0});  // the stream is gone, or JetStream is
  }
  ++status_.errors;
  co_return std::unexpected(reply.error());
}

Task<Result<SequenceNumber>> NatsStream::tail() {
  Result<Info> seen = co_await info();
  if (!seen) co_return std::unexpected(seen.error());
  co_return seen->last;
}

// ---- the stream and its consumer ----

std::string NatsStream::stream_config() const {
  return json{{"name", stream_name_},
              {"subjects", json::array({subject_})},
              {"description", "Candor: changes of region " + options_.region},
              {"retention", "limits"},
              {"discard", "old"},
              {"storage", "file"},
              {"max_msgs", options_.messages_kept},
              {"max_bytes", options_.bytes_kept},
              {"max_age", 0},
              {"max_consumers", -1},
              {"max_msg_size", -1},
              {"num_replicas", 1}}
      .dump();
}

Task<Result<NatsStream::Info>> NatsStream::info() {
  const auto alive = alive_;
  Reply reply = co_await request("$JS.API.STREAM.INFO." + stream_name_, "", "r", options_.request_timeout);
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "the stream was closed");
  if (!reply) {
    if (reply.error().message.ends_with("nobody answers")) {
      co_return fail(ErrorCode::kUnavailable,
                     describe() + ": JetStream does not answer; start nats-server with -js");
    }
    co_return std::unexpected(reply.error());
  }
  const json answer = json::parse(*reply, nullptr, false);
  if (const json error = part_of(answer, "error"); error.is_object()) {
    const bool absent = number_in(error, "err_code") == kStreamNotFound;
    co_return fail(absent ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                   fmt::format("{}: {}", describe(), text_in(error, "description")));
  }
  const json config = part_of(answer, "config"), state = part_of(answer, "state");
  if (const std::string wrong = incompatibility(config, subject_); !wrong.empty()) {
    co_return fail(ErrorCode::kConfiguration,
                   fmt::format("{}: this stream exists and cannot serve: {}; change or delete it, then it is "
                               "made anew",
                               describe(), wrong));
  }
  Info seen;
  seen.epoch = hash_bytes(text_in(answer, "created"), 1) | 1;  // never 0
  seen.first.value = number_in(state, "first_seq");
  seen.last.value = number_in(state, "last_seq");
  co_return seen;
}

Task<Result<NatsStream::Info>> NatsStream::info_or_create() {
  const auto alive = alive_;
  Result<Info> seen = co_await info();
  if (seen || seen.error().code != ErrorCode::kNotFound || !*alive) co_return seen;
  // Two nodes may do this at once: the second is told that it exists, and asks again.
  Reply made = co_await request("$JS.API.STREAM.CREATE." + stream_name_, stream_config(), "r",
                                options_.request_timeout);
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "the stream was closed");
  if (!made) co_return std::unexpected(made.error());
  const std::string why = text_in(part_of(json::parse(*made, nullptr, false), "error"), "description");
  Result<Info> again = co_await info();
  if (!again && again.error().code == ErrorCode::kNotFound) {
    co_return fail(ErrorCode::kUnavailable, fmt::format("{}: it cannot be made: {}", describe(), why));
  }
  co_return again;
}

void NatsStream::read(std::optional<SequenceNumber> after, StreamReader* reader) {
  CANDOR_ASSERT(reader_ == nullptr && reader != nullptr);
  reader_ = reader;
  after_ = after;
  if (status_.connected) reader_->on_connected(true);
  establish_soon(Duration{0});
}

void NatsStream::establish_soon(Duration pause) {
  executor_->cancel(establish_timer_);
  establish_timer_ = executor_->schedule(executor_->now() + pause, [this] {
    establish_timer_ = TimerId{};
    if (!link_.is_connected()) return;  // its coming back begins anew
    if (establishing_) return establish_soon(kExpireTick);
    spawn(establish());
  });
}

Task<void> NatsStream::establish() {
  establishing_ = true;
  const auto alive = alive_;
  const std::uint64_t attempt = ++attempt_;
  Result<Info> seen = co_await info_or_create();
  if (!*alive) co_return;
  if (seen && attempt == attempt_) {
    if (reader_ != nullptr) {
      compare(*seen);
      if (!*alive) co_return;
      if (Result<void> made = co_await consume(); !made) seen = std::unexpected(made.error());
      if (!*alive) co_return;
    } else {
      status_.epoch = seen->epoch;
    }
  }
  establishing_ = false;
  if (attempt != attempt_) co_return;  // the connection went meanwhile, and another attempt has its turn
  if (seen) {
    backoff_.reset();
    heard_at_ = executor_->now();
    set_connected(true, "");
    if (*alive) watch();
  } else {
    establish_soon(backoff_.next());
    set_connected(false, seen.error().message);
  }
}

// Is the log a continuation of what was handed over?
void NatsStream::compare(const Info& info) {
  if (!std::exchange(started_, true)) {
    status_.epoch = info.epoch;
    status_.last = after_.value_or(info.last);
  } else if (std::exchange(status_.epoch, info.epoch) != info.epoch) {
    last_nonce_ = 0;
    return gap(SequenceNumber{std::max<std::uint64_t>(1, info.first.value)}, "the stream was made anew");
  }
  if (info.last < status_.last) {
    last_nonce_ = 0;
    return gap(SequenceNumber{info.last.value + 1},
               "the stream went backwards: restored, or it lost its end");
  }
  if (info.first.value > status_.last.value + 1) {
    last_nonce_ = 0;
    gap(info.first, fmt::format("messages before {} were trimmed", info.first.value));
  } else if (last_nonce_ != 0 && info.first > status_.last) {
    // Nothing is there to compare with. Everything was purged, or another history begins exactly here.
    last_nonce_ = 0;
    gap(info.first, "the last message read is no longer there to compare with");
  }
}

// A consumer of our own, kept in the server's memory, that goes when we do.
Task<Result<void>> NatsStream::consume() {
  const auto alive = alive_;
  drop_consumer();
  consumer_ = fmt::format("candor{:016x}", random_());
  checks_overlap_ = last_nonce_ != 0;
  consumer_sequence_ = 0;
  const std::uint64_t from = status_.last.value + (checks_overlap_ ? 0 : 1);
  const json body{{"stream_name", stream_name_},
                  {"config",
                   {{"name", consumer_},
                    {"deliver_subject", link_.listen(consumer_)},
                    {"deliver_policy", "by_start_sequence"},
                    {"opt_start_seq", from},
                    {"ack_policy", "none"},
                    {"max_deliver", 1},
                    {"replay_policy", "instant"},
                    {"flow_control", true},
                    {"idle_heartbeat", options_.heartbeat.count()},
                    {"mem_storage", true},
                    {"num_replicas", 1}}}};
  Reply reply =
      co_await request("$JS.API.CONSUMER.CREATE." + stream_name_, body.dump(), "r", options_.request_timeout);
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "the stream was closed");
  if (!reply) co_return std::unexpected(reply.error());
  const json answer = json::parse(*reply, nullptr, false);
  if (text_in(answer, "name").empty()) {
    co_return fail(ErrorCode::kUnavailable, fmt::format("{}: no consumer: {}", describe(),
                                                        text_in(part_of(answer, "error"), "description")));
  }
  co_return Result<void>{};
}

void NatsStream::drop_consumer() {
  if (consumer_.empty()) return;
  // It would go by itself after some seconds; nobody waits for the answer.
  link_.send(
      {fmt::format("$JS.API.CONSUMER.DELETE.{}.{}", stream_name_, std::exchange(consumer_, "")), "", ""});
}

void NatsStream::watch() {
  executor_->cancel(watch_timer_);
  if (reader_ == nullptr) return;
  const Duration patience = options_.heartbeat * 5 / 2;
  watch_timer_ = executor_->schedule(heard_at_ + patience, [this, patience] {
    watch_timer_ = TimerId{};
    if (!status_.connected || establishing_) return;
    if (executor_->now() - heard_at_ >= patience) return establish_soon(Duration{0});
    watch();
  });
}

// ---- deliveries ----

void NatsStream::on_delivery(const nats::Incoming& message) {
  const auto numbers = numbers_of(message.reply);
  if (!numbers || numbers->consumer_name != consumer_) return;
  heard_at_ = executor_->now();
  if (numbers->consumer != consumer_sequence_ + 1) return give_up_consumer();
  consumer_sequence_ = numbers->consumer;
  on_numbered(numbers->stream, message.data);
}

// Flow control asks for an answer when everything before it was taken; a heartbeat says what was sent.
void NatsStream::on_control(const nats::Incoming& message) {
  if (consumer_.empty() || std::string_view{message.subject}.substr(2) != consumer_) return;
  heard_at_ = executor_->now();
  if (!message.reply.empty()) link_.send({message.reply, "", ""});
  if (!message.stalled.empty()) link_.send({message.stalled, "", ""});
  const auto sent = parse_digits(message.last_consumer);
  if (sent && *sent > consumer_sequence_) give_up_consumer();
}

// It skipped a number: what else it sends is of no use. A new one begins where this one was good.
void NatsStream::give_up_consumer() {
  drop_consumer();
  establish_soon(Duration{0});
}

void NatsStream::on_numbered(std::uint64_t sequence, std::string_view payload) {
  const auto alive = alive_;
  std::uint64_t nonce = 0;
  if (payload.size() >= kNonceBytes) std::memcpy(&nonce, payload.data(), kNonceBytes);
  if (std::exchange(checks_overlap_, false)) {
    if (sequence == status_.last.value && nonce == last_nonce_) return;
    gap(SequenceNumber{sequence}, "the stream has another history: restored, or the last message is gone");
  } else if (sequence <= status_.last.value) {
    ++status_.duplicates;
    return;
  } else if (sequence > status_.last.value + 1) {
    gap(SequenceNumber{sequence}, fmt::format("messages before {} are gone", sequence));
  }
  if (!*alive) return;
  last_nonce_ = nonce;
  auto message = decode_message(payload.substr(std::min(kNonceBytes, payload.size())));
  if (!message) return gap(SequenceNumber{sequence + 1}, message.error().message);
  status_.last.value = sequence;
  ++status_.received;
  reader_->on_message(status_.last, std::move(*message));
}

void NatsStream::gap(SequenceNumber next, std::string reason) {
  ++status_.gaps;
  status_.last.value = next.value - 1;
  reader_->on_gap(next, fmt::format("{}: {}", describe(), reason));
}

void NatsStream::set_connected(bool connected, const std::string& problem) {
  status_.problem = problem;
  if (status_.connected == connected) return;
  status_.connected = connected;
  if (connected) status_.reconnects += std::exchange(was_connected_, true) ? 1U : 0U;
  if (reader_ != nullptr) reader_->on_connected(connected);
}

}  // namespace candor
