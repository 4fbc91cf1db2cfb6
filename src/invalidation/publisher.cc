#include "invalidation/publisher.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

constexpr Duration kRetryFirst = 20ms;
constexpr Duration kRetryMax = 1s;
constexpr std::size_t kRepayBatch = 256;

std::string name_of(const Change& change) { return change.feature + ":" + change.key; }

}  // namespace

Publisher::Publisher(Executor* executor, Feed* feed, RegionStream* stream, L2* l2, Origin* origin,
                     PublisherOptions options)
    : executor_(executor),
      feed_(feed),
      stream_(stream),
      l2_(l2),
      origin_(origin),
      options_(std::move(options)) {}

Publisher::~Publisher() { *alive_ = false; }

void Publisher::start() {
  feed_->start(this);
  every(options_.visible_period, &Publisher::look_what_is_visible);
  if (l2_ != nullptr) every(options_.repay_period, &Publisher::repay);
}

void Publisher::every(Duration period, Task<void> (Publisher::*step)()) {
  executor_->schedule(executor_->now() + period, [this, alive = alive_, period, step] {
    if (!*alive) return;
    spawn((this->*step)());
    every(period, step);
  });
}

// ---- the feed ----

void Publisher::on_changes(std::vector<Change> changes, Position up_to,
                           std::move_only_function<void()> taken) {
  Batch batch;
  batch.changes = std::move(changes);
  batch.up_to = up_to;
  batch.taken = std::move(taken);
  queue_.push_back(std::move(batch));
  if (!running_) spawn(run());
}

void Publisher::on_break(Incarnation incarnation, Position from, std::string reason) {
  Batch batch;
  batch.is_floor = true;
  batch.incarnation = incarnation;
  batch.up_to = from;
  batch.reason = std::move(reason);
  queue_.push_back(std::move(batch));
  if (!running_) spawn(run());
}

void Publisher::on_leading(bool leading) {
  status_.leading = leading;
  ++leadership_;
  queue_.clear();
  invisible_.clear();
}

Task<void> Publisher::run() {
  auto alive = alive_;
  running_ = true;
  while (*alive && !queue_.empty()) {
    Batch batch = std::move(queue_.front());
    queue_.pop_front();
    co_await publish(&batch);
    if (!*alive) co_return;
    if (batch.taken) batch.taken();
  }
  if (*alive) running_ = false;
}

Task<void> Publisher::publish(Batch* batch) {
  auto alive = alive_;
  const std::uint64_t leadership = leadership_;
  if (batch->is_floor) {
    ++status_.floors;
    incarnation_ = batch->incarnation;
    status_.published = batch->up_to;
    status_.l2_told = batch->up_to;
    invisible_.clear();
    // What L2 holds was loaded before the break: none of it is to be trusted.
    owes_generation_ = l2_ != nullptr;
    co_await repay();
    if (!*alive) co_return;
    message::Floor floor{options_.origin, {}, incarnation_, batch->up_to, batch->reason};
    co_await append(std::move(floor));
    co_return;
  }
  // A leader that took over goes on without a break, and so its first batch may be of a history that is new here.
  if (const Incarnation current = feed_->status().incarnation; current.value != 0) incarnation_ = current;
  bool told = true;
  if (l2_ != nullptr && !batch->changes.empty()) told = co_await tell_l2(&batch->changes);
  if (!*alive || leadership != leadership_) co_return;
  if (!told) {
    ++status_.l2_failures;
    owe(batch->changes);
  }
  if (owed_.empty() && !owes_generation_) status_.l2_told = batch->up_to;
  ChangeId highest;
  for (const Change& change : batch->changes) highest = std::max(highest, change.id);
  status_.changes += batch->changes.size();

  message::Changes out = message_of(status_.published);
  std::size_t bytes = 0;
  for (Change& change : batch->changes) {
    bytes += change.key.size() + change.feature.size();
    out.changes.push_back(std::move(change));
    if (out.changes.size() < kChangesPerMessage && bytes < kMessageKeyBytesMax) continue;
    co_await append(std::move(out));
    if (!*alive || leadership != leadership_) co_return;
    out = message_of(status_.published);
    bytes = 0;
  }
  out.up_to = batch->up_to;  // only the last message of a batch completes it
  co_await append(std::move(out));
  if (!*alive || leadership != leadership_) co_return;
  status_.published = std::max(status_.published, batch->up_to);
  invisible_.push_back(Published{batch->up_to, highest});
  confirm_what_may();
}

message::Changes Publisher::message_of(Position up_to) const {
  message::Changes out;
  out.origin = options_.origin;
  out.incarnation = incarnation_;
  out.up_to = up_to;
  out.l2_told = status_.l2_told;
  out.l2_generation = l2_state_.generation;
  out.l2_told_count = l2_state_.told;
  return out;
}

