// Commands on keys. DEL, UNLINK, EXISTS, TOUCH, TYPE and TTL work on every feature; expiry on plain features;
// KEYS, SCAN, RANDOMKEY and RENAME on plain features in this node's L1.
#include <bit>
#include <charconv>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/glob.h"
#include "base/hash.h"
#include "proto/resp_number.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

// Resolves all keys, each once. False: an error has been answered.
bool resolve_keys(Session& session, Args keys, Right right, bool once, std::vector<Target>* targets) {
  std::unordered_set<std::string_view, SeededHash> seen(
      0, SeededHash{session.id() ^ reinterpret_cast<std::uintptr_t>(&session)});
  for (const auto key : keys) {
    if (once && keys.size() > 1 && !seen.insert(key).second) continue;
    if (!session.resolve(key, right, &targets->emplace_back())) return false;
  }
  return true;
}

// 1 if there was such an entry.
std::int64_t erase_local(Session& session, const Target& target) {
  if (!session.store().erase(target.hash, target.feature->id(), target.key, session.now_ms())) return 0;
  session.changed_locally(target);
  return 1;
}

void del(Session& session, Args args) {
  std::vector<Target> targets;
  if (!resolve_keys(session, args.subspan(1), Right::kWrite, true, &targets)) return;
  auto gathering = gather_written_sum();
  const auto then = [gathering](Session& back, Result<WriteResult> result) {
    result ? gathering->done(back, result->existed ? 1 : 0) : gathering->failed(back, result.error());
  };
  for (const auto& target : targets) {
    switch (target.backing) {
      case Backing::kPlainLocal:
        gathering->add_now(erase_local(session, target));
        break;
      case Backing::kPlainShared:
        gathering->begin();
        session.plain_write(target, std::nullopt, Duration::zero(), then);
        break;
      case Backing::kOrigin:
        gathering->begin();
        session.erase(target, then);
        break;
    }
  }
  gathering->commit(session);
}

// EXISTS and TOUCH: how many of the keys there are; a key named twice counts twice.
void exists(Session& session, Args args) {
  std::vector<Target> targets;
  if (!resolve_keys(session, args.subspan(1), Right::kRead, false, &targets)) return;
  auto gathering = gather_sum();
  for (const auto& target : targets) {
    {
      const l1::Store::ReadGuard guard(session.store());
      CacheCore::Hit hit;
      if (session.hit(guard, target, &hit)) {
        gathering->add_now(hit.negative ? 0 : 1);
        continue;
      }
    }
    if (target.backing == Backing::kPlainLocal) continue;
    gathering->begin();
    session.read(target, {}, [gathering](Session& back, Result<ReadResult> result) {
      result ? gathering->done(back, result->value != nullptr ? 1 : 0)
             : gathering->failed(back, result.error());
    });
  }
  gathering->commit(session);
}

void type(Session& session, Args args) {
  Target target;
  if (!session.resolve(args[1], Right::kRead, &target)) return;
  answer_read(session, target, [](std::string& out, resp::Protocol, const Found* found) {
    out.append(found == nullptr ? "+none\r\n" : "+string\r\n");
  });
}

// ---- expiry ----

// Redis answers -2 for no key and -1 for no expiry. Seconds are rounded to the nearest.
void answer_ttl(Session& session, std::string_view key, std::int64_t unit_ms, bool as_unix) {
  Target target;
  if (!session.resolve(key, Right::kRead, &target)) return;
  const std::int64_t wall = as_unix ? session.server().context().clock->wall().ms() : 0;
  answer_read(session, target, [unit_ms, wall](std::string& out, resp::Protocol, const Found* found) {
    if (found == nullptr) return resp::write_integer(out, -2);
    if (found->ttl_ms < 0) return resp::write_integer(out, -1);
    resp::write_integer(out, (wall + found->ttl_ms + unit_ms / 2) / unit_ms);
  });
}

void ttl(Session& session, Args args) { answer_ttl(session, args[1], 1000, false); }
void pttl(Session& session, Args args) { answer_ttl(session, args[1], 1, false); }
void expiretime(Session& session, Args args) { answer_ttl(session, args[1], 1000, true); }
void pexpiretime(Session& session, Args args) { answer_ttl(session, args[1], 1, true); }

struct ExpireOptions {
  bool nx = false, xx = false, gt = false, lt = false;

