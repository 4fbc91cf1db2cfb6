#include "app/warming.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "app/blocking_client.h"
#include "base/units.h"

namespace candor::app {
namespace {

using warm::WarmClass;
using warm::WarmItem;

// A query that could not be asked, because the origin is away or has no room, is asked again after that.
constexpr Duration kQueryAgain = 1s;
// A peer that is slow to read its file must not hold up the end of a run.
constexpr Duration kPeerTimeout = 10s;

Result<std::string> ask_peer(const std::string& peer, const std::string& token) {
  auto answer = http_post(peer, "/api/v1/hot-set", token, "{}", kPeerTimeout);
  if (!answer) return fail(ErrorCode::kUnavailable, "it does not answer");
  if (answer->status != 200)
    return fail(ErrorCode::kUnavailable, fmt::format("it answers with status {}", answer->status));
  return std::move(answer->body);
}

WarmClass class_of(std::string_view priority) {
  if (priority == "critical") return WarmClass::kCritical;
  return priority == "hot" ? WarmClass::kHot : WarmClass::kRest;
}

double tightness(const FeatureConfig& feature) {
  return feature.budget ? warm::tightness_of(feature.budget->stale_fraction) : 1.0;
}

std::uint64_t reads_of(const Feature& feature) {
  const FeatureCounters& c = feature.counters;
  return c.hits_l1.value() + c.negative_hits.value() + c.hits_disk.value() + c.reads_l2.value() +
         c.reads_origin.value();
}

}  // namespace

// Items on their way to the Warmer, a few in each turn.
struct Warming::Handing {
  std::size_t source = 0;
  std::vector<WarmItem> items;
  std::size_t done = 0;
  std::string problem;
  bool is_the_origins = false;
};

Warming::Warming(const Config& config, World world)
    : config_(config.warm),
      world_(std::move(world)),
      reads_(world_.features->size()),
      warmer_(warmer_world(config)) {
  if (world_.keeps_hot_set && config_.hot_set)
    hot_set_ = std::make_unique<HotSetFile>(config.node.data_dir, config_.keys_max, &world_.cache->l1(),
                                            world_.pool, world_.clock, world_.log);
  ready_until_ = world_.clock->now() + config_.ready_within;
  rates_at_ = world_.clock->now();
  next_save_ = rates_at_ + config_.hot_set_period;
}

Warming::~Warming() { *alive_ = false; }

warm::Warmer::World Warming::warmer_world(const Config& config) {
  warm::Warmer::World world;
  world.home = world_.home;
  world.features = world_.features->size();
  for (const NamedOrigin& origin : world_.origins) {
    const double share = config_.origin_share * origin.max_concurrency;
    world.lanes.push_back({origin.name, std::max(1U, static_cast<unsigned>(share))});
  }
  std::vector<std::size_t> batches;
  for (const FeatureConfig& feature : *world_.features) {
    // PostgreSQL loads many keys in one statement where the feature says how; the others gather them anyway.
    const OriginConfig* origin = config.find_origin(feature.origin);
    const bool is_postgres = origin != nullptr && origin->url.starts_with("postgres");
    batches.push_back(is_postgres && feature.load_many.empty() ? 1 : warm::Warmer::kBatchMax);
  }
  world.batch_of = [batches = std::move(batches)](FeatureId id) { return batches[id.value]; };
  world.lane_of = [this](FeatureId id) { return origin_of(id); };
  world.load = [this](FeatureId id, std::string key, CacheCore::WarmDone done) {
    world_.cache->warm(id, std::move(key), std::move(done));
  };
  world.health = [this](std::size_t lane) {
    const OriginStats stats = world_.origins[lane].origin->stats();
    if (!stats.connected) return warm::Warmer::Health::kAway;
    return stats.waiting > 0 ? warm::Warmer::Health::kBusy : warm::Warmer::Health::kWell;
  };
  world.is_full = [this] {
    const l1::StoreStats stats = world_.cache->l1().stats();
    return static_cast<double>(stats.bytes_used) >= kFull * static_cast<double>(stats.memory_limit);
  };
  world.ended = [this] { say_end(); };
  return world;
}

bool Warming::is_warmable(FeatureId id) const {
  return id.value < world_.features->size() && !(*world_.features)[id.value].is_plain();
}

std::size_t Warming::origin_of(FeatureId id) const {
  const auto it = std::ranges::find(world_.origins, (*world_.features)[id.value].origin, &NamedOrigin::name);
  return static_cast<std::size_t>(it - world_.origins.begin());
}

// ---- sources ----

void Warming::start() {
  open_hot_set();
  open_peers();
  std::vector<std::vector<Query>> queries(world_.origins.size());
  for (std::size_t i = 0; i < world_.features->size(); ++i)
    open_declared(FeatureId{static_cast<std::uint16_t>(i)}, &queries);
  ask_queries(std::move(queries));
}

void Warming::open_declared(FeatureId id, std::vector<std::vector<Query>>* queries) {
  const FeatureConfig& feature = (*world_.features)[id.value];
  if (!feature.warm || !is_warmable(id)) return;
  const WarmClass of = class_of(feature.warm->priority);
  if (!feature.warm->keys.empty())
    hand(warmer_.open_source(fmt::format("keys of {}", feature.name), of), items_of(id, feature.warm->keys));
  if (!feature.warm->query.empty()) {
    const std::size_t source = warmer_.open_source(fmt::format("query of {}", feature.name), of);
    (*queries)[origin_of(id)].push_back({source, id, feature.warm->query});
  }
}

void Warming::ask_queries(std::vector<std::vector<Query>> queries) {
  for (std::size_t origin = 0; origin < queries.size(); ++origin)
    if (!queries[origin].empty()) spawn(run_queries(origin, std::move(queries[origin])));
}

// Was it the origin's state, and not the query?
bool Warming::may_be_asked_again(const Error& error, std::size_t origin) const {
  switch (error.code) {
    case ErrorCode::kOriginDown:
    case ErrorCode::kUnavailable:
    case ErrorCode::kOverloaded:
      return true;
    case ErrorCode::kTimeout:
      return !world_.origins[origin].origin->stats().connected;
    default:
      return false;
  }
}

// One after the other: an origin that has just started has better things to do than to sort ten tables at
// once.
Task<void> Warming::run_queries(std::size_t origin, std::vector<Query> queries) {
  const std::shared_ptr<bool> alive = alive_;
  for (Query& query : queries) {
    const std::string& feature = (*world_.features)[query.feature.value].name;
    bool has_said = false;
    Result<std::vector<std::string>> keys;
    for (;;) {
      const MonoTime deadline = world_.home->now() + config_.query_timeout;
      auto asked = world_.origins[origin].origin->list_keys(query.sql, config_.keys_max, deadline);
      keys = co_await asked;
      if (!*alive) co_return;
      if (keys || !may_be_asked_again(keys.error(), origin)) break;
      if (!std::exchange(has_said, true))
        world_.log(true, fmt::format("warming: the query of feature {} waits for its origin: {}", feature,
                                     keys.error().message));
      co_await sleep_for(*world_.home, kQueryAgain);
      if (!*alive) co_return;
    }
    if (!keys)
      world_.log(true,
                 fmt::format("warming: the query of feature {} failed: {}", feature, keys.error().message));
    std::string problem = keys ? std::string() : keys.error().message;
    hand(query.source, keys ? items_of(query.feature, std::move(*keys)) : std::vector<WarmItem>(),
         std::move(problem), true);
  }
}

void Warming::open_hot_set() {
  if (hot_set_ == nullptr) return;
  const std::size_t source = warmer_.open_source("the last run's hot set", WarmClass::kHot);
  world_.pool->run(
      [this, alive = std::weak_ptr(alive_), home = world_.home, path = hot_set_->path(), source] {
        auto bytes = HotSetFile::read(path);
        home->post([this, alive, source, bytes = std::move(bytes)]() mutable {
          if (const auto living = alive.lock(); living && *living)
            take_hot_set(source, std::move(bytes), true);
        });
      });
}

// One after the other: peers that do not answer take one thread of the pool, and not all of them.
void Warming::open_peers() {
  if (config_.peers.empty()) return;
  std::vector<std::size_t> sources;
  for (const std::string& peer : config_.peers)
    sources.push_back(warmer_.open_source(fmt::format("hot set of {}", peer), WarmClass::kHot));
  world_.pool->run([this, alive = std::weak_ptr(alive_), home = world_.home, peers = config_.peers,
                    sources = std::move(sources), token = config_.peer_token] {
    for (std::size_t i = 0; i < peers.size() && !alive.expired(); ++i)
      home->post([this, alive, source = sources[i], bytes = ask_peer(peers[i], token)]() mutable {
        if (const auto living = alive.lock(); living && *living)
          take_hot_set(source, std::move(bytes), false);
      });
  });
}

void Warming::take_hot_set(std::size_t source, Result<std::string> bytes, bool is_file) {
  if (!bytes && is_file && bytes.error().code == ErrorCode::kNotFound)
    return hand(source, {}, "there is none yet");
  auto set = bytes ? warm::decode_hot_set(*bytes) : std::unexpected(bytes.error());
  if (!set) {
    const std::string where = is_file ? hot_set_->path() : "a peer's hot set";
    world_.log(true, fmt::format("warming: {}: {}; it is left aside", where, set.error().message));
    return hand(source, {}, set.error().message);
  }
  std::vector<WarmItem> items;
  for (warm::HotFeature& hot : set->features) {
    const Feature* feature = world_.cache->find_feature(hot.name);
    if (feature == nullptr || !is_warmable(feature->id())) continue;  // it was renamed, or is gone
    warmer_.expect(feature->id(), hot.reads);
    const double tight = tightness((*world_.features)[feature->id().value]);
    for (warm::HotKey& key : hot.keys)
      items.push_back({.feature = feature->id(),
                       .key = std::move(key.key),
                       .worth = warm::worth_of(key.reads, hot.load_cost, tight),
                       .reads = key.reads});
  }
  hand(source, std::move(items));
}

std::vector<WarmItem> Warming::items_of(FeatureId id, std::vector<std::string> keys) {
  std::vector<WarmItem> items;
  items.reserve(keys.size());
  // Named first, worth most: several lists of one class are worked through side by side.
  for (std::string& key : keys)
    items.push_back(
        {.feature = id, .key = std::move(key), .worth = 1.0 / static_cast<double>(items.size() + 1)});
  return items;
}

void Warming::hand(std::size_t source, std::vector<WarmItem> items, std::string problem,
                   bool is_the_origins) {
  auto handing = std::make_shared<Handing>();
  handing->source = source;
  handing->items = std::move(items);
  handing->problem = std::move(problem);
  handing->is_the_origins = is_the_origins;
  hand_more(handing);
}

void Warming::hand_more(const std::shared_ptr<Handing>& handing) {
  const std::size_t end = std::min(handing->items.size(), handing->done + kItemsPerTurn);
  const auto from = handing->items.begin() + static_cast<std::ptrdiff_t>(handing->done);
  const auto to = handing->items.begin() + static_cast<std::ptrdiff_t>(end);
  warmer_.add(handing->source, {std::make_move_iterator(from), std::make_move_iterator(to)});
  handing->done = end;
  if (end == handing->items.size())
    return warmer_.close_source(handing->source, handing->problem, handing->is_the_origins);
  world_.home->post([this, alive = alive_, handing] {
    if (*alive) hand_more(handing);
  });
}

Result<void> Warming::request(Request what) {
  std::vector<std::vector<Query>> queries(world_.origins.size());
  if (what.feature.empty()) {
    bool is_known = false;
    for (std::size_t i = 0; i < world_.features->size(); ++i) {
      is_known = is_known || (*world_.features)[i].warm.has_value();
      open_declared(FeatureId{static_cast<std::uint16_t>(i)}, &queries);
    }
    if (hot_set_ == nullptr && !is_known)
      return fail(ErrorCode::kInvalidArgument,
                  "nothing says what to warm: set warm in [features.*], or name keys");
    open_hot_set();
  } else {
    const Feature* feature = world_.cache->find_feature(what.feature);
    if (feature == nullptr) return fail(ErrorCode::kNoFeature, "no such feature");
    if (!is_warmable(feature->id()))
      return fail(ErrorCode::kInvalidArgument, "the feature has no origin to be warmed from");
    if (!what.keys.empty()) {
      hand(warmer_.open_source(fmt::format("keys for {}", what.feature), WarmClass::kHot),
           items_of(feature->id(), std::move(what.keys)));
    } else if (!(*world_.features)[feature->id().value].warm) {
      return fail(ErrorCode::kInvalidArgument, "nothing says what to warm of it: set warm in [features." +
                                                   what.feature + "], or name keys");
    } else {
      open_declared(feature->id(), &queries);
    }
  }
  ask_queries(std::move(queries));
  return {};
}

// ---- ready ----

std::string Warming::why_not_ready() {
  if (is_ready_) return {};
  const bool is_late = world_.clock->now() >= ready_until_;
  std::string missing;
  if (!warmer_.is_critical_done()) {
    const warm::WarmTally& critical = warmer_.tally(WarmClass::kCritical);
    const std::uint64_t waiting = critical.of(warm::WarmState::kWaiting);
    missing =
        fmt::format("warming: {} of {} critical keys are done", critical.total() - waiting, critical.total());
  } else if (config_.ready_hit_rate > 0 && warmer_.is_running()) {
    const auto predicted = warmer_.predicted_hit_rate();
    if (!predicted || *predicted < config_.ready_hit_rate)
      missing = fmt::format("warming: a hit rate of {:.2f} is predicted, {:.2f} is waited for",
                            predicted.value_or(0.0), config_.ready_hit_rate);
  }
  is_ready_ = missing.empty() || is_late;
  if (!is_ready_) return missing;
  if (!missing.empty() && config_.ready_within > Duration::zero())
    world_.log(true, fmt::format("ready without having warmed; {}", missing));
  return {};
}

void Warming::say_end() {
  const warm::WarmProgress done = warmer_.progress();
  if (done.all.total() == 0) return;
  const std::uint64_t failed = done.all.of(warm::WarmState::kFailed);
  std::string line = fmt::format("warming: {} keys in {}", done.all.total(),
                                 format_duration(std::chrono::floor<std::chrono::milliseconds>(done.took)));
  for (std::size_t i = 1; i < warm::kWarmStates; ++i)
    if (done.all.keys[i] > 0) line += fmt::format(", {} {}", done.all.keys[i], warm::kWarmStateNames[i]);
  if (done.predicted_hit_rate) line += fmt::format("; predicted hit rate {:.3f}", *done.predicted_hit_rate);
  world_.log(failed > 0, line);
}

// ---- the hot set ----

std::vector<warm::HotSetBuilder::Feature> Warming::read_rates() {
  const MonoTime now = world_.clock->now();
  const double seconds = to_seconds(now - rates_at_);
  if (!rates_.empty() && now - rates_at_ < kRatesPeriod) return rates_;
  rates_at_ = now;
  std::vector<warm::HotSetBuilder::Feature> out(world_.features->size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    const Feature& feature = world_.cache->feature(id);
    const std::uint64_t reads = reads_of(feature);
    has_read_ = has_read_ || reads != reads_[i];
    if (is_warmable(id)) out[i].name = feature.policy().name;
    out[i].reads = static_cast<double>(reads - reads_[i]) / std::max(1e-3, seconds);
    out[i].load_cost = static_cast<double>(feature.load_cost_ns.load(std::memory_order_relaxed)) / 1e9;
    out[i].tightness = tightness((*world_.features)[i]);
    reads_[i] = reads;
  }
  rates_ = out;
  return out;
}

void Warming::tick() {
  (void)why_not_ready();
  if (hot_set_ == nullptr || hot_set_->is_saving()) return;
  hot_set_->say();
  const MonoTime now = world_.clock->now();
  // A node that is still being warmed, or that nobody reads, would overwrite what is better.
  if (now < next_save_ || warmer_.is_busy()) return;
  save_hot_set();
  next_save_ = now + std::max(config_.hot_set_period, hot_set_->rest());
}

void Warming::save_hot_set() {
  auto rates = read_rates();
  if (!std::exchange(has_read_, false)) return;
  has_saved_ = true;
  hot_set_->save(std::move(rates), world_.counted ? world_.counted() : std::vector<HotSetFile::Counted>(),
                 world_.node);
}

void Warming::stop(bool save) {
  *alive_ = false;
  const bool is_whole = !warmer_.is_busy();
  warmer_.halt();
  if (hot_set_ == nullptr) return;
  auto rates = read_rates();
  if (save && is_whole && (has_read_ || has_saved_))
    hot_set_->save_now(std::move(rates),
                       world_.counted ? world_.counted() : std::vector<HotSetFile::Counted>(), world_.node);
  hot_set_.reset();
}

}  // namespace candor::app
