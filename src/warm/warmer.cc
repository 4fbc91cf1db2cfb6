#include "warm/warmer.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace candor::warm {
namespace {

// Would the same key fail again, whatever the origin's health?
bool is_for_good(const Error& error) {
  return error.code == ErrorCode::kRejected || error.code == ErrorCode::kInvalidArgument ||
         error.code == ErrorCode::kLimit;
}

// No key is to blame: it is tried again as long as it takes.
bool is_of_the_origin(const Error& error) {
  return error.code == ErrorCode::kOriginDown || error.code == ErrorCode::kOverloaded;
}

WarmState state_of(CacheCore::Warmed how) {
  switch (how) {
    case CacheCore::Warmed::kStored:
      return WarmState::kLoaded;
    case CacheCore::Warmed::kHeld:
      return WarmState::kHeld;
    case CacheCore::Warmed::kAbsent:
      return WarmState::kAbsent;
    case CacheCore::Warmed::kDropped:
      return WarmState::kDropped;
    case CacheCore::Warmed::kFailed:
      break;
  }
  return WarmState::kFailed;
}

}  // namespace

std::uint64_t WarmTally::total() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : keys) sum += count;
  return sum;
}

Warmer::Warmer(World world)
    : world_(std::move(world)),
      by_feature_(world_.features),
      problems_(world_.features),
      expected_(world_.features, 0.0) {
  for (const Lane& lane : world_.lanes) lanes_.push_back(LaneState{{}, WarmPace(lane.statements_max)});
}

Warmer::~Warmer() { halt(); }

void Warmer::halt() {
  is_halted_ = true;
  *alive_ = false;
  world_.home->cancel(timer_);
}

// ---- what is to be warmed ----

void Warmer::begin_run() {
  is_running_ = true;
  ++runs_;
  began_ = world_.home->now();
  sources_.clear();
  named_.clear();
  tallies_ = {};
  std::ranges::fill(by_feature_, WarmTally{});
  std::ranges::fill(problems_, std::string());
  std::ranges::fill(expected_, 0.0);
  warmed_reads_ = 0.0;
  for (LaneState& lane : lanes_) lane.most = 0;
}

std::size_t Warmer::open_source(std::string name, WarmClass of) {
  if (!is_running_) begin_run();
  const auto same = [&](const Source& source) { return source.of == of && source.name == name; };
  auto found = std::ranges::find_if(sources_, same);
  if (found == sources_.end())
    found = sources_.insert(found, Source{.name = std::move(name), .of = of, .problem = {}});
  ++found->open;
  return static_cast<std::size_t>(found - sources_.begin());
}

std::uint64_t Warmer::name_of(const WarmItem& item) {
  return hash_bytes(item.key, 0x9e3779b97f4a7c15 + item.feature.value);
}

// A key that waits in a worse line goes into the better one as well: whichever comes later finds it held. One
// that is done may have been forgotten since: it is asked for again. Its reads are counted once.
bool Warmer::note_name(WarmClass of, WarmItem* item) {
  const auto [at, is_new] = named_.try_emplace(name_of(*item), Named{.of = of});
  if (is_new) return true;
  if (!at->second.is_done && at->second.of <= of) return false;
  at->second = {.of = std::min(of, at->second.of)};
  item->reads = 0;
  return true;
}

void Warmer::add(std::size_t source, std::vector<WarmItem> items) {
  Source& from = sources_[source];
  for (WarmItem& item : items) {
    const bool has_room = named_.size() < kKeysMax || named_.contains(name_of(item));
    if (has_room && !note_name(from.of, &item)) continue;
    ++from.keys;
    WarmTally& tally = tallies_[static_cast<std::size_t>(from.of)];
    const bool is_taken = has_room && item.key.size() <= kKeyBytesMax;
    tally.add(WarmState::kWaiting);
    by_feature_[item.feature.value].add(WarmState::kWaiting);
    if (!is_taken) {
      finish(from.of, item, WarmState::kSkipped);
    } else {
      lanes_[world_.lane_of(item.feature)].line.add(from.of, std::move(item));
    }
  }
  wake(world_.home->now());
}

void Warmer::close_source(std::size_t source, std::string problem, bool is_the_origins) {
  --sources_[source].open;
  if (!problem.empty()) {
    sources_[source].problem = std::move(problem);
    sources_[source].is_the_origins = is_the_origins;
  }
  wake(world_.home->now());
}

