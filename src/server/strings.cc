// Commands on values. GET, MGET, SET, MSET and STRLEN work on every feature; the others need a plain feature,
// whose home makes them atomic: L1's update(), or look and swap in an L2 that nodes share.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "proto/resp_number.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

constexpr const char* kTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

void write_found(std::string& out, resp::Protocol protocol, const Found* found) {
  if (found == nullptr) return resp::write_null(out, protocol);
  resp::write_bulk(out, found->value);
}

void get(Session& session, Args args) {
  Target target;
  if (session.resolve(args[1], Right::kRead, &target)) answer_read(session, target, write_found);
}

void strlen_(Session& session, Args args) {
  Target target;
  if (!session.resolve(args[1], Right::kRead, &target)) return;
  answer_read(session, target, [](std::string& out, resp::Protocol, const Found* found) {
    resp::write_integer(out, found == nullptr ? 0 : static_cast<std::int64_t>(found->value.size()));
  });
}

void getrange(Session& session, Args args) {
  std::int64_t start = 0;
  std::int64_t end = 0;
  Target target;
  if (!parse_integer_arg(session, args[2], &start) || !parse_integer_arg(session, args[3], &end)) return;
  if (!session.resolve(args[1], Right::kRead, &target)) return;
  answer_read(session, target, [start, end](std::string& out, resp::Protocol, const Found* found) {
    const auto size = static_cast<std::int64_t>(found == nullptr ? 0 : found->value.size());
    const std::int64_t first = std::max<std::int64_t>(0, start < 0 ? start + size : start);
    const std::int64_t last = std::min(size - 1, end < 0 ? end + size : end);
    if (first > last) return resp::write_bulk(out, "");
    resp::write_bulk(out, found->value.substr(static_cast<std::size_t>(first),
                                              static_cast<std::size_t>(last - first + 1)));
  });
}

// ---- MGET ----

// An MGET of which some keys are on their way.
struct ManyRead {
  std::vector<std::optional<std::string>> values;
  std::vector<std::shared_ptr<const std::string>> loaded;  // by index; null: see values
  std::size_t bytes = 0;
};

void write_many(std::string& out, resp::Protocol protocol, const ManyRead& many) {
  resp::write_array(out, many.values.size());
  for (std::size_t i = 0; i < many.values.size(); ++i) {
    if (many.loaded[i] != nullptr) {
      resp::write_bulk(out, *many.loaded[i]);
    } else if (many.values[i]) {
      resp::write_bulk(out, *many.values[i]);
    } else {
      resp::write_null(out, protocol);
    }
  }
}

// Looks all keys up together. Returns how many have to be read elsewhere; `served` says which ones need not.
std::size_t look_up(Session& session, const l1::Store::ReadGuard& guard, const std::vector<Target>& targets,
                    std::vector<l1::Store::Lookup>* lookups, std::vector<bool>* served, std::size_t* bytes) {
  CacheCore& cache = session.cache();
  const l1::Millis now = session.now_ms();
  const auto is_bounded = [](const Target& t) { return needs_proof(t.feature->policy().consistency); };
  std::vector<Proof> proofs(targets.size());
  if (std::ranges::any_of(targets, is_bounded)) {
    const l1::Millis at = cache.now_ms();
    for (std::size_t i = 0; i < targets.size(); ++i) proofs[i] = cache.proof_of(*targets[i].feature, at);
  }
  for (const auto& target : targets)
    lookups->push_back({target.hash, target.feature->id(), target.key, false, {}});
  for (std::size_t i = 0; i < lookups->size(); i += kReadBatchMax) {
    const std::size_t count = std::min(kReadBatchMax, lookups->size() - i);
    session.store().find_many(guard, std::span(*lookups).subspan(i, count), now);
  }
  std::size_t misses = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    auto& lookup = (*lookups)[i];
    const Feature& feature = *targets[i].feature;
    lookup.found = lookup.found && !session.is_behind(feature) &&
                   cache.may_serve(feature, lookup.key, lookup.view, now, proofs[i]);
    if (lookup.found) {
      cache.count_hits(feature, lookup.view.meta.negative ? 0 : 1, lookup.view.meta.negative ? 1 : 0);
      if (lookup.view.meta.negative) lookup.found = false;
      if (lookup.found) *bytes += lookup.view.value.size();
      (*served)[i] = true;
    } else {
      (*served)[i] = targets[i].backing == Backing::kPlainLocal;
      if (!(*served)[i]) ++misses;
      if ((*served)[i]) cache.count_hits(feature, 0, 1);
    }
  }
  return misses;
}

