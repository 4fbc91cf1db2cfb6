#include "app/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "app/config_keys.h"

namespace candor::app {
namespace {

struct BadConfig {
  const char* name;
  const char* toml;
  const char* findings;  // every line of them
};

std::string findings_of(std::string_view toml) {
  std::string out;
  for (const Finding& finding : read_config_text(toml, "candor.toml").findings)
    out += (out.empty() ? "" : "\n") + finding.to_string();
  return out;
}

class BadConfigTest : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, IsRefusedAtItsLineWithWhatToDo) {
  EXPECT_EQ(findings_of(GetParam().toml), GetParam().findings);
  EXPECT_TRUE(read_config_text(GetParam().toml, "candor.toml").has_errors());
}

// clang-format off
const BadConfig kBadConfigs[] = {
    BadConfig{"BehindAndStrong", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
store = "insert into profile values (:key, :value)"
watch = { table = "profile", key = "id" }
consistency = "strong"
write = "behind"
)x",
              R"x(candor.toml:9: features.profile.write: a write is acknowledged before the origin has it, so that a reader on another node would not see it, which consistency = "strong" promises; use "session" or "bounded", or write = "through")x"},
    BadConfig{"BehindWithoutAStatement", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
write = "behind"
)x",
              R"x(candor.toml:6: features.profile.write: the feature has neither `store` nor `erase`: there is nothing to write)x"},
    BadConfig{"BehindAPlainFeature", R"x([features.cache]
origin = "none"
write = "behind"
)x",
              R"x(candor.toml:3: features.cache.write: a plain feature (origin = "none") has no origin to write to later; remove it)x"},
    BadConfig{"UnknownSection", R"x([nod]
name = "a"
)x",
              R"x(candor.toml:1: nod: unknown section; did you mean "node"?)x"},
    BadConfig{"UnknownKey", R"x([node]
regoin = "eu"
)x",
              R"x(candor.toml:2: node.regoin: unknown key; did you mean "region"?)x"},
    BadConfig{"UnknownKeyUnlikeAny", R"x([http]
zzzzzzzzzz = 1
)x",
              R"x(candor.toml:2: http.zzzzzzzzzz: unknown key; [http] may hold: event_clients_max, hosts, listen)x"},
    BadConfig{"UnknownTopLevelKey", R"x(listen = "127.0.0.1:1"
)x",
              R"x(candor.toml:1: listen: unknown key; the file may hold: alerts, capacity, controller, disk, explain, features, hotkeys, http, l1, l2, node, origins, reconcile, resp, stream, tracing, warm, write_behind)x"},
    BadConfig{"UnknownFeatureKey", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
tll = "5s"
)x",
              R"x(candor.toml:6: features.profile.tll: unknown key; did you mean "ttl"?)x"},
    BadConfig{"UnknownFeatureSection", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
[features.profile.buget]
max_staleness = "5s"
)x",
              R"x(candor.toml:6: features.profile.buget: unknown section; did you mean "budget"?)x"},
    BadConfig{"UnknownNestedKey", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
watch = { table = "profile", keys = "id" }
)x",
              R"x(candor.toml:6: features.profile.watch.keys: unknown key; did you mean "key"?
candor.toml:6: features.profile.watch.key: missing; its column that holds the key; several: "a, b")x"},
    BadConfig{"WrongTypeText", R"x([node]
name = 7
)x",
              R"x(candor.toml:2: node.name: must be a string, not a whole number)x"},
    BadConfig{"WrongTypeDurationAsNumber", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = 60
)x",
              R"x(candor.toml:6: features.profile.ttl: must be a duration in quotes such as "250ms" or "10m", not a whole number)x"},
    BadConfig{"WrongTypeSizeAsNumber", R"x([l1]
memory = 268435456
)x",
              R"x(candor.toml:2: l1.memory: must be a size in quotes such as "256MiB", not a whole number)x"},
    BadConfig{"WrongTypeCountAsText", R"x([origins.shop]
url = "sqlite:shop.db"
max_concurrency = "32"
)x",
              R"x(candor.toml:1: warning: origins.shop: no feature uses this origin
candor.toml:3: origins.shop.max_concurrency: must be a whole number, not a string)x"},
    BadConfig{"WrongTypeFlagAsText", R"x([resp]
protected = "no"
)x",
              R"x(candor.toml:2: resp.protected: must be true or false without quotes, not a string)x"},
    BadConfig{"WrongTypeCountAsFraction", R"x([resp]
threads = 1.5
)x",
              R"x(candor.toml:2: resp.threads: must be a whole number, not a number with a fraction)x"},
    BadConfig{"WrongTypeList", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
warm = { keys = "1" }
)x",
              R"x(candor.toml:3: warning: features.profile.warm: names nothing; give it keys or a query
