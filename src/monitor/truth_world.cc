#include "monitor/truth_world.h"

#include <algorithm>
#include <cmath>

namespace candor::testing {

namespace {

MonitoredFeature facts_of(const TruthOptions& options, bool is_watched) {
  MonitoredFeature facts;
  facts.name = "feature";
  facts.is_watched = is_watched;
  facts.budget.max_staleness = options.limit;
  facts.budget.sample = options.sample;
  return facts;
}

MonoTime to_ms(MonoTime t) { return MonoTime{t.ns / 1'000'000 * 1'000'000}; }

}  // namespace

TruthWorld::TruthWorld(const TruthOptions& options)
    : options_(options),
      random_(options.seed),
      began_(now_),
      keys_(options.keys),
      monitor_(facts_of(options,
                        options.scenario != Scenario::kTtlOnly && options.scenario != Scenario::kServeStale),
               options.scenario != Scenario::kTtlOnly && options.scenario != Scenario::kServeStale ? &history_
                                                                                                   : nullptr,
               999, options.seed + 1) {
  history_.begin_anew(now_);
  proven_ = now_;
}

Duration TruthWorld::exponential(double per_second) {
  return Duration{static_cast<std::int64_t>(-1e9 * std::log(1.0 - random_.unit()) / per_second)};
}

// The middle third of the run.
bool TruthWorld::origin_is_down() const {
  const Duration since = now_ - began_;
  return options_.scenario == Scenario::kServeStale && since > options_.run / 3 &&
         since < options_.run * 2 / 3;
}
bool TruthWorld::stream_is_dead() const {
  return options_.scenario == Scenario::kDead && now_ - began_ > options_.run / 2;
}

void TruthWorld::write(std::size_t index) {
  Version version;
  version.committed = now_;
  version.id = next_id_++;
  version.is_lost = options_.scenario == Scenario::kLossy && random_.unit() < options_.loss;
  keys_[index].versions.push_back(version);
  if (!is_watched()) return;
  // One stream, in order: what comes later does not overtake.
  const Duration delay = options_.lag > Duration::zero()
                             ? exponential(1e9 / static_cast<double>(options_.lag.count()))
                             : Duration{1'000'000};
  MonoTime at = now_ + delay;
  if (!stream_.empty()) at = std::max(at, stream_.back().at);
  stream_.push_back({at, index, version});
}

void TruthWorld::deliver() {
  while (!stream_.empty() && stream_.front().at <= now_ && !stream_is_dead()) {
    const Delivery delivery = stream_.front();
    stream_.pop_front();
    if (delivery.version.is_lost) continue;
    HeardChange heard{ChangeId{delivery.version.id}, delivery.version.committed, delivery.at};
    history_.add(hash_of(delivery.key), heard);
    monitor_.on_change(now_, hash_of(delivery.key), heard);
    Entry& entry = keys_[delivery.key].entry;
    if (entry.is_held && entry.id < delivery.version.id) entry.is_held = false;
  }
  // Everything before the first change that is still on its way is here.
  if (!stream_is_dead())
    proven_ = std::max(proven_, stream_.empty() ? now_ : stream_.front().version.committed);
}

// What the value that is served now does not include.
void TruthWorld::note(const Key& key, bool degraded) {
  truth_.reads += 1.0;
  if (key.entry.versions == key.versions.size()) return;
  const Version& first = key.versions[key.entry.versions];
  if (now_ - first.committed <= options_.limit) return;
  truth_.over += 1.0;
  StaleCause cause = StaleCause::kTtlOnly;
  if (degraded) {
    cause = StaleCause::kServeStale;
  } else if (is_watched()) {
    cause = first.is_lost ? StaleCause::kLost : StaleCause::kLag;
  }
  truth_.by_cause[static_cast<std::size_t>(cause)] += 1.0;
}

void TruthWorld::read(std::size_t index) {
  deliver();
  Key& key = keys_[index];
  PickedRead picked;
  picked.key = std::to_string(index);
  picked.key_hash = hash_of(index);
  picked.at = to_ms(now_);
  const bool is_fresh = key.entry.is_held && now_ - key.entry.loaded_at < options_.ttl;
  if (!is_fresh && !origin_is_down()) {
    key.entry = {true, key.versions.empty() ? 0 : key.versions.back().id, key.versions.size(), to_ms(now_)};
    ++loads_;
    picked.tier = Tier::kOrigin;
  } else if (!is_fresh) {
    if (!key.entry.is_held) return;  // an error, which is no read of a value
    picked.degraded = true;
  }
  note(key, picked.degraded);
  if (random_.unit() >= options_.chance) return;
  picked.loaded_at = key.entry.loaded_at;
  picked.stamp.up_to = ChangeId{is_watched() ? std::max<std::uint64_t>(key.entry.id, 0) : 0};
  picked.value_hash = value_of(key, key.entry.versions);
  picked.weight = 1.0 / options_.chance;
  const double part = std::min(1.0, options_.sample / options_.chance);
  picked.is_checked = part > 0.0 && random_.unit() < part;
  picked.check_weight = picked.weight / part;
  monitor_.on_read(now_, std::move(picked));
}

void TruthWorld::tick() {
  deliver();
  (void)monitor_.settle(now_, proven_);
  if (++ticks_ % 10 == 0) monitor_.tick(now_);
  allowance_ = std::min(allowance_ + 0.1 * options_.questions, std::max(1.0, options_.questions) * 10.0);
  for (const OriginJudge::Question& question : monitor_.ask(now_, static_cast<std::size_t>(allowance_))) {
    allowance_ -= 1.0;
    ++asked_;
    const Key& key = keys_[std::stoul(question.key)];
    OriginJudge::Answer answer;
    answer.asked = answer.answered = now_;
    answer.failed = origin_is_down();
    answer.value_hash = value_of(key, key.versions.size());
    monitor_.answered(question.entry, answer);
  }
}

void TruthWorld::run() {
  const double updates = options_.updates_per_second * static_cast<double>(options_.keys);
  MonoTime next_read = now_ + exponential(options_.reads_per_second);
  MonoTime next_write = now_ + exponential(updates);
  MonoTime next_tick = now_ + 100ms;
  while (now_ - began_ < options_.run) {
    now_ = std::min({next_read, next_write, next_tick});
    if (now_ == next_tick) {
      tick();
      next_tick = now_ + 100ms;
    } else if (now_ == next_read) {
      read(random_.below(options_.keys));
      next_read = now_ + exponential(options_.reads_per_second);
    } else {
      deliver();
      write(random_.below(options_.keys));
      next_write = now_ + exponential(updates);
    }
  }
  // What is under way comes to its end; nobody reads any more.
  for (int i = 0; i < 900; ++i) {
    now_ = now_ + 100ms;
    tick();
  }
  (void)monitor_.settle(now_, proven_);
}

FeatureExposure TruthWorld::report() const {
  FeatureExposure out;
  monitor_.fill(out, now_);
  return out;
}

}  // namespace candor::testing
