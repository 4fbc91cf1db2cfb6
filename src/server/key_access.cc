#include "server/key_access.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "cache/freshness.h"
#include "proto/resp_number.h"
#include "server/resp_server.h"

namespace candor::server {

bool parse_integer_arg(Session& session, std::string_view text, std::int64_t* out) {
  if (resp::parse_integer(text, out)) return true;
  session.error("ERR value is not an integer or out of range");
  return false;
}

std::optional<TimeUnit> time_unit(std::string_view word) {
  if (is_word(word, "EX")) return TimeUnit::kSeconds;
  if (is_word(word, "PX")) return TimeUnit::kMillis;
  if (is_word(word, "EXAT")) return TimeUnit::kUnixSeconds;
  if (is_word(word, "PXAT")) return TimeUnit::kUnixMillis;
  return std::nullopt;
}

bool parse_expiry(Session& session, std::string_view command, std::string_view text, TimeUnit unit,
                  bool must_be_positive, l1::Millis* at) {
  std::int64_t value = 0;
  if (!parse_integer_arg(session, text, &value)) return false;
  const bool in_seconds = unit == TimeUnit::kSeconds || unit == TimeUnit::kUnixSeconds;
  const bool is_unix = unit == TimeUnit::kUnixSeconds || unit == TimeUnit::kUnixMillis;
  // A quarter of the range leaves room for every sum below; it is 73 million years.
  constexpr std::int64_t kMillisMax = std::numeric_limits<std::int64_t>::max() / 4;
  const std::int64_t largest = in_seconds ? kMillisMax / 1000 : kMillisMax;
  if ((must_be_positive && value <= 0) || value > largest || value < -largest) {
    session.error("ERR invalid expire time in '" + std::string(command) + "' command");
    return false;
  }
  const std::int64_t millis = in_seconds ? value * 1000 : value;
  const std::int64_t left = is_unix ? millis - session.server().context().clock->wall().ms() : millis;
  *at = session.now_ms() + left;
  return true;
}

bool require_local(Session& session, const Target& target, std::string_view command) {
  const std::string& feature = target.feature->policy().name;
  switch (target.backing) {
    case Backing::kPlainLocal:
      return true;
    case Backing::kPlainShared:
      session.error("ERR " + std::string(command) + " is not supported with a shared L2 yet (feature '" +
                    feature + "')");
      return false;
    case Backing::kOrigin:
      session.error("ERR " + std::string(command) + " is not supported on feature '" + feature +
                    "': it has an origin, whose rows have no expiry and no counters of ours; use GET, SET "
                    "and DEL, or a feature with origin = \"none\"");
      return false;
  }
  return false;
}

bool resolve_local(Session& session, std::string_view key, Right right, std::string_view command,
                   Target* target) {
  return session.resolve(key, right, target) && require_local(session, *target, command);
}

l1::Store::Update keep_entry() { return {}; }

l1::Store::Update erase_entry() {
  l1::Store::Update update;
  update.action = l1::Store::Update::Action::kErase;
  return update;
}

l1::Store::Update store_entry(std::string value, l1::Millis now, l1::Millis expires_at) {
  l1::Store::Update update;
  update.action = l1::Store::Update::Action::kStore;
  update.value = std::move(value);
  update.meta.loaded_at = now;
  update.meta.expires_at = expires_at;
  return update;
}

namespace {

// False: an error has been answered.
bool is_stored(Session& session, l1::Store::PutResult result) {
  switch (result) {
    case l1::Store::PutResult::kStored:
    case l1::Store::PutResult::kConditionFailed:
      return true;
    case l1::Store::PutResult::kTooLarge:
      session.error(
          "LIMIT the value does not fit into L1; raise [l1] memory, which is a hard limit, or store smaller "
          "values");
      return false;
    case l1::Store::PutResult::kNoRoom:
      session.error(
          "OVERLOADED L1 cannot make room while its readers hold on to what they read; try again in a "
          "moment");
      return false;
  }
  return false;
}

}  // namespace

bool update_local(Session& session, const Target& target,
                  const std::function<l1::Store::Update(const l1::EntryView*)>& decide) {
  return is_stored(session, session.store().update(target.hash, target.feature->id(), target.key,
                                                   session.now_ms(), decide));
}

bool put_local(Session& session, const Target& target, std::string_view value, l1::Millis expires_at) {
  l1::Store::PutRequest request;
  request.hash = target.hash;
  request.feature = target.feature->id();
  request.key = target.key;
  request.value = value;
  request.now = session.now_ms();
  request.meta.loaded_at = request.now;
  request.meta.expires_at = expires_at;
  return is_stored(session, session.store().put(request));
}

bool peek_local(Session& session, const Target& target, const l1::Store::ReadGuard& guard,
                l1::EntryView* view) {
  return session.store().peek(guard, target.hash, target.feature->id(), target.key, session.now_ms(), view);
}

std::int64_t ttl_left_ms(const Target& target, const l1::EntryMeta& meta, l1::Millis now) {
  const bool has_grace = target.backing == Backing::kOrigin;
  const l1::Millis until = has_grace ? fresh_until(target.feature->policy(), meta) : meta.expires_at;
  return until == 0 ? -1 : std::max<std::int64_t>(0, until - now);
}

std::int64_t ttl_left_ms(const ReadResult& result) {
  if (result.degraded != nullptr) return 0;
  if (result.ttl_left == Duration::zero()) return -1;
  return std::chrono::duration_cast<std::chrono::milliseconds>(result.ttl_left).count();
}

// ---- Gathering ----

void Gathering::commit(Session& session) {
  CANDOR_ASSERT(!committed_);
  committed_ = true;
  if (left_ == 0) return write(session.out(), session);
  place_ = session.defer();
}

void Gathering::done(Session& session, std::int64_t amount) {
  sum_ += amount;
  step(session);
}

void Gathering::failed(Session& session, const Error& error) {
  if (!error_) error_ = error;
  step(session);
}

void Gathering::step(Session& session) {
  CANDOR_ASSERT(committed_ && left_ > 0);
  if (--left_ > 0) return;
  session.finish(place_, [&](std::string& out) { write(out, session); });
}

void Gathering::write(std::string& out, Session& session) {
  if (!error_) return answer_(out, session.protocol(), sum_);
  session.server().counters().command_errors.add();
  resp::write_error(out, reply_text(*error_));
}

std::shared_ptr<Gathering> gather_sum() {
  return std::make_shared<Gathering>(
      [](std::string& out, resp::Protocol, std::int64_t sum) { resp::write_integer(out, sum); });
}

std::shared_ptr<Gathering> gather_ok() {
  return std::make_shared<Gathering>(
      [](std::string& out, resp::Protocol, std::int64_t) { out.append("+OK\r\n"); });
}

}  // namespace candor::server
