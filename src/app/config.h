// The configuration of one node: a TOML file turned into plain structs, strictly, with every finding at its
// line.
//
// Everything a key is (type, default, meaning, whether it can change while running) stands in one table,
// config_keys(); defaults are applied from it, and docs/configuration.md is printed from it.
//
// Invariants
//   - A Config handed out without errors is complete: references resolve, limits are possible, secrets are
//   in.
//   - No finding, no `values` text and no reference output holds a password.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "budget/workload.h"
#include "cache/feature.h"
#include "tier/l1/store.h"

namespace candor::app {

struct ListenAddress {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};
// "127.0.0.1:6390", "[::1]:6390", "localhost:6390". Port 0 asks the system for a free one.
[[nodiscard]] Result<ListenAddress> parse_listen_address(std::string_view text);

struct NodeConfig {
  std::string name;  // empty: the host's name
  std::string region;
  std::string data_dir;
  Duration drain_timeout{0};
  Duration ready_patience{0};
  std::string log_level;
};

struct UserConfig {
  std::string name;
  std::string password_hash;
  std::vector<std::string> rights;    // read, write, admin
  std::vector<std::string> features;  // empty: all
};

struct RespConfig {
  ListenAddress listen;
  std::optional<ListenAddress> tls_listen;
  std::string tls_cert, tls_key;
  unsigned threads = 0;  // 0: one for each core
  std::string plain_feature;
  bool is_protected = true;
  unsigned connections_max = 0;
  std::uint64_t output_max = 0;
  unsigned pending_max = 0;
  Duration idle_timeout{0};
  Duration auth_timeout{0};
  Duration command_timeout{0};
  Duration output_timeout{0};
  std::vector<UserConfig> users;
};

struct HttpConfig {
  ListenAddress listen;
  std::vector<std::string> hosts;
  unsigned event_clients_max = 0;
};

struct L1Config {
  std::uint64_t memory = 0;
  l1::PolicyKind policy = l1::PolicyKind::kDefault;
};

struct DiskConfig {
  std::string path;
  std::uint64_t size = 0, memory = 0;
  std::uint64_t write_rate = 0;  // bytes a second
};

struct L2Config {
  std::string url;
  std::string password_file;
  std::uint64_t memory = 0;
  std::uint64_t compress_above = 0;
  std::string prefix;
  Duration timeout{0};
  Duration connect_timeout{0};
};

struct StreamConfig {
  std::string url;
};

// [reconcile]: the sweep of this node.
struct ReconcileConfig {
  unsigned rate = 0;
  Duration period{0};
};

// [capacity]: curves, and the process's memory.
struct CapacityConfig {
  double share = 0;  // of L1; 0: no curves
  Duration half_life{0};
  std::uint64_t process_memory = 0;  // 0: as the system says
};

// [warm]: how this node is warmed; what, its features say.
struct WarmingConfig {
  bool hot_set = true;
  Duration hot_set_period{0}, query_timeout{0}, ready_within{0};
  std::uint64_t keys_max = 0;
  double origin_share = 0, ready_hit_rate = 0;
  std::vector<std::string> peers;
  std::string peer_token_file;
  std::string peer_token;  // what the file holds
};

struct AlertsConfig {
  std::vector<std::string> webhook;  // passwords are in
  std::string password_file;
  std::string runbook;
  Duration repeat{0}, refresh{0};
};

// [controller]: what levers may do on this node, for all features together.
struct ControllerConfig {
  double added_loads_max = 0, added_loads_share = 0, origin_reads_max = 0;
  Duration ttl_min{0}, write_wait_max{0}, batch_max{0};
  Duration outside_for{0}, cooldown{0}, calm{0}, actions_window{0}, advice_period{0};
  unsigned actions_max = 0;
  double headroom = 0, undo_predicted = 0, undo_measured = 0;
};

struct OriginConfig {
  std::string name;
  int line = 0;
  std::string url;
  std::string password_file;
  unsigned max_concurrency = 0;
  unsigned waiting_max = 0;
  unsigned connections_max = 0;
  unsigned repair_rate = 0;
  bool adaptive_concurrency = true;
  unsigned min_concurrency = 0;
  bool breaker = true;
  double retry_share = 0;
  Duration connect_timeout{0}, statement_timeout{0};
};

struct WatchConfig {
  std::string table, key;  // empty: `watch = true`, for a Redis origin, whose keys need no naming
};

struct WarmConfig {
  std::vector<std::string> keys;
  std::string query;
  std::string priority;
};

// [write_behind]: of every feature's log on this node.
struct WriteBehindConfig {
  enum class Fsync : std::uint8_t { kAlways, kInterval } fsync = Fsync::kAlways;
  Duration fsync_interval{0};
  std::uint64_t keys_max = 0;
  std::uint64_t bytes_max = 0, log_max = 0;
  Duration age_max{0};
};

// [features.*.write_behind]
struct BatchingConfig {
  Duration window = 100ms;
  std::uint64_t batch = 1000;
};

struct BudgetConfig {
  int line = 0;
  Duration max_staleness{0};
  double stale_fraction = 0;
  Duration window{0};
  double sample = 0;
  std::string impact, owner, control;
};

struct FeatureConfig {
  std::string name;
  int line = 0;
  std::string origin;
  std::string load, load_many, store, erase;
  std::optional<WatchConfig> watch;
  std::vector<std::string> tags;
  Consistency consistency = Consistency::kSession;
  Priority priority = Priority::kNormal;
  Duration ttl{0}, negative_ttl{0}, soft_timeout{0}, hard_timeout{0}, lease_ttl{0}, serve_stale{0};
  double ttl_jitter = 0, refresh_beta = 0;
  std::string write;
  std::optional<BatchingConfig> write_behind;
  std::optional<WarmConfig> warm;
  std::optional<BudgetConfig> budget;
  [[nodiscard]] bool is_plain() const { return origin == "none"; }
  [[nodiscard]] BatchingConfig batching() const { return write_behind.value_or(BatchingConfig{}); }
};

struct ConfigKey;

// One key's value in force, as text; `line` 0 means that it is the default.
struct ConfigValue {
  std::string text;
  int line = 0;
  const ConfigKey* key = nullptr;
};

struct Config {
  std::string file;
  NodeConfig node;
  RespConfig resp;
  HttpConfig http;
  L1Config l1;
  std::optional<DiskConfig> disk;
  L2Config l2;
  std::optional<StreamConfig> stream;
  WriteBehindConfig write_behind;
  ReconcileConfig reconcile;
  CapacityConfig capacity;
  WarmingConfig warm;
  AlertsConfig alerts;
  ControllerConfig controller;
  std::vector<OriginConfig> origins;
  std::vector<FeatureConfig> features;
  std::map<std::string, ConfigValue, std::less<>> values;  // "features.profile.ttl" and so on