candor.toml:6: features.profile.warm.keys: must be a list of strings such as ["a", "b"], not a string)x"},
    BadConfig{"WrongTypeInList", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
warm = { keys = ["1", 2] }
)x",
              R"x(candor.toml:3: warning: features.profile.warm: names nothing; give it keys or a query
candor.toml:6: features.profile.warm.keys: the list may hold strings only, not a whole number)x"},
    BadConfig{"WrongTypeTableAsText", R"x(node = "eu-1"
)x",
              R"x(candor.toml:1: node: must be a table, [node], not a string)x"},
    BadConfig{"WrongTypeNamedTables", R"x(origins = 3
)x",
              R"x(candor.toml:1: origins: must be tables with names, [origins.NAME], not a whole number)x"},
    BadConfig{"OriginThatIsNoTable", R"x([origins]
shop = "sqlite:shop.db"
)x",
              R"x(candor.toml:2: origins.shop: must be a table, [origins.shop], not a string)x"},
    BadConfig{"UsersThatAreNoList", R"x([resp.users]
name = "a"
)x",
              R"x(candor.toml:1: resp.users: must be a list of tables, [[resp.users]], not a table)x"},
    BadConfig{"DateWhereTextBelongs", R"x([node]
region = 2026-01-01
)x",
              R"x(candor.toml:2: node.region: must be a string, not a date or time)x"},
    BadConfig{"DuplicateKey", R"x([node]
name = "a"
name = "b"
)x",
              R"x(candor.toml:3: not valid TOML: Error while parsing key-value pair: cannot redefine existing string 'name')x"},
    BadConfig{"DuplicateTable", R"x([node]
name = "a"
[node]
region = "b"
)x",
              R"x(candor.toml:3: not valid TOML: Error while parsing table header: cannot redefine existing table 'node')x"},
    BadConfig{"BrokenToml", R"x([node
name = "a"
)x",
              R"x(candor.toml:1: not valid TOML: Error while parsing table header: expected ']', saw '\n')x"},
    BadConfig{"UnclosedString", R"x([node]
name = "a
)x",
              R"x(candor.toml:2: not valid TOML: Error while parsing string: unescaped control characters other than TAB (U+0009) are explicitly prohibited)x"},
    BadConfig{"BadDuration", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "5 minutes"
)x",
              R"x(candor.toml:6: features.profile.ttl: "5 minutes" is not a duration: write a whole number and a unit, such as "250ms", "5s", "10m" or "24h")x"},
    BadConfig{"DurationTooLarge", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "99999999999h"
)x",
              R"x(candor.toml:6: features.profile.ttl: "99999999999h" is too large)x"},
    BadConfig{"NegativeDuration", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "-5s"
)x",
              R"x(candor.toml:6: features.profile.ttl: "-5s" is not a duration: write a whole number and a unit, such as "250ms", "5s", "10m" or "24h")x"},
    BadConfig{"BadSize", R"x([l1]
memory = "256MB"
)x",
              R"x(candor.toml:2: l1.memory: "256MB" is not a size: write a whole number and a unit, such as "64KiB", "256MiB" or "10GiB")x"},
    BadConfig{"SizeTooSmall", R"x([l1]
memory = "1MiB"
)x",
              R"x(candor.toml:2: l1.memory: 1MiB is too small; the least is 8MiB)x"},
    BadConfig{"CountOutsideLimits", R"x([resp]
threads = -1
)x",
              R"x(candor.toml:2: resp.threads: -1 is outside the limits; use 0 to 256)x"},
    BadConfig{"FractionOutsideLimits", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl_jitter = 1.5
)x",
              R"x(candor.toml:6: features.profile.ttl_jitter: 1.5 is outside the limits; use 0 to 1)x"},
    BadConfig{"NotANumberFraction", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl_jitter = nan
)x",
              R"x(candor.toml:6: features.profile.ttl_jitter: nan is outside the limits; use 0 to 1)x"},
    BadConfig{"BadChoice", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
consistency = "sesion"
)x",
              R"x(candor.toml:6: features.profile.consistency: "sesion" is not one of "eventual", "bounded", "session", "strong", "origin"; did you mean "session"?)x"},
    BadConfig{"ChoiceUnlikeAny", R"x([node]
log_level = "loudly"
)x",
              R"x(candor.toml:2: node.log_level: "loudly" is not one of "debug", "info", "warn", "error")x"},
    BadConfig{"BadAddress", R"x([resp]
listen = "6390"
)x",
              R"x(candor.toml:2: resp.listen: "6390" is not an address; write HOST:PORT such as "127.0.0.1:6390")x"},
    BadConfig{"BadPort", R"x([resp]
listen = "127.0.0.1:70000"
)x",
              R"x(candor.toml:2: resp.listen: "127.0.0.1:70000" is not an address; write HOST:PORT such as "127.0.0.1:6390")x"},
    BadConfig{"BadUrlScheme", R"x([origins.shop]
url = "mysql://root:secret@db/shop"
)x",
              R"x(candor.toml:1: warning: origins.shop: no feature uses this origin
