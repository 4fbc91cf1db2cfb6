#include "controller/steered_world.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace candor::testing {
namespace {

constexpr Duration kTick = 100ms;
constexpr Duration kEvaluate = 5s;
constexpr double kJitter = 0.1;

MonitoredFeature monitored(const SteeredOptions& options) {
  MonitoredFeature facts;
  facts.name = "feature";
  facts.is_watched = options.is_watched;
  facts.may_steer = true;
  facts.budget = {
      .max_staleness = options.limit, .stale_fraction = options.allowed, .window = 1h, .sample = 0.1};
  return facts;
}

SteeredFeature steered(const SteeredOptions& options) {
  SteeredFeature feature;
  feature.name = "feature";
  feature.ttl_seconds = to_seconds(options.ttl);
  feature.ttl_jitter = kJitter;
  feature.facts.can_store = options.through_share > 0.0;
  feature.facts.through_share = options.through_share;
  for (const Lever lever : options.missing)
    feature.not_at_hand[static_cast<std::size_t>(lever)] = "not in this world";
  return feature;
}

MonoTime to_ms(MonoTime t) { return MonoTime{t.ns / 1'000'000 * 1'000'000}; }

}  // namespace

SteeredWorld::SteeredWorld(const SteeredOptions& options)
    : options_(options),
      random_(options.seed),
      keys_(options.keys),
      monitor_(monitored(options), options.is_watched ? &history_ : nullptr, 999, options.seed + 1),
      controller_(
          std::make_unique<Controller>(std::vector{steered(options)}, options.limits, this, nullptr)) {
  history_.begin_anew(now_);
  proven_ = now_;
}

Duration SteeredWorld::exponential(double per_second) {
  return Duration{static_cast<std::int64_t>(-1e9 * std::log(1.0 - random_.unit()) / per_second)};
}

double SteeredWorld::updates_now() const {
  return options_.updates_per_second *
         (options_.updates_factor ? options_.updates_factor(now_ - began_) : 1.0);
}
double SteeredWorld::reads_now() const {
  return options_.reads_per_second * (options_.reads_factor ? options_.reads_factor(now_ - began_) : 1.0);
}
Duration SteeredWorld::ttl_now() const {
  if (positions_.ttl_seconds <= 0.0) return options_.ttl;
  return Duration{static_cast<std::int64_t>(1e9 * positions_.ttl_seconds)};
}

// r / (1 + r T') for each key, T' until the ttl or, where changes are heard of, the next change.
double SteeredWorld::base_loads(Duration since) const {
  const double u =
      options_.updates_per_second * (options_.updates_factor ? options_.updates_factor(since) : 1.0);
  const double reads =
      options_.reads_per_second * (options_.reads_factor ? options_.reads_factor(since) : 1.0);
  const double ttl = to_seconds(options_.ttl) * (1.0 - kJitter / 2.0);
  const double life = options_.is_watched && u > 0.0 ? -std::expm1(-u * ttl) / u : ttl;
  double sum = 0.0;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const bool is_hot = i < options_.hot_keys;
    const double alike = static_cast<double>(is_hot ? options_.hot_keys : keys_.size() - options_.hot_keys);
    const double r = 0.5 * reads / alike;
    sum += r / (1.0 + r * life);
  }
  return sum;
}

void SteeredWorld::load(Key& key) {
  key.newer.clear();
  key.is_held = true;
  key.held = key.latest;
  key.loaded_at = to_ms(now_);
  key.life = Duration{
      static_cast<std::int64_t>(static_cast<double>(ttl_now().count()) * (1.0 - kJitter * random_.unit()))};
  minute().loads += 1.0;
  loads_counted_ += 1.0;
}

// Of a key whose window is open, the write becomes part of what is gathered.
void SteeredWorld::write(std::size_t index) {
  const bool is_lost = random_.unit() < options_.loss;
  const bool is_through = random_.unit() < options_.through_share;
  if (!is_through || positions_.batch_seconds <= 0.0) return commit(index, is_through, is_lost);
  if (std::exchange(keys_[index].is_gathering, true)) return;
  MonoTime until = now_ + Duration{static_cast<std::int64_t>(1e9 * positions_.batch_seconds)};
  if (!batched_.empty()) until = std::max(until, batched_.back().until);
  batched_.push_back({until, index, is_lost});
}

void SteeredWorld::commit_batched() {
  while (!batched_.empty() && batched_.front().until <= now_) {
    const Batched one = batched_.front();
    batched_.pop_front();
    keys_[one.key].is_gathering = false;
    commit(one.key, true, one.is_lost);
  }
}

void SteeredWorld::commit(std::size_t index, bool is_through, bool is_lost) {
  Key& key = keys_[index];
  const Version version{now_, next_id_++, is_lost};
  key.latest = version.id;
  if (key.is_held) key.newer.push_back(version);
  if (is_through && positions_.synchronous) key.is_held = false;
  if (!options_.is_watched) return;
  MonoTime at = now_ + exponential(1e9 / static_cast<double>(options_.delay.count()));
  if (!stream_.empty()) at = std::max(at, stream_.back().at);
  stream_.push_back({at, index, version});
}

void SteeredWorld::deliver() {
  while (!stream_.empty() && stream_.front().at <= now_) {
    const OnItsWay one = stream_.front();
    stream_.pop_front();
    if (one.version.is_lost) continue;
    HeardChange heard{ChangeId{one.version.id}, one.version.committed, one.at};
    history_.add(hash_of(one.key), heard);
    monitor_.on_change(now_, hash_of(one.key), heard);
    Key& key = keys_[one.key];
    if (!key.is_held || key.held >= one.version.id) continue;
    key.is_held = false;
    if (positions_.refresh_on_change) load(key);
  }
  proven_ = std::max(proven_, stream_.empty() ? now_ : stream_.front().version.committed);
}