void Warmer::expect(FeatureId feature, double reads) {
  if (expected_[feature.value] == 0.0) expected_[feature.value] = reads;
}

// ---- the work ----

void Warmer::wake(MonoTime at) {
  if (is_halted_ || at >= wake_at_) return;
  world_.home->cancel(timer_);
  timer_ = {};
  wake_at_ = at;
  auto look = [this, alive = alive_] {
    if (!*alive) return;
    wake_at_ = MonoTime::max();
    turn();
  };
  // At once is after what others have posted meanwhile: home may be a loop that serves.
  if (at <= world_.home->now())
    world_.home->post(std::move(look));
  else
    timer_ = world_.home->schedule(at, std::move(look));
}

void Warmer::turn() {
  MonoTime next = MonoTime::max();
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    work_on(lane, kKeysPerTurn, &next);
    if (is_halted_) return;
  }
  end_run_if_done();
  if (next != MonoTime::max()) wake(next);
}

void Warmer::work_on(std::size_t number, std::size_t keys_max, MonoTime* next) {
  LaneState& lane = lanes_[number];
  if (lane.line.size() == 0) return;
  const MonoTime now = world_.home->now();
  const auto later = [&](MonoTime at) { *next = std::min(*next, at); };
  skip_what_has_no_room(lane);
  const Health health = world_.health(number);
  if (health == Health::kBusy) {
    lane.pace.on_busy(now);
    later(now + kBusyPause);
    if (lane.statements > 0) return;
    // Readers come first; but a line of readers that never ends must not be the end of warming.
  }
  if (health == Health::kAway) {
    // One question in a while finds out when it is back.
    if (lane.statements > 0 || now < lane.next_probe) return later(now + kAwayPause);
    lane.next_probe = now + kAwayPause;
  }
  std::size_t keys = 0;
  while (keys < keys_max && lane.statements < std::max(1U, lane.pace.window(now))) {
    if (lane.pace.window(now) == 0 && health != Health::kAway) {
      later(lane.pace.paused_until());
      break;
    }
    auto group = lane.line.take([&](FeatureId id) { return health == Health::kAway ? 1 : batch_of(id); });
    if (!group) break;
    keys += group->items.size();
    send(number, std::move(*group));
    if (is_halted_ || health != Health::kWell) break;
  }
  if (keys >= keys_max) later(now);
}

std::size_t Warmer::batch_of(FeatureId feature) const {
  return std::clamp<std::size_t>(world_.batch_of(feature), 1, kBatchMax);
}

// Only what was warmed before, and is worth more, would go.
void Warmer::skip_what_has_no_room(LaneState& lane) {
  const auto next = lane.line.next_class();
  if (!next || *next == WarmClass::kCritical || !world_.is_full()) return;
  for (const WarmClass of : {WarmClass::kHot, WarmClass::kRest})
    for (const WarmItem& item : lane.line.drop(of)) finish(of, item, WarmState::kSkipped);
}

void Warmer::send(std::size_t number, WarmLine::Group group) {
  LaneState& lane = lanes_[number];
  lane.most = std::max(lane.most, ++lane.statements);
  ++lane.sent;
  auto flying = std::make_shared<Flying>();
  flying->lane = number;
  flying->waiting = group.items.size();
  flying->began = world_.home->now();
  flying->number = lane.sent;
  flying->alone = lane.statements == 1;
  flying->is_full = group.items.size() == batch_of(group.items.front().feature);
  flying->group = std::move(group);
  // Those that are held already answer at once.
  for (std::size_t i = 0; i < flying->group.items.size(); ++i) {
    const WarmItem& item = flying->group.items[i];
    auto done = [this, alive = alive_, flying, i](CacheCore::Warmed how, const Error* error) {
      if (*alive) on_warmed(flying, i, how, error);
    };
    world_.load(item.feature, item.key, std::move(done));
  }
}

