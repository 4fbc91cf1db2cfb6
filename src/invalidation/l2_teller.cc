#include "invalidation/l2_teller.h"

#include <algorithm>
#include <utility>

#include "invalidation/patience.h"
#include "version/mutant.h"

namespace candor {
namespace {

// Nothing of ours may wait for ever; L2's own time-outs are shorter.
constexpr Duration kAnswerPatience = 5s;

MarkerBook::Item item_of(const Change& change) {
  const bool whole = change.scope == Change::Scope::kFeature;
  return {change.feature + ":" + (whole ? std::string() : change.key), change.id, change.position, whole};
}

// Waits for several answers, or for the patience to end.
struct Round {
  std::size_t left = 0;
  bool good = true;
  std::vector<MarkerBook::Ticket> tickets;
  OneShot<bool> done;
  void answer(bool ok) {
    good = good && ok;
    if (--left == 0) (void)done.set(good);
  }
};

}  // namespace

L2Teller::L2Teller(Executor* executor, L2* l2, L2Known* known, Options options, std::uint64_t seed)
    : executor_(executor),
      l2_(l2),
      known_(known),
      options_(options),
      book_(options.book),
      backoff_({100ms, 2s, 20ms}, seed) {}

L2Teller::~L2Teller() { *alive_ = false; }

// ---- telling ----

Task<Result<void>> L2Teller::tell_one(MarkerBook::Item item) {
  if (item.whole_feature) co_return co_await l2_->clear(std::move(item.name));
  L2Marker marker;
  if (!mutant(Mutant::kL2MarkersOff)) marker.change = item.change;
  marker.hold = mutant(Mutant::kL2MarkerShort) ? options_.book.lease_time : options_.book.hold;
  const Result<bool> answer = co_await l2_->invalidate(std::move(item.name), marker);
  if (!answer) co_return std::unexpected(answer.error());
  co_return Result<void>{};
}

Task<bool> L2Teller::tell(std::vector<Change> changes) {
  if (l2_ == nullptr || changes.empty()) co_return true;
  auto alive = alive_;
  if (!std::exchange(advance_due_, true)) told_on_ = l2_->connection();
  auto round = std::make_shared<Round>();
  std::vector<MarkerBook::Owed> now;
  for (const Change& change : changes) {
    if (change.scope == Change::Scope::kFeature) cover_without_marker(change);
    MarkerBook::Item item = item_of(change);
    const auto ticket = book_.begin(item);
    if (!ticket) {
      cover_without_marker(change);
    } else if (away_) {
      book_.owe(*ticket);
    } else {
      now.push_back({*ticket, std::move(item)});
    }
  }
  if (now.empty()) co_return false;
  round->left = now.size();
  for (auto& [ticket, item] : now) {
    round->tickets.push_back(ticket);
    spawn(tell_one(std::move(item)), [this, alive, round, t = ticket](const Result<void>& answer) {
      if (!*alive) return;
      answer ? book_.told(t, executor_->now()) : book_.owe(t);
      round->answer(answer.has_value());
    });
  }
  OneShot<bool> done = round->done;
  const TimerId timer =
      executor_->schedule(executor_->now() + options_.patience, [done] { (void)done.set(false); });
  const bool good = co_await done;
  if (!*alive) co_return false;
  executor_->cancel(timer);
  if (good) co_return true;
  ++counted_.failures;
  away_ = true;  // the batches behind this one do not wait as well; pay() finds out when it is back
  for (const auto ticket : round->tickets) book_.owe(ticket);
  co_return false;
}

// No marker can stand for it, or there is no place for one.
void L2Teller::cover_without_marker(const Change& change) {
  const bool whole = change.scope == Change::Scope::kFeature;
  late_.add(whole ? change.feature : std::string(), change.position, change.id, executor_->now());
}

Task<void> L2Teller::advance() {
  if (l2_ == nullptr || !advance_due_ || away_ || lost_) co_return;
  auto alive = alive_;
  const Result<L2State> state =
      co_await within(executor_, options_.patience, l2_->advance(known_->highest()));
  if (!*alive) co_return;
  if (state && l2_->connection() != std::exchange(told_on_, l2_->connection()) &&
      !mutant(Mutant::kReconnectIgnored)) {
    book_.tell_uncounted_again();  // and is counted when it was told
    note(*state);
  } else if (state) {
    advance_due_ = false;
    book_.counted();
    note(*state);
  } else if (state.error().code == ErrorCode::kCorrupt) {
    lose();
  } else {
    ++counted_.failures;
  }
}

Position L2Teller::told(Position published) {
  if (l2_ == nullptr || mutant(Mutant::kToldClaimedEarly)) return published;
  if (mutant(Mutant::kL1BeforeL2)) return published;
  Position told = advance_due_ || lost_ ? std::min(published, last_told_) : published;
  // Positions are whole numbers: "below this one" is "at or below the one before".
  const auto stay_below = [&told](std::optional<Position> first) {
    if (first) told = std::min(told, Position{first->value == 0 ? 0 : first->value - 1});
  };
  stay_below(book_.first_untold());
  stay_below(late_.first_position());
  last_told_ = told;
  return told;
}

// ---- what L2 remembers ----

void L2Teller::note(L2State state) {
  if (generation_seen_ != 0 && state.generation > generation_seen_ && !lost_) {
    // Another origin's publisher raised it: perhaps because L2 had lost writes, ours among them.
    if (!mutant(Mutant::kRaiseWithoutRetell)) book_.tell_again();
    if (!std::exchange(advance_due_, true)) told_on_ = l2_->connection();
  }
  generation_seen_ = std::max(generation_seen_, state.generation);
  known_->note(state);
}

void L2Teller::lose() {
  if (lost_ || mutant(Mutant::kL2LossIgnored)) return;
  ++counted_.losses;
  lost_ = true;
  if (!mutant(Mutant::kRaiseWithoutRetell)) book_.tell_again();
}

Task<void> L2Teller::on_break(Position from, bool same_history) {
  if (l2_ == nullptr) co_return;
  auto alive = alive_;
  if (!same_history) {  // ids of another history guard nothing
    book_.clear();
    late_.clear();
    last_told_ = Position{};
  }
  late_.add({}, from, std::nullopt, executor_->now());
  lost_ = true;  // until the generation is raised
  (void)co_await within(executor_, options_.patience, [](L2Teller* self) -> Task<Result<void>> {
    if (!co_await self->finish_loss()) co_return fail(ErrorCode::kUnavailable, "L2 did not answer");
    co_return Result<void>{};
  }(this));
}

void L2Teller::on_probe(const ProbeAnswer& answer) {
  if (l2_ == nullptr) return;
  late_.on_probe(answer);
  for (auto& hold : book_.on_visible(answer.probe.all_up_to, answer.answered, kHoldsPerProbe)) {
    // A shortening that is lost costs memory in L2; a renewal is tried again before the marker ends.
    spawn(l2_->hold_marker(std::move(hold.name), hold.change, hold.hold), [](const Result<void>&) {});
  }
  if (const auto& unheld = book_.unheld(); unheld && answer.answered + 1min > unheld->ends) {
    late_.add({}, unheld->position, unheld->id, answer.answered);
    book_.forget_unheld();
  }
}

void L2Teller::tick() {
  if (l2_ == nullptr) return;
  if (!looking_ && executor_->now() - looked_ >= options_.state_period) spawn(look());
  const bool due =
      book_.owes() || lost_ || away_ || !late_.due(executor_->now(), options_.book.lease_time).empty();
  if (due && !paying_) spawn(pay());
}

Task<void> L2Teller::look() {
  auto alive = alive_;
  looking_ = true;
  looked_ = executor_->now();
  const Result<L2State> state = co_await within(executor_, kAnswerPatience, l2_->state());
  if (!*alive) co_return;
  looking_ = false;
  if (!state) co_return;
  *state < known_->highest() ? lose() : note(*state);
}

// ---- debts ----

Task<void> L2Teller::pay() {
  auto alive = alive_;
  paying_ = true;
  for (;;) {
    const bool paid = co_await pay_some();
    if (!*alive) co_return;
    if (!paid) {
      co_await sleep_for(*executor_, backoff_.next());
      if (!*alive) co_return;
      continue;
    }
    backoff_.reset();
    if (!book_.owes()) break;
  }
  away_ = false;
  if (lost_) (void)co_await finish_loss();
  if (!*alive) co_return;
  co_await pay_late();
  if (*alive) paying_ = false;
}

Task<bool> L2Teller::pay_some() {
  auto alive = alive_;
  auto debts = book_.take_owed(kRepayBatch);
  if (debts.empty()) {  // is it there?
    const Result<L2State> state = co_await within(executor_, kAnswerPatience, l2_->state());
    co_return state.has_value();
  }
  auto round = std::make_shared<Round>();
  round->left = debts.size();
  for (auto& [ticket, item] : debts) {
    spawn(within(executor_, kAnswerPatience, tell_one(std::move(item))),
          [this, alive, round, t = ticket](const Result<void>& answer) {
            if (*alive) {
              answer ? book_.told(t, executor_->now()) : book_.owe(t);
              counted_.retold += answer ? 1 : 0;
            }
            round->answer(answer.has_value());
          });
  }
  OneShot<bool> done = round->done;
  co_return co_await done;
}

// The markers are there again: now nodes may use this L2, without anything that it held.
Task<bool> L2Teller::finish_loss() {
  auto alive = alive_;
  const Result<L2State> state =
      co_await within(executor_, kAnswerPatience, l2_->raise_generation(known_->highest()));
  if (!*alive || !state) co_return false;
  ++counted_.generations;
  lost_ = false;
  generation_seen_ = state->generation;
  known_->note(*state);
  co_return true;
}

Task<void> L2Teller::pay_late() {
  auto alive = alive_;
  for (const auto& debt : late_.due(executor_->now(), options_.book.lease_time)) {
    bool paid = false;
    if (debt.feature.empty()) {
      paid = co_await finish_loss();
    } else {
      const Result<void> cleared =
          co_await within(executor_, kAnswerPatience, l2_->clear(debt.feature + ":"));
      paid = cleared.has_value();
    }
    if (!*alive || !paid) co_return;
    late_.settle(debt);
  }
}

L2Teller::Status L2Teller::status() const {
  Status status = counted_;
  status.owed = book_.untold();
  status.held = book_.held();
  status.late = late_.size();
  status.away = away_;
  status.lost = lost_;
  return status;
}

}  // namespace candor
