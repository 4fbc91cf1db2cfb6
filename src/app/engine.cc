#include "app/engine.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <thread>

#include "app/inspection.h"
#include "app/span_exporter.h"
#include "app/version.h"
#include "base/units.h"
#include "cache/freshness.h"
#include "io/files.h"
#include "origin/factory.h"
#include "tier/l2/make_l2.h"

namespace candor::app {
namespace {

// SQLite's statements each hold a thread while they run; beyond this more threads only wait for the same
// disk.
constexpr std::size_t kPoolThreadsMax = 64;
// Password checks and name look-ups, when there is no SQLite origin.
constexpr std::size_t kPoolThreadsMin = 4;
// Beyond an origin's connect_timeout: preparing statements on a slow database. After it the start goes on
// with a warning.
constexpr Duration kPrepareGrace = 5s;

// How often the start and the end look whether what they wait for has come.
constexpr Duration kStartLookPeriod = 10ms;

std::size_t pool_threads(const Config& config) {
  std::size_t wanted = kPoolThreadsMin;
  // Beside its statements a SQLite origin has a feed and a connection for proofs.
  for (const OriginConfig& origin : config.origins)
    if (origin.url.starts_with("sqlite:")) wanted += origin.max_concurrency + 2;
  // An append waits for the disk.
  for (const FeatureConfig& feature : config.features)
    wanted += feature.write == "behind" || feature.write_behind ? 1 : 0;
  return std::min(wanted, kPoolThreadsMax);
}

// The database may come back: not a reason to refuse to start.
bool may_pass(ErrorCode code) {
  return code == ErrorCode::kOriginDown || code == ErrorCode::kTimeout || code == ErrorCode::kUnavailable ||
         code == ErrorCode::kOverloaded;
}

l1::StoreOptions store_options(const Config& config, std::size_t features, std::uint64_t seed) {
  l1::StoreOptions options;
  options.memory_limit = config.l1.memory;
  options.policy = config.l1.policy;
  options.hash_seed = seed;
  options.features_max = std::max<std::size_t>(1, features);
  add_access_log(config, &options);
  return options;
}

std::string node_name(const Config& config, const Engine::Room& room) {
  return config.node.name.empty() ? room.node_name : config.node.name;
}

OriginProtection protection_of(const OriginConfig& config) {
  return {.is_adaptive = config.adaptive_concurrency,
          .min_concurrency = config.min_concurrency,
          .has_breaker = config.breaker,
          .retry_share = config.retry_share};
}

std::string watched_names(const Config& config) {
  std::string names;
  for (const FeatureConfig& feature : config.features)
    if (feature.watch) names += (names.empty() ? "" : ", ") + feature.name;
  return names;
}

// By feature: the statements that its origin takes at once; 0: it has none.
std::vector<unsigned> concurrency_of(const Config& config) {
  std::vector<unsigned> limits;
  for (const FeatureConfig& feature : config.features) {
    const OriginConfig* origin = config.find_origin(feature.origin);
    limits.push_back(origin == nullptr ? 0 : origin->max_concurrency);
  }
  return limits;
}

void log_problem(const std::string& part, const std::string& text) {
  if (text.empty())
    spdlog::info("{}: all is well again", part);
  else
    spdlog::warn("{}: {}", part, text);
}

void log_line(bool is_warning, const std::string& line) {
  spdlog::log(is_warning ? spdlog::level::warn : spdlog::level::info, "{}", line);
}

}  // namespace

Engine::Engine() : parts_(std::make_unique<Parts>()), problems_(log_problem), floors_(log_line) {}

Result<std::unique_ptr<Engine>> Engine::open(const Config& config, Room room) {
  std::unique_ptr<Engine> engine(new Engine);
  if (auto built = engine->build(config, room); !built) return std::unexpected(std::move(built.error()));
  return engine;
}

Result<void> Engine::build(const Config& config, Room room) {
  seed_ = entropy_.next_seed();
  home_ = std::make_unique<RunningLoop>(room.home_name);
  upkeep_ = std::make_unique<RunningLoop>("upkeep");
  pool_ = std::make_unique<ThreadPool>(pool_threads(config) + room.pool_threads, "pool");
  if (auto opened = open_disk(config); !opened) return opened;
  l1::StoreOptions l1 = store_options(config, config.features.size() + room.features, mix64(seed_));
  if (parts_->disk != nullptr) l1.evicted = &parts_->disk->tier();
  parts_->store = std::make_unique<l1::Store>(l1);
  Result<void> built;
  home_->run_there([&] {
    built = make_l2(config.l2);
    for (const OriginConfig& origin : config.origins)
      if (built) built = make_origin(origin, config.node.region);
    if (!built) return;
    parts_->tracking = std::make_unique<server::Tracking>(mix64(seed_ + 3));
    parts_->watchers = std::make_unique<Watchers>(config.features.size() + room.features);
    parts_->watchers->add(parts_->tracking.get());
    make_budgets(config, config.features.size() + room.features);
    make_inspection(config, room);
    built = make_spans(config, room);
    if (!built) return;
    CacheCore::Parts parts;
    parts.clock = &clock_;
    parts.tap = parts_->taps.get();
    parts.observer = parts_->watchers.get();
    parts.home = &home();
    parts.l1 = parts_->store.get();
    parts.l2 = parts_->l2.get();
    if (parts_->disk != nullptr) parts.disk = &parts_->disk->tier();
    parts.l2_is_shared = config.l2.url != "memory:";
    parts.seed = mix64(seed_ + 1);
    parts_->cache = std::make_unique<CacheCore>(parts);
    const bool is_shared = config.stream && config.stream->url != "memory:";
    if (is_shared) parts_->region_writes = std::make_unique<RegionWrites>(node_name(config, room));
    parts_->steering =
        std::make_unique<Steering>(config, parts_->cache.get(), &clock_, parts_->region_writes.get());
    for (const FeatureConfig& feature : config.features)
      if (built) built = add_feature(config, feature);
    for (const OriginConfig& origin : config.origins)
      parts_->cache->set_repair_rate(origin.name, origin.repair_rate);
    if (built) add_tags(config);
  });
  if (!built) return built;
  reach_l2(config.l2);
  if (auto prepared = prepare_origins(config); !prepared) return prepared;
  if (auto opened = open_write_behind(config); !opened) return opened;
  if (auto opened = open_river(config, room); !opened) return opened;
  catch_up_until_ = clock_.now() + config.node.ready_patience;
  start_capacity(config, config.features.size() + room.features);
  upkeep_->run_there([this] { keep_up(); });
  home_->run_there([&] {
    parts_->inspection->start(parts_->cache.get());
    start_budgets(config, room);
    start_reconciliation(config);
    start_warming(config, room);
    watch_health();
  });
  return {};
}

Result<void> Engine::open_disk(const Config& config) {
  if (!config.disk) return {};
  std::vector<std::string> notes;
  auto disk = DiskDesk::open(config, home_.get(), &clock_, &entropy_, &notes);
  if (!disk) return std::unexpected(std::move(disk.error()));
  parts_->disk = std::move(*disk);
  for (std::string& note : notes) notes_.push_back({true, std::move(note)});
  return {};
}

Result<void> Engine::make_l2(const L2Config& config) {
  if (config.url == "none") return {};
  l2::MakeOptions options;
  options.memory_bytes = config.memory;
  options.prefix = config.prefix;
  options.format.compress_above = config.compress_above;
  options.connect_timeout = config.connect_timeout;
  options.command_timeout = config.timeout;
  auto l2 = l2::make_l2(config.url, options, l2::World{&home(), &home(), mix64(seed_ + 2)});
  if (!l2) return std::unexpected(std::move(l2.error()));
  parts_->l2 = std::move(*l2);
  return {};
}

// The first command makes the connection; so the log can say whether the shared tier is there, and nobody's
// first read pays for it. Its absence is never an error: reads then go to the origin.
void Engine::reach_l2(const L2Config& config) {
  if (parts_->l2 == nullptr) return;
  bool connected = false;
  home().post([l2 = parts_->l2.get()] { spawn(l2->get("candor:hello"), [](const auto&) {}); });
  for (const MonoTime end = clock_.now() + config.connect_timeout; !connected && clock_.now() < end;) {
    home_->run_there([&] { connected = parts_->l2->stats().connected; });
    if (!connected)
      std::this_thread::sleep_for(kStartLookPeriod);  // tidy: allow(the start; nothing is simulated here)
  }
  if (connected)
    notes_.push_back({false, fmt::format("l2: {}", parts_->l2->describe())});
  else
    notes_.push_back({true, fmt::format("l2: {} does not answer; reads go to the origin until it does",
                                        parts_->l2->describe())});
}

Result<void> Engine::make_origin(const OriginConfig& config, const std::string& region) {
  OriginOptions options;
  options.max_concurrency = config.max_concurrency;
  options.waiting_max = config.waiting_max;
  options.connect_timeout = config.connect_timeout;
  options.statement_timeout = config.statement_timeout;
  options.connections_max = config.connections_max;
  options.region = region;
  options.protection = protection_of(config);
  auto origin = candor::make_origin(config.name, config.url, options, home(), home(), *pool_, entropy_);
  if (!origin) return std::unexpected(std::move(origin.error()));
  parts_->origins.push_back({config.name, std::move(*origin)});
  return {};
}

Result<void> Engine::add_feature(const Config& all, const FeatureConfig& config) {
  std::unique_ptr<OriginFeature> bound;
  std::string watched_origin;
  if (!config.is_plain()) {
    const auto it = std::ranges::find(parts_->origins, config.origin, &Parts::NamedOrigin::name);
    if (it == parts_->origins.end())
      return fail(ErrorCode::kConfiguration,
                  fmt::format("features.{}.origin: no origin is named \"{}\"", config.name, config.origin));
    OriginStatements statements{config.name, config.load, config.load_many, config.store, config.erase};
    if (config.watch) {
      watched_origin = config.origin;
      statements.is_watched = true;
      statements.watch_table = config.watch->table;
      statements.watch_columns = watch_columns(*config.watch);
    }
    auto result = it->origin->bind(std::move(statements));
    if (!result) return std::unexpected(std::move(result.error()));
    bound = std::move(*result);
  }
  auto id = parts_->cache->add_feature(feature_policy(config), std::move(bound), watched_origin);
  if (!id) return std::unexpected(std::move(id.error()));
  parts_->features.push_back(config);
  if (parts_->disk != nullptr) parts_->disk->add_feature(config, all.find_origin(config.origin));
  if (config.budget && !config.is_plain()) parts_->budgets->add(parts_->cache.get(), *id, config);
  return {};
}

bool Engine::origin_suffers(std::string_view name) const {
  const auto it = std::ranges::find(parts_->origins, name, &Parts::NamedOrigin::name);
  if (it == parts_->origins.end()) return false;
  const OriginStats stats = it->origin->stats();
  return !stats.connected || stats.waiting > 0 || stats.breaker != Breaker::State::kClosed;
}

void Engine::start_reconciliation(const Config& config) {
  ReconcileWiring wiring;
  wiring.concerned = &parts_->features;
  wiring.origin_suffers = [this](std::string_view name) { return origin_suffers(name); };
  wiring.was_told = [this](KeyRef key, StampBound stamp, MonoTime loaded_at) {
    return parts_->budgets->was_told(key, stamp, loaded_at);
  };
  wiring.region = [this] { return parts_->region.get(); };
  parts_->cache->reconcile(reconcile_options(config.reconcile, std::move(wiring)));
}

void Engine::start_warming(const Config& config, const Room& room) {
  Warming::World world;
  world.cache = parts_->cache.get();
  world.home = &home();
  world.pool = pool_.get();
  world.clock = &clock_;
  world.features = &parts_->features;
  for (const auto& [name, origin] : parts_->origins)
    world.origins.push_back({name, origin.get(), config.find_origin(name)->max_concurrency});
  world.node = node_name(config, room);
  world.keeps_hot_set = room.keeps_windows;
  world.log = log_line;
  world.counted = [this] {
    const auto& hot = parts_->inspection->hot_keys();
    std::vector<HotSetFile::Counted> counted;
    for (HotKey& key : hot.top(std::nullopt, HotKeys::kEntriesMax, HotBy::kReads, clock_.now()))
      // A key that may owe its place to another's count keeps its share of the rest instead.
      if (const auto& reads = key.by(HotBy::kReads); reads && 2 * reads->low > reads->per_second)
        counted.push_back({key.feature, std::move(key.key), reads->per_second});
    return counted;
  };
  parts_->warming = std::make_unique<Warming>(config, std::move(world));
  parts_->warming->start();
}

void Engine::make_budgets(const Config& config, std::size_t features_max) {
  BudgetLoop::World world;
  world.home = &home();
  world.clock = &clock_;
  world.seed = mix64(seed_ + 5);
  world.origin_suffers = [this](std::string_view name) { return origin_suffers(name); };
  // Keys are no matter for a log; who may see them asks the API.
  world.tell_lost = [](const std::string& feature, const std::vector<std::string>& keys) {
    spdlog::warn(
        "feature {}: the origin has changes of {} key(s) that the change feed never told of; see "
        "/api/v1/lost-keys",
        feature, keys.size());
  };
  world.evaluated = [this](const ExposureReport& report) {
    if (parts_->steering != nullptr) parts_->steering->evaluated(report);
    if (parts_->alerting != nullptr) parts_->alerting->judge(report, report.at);
    if (parts_->budget_file != nullptr) parts_->budget_file->save_if_due(parts_->budgets->book(), clock_);
  };
  parts_->budgets = std::make_unique<BudgetLoop>(config, features_max, std::move(world));
  parts_->watchers->add(parts_->budgets->observer());
}

void Engine::make_inspection(const Config& config, const Room& room) {
  Inspection::World world;
  world.home = &home();
  world.control = &upkeep();
  world.clock = &clock_;
  world.seed = mix64(seed_ + 7);
  world.node = node_name(config, room);
  world.region = config.node.region;
  world.stages = [this](FeatureId id, Position position) {
    if (parts_->river == nullptr || id.value >= parts_->features.size()) return River::Stages{};
    return parts_->river->stages(parts_->features[id.value].origin, position);
  };
  // Of what add_feature() has built; never changed afterwards.
  world.concurrency = [limits = concurrency_of(config)](FeatureId id) {
    return id.value < limits.size() ? limits[id.value] : 0U;
  };
  parts_->inspection =
      std::make_unique<Inspection>(config, config.features.size() + room.features, std::move(world));
  parts_->taps = std::make_unique<TapFan>(mix64(seed_ + 8));
  if (parts_->budgets->tap() != nullptr) parts_->taps->add(parts_->budgets->tap());
  parts_->inspection->join(parts_->taps.get(), parts_->watchers.get());
}

Result<void> Engine::make_spans(const Config& config, const Room& room) {
  if (config.tracing.endpoint.empty()) return {};
  auto target = parse_collector_url(config.tracing.endpoint);
  if (!target) return fail(ErrorCode::kConfiguration, "tracing.endpoint: " + target.error().message);
  const SpanSource source{node_name(config, room), config.node.region, kVersion};
  parts_->spans = std::make_unique<SpanExporter>(
      &home(), &home(), std::move(*target), source, config.tracing.sample, mix64(seed_ + 9),
      [this](const std::string& text) { problems_.note("tracing", text, clock_.now()); });
  return {};
}

void Engine::start_budgets(const Config& config, const Room& room) {
  if (parts_->budgets->tap() == nullptr) return;
  if (room.keeps_windows) {
    parts_->budget_file = std::make_unique<BudgetFile>(config.node.data_dir, pool_.get(), log_line);
    parts_->budget_file->restore(parts_->budgets->book(), clock_);
  }
  Alerting::Parts parts;
  parts.home = &home();
  parts.transport = &home();
  parts.seed = mix64(seed_ + 6);
  parts.node = node_name(config, room);
  parts.source = fmt::format("http://{}/", config.http.listen.to_string());
  parts_->alerting = std::make_unique<Alerting>(std::move(parts), config.alerts, write_alerts_to_log());
  parts_->budgets->start();
}

// `candor check` has refused what cannot be parsed.
void Engine::add_tags(const Config& config) {
  parts_->tags = std::make_unique<TagRules>(mix64(seed_ + 4));
  for (const FeatureConfig& feature : config.features) {
    std::vector<TagPattern> patterns;
    for (const std::string& text : feature.tags)
      if (auto pattern = TagPattern::parse(text)) patterns.push_back(std::move(*pattern));
    if (patterns.empty()) continue;
    const FeatureTags tags(std::move(patterns), key_columns(feature, config.find_origin(feature.origin)));
    parts_->cache->set_tags(parts_->cache->find_feature(feature.name)->id(), tags);
    parts_->tags->add(feature.name, tags);
  }
  if (parts_->l2 != nullptr && !parts_->tags->empty()) parts_->l2->use_tags(parts_->tags.get());
}

Result<void> Engine::open_write_behind(const Config& config) {
  const WriteBehindDesk::World world{parts_->cache.get(), home_.get(), pool_.get(), &entropy_, &clock_};
  parts_->write_behind =
      std::make_unique<WriteBehindDesk>(world, config.node.data_dir + "/write-behind", config.write_behind);
  auto notes = parts_->write_behind->open(parts_->features, config.origins);
  if (!notes) return std::unexpected(std::move(notes.error()));
  for (WriteBehindDesk::Note& note : *notes) notes_.push_back({note.is_warning, std::move(note.text)});
  return {};
}

Result<void> Engine::open_river(const Config& config, const Room& room) {
  const bool is_watched = std::ranges::any_of(
      config.features, [](const FeatureConfig& feature) { return feature.watch.has_value(); });
  // A stream carries region-wide commands too.
  const bool is_shared = config.stream && config.stream->url != "memory:";
  if (!is_watched && !is_shared) return {};
  Result<void> opened;
  home_->run_there([&] {
    std::vector<River::NamedOrigin> origins;
    for (const auto& [name, origin] : parts_->origins) origins.push_back({name, origin.get()});
    const River::World world{&home(),
                             &clock_,
                             pool_.get(),
                             &entropy_,
                             [this](const FloorNews& news) { floors_.note(news, clock_.now()); },
                             parts_->region_writes.get()};
    auto river =
        River::open(config, world, node_name(config, room), parts_->l2.get(), parts_->cache.get(), origins);
    if (!river) {
      opened = std::unexpected(std::move(river.error()));
      return;
    }
    parts_->river = std::move(*river);
    parts_->region = std::make_unique<RegionDesk>(&parts_->river->applier(), &home());
    if (is_shared) parts_->cache->set_region_barrier(parts_->region.get());
    std::vector<SessionDesk::Watched> watched;
    for (const River::NamedOrigin& origin : origins)
      if (parts_->cache->trust(origin.name) != nullptr) watched.push_back({origin.name, origin.origin});
    if (!watched.empty())
      parts_->desk = std::make_unique<SessionDesk>(parts_->cache.get(), &home(), std::move(watched));
    parts_->river->start();
  });
  if (opened && is_watched) notes_.push_back({false, "change feeds: " + watched_names(config)});
  return opened;
}

Result<void> Engine::prepare_origins(const Config& config) {
  for (auto& [name, origin] : parts_->origins) {
    const OriginConfig* settings = config.find_origin(name);
    const Duration patience =
        (settings != nullptr ? settings->connect_timeout : Duration::zero()) + kPrepareGrace;
    // Shared with the task: it may answer after we have gone on.
    auto answer = std::make_shared<std::promise<Result<void>>>();
    auto prepared = answer->get_future();
    home().post([asked = origin.get(), answer] {
      spawn(asked->prepare(), [answer](Result<void> result) { answer->set_value(std::move(result)); });
    });
    if (prepared.wait_for(patience) != std::future_status::ready) {
      notes_.push_back(
          {true, fmt::format("origin {}: no answer from {} in {}; reads of it will fail until it answers",
                             name, origin->describe(), format_duration(patience))});
      continue;
    }
    const Result<void> result = prepared.get();
    if (result) {
      notes_.push_back({false, fmt::format("origin {}: {}", name, origin->describe())});
    } else if (may_pass(result.error().code)) {
      notes_.push_back({true, fmt::format("origin {}: {}; reads of it will fail until it answers", name,
                                          result.error().message)});
    } else {
      return std::unexpected(result.error());
    }
  }
  return {};
}

void Engine::start_capacity(const Config& config, std::size_t features_max) {
  const auto read = [](const std::string& path) -> std::optional<std::string> {
    constexpr std::size_t kSystemFileBytesMax = std::size_t{256} << 10;
    Result<std::string> text = read_file(path, kSystemFileBytesMax);
    if (!text) return std::nullopt;
    return std::move(*text);
  };
  parts_->capacity =
      std::make_unique<CapacityDesk>(config, features_max, mix64(seed_ + 7), parts_->store.get(), read);
  for (std::size_t i = 0; i < parts_->features.size(); ++i)
    parts_->capacity->follow(&parts_->cache->feature(FeatureId{static_cast<std::uint16_t>(i)}));
  if (std::string warning = parts_->capacity->warning(); !warning.empty())
    notes_.push_back({true, std::move(warning)});
}

void Engine::keep_up() {
  parts_->store->maintain(clock_.now().ms());
  parts_->capacity->turn(clock_.now());
  memory_pressed_.store(parts_->capacity->is_pressed(), std::memory_order_relaxed);
  upkeep().schedule(upkeep().now() + kMaintainPeriod, [this] { keep_up(); });
}

void Engine::watch_health() {
  if (parts_->cache == nullptr) return;  // the engine is closing
  const RiverReport river = river_report(false);
  (void)catching_up(river);
  parts_->warming->tick();
  for (const auto& [name, origin] : parts_->origins) sheds_.note(name, origin->stats(), clock_.now());
  health_.note(degraded_reasons(river), clock_.now());
  for (const auto& [part, text] : river_problems(river)) problems_.note(part, text, clock_.now());
  home().schedule(home().now() + kHealthPeriod, [this] { watch_health(); });
}

RiverReport Engine::river_report(bool with_lags) const {
  if (parts_->river == nullptr) return {};
  RiverReport river = parts_->river->report(with_lags);
  for (RiverOrigin& origin : river.origins) {
    origin.markers = parts_->cache->markers(origin.name);
    origin.repair = parts_->cache->repair(origin.name).value_or(RepairStatus{});
  }
  return river;
}

std::string Engine::catching_up(const RiverReport& river) {
  if (caught_up_) return {};
  std::string missing = what_is_missing(river);
  caught_up_ = missing.empty();
  if (caught_up_ || clock_.now() < catch_up_until_) return missing;
  // A stream or a feed that is away must not keep a whole region from starting: what can be proven is served
  // from the tiers, the rest from the origins.
  spdlog::warn("ready without having caught up: {}", missing);
  caught_up_ = true;
  return {};
}

std::vector<std::string> Engine::degraded_reasons(const RiverReport& river) const {
  std::vector<std::string> reasons;
  if (parts_->l2 != nullptr) {
    const L2Stats stats = parts_->l2->stats();
    if (!stats.connected) reasons.emplace_back("l2_down");
    if (stats.breaker_open) reasons.emplace_back("l2_breaker_open");
  }
  for (const auto& [name, origin] : parts_->origins) {
    const OriginStats stats = origin->stats();
    if (!stats.connected) reasons.push_back("origin_down:" + name);
    if (stats.breaker != Breaker::State::kClosed) reasons.push_back("origin_breaker_open:" + name);
    if (sheds_.is_shedding(name)) reasons.push_back("origin_overloaded:" + name);
  }
  if (memory_pressed_.load(std::memory_order_relaxed)) reasons.emplace_back("memory");
  if (parts_->disk != nullptr && !parts_->disk->tier().is_on()) reasons.emplace_back("disk_off");
  if (parts_->cache->owed_invalidations() > 0) reasons.emplace_back("invalidations_owed");
  if (parts_->write_behind != nullptr)
    for (std::string& trouble : parts_->write_behind->troubles()) reasons.push_back(std::move(trouble));
  const auto troubles = river_troubles(river, clock_.now(), !caught_up_);
  reasons.insert(reasons.end(), troubles.begin(), troubles.end());
  return reasons;
}

bool Engine::is_quiet() const {
  if (parts_->disk != nullptr && !parts_->disk->tier().is_idle()) return false;
  if (parts_->cache != nullptr && (parts_->cache->waiting() > 0 || parts_->cache->flights() > 0))
    return false;
  if (parts_->cache != nullptr && parts_->write_behind != nullptr && !parts_->write_behind->is_idle())
    return false;
  return std::ranges::all_of(parts_->origins, [](const Parts::NamedOrigin& named) {
    const OriginStats stats = named.origin->stats();
    return stats.in_flight == 0 && stats.waiting == 0;
  });
}

// Quiet is quiet for a while: between a load and its fill nothing is in flight at the origin, but something
// at L2.
bool Engine::wait_until_quiet() {
  constexpr int kQuietLooksWanted = 5;
  int quiet_looks = 0;
  for (const MonoTime end = clock_.now() + kQuietPatience;
       clock_.now() < end && quiet_looks < kQuietLooksWanted;) {
    bool quiet = false;
    home_->run_there([&] { quiet = is_quiet(); });
    quiet_looks = quiet ? quiet_looks + 1 : 0;
    std::this_thread::sleep_for(
        kStartLookPeriod);  // tidy: allow(the end of the process; nothing is simulated here)
  }
  return quiet_looks >= kQuietLooksWanted;
}

Engine::~Engine() {
  if (upkeep_ != nullptr) upkeep_->stop();
  // First: the goodbye travels while the rest becomes quiet. Nobody waits for this node any more, and another
  // one may lead at once.
  if (home_ != nullptr)
    home_->run_there([this] {
      if (parts_->budgets != nullptr) parts_->budgets->stop();
      if (parts_->inspection != nullptr) parts_->inspection->stop();
      if (parts_->spans != nullptr) parts_->spans->stop();
      if (parts_->budget_file != nullptr) parts_->budget_file->save_now(parts_->budgets->book(), clock_);
      parts_->alerting.reset();
      if (parts_->warming != nullptr) parts_->warming->stop(true);
      if (parts_->river != nullptr) parts_->river->stop();
      if (parts_->cache != nullptr) parts_->cache->close();  // no suspect is asked about any more
    });
  const bool quiet = home_ == nullptr || wait_until_quiet();
  if (quiet) {
    if (home_ != nullptr) {
      home_->run_there([this] {
        parts_->river.reset();  // it calls the cache
        parts_->warming.reset();
        parts_->cache.reset();  // features, and with them their hold on the origins
        if (parts_->disk != nullptr) parts_->disk->tier().close();
        parts_->origins.clear();
        parts_->l2.reset();
      });
      home_->stop();
    }
    return;
  }
  // Tasks that are still under way own pieces of all this, and nothing will ever wake them; taking their
  // ground away is worse than leaving it to the end of the process.
  home_->stop();
  (void)parts_.release();
  (void)home_.release();  // a thread of the disk's pool that is stuck in a write will still post to it
}

namespace {

// The level of a feature today: without its changes nothing but its ttl bounds an entry, and what needs more
// is asked of the origin.
Consistency served_as(const Feature& feature) {
  const Consistency level = feature.policy().consistency;
  if (!feature.is_unheard.load(std::memory_order_relaxed)) return level;
  return tiers_may_answer(level) ? Consistency::kEventual : Consistency::kOrigin;
}

}  // namespace

FeatureReport Engine::report_feature(FeatureId id) const {
  const Feature& feature = parts_->cache->feature(id);
  const FeatureConfig& config = parts_->features[id.value];
  const FeatureCounters& c = feature.counters;
  FeatureReport out;
  out.name = feature.policy().name;
  out.origin = config.origin;
  out.consistency = consistency_name(config.consistency);
  out.served_as = consistency_name(served_as(feature));
  out.ttl = feature.policy().ttl;
  out.writable = feature.origin() == nullptr || feature.origin()->can_store();
  out.reads_stale = c.served_stale.value();
  out.reads_negative = c.negative_hits.value();
  // Counted apart, all answered by L1: values, "no such row", and values past their ttl.
  out.reads_l1 = c.hits_l1.value() + out.reads_negative + out.reads_stale;
  out.reads_disk = c.hits_disk.value();
  out.reads_l2 = c.reads_l2.value();
  out.reads_origin = c.reads_origin.value();
  out.errors = c.errors.value();
  out.shed = c.shed.value();
  out.coalesced = c.coalesced.value();
  out.refreshes = c.refreshes.value();
  out.loads_ok = c.loads_ok.value();
  out.loads_absent = c.loads_absent.value();
  out.loads_failed = c.loads_failed.value();
  out.loads_timeout = c.loads_timeout.value();
  out.writes = c.writes.value();
  if (feature.behind() != nullptr) out.behind = feature.behind()->stats();
  out.write_errors = c.write_errors.value();
  out.past_tiers = c.past_tiers.load(std::memory_order_relaxed);
  out.refreshes_skipped = c.refreshes_skipped.load(std::memory_order_relaxed);
  out.writes_unconfirmed = c.writes_unconfirmed.load(std::memory_order_relaxed);
  out.miss_ns = c.read_miss_ns.snapshot();
  out.usage = parts_->store->usage(id);
  out.dropped = parts_->watchers->counts(id);
  return out;
}

void Engine::report(ReportDone done) {
  auto report = std::make_unique<NodeReport>();
  report->at = clock_.now();
  report_more(std::move(report), std::move(done));
}

void Engine::report_more(std::unique_ptr<NodeReport> report, ReportDone done) {
  if (parts_->cache == nullptr) return;  // the engine is closing
  const std::size_t count = parts_->cache->feature_count();
  const std::size_t until = std::min(count, report->features.size() + kFeaturesPerTurn);
  while (report->features.size() < until)
    report->features.push_back(
        report_feature(FeatureId{static_cast<std::uint16_t>(report->features.size())}));
  if (until < count) {
    home().post([this, report = std::move(report), done = std::move(done)]() mutable {
      report_more(std::move(report), std::move(done));
    });
    return;
  }
  report_tiers(*report);
  done(std::move(report));
}

void Engine::report_tiers(NodeReport& report) {
  report.l1 = parts_->store->stats();
  if (parts_->disk != nullptr) report.disk = parts_->disk->tier().stats();
  report.has_l2 = parts_->l2 != nullptr;
  if (report.has_l2) {
    report.l2 = parts_->l2->stats();
    report.l2_description = parts_->l2->describe();
  }
  for (const auto& [name, origin] : parts_->origins) {
    report.origins.push_back({name, origin->describe(), origin->stats()});
  }
  report.exposure = parts_->budgets->latest();
  if (parts_->alerting != nullptr) report.alerting = parts_->alerting->report();
  report.levers = parts_->steering->snapshot();
  report.reconciliation = parts_->cache->reconciliation();
  report.warm = parts_->warming->progress();
  report.warming = parts_->warming->why_not_ready();
  report.waiting = parts_->cache->waiting();
  report.owed_invalidations = parts_->cache->owed_invalidations();
  report.river = river_report(true);
  report.catching_up = catching_up(report.river);
  report.degraded = degraded_reasons(report.river);
  report.tracking_clients = parts_->tracking->members();
  report.tracking_keys = parts_->tracking->keys();
  report.trace_left_out = parts_->inspection->trace_events_left_out();
}

// What the controller has switched stays switched, unless the file says something new of it, or the level
// forbids it now.
void Engine::reload_write_mode(const FeatureConfig& held, FeatureId id, bool is_rewritten) {
  using write_behind::WriteMode;
  const auto* log = parts_->cache->write_behind(id);
  const Consistency level = parts_->cache->feature(id).policy().consistency;
  const bool must_go_through = level == Consistency::kStrong || level == Consistency::kOrigin;
  const auto mode = held.write == "behind" && !must_go_through ? WriteMode::kBehind : WriteMode::kThrough;
  const bool is_broken = log != nullptr && log->mode() == WriteMode::kBehind && must_go_through;
  if (!is_rewritten && !is_broken) return;
  if (log == nullptr && mode == WriteMode::kThrough) return;
  const auto told = [name = held.name](const Result<void>& done) {
    if (!done) spdlog::error("reload: features.{}.write: {}", name, done.error().message);
  };
  parts_->write_behind->set_write_mode(held, mode, held.batching().window, told);
}

void Engine::reload(const Config& config) {
  parts_->steering->adopt(config.controller);
  for (const auto& [name, origin] : parts_->origins)
    if (const OriginConfig* fresh = config.find_origin(name)) origin->protect(protection_of(*fresh));
  for (std::size_t i = 0; i < parts_->features.size(); ++i) {
    const FeatureConfig* fresh = config.find_feature(parts_->features[i].name);
    if (fresh == nullptr || fresh->is_plain() != parts_->features[i].is_plain()) continue;
    FeatureConfig& held = parts_->features[i];
    const FeatureId id{static_cast<std::uint16_t>(i)};
    const bool is_rewritten =
        held.write != fresh->write || held.batching().window != fresh->batching().window;
    adopt_reloadable(held, *fresh);
    parts_->steering->adopt(held);
    (void)parts_->cache->update_policy(id, parts_->steering->steered(feature_policy(held)));
    if (!held.is_plain()) reload_write_mode(held, id, is_rewritten);
  }
  upkeep().post([this] { parts_->capacity->adopt_policies(); });
}

}  // namespace candor::app