  // Redis: no expiry counts as infinitely late.
  [[nodiscard]] bool allow(l1::Millis current, l1::Millis wanted) const {
    if (nx && current != 0) return false;
    if (xx && current == 0) return false;
    if (gt && (current == 0 || wanted <= current)) return false;
    return !(lt && current != 0 && wanted >= current);
  }
};

bool parse_expire_options(Session& session, Args args, ExpireOptions* options) {
  for (const auto word : args) {
    if (is_word(word, "NX")) {
      options->nx = true;
    } else if (is_word(word, "XX")) {
      options->xx = true;
    } else if (is_word(word, "GT")) {
      options->gt = true;
    } else if (is_word(word, "LT")) {
      options->lt = true;
    } else {
      session.error("ERR Unsupported option " + std::string(word.substr(0, 64)));
      return false;
    }
  }
  if (options->nx && (options->xx || options->gt || options->lt)) {
    session.error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return false;
  }
  if (options->gt && options->lt) {
    session.error("ERR GT and LT options at the same time are not compatible");
    return false;
  }
  return true;
}

void answer_changed(bool& changed, Session&, std::string& out) { resp::write_integer(out, changed ? 1 : 0); }

void expire_in(Session& session, Args args, TimeUnit unit, std::string_view name) {
  ExpireOptions options;
  l1::Millis at = 0;
  Target target;
  if (!parse_expire_options(session, args.subspan(3), &options)) return;
  if (!parse_expiry(session, name, args[2], unit, false, &at)) return;
  if (!resolve_plain(session, args[1], Right::kWrite, name, &target)) return;
  const auto decide = [options, at, now = session.now_ms()](bool& changed, const l1::EntryView* current) {
    changed = current != nullptr && options.allow(current->meta.expires_at, at);
    if (!changed) return keep_entry();
    return at <= now ? erase_entry() : store_entry(std::string(current->value), now, at);
  };
  change_plain(session, target, false, decide, answer_changed);
}

void expire(Session& session, Args args) { expire_in(session, args, TimeUnit::kSeconds, "expire"); }
void pexpire(Session& session, Args args) { expire_in(session, args, TimeUnit::kMillis, "pexpire"); }
void expireat(Session& session, Args args) { expire_in(session, args, TimeUnit::kUnixSeconds, "expireat"); }
void pexpireat(Session& session, Args args) { expire_in(session, args, TimeUnit::kUnixMillis, "pexpireat"); }

void persist(Session& session, Args args) {
  Target target;
  if (!resolve_plain(session, args[1], Right::kWrite, "PERSIST", &target)) return;
  const auto decide = [now = session.now_ms()](bool& changed, const l1::EntryView* current) {
    changed = current != nullptr && current->meta.expires_at != 0;
    return changed ? store_entry(std::string(current->value), now, 0) : keep_entry();
  };
  change_plain(session, target, false, decide, answer_changed);
}

// ---- looking around: plain features in L1 ----

// Entries that one step of KEYS looks at: about a millisecond, after which the loop's other connections have
// their turn.
constexpr std::size_t kScanStep = 4096;
// SCAN's COUNT is a wish; more than this in one call would hold the loop up.
constexpr std::int64_t kScanCountMax = 10'000;

bool is_listed(Session& session, FeatureId id) {
  const Feature& feature = session.cache().feature(id);
  return session.server().features().backing(feature) == Backing::kPlainLocal &&
         session.user()->may_touch(id);
}

// The names of the plain keys in one step of a scan that match; returns the next cursor.
std::uint64_t scan_step(Session& session, std::uint64_t cursor, std::size_t count, std::string_view pattern,
                        std::vector<std::string>* names) {
  const bool all = pattern.empty() || pattern == "*";
  return session.store().scan(cursor, count, session.now_ms(), [&](const l1::Store::Visited& visited) {
    if (!is_listed(session, visited.feature)) return;
    std::string name = session.server().features().full_name(visited.feature, visited.key);
    if (all || glob_match(pattern, name)) names->push_back(std::move(name));
  });
}

void write_names(std::string& out, const std::vector<std::string>& names) {
  resp::write_array(out, names.size());
  for (const auto& name : names) resp::write_bulk(out, name);
}

// KEYS goes through L1 in steps, one a turn, and answers at the end.
struct KeysWalk {
  std::string pattern;
  std::uint64_t cursor = 0;
  std::size_t bytes = 0;
  std::vector<std::string> names;
  ReplyQueue::Place place = 0;
};

