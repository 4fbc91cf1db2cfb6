// The read river below L1. Read fetch() first.
#include <algorithm>
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "version/mutant.h"

namespace candor {

namespace {

// How long to wait before asking L2 again for a key that another node is loading. Short at first, because
// most loads take about a millisecond; the growth keeps a slow load from being polled hard.
constexpr Duration kBusyPollFirst = 1ms;
constexpr Duration kBusyPollMax = 50ms;

constexpr const char* kOriginFailed = "origin failed";
constexpr const char* kShed = "overloaded";
constexpr const char* kSoftTimeout = "soft timeout";
constexpr const char* kHardTimeout = "origin timeout";

template <typename Flight>
bool has_reader(const Flight& flight) {
  return std::ranges::any_of(flight.waiters,
                             [](const auto& waiter) { return waiter->is_reader && !waiter->served; });
}

const char* reason_of(const Error& error) {
  return error.code == ErrorCode::kOverloaded ? kShed : kOriginFailed;
}

LoadClass load_class_of(const Feature& feature) {
  static_assert(static_cast<int>(Priority::kLow) == static_cast<int>(LoadClass::kLow));
  return static_cast<LoadClass>(feature.policy().priority);
}

Error timed_out(const Feature& feature) {
  return Error{ErrorCode::kTimeout,
               "feature '" + feature.policy().name +
                   "': the read did not finish within its deadline; the origin is slow or "
                   "hard_timeout is too short"};
}

}  // namespace

// One page: the disk, L2 or a lease, the origin, the fence, the fills. Every step may fail and says what the
// next one does about it.
Task<Result<CacheCore::MissPath::Loaded>> CacheCore::MissPath::fetch(Feature* feature, std::string key,
                                                                     FlightPtr flight) {
  const std::string name = flight->name;
  const LoadsUnderWay::Ticket ticket(&loads_, parts_.home->now());
  const MonoTime deadline = parts_.home->now() + feature->policy().hard_timeout;

  std::optional<Loaded> on_disk = co_await ask_disk(feature, key, flight, deadline);
  if (on_disk) {
    fill_l1(*feature, key, *on_disk);  // nothing has come since it was judged
    co_return std::move(*on_disk);
  }

  const FromL2 wanted = flight->past_tiers  ? FromL2::kLease
                        : flight->refreshes ? FromL2::kNewer
                                            : FromL2::kAny;
  const MonoTime asked = parts_.home->now();
  L2Answer l2 = co_await ask_l2(feature, name, deadline, wanted);
  flight->in_l2 = parts_.home->now() - asked;
  if (l2.hit) {
    note_seen(*feature, key, name, l2.hit->stamp);
    const bool keeps = may_keep(*flight);
    if (keeps) fill_l1(*feature, key, *l2.hit);
    tell_l2_hit(*feature, key, *l2.hit, keeps);
    co_return std::move(*l2.hit);
  }

  const MonoTime began = parts_.home->now();
  Result<Loaded> loaded = co_await confirm_or_load(feature, key, flight->repairs, deadline, flight->urgency);
  flight->in_origin = parts_.home->now() - began;
  if (!loaded) {
    if (l2.lease.value != 0) (void)co_await parts_.l2->release(name, l2.lease);
    co_return loaded;
  }

  // What was confirmed keeps its life, and was seen when it was loaded.
  const bool is_new = loaded->tier != Tier::kL1;
  if (is_new) loaded->ttl = ttl_of(*feature, *loaded);
  loaded->l2_generation = l2.generation;
  loaded->l2_tag_mark = l2.tag_mark;
  if (is_new) note_seen(*feature, key, name, loaded->stamp);
  bool may_store = may_keep(*flight) && markers_allow(*feature, name, loaded->stamp);
  if (may_store && l2.lease.value != 0) may_store = co_await fill_l2(feature, name, l2.lease, *loaded);
  // Asked again: an invalidation may have come while L2 was filled. From here to the end of fill_l1() nothing
  // can.
  may_store = may_store && may_keep(*flight) && markers_allow(*feature, name, loaded->stamp);
  if (!is_new && mutant(Mutant::kRepairUnfenced)) may_store = true;
  if (may_store) fill_l1(*feature, key, *loaded);
  // A lease that is not used is given back, or nobody could load the key before it ends.
  if (!may_store && l2.lease.value != 0) (void)co_await parts_.l2->release(name, l2.lease);
  if (parts_.observer != nullptr) {
    const KeyRef ref{feature->id(), key};
    parts_.observer->on_fill(ref, loaded->stamp, may_store ? FillOutcome::kStored : FillOutcome::kFenced);
  }
  co_return loaded;
}

bool CacheCore::MissPath::may_keep(const Flights::Flight& flight) const {
  // The origin's row is older than what is pending of the key.
  if (is_pending(*features_[flight.feature.value], flight.name)) return false;
  return (!flight.fenced || mutant(Mutant::kFenceOff)) &&
         !unsettled_.is_unsettled(flight.name, parts_.home->now());
}

Task<CacheCore::MissPath::L2Answer> CacheCore::MissPath::ask_l2(Feature* feature, std::string name,
                                                                MonoTime deadline, FromL2 wanted) {
  L2Answer answer;
  if (l2_of(*feature) == nullptr) co_return answer;
  bool refresh = wanted != FromL2::kAny;
  if (wanted == FromL2::kNewer && !owed_.owes(name)) {
    // Another node may have refreshed it already: then what L2 holds has most of its life before it.
    Result<std::optional<L2Entry>> held = co_await parts_.l2->get(name);
    if (held && *held && (*held)->ttl_left > feature->policy().ttl / 2) refresh = false;
  }
  Duration pause = kBusyPollFirst;
  while (!owed_.owes(name) && l2_is_believed(*feature)) {
    const MonoTime asked = parts_.home->now();
    Result<L2Lookup> found = co_await parts_.l2->get_or_lease(name, feature->policy().lease_ttl, refresh);
    if (!found) break;  // L2 is away: straight to the origin, without a lease and without a fill
    if (found->l2 < l2_heard_ && !mutant(Mutant::kL2GenerationIgnored)) {
      // It has forgotten invalidations that the region told it: nothing it holds is believed.
      ++l2_lost_writes;
      if (found->state == L2Lookup::State::kLease) (void)co_await parts_.l2->release(name, found->token);
      break;
    }
    if (found->state == L2Lookup::State::kLease) {
      answer.lease = found->token;
      answer.generation = found->l2.generation;
      answer.tag_mark = found->tag_mark;
      break;
    }
    if (found->state == L2Lookup::State::kHit) {
      L2Entry& entry = found->entry;
      if (!markers_allow(*feature, name, entry.stamp) && !refresh) {
        refresh = true;  // it lacks a change that this node has heard of: load beside it
        continue;
      }
      feature->counters.hits_l2.add();
      Loaded hit;
      if (!entry.negative) hit.value = std::make_shared<const std::string>(std::move(entry.value));
      hit.stamp = entry.stamp;
      hit.tier = Tier::kL2;
      hit.as_of = asked - entry.age;
      hit.ttl = entry.ttl_left;
      answer.hit = std::move(hit);
      break;
    }
    // Somebody else loads, and may have asked before we did.
    if (wanted == FromL2::kLease) break;
    if (parts_.home->now() + pause >= deadline)
      break;  // the lease's holder is too slow for us: load ourselves
    co_await sleep_for(*parts_.home, pause);
    pause = std::min(kBusyPollMax, pause * 2);
  }
  co_return answer;
}

Task<Result<CacheCore::MissPath::Loaded>> CacheCore::MissPath::load_from_origin(Feature* feature,
                                                                                std::string key,
                                                                                MonoTime deadline,
                                                                                LoadUrgencyPtr urgency) {
  const MonoTime began = parts_.home->now();
  feature->counters.loads.add();
  Result<OriginRow> row = co_await feature->origin()->load_urgent(key, deadline, std::move(urgency));
  const Duration took = parts_.home->now() - began;
  if (parts_.observer != nullptr) {
    const KeyRef ref{feature->id(), key};
    parts_.observer->on_load(ref, took, row.has_value());
  }
  if (!row) {
    (row.error().code == ErrorCode::kTimeout ? feature->counters.loads_timeout
                                             : feature->counters.loads_failed)
        .add();
    co_return std::unexpected(std::move(row.error()));
  }
  (row->value ? feature->counters.loads_ok : feature->counters.loads_absent).add();
  // Weight 1/8, as TCP's smoothed round trip (RFC 6298): steady, yet follows a change within some ten loads.
  const auto old_cost = feature->load_cost_ns.load(std::memory_order_relaxed);
  const auto cost = static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count()));
  feature->load_cost_ns.store(old_cost == 0 ? cost : old_cost - old_cost / 8 + cost / 8,
                              std::memory_order_relaxed);

  Loaded loaded;
  if (row->value) loaded.value = std::make_shared<const std::string>(std::move(*row->value));
  loaded.stamp = row->stamp;
  loaded.origin_ttl = row->ttl_left;
  loaded.as_of = began;  // the row may be as old as that
  loaded.in_origin = took;
  co_return loaded;
}

