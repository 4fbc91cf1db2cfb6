// What the command families share: reading a key wherever it lives, changing a plain key in L1, times of
// expiry, and replies that wait for several keys.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "server/reply_error.h"
#include "server/session.h"

namespace candor::server {

// ---- numbers ----

// False: an error has been answered.
[[nodiscard]] bool parse_integer_arg(Session& session, std::string_view text, std::int64_t* out);

// ASCII only, as Redis spells its commands and settings.
[[nodiscard]] std::string lower_case(std::string_view text);

// ---- subcommands, in Redis' words ----

// CLIENT HELP and its like: a title, the lines, and HELP itself.
void write_help(Session& session, std::string_view command, std::span<const std::string_view> lines);
// "wrong number of arguments for 'client|id' command"
void wrong_arity(Session& session, std::string_view command, std::string_view subcommand);
void unknown_subcommand(Session& session, std::string_view command, std::string_view subcommand);

// ---- expiry ----

enum class TimeUnit : std::uint8_t { kSeconds, kMillis, kUnixSeconds, kUnixMillis };

// `text` in `unit` as a moment of L1's clock. A moment in the past is `now` or earlier. False: an error
// naming `command` has been answered. Redis refuses times of zero and below where they make a new value
// (`must_be_positive`).
[[nodiscard]] bool parse_expiry(Session& session, std::string_view command, std::string_view text,
                                TimeUnit unit, bool must_be_positive, l1::Millis* at);
// EX, PX, EXAT, PXAT; nullopt for any other word.
[[nodiscard]] std::optional<TimeUnit> time_unit(std::string_view word);

// When a value expires that is stored without a word on it: after the plain feature's `ttl`, if the owner
// wrote one; else never (0).
[[nodiscard]] l1::Millis default_expiry(Session& session, const Target& target);

// ---- plain features ----

// Resolves a key for a command that works on plain features only, wherever they live. False: an error has
// been answered.
[[nodiscard]] bool resolve_plain(Session& session, std::string_view key, Right right,
                                 std::string_view command, Target* target);
// The same for a command that works on plain features in this node's L1 only.
[[nodiscard]] bool resolve_local(Session& session, std::string_view key, Right right,
                                 std::string_view command, Target* target);

[[nodiscard]] l1::Store::Update keep_entry();
[[nodiscard]] l1::Store::Update erase_entry();
[[nodiscard]] l1::Store::Update store_entry(std::string value, l1::Millis now, l1::Millis expires_at);

// A change that depends on the value: one atomic step, in L1 or in the L2 that nodes share.
//   l1::Store::Update decide(State&, const l1::EntryView* current)   may be called again; its last call
//   counts void answer(State&, Session&, std::string& out)                  writes the reply, once
// The state goes from one to the other, perhaps on another thread and after the command has returned: it and
// the functions hold what they need, and nothing of the request.
template <class State, class Decide, class Answer>
void change_plain(Session& session, const Target& target, State state, Decide decide, Answer answer);

void answer_error(Session& session, std::string& out, std::string_view text);

// Applies `decide` to the key in L1; it may be called more than once, the last call counts. False: the value
// did not fit, and an error has been answered.
[[nodiscard]] bool update_local(Session& session, const Target& target,
                                const std::function<l1::Store::Update(const l1::EntryView*)>& decide);
[[nodiscard]] bool put_local(Session& session, const Target& target, std::string_view value,
                             l1::Millis expires_at);
[[nodiscard]] bool peek_local(Session& session, const Target& target, const l1::Store::ReadGuard& guard,
                              l1::EntryView* view);

template <class State, class Decide, class Answer>
void change_plain(Session& session, const Target& target, State state, Decide decide, Answer answer) {
  if (target.backing == Backing::kPlainLocal) {
    if (update_local(session, target, [&](const l1::EntryView* current) { return decide(state, current); }))
      answer(state, session, session.out());
    return;
  }
  auto kept = std::make_shared<State>(std::move(state));
  const auto place = session.defer();
  session.plain_update(
      target, [kept, decide](const l1::EntryView* current) { return decide(*kept, current); },
      [kept, answer, place](Session& back, Result<WriteResult> result) {
        back.finish(place, [&](std::string& out) {
          if (result) return answer(*kept, back, out);
          answer_error(back, out, reply_text(result.error()));
        });
      });
}

// ---- reads of one key, wherever it lives ----

// What a reply is made from.
struct Found {
  std::string_view value;
  std::int64_t ttl_ms = -1;  // -1: no expiry
};

// How long an entry of L1 still is fresh; -1: for ever. The grace that an origin feature allows on top
// (`serve_stale`) is not part of it.
[[nodiscard]] std::int64_t ttl_left_ms(const Target& target, const l1::EntryMeta& meta, l1::Millis now);
// The same for a read that left L1. A value that was served past its ttl has nothing left.
[[nodiscard]] std::int64_t ttl_left_ms(const ReadResult& result);

// Answers with `render(std::string& out, resp::Protocol, const Found* found)`, now or later; `found` is null
// when there is no such key.
template <class Render>
void answer_read(Session& session, const Target& target, Render render) {
  {
    const l1::Store::ReadGuard guard(session.store());
    CacheCore::Hit hit;
    if (session.hit(guard, target, &hit)) {
      Found found{hit.value, ttl_left_ms(target, hit.meta, session.now_ms())};
      return render(session.out(), session.protocol(), hit.negative ? nullptr : &found);
    }
  }
  if (target.backing == Backing::kPlainLocal) return render(session.out(), session.protocol(), nullptr);
  const auto place = session.defer();
  session.read(target, {}, [place, render](Session& back, Result<ReadResult> result) {
    back.finish(place, [&](std::string& out) {
      if (!result) return back.write_value(out, result);
      if (result->value == nullptr) return render(out, back.protocol(), nullptr);
      Found found{*result->value, ttl_left_ms(*result)};
      render(out, back.protocol(), &found);
    });
  });
}

// ---- replies that wait for several keys ----

// Counts what is under way and keeps the worst error: the first, or a write's unknown outcome, which must not
// hide behind one that certainly did not happen. The last completion answers.
class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  // What the reply is if nothing failed.
  using Answer = std::function<void(std::string& out, resp::Protocol, std::int64_t sum)>;
  explicit Gathering(Answer answer, bool writes = false) : answer_(std::move(answer)), writes_(writes) {}

  void add_now(std::int64_t amount) {
    sum_ += amount;
    ++asked_;
  }
  void begin() {
    ++left_;
    ++asked_;
  }
  // Answers at once if nothing is under way, else reserves the reply's place. Call it once, after all
  // begin(); a begin() without it would complete without a place.
  void commit(Session& session);
  void done(Session& session, std::int64_t amount);
  void failed(Session& session, const Error& error);

 private:
  void step(Session& session);
  void write(std::string& out, Session& session);
  void tell_what_was_written(Error* error) const;

  Answer answer_;
  bool writes_ = false;
  std::int64_t sum_ = 0;
  std::size_t left_ = 0, asked_ = 0, failed_ = 0;
  std::optional<Error> error_;
  ReplyQueue::Place place_ = 0;
  bool committed_ = false;
};

// The sum as an integer reply.
[[nodiscard]] std::shared_ptr<Gathering> gather_sum();
// As replies of commands that write: their errors say what was written. The sum, or +OK.
[[nodiscard]] std::shared_ptr<Gathering> gather_written_sum();
[[nodiscard]] std::shared_ptr<Gathering> gather_written();

}  // namespace candor::server