void read_missing(Session& session, const std::vector<Target>& targets, const std::vector<bool>& served,
                  std::shared_ptr<ManyRead> many) {
  auto gathering = std::make_shared<Gathering>(
      [many](std::string& out, resp::Protocol protocol, std::int64_t) { write_many(out, protocol, *many); });
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (served[i]) continue;
    gathering->begin();
    session.read(targets[i], {}, [gathering, many, i](Session& back, Result<ReadResult> result) {
      if (result && result->value != nullptr) {
        many->bytes += result->value->size();
        many->loaded[i] = std::move(result->value);
      }
      const std::size_t limit = back.server().options().output_bytes_max;
      if (!result) {
        gathering->failed(back, result.error());
      } else if (many->bytes > limit) {
        gathering->failed(
            back, Error{ErrorCode::kLimit,
                        "the reply would be larger than the output limit; ask for fewer keys at once"});
      } else {
        gathering->done(back, 0);
      }
    });
  }
  gathering->commit(session);
}

void mget(Session& session, Args args) {
  std::vector<Target> targets(args.size() - 1);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!session.resolve(args[i + 1], Right::kRead, &targets[i])) return;
  }
  std::vector<l1::Store::Lookup> lookups;
  lookups.reserve(targets.size());
  std::vector<bool> served(targets.size());
  auto many = std::make_shared<ManyRead>();
  {
    const l1::Store::ReadGuard guard(session.store());
    const std::size_t misses = look_up(session, guard, targets, &lookups, &served, &many->bytes);
    if (many->bytes > session.server().options().output_bytes_max) {
      return session.error(
          "LIMIT the reply would be larger than the output limit; ask for fewer keys at once");
    }
    if (misses == 0) {
      std::string& out = session.out();
      resp::write_array(out, targets.size());
      for (const auto& lookup : lookups) {
        lookup.found ? resp::write_bulk(out, lookup.view.value) : resp::write_null(out, session.protocol());
      }
      return;
    }
    many->values.resize(targets.size());
    many->loaded.resize(targets.size());
    for (std::size_t i = 0; i < lookups.size(); ++i) {
      if (lookups[i].found) many->values[i] = std::string(lookups[i].view.value);
    }
  }
  read_missing(session, targets, served, std::move(many));
}

// ---- SET and its relatives ----

struct SetOptions {
  l1::PutMode mode = l1::PutMode::kAlways;
  bool get = false;
  bool keep_ttl = false;
  l1::Millis expires_at = 0;
  Duration ttl{0};  // the same as a length of time

  [[nodiscard]] bool any() const {
    return mode != l1::PutMode::kAlways || get || keep_ttl || expires_at != 0;
  }
  [[nodiscard]] bool only_ttl() const { return mode == l1::PutMode::kAlways && !get && !keep_ttl; }
};

// A Duration counts nanoseconds in 64 bits, which end after 292 years. A shared L2 takes no longer time.
constexpr std::int64_t kMillisMax =
    std::chrono::duration_cast<std::chrono::milliseconds>(Duration::max()).count();

bool set_expiry(Session& session, std::string_view command, std::string_view text, TimeUnit unit,
                SetOptions* options) {
  if (!parse_expiry(session, command, text, unit, true, &options->expires_at)) return false;
  // A moment in the past still is an expiry: the value is gone as soon as it is stored.
  options->expires_at = std::max<l1::Millis>(1, options->expires_at);
  options->ttl = std::chrono::milliseconds(
      std::clamp<std::int64_t>(options->expires_at - session.now_ms(), 1, kMillisMax));
  return true;
}