void keys_step(Session& session, std::shared_ptr<KeysWalk> walk) {
  const std::size_t before = walk->names.size();
  walk->cursor = scan_step(session, walk->cursor, kScanStep, walk->pattern, &walk->names);
  for (std::size_t i = before; i < walk->names.size(); ++i)
    walk->bytes += walk->names[i].size() + sizeof(std::string);
  const bool too_many = walk->bytes > session.server().options().output_bytes_max;
  if (walk->cursor == 0 || too_many) {
    session.finish(walk->place, [&](std::string& out) {
      if (too_many)
        return resp::write_error(out, "LIMIT too many keys for one reply; use SCAN, or a narrower pattern");
      write_names(out, walk->names);
    });
    return session.completed();
  }
  auto next = [loop = session.loop().shared_from_this(), id = session.id(),
               walk = std::move(walk)]() mutable {
    if (Session* back = loop->find(id)) keys_step(*back, std::move(walk));
  };
  session.loop().executor().post(std::move(next));
}

void keys(Session& session, Args args) {
  auto walk = std::make_shared<KeysWalk>();
  walk->pattern = args[1];
  walk->place = session.defer_alone();
  auto first = [loop = session.loop().shared_from_this(), id = session.id(), walk]() mutable {
    if (Session* back = loop->find(id)) keys_step(*back, std::move(walk));
  };
  session.loop().executor().post(std::move(first));
}

// What strtoul() takes, as in Redis: a sign may stand in front, and -1 is the largest cursor.
bool parse_cursor(std::string_view text, std::uint64_t* cursor) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) {
    text.remove_prefix(1);
  } else if (text.empty()) {
    return true;
  }
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), *cursor);
  if (negative) *cursor = 0 - *cursor;
  return code == std::errc{} && end == text.data() + text.size();
}

void scan(Session& session, Args args) {
  std::uint64_t cursor = 0;
  if (!parse_cursor(args[1], &cursor)) return session.error("ERR invalid cursor");
  std::string_view pattern;
  std::int64_t count = 10;
  bool wanted_type = true;
  for (std::size_t i = 2; i < args.size(); i += 2) {
    if (i + 1 == args.size()) return session.syntax_error();
    if (is_word(args[i], "MATCH")) {
      pattern = args[i + 1];
    } else if (is_word(args[i], "COUNT")) {
      if (!parse_integer_arg(session, args[i + 1], &count)) return;
      if (count < 1) return session.syntax_error();
    } else if (is_word(args[i], "TYPE")) {
      wanted_type = is_word(args[i + 1], "STRING");
    } else {
      return session.syntax_error();
    }
  }
  std::vector<std::string> names;
  const auto step = static_cast<std::size_t>(std::min(count, kScanCountMax));
  const std::uint64_t next = scan_step(session, cursor, step, pattern, &names);
  if (!wanted_type) names.clear();
  std::string& out = session.out();
  resp::write_array(out, 2);
  resp::write_bulk(out, std::to_string(next));
  write_names(out, names);
}

