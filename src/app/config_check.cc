#include "app/config_check.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "app/webhook_url.h"
#include "base/ids.h"
#include "base/units.h"
#include "cache/cache.h"
#include "origin/statement.h"
#include "tier/tags.h"

namespace candor::app {
namespace {

// Each gets every alert over a connection of its own.
constexpr std::size_t kWebhooksMax = 8;
constexpr double kRetryShareMost = 0.1;

class Checker {
 public:
  Checker(const Config& config, std::vector<Finding>& findings) : config_(config), findings_(findings) {}

  void run() {
    check_listeners();
    check_users();
    check_plain_feature();
    check_unbuilt_urls();
    check_alerts();
    check_controller();
    check_reconcile();
    check_capacity();
    check_warm();
    check_names_used();
    for (const FeatureConfig& feature : config_.features) check_feature(feature);
    check_inactive();
  }

 private:
  void add(Finding::Severity severity, int line, std::string key, std::string text) {
    findings_.push_back({severity, config_.file, line, std::move(key), std::move(text)});
  }
  // At the key's own line when the file names it, else at `fallback_line`.
  void error(const std::string& key, std::string text, int fallback_line = 0) {
    add(Finding::Severity::kError, line_of(key, fallback_line), key, std::move(text));
  }
  void warn(const std::string& key, std::string text, int fallback_line = 0) {
    add(Finding::Severity::kWarning, line_of(key, fallback_line), key, std::move(text));
  }
  [[nodiscard]] int line_of(const std::string& key, int fallback_line) const {
    const auto it = config_.values.find(key);
    return it != config_.values.end() && it->second.line > 0 ? it->second.line : fallback_line;
  }
  [[nodiscard]] bool is_given(const std::string& key) const { return line_of(key, 0) > 0; }

  void check_listeners() {
    const RespConfig& resp = config_.resp;
    check_reach("resp.listen", resp.listen);
    if (resp.tls_listen) {
      check_reach("resp.tls_listen", *resp.tls_listen);
      if (resp.tls_cert.empty())
        error("resp.tls_listen", "TLS needs a certificate; set tls_cert to a PEM file");
      if (resp.tls_key.empty())
        error("resp.tls_listen", "TLS needs a private key; set tls_key to a PEM file");
    } else if (!resp.tls_cert.empty() || !resp.tls_key.empty()) {
      warn(resp.tls_cert.empty() ? "resp.tls_key" : "resp.tls_cert", "has no effect without tls_listen");
    }
    check_distinct("http.listen", config_.http.listen, "resp.listen", resp.listen);
    if (resp.tls_listen) {
      check_distinct("resp.tls_listen", *resp.tls_listen, "resp.listen", resp.listen);
      check_distinct("resp.tls_listen", *resp.tls_listen, "http.listen", config_.http.listen);
    }
    if (!config_.http.listen.is_loopback())
      warn(
          "http.listen",
          "reachable from other machines: health, metrics, the dashboard, status, features and events are "
          "open to everyone there (names and numbers, no values; a Host header is no secret), only flush and "
          "invalidate need the admin token; the connection is not encrypted; keep it on loopback or behind a "
          "proxy that asks who it is");
  }

  void check_reach(const std::string& key, const ListenAddress& address) {
    if (address.is_loopback() || !config_.resp.users.empty() || !config_.resp.is_protected) return;
    error(
        key,
        fmt::format(
            "{} is reachable from other machines and anybody could connect; add [[resp.users]], or listen on "
            "127.0.0.1, or set protected = false",
            address.to_string()));
  }

  void check_distinct(const std::string& key, const ListenAddress& a, const std::string& other,
                      const ListenAddress& b) {
    if (a == b && a.port != 0)
      error(key, fmt::format("{} is also {}; give each its own port", a.to_string(), other),
            line_of(other, 0));
  }

  void check_users() {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < config_.resp.users.size(); ++i) {
      const UserConfig& user = config_.resp.users[i];
      const std::string at = fmt::format("resp.users[{}]", i);
      if (user.name.empty()) continue;  // reported as missing
      if (!seen.insert(user.name).second)
        error(at + ".name", fmt::format("\"{}\" is already a user; names are unique", user.name));
      if (!user.password_hash.starts_with("scrypt:"))
        error(at + ".password_hash", "not a password hash; paste what `candor hash-password` prints");
      for (const std::string& name : user.features)
        if (config_.find_feature(name) == nullptr)
          error(at + ".features", no_such("feature", name, feature_names()));
    }
  }