bool parse_set_options(Session& session, Args args, SetOptions* options) {
  for (std::size_t i = 3; i < args.size(); ++i) {
    const auto unit = time_unit(args[i]);
    const bool is_nx = is_word(args[i], "NX");
    if ((is_nx || is_word(args[i], "XX")) && options->mode == l1::PutMode::kAlways) {
      options->mode = is_nx ? l1::PutMode::kOnlyIfAbsent : l1::PutMode::kOnlyIfPresent;
    } else if (is_word(args[i], "GET")) {
      options->get = true;
    } else if (is_word(args[i], "KEEPTTL") && options->expires_at == 0) {
      options->keep_ttl = true;
    } else if (unit && i + 1 < args.size() && options->expires_at == 0 && !options->keep_ttl) {
      if (!set_expiry(session, "set", args[++i], *unit, options)) return false;
    } else {
      session.syntax_error();
      return false;
    }
  }
  return true;
}

void answer_written(Session& session, ReplyQueue::Place place, const Result<WriteResult>& result) {
  session.finish(place, [&](std::string& out) {
    if (result) {
      out.append("+OK\r\n");
    } else {
      session.server().counters().command_errors.add();
      resp::write_error(out, reply_text(result.error()));
    }
  });
}

// SET with a condition or a question, SETNX, GETSET.
struct Setting {
  std::string value;
  SetOptions options;
  l1::Millis now = 0, expires_at = 0;
  bool as_integer = false;  // SETNX answers 1 and 0
  bool stored = false;
  std::optional<std::string> old;
};

l1::Store::Update decide_setting(Setting& s, const l1::EntryView* current) {
  s.old.reset();
  if (s.options.get && current != nullptr) s.old = std::string(current->value);
  s.stored = s.options.mode == l1::PutMode::kAlways ||
             (s.options.mode == l1::PutMode::kOnlyIfAbsent) == (current == nullptr);
  if (!s.stored) return keep_entry();
  const bool keeps = s.options.keep_ttl && current != nullptr;
  return store_entry(s.value, s.now, keeps ? current->meta.expires_at : s.expires_at);
}

void answer_setting(Setting& s, Session& session, std::string& out) {
  if (s.as_integer) return resp::write_integer(out, s.stored ? 1 : 0);
  if (s.options.get && s.old) return resp::write_bulk(out, *s.old);
  if (s.options.get || !s.stored) return resp::write_null(out, session.protocol());
  out.append("+OK\r\n");
}

void set_conditionally(Session& session, const Target& target, std::string_view value,
                       const SetOptions& options, bool as_integer) {
  Setting setting;
  setting.value = value;
  setting.options = options;
  setting.now = session.now_ms();
  setting.expires_at = options.expires_at != 0 ? options.expires_at : default_expiry(session, target);
  setting.as_integer = as_integer;
  change_plain(session, target, std::move(setting), decide_setting, answer_setting);
}

void set_plain(Session& session, const Target& target, std::string_view value, const SetOptions& options) {
  if (!options.only_ttl()) return set_conditionally(session, target, value, options, false);
  if (target.backing == Backing::kPlainLocal) {
    const l1::Millis at = options.expires_at != 0 ? options.expires_at : default_expiry(session, target);
    if (put_local(session, target, value, at)) session.ok();
    return;
  }
  const auto place = session.defer();
  session.plain_write(
      target, std::string(value), options.expires_at != 0 ? options.ttl : target.feature->policy().ttl,
      [place](Session& back, Result<WriteResult> result) { answer_written(back, place, result); });
}

// Stores, wherever the key lives.
void set_value(Session& session, const Target& target, std::string_view value, const SetOptions& options) {
  if (target.backing != Backing::kOrigin) return set_plain(session, target, value, options);
  if (options.any()) {
    return session.error("ERR options of SET are not supported on feature '" + target.feature->policy().name +
                         "': it has an origin, and its ttl comes from the configuration");
  }
  const auto place = session.defer();
  session.write(target, std::string(value),
                [place](Session& back, Result<WriteResult> result) { answer_written(back, place, result); });
}

void set(Session& session, Args args) {
  SetOptions options;
  Target target;
  if (!parse_set_options(session, args, &options)) return;
  if (session.resolve(args[1], Right::kWrite, &target)) set_value(session, target, args[2], options);
}