Task<bool> CacheCore::MissPath::fill_l2(Feature* feature, std::string name, LeaseToken lease, Loaded loaded) {
  L2Entry entry;
  if (loaded.value) entry.value = *loaded.value;
  entry.negative = loaded.value == nullptr;
  entry.stamp = loaded.stamp;
  entry.age = parts_.home->now() - loaded.as_of;
  entry.ttl_left = loaded.ttl;
  entry.generation = loaded.l2_generation;
  entry.tag_mark = loaded.l2_tag_mark;
  Result<L2FillVerdict> verdict = co_await parts_.l2->fill(std::move(name), lease, std::move(entry));
  // L2 away: L1 may still keep the value, the local fence guards it. Lease lost or marker newer: somebody
  // changed the row after our load began (or the load outlived its lease): keep it nowhere.
  (void)feature;
  co_return !verdict || *verdict == L2FillVerdict::kStored;
}

Duration CacheCore::MissPath::ttl_of(const Feature& feature, const Loaded& loaded) {
  const Duration ttl = jittered_ttl(feature.policy(), loaded.value == nullptr, random_);
  if (!loaded.origin_ttl) return ttl;
  const Duration left = std::max<Duration>(*loaded.origin_ttl - (parts_.home->now() - loaded.as_of), 1ms);
  return ttl <= Duration::zero() ? left : std::min(ttl, left);
}