std::uint64_t plain_entries(Session& session) {
  std::uint64_t entries = 0;
  for (std::size_t i = 0; i < session.cache().feature_count(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (is_listed(session, id)) entries += session.store().usage(id).entries;
  }
  return entries;
}

// Up to this many entries DBSIZE looks at each, so that what has just expired does not count (4 ms). Beyond
// it the store's own count stands, in which an expired entry is missing after its next sweep, 10 s at the
// latest.
constexpr std::uint64_t kCountedMax = 16'384;

void dbsize(Session& session, Args) {
  if (session.store().stats().entries > kCountedMax)
    return session.integer(static_cast<std::int64_t>(plain_entries(session)));
  std::int64_t live = 0;
  std::uint64_t cursor = 0;
  do {
    cursor =
        session.store().scan(cursor, kScanStep, session.now_ms(), [&](const l1::Store::Visited& visited) {
          if (is_listed(session, visited.feature)) ++live;
        });
  } while (cursor != 0);
  session.integer(live);
}

// A cursor is a place in the index from 0 to some power of two that is L1's own. A random 64-bit number,
// halved until it is inside, lands in the upper half; going down by a geometric number of further halvings
// makes it uniform.
void randomkey(Session& session, Args) {
  constexpr std::size_t kLooked = 64;
  constexpr int kTries = 80;  // 64 halvings to come inside, and some for stretches without plain keys
  if (plain_entries(session) == 0) return session.null();
  Random random(session.server().context().entropy->next_seed());
  std::vector<std::string> names;
  bool inside = false;
  std::uint64_t cursor = random();
  for (int i = 0; i < kTries && names.empty(); ++i, cursor >>= 1) {
    (void)scan_step(session, cursor, kLooked, "", &names);
    if (names.empty() || inside) continue;
    inside = true;
    names.clear();
    cursor = cursor >> std::countr_zero(random() | (std::uint64_t{1} << 63)) << 1;
  }
  for (cursor = 0; names.empty();) {
    cursor = scan_step(session, cursor, kScanStep, "", &names);
    if (cursor == 0) break;
  }
  if (names.empty()) return session.null();
  resp::write_bulk(session.out(), names[random.below(names.size())]);
}

// ---- RENAME ----

// The new key is stored before the old one goes: a reader may see both for a moment, never neither.
void rename_to(Session& session, Args args, bool only_if_absent) {
  Target from;
  Target to;
  const std::string_view name = only_if_absent ? "RENAMENX" : "RENAME";
  if (!resolve_local(session, args[1], Right::kWrite, name, &from) ||
      !resolve_local(session, args[2], Right::kWrite, name, &to))
    return;
  std::string value;
  l1::Millis expires_at = 0;
  {
    const l1::Store::ReadGuard guard(session.store());
    l1::EntryView view;
    if (!peek_local(session, from, guard, &view)) return session.error("ERR no such key");
    value = view.value;
    expires_at = view.meta.expires_at;
  }
  const bool same = from.feature == to.feature && from.key == to.key;
  bool stored = false;
  const l1::Millis now = session.now_ms();
  const auto decide = [&](const l1::EntryView* current) {
    stored = !only_if_absent || current == nullptr;
    return stored && !same ? store_entry(value, now, expires_at) : keep_entry();
  };
  if (!update_local(session, to, decide)) return;
  if (stored && !same) {
    (void)session.store().erase(from.hash, from.feature->id(), from.key, now);
    session.changed_locally(from);
  }
  only_if_absent ? session.integer(stored ? 1 : 0) : session.ok();
}
void rename_(Session& session, Args args) { rename_to(session, args, false); }
void renamenx(Session& session, Args args) { rename_to(session, args, true); }

// ---- OBJECT and MEMORY: what L1 knows of a key ----

constexpr std::string_view kObjectHelp[] = {
    "ENCODING <key>", "    Return the kind of internal representation that Redis would use for the value.",
    "FREQ <key>",     "    Accesses are not counted.",
    "IDLETIME <key>", "    Times of access are not kept.",
    "REFCOUNT <key>", "    Return 1.",
};

void object(Session& session, Args args) {
  if (is_word(args[1], "HELP") && args.size() == 2) return write_help(session, "OBJECT", kObjectHelp);
  const bool known = is_word(args[1], "ENCODING") || is_word(args[1], "REFCOUNT") ||
                     is_word(args[1], "IDLETIME") || is_word(args[1], "FREQ");
  if (!known) return unknown_subcommand(session, "OBJECT", args[1]);
  if (args.size() != 3) return wrong_arity(session, "object", args[1]);
  Target target;
  if (!session.resolve(args[2], Right::kRead, &target)) return;
  const l1::Store::ReadGuard guard(session.store());
  l1::EntryView view;
  if (!peek_local(session, target, guard, &view) || view.meta.negative) return session.null();
  std::int64_t number = 0;
  if (is_word(args[1], "REFCOUNT")) return session.integer(1);
  // L1 keeps neither the time nor the number of accesses: the words in which Redis says the same of itself.
  if (is_word(args[1], "IDLETIME")) {
    return session.error(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching "
        "between policies at runtime LRU and LFU data will take some time to adjust.");
  }
  if (is_word(args[1], "FREQ")) {
    return session.error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
        "switching between policies at runtime LRU and LFU data will take some time to adjust.");
  }
  constexpr std::size_t kEmbeddedMax = 44;  // what Redis calls "embstr"
  const bool is_integer = resp::parse_integer(view.value, &number);
  resp::write_bulk(session.out(), is_integer ? "int" : view.value.size() <= kEmbeddedMax ? "embstr" : "raw");
}