void set_with_expiry(Session& session, Args args, TimeUnit unit, std::string_view name) {
  SetOptions options;
  Target target;
  if (!set_expiry(session, name, args[2], unit, &options)) return;
  if (session.resolve(args[1], Right::kWrite, &target)) set_value(session, target, args[3], options);
}
void setex(Session& session, Args args) { set_with_expiry(session, args, TimeUnit::kSeconds, "setex"); }
void psetex(Session& session, Args args) { set_with_expiry(session, args, TimeUnit::kMillis, "psetex"); }

void setnx(Session& session, Args args) {
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "SETNX", &target)) return;
  SetOptions options;
  options.mode = l1::PutMode::kOnlyIfAbsent;
  set_conditionally(session, target, args[2], options, true);
}

void getset(Session& session, Args args) {
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "GETSET", &target)) return;
  SetOptions options;
  options.get = true;
  set_conditionally(session, target, args[2], options, false);
}

using OldValue = std::optional<std::string>;

void answer_old(OldValue& old, Session& session, std::string& out) {
  old ? resp::write_bulk(out, *old) : resp::write_null(out, session.protocol());
}

void getdel(Session& session, Args args) {
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "GETDEL", &target)) return;
  const auto decide = [](OldValue& old, const l1::EntryView* current) {
    old.reset();
    if (current == nullptr) return keep_entry();
    old = std::string(current->value);
    return erase_entry();
  };
  change_plain(session, target, OldValue{}, decide, answer_old);
}

void getex(Session& session, Args args) {
  Target target;
  SetOptions options;
  const bool persist = args.size() == 3 && is_word(args[2], "PERSIST");
  const auto unit = args.size() == 4 ? time_unit(args[2]) : std::nullopt;
  if (args.size() > 2 && !persist && !unit) return session.syntax_error();
  if (unit && !set_expiry(session, "getex", args[3], *unit, &options)) return;
  if (!resolve_plain(session, args[1], Right::kWrite, "GETEX", &target)) return;
  const bool changes = persist || unit;
  const auto decide = [changes, at = options.expires_at, now = session.now_ms()](
                          OldValue& value, const l1::EntryView* current) {
    value.reset();
    if (current == nullptr) return keep_entry();
    value = std::string(current->value);
    return changes ? store_entry(*value, now, at) : keep_entry();
  };
  change_plain(session, target, OldValue{}, decide, answer_old);
}

void mset(Session& session, Args args) {
  if (args.size() % 2 == 0) return session.error("ERR wrong number of arguments for 'mset' command");
  std::vector<Target> targets(args.size() / 2);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!session.resolve(args[2 * i + 1], Right::kWrite, &targets[i])) return;
  }
  auto gathering = gather_written();
  const auto then = [gathering](Session& back, Result<WriteResult> result) {
    result ? gathering->done(back, 0) : gathering->failed(back, result.error());
  };
  // What L1 refuses is refused before any write is on its way: none would have a reply to wait for.
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].backing != Backing::kPlainLocal) continue;
    if (!put_local(session, targets[i], args[2 * i + 2], default_expiry(session, targets[i]))) return;
    gathering->add_now(0);
  }
  // The same key twice: writes of one key would race at the origin, so only its last value is sent.
  std::unordered_set<std::string_view, SeededHash> later(0, SeededHash{targets[0].hash.value});
  std::vector<bool> overwritten(targets.size());
  for (std::size_t i = targets.size(); i-- > 0;) {
    if (targets[i].backing != Backing::kPlainLocal) overwritten[i] = !later.insert(args[2 * i + 1]).second;
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].backing == Backing::kPlainLocal || overwritten[i]) continue;
    const std::string_view value = args[2 * i + 2];
    gathering->begin();
    if (targets[i].backing == Backing::kPlainShared) {
      session.plain_write(targets[i], std::string(value), targets[i].feature->policy().ttl, then);
    } else {
      session.write(targets[i], std::string(value), then);
    }
  }
  gathering->commit(session);
}

// ---- parts of values ----

// The expiry of a value that is changed in place: what it has, or a new value's.
struct Changed {
  l1::Millis now = 0, expires_at_if_new = 0;
  [[nodiscard]] l1::Store::Update store(std::string value, const l1::EntryView* current) const {
    return store_entry(std::move(value), now,
                       current == nullptr ? expires_at_if_new : current->meta.expires_at);
  }
};

