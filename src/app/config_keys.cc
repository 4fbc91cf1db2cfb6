#include "app/config_keys.h"

#include <array>
#include <concepts>

namespace candor::app {
namespace {

using T = ConfigType;

void assign(std::string& to, const TypedValue& v) { to = v.text; }
void assign(bool& to, const TypedValue& v) { to = v.flag; }
void assign(double& to, const TypedValue& v) { to = v.number; }
void assign(Duration& to, const TypedValue& v) { to = v.duration; }
void assign(ListenAddress& to, const TypedValue& v) { to = v.address; }
void assign(std::optional<ListenAddress>& to, const TypedValue& v) { to = v.address; }
void assign(std::vector<std::string>& to, const TypedValue& v) { to = v.texts; }
template <std::integral I>
void assign(I& to, const TypedValue& v) {
  to = static_cast<I>(v.integer);
}
// The choices stand in the order of the enumerators.
template <class E>
  requires std::is_enum_v<E>
void assign(E& to, const TypedValue& v) {
  to = static_cast<E>(v.integer);
}

template <auto Part, auto Member>
void part(ConfigTarget& t, const TypedValue& v) {
  assign(t.config->*Part.*Member, v);
}
template <auto Part, auto Member>
void optional_part(ConfigTarget& t, const TypedValue& v) {
  assign((*(t.config->*Part)).*Member, v);
}
template <auto Member>
void origin(ConfigTarget& t, const TypedValue& v) {
  assign(t.origin->*Member, v);
}
template <auto Member>
void feature(ConfigTarget& t, const TypedValue& v) {
  assign(t.feature->*Member, v);
}
template <auto Part, auto Member>
void feature_part(ConfigTarget& t, const TypedValue& v) {
  assign((*(t.feature->*Part)).*Member, v);
}
template <auto Member>
void user(ConfigTarget& t, const TypedValue& v) {
  assign(t.user->*Member, v);
}

constexpr bool kReloads = true;
constexpr bool kNotReloaded = false;
constexpr bool kRequired = true;
constexpr bool kOptional = false;
constexpr bool kActive = true;
constexpr bool kIsBuilt = true;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
// A store's shards, index and one segment of the largest value have to fit.
constexpr std::int64_t kL1MemoryLeast = 8 * kMiB;
constexpr std::int64_t kL2MemoryLeast = kMiB;
// Thirty write buffers of RocksDB and its own files.
constexpr std::int64_t kDiskLeast = 16 * kMiB;
// More data-plane threads than this never helped; it also bounds what one typing error can start.
constexpr std::int64_t kThreadsMost = 256;
// One descriptor each; above it the process's descriptor limit is the honest bound.
constexpr std::int64_t kConnectionsMost = 1'000'000;
// A single reply must fit: the largest value and its header.
constexpr std::int64_t kOutputLeast = kMiB;
// What a database server is ever configured to take from one client process.
constexpr std::int64_t kOriginConcurrencyMost = 10'000;

// Each pending key costs some 200 bytes beside its value, and a snapshot of all is taken for each round.
constexpr std::int64_t kPendingKeysMost = 10'000'000;
// A transaction that holds more rows' locks is a migration.
constexpr std::int64_t kBatchKeysMost = 100'000;

// XFetch's beta beyond this refreshes on nearly every read, which is a wrong unit rather than a wish.
constexpr std::int64_t kRefreshBetaMost = 100;
// More loads a second than any origin of one node takes.
constexpr std::int64_t kAddedLoadsMost = 1'000'000;

// Above it one question would be under way at every moment, whatever the origin.
constexpr std::int64_t kRepairRateMost = 1'000'000;
// Each costs about 150 bytes, in four lists of each feature.
constexpr std::int64_t kHotKeysMost = 4096;
// A background task that loads more is a reader.
constexpr std::int64_t kReconcileRateMost = 100'000;

// A hot set of so many keys is some hundred MiB, and takes minutes to load from any database.
constexpr std::int64_t kWarmKeysMost = 2'000'000;

const std::array kSections = {
    ConfigSection{"node", "Who this node is and where it keeps its files."},
    ConfigSection{"resp", "The listener for Redis clients."},
    ConfigSection{
        "resp.users[]",
        "Who may connect, `[[resp.users]]` once for each. With users configured every connection has to "
        "`AUTH`.",
        [](ConfigTarget& t, std::string_view, int) { t.user = &t.config->resp.users.emplace_back(); }, false},
    ConfigSection{"http", "The listener for the dashboard, the API, metrics and health."},
    ConfigSection{"l1", "The memory tier of this process."},
    ConfigSection{"disk",
                  "The tier on local flash between L1 and L2, if the section is there: see disk-tier.md.",
                  [](ConfigTarget& t, std::string_view, int) { t.config->disk.emplace(); }, false, kIsBuilt},
    ConfigSection{"l2", "The store that the nodes of a region share."},
    ConfigSection{
        "stream",
        "How changes reach the nodes of a region. `memory:` serves one node alone; nodes that share "
        "a database share a stream too.",
        [](ConfigTarget& t, std::string_view, int) { t.config->stream.emplace(); }, false, kIsBuilt},
    ConfigSection{"write_behind",
                  "The logs of features with `write = \"behind\"`, in `data_dir/write-behind/`: one for each "
                  "feature, with these limits each. See write-behind.md."},
    ConfigSection{
        "reconcile",
        "The sweep that asks the origins, slowly and for ever, whether what is cached is still true, "
        "and drops what is not. See reconciliation.md."},
    ConfigSection{"capacity",
                  "How much memory would do what, and how much the process may have. See capacity.md."},
    ConfigSection{
        "warm",
        "How this node is warmed before it takes traffic; what is warmed first, its features say. See "
        "warming.md."},
    ConfigSection{"hotkeys",
                  "Which keys are hot, for `candor hotkeys`, CANDOR.HOTKEYS and warming: see debugging.md."},
    ConfigSection{"explain", "What happened to keys lately, for `candor explain`: see debugging.md."},
    ConfigSection{"tracing",
                  "Requests that carry a W3C trace id become spans of an OpenTelemetry collector: see "
                  "debugging.md."},
    ConfigSection{"alerts", "Who is told when a feature burns its budget of staleness: see alerting.md."},
    ConfigSection{"controller",
                  "What the controller may do to keep budgets with `control = \"auto\"`: see controller.md. "
                  "Limits of this node, for all features together."},
    ConfigSection{"origins.*", "A database, under a name of your choice. It is the only authority.",
                  [](ConfigTarget& t, std::string_view name, int line) {
                    t.origin = &t.config->origins.emplace_back();
                    t.origin->name = name;
                    t.origin->line = line;
                  },
                  false},
    ConfigSection{"features.*",
                  "A named key space: the keys `NAME:…`, one origin query, one policy, one budget. Names are "
                  "letters, digits, "
                  "`_`, `-` and `.`.",
                  [](ConfigTarget& t, std::string_view name, int line) {
                    t.feature = &t.config->features.emplace_back();
                    t.feature->name = name;
                    t.feature->line = line;
                  },
                  false},
    ConfigSection{"features.*.watch",
                  "The table whose changes, made by anyone, invalidate this feature. SQLite needs triggers: "
                  "`candor feed install CONFIG`. A Redis origin has no tables: `watch = true`.",
                  [](ConfigTarget& t, std::string_view, int) { t.feature->watch.emplace(); }, false,
                  kIsBuilt},
    ConfigSection{"features.*.write_behind", "How writes with `write = \"behind\"` are gathered.",
                  [](ConfigTarget& t, std::string_view, int) { t.feature->write_behind.emplace(); }, false},
    ConfigSection{"features.*.on_origin_failure",
                  "What readers get when the origin fails: `on_origin_failure = \"error\"` (the default) or "
                  "`on_origin_failure = { serve_stale = \"10m\" }`.",
                  nullptr, false},
    ConfigSection{"features.*.warm",
                  "What to load before traffic comes, beside what the last run found hot: see warming.md.",
                  [](ConfigTarget& t, std::string_view, int) { t.feature->warm.emplace(); }, false, kIsBuilt},
    ConfigSection{
        "features.*.budget",
        "How stale reads may be, and who agreed to it. Measured on live reads: docs/budgets.md.",
        [](ConfigTarget& t, std::string_view, int line) { t.feature->budget.emplace().line = line; }, false,
        kIsBuilt},
};

const std::array kKeys = {
    ConfigKey{"node", "name", T::kText, "\"\"",
              "This node's name in logs and metrics. Empty: the host's name.",
              part<&Config::node, &NodeConfig::name>},
    ConfigKey{"node", "region", T::kText, "\"local\"", "The region label of metrics.",
              part<&Config::node, &NodeConfig::region>},
    ConfigKey{"node", "data_dir", T::kText, "\"var\"",
              "Directory for what this node keeps: the admin token, write-behind logs. Made at start; "
              "relative to the "
              "working directory.",
              part<&Config::node, &NodeConfig::data_dir>},
    ConfigKey{"node", "drain_timeout", T::kDuration, "\"10s\"",
              "How long SIGTERM waits for requests under way before it closes their connections.",
              part<&Config::node, &NodeConfig::drain_timeout>, kReloads},
    ConfigKey{
        "node", "ready_patience", T::kDuration, "\"10s\"",
        "How long `/readyz` answers 503 after a start while the node has not caught up with the changes "
        "of its watched origins. Then the node takes part all the same, and `degraded` says what is "
        "missing. 0: `/readyz` does not wait for it.",
        part<&Config::node, &NodeConfig::ready_patience>},
    ConfigKey{"node", "log_level", T::kChoice, "\"info\"", "What goes to standard error.",
              part<&Config::node, &NodeConfig::log_level>, kReloads, kOptional, kActive,
              "debug|info|warn|error"},

    ConfigKey{"resp", "listen", T::kAddress, "\"127.0.0.1:6390\"",
              "Address and port for Redis clients. An address other than loopback needs `[[resp.users]]` or "
              "`protected = false`.",
              part<&Config::resp, &RespConfig::listen>},
    ConfigKey{"resp", "threads", T::kCount, "0",
              "Data-plane threads, each with its own event loop. 0: one for each core.",
              part<&Config::resp, &RespConfig::threads>, kNotReloaded, kOptional, kActive, "", 0,
              kThreadsMost},
    ConfigKey{"resp", "plain_feature", T::kText, "\"\"",
              "The feature (with `origin = \"none\"`) that takes keys without a known feature's prefix. "
              "Empty: such keys answer `NOFEATURE`.",
              part<&Config::resp, &RespConfig::plain_feature>},
    ConfigKey{"resp", "protected", T::kFlag, "true",
              "`false` allows an address other than loopback without users: only on a network that you trust "
              "wholly.",
              part<&Config::resp, &RespConfig::is_protected>},
    ConfigKey{"resp", "tls_listen", T::kAddress, "",
              "A second address, for TLS 1.2 and above. Needs `tls_cert` and `tls_key`.",
              part<&Config::resp, &RespConfig::tls_listen>},
    ConfigKey{"resp", "tls_cert", T::kText, "\"\"", "File with the certificate chain, PEM.",
              part<&Config::resp, &RespConfig::tls_cert>},
    ConfigKey{"resp", "tls_key", T::kText, "\"\"", "File with the private key, PEM.",
              part<&Config::resp, &RespConfig::tls_key>},
    ConfigKey{"resp", "connections_max", T::kCount, "10000", "Connections beyond this are refused.",
              part<&Config::resp, &RespConfig::connections_max>, kNotReloaded, kOptional, kActive, "", 1,
              kConnectionsMost},
    ConfigKey{"resp", "output_max", T::kSize, "\"80MiB\"",
              "A connection whose unread replies exceed this is cut off and counted: one slow reader shall "
              "not take the memory of all.",
              part<&Config::resp, &RespConfig::output_max>, kNotReloaded, kOptional, kActive, "",
              kOutputLeast},
    ConfigKey{"resp", "pending_max", T::kCount, "1024",
              "Requests of one connection on their way to L2 or the origin; beyond it the connection is not "
              "read until some are answered.",
              part<&Config::resp, &RespConfig::pending_max>, kNotReloaded, kOptional, kActive, "", 1,
              1'000'000},
    ConfigKey{"resp", "idle_timeout", T::kDuration, "\"0s\"",
              "A connection silent for this long is closed. 0: never, as Redis.",
              part<&Config::resp, &RespConfig::idle_timeout>},
    ConfigKey{"resp", "auth_timeout", T::kDuration, "\"10s\"",
              "With users configured: how long a connection may take to `AUTH`.",
              part<&Config::resp, &RespConfig::auth_timeout>},
    ConfigKey{"resp", "command_timeout", T::kDuration, "\"120s\"",
              "How long a client may take to finish sending a command that it began.",
              part<&Config::resp, &RespConfig::command_timeout>},
    ConfigKey{
        "resp", "output_timeout", T::kDuration, "\"20s\"",
        "A connection whose unread replies do not move at all for this long is cut off and counted: its "
        "client does not read.",
        part<&Config::resp, &RespConfig::output_timeout>},

    ConfigKey{"resp.users[]", "name", T::kText, "",
              "The name for `AUTH name password`; `default` answers `AUTH password`.",
              user<&UserConfig::name>, kNotReloaded, kRequired},
    ConfigKey{"resp.users[]", "password_hash", T::kText, "",
              "What `candor hash-password` prints. Passwords never stand in the file.",
              user<&UserConfig::password_hash>, kNotReloaded, kRequired},
    ConfigKey{"resp.users[]", "rights", T::kTexts, "[\"read\", \"write\"]",
              "Any of `read`, `write`, `admin` (flush, invalidate features).", user<&UserConfig::rights>,
              kNotReloaded, kOptional, kActive, "read|write|admin"},
    ConfigKey{
        "resp.users[]", "features", T::kTexts, "[]",
        "Features whose keys the user may touch. Empty: all. Publish and subscribe channels belong to no "
        "feature: these users may use them too.",
        user<&UserConfig::features>},

    ConfigKey{"http", "listen", T::kAddress, "\"127.0.0.1:8390\"",
              "Address and port for dashboard, API, metrics and health.",
              part<&Config::http, &HttpConfig::listen>},
    ConfigKey{"http", "hosts", T::kTexts, "[]",
              "Further names that the `Host` header may carry for guarded requests, besides loopback names "
              "and the listen address.",
              part<&Config::http, &HttpConfig::hosts>},
    ConfigKey{"http", "event_clients_max", T::kCount, "16", "Dashboards that may watch `/events` at once.",
              part<&Config::http, &HttpConfig::event_clients_max>, kNotReloaded, kOptional, kActive, "", 0,
              64},

    ConfigKey{"l1", "memory", T::kSize, "\"256MiB\"",
              "A hard limit on all that the tier holds, overhead included.",
              part<&Config::l1, &L1Config::memory>, kNotReloaded, kOptional, kActive, "", kL1MemoryLeast},
    ConfigKey{"l1", "policy", T::kChoice, "\"default\"",
              "What is evicted. `default` was chosen by measurement: see eviction.md.",
              part<&Config::l1, &L1Config::policy>, kNotReloaded, kOptional, kActive,
              "default|s3fifo|sieve|lru|wtinylfu"},

    ConfigKey{"disk", "path", T::kText, "",
              "Directory of the disk tier, of this node alone. What is in it may be deleted while the node "
              "is down.",
              optional_part<&Config::disk, &DiskConfig::path>, kNotReloaded, kRequired, kActive},
    ConfigKey{"disk", "size", T::kSize, "\"10GiB\"",
              "Limit of what the tier holds on the disk; the oldest entries make room.",
              optional_part<&Config::disk, &DiskConfig::size>, kNotReloaded, kOptional, kActive, "",
              kDiskLeast},
    ConfigKey{
        "disk", "memory", T::kSize, "\"64MiB\"",
        "Limit of the tier's block cache and write buffers in this process. Beside it: 3.2 bytes for each "
        "KiB of `size`, and at most 40 MiB of queues and sketch.",
        optional_part<&Config::disk, &DiskConfig::memory>, kNotReloaded, kOptional, kActive, "", kMiB},
    ConfigKey{
        "disk", "write_rate", T::kSize, "\"16MiB\"",
        "Bytes a second that may be written at most, on average: flash wears out. What L1 evicts beyond it "
        "is dropped. `0B`: no limit.",
        optional_part<&Config::disk, &DiskConfig::write_rate>, kNotReloaded, kOptional, kActive},

    ConfigKey{"l2", "url", T::kUrl, "\"memory:\"",
              "`memory:` (in this process), `none`, `redis://[USER@]HOST:PORT/DB` or `rediss://…` (TLS).",
              part<&Config::l2, &L2Config::url>, kNotReloaded, kOptional, kActive,
              "memory:|none|redis://|rediss://|redis+cluster://"},
    ConfigKey{"l2", "password_file", T::kText, "\"\"", "File whose first line is the password for `url`.",
              part<&Config::l2, &L2Config::password_file>},
    ConfigKey{"l2", "memory", T::kSize, "\"64MiB\"", "Limit of the `memory:` tier.",
              part<&Config::l2, &L2Config::memory>, kNotReloaded, kOptional, kActive, "", kL2MemoryLeast},
    ConfigKey{"l2", "compress_above", T::kSize, "\"1KiB\"",
              "Values of at least this size are stored compressed (zstd) if that saves an eighth. 0: never.",
              part<&Config::l2, &L2Config::compress_above>},
    ConfigKey{"l2", "prefix", T::kText, "\"candor:\"",
              "What every key of ours in the shared store begins with.",
              part<&Config::l2, &L2Config::prefix>},
    ConfigKey{"l2", "timeout", T::kDuration, "\"500ms\"",
              "How long one command may take before the read goes on to the origin.",
              part<&Config::l2, &L2Config::timeout>},
    ConfigKey{"l2", "connect_timeout", T::kDuration, "\"1s\"", "How long a connection attempt may take.",
              part<&Config::l2, &L2Config::connect_timeout>},

    ConfigKey{"stream", "url", T::kUrl, "\"memory:\"", "`memory:`, `redis://…` or `nats://…`.",
              optional_part<&Config::stream, &StreamConfig::url>, kNotReloaded, kOptional, kIsBuilt,
              "memory:|redis://|rediss://|nats://"},

    ConfigKey{"write_behind", "fsync", T::kChoice, "\"always\"",
              "`always`: a write is acknowledged after its log is on disk (many writers share one sync). "
              "`interval`: the log is synced every `fsync_interval`; a crash of the process loses nothing, a "
              "power cut what came since.",
              part<&Config::write_behind, &WriteBehindConfig::fsync>, kNotReloaded, kOptional, kActive,
              "always|interval"},
    ConfigKey{"write_behind", "fsync_interval", T::kDuration, "\"100ms\"", "With `fsync = \"interval\"`.",
              part<&Config::write_behind, &WriteBehindConfig::fsync_interval>},
    ConfigKey{"write_behind", "keys_max", T::kCount, "100000",
              "Keys of a feature that may wait for the origin; beyond it writes of other keys answer "
              "`OVERLOADED`.",
              part<&Config::write_behind, &WriteBehindConfig::keys_max>, kNotReloaded, kOptional, kActive, "",
              1, kPendingKeysMost},
    ConfigKey{"write_behind", "bytes_max", T::kSize, "\"256MiB\"",
              "Memory of a feature's pending writes; beyond it writes answer `OVERLOADED`.",
              part<&Config::write_behind, &WriteBehindConfig::bytes_max>, kNotReloaded, kOptional, kActive,
              "", kMiB},
    ConfigKey{"write_behind", "log_max", T::kSize, "\"4GiB\"",
              "A feature's log on disk, with writes that later ones replaced; beyond it writes answer "
              "`OVERLOADED`.",
              part<&Config::write_behind, &WriteBehindConfig::log_max>, kNotReloaded, kOptional, kActive, "",
              kMiB},
    ConfigKey{
        "write_behind", "age_max", T::kDuration, "\"1h\"",
        "When the oldest write has waited for this long, because the origin does not take it, new writes "
        "answer `OVERLOADED`. 0: never.",
        part<&Config::write_behind, &WriteBehindConfig::age_max>},
    ConfigKey{"hotkeys", "enabled", T::kFlag, "true",
              "Looks at some 2,000 reads a second, and at every miss and change.",
              part<&Config::hotkeys, &HotKeysConfig::enabled>},
    ConfigKey{
        "hotkeys", "keys", T::kCount, "128",
        "Keys that are followed, by each measure, for each feature; fewer where there are more than 500 "
        "features. The more, the closer the bounds of the less hot ones.",
        part<&Config::hotkeys, &HotKeysConfig::keys>, kNotReloaded, kOptional, kActive, "", 1, kHotKeysMost},
    ConfigKey{
        "explain", "memory", T::kSize, "\"4MiB\"",
        "For what happened to keys: a ring each for hits, misses, fills and changes, of a quarter of it "
        "each. 0: nothing is kept.",
        part<&Config::explain, &ExplainConfig::memory>},
    ConfigKey{
        "tracing", "endpoint", T::kText, "\"\"",
        "Where a collector takes OTLP/HTTP JSON: `http://HOST:PORT/v1/traces` or `https://…`. Empty: no "
        "spans leave.",
        part<&Config::tracing, &TracingConfig::endpoint>},
    ConfigKey{
        "tracing", "sample", T::kFraction, "1.0",
        "Of the traces whose caller records them, the share that is recorded here as well; by the trace's "
        "id, so that every node takes the same ones.",
        part<&Config::tracing, &TracingConfig::sample>},
    ConfigKey{
        "alerts", "webhook", T::kTexts, "[]",
        "Alertmanagers, each `http://[USER@]HOST:PORT` or `https://…`. Without a path `/api/v2/alerts` is "
        "meant; a path is used as it stands. Up to 8.",
        part<&Config::alerts, &AlertsConfig::webhook>},
    ConfigKey{"alerts", "password_file", T::kText, "\"\"",
              "File whose first line is the password of each address that names a user.",
              part<&Config::alerts, &AlertsConfig::password_file>},
    ConfigKey{"alerts", "repeat", T::kDuration, "\"4h\"",
              "An alert that goes on is written to the log again.",
              part<&Config::alerts, &AlertsConfig::repeat>},
    ConfigKey{
        "alerts", "refresh", T::kDuration, "\"1m\"",
        "An alert that goes on is sent again. An Alertmanager tells people by its own rules, and forgets "
        "what it has not heard of for four times this.",
        part<&Config::alerts, &AlertsConfig::refresh>},
    ConfigKey{"alerts", "runbook", T::kText, "\"\"",
              "A page for whoever is woken, as `runbook_url` in every alert: `https://…`.",
              part<&Config::alerts, &AlertsConfig::runbook>},

    ConfigKey{"reconcile", "rate", T::kCount, "100",
              "Entries of L1 that are asked about in a second, slower while an origin is slow, never while "
              "readers wait for it. 0: nothing is swept.",
              part<&Config::reconcile, &ReconcileConfig::rate>, kNotReloaded, kOptional, kActive, "", 0,
              kReconcileRateMost},
    ConfigKey{"reconcile", "period", T::kDuration, "\"1m\"",
              "From the beginning of one pass over L1 to that of the next, at least.",
              part<&Config::reconcile, &ReconcileConfig::period>},
    ConfigKey{
        "capacity", "share", T::kFraction, "0.01",
        "The part of `[l1] memory` that models of other sizes may take. 0: no curves. An L1 of less than "
        "8 MiB has none.",
        part<&Config::capacity, &CapacityConfig::share>},
    ConfigKey{"capacity", "half_life", T::kDuration, "\"30m\"",
              "After this time what was counted weighs half.",
              part<&Config::capacity, &CapacityConfig::half_life>},
    ConfigKey{
        "capacity", "process_memory", T::kSize, "\"0B\"",
        "What the process may use in all: L1 gives back from 80 % of it on. 0: what its cgroup allows or "
        "the machine has; the lower one holds.",
        part<&Config::capacity, &CapacityConfig::process_memory>},
    ConfigKey{"warm", "hot_set", T::kFlag, "true",
              "Keeps the keys that are read most in `data_dir/hot-set`, for the next start.",
              part<&Config::warm, &WarmingConfig::hot_set>},
    ConfigKey{"warm", "hot_set_period", T::kDuration, "\"1m\"",
              "How often it is written while the node runs; less often where a walk over L1 takes long.",
              part<&Config::warm, &WarmingConfig::hot_set_period>},
    ConfigKey{"warm", "keys_max", T::kCount, "200000",
              "Keys in the hot set, and rows that are taken of one query.",
              part<&Config::warm, &WarmingConfig::keys_max>, kNotReloaded, kOptional, kActive, "", 1,
              kWarmKeysMost},
    ConfigKey{
        "warm", "origin_share", T::kFraction, "0.5",
        "Of an origin's `max_concurrency`, what warming may use at most; less while the origin is slow or "
        "readers wait for it.",
        part<&Config::warm, &WarmingConfig::origin_share>},
    ConfigKey{"warm", "query_timeout", T::kDuration, "\"30s\"", "For one `query` of `[features.*.warm]`.",
              part<&Config::warm, &WarmingConfig::query_timeout>},
    ConfigKey{"warm", "ready_within", T::kDuration, "\"30s\"",
              "How long `/readyz` answers 503 after a start while critical keys are not loaded, or "
              "`ready_hit_rate` is not reached. Then the node takes part all the same. 0: it does not wait.",
              part<&Config::warm, &WarmingConfig::ready_within>},
    ConfigKey{
        "warm", "ready_hit_rate", T::kFraction, "0",
        "Above 0: `/readyz` also waits until so many of the reads that the last run had would find their "
        "key, or until there is nothing left to warm.",
        part<&Config::warm, &WarmingConfig::ready_hit_rate>},
    ConfigKey{"warm", "peers", T::kTexts, "[]",
              "Nodes, of this region or another, as HOST:PORT of their `[http]` listener: their hot sets are "
              "warmed as well, from this node's own origins.",
              part<&Config::warm, &WarmingConfig::peers>},
    ConfigKey{"warm", "peer_token_file", T::kText, "\"\"", "File whose first line is the peers' admin token.",
              part<&Config::warm, &WarmingConfig::peer_token_file>},
    ConfigKey{"controller", "added_loads_max", T::kNumber, "100",
              "Loads a second that all pulled levers together may add, at all origins.",
              part<&Config::controller, &ControllerConfig::added_loads_max>, kReloads, kOptional, kActive, "",
              0, kAddedLoadsMost},
    ConfigKey{"controller", "added_loads_share", T::kFraction, "0",
              "Above 0: instead of `added_loads_max`, this share of the loads that readers cause without "
              "levers.",
              part<&Config::controller, &ControllerConfig::added_loads_share>, kReloads},
    ConfigKey{"controller", "ttl_min", T::kDuration, "\"1s\"", "No ttl is made shorter.",
              part<&Config::controller, &ControllerConfig::ttl_min>, kReloads},
    ConfigKey{"controller", "write_wait_max", T::kDuration, "\"100ms\"",
              "A lever that is predicted to add more to a write is not pulled.",
              part<&Config::controller, &ControllerConfig::write_wait_max>, kReloads},
    ConfigKey{"controller", "batch_max", T::kDuration, "\"5s\"",
              "Writes are gathered for no longer: others see them that much later.",
              part<&Config::controller, &ControllerConfig::batch_max>, kReloads},
    ConfigKey{"controller", "origin_reads_max", T::kFraction, "1",
              "Of a feature's reads, at most this fraction is sent past the tiers.",
              part<&Config::controller, &ControllerConfig::origin_reads_max>, kReloads},
    ConfigKey{"controller", "outside_for", T::kDuration, "\"15s\"",
              "Outside in each evaluation for so long before anything is pulled.",
              part<&Config::controller, &ControllerConfig::outside_for>, kReloads},
    ConfigKey{"controller", "cooldown", T::kDuration, "\"30s\"",
              "Between two actions on one lever of a feature.",
              part<&Config::controller, &ControllerConfig::cooldown>, kReloads},
    ConfigKey{"controller", "calm", T::kDuration, "\"5m\"",
              "Inside with a margin for so long before something is given back.",
              part<&Config::controller, &ControllerConfig::calm>, kReloads},
    ConfigKey{"controller", "actions_max", T::kCount, "12",
              "Actions of one feature within `actions_window`; what the cap takes back is not held up by it.",
              part<&Config::controller, &ControllerConfig::actions_max>, kReloads, kOptional, kActive, "", 1,
              1000},
    ConfigKey{"controller", "actions_window", T::kDuration, "\"1h\"", "See `actions_max`.",
              part<&Config::controller, &ControllerConfig::actions_window>, kReloads},
    ConfigKey{"controller", "headroom", T::kFraction, "0.45",
              "Of what a budget allows, kept in reserve by what is pulled: the model is within 10 % of "
              "measurements, and rates drift.",
              part<&Config::controller, &ControllerConfig::headroom>, kReloads},
    ConfigKey{"controller", "undo_predicted", T::kFraction, "0.5",
              "Of what a budget allows: what may be predicted without a lever that is given back. Below "
              "1 - `headroom`, or levers go back and forth.",
              part<&Config::controller, &ControllerConfig::undo_predicted>, kReloads},
    ConfigKey{"controller", "undo_measured", T::kFraction, "0.8",
              "Of what a budget allows: what must be measured below, at the interval's high end, before "
              "something is given back.",
              part<&Config::controller, &ControllerConfig::undo_measured>, kReloads},
    ConfigKey{"controller", "advice_period", T::kDuration, "\"1h\"",
              "The same advice is not repeated sooner.",
              part<&Config::controller, &ControllerConfig::advice_period>, kReloads},

    ConfigKey{"origins.*", "url", T::kUrl, "",
              "`sqlite:FILE`, `postgresql://USER@HOST:PORT/DB` or `redis://HOST:PORT/DB`. Give passwords in "
              "`password_file`.",
              origin<&OriginConfig::url>, kNotReloaded, kRequired, kActive,
              "sqlite:|postgresql://|postgres://|redis://|rediss://|mariadb://"},
    ConfigKey{"origins.*", "password_file", T::kText, "\"\"",
              "File whose first line is the password for `url`.", origin<&OriginConfig::password_file>},
    ConfigKey{"origins.*", "max_concurrency", T::kCount, "32",
              "Hard cap on this node's statements in flight.", origin<&OriginConfig::max_concurrency>,
              kNotReloaded, kOptional, kActive, "", 1, kOriginConcurrencyMost},
    ConfigKey{"origins.*", "adaptive_concurrency", T::kFlag, "true",
              "The statements in flight follow the origin: fewer when they take longer, up to "
              "`max_concurrency` when they do not. `false`: always `max_concurrency`. See degradation.md.",
              origin<&OriginConfig::adaptive_concurrency>, kReloads},
    ConfigKey{"origins.*", "min_concurrency", T::kCount, "2",
              "As many are let through however slow the origin is; above `max_concurrency` it is that.",
              origin<&OriginConfig::min_concurrency>, kReloads, kOptional, kActive, "", 1,
              kOriginConcurrencyMost},
    ConfigKey{"origins.*", "breaker", T::kFlag, "true",
              "Stop asking an origin that fails or says nothing, and ask again carefully.",
              origin<&OriginConfig::breaker>, kReloads},
    ConfigKey{"origins.*", "retry_share", T::kFraction, "0.1",
              "Loads that were lost with their connection are sent once more, at most so many of all "
              "statements: 0 (never) to 0.1.",
              origin<&OriginConfig::retry_share>, kReloads},
    ConfigKey{"origins.*", "waiting_max", T::kCount, "16384",
              "Loads and writes that may wait for a place; beyond it the answer is `OVERLOADED`.",
              origin<&OriginConfig::waiting_max>, kNotReloaded, kOptional, kActive, "", 1, 1'000'000},
    ConfigKey{"origins.*", "connect_timeout", T::kDuration, "\"5s\"",
              "How long a connection attempt may take.", origin<&OriginConfig::connect_timeout>},
    ConfigKey{"origins.*", "statement_timeout", T::kDuration, "\"30s\"",
              "PostgreSQL: the server's own limit on a statement, behind the deadlines of the reads.",
              origin<&OriginConfig::statement_timeout>},
    ConfigKey{"origins.*", "connections_max", T::kCount, "0",
              "PostgreSQL: connections, which statements share. 0: as `max_concurrency`, at most 8.",
              origin<&OriginConfig::connections_max>, kNotReloaded, kOptional, kActive, "", 0, 1000},
    ConfigKey{
        "origins.*", "repair_rate", T::kCount, "2000",
        "After a gap in the changes: entries of L1 that are asked about again in a second, the most read "
        "first; slower while the origin is. 0: only when they are read.",
        origin<&OriginConfig::repair_rate>, kNotReloaded, kOptional, kActive, "", 0, kRepairRateMost},

    ConfigKey{"features.*", "origin", T::kText, "",
              "A name from `[origins.NAME]`, or `none`: a plain shared cache.",
              feature<&FeatureConfig::origin>, kNotReloaded, kRequired},
    ConfigKey{"features.*", "load", T::kText, "\"\"",
              "The statement that reads one key, with `:key` (or `:key1`, `:key2` … for `feature:a:b`). No "
              "row is a negative result. "
              "Required for SQL origins; for Redis origins a pattern such as `user:{key}`.",
              feature<&FeatureConfig::load>},
    ConfigKey{
        "features.*", "load_many", T::kText, "\"\"",
        "PostgreSQL: a statement for many keys, `… where id = any(:keys)`, that returns (key, value) rows.",
        feature<&FeatureConfig::load_many>},
    ConfigKey{"features.*", "store", T::kText, "\"\"",
              "The statement behind `SET`, with `:key` and `:value`. Without it `SET` answers `READONLY`.",
              feature<&FeatureConfig::store>},
    ConfigKey{"features.*", "erase", T::kText, "\"\"",
              "The statement behind `DEL`, with `:key`. Without it `DEL` answers `READONLY`.",
              feature<&FeatureConfig::erase>},
    ConfigKey{
        "features.*", "tags", T::kTexts, "[]",
        "Names under which keys are invalidated together, by `CANDOR.INVALIDATE TAG tag`: the same for "
        "all keys (`\"catalog\"`), or made of the key's columns (`\"user:{1}\"`, with {1} to {9}). Up to "
        "8 for a feature.",
        feature<&FeatureConfig::tags>},
    ConfigKey{"features.*", "consistency", T::kChoice, "\"session\"",
              "The promise to readers. `bounded` and `strong` need `watch`; without it they read the origin "
              "every time.",
              feature<&FeatureConfig::consistency>, kReloads, kOptional, kActive,
              "eventual|bounded|session|strong|origin"},
    ConfigKey{"features.*", "priority", T::kChoice, "\"normal\"",
              "When the origin has not enough for all: `critical` features' loads go first, `low` ones wait, "
              "and are refused first (`OVERLOADED`).",
              feature<&FeatureConfig::priority>, kReloads, kOptional, kActive, "critical|normal|low"},
    ConfigKey{
        "features.*", "ttl", T::kDuration, "\"60s\"",
        "How long a value may be served, above 0. Plain features: when a value ends that is stored without a "
        "word on its expiry; what the client says (`EX`, `PX`, `KEEPTTL`, `PERSIST`, `EXPIRE`) wins. Their "
        "default is `0s`: no expiry, as Redis.",
        feature<&FeatureConfig::ttl>, kReloads},
    ConfigKey{"features.*", "negative_ttl", T::kDuration, "\"5s\"",
              "The same for \"no such row\"; never longer than `ttl`.", feature<&FeatureConfig::negative_ttl>,
              kReloads},
    ConfigKey{
        "features.*", "ttl_jitter", T::kFraction, "0.1",
        "Each ttl is shortened by a random share up to this, so that entries loaded together expire apart.",
        feature<&FeatureConfig::ttl_jitter>, kReloads},
    ConfigKey{"features.*", "refresh_beta", T::kNumber, "1.0",
              "How early hot entries are refreshed in the background (XFetch). 0: never; larger: earlier.",
              feature<&FeatureConfig::refresh_beta>, kReloads, kOptional, kActive, "", 0, kRefreshBetaMost},
    ConfigKey{"features.*", "soft_timeout", T::kDuration, "\"0s\"",
              "After this a waiting reader gets the old value, if `serve_stale` allows it; the load goes on. "
              "0: none.",
              feature<&FeatureConfig::soft_timeout>, kReloads},
    ConfigKey{"features.*", "hard_timeout", T::kDuration, "\"5s\"",
              "After this a waiting reader gets an error.", feature<&FeatureConfig::hard_timeout>, kReloads},
    ConfigKey{"features.*", "lease_ttl", T::kDuration, "\"3s\"",
              "How long one node may load a key before another may try.", feature<&FeatureConfig::lease_ttl>,
              kReloads},
    ConfigKey{
        "features.*", "write", T::kChoice, "\"through\"",
        "`through`: acknowledged when the origin has it. `behind`: acknowledged when it is durable in this "
        "node's log; batches follow to the origin. For SQL origins, and not with `consistency = \"strong\"` "
        "or `\"origin\"`.",
        feature<&FeatureConfig::write>, kReloads, kOptional, kActive, "through|behind"},
    ConfigKey{"features.*", "on_origin_failure", T::kChoice, "\"error\"", "`error`, or the table below.",
              [](ConfigTarget& t, const TypedValue&) { t.feature->serve_stale = Duration{0}; }, kReloads,
              kOptional, kActive, "error"},

    ConfigKey{
        "features.*", "watch", T::kFlag, "",
        "Redis origins: `true` lets the server tell every change of a loaded key, whoever makes it. SQL "
        "origins name a table, in the table below.",
        [](ConfigTarget& t, const TypedValue& v) {
          v.flag ? void(t.feature->watch.emplace()) : t.feature->watch.reset();
        },
        kNotReloaded, kOptional, kIsBuilt},
    ConfigKey{"features.*.watch", "table", T::kText, "",
              "The table whose changes, made by anyone, invalidate this feature.",
              feature_part<&FeatureConfig::watch, &WatchConfig::table>, kNotReloaded, kRequired, kIsBuilt},
    ConfigKey{"features.*.watch", "key", T::kText, "", "Its column that holds the key; several: \"a, b\".",
              feature_part<&FeatureConfig::watch, &WatchConfig::key>, kNotReloaded, kRequired, kIsBuilt},
    ConfigKey{
        "features.*.write_behind", "window", T::kDuration, "\"100ms\"",
        "How long the first write of a batch waits for others. Of each key the last one goes to the origin.",
        feature_part<&FeatureConfig::write_behind, &BatchingConfig::window>, kReloads},
    ConfigKey{"features.*.write_behind", "batch", T::kCount, "1000",
              "Keys in one transaction; so many are not waited for.",
              feature_part<&FeatureConfig::write_behind, &BatchingConfig::batch>, kNotReloaded, kOptional,
              kActive, "", 1, kBatchKeysMost},
    ConfigKey{"features.*.on_origin_failure", "serve_stale", T::kDuration, "",
              "How long past its expiry a value may be served, marked `degraded`, while the origin fails.",
              feature<&FeatureConfig::serve_stale>, kReloads, kRequired},
    ConfigKey{"features.*.warm", "keys", T::kTexts, "[]", "Keys to load.",
              feature_part<&FeatureConfig::warm, &WarmConfig::keys>},
    ConfigKey{
        "features.*.warm", "query", T::kText, "\"\"",
        "A statement whose rows name keys to load, the most important first; several columns are joined by "
        "`:`.",
        feature_part<&FeatureConfig::warm, &WarmConfig::query>},
    ConfigKey{"features.*.warm", "priority", T::kChoice, "\"rest\"",
              "`critical`: first, and `/readyz` waits for them; `hot`: as the last run's hot set; `rest`: "
              "after it.",
              feature_part<&FeatureConfig::warm, &WarmConfig::priority>, kNotReloaded, kOptional, kActive,
              "critical|hot|rest"},
    ConfigKey{"features.*.budget", "max_staleness", T::kDuration, "",
              "A read may show a value that was superseded at most this long ago …",
              feature_part<&FeatureConfig::budget, &BudgetConfig::max_staleness>, kNotReloaded, kRequired,
              kIsBuilt},
    ConfigKey{"features.*.budget", "stale_fraction", T::kFraction, "0.001",
              "… but for this fraction of reads.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::stale_fraction>, kNotReloaded, kOptional,
              kIsBuilt},
    ConfigKey{"features.*.budget", "window", T::kDuration, "\"30d\"",
              "The window over which the fraction is judged.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::window>, kNotReloaded, kOptional, kIsBuilt},
    ConfigKey{"features.*.budget", "sample", T::kFraction, "0.01",
              "Fraction of reads that is also checked against the origin itself.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::sample>, kNotReloaded, kOptional, kIsBuilt},
    ConfigKey{"features.*.budget", "impact", T::kText, "\"\"", "What a stale read does to people, in words.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::impact>, kNotReloaded, kOptional, kIsBuilt},
    ConfigKey{"features.*.budget", "owner", T::kText, "\"\"", "Who agreed to the budget.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::owner>, kNotReloaded, kOptional, kIsBuilt},
    ConfigKey{"features.*.budget", "control", T::kChoice, "\"advise\"",
              "`auto`: the controller may pull levers.",
              feature_part<&FeatureConfig::budget, &BudgetConfig::control>, kNotReloaded, kOptional, kIsBuilt,
              "advise|auto"},
};

}  // namespace

std::span<const ConfigSection> config_sections() { return kSections; }
std::span<const ConfigKey> config_keys() { return kKeys; }

std::string_view config_type_name(ConfigType type) {
  switch (type) {
    case T::kText:
      return "text";
    case T::kChoice:
      return "one of";
    case T::kDuration:
      return "duration";
    case T::kSize:
      return "size";
    case T::kCount:
      return "whole number";
    case T::kFraction:
      return "fraction 0 to 1";
    case T::kNumber:
      return "number";
    case T::kFlag:
      return "true or false";
    case T::kTexts:
      return "list of texts";
    case T::kAddress:
      return "HOST:PORT";
    case T::kUrl:
      return "URL";
  }
  return "";
}

}  // namespace candor::app
