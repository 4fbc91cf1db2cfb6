#include "sim/node.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "sim/node_disk.h"
#include "tier/l1/store.h"

namespace candor::sim {
namespace {

constexpr Duration kUpkeepPeriod = 5s;
constexpr Duration kInvalidateTimeout = 2s;  // the daemon's

std::uint64_t version_of(std::string_view value) {
  std::uint64_t version = kAbsent;
  std::from_chars(value.data(), value.data() + value.size(), version);
  return version;
}

std::string slot_of(const std::string& region) { return "candor_" + region; }

l1::StoreOptions store_options(std::size_t bytes, std::size_t features, std::uint64_t seed) {
  l1::StoreOptions options;
  options.memory_limit = bytes;
  options.shards = 1;
  options.hash_seed = seed;
  options.features_max = features;
  return options;
}

CacheCore::Parts cache_parts(Process& process, l1::Store* l1, NodeDisk* disk, L2* l2, Observer* watcher) {
  CacheCore::Parts parts;
  parts.observer = watcher;
  parts.clock = &process;
  parts.home = &process;
  parts.l1 = l1;
  if (disk != nullptr) parts.disk = &disk->tier();
  parts.l2 = l2;
  parts.l2_is_shared = true;
  parts.seed = process.next_seed();
  return parts;
}

}  // namespace

// Writes what the cache does into the trace, for whoever reads one, and passes on which changes were applied.
class Watcher final : public Observer {
 public:
  Watcher(World* world, const Process* process, const std::vector<FeaturePolicy>* features,
          const std::function<void(std::string_view)>* tell_applied)
      : world_(world), process_(process), features_(features), tell_applied_(tell_applied) {}
  void on_load(KeyRef key, Duration took, bool ok) override {
    note(ok ? "loaded" : "failed to load", key, static_cast<std::uint64_t>(took.count()));
  }
  void on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) override {
    note(outcome == FillOutcome::kStored ? "keeps a load" : "keeps no load", key, stamp.up_to.value);
  }
  void on_invalidate(KeyRef key, const char* cause) override {
    note(cause, key, 0);
    if (*tell_applied_ && std::string_view(cause) == "change") (*tell_applied_)(name_of(key));
  }

 private:
  void note(std::string_view what, KeyRef key, std::uint64_t number) {
    if (!world_->trace().has_sink()) return;
    world_->trace().tell(world_->now(), process_->name(), fmt::format("{} {}", what, name_of(key)), number);
  }
  [[nodiscard]] std::string name_of(KeyRef key) const {
    return fmt::format("{}:{}", (*features_)[key.feature.value].name, key.key);
  }
  World* world_;
  const Process* process_;
  const std::vector<FeaturePolicy>* features_;
  const std::function<void(std::string_view)>* tell_applied_;
};

// In the order of building. The river goes first at the end: whoever calls goes before what is called.
struct SimNode::Life {
  Life(SimNode& node, Process& process)
      : disk(node.options_.has_disk ? std::make_unique<NodeDisk>(&process) : nullptr),
        store(store_options(node.options_.l1_bytes, node.options_.features.size(), process.next_seed())),
        l2(node.network_, node.place_, node.tier_),
        origin(node.network_, node.place_, node.database_, slot_of(node.options_.region)),
        watcher(&node.world_, &process, &node.options_.features, &node.tell_applied_),
        cache(cache_parts(process, &store, disk.get(), &l2, &watcher)),
        tokens(&cache, &process, {{kOriginName, &origin}}) {}

  std::unique_ptr<NodeDisk> disk;  // null: it has none
  l1::Store store;
  SharedTierClient l2;
  DatabaseOrigin origin;
  Watcher watcher;
  CacheCore cache;
  SessionTokens tokens;
  L2Known l2_known;
  std::unique_ptr<SharedLogClient> stream;
  std::unique_ptr<Applier> applier;
  std::unique_ptr<DatabaseFeed> feed;
  std::unique_ptr<Publisher> publisher;
};

