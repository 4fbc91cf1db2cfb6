#include "monitor/monitor.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

std::uint64_t reads_of(const FeatureCounters& counters) {
  return counters.hits_l1.value() + counters.negative_hits.value() + counters.served_stale.value() +
         counters.hits_disk.value() + counters.reads_l2.value() + counters.reads_origin.value();
}
std::uint64_t loads_of(const FeatureCounters& counters) {
  return counters.loads_ok.value() + counters.loads_absent.value() + counters.loads_failed.value() +
         counters.loads_timeout.value();
}

// Weight of the newest second in the smoothed rates.
constexpr double kSmoothing = 0.2;

}  // namespace

Monitor::Monitor(World world)
    : world_(std::move(world)),
      intake_(world_.features_max, mix64(world_.seed + 1)),
      by_id_(world_.features_max, 0) {}

Monitor::~Monitor() { *alive_ = false; }

Monitor::Source* Monitor::source(std::string_view origin) {
  const auto it = std::ranges::find_if(sources_, [&](const auto& one) { return one->name == origin; });
  return it == sources_.end() ? nullptr : it->get();
}

Monitor::Watched* Monitor::find(FeatureId id) const {
  if (id.value >= by_id_.size() || by_id_[id.value] == 0) return nullptr;
  return features_[by_id_[id.value] - 1].get();
}

void Monitor::watch(CacheCore* cache, MonitoredFeature facts) {
  auto watched = std::make_unique<Watched>();
  watched->feature = &cache->feature(facts.id);
  watched->cache = cache;
  if (facts.is_watched) {
    watched->source = source(facts.origin);
    if (watched->source == nullptr) {
      sources_.push_back(std::make_unique<Source>(facts.origin));
      watched->source = sources_.back().get();
      watched->source->history.begin_anew(world_.clock->now());
    }
  }
  const FeatureId id = facts.id;
  intake_.watch(id, facts.budget.sample);
  const ChangeHistory* history = watched->source == nullptr ? nullptr : &watched->source->history;
  watched->monitor = std::make_unique<FeatureMonitor>(std::move(facts), history, intake_.feature_hash(id),
                                                      mix64(world_.seed + 2 + id.value));
  features_.push_back(std::move(watched));
  by_id_[id.value] = features_.size();
}

void Monitor::start() {
  if (features_.empty()) return;
  ticked_ = world_.home->now();
  drain();
  tick_timer_ = world_.home->schedule(world_.home->now() + kTickPeriod, [this] { tick(); });
}

void Monitor::stop() {
  world_.home->cancel(drain_timer_);
  world_.home->cancel(tick_timer_);
}

void Monitor::set_budget(std::string_view feature, const Budget& budget) {
  for (const auto& watched : features_) {
    if (watched->monitor->facts().name != feature) continue;
    watched->monitor->set_budget(budget);
    intake_.watch(watched->monitor->facts().id, budget.sample);
  }
}

void Monitor::on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                                const Change& change) {
  Watched* watched = find(feature);
  if (watched == nullptr || watched->source == nullptr) return;
  const MonoTime now = world_.clock->now();
  HeardChange heard;
  heard.id = change.id;
  heard.applied = now;
  heard.committed = commit_time(change.committed, world_.clock->wall(), now, watched->source->proven);
  const std::uint64_t hash = key ? intake_.key_hash(feature, *key) : intake_.feature_hash(feature);
  watched->source->history.add(hash, heard);
  watched->monitor->on_change(now, hash, heard, key.value_or(std::string_view{}));
}

void Monitor::on_divergence(KeyRef key, Divergence why) {
  Watched* watched = find(key.feature);
  if (watched != nullptr && why == Divergence::kLost) watched->monitor->on_lost(world_.clock->now(), key.key);
}

void Monitor::on_reload(KeyRef key, Duration interval, bool changed) {
  if (Watched* watched = find(key.feature)) watched->monitor->on_reload(interval, changed);
}

bool Monitor::was_told(KeyRef key, StampBound stamp, MonoTime loaded_at) const {
  const Watched* watched = find(key.feature);
  if (watched == nullptr || watched->source == nullptr) return false;
  const ChangeHistory& history = watched->source->history;
  return history.first_missing(intake_.key_hash(key.feature, key.key), stamp, loaded_at) ||
         history.first_missing(intake_.feature_hash(key.feature), stamp, loaded_at);
}

void Monitor::on_proven(std::string_view origin, MonoTime fresh_as_of) {
  if (Source* known = source(origin)) known->proven = std::max(known->proven, fresh_as_of);
}

void Monitor::settle(std::size_t index) {
  Watched& watched = *features_[index];
  const MonoTime proven = watched.source == nullptr ? MonoTime{0} : watched.source->proven;
  FeatureMonitor::News news = watched.monitor->settle(world_.clock->now(), proven);
  watched.by_stream.add(news.by_stream);
  watched.by_origin.add(news.by_origin);
  if (!news.lost_keys.empty() && world_.tell_lost)
    world_.tell_lost(watched.monitor->facts().name, news.lost_keys);
}