// Where nobody hears of changes, what a reload replaces tells for nothing how often there are some.
void CacheCore::MissPath::note_reload(const Feature& feature, std::string_view key, const Loaded& loaded) {
  if (parts_.observer == nullptr || feature.is_heard() || loaded.tier != Tier::kOrigin) return;
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView old;
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now_ms(), &old) ||
      (old.meta.user_flags & ~kHeldByDisk) != 0) {
    return;
  }
  const bool is_same =
      old.meta.negative == (loaded.value == nullptr) && (old.meta.negative || old.value == *loaded.value);
  const Duration interval = std::chrono::milliseconds(loaded.as_of.ms() - old.meta.loaded_at);
  parts_.observer->on_reload(KeyRef{feature.id(), key}, interval, !is_same);
}

void CacheCore::MissPath::fill_l1(const Feature& feature, std::string_view key, const Loaded& loaded) {
  note_reload(feature, key, loaded);
  const l1::Millis now = now_ms();
  l1::Millis as_of = mutant(Mutant::kAgeFromStore) ? now : loaded.as_of.ms();
  // What L2 answers after the floor is as good as a load of now, however long ago its own was: it was told
  // all that was missed, or would not have been asked.
  const l1::Millis floor = feature.floor_ms.load(std::memory_order_relaxed);
  if (loaded.tier == Tier::kL2 && floor != kFloorUnsettled) as_of = std::max(as_of, floor);
  const EntryLifetime life = lifetime_of(feature.policy(), now, as_of, loaded.ttl);
  l1::Store::PutRequest put;
  put.hash = parts_.l1->hash(feature.id(), key);
  put.feature = feature.id();
  put.key = key;
  if (loaded.value) put.value = *loaded.value;
  put.meta.stamp = loaded.stamp.bound();
  put.meta.user_flags = loaded.flags;
  if (loaded.tier == Tier::kL2 && !mutant(Mutant::kL2AgeTrusted)) put.meta.user_flags = kAgeFromL2;
  put.meta.loaded_at = life.loaded_at;
  put.meta.expires_at = life.expires_at;
  put.meta.negative = loaded.value == nullptr;
  if (put.meta.negative && loaded.ttl > Duration::zero()) {
    put.meta.expires_at = now + std::max<l1::Millis>(1, loaded.ttl / 1ms);  // no grace for "no such row"
  }
  put.now = now;
  (void)parts_.l1->put(put);
  // Behind it: what L1 held until now may have been evicted just before.
  if (loaded.tier != Tier::kDisk) forget_on_disk(feature, key);
}

