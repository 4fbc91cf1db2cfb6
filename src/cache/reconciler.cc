#include "cache/reconciler.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

// Between scans of L1 that found nothing to ask about, so that home has turns for others.
constexpr Duration kScanPause = 1ms;
// How often an origin that suffers, or a feed that is behind, is looked at again.
constexpr Duration kLookAgain = 100ms;

}  // namespace

Reconciler::Reconciler(World world) : world_(std::move(world)) {}

Reconciler::~Reconciler() { *alive_ = false; }

void Reconciler::start(Options options, std::size_t features) {
  halt();
  pace_ = RepairPace(options.keys_per_second);
  period_ = options.period;
  features_.resize(features);
  if (pace_.is_off()) return;
  is_on_ = true;
  next_pass_ = world_.home->now() + period_;
  arm();
}

void Reconciler::halt() {
  ++run_;
  is_on_ = is_in_pass_ = is_waiting_ = false;
  queue_.clear();
  doubts_.clear();
  doubted_.clear();
  world_.home->cancel(std::exchange(timer_, {}));
}

ReconcileStatus Reconciler::status() const {
  ReconcileStatus status;
  status.is_on = is_on_;
  status.is_waiting = is_waiting_;
  status.rate = pace_.rate();
  status.passes = passes_;
  status.last_pass = last_pass_;
  status.asked = asked_;
  status.in_doubt = doubts_.size();
  status.last_divergence_at = last_divergence_at_;
  for (const OfFeature& one : features_) status.features.push_back({one.since_start, one.last_pass});
  return status;
}

void Reconciler::count(FeatureId feature, Reconciled how, bool negative) {
  if (feature.value >= features_.size()) return;
  features_[feature.value].since_start.add(how, negative);
  features_[feature.value].this_pass.add(how, negative);
}

// ---- the walk ----

void Reconciler::turn() {
  const MonoTime now = world_.home->now();
  settle_doubts();
  if (!is_in_pass_ && now >= next_pass_) begin_pass(now);
  while (is_in_pass_ && pace_.may_ask(now)) {
    if (queue_.empty() && !refill()) break;
    if (!send_batch()) break;
  }
  if (is_in_pass_ && has_walked_ && queue_.empty() && pace_.under_way() == 0) end_pass(now);
  arm();
}

void Reconciler::begin_pass(MonoTime now) {
  is_in_pass_ = true;
  has_walked_ = false;
  cursor_ = asked_ = 0;
  began_ = now;
}

// What is in doubt now is counted with the pass in which it is judged.
void Reconciler::end_pass(MonoTime now) {
  is_in_pass_ = false;
  ++passes_;
  last_pass_ = now - began_;
  next_pass_ = std::max(began_ + period_, now);
  for (OfFeature& one : features_) one.last_pass = std::exchange(one.this_pass, {});
}

// One step of the walk. False: nothing to ask about was found.
bool Reconciler::refill() {
  if (has_walked_) return false;
  cursor_ =
      world_.l1->scan(cursor_, kLooksPerTurn, world_.home->now().ms(), [this](const l1::Store::Visited& one) {
        if (world_.is_due(one)) queue_.push_back({one.feature, std::string(one.key)});
      });
  has_walked_ = cursor_ == 0;
  return !queue_.empty();
}

Reconciler::Way Reconciler::way_of(FeatureId feature) {
  if (feature.value >= features_.size()) return Way::kAsk;
  MonoTime& since = features_[feature.value].suffers_since;
  if (!world_.suffers(feature)) {
    since = MonoTime{0};
    return Way::kAsk;
  }
  const MonoTime now = world_.home->now();
  if (since.ns == 0) since = now;
  return now - since < kPatience ? Way::kWait : Way::kSkip;
}

std::vector<Reconciler::Key> Reconciler::take() {
  std::vector<Key> keys;
  is_waiting_ = false;
  while (!queue_.empty() && keys.size() < pace_.batch()) {
    Key& next = queue_.front();
    const Way way = way_of(next.feature);
    is_waiting_ = way == Way::kWait;
    if (is_waiting_) break;
    if (way == Way::kSkip) {
      count(next.feature, Reconciled::kSkipped, false);
    } else {
      keys.push_back(std::move(next));
    }
    queue_.pop_front();
  }
  return keys;
}