void Monitor::drain() {
  const MonoTime now = world_.clock->now();
  for (PickedRead& read : intake_.drain())
    if (Watched* watched = find(read.feature)) watched->monitor->on_read(now, std::move(read));
  for (std::size_t i = 0; i < features_.size(); ++i) {
    ask(i);
    check_changes(i);
    settle(i);
  }
  drain_timer_ = world_.home->schedule(world_.home->now() + kDrainPeriod, [this] { drain(); });
}

void Monitor::measure_rates(Watched& watched, double seconds) {
  const FeatureCounters& counters = watched.feature->counters;
  const std::uint64_t reads = reads_of(counters);
  const std::uint64_t loads = loads_of(counters);
  const double reads_per_second = static_cast<double>(reads - watched.reads) / seconds;
  const double loads_per_second = static_cast<double>(loads - watched.loads) / seconds;
  const std::uint64_t made = counters.changes_made.load(std::memory_order_relaxed);
  watched.monitor->on_own_changes(made - watched.changes_made);
  watched.changes_made = made;
  watched.reads = reads;
  watched.loads = loads;
  // Not smoothed: a burst is met in its second, or it would cost most when there is least to spare.
  intake_.set_rate(watched.monitor->facts().id, reads_per_second);
  watched.loads_per_second += kSmoothing * (loads_per_second - watched.loads_per_second);
  watched.checks_per_second +=
      kSmoothing * (static_cast<double>(watched.asked) / seconds - watched.checks_per_second);
  watched.asked = 0;
  const double allowed = std::max(kQuestionsMin, kAddedLoad * watched.loads_per_second);
  watched.questions = std::min(watched.questions + allowed * seconds, std::max(allowed, kQuestionsMax));
}

void Monitor::tick() {
  const MonoTime now = world_.clock->now();
  const double seconds = to_seconds(now - ticked_);
  ticked_ = now;
  for (const auto& origin : sources_) origin->history.forget_before(now - kChangesKept);
  for (std::size_t i = 0; i < features_.size(); ++i) {
    Watched& watched = *features_[i];
    if (seconds > 0.0) measure_rates(watched, seconds);
    watched.monitor->tick(now);
    if (world_.count) world_.count(i, now, watched.by_stream, watched.by_origin);
    watched.by_stream = watched.by_origin = {};
  }
  tick_timer_ = world_.home->schedule(world_.home->now() + kTickPeriod, [this] { tick(); });
}

void Monitor::ask(std::size_t index) {
  Watched& watched = *features_[index];
  const MonitoredFeature& facts = watched.monitor->facts();
  watched.is_paused = world_.origin_suffers && world_.origin_suffers(facts.origin);
  const std::size_t questions =
      watched.is_paused || facts.budget.sample <= 0.0 ? 0 : static_cast<std::size_t>(watched.questions);
  for (OriginJudge::Question& question : watched.monitor->ask(world_.clock->now(), questions)) {
    watched.questions -= 1.0;
    ++watched.asked;
    spawn(check(index, std::move(question)));
  }
}

void Monitor::check_changes(std::size_t index) {
  Watched& watched = *features_[index];
  const auto questions =
      watched.is_paused || watched.questions < 1.0 ? 0 : static_cast<std::size_t>(watched.questions);
  for (ChangeChecks::Due& due : watched.monitor->changes_due(world_.clock->now(), questions)) {
    watched.questions -= 1.0;
    spawn(check_change(index, std::move(due)));
  }
}

Task<void> Monitor::check_change(std::size_t index, ChangeChecks::Due due) {
  const std::shared_ptr<bool> alive = alive_;
  const FeatureId id = features_[index]->feature->id();
  const TierCopies held = co_await features_[index]->cache->copies(id, due.key);
  if (*alive) features_[index]->monitor->judge_change(due, held);
}

Task<void> Monitor::check(std::size_t index, OriginJudge::Question question) {
  const std::shared_ptr<bool> alive = alive_;
  const MonoTime asked = world_.clock->now();
  OriginFeature* origin = features_[index]->feature->origin();
  Result<OriginRow> row = co_await origin->load_urgent(std::move(question.key),
                                                       world_.home->now() + kAnswerWithin, in_background());
  if (!*alive) co_return;
  OriginJudge::Answer answer;
  answer.asked = asked;
  answer.answered = world_.clock->now();
  answer.failed = !row.has_value();
  if (row) {
    answer.negative = !row->value.has_value();
    answer.value_hash = row->value ? fingerprint(*row->value) : 0;
  }
  features_[index]->monitor->answered(question.entry, answer);
}

std::vector<FeatureExposure> Monitor::exposures() const {
  std::vector<FeatureExposure> out;
  const MonoTime now = world_.clock->now();
  for (const auto& watched : features_) {
    FeatureExposure& one = out.emplace_back();
    watched->monitor->fill(one, now);
    const FeaturePolicy& policy = watched->feature->policy();
    one.delivery.ttl_seconds = to_seconds(policy.ttl);
    one.delivery.ttl_jitter = policy.ttl_jitter;
    one.origin_loads_per_second = watched->loads_per_second;
    one.check_loads_per_second = watched->checks_per_second;
    one.load_seconds_mean =
        1e-9 * static_cast<double>(watched->feature->load_cost_ns.load(std::memory_order_relaxed));
    one.checks_paused = watched->is_paused;
  }
  return out;
}

}  // namespace candor