void SteeredWorld::read(std::size_t index) {
  deliver();
  Key& key = keys_[index];
  PickedRead picked;
  picked.key = std::to_string(index);
  picked.key_hash = hash_of(index);
  picked.at = to_ms(now_);
  const Duration age = now_ - key.loaded_at;
  const bool is_fresh = key.is_held && age < std::min(key.life, ttl_now());
  if (!is_fresh || random_.unit() < positions_.origin_fraction) {
    load(key);
    picked.tier = Tier::kOrigin;
  }
  minute().reads += 1.0;
  if (!key.newer.empty() && now_ - key.newer.front().committed > options_.limit) minute().over += 1.0;
  if (random_.unit() >= options_.chance) return;
  picked.loaded_at = key.loaded_at;
  picked.stamp.up_to = ChangeId{options_.is_watched ? key.held : 0};
  picked.value_hash = mix64(key.held + 77);
  picked.weight = 1.0 / options_.chance;
  constexpr double kSample = 0.1;
  const double part = std::min(1.0, kSample / options_.chance);
  picked.is_checked = random_.unit() < part;
  picked.check_weight = picked.weight / part;
  monitor_.on_read(now_, std::move(picked));
}

void SteeredWorld::tick() {
  commit_batched();
  deliver();
  (void)monitor_.settle(now_, proven_);
  constexpr double kSmoothing = 0.2;
  if (++ticks_ % 10 == 0) {
    monitor_.tick(now_);
    loads_per_second_ += kSmoothing * (loads_counted_ - loads_per_second_);
    loads_counted_ = 0.0;
  }
  allowance_ = std::min(allowance_ + 0.1 * options_.questions, 10.0 * options_.questions);
  for (const OriginJudge::Question& question : monitor_.ask(now_, static_cast<std::size_t>(allowance_))) {
    allowance_ -= 1.0;
    OriginJudge::Answer answer;
    answer.asked = answer.answered = now_;
    answer.value_hash = mix64(keys_[std::stoul(question.key)].latest + 77);
    monitor_.answered(question.entry, answer);
  }
  if (ticks_ % static_cast<std::uint64_t>(kEvaluate / kTick) == 0) evaluate();
}

FeatureExposure SteeredWorld::exposure() const {
  FeatureExposure out;
  monitor_.fill(out, now_);
  out.delivery.ttl_seconds = to_seconds(ttl_now());
  out.delivery.loss = options_.is_watched ? options_.loss : 0.0;
  out.origin_loads_per_second = loads_per_second_;
  out.load_seconds_mean = 0.001;
  return out;
}

void SteeredWorld::evaluate() {
  ExposureReport report;
  report.at = now_;
  report.wall = WallTime{now_.ns};
  report.features.push_back(exposure());
  controller_->on_report(report);
}

void SteeredWorld::run(Duration time) {
  const MonoTime end = now_ + time;
  minutes_.resize(static_cast<std::size_t>((end - began_) / 60s) + 1);
  // The fastest that rates become; what comes too often is thinned.
  constexpr double kFactorMost = 50.0;
  const double reads_most = options_.reads_per_second * (options_.reads_factor ? kFactorMost / 5.0 : 1.0);
  const double updates_most = options_.updates_per_second * static_cast<double>(keys_.size()) *
                              (options_.updates_factor ? kFactorMost : 1.0);
  MonoTime next_read = now_ + exponential(reads_most);
  MonoTime next_write = now_ + exponential(updates_most);
  MonoTime next_tick = now_ + kTick;
  while (now_ < end) {
    now_ = std::min({next_read, next_write, next_tick});
    if (now_ == next_tick) {
      tick();
      next_tick = now_ + kTick;
    } else if (now_ == next_read) {
      const bool is_hot = random_.unit() < 0.5;
      const std::size_t index = is_hot ? random_.below(options_.hot_keys)
                                       : options_.hot_keys + random_.below(keys_.size() - options_.hot_keys);
      if (random_.unit() * reads_most < reads_now()) read(index);
      next_read = now_ + exponential(reads_most);
    } else {
      deliver();
      const std::size_t index = random_.below(keys_.size());
      if (random_.unit() * updates_most < updates_now() * static_cast<double>(keys_.size())) write(index);
      next_write = now_ + exponential(updates_most);
    }
  }
}

Result<void> SteeredWorld::set_ttl(std::string_view /*feature*/, std::optional<Duration> ttl) {
  positions_.ttl_seconds = ttl ? to_seconds(*ttl) : 0.0;
  return {};
}
Result<void> SteeredWorld::set_refresh_on_change(std::string_view /*feature*/, bool is_on) {
  positions_.refresh_on_change = is_on;
  return {};
}
Result<void> SteeredWorld::set_synchronous(std::string_view /*feature*/, bool is_on) {
  positions_.synchronous = is_on;
  return {};
}
Result<void> SteeredWorld::set_batch_window(std::string_view /*feature*/, Duration window) {
  positions_.batch_seconds = to_seconds(window);
  return {};
}
Result<void> SteeredWorld::set_origin_reads(std::string_view /*feature*/, double fraction) {
  positions_.origin_fraction = fraction;
  return {};
}

}  // namespace candor::testing