  [[nodiscard]] const OriginConfig* find_origin(std::string_view name) const;
  [[nodiscard]] const FeatureConfig* find_feature(std::string_view name) const;
};

struct Finding {
  enum class Severity : std::uint8_t { kError, kWarning } severity = Severity::kError;
  std::string file;
  int line = 0;     // 0: the file as a whole
  std::string key;  // empty: the file as a whole
  std::string text;
  [[nodiscard]] bool is_error() const { return severity == Severity::kError; }
  // "candor.toml:12: features.profile.ttl: what is wrong; what to do"
  [[nodiscard]] std::string to_string() const;
};

struct ConfigReading {
  Config config;
  std::vector<Finding> findings;  // by line
  [[nodiscard]] bool has_errors() const;
};

// Pure: `file` is only named in findings. Password files are not read.
[[nodiscard]] ConfigReading read_config_text(std::string_view text, std::string file);
// Reads the file only: for whoever connects to nothing, on a machine that need not have the secrets.
[[nodiscard]] ConfigReading read_config_without_secrets(const std::string& path);
// Reads the file and the password files that it names.
[[nodiscard]] ConfigReading read_config_file(const std::string& path);

// The policy that a feature runs under. `bounded` and `strong` without `watch` become `origin`: of what
// nobody hears changes of, nothing can be proven, and reading the origin is the one way to keep their
// promise.
[[nodiscard]] FeaturePolicy feature_policy(const FeatureConfig& feature);

[[nodiscard]] Budget budget_of(const BudgetConfig& config);
// May the controller gather writes of this feature, which its owner has them go through? Its owner says so by
// `write_behind = { … }` beside `control = "auto"`, and nothing stands in the way. Empty: yes; else part of a
// sentence.
[[nodiscard]] std::string why_not_gathered(const FeatureConfig& feature, const OriginConfig* origin);

// How many columns a key of the feature has: as many as its `load` names with :key1, :key2 … Else one.
[[nodiscard]] std::uint8_t key_columns(const FeatureConfig& feature, const OriginConfig* origin);

// "postgresql://app:***@db/shop"
[[nodiscard]] std::string mask_password(std::string_view url);
[[nodiscard]] std::string with_password(std::string_view url, std::string_view password);

// What a reload may do: the difference of two configurations, key by key. A feature or an origin that comes
// or goes is one change, and so is a feature whose values begin or cease to have an origin: what else is
// written there has no effect before the restart that it needs.
struct ConfigChange {
  std::string key;
  std::string before, after;  // masked; empty: was not, or is no longer, there
  bool applies_now = false;   // false: needs a restart
  enum class Kind : std::uint8_t { kValue, kAdded, kRemoved, kRebound } kind = Kind::kValue;
  // The line for the log, without "reload: ".
  [[nodiscard]] std::string to_string() const;
};
[[nodiscard]] std::vector<ConfigChange> compare_configs(const Config& before, const Config& after);
// Takes over what a reload may change in a feature: the keys that config_keys() calls reloadable. All others
// (origin, statements, sections that are not read yet) stay as they were bound.
void adopt_reloadable(FeatureConfig& held, const FeatureConfig& fresh);

// docs/configuration.md, from the table.
[[nodiscard]] std::string config_reference();

// The closest of `names` when it is close enough to be a slip of the finger; empty otherwise.
[[nodiscard]] std::string closest_name(std::string_view wrong, const std::vector<std::string_view>& names);

}  // namespace candor::app