void Warmer::on_warmed(const std::shared_ptr<Flying>& flying, std::size_t index, CacheCore::Warmed how,
                       const Error* error) {
  WarmItem& item = flying->group.items[index];
  if (how != CacheCore::Warmed::kStored && how != CacheCore::Warmed::kAbsent) flying->is_full = false;
  const bool has_failed = how == CacheCore::Warmed::kFailed && error != nullptr;
  if (has_failed) problems_[item.feature.value] = error->message;
  const bool is_transient = has_failed && !is_for_good(*error);
  flying->failed = flying->failed || is_transient;
  WarmLine& line = lanes_[flying->lane].line;
  if (is_transient && is_of_the_origin(*error)) {
    line.put_back(flying->group.of, std::move(item), WarmLine::Again::kNext);
  } else if (is_transient && error->code == ErrorCode::kTimeout &&
             world_.health(flying->lane) != Health::kWell) {
    // Its time went by in a line that readers went ahead of.
    line.put_back(flying->group.of, std::move(item), WarmLine::Again::kLast);
  } else if (is_transient && ++item.attempts < kAttemptsMax) {
    line.put_back(flying->group.of, std::move(item), WarmLine::Again::kLast);
  } else {
    finish(flying->group.of, item, state_of(how));
  }
  if (--flying->waiting == 0) on_landed(*flying);
}

void Warmer::on_landed(Flying& flying) {
  LaneState& lane = lanes_[flying.lane];
  --lane.statements;
  const MonoTime now = world_.home->now();
  if (flying.failed) {
    lane.pace.on_failure(now);
  } else if (flying.is_full) {
    const bool alone = flying.alone && lane.sent == flying.number;
    lane.pace.on_done(flying.group.items.front().feature, now - flying.began, alone);
  }
  wake(std::max(now, lane.pace.paused_until()));
}

void Warmer::finish(WarmClass of, const WarmItem& item, WarmState state) {
  tallies_[static_cast<std::size_t>(of)].end(state);
  by_feature_[item.feature.value].end(state);
  ever_.add(state);
  if (const auto named = named_.find(name_of(item)); named != named_.end()) named->second.is_done = true;
  // "No such row" is an answer too.
  if (state == WarmState::kLoaded || state == WarmState::kHeld || state == WarmState::kAbsent)
    warmed_reads_ += item.reads;
}

void Warmer::end_run_if_done() {
  if (!is_running_) return;
  for (const Source& source : sources_)
    if (source.open > 0) return;
  for (const LaneState& lane : lanes_)
    if (lane.line.size() > 0 || lane.statements > 0) return;
  is_running_ = false;
  ended_ = world_.home->now();
  named_.clear();
  if (world_.ended) world_.ended();
}

// ---- how it stands ----

bool Warmer::is_busy() const {
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    if ((lanes_[i].line.size() > 0 || lanes_[i].statements > 0) && world_.health(i) != Health::kAway)
      return true;
  return false;
}

bool Warmer::is_critical_done() const {
  for (const Source& source : sources_)
    if (source.open > 0 && source.of == WarmClass::kCritical) return false;
  return tallies_[static_cast<std::size_t>(WarmClass::kCritical)].of(WarmState::kWaiting) == 0;
}

std::optional<double> Warmer::predicted_hit_rate() const {
  double expected = 0.0;
  for (const double reads : expected_) expected += reads;
  if (expected <= 0.0) return std::nullopt;
  return std::min(1.0, warmed_reads_ / expected);
}

WarmProgress Warmer::progress() const {
  WarmProgress out;
  out.is_running = is_running_;
  out.runs = runs_;
  if (runs_ > 0) out.took = (is_running_ ? world_.home->now() : ended_) - began_;
  out.by_class = tallies_;
  out.ever = ever_;
  for (const WarmTally& tally : tallies_)
    for (std::size_t i = 0; i < kWarmStates; ++i) out.all.keys[i] += tally.keys[i];
  const std::uint64_t waiting = out.all.of(WarmState::kWaiting);
  const double seconds = to_seconds(out.took);
  if (seconds > 0) out.keys_per_second = static_cast<double>(out.all.total() - waiting) / seconds;
  if (is_running_ && out.keys_per_second > 0)
    out.eta = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(static_cast<double>(waiting) / out.keys_per_second));
  for (std::size_t i = 0; i < by_feature_.size(); ++i)
    if (by_feature_[i].total() > 0)
      out.features.push_back({FeatureId{static_cast<std::uint16_t>(i)}, by_feature_[i], problems_[i]});
  for (const Source& source : sources_)
    out.sources.push_back(
        {source.name, source.keys, (source.open > 0), source.problem, source.is_the_origins});
  const MonoTime now = world_.home->now();
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    out.origins.push_back({world_.lanes[i].origin, lanes_[i].statements, lanes_[i].pace.window(now),
                           lanes_[i].pace.max(), lanes_[i].most});
  out.predicted_hit_rate = predicted_hit_rate();
  return out;
}

}  // namespace candor::warm
