#include "tier/l2/redis_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"

namespace candor::redis {
namespace {

// More than this of one turn leaves before the turn's end: the buffer need not hold several large values.
constexpr std::size_t kEarlyFlushBytes = std::size_t{1} << 20;
// A reply or a backlog of this size is a large transfer: at 1 Gbit/s it takes 2 ms, small replies never reach
// it.
constexpr std::size_t kLargeTransferBytes = std::size_t{256} << 10;
// A command of many bytes gets the time that they take on a slow link, 256 Mbit/s, on top.
constexpr std::int64_t kSlowLinkBytesPerSecond = std::int64_t{32} << 20;
// Names a command that failed because the server may not write. Redis 6 and older wrap what a script ran
// into.
bool is_read_only(std::string_view error) {
  return error.starts_with("READONLY") ||
         (error.starts_with("ERR Error running script") && error.find("-READONLY") != std::string_view::npos);
}

// A connection that owes replies and is silent for this many command timeouts is dead.
constexpr int kSilentTimeouts = 4;

// Errors that speak of the server's state, not of the command.
bool is_server_trouble(std::string_view error) {
  for (const std::string_view code : {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOAUTH",
                                      "READONLY", "ERR max number of clients"}) {
    if (error.starts_with(code)) return true;
  }
  return false;
}

}  // namespace

// One connection. It may outlive its client by a turn, because a stream is not destroyed inside its own call.
class Client::Link final : public StreamHandler {
 public:
  Link(Client* client, resp::ReplyLimits limits) : client_(client), parser_(limits) {}
  void connect(Transport& transport, const Endpoint& endpoint, Duration timeout) {
    stream_ = transport.connect(endpoint, this, timeout);
  }
  void forget_client() { client_ = nullptr; }
  [[nodiscard]] bool is_forgotten() const { return client_ == nullptr; }
  [[nodiscard]] Stream& stream() { return *stream_; }
  [[nodiscard]] resp::ReplyParser& parser() { return parser_; }

  void on_connected() override {
    if (client_ != nullptr) client_->on_connected();
  }
  void on_data(std::string_view bytes) override {
    if (client_ != nullptr) client_->on_data(bytes);
  }
  void on_closed(const std::string& reason) override {
    if (client_ != nullptr) client_->on_closed(reason);
  }

