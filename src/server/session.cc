#include "server/session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "server/reply_error.h"
#include "server/resp_server.h"

namespace candor::server {

namespace {

// The first bytes of a TLS record with a handshake in it.
constexpr char kTlsHandshake = 0x16;
constexpr char kTlsMajorVersion = 0x03;

}  // namespace

Session::Session(RespServer& server, std::shared_ptr<LoopState> loop, Peer* peer)
    : server_(server),
      loop_(std::move(loop)),
      peer_(peer),
      id_(peer->id()),
      parser_(server.options().request_limits) {
  identity_.since = identity_.active = peer_->executor().now();
  log_out();
  loop_->add(id_, this);
}

Session::~Session() {
  unsubscribe_all();
  stop_tracking();
  loop_->remove(id_);
  server_.session_closed();
}

CacheCore& Session::cache() { return server_.cache(); }
l1::Store& Session::store() { return server_.cache().l1(); }

// ---- bytes in ----

void Session::on_data(std::string_view bytes) {
  if (closing_ || closed_) return;
  identity_.active = peer_->executor().now();
  server_.counters().bytes_in.add(bytes.size());
  if (!seen_bytes_) {
    seen_bytes_ = true;
    if (refuse_foreign(bytes)) return settle();
  }
  parser_.feed(bytes);
  if (!stalled_) run_requests();
  parser_.keep_rest();
  note_unfinished_command();
  settle();
}

void Session::run_requests() {
  using Status = resp::RequestParser::Status;
  while (!stalled_ && !closing_) {
    const Status status = parser_.next();
    if (status == Status::kRequest) [[likely]] {
      ++commands_;
      if (gather(parser_.args())) continue;
      answer_batch();
      if (stalled_) {
        wait(parser_.args());
      } else {
        execute(parser_.args());
      }
      continue;
    }
    answer_batch();
    if (status == Status::kError) protocol_error();
    return;
  }
  answer_batch();
}

void Session::note_unfinished_command() {
  if (stalled_ || parser_.is_idle()) {
    unfinished_since_ = MonoTime::max();
  } else if (unfinished_since_ == MonoTime::max() || commands_ > 0) {
    unfinished_since_ = identity_.active;
  }
}

void Session::protocol_error() {
  server_.counters().protocol_errors.add();
  error("ERR " + parser_.error());
  closing_ = true;
}

bool Session::refuse_foreign(std::string_view bytes) {
  const bool is_tls = bytes[0] == kTlsHandshake && (bytes.size() < 2 || bytes[1] == kTlsMajorVersion);
  if (!is_tls || peer_->is_tls()) return false;
  server_.counters().foreign_protocols.add();
  if (server_.may_log_foreign(identity_.active)) {
    spdlog::warn("{}: a TLS client on the plain port, closed; use the TLS listener (resp.tls_listen)",
                 peer_->address());
  }
  error("ERR this is the plain port; TLS has a listener of its own (resp.tls_listen)");
  closing_ = true;
  return true;
}

// Browsers can be made to send requests here ("cross-protocol scripting"); nothing after the first line of
// such a request may be run as a command.
bool Session::refuse_http(Args args) {
  constexpr std::string_view kVerbs[] = {"POST",   "HOST:", "PUT",     "HEAD",  "OPTIONS",
                                         "DELETE", "PATCH", "CONNECT", "TRACE", "PRI"};
  const bool has_version = args.size() == 3 && args[2].starts_with("HTTP/");
  const bool is_verb =
      std::ranges::any_of(kVerbs, [&](std::string_view verb) { return is_word(args[0], verb); });
  if (!is_verb && !has_version) return false;
  server_.counters().foreign_protocols.add();
  if (server_.may_log_foreign(peer_->executor().now())) {
    spdlog::warn("{}: HTTP on the Redis port, closed; the dashboard and the API are on http.listen",
                 peer_->address());
  }
  error("ERR this port speaks the Redis protocol, not HTTP");
  closing_ = true;
  return true;
}

// ---- dispatch ----

void Session::execute(Args args) {
  const Command* command = server_.commands().find(args[0]);
  if (command == nullptr) return unknown_command(args);
  if (must_wait(*command, args)) return wait(args);
  muted_ = replies_ != Replies::kOn;
  if (replies_ == Replies::kSkipNext) replies_ = Replies::kOn;
  if (may_run(*command, args)) {
    identity_.last_command = command;
    had_command_ = true;
    running_ = args;
    if (tracking_ != nullptr) remember_reads(*command, args);
    run(*command, args);
    running_ = {};
  }
  muted_ = false;
  if (alone_ || output_is_full() || deferred_ >= server_.options().pending_max) stall();
}

// A request of a trace that is answered here and now was a hit if it reads keys; others are told when their
// reply comes.
void Session::run(const Command& command, Args args) {
  if (!trace_) [[likely]]
    return command.run(*this, args);
  RequestSpan span = new_span(args);
  const Clock& clock = *server_.context().clock;
  const MonoTime began = clock.now();
  const std::size_t deferred = deferred_;
  command.run(*this, args);
  // RESET and SETINFO may have ended it.
  if (deferred_ != deferred || !trace_) return;
  span.took = clock.now() - began;
  span.is_hit = command.first_key > 0 && command.has(Command::kReadOnly);
  server_.context().spans->add(std::move(span));
}

RequestSpan Session::new_span(Args args) {
  RequestSpan span;
  span.parent = *trace_;
  span.name = std::string(args[0].substr(0, 32));
  std::ranges::transform(span.name, span.name.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  span.began = server_.context().clock->wall();
  // The key stays out: it may be a secret of its owner.
  const Command* command = server_.commands().find(args[0]);
  const auto place = command == nullptr ? 0U : static_cast<std::size_t>(command->first_key);
  if (place > 0 && place < args.size()) {
    const ResolvedKey key = server_.features().resolve(args[place]);
    if (key.feature != nullptr) span.feature = key.feature->policy().name;
  }
  return span;
}

void Session::set_trace(std::optional<TraceParent> trace) {
  const SpanSink* sink = server_.context().spans;
  trace_ = trace && sink != nullptr && sink->wants(*trace) ? trace : std::nullopt;
}

bool Session::may_run(const Command& command, Args args) {
  const auto refuse = [&](const std::string& text) {
    error(text);
    return false;
  };
  if (!command.accepts(args.size())) {
    if (refuse_http(args)) return false;
    std::string name(command.name);
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return refuse("ERR wrong number of arguments for '" + name + "' command");
  }
  if (command.has(Command::kNoAuth)) return true;
  if (user_ == nullptr) return refuse("NOAUTH Authentication required.");
  if (!user_->has(command.right)) {
    return refuse("NOPERM user '" + user_->name + "' lacks the right '" +
                  std::string(right_name(command.right)) + "' that '" + std::string(command.name) +
                  "' needs");
  }
  if (protocol_ == resp::Protocol::kResp2 && subscriptions() > 0 && !command.has(Command::kSubscriber)) {
    return refuse(
        "ERR Can't execute '" + std::string(command.name) +
        "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context");
  }
  return true;
}

// Redis' words; clients look for them. The arguments are cut as Redis cuts them.
void Session::unknown_command(Args args) {
  constexpr std::size_t kShownMax = 128;
  if (refuse_http(args)) return;
  std::string text = "ERR unknown command '";
  text.append(args[0].substr(0, kShownMax)).append("', with args beginning with: ");
  std::string shown;
  for (const auto arg : args.subspan(1)) {
    if (shown.size() >= kShownMax) break;
    shown.append("'").append(arg.substr(0, kShownMax - shown.size())).append("' ");
  }
  error(text + shown);
}

bool Session::must_wait(const Command& command, Args args) {
  if (in_flight_ == 0 && deferred_ == 0) return false;
  if (command.has(Command::kBarrier)) return true;
  if (in_flight_ == 0 || command.first_key == 0) return false;
  const auto count = static_cast<int>(args.size());
  const int last = command.last_key < 0 ? count + command.last_key : std::min(command.last_key, count - 1);
  const bool changes = command.has(Command::kChanges);
  for (int i = command.first_key; i <= last; i += command.key_step) {
    const ResolvedKey resolved = loop_->recent.resolve(server_.features(), args[static_cast<std::size_t>(i)]);
    if (resolved.feature == nullptr) continue;
    const auto it = uses_.find(store().hash(resolved.feature->id(), resolved.key).value);
    if (it != uses_.end() && (changes || it->second.changes > 0)) return true;
  }
  return false;
}

void Session::wait(Args args) {
  waiting_.emplace_back(args.begin(), args.end());
  stall();
}

// ---- stalling and going on ----

bool Session::output_is_full() const {
  return peer_->unsent_bytes() + places_.buffered_bytes() > server_.options().output_pause_bytes;
}

void Session::stall() {
  if (!stalled_) {
    stalled_ = true;
    peer_->pause_reading(true);
  }
  if (output_is_full()) watch_output();
}

// The output of this turn leaves at its end. The turn after that knows whether the kernel took it all; if
// not, on_drained() will come.
void Session::watch_output() {
  if (watching_output_) return;
  watching_output_ = true;
  peer_->flush();
  auto next_turn = [loop = loop_, id = id_] {
    if (Session* session = loop->find(id)) {
      session->watching_output_ = false;
      session->output_watched();
    }
  };
  peer_->executor().at_end_of_turn([loop = loop_, next_turn = std::move(next_turn)]() mutable {
    loop->executor().post(std::move(next_turn));
  });
}

// Does not watch again by itself: a client that does not read would keep the loop awake.
void Session::output_watched() {
  if (closed_) return;
  go_on();
  settle();
}

void Session::on_drained() { completed(); }

void Session::completed() {
  if (closed_) return;
  go_on();
  // What waited behind the reply that came now leaves in settle() only: whoever watched before has not seen
  // it.
  const bool is_held_back = stalled_ && output_is_full();
  settle();
  if (is_held_back && !closed_) watch_output();
}

void Session::go_on() {
  if (!stalled_ || closing_ || alone_ || output_is_full() || deferred_ >= server_.options().pending_max)
    return;
  stalled_ = false;
  rerun_waiting();
  if (!stalled_ && !closing_) {
    parser_.resume();
    run_requests();
    parser_.keep_rest();
    note_unfinished_command();
  }
  if (!stalled_ && !closing_) peer_->pause_reading(false);
}

void Session::rerun_waiting() {
  auto requests = std::exchange(waiting_, {});
  std::vector<std::string_view> args;
  for (auto& request : requests) {
    if (stalled_ || closing_) {
      waiting_.push_back(std::move(request));
      continue;
    }
    args.assign(request.begin(), request.end());
    execute(args);
  }
}

// The end of every call from outside: counts, sends, closes when it is time.
void Session::settle() {
  if (commands_ > 0) {
    server_.counters().commands.add(commands_);
    commands_ = 0;
    had_command_ = true;
  }
  if (closed_) return;
  if (peer_->unsent_bytes() + places_.buffered_bytes() > server_.options().output_bytes_max) {
    server_.counters().slow_readers_cut.add();
    return cut("output limit: the client does not read its replies");
  }
  const bool drained = draining_ && !stalled_ && waiting_.empty();
  if ((closing_ || drained) && places_.empty()) {
    closed_ = true;
    peer_->close_after_flush();
  } else if (!peer_->output().empty()) {
    peer_->flush();
  }
}

void Session::cut(const char* reason) {
  closed_ = closing_ = true;  // nothing more runs either, of what has arrived already
  peer_->abort(reason);
}

void Session::on_drain_requested() {
  draining_ = true;
  settle();
}

void Session::on_closed(const std::string& /*reason*/) { closed_ = true; }

// ---- deadlines ----

void Session::on_tick(MonoTime now) {
  if (closed_) return;
  if (const char* reason = missed_deadline(now)) {
    server_.counters().deadlines_missed.add();
    return cut(reason);
  }
  const std::size_t unsent = peer_->unsent_bytes();
  if (unsent == 0 || unsent < unsent_seen_ || stuck_since_ == MonoTime::max())
    stuck_since_ = unsent == 0 ? MonoTime::max() : now;
  unsent_seen_ = unsent;
  if (stuck_since_ != MonoTime::max() && now - stuck_since_ > server_.options().stuck_output_deadline) {
    server_.counters().slow_readers_cut.add();
    return cut("the client does not read its replies");
  }
  completed();
}

const char* Session::missed_deadline(MonoTime now) {
  const ServerOptions& options = server_.options();
  if (user_ == nullptr && now - anonymous_since_ > options.auth_deadline) return "no AUTH in time";
  if (!had_command_ && now - identity_.since > options.first_command_deadline) return "no command in time";
  if (unfinished_since_ != MonoTime::max() && now - unfinished_since_ > options.command_deadline)
    return "a command did not arrive whole in time";
  const bool may_idle = options.idle_deadline == Duration::zero() || subscriptions() > 0 ||
                        tracking_ != nullptr || deferred_ > 0;
  if (!may_idle && now - identity_.active > options.idle_deadline) return "idle";
  return nullptr;
}

// ---- replies ----

std::string& Session::out() {
  if (muted_) {
    loop_->muted.clear();
    return loop_->muted;
  }
  return places_.tail(peer_->output());
}

void Session::error(std::string_view text) {
  server_.counters().command_errors.add();
  resp::write_error(out(), text);
}

void Session::error(const Error& error) { this->error(reply_text(error)); }

ReplyQueue::Place Session::defer() {
  ++deferred_;
  const auto place = places_.reserve(muted_);
  note_deferred(place);
  return place;
}

void Session::note_deferred(ReplyQueue::Place place) {
  // Passwords stay out of every log.
  const bool is_secret = !running_.empty() && (is_word(running_[0], "AUTH") || is_word(running_[0], "HELLO"));
  const Args shown = is_secret ? running_.first(1) : running_;
  Deferred note{peer_->executor().now(), SlowLog::cut_args(shown)};
  if (trace_ && !running_.empty()) note.span = new_span(running_);
  notes_.emplace(place, std::move(note));
}

void Session::note_finished(ReplyQueue::Place place) {
  auto note = notes_.extract(place);
  CANDOR_ASSERT(!note.empty());  // reserved, and not finished before
  const Duration took = peer_->executor().now() - note.mapped().since;
  if (std::optional<RequestSpan>& span = note.mapped().span) {
    span->took = took;
    span->in_l2 = stages_.in_l2;
    span->in_origin = stages_.in_origin;
    span->error = failed_;
    server_.context().spans->add(std::move(*span));
  }
  if (took < server_.options().slow_command) return;
  server_.slow_log().add(server_.context().clock->wall(), took, std::move(note.mapped().args),
                         std::string(peer_->address()), identity_.name, stages_);
}

ReplyQueue::Place Session::defer_alone() {
  alone_ = true;
  return defer();
}

// ---- keys and the cache ----

bool Session::resolve(std::string_view full_key, Right right, Target* target) {
  const ResolvedKey resolved = loop_->recent.resolve(server_.features(), full_key);
  if (resolved.feature == nullptr) {
    error(
        "NOFEATURE the key names no feature; keys are feature:key, see [features.*] in the configuration, or "
        "set resp.plain_feature");
    return false;
  }
  if (resolved.key.size() > kKeyBytesMax) {
    error("LIMIT the key has " + std::to_string(resolved.key.size()) + " bytes, the limit is " +
          std::to_string(kKeyBytesMax));
    return false;
  }
  if (!user_->has(right) || !user_->may_touch(resolved.feature->id())) {
    error("NOPERM user '" + user_->name + "' may not " +
          std::string(right == Right::kRead ? "read" : "change") + " feature '" +
          resolved.feature->policy().name + "'");
    return false;
  }
  target->feature = resolved.feature;
  target->key = resolved.key;
  target->hash = store().hash(resolved.feature->id(), resolved.key);
  target->backing = server_.features().backing(*resolved.feature);
  return true;
}

bool Session::lacks_token(const Feature& feature) const {
  const SessionDesk* desk = server_.context().desk;
  return feature.policy().consistency == Consistency::kSession && desk != nullptr &&
         !desk->meets(*token_, feature);
}

void Session::begin_use(std::uint64_t key, bool change) {
  ++in_flight_;
  KeyUse& use = uses_[key];
  if (change) {
    ++use.changes;
    ++changes_;
  } else {
    ++use.reads;
  }
}

void Session::end_use(std::uint64_t key, bool change) {
  --in_flight_;
  const auto it = uses_.find(key);
  if (change) {
    --it->second.changes;
    --changes_;
  } else {
    --it->second.reads;
  }
  if (it->second.changes == 0 && it->second.reads == 0) uses_.erase(it);
}

void Session::read(const Target& target, CacheCore::ReadOptions options, ReadThen then) {
  const std::uint64_t key = target.hash.value;
  if (options.use_feature_level && is_behind(*target.feature)) {
    options.use_feature_level = false;
    options.level = Consistency::kOrigin;
  }
  begin_use(key, false);
  Tracking* table = server_.context().tracking;
  if (table != nullptr && tracking_ == nullptr) table = nullptr;
  auto done = [loop = loop_, id = id_, key, then = std::move(then), table, feature = target.feature->id(),
               name = table == nullptr ? std::string()
                                       : std::string(target.key)](Result<ReadResult> result) mutable {
    // An old value, served because the origin failed: what made it old may have been told before.
    if (table != nullptr && result && result->degraded != nullptr) table->on_doubtful({feature, name});
    loop->with_session(id,
                       [key, then = std::move(then), result = std::move(result)](Session& session) mutable {
                         session.end_use(key, false);
                         if (result)
                           session.stages_ = {result->in_l2, result->in_origin, true};
                         else
                           session.failed_ = error_code_name(result.error().code);
                         then(session, std::move(result));
                         session.stages_ = {};
                         session.failed_ = {};
                         session.completed();
                       });
  };
  cache().read(target.feature->id(), std::string(target.key), options, std::move(done));
}

WriteDone Session::change_done(const Target& target, WriteThen then) {
  const std::uint64_t key = target.hash.value;
  begin_use(key, true);
  auto then_here = [loop = loop_, id = id_, key, then = std::move(then)](Result<WriteResult> result) mutable {
    loop->with_session(id,
                       [key, then = std::move(then), result = std::move(result)](Session& session) mutable {
                         session.end_use(key, true);
                         then(session, std::move(result));
                         session.completed();
                       });
  };
  Tracking* table = server_.context().tracking;
  if (table == nullptr || !table->is_used()) return then_here;
  // The cache tells of changes at an origin; plain values behind a shared L2 are told here.
  const bool is_plain = target.backing != Backing::kOrigin;
  table->begin_change({target.feature->id(), target.key}, id_);
  return [table, is_plain, feature = target.feature->id(), name = std::string(target.key), id = id_,
          then_here = std::move(then_here)](Result<WriteResult> result) mutable {
    if (is_plain) table->on_change({feature, name}, id);
    table->end_change({feature, name}, id);
    then_here(std::move(result));
  };
}

void Session::changed_locally(const Target& target) {
  Tracking* table = server_.context().tracking;
  if (table != nullptr) table->on_change({target.feature->id(), target.key}, id_);
}

void Session::write(const Target& target, std::string value, WriteThen then) {
  cache().write(target.feature->id(), std::string(target.key), std::move(value),
                change_done(target, std::move(then)));
}

void Session::erase(const Target& target, WriteThen then) {
  cache().erase(target.feature->id(), std::string(target.key), change_done(target, std::move(then)));
}

void Session::plain_write(const Target& target, std::optional<std::string> value, Duration ttl,
                          WriteThen then) {
  cache().plain_write(target.feature->id(), std::string(target.key), std::move(value), ttl,
                      change_done(target, std::move(then)));
}

void Session::plain_update(const Target& target, CacheCore::PlainDecide decide, WriteThen then) {
  cache().plain_update(target.feature->id(), std::string(target.key), std::move(decide),
                       change_done(target, std::move(then)));
}

// ---- identity ----

void Session::log_in(const User* user) {
  user_ = user;
  identity_.wrong_passwords = 0;
  parser_.set_authenticated(true);
}

void Session::log_out() {
  user_ = server_.users().is_open() ? &Users::everybody() : nullptr;
  anonymous_since_ = peer_->executor().now();
  parser_.set_authenticated(user_ != nullptr);
}

void Session::unsubscribe_all() {
  for (const auto& channel : channels_) server_.pubsub().unsubscribe(PubSubHub::Kind::kChannel, channel, id_);
  for (const auto& pattern : patterns_) server_.pubsub().unsubscribe(PubSubHub::Kind::kPattern, pattern, id_);
  channels_.clear();
  patterns_.clear();
}

void Session::push_message(const std::string* pattern, std::string_view channel, std::string_view payload) {
  // It may have unsubscribed while the message was on its way from another loop; a RESP2 client would take
  // the message for the reply to its next command.
  const bool listens = pattern == nullptr ? channels_.contains(channel) : patterns_.contains(*pattern);
  if (closed_ || !listens) return;
  std::string& output = peer_->output();
  resp::write_push(output, pattern == nullptr ? 3 : 4, protocol_);
  resp::write_bulk(output, pattern == nullptr ? "message" : "pmessage");
  if (pattern != nullptr) resp::write_bulk(output, *pattern);
  resp::write_bulk(output, channel);
  resp::write_bulk(output, payload);
  settle();
}

}  // namespace candor::server
