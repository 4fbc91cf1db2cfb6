#include "change/postgres_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/backoff.h"
#include "change/pgoutput.h"
#include "change/postgres_session.h"
#include "change/postgres_setup.h"
#include "origin/postgres_identity.h"

namespace candor {
namespace {

// The control session's statements read catalogs; a server that needs longer is in trouble.
constexpr Duration kLookLimit = 10s;
// A server that keeps asking us to confirm what we must not confirm yet is shutting down, and waits for us.
constexpr Duration kShutdownPatience = 2s;
// A person has to act: look again without haste, but soon enough that mending shows.
constexpr Duration kProblemPause = 2s;

std::string seconds_option(const char* name, Duration value) {
  return fmt::format("-c {}={}ms ", name, value / 1ms);
}

}  // namespace

class PostgresFeed::Run final : public std::enable_shared_from_this<Run>,
                                private PostgresSession::CopyHandler {
 public:
  Run(PostgresTarget target, PostgresFeedOptions options, Executor& executor, Transport& transport,
      BlockingPool& pool, EntropySource& entropy)
      : target_(std::make_shared<const PostgresTarget>(std::move(target))),
        options_(std::move(options)),
        names_{postgres_slot_prefix(options_.region, options_.origin),
               postgres_publication_name(options_.origin)},
        executor_(executor),
        transport_(transport),
        pool_(pool),
        entropy_(entropy),
        backoff_({.first = 100ms, .limit = 5s, .floor = 20ms}, entropy.next_seed()) {}

  void start(FeedSink* sink) {
    CANDOR_ASSERT(sink_ == nullptr);
    sink_ = sink;
    status_.state = FeedStatus::State::kConnecting;
    spawn(live(shared_from_this()));
  }

  void confirm(Position position) {
    // Never beyond what was handed over, whatever the caller says; never back.
    const auto bounded = std::min(position, status_.handed_over);
    const bool is_new = leading_ && told_slot_ != slot_;
    if (is_new && bounded >= from_) told_slot_ = slot_;  // this leadership's break is with the region
    if (bounded <= confirmed_) return;
    confirmed_ = bounded;
    if (leading_) status_.confirmed = confirmed_;
    if (is_new) send_status(false);  // and the next leader need not say it again
  }

  void history_lost(Incarnation incarnation, const std::string& reason) {
    if (stopped_ || incarnation.value == 0 || lost_ == incarnation) return;
    lost_ = incarnation;
    lost_reason_ = reason;
    wake();
  }

  void stop() {
    if (std::exchange(stopped_, true)) return;
    if (leading_ && replication_) send_status(false);
    leading_ = false;
    status_.state = FeedStatus::State::kOff;
    sink_ = nullptr;  // no call after this one
    const auto replication = std::exchange(replication_, nullptr);
    const auto control = std::exchange(control_, nullptr);
    cancel_heartbeat();
    if (replication) replication->close();
    if (control) control->close();
    wake();
  }

  [[nodiscard]] FeedStatus status() const {
    FeedStatus status = status_;
    if (changes_ && status.problem.empty()) status.problem = changes_->problems();
    return status;
  }
  [[nodiscard]] std::string describe() const {
    return fmt::format("postgresql {} slot {}", target_->shown, slot_.empty() ? names_.slot_prefix : slot_);
  }

 private:
  // What an attempt to lead came to.
  enum class Outcome : std::uint8_t { kReady, kAgain, kStandby, kProblem, kFailed };

  // ---- The life

  static Task<void> live(std::shared_ptr<Run> self) {
    while (!self->stopped_) {
      Outcome outcome = co_await self->prepare();
      if (outcome == Outcome::kReady) outcome = co_await self->lead();
      if (self->stopped_) break;
      co_await self->nap(self->pause_after(outcome));
    }
    self->changes_.reset();
  }

  Duration pause_after(Outcome outcome) {
    switch (outcome) {
      case Outcome::kReady:
      case Outcome::kAgain:
        return Duration::zero();  // something was mended, or is to be looked at
      case Outcome::kStandby:
        status_.state = FeedStatus::State::kStandby;
        return options_.check_period;
      case Outcome::kProblem:
        status_.state = FeedStatus::State::kMisconfigured;
        return kProblemPause;
      case Outcome::kFailed:
        status_.state = FeedStatus::State::kConnecting;
        ++status_.reconnects;
        return backoff_.next();
    }
    return options_.check_period;
  }

  // Wakes by wake(), or when the time is over.
  Task<void> nap(Duration pause) {
    const OneShot<bool> shot;
    wake_ = shot;
    const auto timer = executor_.schedule(executor_.now() + pause, [shot] { shot.set(true); });
    if (!stopped_) co_await shot;
    executor_.cancel(timer);
    wake_.reset();
  }
  void wake() {
    if (!wake_) return;
    const auto shot = *wake_;
    shot.set(true);
  }

  Outcome failed(const Error& error) {
    status_.problem = fmt::format("postgresql {}: {}", target_->shown, error.message);
    if (control_ && !control_->is_open()) control_.reset();
    return Outcome::kFailed;
  }
  Outcome problem(std::string text) {
    status_.problem = std::move(text);
    return Outcome::kProblem;
  }

  // ---- Looking

  Task<Result<void>> open_control() {
    if (control_ && control_->is_open()) co_return Result<void>{};
    control_ = std::make_shared<PostgresSession>(target_, executor_, transport_, pool_);
    const auto session = control_;
    // client_connection_check_interval: a slot that is being made is given up when we go. Only where the
    // server can (Linux, from 14); there is no way to ask before, so it is set by a statement that may find
    // nothing.
    Result<void> opened = co_await session->connect(
        false, names_.slot_prefix + "_control",
        "-c standard_conforming_strings=on -c default_transaction_read_only=off -c statement_timeout=0");
    if (!opened) co_return opened;
    auto set = co_await session->query(
        "select set_config(name, '1000', false) from pg_settings where name = "
        "'client_connection_check_interval'",
        kLookLimit);
    if (!set) co_return std::unexpected(std::move(set.error()));
    co_return Result<void>{};
  }

  Task<Result<PostgresRows>> ask(std::string sql, Duration limit) {
    const auto session = control_;
    if (!session) co_return fail(ErrorCode::kOriginDown, "not connected");
    Result<PostgresRows> rows = co_await session->query(std::move(sql), limit);
    co_return rows;
  }

  struct Look {
    PostgresServerFacts server;
    PostgresTablesFacts tables;
    std::vector<PostgresSlot> slots;
  };
  Task<Result<Look>> look() {
    Look seen;
    auto server = co_await ask(postgres_server_sql(), kLookLimit);
    if (!server) co_return std::unexpected(std::move(server.error()));
    seen.server = read_server_facts(*server, names_);
    if (!seen.server.problem.empty()) co_return seen;
    auto slots = co_await ask(postgres_slots_sql(names_), kLookLimit);
    if (!slots) co_return std::unexpected(std::move(slots.error()));
    seen.slots = read_slots(*slots);
    auto tables = co_await ask(postgres_tables_sql(names_, options_.watches), kLookLimit);
    if (!tables) co_return std::unexpected(std::move(tables.error()));
    seen.tables = read_tables_facts(*tables, names_, options_.watches);
    co_return seen;
  }

  // ---- Preparing to lead

  Task<Outcome> prepare() {
    if (status_.state != FeedStatus::State::kStandby) status_.state = FeedStatus::State::kConnecting;
    if (options_.watches.empty())
      co_return problem("no feature of this origin has a watch: there is nothing to read");
    Result<void> opened = co_await open_control();
    if (!opened) co_return failed(opened.error());
    Result<Look> seen = co_await look();
    if (!seen) co_return failed(seen.error());
    if (!seen->server.problem.empty()) co_return problem(seen->server.problem);

    const auto* slot = usable_slot(*seen);
    if (slot != nullptr && slot->active) co_return stand_by(*slot, seen->tables.fingerprint);
    note_history(*seen, slot);
    const auto text = seen->tables.problem;
    if (slot != nullptr && new_slot_wanted_.empty() && must_rename(*seen, *slot)) {
      Outcome renamed = co_await rename_slot(*seen, *slot);
      if (renamed != Outcome::kAgain || text.empty()) co_return renamed;
    }
    if (!text.empty()) co_return problem(text);
    if (!seen->tables.publish_sql.empty()) {
      Outcome published = co_await publish(seen->tables, slot != nullptr);
      co_return published;
    }
    if (slot == nullptr || !new_slot_wanted_.empty()) {
      Outcome made = co_await make_slot(*seen);
      co_return made;
    }
    if (seen->slots.size() > 1) co_await drop_others(slot->name);
    slot_ = slot->name;
    from_ = slot->confirmed;
    fingerprint_ = seen->tables.fingerprint;
    status_.lag_bytes = slot->lag_bytes;
    if (owed_.empty() && told_slot_ != slot->name &&
        postgres_nonce_is_new(nonce_of(slot->name), slot->confirmed))
      owe(fmt::format("slot {} was made, and nothing read from it is confirmed yet", slot->name));
    begin_changes(*seen);
    co_return Outcome::kReady;
  }

  // The slot that continues this server's history; of two (a copy whose original is still there) the one that
  // was made for these tables, so that the other goes.
  const PostgresSlot* usable_slot(const Look& seen) const {
    const PostgresSlot* found = nullptr;
    for (const auto& slot : seen.slots) {
      const auto parts = parse_postgres_slot_name(names_.slot_prefix, slot.name);
      if (!parts || parts->timeline != seen.server.timeline || slot.lost) continue;
      if (slot.active) return &slot;
      if (found == nullptr || postgres_nonce_is_of(parts->nonce, seen.tables.fingerprint)) found = &slot;
    }
    return found;
  }

  [[nodiscard]] std::uint64_t nonce_of(const std::string& slot) const {
    const auto parts = parse_postgres_slot_name(names_.slot_prefix, slot);
    return parts ? parts->nonce : 0;
  }

  // Perhaps our own server process, which has not noticed yet that we are gone: nothing is forgotten here.
  Outcome stand_by(const PostgresSlot& slot, const std::string& fingerprint) {
    status_.problem = fmt::format("slot {} is read by another node (server process {})", slot.name, slot.pid);
    slot_ = slot.name;
    if (known_ != incarnation_of(slot.name)) {
      // Whoever leads there knows why, and has told the region; else the slot's name says that nobody has.
      known_ = incarnation_of(slot.name);
      status_.handed_over = Position{};
      owed_.clear();
    }
    new_slot_wanted_.clear();
    if (postgres_nonce_is_of(nonce_of(slot.name), fingerprint)) fingerprint_ = fingerprint;
    status_.lag_bytes = slot.lag_bytes;
    return Outcome::kStandby;
  }

  [[nodiscard]] Incarnation incarnation_of(const std::string& slot) const {
    const auto parts = parse_postgres_slot_name(names_.slot_prefix, slot);
    return parts ? postgres_incarnation(names_.slot_prefix, slot, parts->timeline) : Incarnation{};
  }

  void owe(std::string reason) {
    if (owed_.find(reason) != std::string::npos) return;
    if (!owed_.empty()) owed_ += "; ";
    owed_ += std::move(reason);
  }

  // Does this server continue what we have read?
  void note_history(const Look& seen, const PostgresSlot* slot) {
    if (slot == nullptr) {
      for (const auto& other : seen.slots) {
        if (other.lost)
          new_slot_wanted_ =
              fmt::format("the WAL that slot {} needs was removed (max_slot_wal_keep_size)", other.name);
        if (!other.lost)
          new_slot_wanted_ = fmt::format(
              "slot {} is of another timeline: the origin failed over or was restored", other.name);
      }
      if (new_slot_wanted_.empty())
        new_slot_wanted_ = known_.value == 0 ? "new slot" : fmt::format("slot {} is gone", slot_);
      return;
    }
    if (lost_.value != 0 && lost_ == incarnation_of(slot->name)) {
      new_slot_wanted_ = fmt::format("slot {} is there, but a node has seen that commits are gone: {}",
                                     slot->name, lost_reason_);
    } else if (known_ == incarnation_of(slot->name) && seen.server.position < status_.handed_over) {
      new_slot_wanted_ = fmt::format("the origin is at {}, and {} was read already: it was restored",
                                     postgres_position_text(seen.server.position),
                                     postgres_position_text(status_.handed_over));
    } else if (known_ == incarnation_of(slot->name) && seen.server.next_xid < next_xid_) {
      new_slot_wanted_ =
          fmt::format("the origin's next transaction is {}, and {} was known: it lost commits in a crash",
                      seen.server.next_xid, next_xid_);
    } else if (known_.value != 0 && known_ != incarnation_of(slot->name)) {
      owe(fmt::format("slot {} is not the one that was read before", slot->name));
    }
  }

  Task<Outcome> publish(PostgresTablesFacts facts, bool has_slot) {
    if (facts.publication_is_new && has_slot) {
      // A slot from before would find no publication in the history that it still has to read. It goes first:
      // whoever comes after us finds none, and makes another.
      new_slot_wanted_ = "new publication";
      std::optional<Error> failure = co_await drop_slots({});
      if (failure) co_return slot_error(*failure, "dropped", "select pg_drop_replication_slot(…);");
    }
    Result<PostgresRows> done = co_await ask(facts.publish_sql, kLookLimit);
    if (!done) {
      if (!control_ || !control_->is_open()) co_return failed(done.error());
      co_return problem(fmt::format(
          "the publication is not as it must be, and could not be made so: {}; run as a role that may: {}",
          done.error().message, facts.publish_sql));
    }
    co_return Outcome::kAgain;
  }

  void begin_changes(const Look& seen) {
    changes_ =
        std::make_unique<PostgresChanges>(seen.tables.tables, options_.transaction, seen.server.next_xid);
    confirmed_ = from_;
    up_to_ = from_;
    status_.unheard = seen.tables.unheard;
  }

  // ---- The slot

  // Does the slot's name say what is there now, and where it was made?
  bool must_rename(const Look& seen, const PostgresSlot& slot) {
    const auto& tables = seen.tables;
    const bool is_changed = !postgres_nonce_is_of(nonce_of(slot.name), tables.fingerprint) ||
                            (!fingerprint_.empty() && fingerprint_ != tables.fingerprint);
    if (is_changed && !(tables.problem.empty() && tables.unheard.empty())) {
      owe("a watched table could not be watched, and changes of it may have been missed");
    } else if (is_changed && !tables.publish_sql.empty()) {
      owe("the publication lacked a watched table or operation");
    } else if (is_changed) {
      owe("what stands behind the watched tables has changed (columns, partitions, another table)");
    }
    return is_changed || (!cannot_copy_ && !postgres_nonce_knows_its_place(nonce_of(slot.name)));
  }

  // A copy under another name is another history for the region, from now on and for whoever leads next; it
  // waits for no transaction, and reads on where the slot was.
  Task<Outcome> rename_slot(Look seen, PostgresSlot slot) {
    auto locked = co_await ask(lock_sql("pg_try_advisory_lock"), kLookLimit);
    if (!locked) co_return failed(locked.error());
    if (!locked->is_true(0, 0)) co_return Outcome::kStandby;
    Outcome outcome = co_await copy_slot(std::move(seen), std::move(slot));
    auto unlocked = co_await ask(lock_sql("pg_advisory_unlock"), kLookLimit);
    if (!unlocked) co_return failed(unlocked.error());
    co_return outcome;
  }

  Task<Outcome> copy_slot(Look seen, PostgresSlot slot) {
    auto rows = co_await ask(postgres_slots_sql(names_), kLookLimit);
    if (!rows) co_return failed(rows.error());
    const auto slots = read_slots(*rows);
    const bool is_as_seen = std::ranges::any_of(slots, [&](const PostgresSlot& one) {
      return one.name == slot.name && !one.active && one.confirmed == slot.confirmed;
    });
    if (!is_as_seen || slots.size() != seen.slots.size()) co_return Outcome::kStandby;
    const auto nonce = postgres_nonce(entropy_.next_seed(), seen.tables.fingerprint, slot.confirmed);
    const auto name = postgres_slot_name(names_.slot_prefix, {seen.server.timeline, nonce});
    auto copied = co_await ask(
        fmt::format("select pg_copy_logical_replication_slot('{}', '{}')", slot.name, name), kLookLimit);
    if (!copied) {
      if (!control_ || !control_->is_open()) co_return failed(copied.error());
      // No room for a second slot, as a rule. What says nothing of its place is led as it is; what says
      // something wrong goes.
      cannot_copy_ = true;
      if (!postgres_nonce_is_of(nonce_of(slot.name), seen.tables.fingerprint))
        new_slot_wanted_ = std::exchange(owed_, {});
      co_return Outcome::kAgain;
    }
    cannot_copy_ = false;
    std::optional<Error> failure = co_await drop_slots(name);
    if (failure) co_return failed(*failure);
    // So that something can be confirmed even when nobody writes.
    auto moved = co_await ask("select pg_logical_emit_message(false, 'candor', '')", kLookLimit);
    if (!moved) co_return failed(moved.error());
    if (known_ == incarnation_of(slot.name)) known_ = incarnation_of(name);
    fingerprint_ = seen.tables.fingerprint;
    co_return Outcome::kAgain;
  }

  // Held by whoever makes, copies or drops slots of the region.
  [[nodiscard]] std::string lock_sql(const char* function) const {
    return fmt::format("select {}(hashtextextended('{}', 0))", function, names_.slot_prefix);
  }

  // What a leader left that died between a copy and its original: they would hold back the log for ever.
  // Tried again by the next leadership.
  Task<void> drop_others(std::string kept) {
    auto locked = co_await ask(lock_sql("pg_try_advisory_lock"), kLookLimit);
    if (!locked || !locked->is_true(0, 0)) co_return;
    (void)co_await drop_slots(std::move(kept));
    (void)co_await ask(lock_sql("pg_advisory_unlock"), kLookLimit);
  }

  // All of the region's, except `kept`. What the first failure was; nothing: all are gone.
  Task<std::optional<Error>> drop_slots(std::string kept) {
    auto rows = co_await ask(postgres_slots_sql(names_), kLookLimit);
    if (!rows) co_return rows.error();
    std::optional<Error> failure;
    for (const auto& slot : read_slots(*rows)) {
      if (slot.name == kept) continue;
      auto dropped =
          co_await ask(fmt::format("select pg_drop_replication_slot('{}')", slot.name), kLookLimit);
      if (!dropped && !failure) failure = dropped.error();
    }
    co_return failure;
  }

  Task<Outcome> make_slot(Look seen) {
    auto locked = co_await ask(lock_sql("pg_try_advisory_lock"), kLookLimit);
    if (!locked) co_return failed(locked.error());
    if (!locked->is_true(0, 0)) {
      status_.problem = "another node makes the slot";
      co_return Outcome::kStandby;
    }
    status_.problem = "making the slot, which waits for the transactions that are under way to end";
    Outcome outcome = co_await replace_slot(std::move(seen));
    auto unlocked = co_await ask(lock_sql("pg_advisory_unlock"), kLookLimit);
    if (!unlocked) co_return failed(unlocked.error());
    co_return outcome;
  }

  Task<Outcome> replace_slot(Look seen) {
    // Again, now that nobody else makes one.
    auto rows = co_await ask(postgres_slots_sql(names_), kLookLimit);
    if (!rows) co_return failed(rows.error());
    const auto slots = read_slots(*rows);
    const auto is_new = [&](const PostgresSlot& slot) {
      return std::none_of(seen.slots.begin(), seen.slots.end(),
                          [&](const auto& s) { return s.name == slot.name; });
    };
    if (std::any_of(slots.begin(), slots.end(), is_new)) co_return Outcome::kStandby;
    std::optional<Error> failure = co_await drop_slots({});
    if (failure) co_return slot_error(*failure, "dropped", "select pg_drop_replication_slot(…);");
    const auto nonce = postgres_nonce(entropy_.next_seed(), seen.tables.fingerprint, std::nullopt);
    const auto name = postgres_slot_name(names_.slot_prefix, {seen.server.timeline, nonce});
    const auto sql =
        fmt::format("select lsn from pg_create_logical_replication_slot('{}', 'pgoutput')", name);
    auto made = co_await ask(sql, Duration::zero());
    if (!made) co_return slot_error(made.error(), "made", sql + ";");
    const auto from = parse_postgres_position(made->text(0, 0));
    if (!from) co_return failed(Error{ErrorCode::kOriginDown, "the new slot has no position"});
    owe(std::exchange(new_slot_wanted_, {}));
    known_ = incarnation_of(name);
    status_.handed_over = *from;
    next_xid_ = seen.server.next_xid;
    fingerprint_ = seen.tables.fingerprint;
    co_return Outcome::kAgain;  // its name does not say yet where it was made
  }

  Outcome slot_error(const Error& error, const char* what, const std::string& sql) {
    if (!control_ || !control_->is_open()) return failed(error);
    const auto state = control_->sqlstate();
    if (state == "53400") {
      return problem(fmt::format(
          "{}; run as superuser: alter system set max_replication_slots = <more>; and restart the server",
          error.message));
    }
    if (state == "55006") return Outcome::kStandby;
    return problem(fmt::format("the slot could not be {}: {}; run as a role with replication: {}", what,
                               error.message, sql));
  }

  // ---- Leading

  Task<Outcome> lead() {
    replication_ = std::make_shared<PostgresSession>(target_, executor_, transport_, pool_);
    auto session = replication_;
    Result<void> opened =
        co_await session->connect(true, slot_, seconds_option("wal_sender_timeout", options_.leader_timeout));
    if (opened) {
      auto sql =
          fmt::format("START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names '{}')",
                      slot_, names_.publication);
      last_frame_ = executor_.now();
      opened = co_await session->start_copy(std::move(sql), this, 30s);
    }
    if (stopped_) co_return Outcome::kFailed;
    if (!opened) {
      replication_.reset();
      co_return cannot_lead(opened.error(), session->sqlstate());
    }
    begin_leading();
    Outcome outcome = co_await keep_leading();
    end_leading();
    session->close();
    co_return outcome;
  }

  Outcome cannot_lead(const Error& error, const std::string& sqlstate) {
    if (sqlstate == "55006") {
      status_.problem = error.message;
      return Outcome::kStandby;
    }
    if (sqlstate == "53300")
      return problem(error.message +
                     "; if it is about max_wal_senders, run as superuser: alter system set max_wal_senders = "
                     "<more>; and restart the server");
    if (sqlstate == "42501" || sqlstate == "28000") return problem(error.message);
    return failed(error);
  }

  void begin_leading() {
    leading_ = true;
    ended_.clear();
    greeted_ = false;
    asked_since_.reset();
    status_.state = FeedStatus::State::kLeading;
    status_.problem.clear();
    status_.confirmed = from_;
    backoff_.reset();
    known_ = incarnation_of(slot_);
    status_.incarnation = known_;
    sink_->on_leading(true);
    if (!leading_) return;  // it stopped us
    if (!owed_.empty()) {
      ++status_.breaks;
      status_.handed_over = from_;
      told_slot_.clear();
      sink_->on_break(known_, from_, std::exchange(owed_, {}));
    }
    heartbeat();
    deliver();
  }

  Task<Outcome> keep_leading() {
    while (leading_ && ended_.empty()) {
      if (lost_ != known_) co_await nap(options_.check_period);
      if (!leading_ || !ended_.empty()) break;
      if (lost_ == known_) co_return Outcome::kAgain;  // prepare() makes another slot
      std::optional<Outcome> must_end = co_await check();
      if (must_end && leading_) co_return *must_end;
    }
    co_return ended_.empty() ? Outcome::kAgain : failed(Error{ErrorCode::kOriginDown, ended_});
  }

  // A look while leading: nothing, when all is as it was.
  Task<std::optional<Outcome>> check() {
    std::optional<Outcome> fine;
    Result<void> opened = co_await open_control();
    if (!opened) co_return fine;  // what we read goes on; when the server is gone that ends as well
    Result<Look> seen = co_await look();
    if (!seen || !leading_) co_return fine;
    for (const auto& slot : seen->slots) {
      if (slot.name == slot_) status_.lag_bytes = slot.lag_bytes;
    }
    if (changes_) changes_->saw_next_xid(seen->server.next_xid);
    if (seen->server.unflushed) {
      // What was written without a commit (decoding itself prunes catalog pages) may lie unflushed for as
      // long as nobody commits, and nobody's probe of the log's end would ever be reached. A message that
      // nobody reads makes the server flush; it takes no transaction id.
      auto flushed = co_await ask("select pg_logical_emit_message(false, 'candor', '')", kLookLimit);
      (void)flushed;
    }
    std::optional<Outcome> must_end;
    next_xid_ = std::max(next_xid_, seen->server.next_xid);
    if (!seen->server.problem.empty()) {
      must_end = problem(seen->server.problem);
    } else if (!seen->tables.problem.empty()) {
      must_end = Outcome::kAgain;  // prepare() says so, and that changes may be missed from now on
    } else if (seen->tables.fingerprint != fingerprint_ || !seen->tables.publish_sql.empty()) {
      must_end = Outcome::kAgain;  // prepare() finds what is owed
    }
    co_return must_end;
  }

  void end_leading() {
    leading_ = false;
    // What was handed over and not taken is dropped by the sink with the leadership, and nobody answers for
    // it.
    awaiting_taken_ = false;
    cancel_heartbeat();
    const auto session = std::exchange(replication_, nullptr);
    if (session) session->close();
    changes_.reset();
    if (!stopped_) status_.state = FeedStatus::State::kConnecting;
    if (sink_ != nullptr) sink_->on_leading(false);
  }

  // ---- The stream

  Result<void> on_frame(std::string_view bytes) override {
    last_frame_ = executor_.now();
    const auto frame = pgoutput::decode_frame(bytes);
    if (!frame) return std::unexpected(frame.error());
    if (const auto* keepalive = std::get_if<pgoutput::Keepalive>(&*frame)) {
      on_keepalive(*keepalive);
      return {};
    }
    const auto ended = changes_->take(std::get<pgoutput::WalData>(*frame).message);
    if (!ended) return std::unexpected(ended.error());
    if (!*ended) return {};
    ++status_.transactions;
    up_to_ = std::max(up_to_, changes_->position());
    if (changes_->committed().size() < options_.pending_max) return {};
    deliver();
    const bool full = changes_ && changes_->committed().size() >= options_.pending_max;
    if (full && replication_) replication_->pause(true);
    return {};
  }

  void on_keepalive(const pgoutput::Keepalive& keepalive) {
    server_time_us_ = keepalive.server_time_us;
    // In the middle of a transaction it would speak of what is not whole yet.
    if (!changes_->in_transaction()) up_to_ = std::max(up_to_, keepalive.sent);
    if (!keepalive.reply_wanted) return;
    send_status(false);
    if (confirmed_ >= keepalive.sent) {
      asked_since_.reset();
    } else if (!asked_since_) {
      asked_since_ = executor_.now();
    }
  }

  void on_quiet() override { deliver(); }

  void on_end(const Error& reason, const std::string&) override {
    ended_ = reason.message;
    wake();
  }

  void deliver() {
    if (!leading_ || awaiting_taken_ || !changes_) return;
    auto& committed = changes_->committed();
    if (committed.empty() && greeted_ && up_to_ <= status_.handed_over) return;
    greeted_ = true;
    awaiting_taken_ = true;
    status_.handed_over = std::max(status_.handed_over, up_to_);
    status_.changes += committed.size();
    sink_->on_changes(std::exchange(committed, {}), up_to_, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->taken();
    });
  }

