// The gate of one origin: may a request join the line, how many statements may be in flight, may what was
// lost go again? One for every kind of origin. Pure: no clock, no I/O; callers pass `now`.
//
// A request is refused
//   - with kOriginDown while the breaker is open: the origin fails, or says nothing, and waiting for it helps
//     nobody. What the database itself refuses (a constraint, a syntax error) is no failure of the origin.
//   - with kOverloaded when the line is too long for its class, or when what is at its head has waited so
//   long
//     that the request's deadline would pass in the line (CoDel's thought: a queue is judged by how long one
//     stays in it, not by its length). Lower classes get a smaller share of both, so they go first.
//
// Thread safety: none. One owner, the origin's desk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/breaker.h"
#include "base/result.h"
#include "base/time.h"
#include "origin/concurrency_limit.h"
#include "origin/load_urgency.h"
#include "origin/origin.h"
#include "origin/retry_budget.h"

namespace candor {

// Did the origin do its part, whatever it said?
[[nodiscard]] constexpr bool is_answer(ErrorCode code) {
  return code != ErrorCode::kOriginDown && code != ErrorCode::kTimeout && code != ErrorCode::kOverloaded &&
         code != ErrorCode::kUnavailable;
}

class OriginGate {
 public:
  struct Options {
    std::string name;  // of the origin, for messages
    std::uint32_t max_concurrency = 32;
    std::uint32_t waiting_max = 16'384;
    OriginProtection protection{};
    std::uint64_t seed = 0;  // of the breaker's jitter
  };
  explicit OriginGate(Options options);

  // ---- requests ----
  struct Arrival {
    LoadClass of = LoadClass::kNormal;
    MonoTime deadline{0};
    // Refused while the breaker is open, but what becomes of it does not move the breaker: a write fails by
    // locks and other writers as well, and must not keep readers away.
    bool is_write = false;
  };
  struct Line {
    std::size_t waiting = 0;           // of all classes
    std::optional<MonoTime> oldest{};  // when the oldest of this class or a better one came
  };
  struct Pass {
    Breaker::Ticket ticket{};
    bool is_counted = false;  // by the breaker
  };
  [[nodiscard]] Result<Pass> admit(const Arrival& arrival, const Line& line, MonoTime now);
  // What became of it. `sent`: when it left the line; nothing: it never did. `error`: null if it was
  // answered.
  void on_outcome(const Pass& pass, const Error* error, std::optional<MonoTime> sent, MonoTime now);
  // The breaker is open: what waits should not.
  [[nodiscard]] bool is_shut(MonoTime now) const;
  [[nodiscard]] Error shut_error(MonoTime now) const;

  // Known without counting: no connection can be made; one was made.
  void on_unreachable(const Error& reason, MonoTime now);
  void on_reachable(MonoTime now) { breaker_.retry_now(now); }

  // ---- statements ----
  struct Statement {
    ConcurrencyLimit::Kind kind{};
    MonoTime began{0};
    std::uint32_t in_flight = 0;  // with it
  };
  [[nodiscard]] std::uint32_t limit(MonoTime now) const { return limit_.limit(now); }
  [[nodiscard]] std::optional<MonoTime> take_dip() { return limit_.take_dip(); }
  [[nodiscard]] Statement sent(ConcurrencyLimit::Kind kind, std::uint32_t in_flight, MonoTime now);
  void answered(const Statement& statement, MonoTime now);
  void lost(MonoTime now) { limit_.on_failed(now); }

  // Idempotent work that was lost with its connection, and still has time.
  [[nodiscard]] bool may_retry(MonoTime deadline, MonoTime now);

  void report(OriginStats& stats, MonoTime now) const;
  // What was learned stays.
  void adopt(const OriginProtection& protection);

  // So much of the line, and of the time left, is a class given.
  static constexpr std::array<double, kLoadClasses> kShares{1.0, 0.9, 0.5, 0.25};
  // Silence: so many requests in a row had no answer, over so long, while nothing else was answered either.
  static constexpr unsigned kSilentMax = 3;
  static constexpr Duration kSilence = 1s;
  // Who gave it less time than that cannot say that the origin is dead.
  static constexpr Duration kPatience = 1s;
  // As many outcomes as a second of a quiet origin has; with fewer a few unlucky keys would speak for all.
  static constexpr Breaker::Options kBreaker{.cool_down_max = 5s};

 private:
  [[nodiscard]] std::optional<Error> refuse_long_line(const Arrival& arrival, const Line& line,
                                                      MonoTime now) const;
  void note_answer(const Pass& pass, MonoTime now);
  void note_failure(const Pass& pass, const Error& error, MonoTime now);
  // After one more that was sent, and not answered in its time: has the origin fallen silent?
  [[nodiscard]] bool is_silent(MonoTime sent, MonoTime now);

  Options options_;
  ConcurrencyLimit limit_;
  Breaker breaker_;
  RetryBudget retries_;
  Error last_failure_;
  MonoTime last_answer_{0}, silent_since_{0};
  unsigned silent_ = 0;
  std::array<std::uint64_t, kLoadClasses> shed_{};
  std::uint64_t retried_ = 0, refused_ = 0;
};

}  // namespace candor