// Asked in one turn, so that they leave as one statement. False: there is nothing to ask now.
bool Reconciler::send_batch() {
  std::vector<Key> keys = take();
  if (keys.empty()) return false;
  auto batch = std::make_shared<Batch>();
  batch->run = run_;
  batch->began = world_.home->now();
  batch->waiting = keys.size();
  pace_.on_asked(batch->began);
  asked_ += keys.size();
  tasks_ += keys.size();
  for (Key& one : keys) {
    const FeatureId feature = one.feature;
    spawn(world_.look(feature, std::move(one.key)), [this, alive = alive_, batch, feature](Looked found) {
      if (*alive) on_looked(batch, feature, std::move(found));
    });
  }
  return true;
}

void Reconciler::on_looked(const std::shared_ptr<Batch>& batch, FeatureId feature, Looked found) {
  --tasks_;
  if (batch->run != run_) return;
  batch->failed = batch->failed || (!found.doubt && found.how == Reconciled::kFailed);
  if (found.doubt) {
    doubt(std::move(*found.doubt));
  } else {
    count(feature, found.how, false);
  }
  if (--batch->waiting > 0) return;
  const MonoTime now = world_.home->now();
  pace_.on_answered(now, now - batch->began, batch->failed);
  arm();
}

// ---- what differs ----

// An earlier pass may have come upon it already, and the feed has not passed it since.
void Reconciler::doubt(ReconcileDoubt doubt) {
  if (doubted_.contains(id_of(doubt))) return;
  if (doubts_.size() >= kDoubtsMax) return count(doubt.feature, Reconciled::kUnproven, false);
  doubted_.insert(id_of(doubt));
  doubts_.push_back(std::move(doubt));
}

void Reconciler::settle_doubts() {
  const MonoTime now = world_.home->now();
  std::deque<ReconcileDoubt> waiting;
  for (ReconcileDoubt& doubt : std::exchange(doubts_, {})) {
    if (world_.is_ripe(doubt)) {
      judge(std::move(doubt));
    } else if (now - doubt.answered >= kDoubtPatience) {
      doubted_.erase(id_of(doubt));
      count(doubt.feature, Reconciled::kUnproven, false);
    } else {
      waiting.push_back(std::move(doubt));
    }
  }
  doubts_ = std::move(waiting);
}

void Reconciler::judge(ReconcileDoubt doubt) {
  const FeatureId feature = doubt.feature;
  const bool negative = doubt.negative();
  const std::uint64_t id = id_of(doubt);
  ++tasks_;
  spawn(world_.judge(std::move(doubt)),
        [this, alive = alive_, run = run_, feature, negative, id](Reconciled how) {
          if (!*alive) return;
          --tasks_;
          if (run != run_) return;
          doubted_.erase(id);
          count(feature, how, negative);
          const bool diverges = how >= Reconciled::kLost && how <= Reconciled::kL2Only;
          if (diverges) last_divergence_at_ = world_.home->now();
        });
}

// ---- time ----

// nullopt: an answer will go on.
std::optional<MonoTime> Reconciler::next_turn(MonoTime now) const {
  std::optional<MonoTime> at;
  const auto no_later_than = [&at](MonoTime when) { at = at ? std::min(*at, when) : when; };
  if (!doubts_.empty()) no_later_than(now + kLookAgain);
  if (!is_in_pass_) {
    no_later_than(next_pass_);
  } else if (is_waiting_) {
    no_later_than(now + kLookAgain);
  } else if (pace_.under_way() < RepairPace::kUnderWayMax && !(has_walked_ && queue_.empty())) {
    no_later_than(std::max(pace_.next_at(), queue_.empty() ? now + kScanPause : now));
  } else if (pace_.under_way() == 0) {
    no_later_than(now);  // the last batch has been answered: the pass ends
  }
  return at;
}

void Reconciler::arm() {
  world_.home->cancel(std::exchange(timer_, {}));
  if (!is_on_) return;
  const std::optional<MonoTime> at = next_turn(world_.home->now());
  if (!at) return;
  timer_ = world_.home->schedule(*at, [this, alive = alive_] {
    if (!*alive) return;
    timer_ = {};
    turn();
  });
}

}  // namespace candor
