// One client connection: bytes in, replies out, in order.
//
// Life of a request: parsed out of the chunk - consecutive GETs gathered into one lookup - hits answered at
// once - what misses reserves its place in the reply queue and goes to the cache's miss path - its completion
// comes back to this loop and fills the place.
//
// Invariants
//   - Replies leave in the order of requests.
//   - A connection's results are as if its commands ran one after the other: reads overlap reads, but a
//   command waits for
//     what is under way on its keys when either changes them; barriers wait for everything.
//   - Pending requests, output and buffered replies are bounded. A connection that must wait stops parsing
//   ("stalled"):
//     what it sent stays in the parser, and reading from the socket pauses.
// Thread safety: none; everything on the loop of its peer. Completions find the session by id, so one that is
// gone is simply not found.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/acceptor.h"
#include "proto/reply_writer.h"
#include "proto/request_parser.h"
#include "server/client_tracking.h"
#include "server/command.h"
#include "server/feature_table.h"
#include "server/loop_state.h"
#include "server/reply_error.h"
#include "server/reply_queue.h"
#include "server/slow_log.h"
#include "server/span_sink.h"

namespace candor::server {

class RespServer;

// A key that this session may touch, and its place in L1.
struct Target {
  const Feature* feature = nullptr;
  std::string_view key;
  l1::KeyHash hash;
  Backing backing = Backing::kOrigin;
};

class Session final : public ConnectionHandler {
 public:
  Session(RespServer& server, std::shared_ptr<LoopState> loop, Peer* peer);
  ~Session() override;

  void on_data(std::string_view bytes) override;
  void on_drained() override;
  void on_tick(MonoTime now) override;
  void on_drain_requested() override;
  void on_closed(const std::string& reason) override;

  // ---- for command handlers ----
  [[nodiscard]] RespServer& server() { return server_; }
  [[nodiscard]] CacheCore& cache();
  [[nodiscard]] l1::Store& store();
  [[nodiscard]] LoopState& loop() { return *loop_; }
  [[nodiscard]] Peer& peer() { return *peer_; }
  [[nodiscard]] resp::Protocol protocol() const { return protocol_; }
  [[nodiscard]] l1::Millis now_ms() const { return peer_->executor().now().ms(); }
  [[nodiscard]] std::uint64_t id() const { return id_; }

  // Where the reply of the command under way goes. Ask anew after every defer().
  [[nodiscard]] std::string& out();
  void error(std::string_view text);
  void error(const Error& error);
  void syntax_error() { error("ERR syntax error"); }
  void ok() { out().append("+OK\r\n"); }
  void null() { resp::write_null(out(), protocol_); }
  void integer(std::int64_t value) { resp::write_integer(out(), value); }

  // The key's feature, if the user may do this to it; otherwise an error has been answered.
  [[nodiscard]] bool resolve(std::string_view full_key, Right right, Target* target);

  // A reply that comes later: reserve its place now, finish() it once, from a completion on this loop, never
  // inside the handler itself. A completion that does not come through the functions below ends with
  // completed().
  [[nodiscard]] ReplyQueue::Place defer();
  template <class Write>
  void finish(ReplyQueue::Place place, Write&& write) {
    --deferred_;
    if (deferred_ == 0) alone_ = false;
    note_finished(place);
    places_.fill(place, peer_->output(), std::forward<Write>(write));
  }
  void completed();
  // As defer(), and nothing else of this connection runs until it is finished.
  [[nodiscard]] ReplyQueue::Place defer_alone();

  // Reads and changes under way; `then` runs on this loop, unless the connection is gone. The key stays
  // reserved against conflicting commands until then.
  using ReadThen = std::move_only_function<void(Session&, Result<ReadResult>)>;
  void read(const Target& target, CacheCore::ReadOptions options, ReadThen then);
  using WriteThen = std::move_only_function<void(Session&, Result<WriteResult>)>;
  void write(const Target& target, std::string value, WriteThen then);
  void erase(const Target& target, WriteThen then);
  void plain_write(const Target& target, std::optional<std::string> value, Duration ttl, WriteThen then);
  void plain_update(const Target& target, CacheCore::PlainDecide decide, WriteThen then);

  // The reply to a read: the value, null, or its error.
  void write_value(std::string& output, const Result<ReadResult>& result);
  // A token that this connection adopted: what its session reads must not fall behind. Null: none.
  void adopt(std::unique_ptr<const SessionToken> token) { token_ = std::move(token); }
  [[nodiscard]] const SessionToken* token() const { return token_.get(); }
  // True: session reads of the feature go to the origin, because this node has not applied it that far.
  [[nodiscard]] bool is_behind(const Feature& feature) const {
    return token_ != nullptr && lacks_token(feature);
  }

  // CLIENT SETINFO TRACEPARENT: the requests that follow are parts of this trace. Nothing: of none.
  void set_trace(std::optional<TraceParent> trace);

  // ---- CLIENT TRACKING (client_tracking.cc) ----
  [[nodiscard]] ClientTracking* tracking() { return tracking_.get(); }  // null: off
  void track(ClientTracking wanted, std::optional<Tracking::Address> redirect);
  void stop_tracking();
  void push_invalidation(const Tracking::Push& push);
  void redirect_is_broken();
  // A plain value in L1 changed.
  void changed_locally(const Target& target);

  // An L1 hit that may be served, counted as a read. `out->value` is valid while `guard` lives.
  [[nodiscard]] bool hit(const l1::Store::ReadGuard& guard, const Target& target, CacheCore::Hit* out);

  // The same at another level than the feature's own.
  [[nodiscard]] bool hit_at(const l1::Store::ReadGuard& guard, const Target& target,
                            const CacheCore::ReadOptions& options, CacheCore::Hit* out);