SimNode::SimNode(World& world, Network& network, Process& process, Database& database, SharedTier& tier,
                 SharedLog& log, NodeOptions options)
    : world_(world),
      network_(network),
      process_(process),
      place_(network.add_place(process.name(), process)),
      database_(database),
      tier_(tier),
      log_(log),
      options_(std::move(options)) {
  process_.set_life(
      {.start = [this] { start(); }, .stop = [this] { stop(); }, .destroy = [this] { life_.reset(); }});
}

SimNode::~SimNode() = default;

void SimNode::start() {
  life_ = std::make_unique<Life>(*this, process_);
  for (const FeaturePolicy& policy : options_.features) {
    auto bound =
        life_->origin.bind({.feature = policy.name, .load = {}, .load_many = {}, .store = {}, .erase = {}});
    (void)life_->cache.add_feature(policy, std::move(*bound), kOriginName);
    if (life_->disk != nullptr) life_->disk->tier().add_feature(policy.name, 0, true);
  }
  if (life_->disk != nullptr) life_->disk->evict_from(&life_->store);
  life_->stream = std::make_unique<SharedLogClient>(network_, place_, log_);
  ApplierOptions applier;
  applier.node = name();
  applier.process = process_.next_seed();
  applier.probe_period = options_.probe_period;
  life_->applier = std::make_unique<Applier>(&process_, &process_, life_->stream.get(), &life_->cache,
                                             applier, &life_->l2_known);
  life_->applier->watch(kOriginName, &life_->origin);
  life_->origin.on_history_lost([applier = life_->applier.get()](const PostgresHistory::Verdict& lost) {
    applier->lose_history(kOriginName, lost.reason, !lost.slots_stayed);
  });
  life_->feed = std::make_unique<DatabaseFeed>(network_, place_, database_, slot_of(options_.region));
  PublisherOptions publisher;
  publisher.origin = kOriginName;
  publisher.seed = process_.next_seed();
  publisher.probe_period = options_.probe_period;
  life_->publisher = std::make_unique<Publisher>(&process_, &process_, life_->feed.get(), life_->stream.get(),
                                                 &life_->l2, &life_->origin, publisher, &life_->l2_known);
  if (options_.keys_swept_per_second > 0) {
    CacheCore::ReconcileOptions sweep;
    sweep.keys_per_second = options_.keys_swept_per_second;
    life_->cache.reconcile(std::move(sweep));
  }
  life_->applier->start();
  life_->publisher->start();
  keep_up();
}

void SimNode::stop() {
  if (tell_death_) tell_death_();
  if (life_ == nullptr) return;
  note_swept();
  life_->origin.on_history_lost(nullptr);
  life_->feed.reset();
  life_->publisher.reset();
  life_->stream.reset();
  life_->applier.reset();
  life_->cache.close();
}

void SimNode::note_swept() {
  for (const auto& feature : life_->cache.reconciliation().features)
    for (std::size_t i = 0; i < kReconciledKinds; ++i) swept_[i] += feature.since_start.entries[i];
}

void SimNode::add_swept(std::array<std::uint64_t, kReconciledKinds>* sum) const {
  for (std::size_t i = 0; i < kReconciledKinds; ++i) (*sum)[i] += swept_[i];
}

void SimNode::keep_up() {
  life_->store.maintain(process_.now().ms());
  process_.schedule(process_.now() + kUpkeepPeriod, [this, life = process_.life()] {
    if (process_.is_up() && process_.life() == life) keep_up();
  });
}