candor.toml:2: origins.shop.url: "mysql://root:***@db/shop" is none of the URLs that are understood: "sqlite:", "postgresql://", "postgres://", "redis://", "rediss://", "mariadb://")x"},
    BadConfig{"UrlWithoutPlace", R"x([origins.shop]
url = "postgresql://"
)x",
              R"x(candor.toml:1: warning: origins.shop: no feature uses this origin
candor.toml:2: origins.shop.url: "postgresql://" is not a whole URL)x"},
    BadConfig{"OriginNotBuiltIn", R"x([origins.shop]
url = "mariadb://db/shop"
[features.f]
origin = "shop"
load = "select 1 where :key"
)x",
              R"x(candor.toml:2: origins.shop.url: mariadb:// is not built in yet; use sqlite:, postgresql:// or redis://)x"},
    BadConfig{"L2NotBuiltIn", R"x([l2]
url = "redis+cluster://a:1,b:2"
)x",
              R"x(candor.toml:2: l2.url: redis+cluster:// is not built in yet; use redis://HOST:PORT/DB or memory:)x"},
    BadConfig{"ReferenceToNoOrigin", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shpo"
load = "select :key"
)x",
              R"x(candor.toml:1: warning: origins.shop: no feature uses this origin
candor.toml:4: features.profile.origin: no origin is named "shpo"; did you mean "shop"?)x"},
    BadConfig{"ReferenceToNoOriginUnlikeAny", R"x([features.profile]
origin = "warehouse"
load = "select :key"
)x",
              R"x(candor.toml:2: features.profile.origin: no origin is named "warehouse"; add [origins.warehouse])x"},
    BadConfig{"ReferenceToNoFeature", R"x([resp]
plain_feature = "cache"
)x",
              R"x(candor.toml:2: resp.plain_feature: no feature is named "cache"; add [features.cache])x"},
    BadConfig{"PlainFeatureWithOrigin", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
[resp]
plain_feature = "profile"
)x",
              R"x(candor.toml:7: resp.plain_feature: feature "profile" has an origin; only a feature with origin = "none" can take all keys)x"},
    BadConfig{"MissingUrl", R"x([origins.shop]
max_concurrency = 3
[features.f]
origin = "shop"
load = "select :key"
)x",
              R"x(candor.toml:1: origins.shop.url: missing; `sqlite:FILE`, `postgresql://USER@HOST:PORT/DB` or `redis://HOST:PORT/DB`. Give passwords in `password_file`)x"},
    BadConfig{"MissingOriginOfFeature", R"x([features.f]
load = "select :key"
)x",
              R"x(candor.toml:1: features.f.origin: missing; a name from `[origins.NAME]`, or `none`: a plain shared cache)x"},
    BadConfig{"MissingLoad", R"x([origins.shop]
url = "sqlite:shop.db"
[features.f]
origin = "shop"
)x",
              R"x(candor.toml:3: features.f.load: missing; write the statement that reads one key, such as "select body from profile where id = :key")x"},
    BadConfig{"LoadWithoutKey", R"x([origins.shop]
url = "sqlite:shop.db"
[features.f]
origin = "shop"
load = "select 1"
)x",
              R"x(candor.toml:5: features.f.load: the statement uses no key, so every key would mean the same row: add `where … = :key`)x"},
    BadConfig{"StoreWithoutValue", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
store = "update profile set seen = 1 where id = :key"
)x",
              R"x(candor.toml:6: features.profile.store: the statement does not use :value, so what is stored would be lost)x"},
    BadConfig{"LoadManyOnSqlite", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
load_many = "select id, body from profile where id = any(:keys)"
)x",
              R"x(candor.toml:6: features.profile.load_many: origin "shop" is not PostgreSQL; loads that miss together are batched there without it)x"},
    BadConfig{"StatementsOnPlainFeature", R"x([features.c]
origin = "none"
load = "select :key"
)x",
              R"x(candor.toml:3: features.c.load: a plain feature (origin = "none") has no statements; remove it or name an origin)x"},
    BadConfig{"BudgetOnPlainFeature", R"x([features.c]
origin = "none"
[features.c.budget]
max_staleness = "5s"
)x",
              R"x(candor.toml:4: features.c.budget.max_staleness: a plain feature (origin = "none") has no authority to be staler than; remove the budget)x"},
    BadConfig{"BadFeatureName", R"x([features."a b"]
origin = "none"
)x",
              R"x(candor.toml:1: features.a b: a name is 1 to 64 letters, digits, '_', '-' or '.'; rename it)x"},
    BadConfig{"FeatureNameWithColon", R"x([features."a:b"]
origin = "none"
)x",
              R"x(candor.toml:1: features.a:b: a name is 1 to 64 letters, digits, '_', '-' or '.'; rename it)x"},
    BadConfig{"BudgetWithoutBound", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
[features.profile.budget]
owner = "growth"
)x",
              R"x(candor.toml:6: features.profile.budget.max_staleness: missing; a read may show a value that was superseded at most this long ago …)x"},
    BadConfig{"BudgetLargerThanWindow", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
[features.profile.budget]
max_staleness = "2h"
window = "1h"
)x",
              R"x(candor.toml:7: features.profile.budget.max_staleness: impossible budget: max_staleness 2h is not shorter than window 1h, so no read could ever be too stale)x"},
    BadConfig{"BudgetFractionAboveOne", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
[features.profile.budget]
max_staleness = "5s"
stale_fraction = 2
)x",
              R"x(candor.toml:8: features.profile.budget.stale_fraction: 2 is outside the limits; use 0 to 1)x"},
    BadConfig{"BudgetThatOnlyTtlCouldKeep", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
consistency = "eventual"
ttl = "60s"
[features.profile.budget]
max_staleness = "5s"
stale_fraction = 0
)x",
              R"x(candor.toml:10: features.profile.budget.stale_fraction: impossible budget: no read may be staler than 5s, but without watch only ttl = 1m ends an old value; shorten the ttl, add watch, allow a fraction, or use consistency = "bounded")x"},
    BadConfig{"BoundedWithoutBound", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
consistency = "bounded"
)x",
              R"x(candor.toml:6: features.profile.consistency: bounded needs a bound; add [features.profile.budget] with max_staleness