  void check_plain_feature() {
    const std::string& name = config_.resp.plain_feature;
    if (name.empty()) return;
    const FeatureConfig* feature = config_.find_feature(name);
    if (feature == nullptr)
      error("resp.plain_feature", no_such("feature", name, feature_names()));
    else if (!feature->is_plain())
      error(
          "resp.plain_feature",
          fmt::format("feature \"{}\" has an origin; only a feature with origin = \"none\" can take all keys",
                      name));
  }

  void check_unbuilt_urls() {
    if (config_.l2.url.starts_with("redis+cluster://"))
      error("l2.url", "redis+cluster:// is not built in yet; use redis://HOST:PORT/DB or memory:");
    for (const OriginConfig& origin : config_.origins)
      if (origin.url.starts_with("mariadb://"))
        error("origins." + origin.name + ".url",
              "mariadb:// is not built in yet; use sqlite:, postgresql:// or redis://");
    if (config_.l2.url == "none" || config_.l2.url == "memory:") {
      if (!config_.l2.password_file.empty())
        warn("l2.password_file", fmt::format("has no effect with url = \"{}\"", config_.l2.url));
      return;
    }
    if (is_given("l2.memory"))
      warn("l2.memory", "has no effect: it limits the memory: tier, and the shared store has its own limit");
  }

  void check_alerts() {
    const AlertsConfig& alerts = config_.alerts;
    if (alerts.webhook.size() > kWebhooksMax)
      error("alerts.webhook",
            fmt::format("{} addresses; at most {} are told: a cluster of Alertmanagers needs each of its "
                        "members once",
                        alerts.webhook.size(), kWebhooksMax));
    bool names_a_user = false;
    for (const std::string& url : alerts.webhook) {
      const auto target = parse_webhook_url(url);
      if (!target) error("alerts.webhook", target.error().message);
      names_a_user = names_a_user || url.find('@') != std::string::npos;
    }
    if (!alerts.password_file.empty() && !names_a_user)
      warn("alerts.password_file", "has no effect: no address names a user, such as http://USER@HOST:PORT");
    if (alerts.repeat < 1min)
      error("alerts.repeat",
            fmt::format("{} would fill the log; use 1m or more", format_duration(alerts.repeat)));
    if (alerts.refresh < 1s || alerts.refresh > 24h)
      error("alerts.refresh",
            fmt::format("{} is outside the limits; use 1s to 1d", format_duration(alerts.refresh)));
    if (!alerts.runbook.empty() && !alerts.runbook.starts_with("https://") &&
        !alerts.runbook.starts_with("http://"))
      error("alerts.runbook", "must be an address that a person can open, https://…");
  }

  void at_least(const char* key, Duration value, Duration least, const char* why) {
    if (value < least)
      error(key, fmt::format("{}: {}; use {} or more", format_duration(value), why, format_duration(least)));
  }

  void check_reconcile() {
    at_least("reconcile.period", config_.reconcile.period, 1s,
             "passes would follow each other without a pause");
  }

  void check_capacity() {
    at_least("capacity.half_life", config_.capacity.half_life, 1min, "too little would be counted");
    if (config_.capacity.share > 0.2)
      error("capacity.share", "more than a fifth of L1 for models of it; 0.01 is enough");
  }

  void check_warm() {
    const WarmingConfig& warm = config_.warm;
    at_least("warm.hot_set_period", warm.hot_set_period, 1s, "all the time would be spent on writing it");
    at_least("warm.query_timeout", warm.query_timeout, 1ms, "no query ends at once");
    if (warm.origin_share <= 0.0)
      error("warm.origin_share", "must be above 0; to warm nothing, name nothing and set hot_set = false");
    for (const std::string& peer : warm.peers)
      if (auto address = parse_listen_address(peer); !address || address->port == 0)
        error("warm.peers", fmt::format("\"{}\" is not HOST:PORT", peer));
    if (!warm.peers.empty() && warm.peer_token_file.empty())
      error("warm.peers", "their hot sets hold keys, and need their token; set peer_token_file");
    if (warm.peers.empty() && !warm.peer_token_file.empty())
      warn("warm.peer_token_file", "has no effect without peers");
    for (const FeatureConfig& feature : config_.features)
      if (feature.warm && feature.warm->keys.empty() && feature.warm->query.empty())
        warn("features." + feature.name + ".warm", "names nothing; give it keys or a query", feature.line);
  }

