#include "invalidation/applier.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "version/mutant.h"

namespace candor {

namespace {

// One line, of a length that a log and a status can hold, whatever the sender wrote.
std::string readable(std::string_view reason) {
  if (reason.empty()) return "no reason was given";
  const bool is_cut = reason.size() > kFloorReasonMax;
  std::string text(reason.substr(0, is_cut ? kFloorReasonMax - 3 : reason.size()));
  std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  return is_cut ? text + "..." : text;
}

}  // namespace

Applier::Applier(Executor* executor, const Clock* clock, RegionStream* stream, ChangeTarget* target,
                 ApplierOptions options, L2Known* known)
    : executor_(executor),
      clock_(clock),
      stream_(stream),
      target_(target),
      options_(std::move(options)),
      known_(known) {
  next_request_ = mix64(options_.process);
}

Applier::~Applier() { *alive_ = false; }

void Applier::watch(std::string name, Origin* origin) {
  auto watched = std::make_unique<Watched>();
  watched->name = std::move(name);
  watched->origin = origin;
  origins_.push_back(std::move(watched));
}

void Applier::start() {
  started_ = clock_->now();
  // From now on: what was said before is visible to every load that begins after the first proof
  // (OriginTracker).
  stream_->read(std::nullopt, this);
  for (const auto& origin : origins_) probe_soon(origin.get(), Duration{0});
  beat();
}

void Applier::stop() {
  if (stopped_) return;
  stopped_ = true;
  message::Presence goodbye{options_.node, options_.process, applied_, true};
  say(std::move(goodbye));
}

// ---- the stream ----

void Applier::on_message(SequenceNumber sequence, StreamMessage message) {
  ++messages_;
  if (auto* changes = std::get_if<message::Changes>(&message)) {
    apply(sequence, *changes);
  } else if (auto* floor = std::get_if<message::Floor>(&message)) {
    apply(*floor);
  } else if (auto* invalidate = std::get_if<message::Invalidate>(&message)) {
    apply(*invalidate);
  } else if (auto* applied = std::get_if<message::Applied>(&message)) {
    note(*applied);
  } else if (auto* presence = std::get_if<message::Presence>(&message)) {
    note(*presence);
  } else if (auto* test = std::get_if<message::SelfTest>(&message)) {
    if (test->node == options_.node && test->token == options_.process) self_seen_ = true;
  }
  applied_ = sequence;
}

void Applier::on_gap(SequenceNumber /*next*/, std::string reason) {
  ++gaps_;
  if (mutant(Mutant::kGapIgnored)) return;
  for (const auto& origin : origins_)
    lose(*origin, Suspects::kMayBeConfirmed, {}, "a gap in the region stream: " + reason);
}

void Applier::on_connected(bool /*connected*/) {}

void Applier::apply(SequenceNumber /*sequence*/, const message::Changes& changes) {
  Watched* origin = find(changes.origin);
  if (origin == nullptr) return;
  const Incarnation known = origin->tracker.incarnation();
  if (known.value != 0 && known != changes.incarnation) {
    lose(*origin, Suspects::kAreOfAnotherHistory, {},
         "the changes that arrive now are of another history of the origin");
  }
  const bool same_history = known.value == 0 || known == changes.incarnation;
  if (same_history) look_for_break(*origin, changes);
  origin->break_id = changes.break_id;
  if (mutant(Mutant::kUnappliedWatermark)) {
    executor_->schedule(executor_->now() + 2s, [this, alive = alive_, origin, late = changes.changes] {
      if (!*alive) return;
      for (const Change& change : late) target_->apply_change(origin->name, change);
    });
  } else {
    for (const Change& change : changes.changes) target_->apply_change(origin->name, change);
  }
  origin->figures.changes += changes.changes.size();
  if (!changes.changes.empty()) {
    origin->figures.lag = Duration{clock_->wall().ns - changes.changes.back().committed.ns};
    origin->lag.record(ChangeLag::runs_of(changes.changes), clock_->wall());
  }
  note_unheard(*origin, changes.unheard, same_history);
  note_l2(L2State{changes.l2_generation, changes.l2_told_count});
  // Its positions may have been given out again, and what L2 holds of it was never taken back.
  if (origin->lost.value != 0 && changes.incarnation == origin->lost) return;
  origin->l2_told =
      known == changes.incarnation ? std::max(origin->l2_told, changes.l2_told) : changes.l2_told;
  const auto outcome = origin->tracker.on_applied(changes.incarnation, changes.up_to, clock_->now());
  target_->note_applied(origin->name, changes.incarnation, origin->tracker.applied());
  act(*origin, outcome);
}

// A gap that swallows the Floor of a break hides what it was: suspects would be confirmed by versions of rows
// that may be another table's.
void Applier::look_for_break(Watched& origin, const message::Changes& changes) {
  if (origin.break_id == 0 || changes.break_id == 0 || origin.break_id == changes.break_id) return;
  lose(origin, Suspects::kMustBeLoaded, {}, "the feed broke off, and the message that said so was missed");
}

// What was loaded while nobody heard of its changes may be as old as its ttl allows. Another history has
// dropped it already.
void Applier::note_unheard(Watched& origin, const std::vector<Unheard>& unheard, bool same_history) {
  if (origin.figures.unheard == unheard) return;
  const std::vector<Unheard> before = std::exchange(origin.figures.unheard, unheard);
  for (const Unheard& one : before) {
    if (!same_history || is_unheard(unheard, one.feature)) continue;
    lose(origin, Suspects::kMustBeLoaded, one.feature, "its changes are heard of again");
  }
  target_->note_unheard(origin.name, unheard);
  origin.origin->note_unheard(unheard);
}

void Applier::apply(const message::Floor& floor) {
  Watched* origin = find(floor.origin);
  if (origin == nullptr || mutant(Mutant::kFloorMessageIgnored)) return;
  if (floor.is_lost) return hear_of_loss(*origin, floor);
  const bool same_history = origin->tracker.incarnation() == floor.incarnation;
  if (floor.feature.empty()) origin->break_id = 0;  // the next message names it
  lose(*origin, same_history ? Suspects::kMustBeLoaded : Suspects::kAreOfAnotherHistory, floor.feature,
       floor.reason);
}

void Applier::lose_history(std::string_view name, const std::string& reason, bool feed_knows) {
  Watched* origin = find(name);
  if (origin == nullptr) return;
  ++origin->figures.histories_lost;
  origin->figures.history_lost = reason;
  lose(*origin, Suspects::kAreOfAnotherHistory, {}, reason);
  const Incarnation known = origin->tracker.incarnation();
  if (feed_knows || known.value == 0) return;
  origin->lost = known;
  origin->lost_reason = readable(fmt::format("{} has seen at the origin: {}", options_.node, reason));
  if (options_.tell_feed) options_.tell_feed(origin->name, known, readable(reason));
  say_what_is_lost(*origin);
}

// Another node has seen it. What it names may be over already.
void Applier::hear_of_loss(Watched& origin, const message::Floor& floor) {
  if (floor.incarnation != origin.tracker.incarnation() || floor.incarnation == origin.lost) return;
  origin.lost = floor.incarnation;
  origin.lost_reason = readable(floor.reason);
  lose(origin, Suspects::kAreOfAnotherHistory, {}, floor.reason);
  if (options_.tell_feed) options_.tell_feed(origin.name, floor.incarnation, origin.lost_reason);
}

// By everybody who knows, again with every beat: a message may be lost, a leader may die of what it heard,
// and so may whoever found out.
void Applier::say_what_is_lost(const Watched& origin) {
  if (origin.lost_reason.empty() || origin.lost != origin.tracker.incarnation()) return;
  message::Floor floor;
  floor.origin = origin.name;
  floor.incarnation = origin.lost;
  floor.from = origin.tracker.applied();
  floor.reason = origin.lost_reason;
  floor.is_lost = true;
  say(std::move(floor));
}

void Applier::lose(Watched& origin, Suspects suspects, const std::string& feature, std::string_view reason) {
  ++origin.figures.floors;
  origin.figures.last_floor_reason = readable(reason);
  origin.figures.last_floor_feature = feature;
  origin.figures.last_floor_at = clock_->now();
  if (!origin.unsettled_since) origin.unsettled_since = clock_->now();
  if (options_.tell_floor) options_.tell_floor({origin.name, feature, origin.figures.last_floor_reason});
  origin.tracker.on_loss();
  if (suspects == Suspects::kAreOfAnotherHistory) origin.l2_told = Position{};
  origin.l2_bar.reset();
  target_->trust_l2(origin.name, false);
  target_->raise_floor(origin.name, feature, suspects);
}

void Applier::tell_settled(Watched& origin) {
  if (!origin.unsettled_since) return;
  const Duration lasted = clock_->now() - *origin.unsettled_since;
  origin.unsettled_since.reset();
  if (!options_.tell_floor) return;
  options_.tell_floor({origin.name, {}, origin.figures.last_floor_reason, true, lasted});
}

void Applier::apply(const message::Invalidate& invalidate) {
  const auto asked = invalidate.node == options_.node ? requests_.find(invalidate.request) : requests_.end();
  // Whoever lives and may hold something old has been heard by now, as the stream has one order.
  if (asked != requests_.end()) asked->second.waiting_for = live_nodes();
  for (const std::string& name : invalidate.names) target_->forget_name(name);
  if (!invalidate.feature.empty()) target_->forget_feature(invalidate.feature);
  if (!invalidate.tag.empty()) target_->forget_tag(invalidate.tag);
  say(message::Applied{invalidate.request, options_.node});
}

void Applier::act(Watched& origin, const OriginTracker::Outcome& outcome) {
  if (outcome.settle_floor) {
    if (!mutant(Mutant::kStartTrusted) || origin.figures.floors > 0)
      target_->settle_floor(origin.name, *outcome.settle_floor);
    origin.l2_bar = origin.tracker.applied();
    tell_settled(origin);
  }
  look_at_l2(origin);
  if (outcome.fresh_as_of) target_->prove(origin.name, *outcome.fresh_as_of, outcome.applied_up_to);
  if (outcome.visible.value != 0)
    target_->retire_markers(origin.name, outcome.visible, outcome.visible_since,
                            mutant(Mutant::kRetireUntold) ? Position{UINT64_MAX} : origin.l2_told);
}

void Applier::note_l2(L2State state) {
  if (state == L2State{}) return;
  target_->note_l2_state(state.generation, state.told);
  if (known_ != nullptr) known_->note(state);
}

// Whatever was missed lies at or below the bar; what comes later leaves markers here.
void Applier::look_at_l2(Watched& origin) {
  const bool early = mutant(Mutant::kL2TrustedEarly);
  if (origin.l2_bar && (origin.l2_told >= *origin.l2_bar || early)) {
    origin.l2_bar = Position{};  // told for good
    target_->trust_l2(origin.name, true);
  }
}

// ---- the origin's answers ----

void Applier::probe_soon(Watched* origin, Duration in) {
  executor_->schedule(executor_->now() + in, [this, alive = alive_, origin] {
    if (*alive && !stopped_) spawn(probe(origin));
  });
}

Task<void> Applier::probe(Watched* origin) {
  auto alive = alive_;
  const MonoTime asked = clock_->now();  // before the question leaves
  Result<OriginProbe> answer = co_await origin->origin->probe(asked + options_.probe_timeout);
  if (!*alive || stopped_) co_return;
  if (answer) {
    ++origin->figures.probes;
    const MonoTime answered = clock_->now();
    const MonoTime proven = mutant(Mutant::kProbeClockAfter) ? answered : asked;
    act(*origin, origin->tracker.on_probe(proven, answered, *answer));
  } else {
    ++origin->figures.probes_failed;
  }
  probe_soon(origin, options_.probe_period);
}

// ---- the region ----

void Applier::beat() {
  message::Presence presence{options_.node, options_.process, applied_};
  if (known_ != nullptr) {
    presence.l2_generation = known_->highest().generation;
    presence.l2_told_count = known_->highest().told;
  }
  if (options_.writes != nullptr) presence.writes = options_.writes->said();
  if (!beat_said_) beat_said_ = clock_->now();
  say(std::move(presence));
  for (const auto& origin : origins_) say_what_is_lost(*origin);
  // Until it comes back: one that is said before the stream is read from will not.
  if (!self_seen_) say(message::SelfTest{options_.node, options_.process});
  if (!self_seen_ && clock_->now() - started_ > options_.self_test_patience) {
    problem_ = fmt::format(
        "{}: this node's own message did not come back within {} s: changes do not reach it. Check the "
        "stream's server "
        "and that every node of the region names the same [stream] url and region",
        stream_->describe(), options_.self_test_patience / 1s);
  } else if (self_seen_ && clock_->now() - twin_heard_ > options_.presence_lost_after) {
    problem_.clear();
  }
  // Whoever starts is waiting for it.
  const bool is_new = !self_seen_ && problem_.empty();
  const Duration period = is_new ? options_.presence_period / 5 : options_.presence_period;
  executor_->schedule(executor_->now() + period, [this, alive = alive_] {
    if (*alive && !stopped_) beat();
  });
}

void Applier::say(StreamMessage message) {
  // Everything said here may be lost: it is said again (presence), or somebody's wait ends with an error (the
  // rest).
  spawn(stream_->append(std::move(message)), [](const Result<SequenceNumber>&) {});
}

void Applier::note(const message::Presence& presence) {
  note_l2(L2State{presence.l2_generation, presence.l2_told_count});
  if (options_.writes != nullptr) options_.writes->hear(presence, clock_->now());
  if (presence.process == options_.process && beat_said_) {
    if (options_.writes != nullptr) options_.writes->note_round_trip(clock_->now() - *beat_said_);
    beat_said_.reset();
  }
  if (presence.leaving) {
    nodes_.erase(presence.node);
    // Nobody waits for a node that has left.
    note(message::Applied{0, presence.node});
    return;
  }
  if (presence.node == options_.node && presence.process != options_.process &&
      clock_->now() - started_ > 3s) {
    twin_heard_ = clock_->now();
    problem_ =
        fmt::format("two nodes of the region are called '{}': give each its own [node] name", options_.node);
  }
  nodes_.insert_or_assign(presence.node, Heard{clock_->now(), presence.process});
}

// Request 0: of every request.
void Applier::note(const message::Applied& applied) {
  std::vector<OneShot<bool>> finished;
  const auto end = applied.request == 0 ? requests_.end() : requests_.upper_bound(applied.request);
  for (auto it = requests_.lower_bound(applied.request); it != end; ++it) {
    std::erase(it->second.waiting_for, applied.node);
    if (it->second.waiting_for.empty()) finished.push_back(it->second.done);
  }
  for (const auto& done : finished) (void)done.set(true);
}

std::vector<std::string> Applier::live_nodes() const {
  std::vector<std::string> live{options_.node};
  for (const auto& [node, heard] : nodes_) {
    if (node != options_.node && clock_->now() - heard.at < options_.presence_lost_after)
      live.push_back(node);
  }
  return live;
}

Task<Result<void>> Applier::invalidate_everywhere(message::Invalidate what, Duration timeout) {
  auto alive = alive_;
  const MonoTime listens_until = started_ + options_.presence_period * 3 / 2;
  if (clock_->now() < listens_until) co_await sleep_for(*executor_, listens_until - clock_->now());
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "this node is stopping");
  const std::uint64_t number = ++next_request_;
  Request& request = requests_[number];
  request.waiting_for = {options_.node};
  OneShot<bool> done = request.done;
  const TimerId timer = executor_->schedule(executor_->now() + timeout, [done] { (void)done.set(false); });
  what.request = number;
  what.node = options_.node;
  Result<SequenceNumber> appended = co_await stream_->append(std::move(what));
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "this node is stopping");
  bool applied = false;
  if (appended) applied = co_await done;
  if (!*alive) co_return fail(ErrorCode::kUnavailable, "this node is stopping");
  executor_->cancel(timer);
  const auto left = std::move(requests_[number].waiting_for);
  requests_.erase(number);
  if (!appended) co_return fail(ErrorCode::kUnavailable, std::move(appended.error().message));
  if (applied) co_return Result<void>{};
  co_return fail(
      ErrorCode::kTimeout,
      fmt::format("dropped here and in L2, but not confirmed within {} ms by: {}; they may serve the old "
                  "value until they hear of it, or until its ttl",
                  timeout / 1ms, fmt::join(left, ", ")));
}

ApplierStatus Applier::status() const {
  ApplierStatus status;
  for (const auto& origin : origins_) {
    AppliedOrigin one = origin->figures;
    one.name = origin->name;
    one.incarnation = origin->tracker.incarnation();
    one.applied = origin->tracker.applied();
    one.l2_told = origin->l2_told;
    one.settled = origin->tracker.is_settled();
    one.fresh_as_of = origin->tracker.fresh_as_of();
    status.origins.push_back(std::move(one));
  }
  status.applied = applied_;
  status.gaps = gaps_;
  status.messages = messages_;
  status.self_heard = self_seen_;
  status.nodes = live_nodes();
  status.problem = problem_;
  return status;
}

const ChangeLag* Applier::lag(std::string_view origin) const {
  for (const auto& one : origins_) {
    if (one->name == origin) return &one->lag;
  }
  return nullptr;
}

Applier::Watched* Applier::find(std::string_view name) {
  const auto found =
      std::ranges::find(origins_, name, [](const auto& one) { return std::string_view(one->name); });
  return found == origins_.end() ? nullptr : found->get();
}

}  // namespace candor