  void close_after_replies() { closing_ = true; }
  void cut(const char* reason);

  // ---- identity ----
  [[nodiscard]] const User* user() const { return user_; }  // null: not authenticated
  void log_in(const User* user);
  void log_out();
  void set_protocol(resp::Protocol protocol) { protocol_ = protocol; }
  struct Identity {
    std::string name, library, library_version;
    const Command* last_command = nullptr;
    MonoTime since, active;
    unsigned wrong_passwords = 0;
    bool no_evict = false, no_touch = false;
  };
  [[nodiscard]] Identity& identity() { return identity_; }
  [[nodiscard]] std::size_t kept_bytes() const { return parser_.kept_bytes(); }
  [[nodiscard]] std::size_t waiting_bytes() const { return places_.buffered_bytes() + peer_->unsent_bytes(); }
  // CLIENT REPLY
  enum class Replies : std::uint8_t { kOn, kOff, kSkipNext };
  void set_replies(Replies replies) { replies_ = replies; }
  void unmute() { muted_ = false; }

  // ---- publish and subscribe ----
  [[nodiscard]] std::set<std::string, std::less<>>& channels() { return channels_; }
  [[nodiscard]] std::set<std::string, std::less<>>& patterns() { return patterns_; }
  [[nodiscard]] std::size_t subscriptions() const { return channels_.size() + patterns_.size(); }
  void unsubscribe_all();
  // A published message: out of band, between replies.
  void push_message(const std::string* pattern, std::string_view channel, std::string_view payload);

 private:
  // What is under way on a key.
  struct KeyUse {
    std::uint32_t reads = 0;
    std::uint32_t changes = 0;
  };
  using OwnedRequest = std::vector<std::string>;

  // Parsing
  void run_requests();
  [[nodiscard]] bool gather(Args args);
  [[nodiscard]] bool may_gather() const;
  void answer_batch();
  void answer_lookups(const l1::Store::ReadGuard& guard);
  void answer_miss(const l1::Store::Lookup& lookup, const Feature& feature);
  void postpone_batch(std::size_t from);
  void protocol_error();
  [[nodiscard]] bool refuse_foreign(std::string_view bytes);
  void note_unfinished_command();

  // Dispatch
  void execute(Args args);
  [[nodiscard]] bool may_run(const Command& command, Args args);
  [[nodiscard]] bool must_wait(const Command& command, Args args);
  void unknown_command(Args args);
  [[nodiscard]] bool refuse_http(Args args);
  void wait(Args args);

  // Stalling and going on
  [[nodiscard]] bool output_is_full() const;
  void stall();
  void go_on();
  void rerun_waiting();
  void watch_output();
  void output_watched();
  void settle();
  [[nodiscard]] const char* missed_deadline(MonoTime now);

  [[nodiscard]] RequestSpan new_span(Args args);
  void run(const Command& command, Args args);

  // For the slow log: what waits, and since when.
  void note_deferred(ReplyQueue::Place place);
  void note_finished(ReplyQueue::Place place);

  void remember_reads(const Command& command, Args args);
  void remember_read(const ResolvedKey& key, std::string_view name);
  [[nodiscard]] bool lacks_token(const Feature& feature) const;
  void begin_use(std::uint64_t key, bool change);
  void end_use(std::uint64_t key, bool change);
  [[nodiscard]] WriteDone change_done(const Target& target, WriteThen then);

  RespServer& server_;
  std::shared_ptr<LoopState> loop_;
  Peer* peer_;
  std::uint64_t id_;
  resp::RequestParser parser_;
  resp::Protocol protocol_ = resp::Protocol::kResp2;
  const User* user_ = nullptr;
  std::unique_ptr<const SessionToken> token_;
  std::unique_ptr<ClientTracking> tracking_;

  ReplyQueue places_;
  std::size_t deferred_ = 0;                        // reserved places not yet finished
  std::size_t in_flight_ = 0;                       // reads and changes at the cache
  std::size_t changes_ = 0;                         // the changes among them
  std::unordered_map<std::uint64_t, KeyUse> uses_;  // by L1's seeded hash; a collision only waits needlessly
  bool alone_ = false;                              // the deferred command lets nothing pass
  SlowStages stages_;                               // of the read that is being answered
  struct Deferred {
    MonoTime since;
    std::vector<std::string> args;  // cut
    std::optional<RequestSpan> span{};
  };
  std::unordered_map<ReplyQueue::Place, Deferred> notes_;
  std::optional<TraceParent> trace_;   // nothing: requests are not recorded
  std::string_view failed_;            // why the read that is being answered failed; static
  Args running_;                       // of the command whose handler runs
  std::vector<OwnedRequest> waiting_;  // parsed, but may not run yet; in order

  bool stalled_ = false;
  bool watching_output_ = false;
  bool closing_ = false;  // nothing more is read; closes when the replies have left
  bool closed_ = false;   // the peer has been told
  bool draining_ = false;
  bool seen_bytes_ = false;
  bool had_command_ = false;
  Replies replies_ = Replies::kOn;
  bool muted_ = false;  // the command under way gets no reply

  MonoTime anonymous_since_;                     // accept, or RESET: from then on AUTH has its deadline
  MonoTime unfinished_since_ = MonoTime::max();  // when the command that is not complete began to arrive
  MonoTime stuck_since_ = MonoTime::max();       // since when the output has not moved
  std::size_t unsent_seen_ = 0;
  std::uint64_t commands_ = 0;  // not yet told to the counters

  Identity identity_;
  std::set<std::string, std::less<>> channels_;
  std::set<std::string, std::less<>> patterns_;
};

}  // namespace candor::server