  void check_controller() {
    const ControllerConfig& c = config_.controller;
    at_least("controller.ttl_min", c.ttl_min, 1ms, "a ttl that short is no cache");
    at_least("controller.calm", c.calm, 1s, "what is pulled would be given back at once");
    at_least("controller.actions_window", c.actions_window, 1min, "it would limit nothing");
    if (c.headroom >= 1.0) error("controller.headroom", "1 leaves no lever that suffices; use less than 1");
    if (c.undo_measured <= 0.0)
      error("controller.undo_measured", "0 is never measured: nothing would be given back; use more than 0");
    if (c.headroom < 1.0 && c.undo_predicted >= 1.0 - c.headroom)
      error(
          "controller.undo_predicted",
          fmt::format("{} is not below 1 - headroom = {:.3g}: what was just pulled could be given back, and "
                      "be pulled again; use less",
                      c.undo_predicted, 1.0 - c.headroom));
  }

  void check_names_used() {
    for (const OriginConfig& origin : config_.origins) {
      const bool used = std::ranges::any_of(config_.features,
                                            [&](const FeatureConfig& f) { return f.origin == origin.name; });
      if (!used) warn("origins." + origin.name, "no feature uses this origin", origin.line);
      if (origin.retry_share > kRetryShareMost)
        error(
            "origins." + origin.name + ".retry_share",
            fmt::format("{} is above {}: when everything fails, more than that would be load that an origin "
                        "cannot bear",
                        origin.retry_share, kRetryShareMost));
    }
    if (config_.features.size() > FeatureId::kMax)
      error("features",
            fmt::format("{} features; at most {} are possible", config_.features.size(), FeatureId::kMax));
  }

  void check_feature(const FeatureConfig& f) {
    const std::string at = "features." + f.name;
    check_feature_origin(f, at);
    check_feature_times(f, at);
    check_tags(f, at + ".tags");
    if (f.consistency == Consistency::kBounded && !f.budget)
      error(at + ".consistency",
            fmt::format("bounded needs a bound; add [features.{}.budget] with max_staleness", f.name));
    const bool needs_proof = f.consistency == Consistency::kBounded || f.consistency == Consistency::kStrong;
    if (needs_proof && !f.watch && !f.is_plain())
      warn(at + ".consistency",
           "without `watch` nothing can be proven of a cached value: every read goes to the origin; add "
           "watch");
    if (f.write == "behind") check_behind(f, at + ".write");
    if (f.budget) check_budget(f, *f.budget, at + ".budget");
  }

  // Why each of these cannot be: docs/write-behind.md.
  void check_behind(const FeatureConfig& f, const std::string& key) {
    if (f.is_plain())
      return error(key, "a plain feature (origin = \"none\") has no origin to write to later; remove it");
    const OriginConfig* origin = config_.find_origin(f.origin);
    if (origin != nullptr && (origin->url.starts_with("redis:") || origin->url.starts_with("rediss:")))
      return error(
          key,
          "a Redis origin has no transaction that holds a batch and the log's position and survives a crash: "
          "writes could be applied twice; use write = \"through\"");
    if (f.store.empty() && f.erase.empty())
      return error(key, "the feature has neither `store` nor `erase`: there is nothing to write");
    if (f.consistency == Consistency::kStrong || f.consistency == Consistency::kOrigin)
      return error(
          key,
          fmt::format("a write is acknowledged before the origin has it, so that a reader on another node "
                      "would not see it, which consistency = \"{}\" promises; use \"session\" or "
                      "\"bounded\", or write = \"through\"",
                      consistency_name(f.consistency)));
    if (f.consistency == Consistency::kBounded && !f.watch)
      return error(
          key,
          "consistency = \"bounded\" without `watch` reads the origin every time, where pending writes are "
          "not yet; add watch, or use write = \"through\"");
    if (f.batching().window > 1min)
      warn(key, fmt::format("with window = {} other nodes see a write that much later",
                            format_duration(f.batching().window)));
  }