Changed changed_now(Session& session, const Target& target) {
  return {session.now_ms(), default_expiry(session, target)};
}

void append(Session& session, Args args) {
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "APPEND", &target)) return;
  const auto decide = [part = std::string(args[2]), changed = changed_now(session, target)](
                          std::size_t& size, const l1::EntryView* current) {
    const std::string_view old = current == nullptr ? std::string_view() : current->value;
    size = old.size() + part.size();
    if (size > kValueBytesMax) return keep_entry();
    std::string value;
    value.reserve(size);
    value.append(old).append(part);
    return changed.store(std::move(value), current);
  };
  const auto answer = [](std::size_t& size, Session& back, std::string& out) {
    if (size > kValueBytesMax) return answer_error(back, out, kTooLong);
    resp::write_integer(out, static_cast<std::int64_t>(size));
  };
  change_plain(session, target, std::size_t{0}, decide, answer);
}

void setrange(Session& session, Args args) {
  Target target;
  std::int64_t offset = 0;
  if (!parse_integer_arg(session, args[2], &offset)) return;
  if (offset < 0) return session.error("ERR offset is out of range");
  if (static_cast<std::uint64_t>(offset) + args[3].size() > kValueBytesMax) return session.error(kTooLong);
  if (!resolve_plain(session, args[1], Right::kWrite, "SETRANGE", &target)) return;
  const auto decide = [part = std::string(args[3]), at = static_cast<std::size_t>(offset),
                       changed = changed_now(session, target)](std::size_t& size,
                                                               const l1::EntryView* current) {
    size = current == nullptr ? 0 : current->value.size();
    if (part.empty()) return keep_entry();
    std::string value(current == nullptr ? std::string_view() : current->value);
    if (value.size() < at + part.size()) value.resize(at + part.size());
    value.replace(at, part.size(), part);
    size = value.size();
    return changed.store(std::move(value), current);
  };
  const auto answer = [](std::size_t& size, Session&, std::string& out) {
    resp::write_integer(out, static_cast<std::int64_t>(size));
  };
  change_plain(session, target, std::size_t{0}, decide, answer);
}

// ---- counters ----

struct Sum {
  const char* error = nullptr;
  std::int64_t value = 0;
};

void add_integer(Session& session, std::string_view key, std::int64_t amount, std::string_view name) {
  Target target;
  if (!resolve_plain(session, key, Right::kWrite, name, &target)) return;
  const auto decide = [amount, changed = changed_now(session, target)](Sum& sum,
                                                                       const l1::EntryView* current) {
    sum = Sum{};
    if (current != nullptr && !resp::parse_integer(current->value, &sum.value)) {
      sum.error = "ERR value is not an integer or out of range";
    } else if (__builtin_add_overflow(sum.value, amount, &sum.value)) {
      sum.error = "ERR increment or decrement would overflow";
    }
    return sum.error != nullptr ? keep_entry() : changed.store(std::to_string(sum.value), current);
  };
  const auto answer = [](Sum& sum, Session& back, std::string& out) {
    sum.error != nullptr ? answer_error(back, out, sum.error) : resp::write_integer(out, sum.value);
  };
  change_plain(session, target, Sum{}, decide, answer);
}

void incr(Session& session, Args args) { add_integer(session, args[1], 1, "INCR"); }
void decr(Session& session, Args args) { add_integer(session, args[1], -1, "DECR"); }
void incrby(Session& session, Args args) {
  std::int64_t amount = 0;
  if (parse_integer_arg(session, args[2], &amount)) add_integer(session, args[1], amount, "INCRBY");
}
void decrby(Session& session, Args args) {
  std::int64_t amount = 0;
  if (!parse_integer_arg(session, args[2], &amount)) return;
  if (amount == INT64_MIN) return session.error("ERR decrement would overflow");
  add_integer(session, args[1], -amount, "DECRBY");
}

