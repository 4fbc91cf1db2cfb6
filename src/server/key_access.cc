#include "server/key_access.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "cache/freshness.h"
#include "proto/resp_number.h"
#include "server/reply_error.h"
#include "server/resp_server.h"

namespace candor::server {

bool parse_integer_arg(Session& session, std::string_view text, std::int64_t* out) {
  if (resp::parse_integer(text, out)) return true;
  session.error("ERR value is not an integer or out of range");
  return false;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

void write_help(Session& session, std::string_view command, std::span<const std::string_view> lines) {
  std::string& out = session.out();
  const auto line = [&out](std::string_view text) { out.append(1, '+').append(text).append("\r\n"); };
  resp::write_array(out, lines.size() + 3);
  line(std::string(command) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const auto text : lines) line(text);
  line("HELP");
  line("    Print this help.");
}

void wrong_arity(Session& session, std::string_view command, std::string_view subcommand) {
  std::string name(command);
  name.append(1, '|').append(subcommand);
  session.error("ERR wrong number of arguments for '" + lower_case(name) + "' command");
}

void unknown_subcommand(Session& session, std::string_view command, std::string_view subcommand) {
  session.error("ERR unknown subcommand '" + std::string(subcommand.substr(0, 64)) + "'. Try " +
                std::string(command) + " HELP.");
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
  // Redis counts Unix milliseconds in 64 bits: a moment beyond them is no time.
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  const std::int64_t wall = session.server().context().clock->wall().ms();
  const bool fits = !in_seconds || (value <= kMax / 1000 && value >= kMin / 1000);
  const std::int64_t millis = in_seconds && fits ? value * 1000 : value;
  if (!fits || (must_be_positive && value <= 0) || (!is_unix && millis > kMax - wall)) {
    session.error("ERR invalid expire time in '" + std::string(command) + "' command");
    return false;
  }
  // Everything in the past is as good as a millisecond ago; our clock is younger than the wall's.
  const std::int64_t left = !is_unix ? millis : millis <= wall ? -1 : millis - wall;
  *at = session.now_ms() + std::max<std::int64_t>(left, -session.now_ms());
  return true;
}

l1::Millis default_expiry(Session& session, const Target& target) {
  const Duration ttl = target.feature->policy().ttl;
  return ttl > Duration::zero() ? session.now_ms() + std::max<l1::Millis>(1, ttl / 1ms) : 0;
}

bool resolve_plain(Session& session, std::string_view key, Right right, std::string_view command,
                   Target* target) {
  if (!session.resolve(key, right, target)) return false;
  if (target->backing != Backing::kOrigin) return true;
  session.error("ERR " + std::string(command) + " is not supported on feature '" +
                target->feature->policy().name +
                "': it has an origin, whose rows have no expiry and no counters of ours; use GET, SET "
                "and DEL, or a feature with origin = \"none\"");
  return false;
}

bool resolve_local(Session& session, std::string_view key, Right right, std::string_view command,
                   Target* target) {
  if (!resolve_plain(session, key, right, command, target)) return false;
  if (target->backing == Backing::kPlainLocal) return true;
  session.error("ERR " + std::string(command) + " is not supported with a shared L2 (feature '" +
                target->feature->policy().name + "'): it has no atomic step for two keys");
  return false;
}

void answer_error(Session& session, std::string& out, std::string_view text) {
  session.server().counters().command_errors.add();
  resp::write_error(out, text);
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
  const auto result =
      session.store().update(target.hash, target.feature->id(), target.key, session.now_ms(), decide);
  if (result != l1::Store::PutResult::kConditionFailed) session.changed_locally(target);
  return is_stored(session, result);
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
  const auto result = session.store().put(request);
  session.changed_locally(target);
  return is_stored(session, result);
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
  ++failed_;
  const bool is_worse =
      error_ && error.code == ErrorCode::kUnknownOutcome && error_->code != ErrorCode::kUnknownOutcome;
  if (!error_ || is_worse) error_ = error;
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
  if (writes_) tell_what_was_written(&*error_);
  resp::write_error(out, reply_text(*error_));
}

// "not written" of one key must not be read as "nothing was written".
void Gathering::tell_what_was_written(Error* error) const {
  if (failed_ == asked_ || error->code != ErrorCode::kOriginDown) return;
  if (error->message.starts_with(kNotWritten)) error->message.erase(0, kNotWritten.size() + 2);
  error->message.insert(0, std::string(kPartlyWritten) + ": " + std::to_string(asked_ - failed_) + " of " +
                               std::to_string(asked_) + " keys; the others were not: ");
}

std::shared_ptr<Gathering> gather_sum() {
  return std::make_shared<Gathering>(
      [](std::string& out, resp::Protocol, std::int64_t sum) { resp::write_integer(out, sum); });
}

std::shared_ptr<Gathering> gather_written_sum() {
  return std::make_shared<Gathering>(
      [](std::string& out, resp::Protocol, std::int64_t sum) { resp::write_integer(out, sum); }, true);
}

std::shared_ptr<Gathering> gather_written() {
  return std::make_shared<Gathering>(
      [](std::string& out, resp::Protocol, std::int64_t) { out.append("+OK\r\n"); }, true);
}

}  // namespace candor::server
