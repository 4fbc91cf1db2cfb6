// Commands of our own.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "server/candor_budget.h"
#include "server/candor_inspect.h"
#include "server/dropping.h"
#include "server/key_access.h"
#include "server/reply_json.h"
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
  std::optional<Duration> fresh_within;
  const char* degraded = nullptr;
};

// A bound may be told too large, never too small.
std::int64_t millis_up(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

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
  resp::write_bulk(out, "fresh_within_ms");
  read.fresh_within ? resp::write_integer(out, millis_up(*read.fresh_within))
                    : resp::write_null(out, protocol);
  resp::write_bulk(out, "ttl_ms");
  read.ttl_ms < 0 ? resp::write_null(out, protocol) : resp::write_integer(out, read.ttl_ms);
  resp::write_bulk(out, "degraded");
  read.degraded == nullptr ? resp::write_null(out, protocol) : resp::write_bulk(out, read.degraded);
}

// How a read is to be made.
struct ReadWanted {
  CacheCore::ReadOptions options;
  std::optional<SessionToken> token;
};

// Longer than any entry lives; beyond it a bound means nothing.
constexpr std::int64_t kBoundMaxMs = std::int64_t{365} * 24 * 3600 * 1000;

bool parse_bound(Session& session, std::string_view text, Duration* bound) {
  std::int64_t millis = 0;
  if (!parse_integer_arg(session, text, &millis)) return false;
  if (millis < 0 || millis > kBoundMaxMs) {
    session.error("ERR the bound of CANDOR.GET BOUNDED is 0 to " + std::to_string(kBoundMaxMs) +
                  " milliseconds");
    return false;
  }
  *bound = std::chrono::milliseconds(millis);
  return true;
}

// An error has been answered if there is none.
std::optional<SessionToken> parse_token(Session& session, std::string_view text) {
  if (session.server().context().desk == nullptr) {
    session.error("ERR session tokens need an origin whose changes are watched; set watch in [origins.*]");
    return std::nullopt;
  }
  auto token = SessionToken::parse(text);
  if (token) return std::move(*token);
  session.error(token.error());
  return std::nullopt;
}

// The level asked for; false: an error has been answered.
bool parse_level(Session& session, Args args, ReadWanted* wanted) {
  if (args.empty()) return true;
  CacheCore::ReadOptions& options = wanted->options;
  options.use_feature_level = false;
  if (args.size() == 1 && is_word(args[0], "EVENTUAL")) {
    options.level = Consistency::kEventual;
  } else if (args.size() == 1 && is_word(args[0], "STRONG")) {
    options.level = Consistency::kStrong;
  } else if (args.size() == 1 && is_word(args[0], "ORIGIN")) {
    options.level = Consistency::kOrigin;
  } else if (args.size() == 2 && is_word(args[0], "BOUNDED")) {
    options.level = Consistency::kBounded;
    return parse_bound(session, args[1], &options.bound);
  } else if (args.size() == 2 && is_word(args[0], "SESSION")) {
    options.level = Consistency::kSession;
    wanted->token = parse_token(session, args[1]);
    return wanted->token.has_value();
  } else {
    session.syntax_error();
    return false;
  }
  return true;
}

// The feature's own level, and what a token adds to it, made explicit.
void settle_level(Session& session, const Target& target, ReadWanted* wanted) {
  CacheCore::ReadOptions& options = wanted->options;
  const FeaturePolicy& policy = target.feature->policy();
  bool behind = wanted->token && !session.server().context().desk->meets(*wanted->token, *target.feature);
  if (options.use_feature_level) {
    options.level = policy.consistency;
    options.bound = policy.max_staleness;
  }
  if (options.level == Consistency::kSession) behind = behind || session.is_behind(*target.feature);
  options.use_feature_level = false;
  if (behind) options.level = Consistency::kOrigin;
}

void explain_hit(Session& session, const Target& target, Consistency level, const CacheCore::Hit& hit) {
  const l1::Millis now = session.now_ms();
  Explained read;
  if (!hit.negative) read.value = hit.value;
  read.level = level;
  read.age_ms = now - hit.meta.loaded_at;
  read.ttl_ms = ttl_left_ms(target, hit.meta, now);
  read.fresh_within = session.cache().fresh_within(*target.feature, hit);
  write_explained(session.out(), session.protocol(), read);
}

void candor_get(Session& session, Args args) {
  ReadWanted wanted;
  Target target;
  if (!parse_level(session, args.subspan(2), &wanted) || !session.resolve(args[1], Right::kRead, &target))
    return;
  const Consistency asked =
      wanted.options.use_feature_level ? target.feature->policy().consistency : wanted.options.level;
  settle_level(session, target, &wanted);
  const CacheCore::ReadOptions options = wanted.options;
  const Consistency level = asked;
  const bool is_local = target.backing == Backing::kPlainLocal;
  if (is_local || (options.level != Consistency::kOrigin && options.level != Consistency::kStrong)) {
    const l1::Store::ReadGuard guard(session.store());
    CacheCore::Hit hit;
    if (session.hit_at(guard, target, options, &hit)) return explain_hit(session, target, level, hit);
  }
  if (is_local) {
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
      read.fresh_within = result->fresh_within;
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
  drop_feature(session, feature->id(), [](Session&, std::string& out) { resp::write_integer(out, 1); });
}

// A tag may be of several features, and reaches keys that nobody named: the right is that of a flush.
void invalidate_tag(Session& session, std::string_view tag) {
  const auto features = session.cache().features_with_tag(tag);
  if (features.empty()) {
    return session.error("ERR no feature has the tag '" + std::string(tag.substr(0, 64)) +
                         "'; see tags in [features.*]");
  }
  const bool may = session.user()->has(Right::kAdmin) &&
                   std::ranges::all_of(features, [&](FeatureId id) { return session.user()->may_touch(id); });
  if (!may) {
    return session.error(
        "NOPERM CANDOR.INVALIDATE TAG needs the right 'admin' on every feature that has the tag");
  }
  drop_tag(session, tag);
}

// Answers how many keys were told to go, once every live node of the region has dropped them.
void invalidate(Session& session, Args args) {
  if (is_word(args[1], "FEATURE") && args.size() == 3) return invalidate_feature(session, args[2]);
  if (is_word(args[1], "TAG") && args.size() == 3) return invalidate_tag(session, args[2]);
  std::vector<Target> targets(args.size() - 1);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!session.resolve(args[i + 1], Right::kWrite, &targets[i])) return;
  }
  drop_keys(session, targets);
}