candor.toml:6: warning: features.profile.consistency: without `watch` nothing can be proven of a cached value: every read goes to the origin; add watch)x"},
    BadConfig{"RedisOriginWatchedByTable", R"x([origins.near]
url = "redis://127.0.0.1:6379/0"
[features.user]
origin = "near"
watch = { table = "user", key = "id" }
)x",
              R"x(candor.toml:3: features.user.watch: a Redis origin has no tables; write watch = true)x"},
    BadConfig{"SqlOriginWatchedWithoutATable", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
watch = true
)x",
              R"x(candor.toml:6: features.profile.watch: true is for Redis origins; name the rows, such as watch = { table = "profile", key = "id" })x"},
    BadConfig{"WatchedRedisBehindASharedL2", R"x([l2]
url = "redis://127.0.0.1:6380/0"
[origins.near]
url = "redis://127.0.0.1:6379/0"
[features.user]
origin = "near"
watch = true
ttl = "0s"
)x",
              R"x(candor.toml:7: warning: features.user.watch: the feature stays out of the shared L2: what a node hears from Redis is in the order of its own connection, which other nodes cannot compare; each node loads from Redis itself
candor.toml:8: features.user.ttl: 0 would cache nothing; set a ttl, or consistency = "origin" to bypass the cache)x"},
    BadConfig{"TtlZero", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "0s"
)x",
              R"x(candor.toml:6: features.profile.ttl: 0 would cache nothing; set a ttl, or consistency = "origin" to bypass the cache)x"},
    BadConfig{"NegativeTtlLongerThanTtl", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "5s"
negative_ttl = "10s"
)x",
              R"x(candor.toml:7: features.profile.negative_ttl: 10s is longer than ttl = 5s; a missing row cannot be trusted longer than a present one)x"},
    BadConfig{"SoftTimeoutNotShorter", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
soft_timeout = "5s"
on_origin_failure = { serve_stale = "1m" }
)x",
              R"x(candor.toml:6: features.profile.soft_timeout: 5s is not shorter than hard_timeout = 5s; it would never act)x"},
    BadConfig{"HardTimeoutZero", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
hard_timeout = "0s"
)x",
              R"x(candor.toml:6: features.profile.hard_timeout: 0 would fail every read; set a time such as "5s")x"},
    BadConfig{"FailureWithoutTime", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
on_origin_failure = {}
)x",
              R"x(candor.toml:6: features.profile.on_origin_failure.serve_stale: missing; how long past its expiry a value may be served, marked `degraded`, while the origin fails)x"},
    BadConfig{"FailureWithBadWord", R"x([origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
on_origin_failure = "serve_stale"
)x",
              R"x(candor.toml:6: features.profile.on_origin_failure: "serve_stale" is not one of "error"; or write on_origin_failure = { serve_stale = … })x"},
    BadConfig{"OpenListenerWithoutUsers", R"x([resp]
listen = "0.0.0.0:6390"
)x",
              R"x(candor.toml:2: resp.listen: 0.0.0.0:6390 is reachable from other machines and anybody could connect; add [[resp.users]], or listen on 127.0.0.1, or set protected = false)x"},
    BadConfig{"TlsWithoutCertificate", R"x([resp]
tls_listen = "127.0.0.1:6391"
)x",
              R"x(candor.toml:2: resp.tls_listen: TLS needs a certificate; set tls_cert to a PEM file
