#include "app/river.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "bus/make_stream.h"
#include "bus/memory_stream.h"
#include "change/postgres_feed.h"
#include "change/redis_feed.h"
#include "change/sqlite_feed.h"
#include "origin/postgres_origin.h"
#include "origin/sqlite_origin.h"

namespace candor::app {

namespace {

Result<std::unique_ptr<Feed>> make_redis_feed(const Config& config, const OriginConfig& origin,
                                              const River::World& world, Origin* at_work) {
  auto* redis = dynamic_cast<RedisOrigin*>(at_work);
  if (redis == nullptr) return std::unique_ptr<Feed>();
  RedisFeedOptions options;
  options.origin = origin.name;
  for (const FeatureConfig& feature : config.features) {
    if (feature.origin != origin.name || !feature.watch) continue;
    auto pattern = KeyPattern::parse(feature.name, "load", feature.load.empty() ? "{key}" : feature.load);
    if (!pattern) return std::unexpected(std::move(pattern.error()));
    options.watches.push_back({feature.name, std::move(*pattern)});
  }
  return std::make_unique<RedisFeed>(world.home, world.clock, redis, std::move(options));
}

Result<std::unique_ptr<Feed>> make_feed(const Config& config, const OriginConfig& origin,
                                        const River::World& world, const std::string& node, Origin* at_work) {
  std::unique_ptr<Feed> feed;
  if (origin.url.starts_with("sqlite:")) {
    auto file = parse_sqlite_url(origin.name, origin.url);
    if (!file) return std::unexpected(std::move(file.error()));
    SqliteLogOptions options;
    options.file = std::move(*file);
    const bool is_alone = !config.stream || config.stream->url == "memory:";
    options.reader = is_alone ? config.node.region + "/" + node : config.node.region;
    options.watches = watches_of(config, origin.name);
    options.install_command = "candor feed install " + config.file;
    options.holder = world.entropy->next_seed();
    auto made = std::make_unique<SqliteFeed>(world.home, world.home, world.pool, std::move(options));
    if (auto* sqlite = dynamic_cast<SqliteOrigin*>(at_work))
      sqlite->on_written([home = world.home, feed = made.get()] { home->post([feed] { feed->wake(); }); });
    feed = std::move(made);
  } else if (origin.url.starts_with("postgres")) {
    auto target = parse_postgres_url(origin.name, origin.url);
    if (!target) return std::unexpected(std::move(target.error()));
    PostgresFeedOptions options;
    options.region = config.node.region;
    options.origin = origin.name;
    options.watches = watches_of(config, origin.name);
    feed = std::make_unique<PostgresFeed>(std::move(*target), std::move(options), *world.home, *world.home,
                                          *world.pool, *world.entropy);
  } else if (origin.url.starts_with("redis")) {
    return make_redis_feed(config, origin, world, at_work);
  }
  return feed;
}

}  // namespace

struct River::LocalRiver {
  L2Known l2_known;  // nothing: these changes go past L2
  std::unique_ptr<Applier> applier;
  std::unique_ptr<MemoryStream> stream;  // goes first: it calls the applier
};

std::vector<Watch> watches_of(const Config& config, const std::string& origin) {
  std::vector<Watch> watches;
  for (const FeatureConfig& feature : config.features) {
    if (feature.origin == origin && feature.watch)
      watches.push_back(Watch{feature.name, feature.watch->table, watch_columns(*feature.watch)});
  }
  return watches;
}

std::vector<std::string> watch_columns(const WatchConfig& watch) {
  std::vector<std::string> columns;
  for (std::size_t at = 0; at <= watch.key.size();) {
    const std::size_t comma = std::min(watch.key.find(',', at), watch.key.size());
    std::string_view one = std::string_view(watch.key).substr(at, comma - at);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    columns.emplace_back(one);
    at = comma + 1;
  }
  return columns;
}

Result<std::unique_ptr<River>> River::open(const Config& config, const World& world, const std::string& node,
                                           L2* l2, ChangeTarget* target,
                                           const std::vector<NamedOrigin>& origins) {
  std::unique_ptr<River> river(new River);
  MakeStreamOptions stream;
  stream.region = config.node.region;
  const StreamWorld stream_world{world.home, world.home, world.pool, world.entropy->next_seed()};
  auto made = make_stream(config.stream ? config.stream->url : "memory:", stream, stream_world);
  if (!made) return std::unexpected(std::move(made.error()));
  river->stream_ = std::move(*made);
  ApplierOptions applier = applier_options(config, world, node);
  applier.tell_feed = [river = river.get()](const std::string& origin, Incarnation lost,
                                            const std::string& reason) {
    for (const Source& source : river->sources_)
      if (source.name == origin) source.feed->history_lost(lost, reason);
  };
  river->applier_ = std::make_unique<Applier>(world.home, world.clock, river->stream_.get(), target, applier,
                                              &river->l2_known_);
  for (const NamedOrigin& origin : origins) {
    const OriginConfig* settings = config.find_origin(origin.name);
    if (settings == nullptr || watches_of(config, origin.name).empty()) continue;
    auto feed = make_feed(config, *settings, world, node, origin.origin);
    if (!feed) return std::unexpected(std::move(feed.error()));
    if (*feed == nullptr) continue;
    PublisherOptions publisher;
    publisher.origin = origin.name;
    const bool is_local = origin.origin->has_local_order();
    if (is_local) river->open_local(world, target, applier);
    LocalRiver* const local = is_local ? river->local_.get() : nullptr;
    Applier* const applies = is_local ? local->applier.get() : river->applier_.get();
    applies->watch(origin.name, origin.origin);
    river->listen_for_history(origin, applies);
    RegionStream* const stream_of_it = is_local ? local->stream.get() : river->stream_.get();
    Source source{origin.name, std::move(*feed), nullptr};
    publisher.seed = world.entropy->next_seed();
    publisher.probe_period = applier.probe_period;
    source.publisher = std::make_unique<Publisher>(world.home, world.clock, source.feed.get(), stream_of_it,
                                                   is_local ? nullptr : l2, origin.origin, publisher,
                                                   is_local ? &local->l2_known : &river->l2_known_);
    river->sources_.push_back(std::move(source));
  }
  return river;
}

ApplierOptions River::applier_options(const Config& config, const World& world, const std::string& node) {
  ApplierOptions options;
  options.node = node;
  options.process = world.entropy->next_seed();
  options.tell_floor = world.tell_floor;
  options.writes = world.writes;
  // A quarter of the tightest bound, so that a proof is rarely older than half of it.
  for (const FeatureConfig& feature : config.features) {
    if (feature.watch && feature.consistency == Consistency::kBounded && feature.budget)
      options.probe_period =
          std::clamp<Duration>(feature.budget->max_staleness / 4, 10ms, options.probe_period);
  }
  return options;
}

void River::open_local(const World& world, ChangeTarget* target, const ApplierOptions& options) {
  if (local_ != nullptr) return;
  local_ = std::make_unique<LocalRiver>();
  auto log = std::make_shared<MemoryLog>(MemoryLog::Options{}, world.entropy->next_seed());
  local_->stream = std::make_unique<MemoryStream>(world.home, std::move(log));
  local_->applier = std::make_unique<Applier>(world.home, world.clock, local_->stream.get(), target, options);
}

// What the feed will say as well, when it has its connection back; loads are often quicker.
void River::listen_for_history(const NamedOrigin& origin, Applier* applier) {
  auto* const postgres = dynamic_cast<PostgresOrigin*>(origin.origin);
  if (postgres == nullptr) return;
  postgres->on_history_lost([applier, name = origin.name](const PostgresHistory::Verdict& lost) {
    spdlog::warn("origin {}: this is not the history that was read before: {}; nothing loaded from it counts",
                 name, lost.reason);
    applier->lose_history(name, lost.reason, !lost.slots_stayed);
  });
  heard_.push_back(postgres);
}

River::~River() {
  for (PostgresOrigin* origin : heard_) origin->on_history_lost(nullptr);
  // Whoever calls goes before what is called.
  for (Source& source : sources_) source.feed.reset();
  sources_.clear();
  stream_.reset();
  applier_.reset();
  local_.reset();
}

void River::start() {
  applier_->start();
  if (local_ != nullptr) local_->applier->start();
  for (Source& source : sources_) source.publisher->start();
}

void River::stop() {
  applier_->stop();
  if (local_ != nullptr) local_->applier->stop();
  for (Source& source : sources_) source.feed->stop();
}

RiverReport River::report(bool with_lags) const {
  RiverReport report;
  report.is_built = true;
  report.stream = stream_->describe();
  report.bus = stream_->status();
  report.applier = applier_->status();
  if (local_ != nullptr) {
    ApplierStatus local = local_->applier->status();
    for (AppliedOrigin& origin : local.origins) report.applier.origins.push_back(std::move(origin));
    if (report.applier.problem.empty()) report.applier.problem = std::move(local.problem);
  }
  for (const Source& source : sources_) {
    RiverOrigin& one = report.origins.emplace_back();
    one.name = source.name;
    one.description = source.feed->describe();
    one.feed = source.feed->status();
    one.publisher = source.publisher->status();
    for (const AppliedOrigin& applied : report.applier.origins)
      if (applied.name == source.name) one.applied = applied;
    if (!with_lags) continue;
    const Publisher::Lags& lags = source.publisher->lags();
    one.lag.feed = lags.feed.snapshot();
    one.lag.l2 = lags.l2.snapshot();
    one.lag.append = lags.append.snapshot();
    const ChangeLag* applied = applier_->lag(source.name);
    if (applied == nullptr && local_ != nullptr) applied = local_->applier->lag(source.name);
    if (applied != nullptr) one.lag.applied = applied->snapshot();
  }
  return report;
}

River::Stages River::stages(std::string_view origin, Position position) const {
  for (const Source& source : sources_) {
    if (source.name != origin) continue;
    const Publisher::Lags& lags = source.publisher->lags();
    return {lags.feed.when(position), lags.l2.when(position), lags.append.when(position)};
  }
  return {};
}

}  // namespace candor::app