// As the server does it: what a token adds to the level, then the hit path, then the miss path.
void SimNode::read(const Read& wanted, std::function<void(Result<Answer>)> done) {
  CacheCore& cache = life_->cache;
  const Feature& feature = *cache.find_feature(wanted.feature);
  CacheCore::ReadOptions options;
  options.use_feature_level = false;
  options.level = wanted.level.value_or(feature.policy().consistency);
  options.bound = wanted.level ? wanted.bound : feature.policy().max_staleness;
  const bool is_behind = options.level == Consistency::kSession && wanted.token != nullptr &&
                         !life_->tokens.meets(*wanted.token, feature);
  if (is_behind) options.level = Consistency::kOrigin;
  if (options.level != Consistency::kOrigin && options.level != Consistency::kStrong) {
    const l1::Store::ReadGuard guard(cache.l1());
    CacheCore::Hit hit;
    if (cache.try_hit_at(guard, feature, cache.l1().hash(feature.id(), wanted.key), wanted.key,
                         process_.now().ms(), options.level, options.bound, &hit)) {
      Answer answer;
      if (!hit.negative) answer.version = version_of(hit.value);
      answer.tier = candor::Tier::kL1;
      if (const auto within = cache.fresh_within(feature, hit)) answer.fresh_within_ns = within->count();
      return done(answer);
    }
  }
  cache.read(feature.id(), wanted.key, options, [done = std::move(done)](Result<ReadResult> result) {
    if (!result) return done(std::unexpected(std::move(result.error())));
    Answer answer;
    if (result->value != nullptr) answer.version = version_of(*result->value);
    answer.tier = result->tier;
    answer.degraded = result->degraded != nullptr;
    if (result->fresh_within) answer.fresh_within_ns = result->fresh_within->count();
    done(answer);
  });
}

void SimNode::write(const std::string& feature, const std::string& key, std::uint64_t version,
                    std::function<void(Result<void>)> done) {
  CacheCore& cache = life_->cache;
  const FeatureId id = cache.find_feature(feature)->id();
  WriteDone then = [done = std::move(done)](const Result<WriteResult>& result) {
    result ? done({}) : done(std::unexpected(result.error()));
  };
  if (version == kAbsent)
    cache.erase(id, key, std::move(then));
  else
    cache.write(id, key, fmt::format("{}", version), std::move(then));
}

// This node and the shared tier, then every live node.
void SimNode::invalidate(const std::string& feature, const std::string& key,
                         std::function<void(Result<void>)> done) {
  const FeatureId id = life_->cache.find_feature(feature)->id();
  life_->cache.invalidate(
      id, key, [this, name = feature + ":" + key, done = std::move(done)](const Result<WriteResult>& result) {
        if (!result) return done(std::unexpected(result.error()));
        if (life_->applier == nullptr) return done(fail(ErrorCode::kUnavailable, "the node is stopping"));
        message::Invalidate what;
        what.names.push_back(name);
        spawn(life_->applier->invalidate_everywhere(std::move(what), kInvalidateTimeout), done);
      });
}

void SimNode::issue_token(std::function<void(Result<SessionToken>)> done) {
  spawn(life_->tokens.issue(), std::move(done));
}

void SimNode::check_token(SessionToken token, std::function<void(Result<void>)> done) {
  spawn(life_->tokens.check(std::move(token)), std::move(done));
}

std::optional<std::uint64_t> SimNode::held(const std::string& feature, const std::string& key) {
  CacheCore& cache = life_->cache;
  const Feature& of = *cache.find_feature(feature);
  const l1::Store::ReadGuard guard(cache.l1());
  l1::EntryView view;
  if (!cache.l1().peek(guard, cache.l1().hash(of.id(), key), of.id(), key, process_.now().ms(), &view) ||
      of.is_suspect(view.meta.loaded_at))
    return std::nullopt;
  return view.meta.negative ? kAbsent : version_of(view.value);
}

bool SimNode::uses_shared_tier() const {
  const auto& cache = life_->cache;
  for (std::uint16_t i = 0; i < cache.feature_count(); ++i)
    if (!cache.reads_l2(FeatureId{i})) return false;
  return !(tier_.state() < life_->l2_known.highest());
}

ApplierStatus SimNode::applier_status() const { return life_->applier->status(); }
PublisherStatus SimNode::publisher_status() const { return life_->publisher->status(); }

}  // namespace candor::sim
