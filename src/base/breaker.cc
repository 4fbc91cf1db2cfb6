#include "base/breaker.h"

#include <algorithm>

#include "base/assert.h"

namespace candor {

Breaker::Breaker(Options options, std::uint64_t seed)
    : options_(options), random_(seed), next_cool_down_(options.cool_down) {
  CANDOR_ASSERT(options_.window.count() >= static_cast<std::int64_t>(kBuckets));
  CANDOR_ASSERT(options_.probes > 0);
}

std::optional<Breaker::Ticket> Breaker::admit(MonoTime now) {
  if (state_ == State::kOpen && now >= open_until_) {
    state_ = State::kHalfOpen;
    ++period_;
    probes_out_ = probes_good_ = 0;
  }
  if (state_ == State::kOpen) return std::nullopt;
  if (state_ == State::kHalfOpen) {
    if (probes_out_ + probes_good_ >= options_.probes) {
      if (now - probes_since_ < options_.probe_patience) return std::nullopt;
      probes_out_ = 0;  // their outcomes are lost; ask again
      ++period_;
    }
    ++probes_out_;
    probes_since_ = now;
  }
  return Ticket{period_};
}

void Breaker::record(Ticket ticket, bool ok, MonoTime now) {
  if (ticket.period != period_) return;
  if (state_ == State::kHalfOpen) {
    if (!ok) return open(now);
    if (probes_out_ > 0) --probes_out_;
    if (++probes_good_ >= options_.probes) close();
    return;
  }
  if (state_ != State::kClosed) return;
  Bucket& b = bucket(now);
  ok ? ++b.good : ++b.bad;
  if (!ok && too_many_failures(now)) open(now);
}

void Breaker::forget(Ticket ticket) {
  if (ticket.period == period_ && state_ == State::kHalfOpen && probes_out_ > 0) --probes_out_;
}

void Breaker::trip(MonoTime now) {
  if (state_ == State::kClosed) open(now);
}

void Breaker::retry_now(MonoTime now) {
  if (state_ == State::kOpen) open_until_ = std::min(open_until_, now);
}

Breaker::State Breaker::state(MonoTime now) const {
  return state_ == State::kOpen && now >= open_until_ ? State::kHalfOpen : state_;
}

Breaker::Bucket& Breaker::bucket(MonoTime now) {
  const std::int64_t index = now.ns / (options_.window.count() / static_cast<std::int64_t>(kBuckets));
  Bucket& b = buckets_[static_cast<std::size_t>(index) % kBuckets];
  if (b.index != index) b = Bucket{index, 0, 0};
  return b;
}

bool Breaker::too_many_failures(MonoTime now) const {
  const std::int64_t newest = now.ns / (options_.window.count() / static_cast<std::int64_t>(kBuckets));
  std::uint64_t good = 0, bad = 0;
  for (const Bucket& b : buckets_) {
    if (b.index < 0 || b.index + static_cast<std::int64_t>(kBuckets) <= newest) continue;
    good += b.good;
    bad += b.bad;
  }
  return good + bad >= options_.outcomes_min &&
         static_cast<double>(bad) >= options_.failure_share * static_cast<double>(good + bad);
}

void Breaker::open(MonoTime now) {
  const double keep = 1.0 - options_.jitter * random_.unit();
  open_until_ =
      now + Duration{static_cast<std::int64_t>(static_cast<double>(next_cool_down_.count()) * keep)};
  next_cool_down_ = std::min(next_cool_down_ * 2, options_.cool_down_max);
  state_ = State::kOpen;
  ++period_;
  ++times_opened_;
}

void Breaker::close() {
  state_ = State::kClosed;
  ++period_;
  next_cool_down_ = options_.cool_down;
  buckets_.fill(Bucket{});
}

const char* breaker_state_name(Breaker::State state) {
  switch (state) {
    case Breaker::State::kClosed:
      return "closed";
    case Breaker::State::kOpen:
      return "open";
    case Breaker::State::kHalfOpen:
      return "half-open";
  }
  return "unknown";
}

}  // namespace candor