// Plain features behind a shared L2: L2 is the value's home, and L1 keeps no copy, because nothing would tell
// this node of a change made through another.
Task<Result<CacheCore::MissPath::Loaded>> CacheCore::MissPath::fetch_plain(Feature* feature,
                                                                           std::string name) {
  if (owed_.owes(name)) {
    co_return fail(ErrorCode::kUnavailable,
                   "key '" + name + "': a change of it has not reached L2 yet; retry");
  }
  const MonoTime asked = parts_.home->now();
  Result<std::optional<L2Entry>> found = co_await parts_.l2->get(std::move(name));
  if (!found) co_return std::unexpected(std::move(found.error()));
  Loaded loaded;
  loaded.tier = Tier::kL2;
  if (*found) {
    feature->counters.hits_l2.add();
    loaded.value = std::make_shared<const std::string>(std::move((*found)->value));
    loaded.stamp = (*found)->stamp;
    loaded.as_of = asked - (*found)->age;
    loaded.ttl = (*found)->ttl_left;
  }
  co_return loaded;
}

// ---- flights and their waiters ----

void CacheCore::MissPath::read(FeatureId id, std::string key, ReadOptions options, ReadDone done) {
  Feature& feature = *this->feature(id);
  auto waiter = admit(feature, key, options, std::move(done));
  if (waiter == nullptr) return;
  const MonoTime now = parts_.home->now();
  const MonoTime deadline = std::min(options.deadline, now + feature.policy().hard_timeout);
  if (pending(feature, key) != nullptr) {
    spawn(read_behind(&feature, std::move(key), options, std::move(waiter), deadline));
    return;
  }
  read_past_pending(feature, std::move(key), options, std::move(waiter), deadline);
}

void CacheCore::MissPath::read_past_pending(Feature& feature, std::string key, ReadOptions options,
                                            std::shared_ptr<Waiter> waiter, MonoTime deadline) {
  const Consistency level = options.use_feature_level ? feature.policy().consistency : options.level;
  if (feature.origin() != nullptr) waiter->level = level;
  if (!tiers_may_answer(level) && feature.origin() != nullptr) {
    waiter->bound = options.use_feature_level ? feature.policy().max_staleness : options.bound;
    const bool is_heard = feature.is_heard();
    if (level == Consistency::kBounded && is_heard) {
      read_bounded(feature, std::move(key), std::move(waiter), deadline);
    } else if (level == Consistency::kStrong && is_heard && feature.origin()->can_confirm()) {
      spawn(read_strong(&feature, std::move(key), std::move(waiter), deadline));
    } else {
      spawn(bypass(&feature, std::move(key), std::move(waiter), deadline));
    }
    return;
  }
  // Somebody may have filled the key between the caller's miss and now.
  auto copy = feature.origin() != nullptr ? l1_copy(feature, key) : std::nullopt;
  const bool past_tiers = is_sent_past_tiers(feature, copy.has_value());
  if (copy && !past_tiers) {
    feature.counters.hits_l1.add();
    answer(feature, key, *waiter, std::move(*copy));
    return;
  }
  join_flight(feature, std::move(key), waiter, deadline, past_tiers);
}

