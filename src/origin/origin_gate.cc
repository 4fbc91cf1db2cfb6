#include "origin/origin_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace candor {
namespace {

ConcurrencyLimit::Options limit_options(const OriginGate::Options& options) {
  return {.floor = options.protection.min_concurrency,
          .ceiling = options.max_concurrency,
          .is_fixed = !options.protection.is_adaptive};
}

}  // namespace

// A lost server takes what was in flight with it: the burst lets that much go again.
OriginGate::OriginGate(Options options)
    : options_(std::move(options)),
      limit_(limit_options(options_)),
      breaker_(kBreaker, options_.seed),
      retries_(options_.protection.retry_share, std::max(10U, options_.max_concurrency)) {}

Result<OriginGate::Pass> OriginGate::admit(const Arrival& arrival, const Line& line, MonoTime now) {
  if (auto refused = refuse_long_line(arrival, line, now)) {
    ++shed_[static_cast<std::size_t>(arrival.of)];
    return std::unexpected(std::move(*refused));
  }
  Pass pass;
  if (!options_.protection.has_breaker || (arrival.is_write && !is_shut(now))) return pass;
  const auto ticket = breaker_.admit(now);
  if (!ticket) {
    ++refused_;
    return std::unexpected(shut_error(now));
  }
  pass.ticket = *ticket;
  pass.is_counted = true;
  return pass;
}

std::optional<Error> OriginGate::refuse_long_line(const Arrival& arrival, const Line& line,
                                                  MonoTime now) const {
  const double share = kShares[static_cast<std::size_t>(arrival.of)];
  const auto room = static_cast<std::size_t>(std::ceil(share * options_.waiting_max));
  if (line.waiting >= room) {
    return Error{ErrorCode::kOverloaded,
                 fmt::format("origin {}: {} requests wait already for its {} places: retry later",
                             options_.name, line.waiting, limit(now))};
  }
  if (!line.oldest || arrival.deadline == MonoTime::max()) return std::nullopt;
  const Duration waited = now - *line.oldest;
  const auto may_wait = share * static_cast<double>((arrival.deadline - now).count());
  if (static_cast<double>(waited.count()) <= may_wait) return std::nullopt;
  return Error{ErrorCode::kOverloaded,
               fmt::format("origin {}: one waits {} ms for a place, too long for the time that this request "
                           "(class {}) has: retry later",
                           options_.name, waited / 1ms, load_class_name(arrival.of))};
}

void OriginGate::on_outcome(const Pass& pass, const Error* error, std::optional<MonoTime> sent,
                            MonoTime now) {
  if (error == nullptr || is_answer(error->code)) {
    if (sent) return note_answer(pass, now);
    if (pass.is_counted) breaker_.forget(pass.ticket);
    return;
  }
  if (!pass.is_counted) return;
  const bool was_late = error->code == ErrorCode::kTimeout;
  const bool is_dead = was_late && sent && is_silent(*sent, now);
  // A full line, or a reader in a hurry, is no proof, also of a probe: it makes room for another.
  const bool is_proof = is_dead || !was_late || (sent && now - *sent >= kPatience);
  if (!is_proof) return breaker_.forget(pass.ticket);
  note_failure(pass, *error, now);
  if (is_dead) breaker_.trip(now);
}

void OriginGate::note_answer(const Pass& pass, MonoTime now) {
  last_answer_ = now;
  silent_ = 0;
  if (pass.is_counted) breaker_.record(pass.ticket, true, now);
}

void OriginGate::note_failure(const Pass& pass, const Error& error, MonoTime now) {
  if (!is_shut(now)) last_failure_ = error;
  breaker_.record(pass.ticket, false, now);
}

// A server that is stopped, or behind a cable that was pulled, refuses nothing: it only says nothing.
bool OriginGate::is_silent(MonoTime sent, MonoTime now) {
  if (sent < last_answer_) return false;
  if (silent_++ == 0) silent_since_ = sent;
  return silent_ >= kSilentMax && now - silent_since_ >= kSilence;
}

bool OriginGate::is_shut(MonoTime now) const {
  return options_.protection.has_breaker && breaker_.state(now) == Breaker::State::kOpen;
}

Error OriginGate::shut_error(MonoTime now) const {
  const auto pause = std::max(Duration::zero(), breaker_.opens_until() - now);
  const std::string why =
      last_failure_.message.empty() ? fmt::format("origin {} fails", options_.name) : last_failure_.message;
  return Error{ErrorCode::kOriginDown,
               fmt::format("{}; it is spared for another {} ms", why, (pause + 999us) / 1ms)};
}

void OriginGate::on_unreachable(const Error& reason, MonoTime now) {
  last_failure_ = reason;
  limit_.on_failed(now);
  if (options_.protection.has_breaker) breaker_.trip(now);
}

OriginGate::Statement OriginGate::sent(ConcurrencyLimit::Kind kind, std::uint32_t in_flight, MonoTime now) {
  limit_.on_sent(in_flight, now);
  retries_.on_statement();
  return {kind, now, in_flight};
}

void OriginGate::answered(const Statement& statement, MonoTime now) {
  if (statement.in_flight == 0) return;  // not one of ours: a write
  limit_.on_answered(statement.kind, now - statement.began, statement.in_flight, now);
}

bool OriginGate::may_retry(MonoTime deadline, MonoTime now) {
  if (now >= deadline || !retries_.take()) return false;
  ++retried_;
  return true;
}

void OriginGate::adopt(const OriginProtection& protection) {
  options_.protection = protection;
  limit_.adopt(limit_options(options_));
  retries_.set_share(protection.retry_share);
}

void OriginGate::report(OriginStats& stats, MonoTime now) const {
  stats.limit = limit(now);
  stats.has_breaker = options_.protection.has_breaker;
  stats.breaker = breaker_.state(now);
  stats.breaker_opened = breaker_.times_opened();
  stats.refused = refused_;
  stats.retries = retried_;
  stats.shed = shed_;
}

}  // namespace candor