 private:
  Client* client_;
  resp::ReplyParser parser_;
  std::unique_ptr<Stream> stream_;
};

Client::Client(Executor* executor, Transport* transport, ClientOptions options, std::uint64_t seed)
    : executor_(executor),
      transport_(transport),
      options_(std::move(options)),
      breaker_(options_.breaker, mix64(seed)),
      backoff_(options_.reconnect, mix64(seed + 1)),
      shas_(options_.hello.scripts.size()) {}

Client::~Client() {
  *alive_ = false;
  executor_->cancel(reconnect_timer_);
  executor_->cancel(tick_timer_);
  executor_->cancel(probe_timer_);
  close_link();
  auto waiting = std::exchange(waiting_, {});
  auto in_flight = std::exchange(in_flight_, {});
  for (auto* line : {&in_flight, &waiting}) {
    for (Pending& p : *line) p.answer.set(fail(ErrorCode::kUnavailable, describe() + ": shutting down"));
  }
}

std::string Client::describe() const {
  return fmt::format("{} {}/{}", options_.endpoint.tls ? "rediss" : "redis", options_.endpoint.to_string(),
                     options_.hello.database);
}

ClientStats Client::stats() const {
  ClientStats stats = stats_;
  stats.connected = state_ == State::kReady;
  stats.breaker_opened = breaker_.times_opened();
  stats.breaker = breaker_.state(executor_->now());
  stats.breaker_open = stats.breaker != Breaker::State::kClosed;
  return stats;
}

// ---- sending ----

Answer Client::send(std::span<const std::string_view> args, Duration timeout) {
  const MonoTime now = executor_->now();
  std::size_t bytes = 0;
  for (const auto arg : args) bytes += arg.size();
  const std::size_t unsent =
      waiting_bytes_ + out_.size() + (state_ == State::kReady ? link_->stream().unsent_bytes() : 0);
  if (outstanding() >= options_.outstanding_max || unsent + bytes > options_.unsent_bytes_max) {
    ++stats_.overloaded;
    return refused(Error{ErrorCode::kOverloaded,
                         fmt::format("{}: {} commands and {} bytes are waiting already; retry later",
                                     describe(), outstanding(), unsent)});
  }
  const auto ticket = breaker_.state(now) == Breaker::State::kClosed ? breaker_.admit(now) : std::nullopt;
  if (!ticket) {
    ++stats_.refused_by_breaker;
    return refused(
        Error{ErrorCode::kUnavailable,
              fmt::format("{}: the breaker is open, because {}; it tries again by itself", describe(),
                          is_silent_ ? "the server is silent" : "too many commands failed")});
  }
  if (state_ == State::kIdle) connect();
  if (state_ == State::kAway || (state_ != State::kReady && has_failed_)) {
    record(*ticket, false, now);
    ++stats_.errors;
    return refused(away_error());
  }
  ++stats_.commands;
  Pending pending;
  pending.ticket = *ticket;
  pending.sent_at = now;
  const auto on_the_way =
      std::chrono::milliseconds(static_cast<std::int64_t>(bytes) * 1000 / kSlowLinkBytesPerSecond);
  pending.deadline = now + (timeout > Duration::zero() ? timeout : options_.command_timeout + on_the_way);
  pending.deadline_hard = timeout > Duration::zero() ? pending.deadline : now + options_.transfer_patience;
  Answer answer = pending.answer;
  if (state_ == State::kReady) {
    resp::write_command(out_, args);
    in_flight_.push_back(std::move(pending));
    if (out_.size() >= kEarlyFlushBytes) flush();
    schedule_flush();
  } else {
    resp::write_command(pending.bytes, args);
    waiting_bytes_ += pending.bytes.size();
    waiting_.push_back(std::move(pending));
  }
  start_ticking();
  return answer;
}

Task<Result<resp::RespValue>> Client::run(std::size_t script, std::size_t keys,
                                          std::vector<std::string> args) {
  CANDOR_ASSERT(script < shas_.size() && keys <= args.size());
  const std::string count = std::to_string(keys);
  std::vector<std::string_view> words(3);
  words.insert(words.end(), args.begin(), args.end());
  words[2] = count;
  if (!shas_[script].empty()) {
    const std::string sha = shas_[script];
    words[0] = "EVALSHA";
    words[1] = sha;
    Answer answer = send(words);
    Result<resp::RespValue> reply = co_await answer;
    if (!reply || !reply->is_error() || !reply->text.starts_with("NOSCRIPT")) co_return reply;
    ++stats_.scripts_resent;
  }
  // In full: the server then knows it, by the same hash.
  words[0] = "EVAL";
  words[1] = options_.hello.scripts[script];
  Answer answer = send(words);
  Result<resp::RespValue> reply = co_await answer;
  if (reply && !reply->is_error()) learn(script);
  co_return reply;
}

// The connection did not load this script at its start; ask for its hash once more, without waiting.
void Client::learn(std::size_t script) {
  if (!*alive_ || state_ != State::kReady || !shas_[script].empty()) return;
  const std::array<std::string_view, 3> words{"SCRIPT", "LOAD", options_.hello.scripts[script]};
  auto waits = [](Client* self, std::shared_ptr<bool> alive, Answer answer,
                  std::size_t number) -> Task<void> {
    Result<resp::RespValue> reply = co_await answer;
    if (*alive && reply && reply->is_text()) self->shas_[number] = reply->text;
  };
  spawn(waits(this, alive_, send(words), script));
}

Answer Client::refused(Error error) {
  Answer answer;
  answer.set(std::unexpected(std::move(error)));
  return answer;
}

Error Client::away_error() const {
  return Error{
      ErrorCode::kUnavailable,
      fmt::format("{}: not connected ({}); it is tried again in the background", describe(), away_reason_)};
}

void Client::schedule_flush() {
  if (flush_scheduled_ || out_.empty()) return;
  flush_scheduled_ = true;
  executor_->at_end_of_turn([this, alive = alive_] {
    if (!*alive) return;
    flush_scheduled_ = false;
    flush();
  });
}

void Client::flush() {
  if (out_.empty() || state_ != State::kReady) return;
  ++stats_.writes;
  if (out_.size() >= kLargeTransferBytes) moved_at_ = executor_->now();
  link_->stream().write(out_);
  // A large value's room is given back; the usual batch keeps its buffer.
  if (out_.capacity() > kEarlyFlushBytes) {
    std::string().swap(out_);
  } else {
    out_.clear();
  }
}

// ---- connection ----

void Client::connect() {
  if (state_ != State::kIdle && state_ != State::kAway) return;
  executor_->cancel(reconnect_timer_);
  state_ = State::kConnecting;
  link_ = std::make_unique<Link>(this, options_.reply_limits);
  link_->connect(*transport_, options_.endpoint, options_.connect_timeout);
}

void Client::connect_soon() {
  executor_->post([this, alive = alive_] {
    if (*alive && state_ == State::kIdle) connect();
  });
}

void Client::on_connected() {
  state_ = State::kGreeting;
  ++connections_;
  greeting_until_ = executor_->now() + options_.connect_timeout;
  handshake_ = std::make_unique<Handshake>(&options_.hello);
  link_->stream().write(handshake_->begin());
  start_ticking();
}

void Client::on_data(std::string_view bytes) {
  received_at_ = executor_->now();
  reply_bytes_ += bytes.size();
  if (reply_bytes_ >= kLargeTransferBytes) moved_at_ = received_at_;
  Link* const link = link_.get();
  resp::RespValue value;
  for (;;) {
    const auto status = link->parser().next(&bytes, &value);
    if (status == resp::ReplyParser::Status::kNeedMore) return;
    if (status == resp::ReplyParser::Status::kError) {
      return drop_link("its reply is not RESP: " + link->parser().error());
    }
    reply_bytes_ = bytes.size();
    if (value.is_push()) {  // out of band
      if (options_.tap != nullptr && state_ == State::kReady) options_.tap->on_push(value);
      continue;
    }
    if (state_ == State::kGreeting) {
      on_greeting(value);
    } else {
      on_reply(std::move(value));
    }
    if (link->is_forgotten()) return;
  }
}

void Client::on_greeting(const resp::RespValue& reply) {
  std::string next;
  switch (handshake_->on_reply(reply, &next)) {
    case Handshake::Verdict::kWait:
      if (!next.empty()) link_->stream().write(next);
      return;
    case Handshake::Verdict::kFailed:
      return drop_link(handshake_->reason());
    case Handshake::Verdict::kReady:
      if (was_demoted_ && handshake_->is_replica()) return drop_link("it is still a read-only replica");
      shas_ = std::move(handshake_->shas());
      return on_ready();
  }
}

void Client::on_ready() {
  state_ = State::kReady;
  if (options_.tap != nullptr) options_.tap->on_ready(handshake_->tracking_refusal());
  handshake_.reset();
  has_failed_ = was_demoted_ = false;
  ++stats_.connects;
  // What timed out while it waited is not sent at all: nobody wants it any more.
  for (Pending& p : waiting_) {
    if (p.abandoned) continue;
    out_.append(p.bytes);
    std::string().swap(p.bytes);
    in_flight_.push_back(std::move(p));
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  flush();
  if (breaker_.state(executor_->now()) != Breaker::State::kClosed) {
    breaker_.retry_now(executor_->now());
    probe();
  }
}

// ---- the breaker ----

void Client::record(Breaker::Ticket ticket, bool ok, MonoTime now) {
  breaker_.record(ticket, ok, now);
  if (!ok) probe_later(now);
}

void Client::probe_later(MonoTime now) {
  if (state_ != State::kReady || probe_timer_ != TimerId{}) return;  // on_ready() probes as well
  if (breaker_.state(now) == Breaker::State::kClosed) return;
  probe_timer_ = executor_->schedule(std::max(now, breaker_.opens_until()), [this] {
    probe_timer_ = TimerId{};
    probe();
  });
}

void Client::probe() {
  const MonoTime now = executor_->now();
  executor_->cancel(probe_timer_);
  probe_timer_ = TimerId{};
  while (state_ == State::kReady && breaker_.state(now) != Breaker::State::kClosed) {
    const auto ticket = breaker_.admit(now);
    if (!ticket) return;
    Pending ping;
    ping.ticket = *ticket;
    ping.sent_at = now;
    ping.deadline = ping.deadline_hard = now + kProbeTimeout;
    ping.is_probe = true;
    resp::write_command(out_, {"PING"});
    in_flight_.push_back(std::move(ping));
    schedule_flush();
    start_ticking();
  }
}

// A command that had the client's own time or more, and nothing of anybody's has moved since it was sent.
bool Client::is_silent_since(const Pending& command) const {
  const bool had_time = command.is_probe || command.deadline - command.sent_at >= options_.command_timeout;
  return had_time && std::max(received_at_, moved_at_) < command.sent_at;
}

void Client::leave_replica(const std::string& answer) {
  ++stats_.demotions;
  was_demoted_ = true;
  drop_link("it has become a read-only replica: " + answer);
}

void Client::on_reply(resp::RespValue reply) {
  if (in_flight_.empty()) return drop_link("it sent a reply that nobody asked for");
  const Pending pending = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (std::exchange(is_silent_, false)) {  // it speaks again
    breaker_.retry_now(executor_->now());
    probe();
  }
  if (pending.abandoned) {
    ++stats_.late_replies;
    return;
  }
  const bool read_only = reply.is_error() && is_read_only(reply.text);
  const bool trouble = read_only || (reply.is_error() && is_server_trouble(reply.text));
  record(pending.ticket, !trouble, executor_->now());
  if (!trouble) {
    backoff_.reset();  // not on connecting: a server that connects and then fails is tried ever more rarely
    pending.answer.set(std::move(reply));
    return;
  }
  ++stats_.errors;
  pending.answer.set(fail(ErrorCode::kUnavailable, fmt::format("{}: {}", describe(), reply.text)));
  if (read_only && options_.leaves_replicas) leave_replica(reply.text);
}

void Client::on_closed(const std::string& reason) { drop_link(reason); }

// The stream is let go in a later turn: this may be one of its own calls.
void Client::close_link() {
  if (!link_) return;
  link_->forget_client();
  executor_->post([link = std::move(link_)] {});
  link_.reset();
}

void Client::drop_link(std::string reason) {
  const MonoTime now = executor_->now();
  const bool was_ready = state_ == State::kReady;
  close_link();
  handshake_.reset();
  out_.clear();
  reply_bytes_ = unsent_seen_ = 0;
  std::fill(shas_.begin(), shas_.end(), std::string{});
  executor_->cancel(probe_timer_);
  probe_timer_ = TimerId{};
  is_silent_ = false;
  has_failed_ = true;
  state_ = State::kAway;
  away_reason_ = reason;
  reconnect_timer_ = executor_->schedule(now + backoff_.next(), [this] { connect(); });
  if (was_ready && options_.tap != nullptr) options_.tap->on_lost(reason);

  auto lost = std::exchange(in_flight_, {});
  auto unsent = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  const auto alive = alive_;
  const Error was_sent{
      ErrorCode::kTimeout,
      fmt::format("{}: the connection was lost ({}) before the reply; the command may or may not have "
                  "been carried out",
                  describe(), reason)};
  const Error was_not = away_error();
  for (auto* line : {&lost, &unsent}) {
    for (Pending& p : *line) {
      if (p.abandoned) continue;
      breaker_.record(p.ticket, false, now);
      if (!p.is_probe) ++stats_.errors;
      p.answer.set(std::unexpected(line == &lost ? was_sent : was_not));
      CANDOR_ASSERT(*alive);  // a client is not destroyed inside an answer
    }
  }
}

// ---- deadlines ----

void Client::start_ticking() {
  if (tick_timer_ != TimerId{}) return;
  tick_timer_ = executor_->schedule(executor_->now() + kTickMax, [this] {
    tick_timer_ = TimerId{};
    tick();
  });
}

void Client::tick() {
  const MonoTime now = executor_->now();
  if (state_ == State::kGreeting && now >= greeting_until_)
    drop_link("it did not answer the first commands in time");
  note_progress(now);
  std::vector<Answer> expired;
  time_out(in_flight_, now, &expired);
  time_out(waiting_, now, &expired);
  const bool owes = state_ == State::kReady && !in_flight_.empty();
  if (owes && now - std::max({received_at_, moved_at_, in_flight_.front().sent_at}) >
                  kSilentTimeouts * options_.command_timeout) {
    drop_link("it owes replies and has gone silent");
  }
  if (outstanding() != 0 || state_ == State::kGreeting) start_ticking();
  for (const Answer& answer : expired) {
    answer.set(fail(ErrorCode::kTimeout,
                    describe() + ": no reply in time; the command may or may not have been carried out"));
  }
}

void Client::note_progress(MonoTime now) {
  const std::size_t unsent = state_ == State::kReady ? link_->stream().unsent_bytes() : 0;
  if (unsent != unsent_seen_ && std::max(unsent, unsent_seen_) >= kLargeTransferBytes) moved_at_ = now;
  unsent_seen_ = unsent;
}

// Also for a moment after it moved last: the server still has to work on what it got, and on what came
// behind.
bool Client::is_large_transfer_moving(MonoTime now) const {
  return now - moved_at_ < options_.command_timeout;
}

void Client::time_out(std::deque<Pending>& line, MonoTime now, std::vector<Answer>* expired) {
  const bool patient = is_large_transfer_moving(now);
  for (Pending& p : line) {
    if (p.abandoned || now < (patient ? p.deadline_hard : p.deadline)) continue;
    p.abandoned = true;
    if (is_silent_since(p)) {
      is_silent_ = state_ == State::kReady;
      has_failed_ = true;
      breaker_.trip(now);
    }
    record(p.ticket, false, now);
    if (p.is_probe) continue;
    ++stats_.timeouts;
    expired->push_back(p.answer);
    waiting_bytes_ -= p.bytes.size();
    std::string().swap(p.bytes);
  }
}

}  // namespace candor::redis