// What strtold() takes, as in Redis: hexadecimal and "inf" too, but no blanks, no NaN, and nothing that does
// not fit.
bool parse_float(std::string_view text, long double* out) {
  constexpr std::size_t kDigitsMax = 5 * 1024;  // as Redis: the longest number that it prints, and some
  if (text.empty() || text.size() >= kDigitsMax ||
      std::isspace(static_cast<unsigned char>(text.front())) != 0)
    return false;
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  *out = std::strtold(terminated.c_str(), &end);
  const bool is_out_of_range = errno == ERANGE && (std::isinf(*out) || *out == 0);
  return end == terminated.c_str() + terminated.size() && !is_out_of_range && !std::isnan(*out);
}

// As Redis prints a long double for people: 17 digits behind the point, without the zeros at the end.
std::string format_float(long double value) {
  std::string text = fmt::format("{:.17f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text == "-0" ? "0" : text;
}

struct FloatSum {
  const char* error = nullptr;
  std::string text;
};

void incrbyfloat(Session& session, Args args) {
  long double amount = 0;
  if (!parse_float(args[2], &amount)) return session.error("ERR value is not a valid float");
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "INCRBYFLOAT", &target)) return;
  const auto decide = [amount, changed = changed_now(session, target)](FloatSum& sum,
                                                                       const l1::EntryView* current) {
    sum = FloatSum{};
    long double value = 0;
    if (current != nullptr && !parse_float(current->value, &value)) {
      sum.error = "ERR value is not a valid float";
    } else if (!std::isfinite(value + amount)) {
      sum.error = "ERR increment would produce NaN or Infinity";
    }
    if (sum.error != nullptr) return keep_entry();
    sum.text = format_float(value + amount);
    return changed.store(sum.text, current);
  };
  const auto answer = [](FloatSum& sum, Session& back, std::string& out) {
    sum.error != nullptr ? answer_error(back, out, sum.error) : resp::write_bulk(out, sum.text);
  };
  change_plain(session, target, FloatSum{}, decide, answer);
}

using C = Command;
constexpr Command kStringCommands[] = {
    {"GET", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "string", "1.0.0",
     "The value of a key, read through.", get},
    {"MGET", -2, C::kReadOnly | C::kFast, Right::kRead, 1, -1, 1, "string", "1.0.0",
     "The values of several keys; misses are loaded as one batch.", mget},
    {"SET", -3, C::kChanges, Right::kWrite, 1, 1, 1, "string", "1.0.0",
     "Writes through to the origin, or stores in a plain feature.", set},
    {"SETNX", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0",
     "Stores if the key is absent.", setnx},
    {"SETEX", 4, C::kChanges, Right::kWrite, 1, 1, 1, "string", "2.0.0", "Stores with an expiry in seconds.",
     setex},
    {"PSETEX", 4, C::kChanges, Right::kWrite, 1, 1, 1, "string", "2.6.0",
     "Stores with an expiry in milliseconds.", psetex},
    {"GETSET", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0",
     "Stores, and answers the old value.", getset},
    {"GETDEL", 2, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "6.2.0",
     "Answers the value and removes it.", getdel},
    {"GETEX", -2, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "6.2.0",
     "Answers the value and sets its expiry.", getex},
    {"MSET", -3, C::kChanges, Right::kWrite, 1, -1, 2, "string", "1.0.1", "Stores several values.", mset},
    {"APPEND", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "2.0.0", "Appends to a value.",
     append},
    {"STRLEN", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "string", "2.2.0", "The length of a value.",
     strlen_},
    {"GETRANGE", 4, C::kReadOnly, Right::kRead, 1, 1, 1, "string", "2.4.0", "A part of a value.", getrange},
    {"SUBSTR", 4, C::kReadOnly, Right::kRead, 1, 1, 1, "string", "1.0.0",
     "A part of a value (old name of GETRANGE).", getrange},
    {"SETRANGE", 4, C::kChanges, Right::kWrite, 1, 1, 1, "string", "2.2.0", "Overwrites a part of a value.",
     setrange},
    {"INCR", 2, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0", "Adds one.", incr},
    {"DECR", 2, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0", "Subtracts one.", decr},
    {"INCRBY", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0", "Adds an integer.",
     incrby},
    {"DECRBY", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "1.0.0", "Subtracts an integer.",
     decrby},
    {"INCRBYFLOAT", 3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "string", "2.6.0", "Adds a number.",
     incrbyfloat},
};

}  // namespace

std::span<const Command> string_commands() { return kStringCommands; }

}  // namespace candor::server