  void check_feature_origin(const FeatureConfig& f, const std::string& at) {
    if (f.origin.empty()) return;  // reported as missing
    if (f.is_plain()) {
      refuse_on_plain(f, at);
      return;
    }
    const OriginConfig* origin = config_.find_origin(f.origin);
    if (origin == nullptr) {
      error(at + ".origin", no_such("origin", f.origin, origin_names()), f.line);
      return;
    }
    const bool is_redis = origin->url.starts_with("redis://") || origin->url.starts_with("rediss://");
    const bool is_postgres = origin->url.starts_with("postgres");
    if (f.watch) check_watch(f, at, is_redis);
    if (!is_redis) check_statements(f, at, is_postgres ? SqlDialect::kPostgres : SqlDialect::kSqlite);
    if (!f.load_many.empty() && !is_postgres)
      error(at + ".load_many",
            fmt::format(
                "origin \"{}\" is not PostgreSQL; loads that miss together are batched there without it",
                origin->name));
  }

  void check_watch(const FeatureConfig& f, const std::string& at, bool is_redis) {
    const bool names_a_table = !f.watch->table.empty() || !f.watch->key.empty();
    if (is_redis && names_a_table)
      error(at + ".watch", "a Redis origin has no tables; write watch = true", f.line);
    if (!is_redis && !names_a_table && is_given(at + ".watch"))
      error(
          at + ".watch",
          "true is for Redis origins; name the rows, such as watch = { table = \"profile\", key = \"id\" }");
    if (is_redis && config_.l2.url.starts_with("redis"))
      warn(at + ".watch",
           "the feature stays out of the shared L2: what a node hears from Redis is in the order of its own "
           "connection, which other nodes cannot compare; each node loads from Redis itself");
  }

  void refuse_on_plain(const FeatureConfig& f, const std::string& at) {
    for (const char* key : {"load", "load_many", "store", "erase"})
      if (is_given(at + "." + key))
        error(at + "." + key,
              "a plain feature (origin = \"none\") has no statements; remove it or name an origin");
    if (f.watch)
      error(at + ".watch",
            "a plain feature (origin = \"none\") has no table to watch; remove it or name an origin", f.line);
    if (f.budget)
      error(at + ".budget.max_staleness",
            "a plain feature (origin = \"none\") has no authority to be staler than; remove the budget",
            f.budget->line);
    if (f.serve_stale > Duration::zero())
      error(at + ".on_origin_failure.serve_stale",
            "a plain feature (origin = \"none\") has no origin that can fail; remove it");
  }

  void check_statements(const FeatureConfig& f, const std::string& at, SqlDialect dialect) {
    for (const StatementFault& fault :
         find_statement_faults({f.name, f.load, f.load_many, f.store, f.erase}, dialect)) {
      if (fault.role == StatementRole::kLoad && f.load.empty()) {
        error(
            at + ".load",
            "missing; write the statement that reads one key, such as \"select body from profile where id = "
            ":key\"",
            f.line);
      } else {
        error(fmt::format("{}.{}", at, statement_role_name(fault.role)), "the statement " + fault.what);
      }
    }
  }

  void check_tags(const FeatureConfig& f, const std::string& at) {
    if (f.tags.empty()) return;
    if (f.is_plain())
      return error(
          at,
          "a plain feature (origin = \"none\") is the home of its values: a tag would drop what nothing "
          "can load again; remove it, or use CANDOR.INVALIDATE FEATURE");
    if (f.tags.size() > TagPattern::kTagsMax)
      error(at, fmt::format("{} tags; a feature has at most {}", f.tags.size(), TagPattern::kTagsMax));
    std::set<std::string> seen;
    const unsigned columns = key_columns(f, config_.find_origin(f.origin));
    for (const std::string& text : f.tags) {
      const auto pattern = TagPattern::parse(text);
      if (!pattern)
        error(at, fmt::format("\"{}\": {}", text, pattern.error().message));
      else if (pattern->columns() > columns)
        error(at, fmt::format("\"{}\" names column {} of the key, which has {} ({})", text,
                              pattern->columns(), columns, "`:key1`, `:key2` … in load make more"));
      else if (!seen.insert(text).second)
        error(at, fmt::format("\"{}\" is there twice", text));
    }
  }