candor.toml:2: resp.tls_listen: TLS needs a private key; set tls_key to a PEM file)x"},
    BadConfig{"SamePortTwice", R"x([resp]
listen = "127.0.0.1:8390"
)x",
              R"x(candor.toml:2: http.listen: 127.0.0.1:8390 is also resp.listen; give each its own port)x"},
    BadConfig{"UserWithPlainPassword", R"x([[resp.users]]
name = "app"
password_hash = "secret"
)x",
              R"x(candor.toml:3: resp.users[0].password_hash: not a password hash; paste what `candor hash-password` prints)x"},
    BadConfig{"UserWithoutName", R"x([[resp.users]]
password_hash = "scrypt:1:00:00"
)x",
              R"x(candor.toml:1: resp.users[0].name: missing; the name for `AUTH name password`; `default` answers `AUTH password`)x"},
    BadConfig{"UserTwice", R"x([[resp.users]]
name = "app"
password_hash = "scrypt:1:00:00"
[[resp.users]]
name = "app"
password_hash = "scrypt:1:00:00"
)x",
              R"x(candor.toml:5: resp.users[1].name: "app" is already a user; names are unique)x"},
    BadConfig{"UserWithUnknownRight", R"x([[resp.users]]
name = "app"
password_hash = "scrypt:1:00:00"
rights = ["root"]
)x",
              R"x(candor.toml:4: resp.users[0].rights: "root" is not one of "read", "write", "admin")x"},
    BadConfig{"UserOfNoFeature", R"x([[resp.users]]
name = "app"
password_hash = "scrypt:1:00:00"
features = ["profile"]
)x",
              R"x(candor.toml:4: resp.users[0].features: no feature is named "profile"; add [features.profile])x"}
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(Cases, BadConfigTest, testing::ValuesIn(kBadConfigs),
                         [](const auto& i) { return std::string(i.param.name); });

constexpr const char* kSecretShop = R"(
[origins.shop]
url = "postgresql://app:secret@db/shop"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
)";

// The example of the interface, word by word.
constexpr const char* kInterfaceExample = R"(
[node]
name     = "eu-1"
region   = "eu"
data_dir = "var/eu-1"
[resp]
listen = "127.0.0.1:6390"
[http]
listen = "127.0.0.1:8390"
[l1]
memory = "256MiB"
[disk]
path = "var/eu-1/disk"
size = "10GiB"
[l2]
url = "memory:"
[stream]
url = "memory:"
[origins.shop]
url = "sqlite:shop.db"
max_concurrency = 32
[features.profile]
origin = "shop"
load   = "select body from profile where id = :key"
store  = "insert into profile(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase  = "delete from profile where id = :key"
watch  = { table = "profile", key = "id" }
consistency = "session"
ttl    = "60s"
write  = "through"
on_origin_failure = { serve_stale = "10m" }
warm   = { keys = ["1", "2"], query = "select id from profile order by seen_at desc limit 10000", priority = "critical" }
[features.profile.budget]
max_staleness  = "5s"
stale_fraction = 0.001
window = "30d"
sample = 0.01
impact = "an old nickname on a page"
owner  = "growth"
control = "advise"
)";