void memory(Session& session, Args args) {
  if (!is_word(args[1], "USAGE") || args.size() < 3) {
    return session.error("ERR unknown subcommand '" + std::string(args[1].substr(0, 64)) +
                         "'. Try MEMORY USAGE key.");
  }
  Target target;
  if (!session.resolve(args[2], Right::kRead, &target)) return;
  const std::size_t cost =
      session.store().entry_cost(target.hash, target.feature->id(), target.key, session.now_ms());
  cost == 0 ? session.null() : session.integer(static_cast<std::int64_t>(cost));
}

using C = Command;
constexpr Command kKeyCommands[] = {
    {"DEL", -2, C::kChanges, Right::kWrite, 1, -1, 1, "generic", "1.0.0",
     "Erases rows at the origin, or keys of a plain feature.", del},
    {"UNLINK", -2, C::kChanges | C::kFast, Right::kWrite, 1, -1, 1, "generic", "4.0.0", "As DEL.", del},
    {"EXISTS", -2, C::kReadOnly | C::kFast, Right::kRead, 1, -1, 1, "generic", "1.0.0",
     "How many of the keys there are, read through.", exists},
    {"TOUCH", -2, C::kReadOnly | C::kFast, Right::kRead, 1, -1, 1, "generic", "3.2.1", "As EXISTS.", exists},
    {"TYPE", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "generic", "1.0.0", "string, or none.", type},
    {"TTL", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "generic", "1.0.0",
     "Seconds until the entry expires.", ttl},
    {"PTTL", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "generic", "2.6.0",
     "Milliseconds until the entry expires.", pttl},
    {"EXPIRETIME", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "generic", "7.0.0",
     "When the entry expires, Unix seconds.", expiretime},
    {"PEXPIRETIME", 2, C::kReadOnly | C::kFast, Right::kRead, 1, 1, 1, "generic", "7.0.0",
     "When the entry expires, Unix milliseconds.", pexpiretime},
    {"EXPIRE", -3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "generic", "1.0.0",
     "Sets an expiry in seconds.", expire},
    {"PEXPIRE", -3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "generic", "2.6.0",
     "Sets an expiry in milliseconds.", pexpire},
    {"EXPIREAT", -3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "generic", "1.2.0",
     "Sets an expiry at a Unix time in seconds.", expireat},
    {"PEXPIREAT", -3, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "generic", "2.6.0",
     "Sets an expiry at a Unix time in milliseconds.", pexpireat},
    {"PERSIST", 2, C::kChanges | C::kFast, Right::kWrite, 1, 1, 1, "generic", "2.2.0",
     "Takes the expiry away.", persist},
    {"KEYS", 2, C::kReadOnly | C::kBarrier, Right::kRead, 0, 0, 0, "generic", "1.0.0",
     "Keys of plain features that match a pattern.", keys},
    {"SCAN", -2, C::kReadOnly | C::kBarrier, Right::kRead, 0, 0, 0, "generic", "2.8.0",
     "Keys of plain features, some at a time.", scan},
    {"RANDOMKEY", 1, C::kReadOnly | C::kBarrier, Right::kRead, 0, 0, 0, "generic", "1.0.0",
     "A key of a plain feature.", randomkey},
    {"DBSIZE", 1, C::kReadOnly | C::kFast | C::kBarrier, Right::kRead, 0, 0, 0, "server", "1.0.0",
     "How many keys the plain features hold in L1.", dbsize},
    {"RENAME", 3, C::kChanges, Right::kWrite, 1, 2, 1, "generic", "1.0.0",
     "Gives a key of a plain feature another name.", rename_},
    {"RENAMENX", 3, C::kChanges | C::kFast, Right::kWrite, 1, 2, 1, "generic", "1.0.0",
     "As RENAME, unless the new name is taken.", renamenx},
    {"OBJECT", -2, C::kReadOnly, Right::kRead, 2, 2, 1, "generic", "2.2.3",
     "ENCODING and REFCOUNT of a key in L1.", object},
    {"MEMORY", -2, C::kReadOnly, Right::kRead, 2, 2, 1, "server", "4.0.0",
     "USAGE: the bytes that a key costs in L1.", memory},
};

}  // namespace

std::span<const Command> key_commands() { return kKeyCommands; }

}  // namespace candor::server