void CacheCore::MissPath::join_flight(Feature& feature, std::string key,
                                      const std::shared_ptr<Waiter>& waiter, MonoTime deadline,
                                      bool past_tiers) {
  auto [flight, must_load] = flights_.join(feature.id(), name_of(feature, key));
  if (must_load) {
    flight->began = parts_.home->now();
    flight->past_tiers = past_tiers;
    flight->urgency = std::make_shared<LoadUrgency>(waiter->load_class);
  } else {
    if (flight->urgency != nullptr) flight->urgency->raise(waiter->load_class);
    feature.counters.coalesced.add();
  }
  flight->waiters.push_back(waiter);
  arm(flight, waiter, key, deadline);
  if (must_load) spawn(run_flight(flight, std::move(key)));
}

void CacheCore::MissPath::refresh(FeatureId id, std::string key, l1::Millis expires_at) {
  refreshes_asked.fetch_sub(1, std::memory_order_relaxed);
  Feature& feature = *this->feature(id);
  if (pending(feature, key) != nullptr) return;  // what the origin has is older
  {
    // Many readers may have asked for this refresh at once; the first one's is done when the last one's
    // request runs.
    const l1::Store::ReadGuard guard(*parts_.l1);
    l1::EntryView view;
    const bool held = parts_.l1->peek(guard, parts_.l1->hash(id, key), id, key, now_ms(), &view);
    if (!held || view.meta.expires_at != expires_at) return;
  }
  auto [flight, must_load] = flights_.join(id, name_of(feature, key));
  if (!must_load) return;
  flight->began = parts_.home->now();
  flight->refreshes = true;
  flight->urgency = in_background();
  feature.counters.refreshes.add();
  spawn(run_flight(flight, std::move(key)));
}

Task<void> CacheCore::MissPath::run_flight(FlightPtr flight, std::string key) {
  Feature* feature = this->feature(flight->feature);
  Result<Loaded> loaded;
  const bool was_for_nobody = !has_reader(*flight);
  if (feature->origin() != nullptr) {
    loaded = co_await fetch(feature, key, flight);
    // Its time went by while nobody waited: who joined since has more of it.
    if (!loaded && loaded.error().code == ErrorCode::kTimeout && was_for_nobody && has_reader(*flight))
      loaded = co_await fetch(feature, key, flight);
  } else {
    loaded = co_await fetch_plain(feature, flight->name);
  }
  flights_.finish(flight);
  flight->failed = !loaded;
  flight->confirmed = loaded && loaded->tier == Tier::kL1;

  Result<ReadResult> result;
  if (loaded) {
    if (flight->confirmed) feature->counters.hits_l1.add(flight->waiters.size());
    result->value = loaded->value;
    result->stamp = loaded->stamp.bound();
    result->tier = loaded->tier;
    result->age = parts_.home->now() - loaded->as_of;
    result->ttl_left = loaded->ttl;
    result->fresh_within = within_of(*feature, *loaded, flight->began);
  } else {
    const auto readers = static_cast<std::size_t>(
        std::ranges::count_if(flight->waiters, [](const auto& waiter) { return waiter->is_reader; }));
    count_shed(*feature, loaded.error(), readers);
    // An old value is for readers who would have nothing else.
    auto held = readers > 0 ? rescue(*feature, key, reason_of(loaded.error()), readers) : std::nullopt;
    if (held) {
      result = std::move(*held);
    } else {
      result = std::unexpected(loaded.error());
    }
  }
  // The list is moved out: an answer may start another read of the same key.
  auto waiters = std::move(flight->waiters);
  for (auto& waiter : waiters) {
    waiter->in_l2 = flight->in_l2;
    waiter->in_origin = flight->in_origin;
    const bool unproven = waiter->level == Consistency::kBounded && result &&
                          (!result->fresh_within || *result->fresh_within > waiter->bound);
    if (unproven && !waiter->served) {
      spawn(bypass(feature, key, waiter, parts_.home->now() + feature->policy().hard_timeout));
    } else {
      const bool is_for_nobody = !loaded && !waiter->is_reader;
      answer(*feature, key, *waiter,
             is_for_nobody ? std::unexpected(loaded.error()) : strictly(*feature, *waiter, result));
    }
  }
  for (const auto& origin : watched_) retire_what_may(*origin);
}