TEST(ConfigTest, TheInterfacesExampleIsUnderstoodWhole) {
  const ConfigReading reading = read_config_text(kInterfaceExample, "candor.toml");
  EXPECT_FALSE(reading.has_errors()) << findings_of(kInterfaceExample);
  const FeatureConfig& profile = reading.config.features.at(0);
  EXPECT_EQ(profile.serve_stale, 10min);
  EXPECT_EQ(profile.warm->keys, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(profile.budget->window, 24h * 30);
  EXPECT_EQ(reading.config.l1.memory, 256U << 20);
  EXPECT_EQ(reading.config.resp.listen, (ListenAddress{"127.0.0.1", 6390}));
}

TEST(ConfigTest, EveryFindingIsReportedNotJustTheFirst) {
  const ConfigReading reading =
      read_config_text("[node]\nname = 1\n[l1]\nmemory = \"x\"\n[resp]\nthreads = \"2\"\n", "candor.toml");
  ASSERT_EQ(reading.findings.size(), 3U);
  EXPECT_EQ(reading.findings[0].line, 2);
  EXPECT_EQ(reading.findings[1].line, 4);
  EXPECT_EQ(reading.findings[2].line, 6);
}

TEST(ConfigTest, EveryFaultOfEveryStatementIsReportedAtItsLine) {
  EXPECT_EQ(
      findings_of(R"x([origins.shop]
url = "postgresql://app@127.0.0.1/shop"
[features.profile]
origin = "shop"
load = "select body from profile where id = :kay"
load_many = "select id, body from profile where id = any(:keys"
store = "update profile set body = 'x"
erase = "delete from profile; drop table profile"
[features.line]
origin = "shop"
load = "select body from line where a = :key1 and b = :key2"
store = "update line set body = 'x' where true"
erase = "delete from line where a = :key1"
)x"),
      R"x(candor.toml:5: features.profile.load: the statement uses :kay, which is not a parameter: use :key (or :key1 to :key16 for a key of several columns)
candor.toml:7: features.profile.store: the statement has a string that does not end: add '
candor.toml:8: features.profile.erase: the statement holds more than one statement: keep one (what follows the first `;` would not run)
candor.toml:12: features.line.store: the statement uses no key, so every key would mean the same row: add `where … = :key`
candor.toml:12: features.line.store: the statement does not use :value, so what is stored would be lost
candor.toml:13: features.line.erase: the statement does not use :key2, but the feature's keys have 2 columns (:key1 to :key2): use all of them in every statement)x");
}

TEST(ConfigTest, StatementsAreReadInTheDialectOfTheirOrigin) {
  const auto with = [](std::string_view url) {
    return findings_of("[origins.shop]\nurl = \"" + std::string(url) +
                       "\"\n[features.profile]\norigin = \"shop\"\n"
                       "load = \"select body from [a:b] where id = :key\"\n");
  };
  EXPECT_EQ(with("sqlite:shop.db"), "");
  EXPECT_NE(with("postgresql://app@127.0.0.1/shop").find("candor.toml:5: features.profile.load: "),
            std::string::npos);
}

TEST(ConfigTest, AnEmptyFileIsAWholeConfiguration) {
  const ConfigReading reading = read_config_text("", "candor.toml");
  EXPECT_TRUE(reading.findings.empty());
  EXPECT_EQ(reading.config.resp.listen.port, 6390);
  EXPECT_EQ(reading.config.http.listen.port, 8390);
  EXPECT_EQ(reading.config.l2.url, "memory:");
  EXPECT_EQ(reading.config.node.region, "local");
}

TEST(ConfigTest, PlainFeaturesKeepWhatTheyHoldUnlessTold) {
  EXPECT_EQ(read_config_text("[features.c]\norigin = \"none\"\n", "f").config.features[0].ttl,
            Duration::zero());
  EXPECT_EQ(read_config_text("[features.c]\norigin = \"none\"\nttl = \"5m\"\n", "f").config.features[0].ttl,
            5min);
}

TEST(ConfigTest, NoExpiryIsForPlainFeaturesOnly) {
  EXPECT_EQ(findings_of("[features.c]\norigin = \"none\"\nttl = \"0s\"\n"), "");
}

TEST(ConfigTest, AnOpenHttpListenerIsToldWhatAnybodyMayRead) {
  const std::string text = findings_of("[http]\nlisten = \"0.0.0.0:8390\"\n");
  for (const char* open : {"health", "metrics", "dashboard", "status", "features", "events"})
    EXPECT_NE(text.find(open), std::string::npos) << open;
  EXPECT_NE(text.find("only flush and invalidate need the admin token"), std::string::npos);
}

TEST(ConfigTest, UnprovenLevelsReadTheOrigin) {
  FeatureConfig feature;
  feature.consistency = Consistency::kStrong;
  EXPECT_EQ(feature_policy(feature).consistency, Consistency::kOrigin);
  feature.consistency = Consistency::kBounded;
  EXPECT_EQ(feature_policy(feature).consistency, Consistency::kOrigin);
  feature.consistency = Consistency::kEventual;
  EXPECT_EQ(feature_policy(feature).consistency, Consistency::kEventual);
}

TEST(ConfigTest, AMissingFileSaysWhatToCheck) {
  const ConfigReading reading = read_config_file("no-such-file.toml");
  ASSERT_EQ(reading.findings.size(), 1U);
  EXPECT_EQ(reading.findings[0].to_string(),
            "no-such-file.toml: cannot read no-such-file.toml; check the path and its permissions");
}

TEST(ConfigTest, ADirectoryIsNotAConfiguration) { EXPECT_TRUE(read_config_file("/").has_errors()); }

TEST(ConfigTableTest, EveryKeyHasASectionAMeaningAndAUniqueName) {
  std::set<std::string> seen;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_TRUE(seen.insert(std::string(key.section) + "/" + std::string(key.name)).second) << key.name;
    EXPECT_FALSE(key.meaning.empty()) << key.name;
    EXPECT_TRUE(key.store != nullptr) << key.name;
    bool has_section = false;
    for (const ConfigSection& section : config_sections()) has_section |= section.path == key.section;
    EXPECT_TRUE(has_section) << key.section;
  }
}

TEST(ConfigTableTest, TheReferenceInDocsIsWhatTheTablePrints) {
  std::ifstream file(CANDOR_SOURCE_DIR "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), config_reference()) << "run: candor check --print-reference > docs/configuration.md";
}

TEST(ReloadTest, APolicyChangeAppliesAndAListenerDoesNot) {
  const Config before = read_config_text(kSecretShop, "f").config;
  const Config after =
      read_config_text(std::string("[resp]\nlisten = \"127.0.0.1:7000\"\n") + kSecretShop + "ttl = \"5s\"\n",
                       "f")
          .config;
  const auto changes = compare_configs(before, after);
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].key, "features.profile.ttl");
  EXPECT_EQ(changes[0].before, "60s");
  EXPECT_EQ(changes[0].after, "5s");
  EXPECT_TRUE(changes[0].applies_now);
  EXPECT_EQ(changes[1].key, "resp.listen");
  EXPECT_FALSE(changes[1].applies_now);
}