// ---- tokens ----

void answer_token(Session& session, std::string& out, Result<SessionToken> token) {
  if (token && session.token() != nullptr) {
    if (auto merged = token->merge(*session.token()); !merged) token = std::unexpected(merged.error());
  }
  token ? resp::write_bulk(out, token->text()) : answer_error(session, out, reply_text(token.error()));
}

void token(Session& session, Args) {
  SessionDesk* desk = session.server().context().desk;
  if (desk == nullptr)
    return session.error(
        "ERR session tokens need an origin whose changes are watched; set watch in [origins.*]");
  const auto place = session.defer_alone();
  desk->issue(
      [loop = session.loop().shared_from_this(), id = session.id(), place](Result<SessionToken> made) {
        loop->executor().post([loop, id, place, made = std::move(made)]() mutable {
          Session* back = loop->find(id);
          if (back == nullptr) return;
          back->finish(place, [&](std::string& out) { answer_token(*back, out, std::move(made)); });
          back->completed();
        });
      });
}

void adopt(Session& session, Args args) {
  auto token = parse_token(session, args[1]);
  if (!token) return;
  if (session.token() != nullptr) {
    if (auto merged = token->merge(*session.token()); !merged) return session.error(merged.error());
  }
  const auto place = session.defer_alone();
  auto done = [loop = session.loop().shared_from_this(), id = session.id(), place,
               adopted = *token](Result<void> allowed) {
    loop->executor().post([loop, id, place, adopted, allowed = std::move(allowed)] {
      Session* back = loop->find(id);
      if (back == nullptr) return;
      if (allowed) back->adopt(std::make_unique<const SessionToken>(adopted));
      back->finish(place, [&](std::string& out) {
        allowed ? resp::write_simple(out, "OK") : answer_error(*back, out, reply_text(allowed.error()));
      });
      back->completed();
    });
  };
  session.server().context().desk->check(*token, std::move(done));
}

// What is loaded is nobody's own, and costs the origin: the right is that of a write.
void warm(Session& session, Args args) {
  if (args.size() > 2) return session.syntax_error();
  const std::string feature(args.size() == 2 ? args[1] : std::string_view());
  if (!feature.empty()) {
    const Feature* known = session.cache().find_feature(feature);
    if (known == nullptr || !session.user()->may_touch(known->id()))
      return session.error("NOFEATURE no feature of yours is called '" + feature.substr(0, 64) + "'");
  } else if (!session.user()->has(Right::kAdmin)) {
    return session.error(
        "NOPERM CANDOR.WARM without a feature warms all of them and needs the right 'admin'");
  }
  WarmDesk* desk = session.server().context().warm;
  if (desk == nullptr) return session.error("ERR nothing is warmed here");
  const auto place = session.defer_alone();
  auto done = [loop = session.loop().shared_from_this(), id = session.id(),
               place](Result<nlohmann::json> progress) {
    loop->executor().post([loop, id, place, progress = std::move(progress)] {
      Session* back = loop->find(id);
      if (back == nullptr) return;
      back->finish(place, [&](std::string& out) {
        progress ? write_json(out, *progress, back->protocol())
                 : answer_error(*back, out, reply_text(progress.error()));
      });
      back->completed();
    });
  };
  desk->warm(feature, std::move(done));
}

using C = Command;
constexpr Command kCandorCommands[] = {
    {"CANDOR.GET", -2, C::kReadOnly, Right::kRead, 1, 1, 1, "candor", "0.1.0",
     "A value, and where it came from.", candor_get},
    {"CANDOR.INVALIDATE", -2, C::kChanges | C::kBarrier, Right::kWrite, 0, 0, 0, "candor", "0.1.0",
     "Drops keys, a feature or a tag from every tier of every node of the region.", invalidate},
    {"CANDOR.EXPLAIN", 2, C::kReadOnly, Right::kRead, 1, 1, 1, "candor", "0.1.0",
     "What every tier holds of a key, and what happened to it lately.", explain},
    {"CANDOR.TOKEN", 1, C::kReadOnly | C::kBarrier, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "A token of what this session has seen and written.", token},
    {"CANDOR.SESSION", 2, C::kReadOnly | C::kBarrier, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Adopts the token of another session.", adopt},
    {"CANDOR.WARM", -1, C::kReadOnly, Right::kWrite, 0, 0, 0, "candor", "0.1.0",
     "Loads what the configuration says of a feature, or of all, before it is read; answers with the "
     "progress.",
     warm},
    {"CANDOR.HOTKEYS", -1, C::kReadOnly, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "The hottest keys, by reads, bytes, misses or changes, with the bounds of each figure.", hot_keys},
    {"CANDOR.BUDGET", -1, C::kReadOnly, Right::kRead, 0, 0, 0, "candor", "0.1.0",
     "Budgets of staleness: predicted, measured, and what levers did about them.", budget},
};

}  // namespace

std::span<const Command> candor_commands() { return kCandorCommands; }

}  // namespace candor::server
