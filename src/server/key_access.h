// What the command families share: reading a key wherever it lives, changing a plain key in L1, times of
// expiry, and replies that wait for several keys.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/session.h"

namespace candor::server {

// ---- numbers ----

// False: an error has been answered.
[[nodiscard]] bool parse_integer_arg(Session& session, std::string_view text, std::int64_t* out);

// ---- expiry ----

enum class TimeUnit : std::uint8_t { kSeconds, kMillis, kUnixSeconds, kUnixMillis };

// `text` in `unit` as a moment of L1's clock. A moment in the past is `now` or earlier. False: an error
// naming `command` has been answered. Redis refuses times of zero and below where they make a new value
// (`must_be_positive`).
[[nodiscard]] bool parse_expiry(Session& session, std::string_view command, std::string_view text,
                                TimeUnit unit, bool must_be_positive, l1::Millis* at);
// EX, PX, EXAT, PXAT; nullopt for any other word.
[[nodiscard]] std::optional<TimeUnit> time_unit(std::string_view word);

// ---- plain features in L1 ----

// True if the key is on a plain feature that lives in this node's L1, where every command works. Otherwise an
// error has been answered that says why not.
[[nodiscard]] bool require_local(Session& session, const Target& target, std::string_view command);

// Resolves a key for a command that works on local plain features only.
[[nodiscard]] bool resolve_local(Session& session, std::string_view key, Right right,
                                 std::string_view command, Target* target);

[[nodiscard]] l1::Store::Update keep_entry();
[[nodiscard]] l1::Store::Update erase_entry();
[[nodiscard]] l1::Store::Update store_entry(std::string value, l1::Millis now, l1::Millis expires_at);

// Applies `decide` to the key; it may be called more than once, the last call counts. False: the value did
// not fit, and an error has been answered.
[[nodiscard]] bool update_local(Session& session, const Target& target,
                                const std::function<l1::Store::Update(const l1::EntryView*)>& decide);
[[nodiscard]] bool put_local(Session& session, const Target& target, std::string_view value,
                             l1::Millis expires_at);
[[nodiscard]] bool peek_local(Session& session, const Target& target, const l1::Store::ReadGuard& guard,
                              l1::EntryView* view);

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

// Counts what is under way and keeps the first error; the last completion answers.
class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  // What the reply is if nothing failed.
  using Answer = std::function<void(std::string& out, resp::Protocol, std::int64_t sum)>;
  explicit Gathering(Answer answer) : answer_(std::move(answer)) {}

  void add_now(std::int64_t amount) { sum_ += amount; }
  void begin() { ++left_; }
  // Answers at once if nothing is under way, else reserves the reply's place. Call it once, after all
  // begin(); a begin() without it would complete without a place.
  void commit(Session& session);
  void done(Session& session, std::int64_t amount);
  void failed(Session& session, const Error& error);

 private:
  void step(Session& session);
  void write(std::string& out, Session& session);

  Answer answer_;
  std::int64_t sum_ = 0;
  std::size_t left_ = 0;
  std::optional<Error> error_;
  ReplyQueue::Place place_ = 0;
  bool committed_ = false;
};

// The sum as an integer reply.
[[nodiscard]] std::shared_ptr<Gathering> gather_sum();
// +OK
[[nodiscard]] std::shared_ptr<Gathering> gather_ok();

}  // namespace candor::server