TEST(ReloadTest, ANewFeatureNeedsARestart) {
  const auto changes = compare_configs(read_config_text("", "f").config,
                                       read_config_text("[features.c]\norigin = \"none\"\n", "f").config);
  ASSERT_FALSE(changes.empty());
  for (const ConfigChange& change : changes) EXPECT_FALSE(change.applies_now) << change.key;
}

std::string everything_of(const FeatureConfig& f) {
  std::string out = f.name + f.origin + f.load + f.load_many + f.store + f.erase + f.write;
  out += std::to_string(static_cast<int>(f.priority));
  for (const Duration time : {f.ttl, f.negative_ttl, f.soft_timeout, f.hard_timeout, f.lease_ttl,
                              f.serve_stale, f.budget->max_staleness, f.budget->window})
    out += " " + std::to_string(time.count());
  for (const double number : {f.ttl_jitter, f.refresh_beta, f.budget->stale_fraction, f.budget->sample})
    out += " " + std::to_string(number);
  out += std::to_string(static_cast<int>(f.consistency));
  out += f.watch ? "watched" + f.watch->table + f.watch->key : "unwatched";
  out += std::to_string(static_cast<int>(f.priority));
  out += f.warm->query + f.warm->priority;
  for (const std::string& key : f.warm->keys) out += key;
  for (const std::string& tag : f.tags) out += tag;
  out += " " + std::to_string(f.batching().window.count()) + " " + std::to_string(f.batching().batch);
  return out + f.budget->impact + f.budget->owner + f.budget->control;
}

FeatureConfig whole_feature() {
  FeatureConfig feature;
  feature.serve_stale = 1h;
  feature.priority = Priority::kCritical;  // another one than what a word that is none stands for
  feature.watch.emplace();
  feature.warm.emplace();
  feature.write_behind.emplace();
  feature.budget.emplace();
  return feature;
}

TEST(ReloadTest, AFeatureTakesOverExactlyTheKeysThatTheTableCallsReloadable) {
  TypedValue other;
  other.text = "other";
  other.integer = 1;
  other.number = 0.5;
  other.duration = 7s;
  other.texts = {"other"};
  int keys = 0;
  for (const ConfigKey& key : config_keys()) {
    if (!key.section.starts_with("features.*")) continue;
    FeatureConfig fresh = whole_feature();
    ConfigTarget target;
    target.feature = &fresh;
    key.store(target, other);
    FeatureConfig held = whole_feature();
    ASSERT_NE(everything_of(fresh), everything_of(held)) << key.name;
    adopt_reloadable(held, fresh);
    EXPECT_EQ(everything_of(held), everything_of(key.reloadable ? fresh : whole_feature())) << key.name;
    ++keys;
  }
  EXPECT_GT(keys, 20);
}

TEST(ReloadTest, ServeStaleMayComeAndGo) {
  const Config before = read_config_text(kSecretShop, "f").config;
  const Config after =
      read_config_text(std::string(kSecretShop) + "on_origin_failure = { serve_stale = \"1m\" }\n", "f")
          .config;
  const auto changes = compare_configs(before, after);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_TRUE(changes[0].applies_now);
}