Task<void> Publisher::append(StreamMessage message) {
  auto alive = alive_;
  const std::uint64_t leadership = leadership_;
  for (Duration pause = kRetryFirst; *alive && leadership == leadership_;
       pause = std::min(kRetryMax, pause * 2)) {
    StreamMessage copy = message;
    Result<SequenceNumber> appended = co_await stream_->append(std::move(copy));
    if (!*alive) co_return;
    if (appended) {
      ++status_.messages;
      co_return;
    }
    ++status_.append_failures;
    co_await sleep_for(*executor_, pause);
  }
}

// ---- L2 ----

// All markers of the batch together, then the count of what was told. False: not all within the patience.
Task<bool> Publisher::tell_l2(const std::vector<Change>* changes) {
  struct Round {
    std::size_t left;
    bool good = true;
    OneShot<bool> done;
  };
  auto alive = alive_;
  auto round = std::make_shared<Round>(Round{changes->size(), true, {}});
  bool whole_feature = false;
  for (const Change& change : *changes) {
    if (change.scope == Change::Scope::kFeature) {
      whole_feature = true;
      if (--round->left == 0) (void)round->done.set(round->good);
      continue;
    }
    L2Marker marker{change.id, options_.marker_hold};
    spawn(l2_->invalidate(name_of(change), marker), [round](const Result<bool>& result) {
      round->good = round->good && result.has_value();
      if (--round->left == 0) (void)round->done.set(round->good);
    });
  }
  const TimerId timer =
      executor_->schedule(executor_->now() + options_.l2_patience, [round] { (void)round->done.set(false); });
  OneShot<bool> done = round->done;
  const bool good = co_await done;
  if (!*alive) co_return false;
  executor_->cancel(timer);
  if (!good) co_return false;
  Result<L2State> state =
      whole_feature ? co_await l2_->raise_generation(l2_state_) : co_await l2_->advance(l2_state_);
  if (!*alive) co_return false;
  if (!state && state.error().code == ErrorCode::kCorrupt) {
    // It forgot markers as well as deletions: everything it still holds becomes a miss.
    ++status_.l2_generations;
    state = co_await l2_->raise_generation(l2_state_);
    if (!*alive) co_return false;
  }
  if (!state) co_return false;
  l2_state_ = *state;
  co_return true;
}

void Publisher::owe(const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.scope == Change::Scope::kFeature || owed_.size() >= kOwedMax) {
      owes_generation_ = true;
      owed_.clear();
    }
    if (owes_generation_) return;
    auto [it, fresh] = owed_.try_emplace(name_of(change), change.id);
    if (!fresh) it->second = std::max(it->second, change.id);
  }
}

Task<void> Publisher::repay() {
  auto alive = alive_;
  if (owes_generation_) {
    Result<L2State> state = co_await l2_->raise_generation(l2_state_);
    if (!*alive || !state) co_return;
    ++status_.l2_generations;
    l2_state_ = *state;
    owes_generation_ = false;
  }
  if (owed_.empty()) co_return;
  std::vector<Change> some;
  for (const auto& [name, id] : owed_) {
    if (some.size() >= kRepayBatch) break;
    const auto colon = name.find(':');
    Change change;
    change.feature = name.substr(0, colon);
    change.key = name.substr(colon + 1);
    change.id = id;
    some.push_back(std::move(change));
  }
  const bool paid = co_await tell_l2(&some);
  if (!*alive || !paid) co_return;
  for (const Change& change : some) {
    // Renewed meanwhile: stays owed.
    if (const auto it = owed_.find(name_of(change)); it != owed_.end() && it->second == change.id)
      owed_.erase(it);
  }
  if (!owed_.empty()) co_return co_await repay();
  // The next message, a heartbeat at the latest, says it.
}

// ---- what may be confirmed ----

Task<void> Publisher::look_what_is_visible() {
  auto alive = alive_;
  if (!status_.leading || invisible_.empty()) co_return;
  Result<OriginProbe> probe = co_await origin_->probe(executor_->now() + options_.probe_timeout);
  if (!*alive || !probe || probe->incarnation != incarnation_) co_return;
  while (!invisible_.empty() && invisible_.front().highest <= probe->all_up_to) {
    status_.visible = invisible_.front().up_to;
    invisible_.pop_front();
  }
  confirm_what_may();
}

void Publisher::confirm_what_may() {
  const Position may = std::min({status_.visible, status_.published, status_.l2_told});
  if (may <= status_.confirmed) return;
  status_.confirmed = may;
  feed_->confirm(may);
}

PublisherStatus Publisher::status() const {
  PublisherStatus status = status_;
  status.owed = owed_.size() + (owes_generation_ ? 1 : 0);
  return status;
}

}  // namespace candor