  void taken() {
    awaiting_taken_ = false;
    if (replication_) replication_->pause(false);
    executor_.post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->deliver();
    });
  }

  // ---- Heartbeats

  void heartbeat() {
    if (!leading_ || !replication_) return;
    send_status(true);
    heartbeat_timer_ =
        executor_.schedule(executor_.now() + options_.heartbeat_period, [weak = weak_from_this()] {
          auto self = weak.lock();
          if (!self) return;
          self->heartbeat_timer_ = {};
          self->heartbeat();
          self->watch_silence();
        });
  }
  void cancel_heartbeat() {
    if (heartbeat_timer_ != TimerId{}) executor_.cancel(std::exchange(heartbeat_timer_, {}));
  }

  void watch_silence() {
    if (!leading_ || !ended_.empty()) return;
    const auto now = executor_.now();
    if (awaiting_taken_)
      last_frame_ = std::max(last_frame_, now - options_.heartbeat_period);  // we may be the silent ones
    if (now - last_frame_ > options_.silence_max) {
      ended_ = fmt::format("the server has said nothing for {} s", options_.silence_max / 1s);
    } else if (asked_since_ && now - *asked_since_ > kShutdownPatience) {
      ended_ = "the server keeps asking for a confirmation that is not due yet: it may be shutting down";
    }
    if (!ended_.empty()) wake();
  }

  void send_status(bool reply_wanted) {
    if (replication_)
      replication_->send_copy(pgoutput::encode_status(up_to_, confirmed_, server_time_us_, reply_wanted));
  }

  const std::shared_ptr<const PostgresTarget> target_;
  const PostgresFeedOptions options_;
  const PostgresNames names_;
  Executor& executor_;
  Transport& transport_;
  BlockingPool& pool_;
  EntropySource& entropy_;
  Backoff backoff_;
  FeedSink* sink_ = nullptr;
  FeedStatus status_;
  bool stopped_ = false;
  std::optional<OneShot<bool>> wake_;
  std::shared_ptr<PostgresSession> control_, replication_;

  // What is known of the history, across connections.
  std::string slot_;
  Incarnation known_;
  std::string told_slot_;  // of the last confirmation
  std::string fingerprint_;
  std::uint64_t next_xid_ = 0;   // the highest that the server has said
  Incarnation lost_;             // a node of the region has seen that it lost commits, and
  std::string lost_reason_;      // how that shows
  bool cannot_copy_ = false;     // there is no room for a second slot
  std::string owed_;             // reasons for a break that the next leadership begins with
  std::string new_slot_wanted_;  // why; empty: the slot that is there goes on

  // Of this leadership.
  bool leading_ = false;
  std::string ended_;     // why it must end
  bool greeted_ = false;  // the sink knows where this leadership begins
  Position from_, up_to_, confirmed_;
  std::unique_ptr<PostgresChanges> changes_;
  TimerId heartbeat_timer_;
  MonoTime last_frame_;
  std::int64_t server_time_us_ = 0;
  std::optional<MonoTime> asked_since_;

  // One call at a time, across leaderships: the sink's memory is one.
  bool awaiting_taken_ = false;
};

PostgresFeed::PostgresFeed(PostgresTarget target, PostgresFeedOptions options, Executor& executor,
                           Transport& transport, BlockingPool& pool, EntropySource& entropy)
    : run_(std::make_shared<Run>(std::move(target), std::move(options), executor, transport, pool, entropy)) {
}

PostgresFeed::~PostgresFeed() { run_->stop(); }

void PostgresFeed::start(FeedSink* sink) { run_->start(sink); }
void PostgresFeed::confirm(Position position) { run_->confirm(position); }
void PostgresFeed::history_lost(Incarnation incarnation, const std::string& reason) {
  run_->history_lost(incarnation, reason);
}
void PostgresFeed::stop() { run_->stop(); }
FeedStatus PostgresFeed::status() const { return run_->status(); }
std::string PostgresFeed::describe() const { return run_->describe(); }

}  // namespace candor