TEST(ReloadTest, PasswordsDoNotShow) {
  const Config before = read_config_text(kSecretShop, "f").config;
  std::string other = kSecretShop;
  other.replace(other.find("secret"), 6, "hidden");
  const auto changes = compare_configs(before, read_config_text(other, "f").config);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].before, "postgresql://app:***@db/shop");
  EXPECT_EQ(changes[0].after, "postgresql://app:***@db/shop");
}

TEST(UrlPasswordTest, PasswordsAreMaskedWhereverTheyStand) {
  EXPECT_EQ(mask_password("postgresql://app:s3cret@db:5432/shop"), "postgresql://app:***@db:5432/shop");
  EXPECT_EQ(mask_password("redis://:s3cret@h:1/0"), "redis://:***@h:1/0");
  EXPECT_EQ(mask_password("postgresql://app:a/b@c@db/shop"), "postgresql://app:***@db/shop");
  EXPECT_EQ(mask_password("postgresql://db/shop?user=app&password=s3cret&sslmode=require"),
            "postgresql://db/shop?user=app&password=***&sslmode=require");
  EXPECT_EQ(mask_password("sqlite:shop.db"), "sqlite:shop.db");
  EXPECT_EQ(mask_password("redis://app@h:1/0"), "redis://app@h:1/0");
}

TEST(UrlPasswordTest, APasswordFromAFileIsEscapedIntoTheUrl) {
  EXPECT_EQ(with_password("postgresql://app@db/shop", "a b/@"), "postgresql://app:a%20b%2F%40@db/shop");
  EXPECT_EQ(with_password("redis://h:1/0", "x"), "redis://:x@h:1/0");
}

TEST(ListenAddressTest, LoopbackIsKnownInEveryForm) {
  EXPECT_TRUE(parse_listen_address("127.0.0.1:1")->is_loopback());
  EXPECT_TRUE(parse_listen_address("127.9.9.9:1")->is_loopback());
  EXPECT_TRUE(parse_listen_address("[::1]:1")->is_loopback());
  EXPECT_TRUE(parse_listen_address("localhost:1")->is_loopback());
  EXPECT_FALSE(parse_listen_address("0.0.0.0:1")->is_loopback());
  EXPECT_FALSE(parse_listen_address("[::]:1")->is_loopback());
}

TEST(ListenAddressTest, HalfAddressesAreRefused) {
  for (const char* bad : {"", ":", ":1", "h:", "h:x", "h:1x", "::1:1", "a b:1", "h:-1", "h:65536"})
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
}

TEST(ConfigWriteBehind, ARedisOriginIsRefusedWithTheReason) {
  const std::string text = findings_of(
      "[origins.shop]\nurl = \"redis://127.0.0.1:6379/0\"\n[features.profile]\norigin = \"shop\"\nwrite = "
      "\"behind\"\n");
  EXPECT_NE(text.find("features.profile.write: a Redis origin has no transaction"), std::string::npos)
      << text;
}

TEST(ConfigWriteBehind, BoundedNeedsWatch) {
  const std::string text = findings_of(
      "[origins.shop]\nurl = \"sqlite:shop.db\"\n[features.profile]\norigin = \"shop\"\nload = \"select 1 "
      "where :key\"\n"
      "store = \"insert into t values (:key, :value)\"\nconsistency = \"bounded\"\nwrite = \"behind\"\n"
      "[features.profile.budget]\nmax_staleness = \"5s\"\n");
  EXPECT_NE(text.find("without `watch` reads the origin every time, where pending writes are not yet"),
            std::string::npos)
      << text;
}

TEST(ConfigWriteBehind, KeysAreReadAndHaveDefaults) {
  const ConfigReading reading = read_config_text(
      "[write_behind]\nfsync = \"interval\"\nkeys_max = 7\n[origins.shop]\nurl = \"sqlite:shop.db\"\n"
      "[features.a]\norigin = \"shop\"\nload = \"select 1 where :key\"\nstore = \"insert into t values "
      "(:key, :value)\"\n"
      "write = \"behind\"\nwrite_behind = { window = \"2s\" }\n[features.b]\norigin = \"none\"\n",
      "candor.toml");
  EXPECT_FALSE(reading.has_errors());
  EXPECT_EQ(reading.config.write_behind.fsync, WriteBehindConfig::Fsync::kInterval);
  EXPECT_EQ(reading.config.write_behind.keys_max, 7u);
  EXPECT_EQ(reading.config.write_behind.age_max, 1h);
  EXPECT_EQ(reading.config.find_feature("a")->batching().window, 2s);
  EXPECT_EQ(reading.config.find_feature("a")->batching().batch, 1000u);
  EXPECT_EQ(reading.config.find_feature("b")->batching().window, 100ms);
}

}  // namespace
}  // namespace candor::app