// Reads that tiers may not answer: straight to the origin. Each is its own statement in
// the batch of its turn; two readers may not share a row that was read before one of them asked.
Task<void> CacheCore::MissPath::bypass(Feature* feature, std::string key, std::shared_ptr<Waiter> waiter,
                                       MonoTime deadline) {
  Result<ReadResult> result;
  {
    const MonoTime began = parts_.home->now();
    const LoadsUnderWay::Ticket ticket(&loads_, began);
    const std::uint64_t forgets = feature->forgets;
    const auto urgency = std::make_shared<LoadUrgency>(waiter->load_class);
    Result<Loaded> loaded = co_await load_from_origin(feature, key, deadline, urgency);
    if (!loaded) count_shed(*feature, loaded.error(), 1);
    if (loaded) {
      keep_bypassed(*feature, key, *loaded, forgets);
      waiter->in_origin = loaded->in_origin;
      result->value = loaded->value;
      result->stamp = loaded->stamp.bound();
      result->age = parts_.home->now() - loaded->as_of;
      result->fresh_within = parts_.clock->now() - began;
    } else if (auto copy = proven_copy(*feature, key, *waiter)) {
      feature->counters.hits_l1.add();
      result = std::move(*copy);
    } else {
      result = std::unexpected(std::move(loaded.error()));
    }
  }
  for (const auto& origin : watched_) retire_what_may(*origin);
  answer(*feature, key, *waiter, strictly(*feature, *waiter, std::move(result)));
}

void CacheCore::MissPath::count_shed(const Feature& feature, const Error& error, std::size_t readers) const {
  if (error.code == ErrorCode::kOverloaded) feature.counters.shed.add(readers);
}

// Counts the reader in, or refuses it.
std::shared_ptr<CacheCore::MissPath::Waiter> CacheCore::MissPath::admit(Feature& feature,
                                                                        std::string_view key,
                                                                        const ReadOptions& options,
                                                                        ReadDone done) {
  if (waiting.load(std::memory_order_relaxed) >= parts_.waiters_max) {
    feature.counters.shed.add();
    const Consistency level = options.use_feature_level ? feature.policy().consistency : options.level;
    auto stale = tiers_may_answer(level) ? rescue(feature, key, kShed, 1) : std::nullopt;
    if (stale) {
      if (stale->degraded != nullptr) feature.counters.served_stale.add();
      done(std::move(*stale));
      return nullptr;
    }
    feature.counters.errors.add();
    done(fail(ErrorCode::kOverloaded, "this node already has " + std::to_string(parts_.waiters_max) +
                                          " reads waiting for L2 and the origin; retry with backoff"));
    return nullptr;
  }
  waiting.fetch_add(1, std::memory_order_relaxed);
  auto waiter = std::make_shared<Waiter>();
  waiter->done = std::move(done);
  waiter->asked = parts_.home->now();
  waiter->load_class = load_class_of(feature);
  return waiter;
}

