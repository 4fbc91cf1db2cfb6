// Commands of our own.
#include <chrono>
#include <optional>

#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

// The map that CANDOR.GET answers.
struct Explained {
  std::optional<std::string_view> value;
  Tier tier = Tier::kL1;
  Consistency level = Consistency::kEventual;
  std::int64_t age_ms = 0;
  std::int64_t ttl_ms = -1;  // -1: no expiry
  const char* degraded = nullptr;
};

void write_explained(std::string& out, resp::Protocol protocol, const Explained& read) {
  resp::write_map(out, 7, protocol);
  resp::write_bulk(out, "value");
  read.value ? resp::write_bulk(out, *read.value) : resp::write_null(out, protocol);
  resp::write_bulk(out, "tier");
  resp::write_bulk(out, tier_name(read.tier));
  resp::write_bulk(out, "level");
  resp::write_bulk(out, consistency_name(read.level));
  resp::write_bulk(out, "age_ms");
  resp::write_integer(out, read.age_ms);
  // No proof of freshness exists before the change feeds do; null says so.
  resp::write_bulk(out, "fresh_within_ms");
  resp::write_null(out, protocol);
  resp::write_bulk(out, "ttl_ms");
  read.ttl_ms < 0 ? resp::write_null(out, protocol) : resp::write_integer(out, read.ttl_ms);
  resp::write_bulk(out, "degraded");
  read.degraded == nullptr ? resp::write_null(out, protocol) : resp::write_bulk(out, read.degraded);
}

// The level asked for; false: an error has been answered.
bool parse_level(Session& session, Args args, CacheCore::ReadOptions* options) {
  if (args.empty()) return true;
  options->use_feature_level = false;
  if (is_word(args[0], "EVENTUAL") && args.size() == 1) {
    options->level = Consistency::kEventual;
  } else if (is_word(args[0], "ORIGIN") && args.size() == 1) {
    options->level = Consistency::kOrigin;
  } else if (is_word(args[0], "STRONG") || is_word(args[0], "SESSION") || is_word(args[0], "BOUNDED")) {
    session.error(
        "ERR CANDOR.GET " + std::string(args[0]) +
        " is not available yet; EVENTUAL and ORIGIN are, and without a level the feature's own is used");
    return false;
  } else {
    session.syntax_error();
    return false;
  }
  return true;
}

void explain_hit(Session& session, const Target& target, Consistency level, const CacheCore::Hit& hit) {
  const l1::Millis now = session.now_ms();
  Explained read;
  if (!hit.negative) read.value = hit.value;
  read.level = level;
  read.age_ms = now - hit.meta.loaded_at;
  read.ttl_ms = ttl_left_ms(target, hit.meta, now);
  write_explained(session.out(), session.protocol(), read);
}

void get(Session& session, Args args) {
  CacheCore::ReadOptions options;
  Target target;
  if (!parse_level(session, args.subspan(2), &options) || !session.resolve(args[1], Right::kRead, &target))
    return;
  const Consistency own = target.feature->policy().consistency;
  const Consistency level = options.use_feature_level ? own : options.level;
  // A level above the feature's own is not answered out of L1 by the feature's rule.
  if (level != Consistency::kOrigin && (options.use_feature_level || own != Consistency::kOrigin)) {
    const l1::Store::ReadGuard guard(session.store());
    CacheCore::Hit hit;
    if (session.hit(guard, target, &hit)) return explain_hit(session, target, level, hit);
  }
  if (target.backing == Backing::kPlainLocal) {
    Explained absent;
    absent.level = level;
    return write_explained(session.out(), session.protocol(), absent);
  }
  const auto place = session.defer();
  session.read(target, options, [place, level](Session& back, Result<ReadResult> result) {
    back.finish(place, [&](std::string& out) {
      if (!result) return back.write_value(out, result);
      Explained read;
      if (result->value != nullptr) read.value = *result->value;
      read.tier = result->tier;
      read.level = level;
      read.age_ms = std::chrono::duration_cast<std::chrono::milliseconds>(result->age).count();
      if (result->value != nullptr || result->ttl_left > Duration::zero()) read.ttl_ms = ttl_left_ms(*result);
      read.degraded = result->degraded;
      write_explained(out, back.protocol(), read);
    });
  });
}

void invalidate_feature(Session& session, std::string_view name) {
  const Feature* feature = session.cache().find_feature(name);
  if (feature == nullptr)
    return session.error("NOFEATURE no feature is called '" + std::string(name.substr(0, 64)) + "'");
  if (!session.user()->has(Right::kAdmin) || !session.user()->may_touch(feature->id())) {
    return session.error("NOPERM CANDOR.INVALIDATE FEATURE needs the right 'admin' on the feature");
  }
  session.flush(feature->id(), [](Session&, std::string& out) { resp::write_integer(out, 1); });
}

// Answers how many keys were told to go.
void invalidate(Session& session, Args args) {
  if (is_word(args[1], "FEATURE") && args.size() == 3) return invalidate_feature(session, args[2]);
  if (is_word(args[1], "TAG") && args.size() == 3)
    return session.error("ERR CANDOR.INVALIDATE TAG is not available yet");
  std::vector<Target> targets(args.size() - 1);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!session.resolve(args[i + 1], Right::kWrite, &targets[i])) return;
  }
  auto gathering = gather_sum();
  for (const auto& target : targets) {
    gathering->begin();
    session.invalidate(target, [gathering](Session& back, Result<WriteResult> result) {
      result ? gathering->done(back, 1) : gathering->failed(back, result.error());
    });
  }
  gathering->commit(session);
}

void not_yet(Session& session, Args args) {
  session.error("ERR " + std::string(args[0]) + " is not available yet");
}

using C = Command;
constexpr Command kCommands[] = {
    {"CANDOR.GET", -2, C::kReadOnly, Right::kRead, 1, 1, 1, "candor", "0.1.0",
     "A value, and where it came from.", get},
    {"CANDOR.INVALIDATE", -2, C::kChanges | C::kBarrier, Right::kWrite, 0, 0, 0, "candor", "0.1.0",
     "Drops keys, or a feature, from every tier.", invalidate},
    {"CANDOR.EXPLAIN", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
    {"CANDOR.TOKEN", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
    {"CANDOR.SESSION", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
    {"CANDOR.WARM", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
    {"CANDOR.HOTKEYS", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
    {"CANDOR.BUDGET", -1, C::kReadOnly | C::kNotYet, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Not available yet.", not_yet},
};

}  // namespace

std::span<const Command> candor_commands() { return kCommands; }

}  // namespace candor::server