  void check_feature_times(const FeatureConfig& f, const std::string& at) {
    if (!f.is_plain() && f.ttl == Duration::zero())
      error(at + ".ttl", "0 would cache nothing; set a ttl, or consistency = \"origin\" to bypass the cache");
    if (!f.is_plain() && f.ttl > Duration::zero() && f.ttl < 1ms)
      error(at + ".ttl", "shorter than the cache's clock, 1ms; use 1ms or more");
    if (!f.is_plain() && is_given(at + ".negative_ttl") && f.negative_ttl > f.ttl)
      error(
          at + ".negative_ttl",
          fmt::format("{} is longer than ttl = {}; a missing row cannot be trusted longer than a present one",
                      format_duration(f.negative_ttl), format_duration(f.ttl)));
    if (f.hard_timeout == Duration::zero())
      error(at + ".hard_timeout", "0 would fail every read; set a time such as \"5s\"");
    if (f.lease_ttl == Duration::zero())
      error(at + ".lease_ttl", "0 would let every node load the same key; set a time such as \"3s\"");
    if (f.soft_timeout == Duration::zero()) return;
    if (f.soft_timeout >= f.hard_timeout)
      error(at + ".soft_timeout",
            fmt::format("{} is not shorter than hard_timeout = {}; it would never act",
                        format_duration(f.soft_timeout), format_duration(f.hard_timeout)));
    if (f.serve_stale == Duration::zero())
      warn(at + ".soft_timeout",
           "has no effect without on_origin_failure = { serve_stale = … }: there is no old value to serve");
  }

  void check_budget(const FeatureConfig& f, const BudgetConfig& budget, const std::string& at) {
    if (!is_given(at + ".max_staleness")) return;  // reported as missing
    if (budget.window < 1min)
      error(
          at + ".window",
          fmt::format("{} is too short to judge a fraction; use 1m or more", format_duration(budget.window)),
          budget.line);
    if (budget.max_staleness >= budget.window)
      error(at + ".max_staleness",
            fmt::format("impossible budget: max_staleness {} is not shorter than window {}, so no read could "
                        "ever be too stale",
                        format_duration(budget.max_staleness), format_duration(budget.window)));
    const bool by_ttl_alone = f.consistency == Consistency::kEventual && !f.watch;
    if (by_ttl_alone && budget.stale_fraction == 0 && f.ttl > budget.max_staleness)
      error(at + ".stale_fraction",
            fmt::format("impossible budget: no read may be staler than {}, but without watch only ttl = {} "
                        "ends an old value; shorten the "
                        "ttl, add watch, allow a fraction, or use consistency = \"bounded\"",
                        format_duration(budget.max_staleness), format_duration(f.ttl)));
    if (f.consistency == Consistency::kBounded && budget.stale_fraction > 0 &&
        is_given(at + ".stale_fraction"))
      warn(at + ".stale_fraction",
           "consistency = \"bounded\" lets no read exceed max_staleness; the fraction has no effect");
  }

  // What is understood and checked but not used yet, named once each.
  void check_inactive() {
    const bool watches =
        std::ranges::any_of(config_.features, [](const FeatureConfig& f) { return f.watch.has_value(); });
    if (config_.stream && config_.stream->url == "memory:" && !watches)
      warn("stream.url",
           "no feature has `watch`, so that no change is ever sent on it; this section has no effect", 0);
    for (const FeatureConfig& f : config_.features) {
      if (f.warm && f.is_plain())
        warn("features." + f.name + ".warm", "has no effect: there is no origin to load from", f.line);
    }
  }

  [[nodiscard]] std::vector<std::string_view> feature_names() const {
    std::vector<std::string_view> names;
    for (const auto& f : config_.features) names.emplace_back(f.name);
    return names;
  }
  [[nodiscard]] std::vector<std::string_view> origin_names() const {
    std::vector<std::string_view> names;
    for (const auto& o : config_.origins) names.emplace_back(o.name);
    names.emplace_back("none");
    return names;
  }
  static std::string no_such(std::string_view what, std::string_view name,
                             const std::vector<std::string_view>& names) {
    const std::string near = closest_name(name, names);
    if (!near.empty()) return fmt::format("no {} is named \"{}\"; did you mean \"{}\"?", what, name, near);
    return fmt::format("no {} is named \"{}\"; add [{}s.{}]", what, name, what, name);
  }

  const Config& config_;
  std::vector<Finding>& findings_;
};

}  // namespace

void check_config(const Config& config, std::vector<Finding>& findings) { Checker(config, findings).run(); }

}  // namespace candor::app