// The reader's own clocks. Soft: serve the old value if there is one, and let the load go on. Hard: give up
// waiting.
void CacheCore::MissPath::arm(const FlightPtr& flight, const std::shared_ptr<Waiter>& waiter,
                              const std::string& key, MonoTime deadline) {
  Feature& feature = *this->feature(flight->feature);
  const FeaturePolicy& policy = feature.policy();
  // The timer holds the waiter, not the flight: when the load is done first, answer() cancels it.
  auto give_up = [this, &feature, waiter, key] {
    waiter->timer = {};
    auto stale = waiter->is_strict() ? std::nullopt : rescue(feature, key, kHardTimeout, 1);
    if (stale) {
      answer(feature, key, *waiter, std::move(*stale));
    } else {
      answer(feature, key, *waiter, strictly(feature, *waiter, std::unexpected(timed_out(feature))));
    }
  };
  if (!waiter->is_strict() && policy.soft_timeout > Duration::zero() &&
      policy.serve_stale > Duration::zero() && waiter->asked + policy.soft_timeout < deadline) {
    auto soft = [this, &feature, waiter, key, deadline, give_up]() mutable {
      waiter->timer = {};
      if (auto stale = rescue(feature, key, kSoftTimeout, 1)) {
        answer(feature, key, *waiter, std::move(*stale));
      } else {
        waiter->timer = parts_.home->schedule(deadline, std::move(give_up));
      }
    };
    waiter->timer = parts_.home->schedule(waiter->asked + policy.soft_timeout, std::move(soft));
  } else {
    waiter->timer = parts_.home->schedule(deadline, std::move(give_up));
  }
}

void CacheCore::MissPath::answer(const Feature& feature, std::string_view key, Waiter& waiter,
                                 Result<ReadResult> result) {
  if (waiter.served) return;
  waiter.served = true;
  if (!waiter.is_reader) return std::exchange(waiter.done, {})(std::move(result));
  parts_.home->cancel(waiter.timer);
  waiting.fetch_sub(1, std::memory_order_relaxed);
  if (!result) {
    feature.counters.errors.add();
  } else if (result->degraded != nullptr) {
    feature.counters.served_stale.add();
  } else if (result->tier == Tier::kDisk) {
    feature.counters.hits_disk.add();
  } else if (result->tier == Tier::kL2) {
    feature.counters.reads_l2.add();
  } else if (result->tier == Tier::kOrigin) {
    feature.counters.reads_origin.add();
  }
  if (result && !result->is_pending && lanes != nullptr && !feature.policy().plain &&
      lanes->is_due(feature.id()))
    show(feature, key, waiter.level, *result);
  tell_answered(feature, key, waiter, result);
  if (result) {
    result->in_l2 = waiter.in_l2;
    result->in_origin = waiter.in_origin;
  }
  const Duration took = parts_.home->now() - waiter.asked;
  feature.counters.read_miss_ns.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count())));
  ReadDone done = std::move(waiter.done);
  done(std::move(result));
}

void CacheCore::MissPath::tell_l2_hit(const Feature& feature, std::string_view key, const Loaded& hit,
                                      bool keeps) const {
  if (parts_.observer == nullptr) return;
  const KeyRef ref{feature.id(), key};
  parts_.observer->on_l2_hit(ref, hit.stamp, parts_.home->now() - hit.as_of,
                             keeps ? FillOutcome::kStored : FillOutcome::kFenced);
}

void CacheCore::MissPath::tell_answered(const Feature& feature, std::string_view key, const Waiter& waiter,
                                        const Result<ReadResult>& result) const {
  if (parts_.observer == nullptr) return;
  AnsweredRead read;
  read.level = waiter.level;
  read.took = parts_.home->now() - waiter.asked;
  // A load that others had begun may have taken longer than this reader waited for it.
  read.in_l2 = std::min(waiter.in_l2, read.took);
  read.in_origin = std::min(waiter.in_origin, read.took - read.in_l2);
  if (result) {
    read.tier = result->tier;
    read.negative = result->value == nullptr;
    read.degraded = result->degraded;
    read.age = result->age;
    read.fresh_within = result->fresh_within;
    read.value_bytes = result->value == nullptr ? 0 : result->value->size();
  } else {
    read.tier = Tier::kOrigin;
    read.error = error_code_name(result.error().code);
  }
  parts_.observer->on_answered(KeyRef{feature.id(), key}, read);
}

void CacheCore::MissPath::show(const Feature& feature, std::string_view key, Consistency level,
                               const ReadResult& result) {
  SampledRead read;
  read.feature = feature.id();
  read.key = key;
  if (result.value != nullptr) read.value = *result.value;
  read.negative = result.value == nullptr;
  read.tier = result.tier;
  read.level = level;
  read.degraded = result.degraded != nullptr;
  read.stamp = result.stamp;
  read.at = now_ms();
  if (result.fresh_within)
    read.fresh_within = std::chrono::ceil<std::chrono::milliseconds>(*result.fresh_within).count();
  read.loaded_at = read.at - std::chrono::duration_cast<std::chrono::milliseconds>(result.age).count();
  parts_.tap->take(read);
}

// When the origin fails: a reader who was sent past the tiers gets what they would have answered, others a
// value past its ttl.
std::optional<ReadResult> CacheCore::MissPath::rescue(const Feature& feature, std::string_view key,
                                                      const char* reason, std::size_t readers) {
  auto copy = feature.policy().origin_fraction > 0.0 ? l1_copy(feature, key) : std::nullopt;
  if (!copy) return stale_copy(feature, key, reason);
  feature.counters.hits_l1.add(readers);
  return copy;
}

// A value past its ttl that the owner allows to be served when the origin fails.
std::optional<ReadResult> CacheCore::MissPath::stale_copy(const Feature& feature, std::string_view key,
                                                          const char* reason) {
  if (feature.policy().serve_stale <= Duration::zero()) return std::nullopt;
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  const l1::Millis now = now_ms();
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now, &view) ||
      view.meta.negative || feature.is_dropped(key, view.meta.loaded_at)) {
    return std::nullopt;
  }
  ReadResult result;
  result.value = std::make_shared<const std::string>(view.value);
  result.tier = Tier::kL1;
  result.stamp = view.meta.stamp;
  result.age = std::chrono::milliseconds(now - view.meta.loaded_at);
  result.degraded = reason;
  result.is_pending = (view.meta.user_flags & kPendingWrite) != 0;
  return result;
}

std::optional<ReadResult> CacheCore::MissPath::l1_copy(const Feature& feature, std::string_view key) {
  const l1::Store::ReadGuard guard(*parts_.l1);
  l1::EntryView view;
  const l1::Millis now = now_ms();
  if (!parts_.l1->peek(guard, parts_.l1->hash(feature.id(), key), feature.id(), key, now, &view) ||
      !is_fresh(feature.policy(), view.meta, now) || feature.is_suspect(view.meta.loaded_at) ||
      feature.is_dropped_by_key(key, view.meta.loaded_at)) {
    return std::nullopt;
  }
  return copy_of(feature, view);
}

ReadResult CacheCore::MissPath::copy_of(const Feature& feature, const l1::EntryView& view) const {
  const l1::Millis now = now_ms();
  ReadResult result;
  if (!view.meta.negative) result.value = std::make_shared<const std::string>(view.value);
  result.tier = Tier::kL1;
  result.stamp = view.meta.stamp;
  result.age = std::chrono::milliseconds(now - view.meta.loaded_at);
  const l1::Millis until = fresh_until(feature.policy(), view.meta);
  if (until != 0) result.ttl_left = std::chrono::milliseconds(std::max<l1::Millis>(1, until - now));
  result.fresh_within = entry_within(feature, view.meta, parts_.clock->now());
  result.is_pending = (view.meta.user_flags & kPendingWrite) != 0;
  return result;
}

}  // namespace candor
