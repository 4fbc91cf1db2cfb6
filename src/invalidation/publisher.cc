#include "invalidation/publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/backoff.h"
#include "base/random.h"
#include "bus/message_format.h"
#include "invalidation/patience.h"
#include "version/mutant.h"

namespace candor {

namespace {

// Changes come in the order of their positions.
Position last_position(const std::vector<Change>& changes) {
  return changes.empty() ? Position{} : changes.back().position;
}

}  // namespace

// What the feed says beside its changes, as it stood when it handed something over: the stream hears of both
// in the same order.
struct Publisher::FeedWord {
  std::vector<Unheard> unheard;
  std::uint64_t break_id = 0;
};

// What is told to L2 and appended as a whole: part of a batch of the feed, or a break.
struct Publisher::Slice {
  std::vector<Change> changes;
  Position up_to;
  bool completes = true;  // the last of its batch: the stream is complete up to `up_to` with it
  Incarnation incarnation;
  bool begun = false;  // being told to L2
  bool ready = false;  // L2 answered, or had its time
  bool is_break = false;
  bool same_history = false;
  std::string reason{};
  FeedWord word{};
};

// Everything that one leadership knows. Shared with the tasks that work for it; they look at `over` after
// every wait.
struct Publisher::Leadership {
  bool over = false;
  std::deque<std::shared_ptr<Slice>> slices;
  std::move_only_function<void()> taken;  // the feed waits for room
  PublishLedger ledger;
  std::unique_ptr<L2Teller> l2;
  Incarnation incoming;     // of what the feed hands over
  Incarnation incarnation;  // of what the stream has heard so far: behind a break that waits in `slices`
  FeedWord word;            // the same
  Position published;       // complete in the stream up to here
  Position handed_over;
  Position confirmed;
  MonoTime said_at{0};  // the last message
  Position said_up_to, said_told;
  SequenceNumber said_replay;
  bool probing = false;
  MonoTime probed_at{0};
  OneShot<bool> woken;
};

Publisher::Publisher(Executor* executor, const Clock* clock, Feed* feed, RegionStream* stream, L2* l2,
                     Origin* origin, PublisherOptions options, L2Known* known)
    : executor_(executor),
      clock_(clock),
      feed_(feed),
      stream_(stream),
      l2_(l2),
      origin_(origin),
      options_(std::move(options)),
      known_(known != nullptr ? known : &own_known_) {}

Publisher::~Publisher() {
  *alive_ = false;
  end_term();
}

void Publisher::start() {
  feed_->start(this);
  beat();
}

void Publisher::beat() {
  executor_->schedule(executor_->now() + options_.heartbeat_period, [this, alive = alive_] {
    if (!*alive) return;
    if (term_ != nullptr) {
      term_->l2->tick();
      if (!term_->probing && executor_->now() - term_->probed_at >= options_.probe_period)
        spawn(probe(term_));
      nudge(term_);
    }
    beat();
  });
}

// ---- the feed ----

void Publisher::on_leading(bool leading) {
  end_term();
  status_.leading = leading;
  if (!leading) return;
  term_ = std::make_shared<Leadership>();
  FeedStatus feed = feed_->status();
  term_->incoming = term_->incarnation = feed.incarnation;
  term_->word = word_of(std::move(feed));
  L2Teller::Options teller;
  teller.patience = options_.l2_patience;
  teller.book = options_.book;
  term_->l2 = std::make_unique<L2Teller>(executor_, l2_, known_, teller, mix64(options_.seed + ++terms_));
  spawn(lead(term_));
}

void Publisher::end_term() {
  if (term_ == nullptr) return;
  term_->over = true;
  const Term old = std::exchange(term_, nullptr);
  (void)old->woken.set(true);
}

void Publisher::on_changes(std::vector<Change> changes, Position up_to,
                           std::move_only_function<void()> taken) {
  if (term_ == nullptr) return;  // a feed that does not lead has nothing to say
  Leadership& term = *term_;
  FeedStatus feed = feed_->status();
  if (term.incoming.value == 0) term.incoming = term.incarnation = feed.incarnation;
  term.handed_over = status_.handed_over = std::max(term.handed_over, up_to);
  status_.changes += changes.size();
  lags_.feed.record(ChangeLag::runs_of(changes), clock_->wall(), last_position(changes));
  cut(term, std::move(changes), up_to, word_of(std::move(feed)));
  term.taken = std::move(taken);
  if (mutant(Mutant::kConfirmEarly)) executor_->post([feed = feed_, up_to] { feed->confirm(up_to); });
  offer_room(term_);
  tell_ahead(term_);
  nudge(term_);
}

void Publisher::on_break(Incarnation incarnation, Position from, std::string reason) {
  if (term_ == nullptr) on_leading(true);
  auto slice = std::make_shared<Slice>();
  slice->is_break = slice->ready = slice->begun = true;
  slice->same_history = term_->incoming == incarnation;
  slice->incarnation = term_->incoming = incarnation;
  slice->up_to = from;
  slice->reason = std::move(reason);
  slice->word = word_of(feed_->status());
  term_->handed_over = status_.handed_over = from;
  term_->slices.push_back(std::move(slice));
  nudge(term_);
}

Publisher::FeedWord Publisher::word_of(FeedStatus feed) {
  FeedWord word{std::move(feed.unheard), feed.break_id};
  if (word.unheard.size() <= kUnheardMax) return word;
  const std::string first = word.unheard.front().reason;
  const std::string all = fmt::format("{} features of this origin cannot be watched: none is. The first: {}",
                                      word.unheard.size(), first);
  word.unheard = {{"", all}};
  return word;
}

// A transaction of a million rows becomes a thousand messages, of which only the last completes its position.
void Publisher::cut(Leadership& term, std::vector<Change> changes, Position up_to, const FeedWord& word) {
  auto slice = std::make_shared<Slice>();
  std::size_t bytes = 0;
  const auto finish = [&](bool completes) {
    slice->completes = completes;
    slice->up_to = up_to;
    slice->incarnation = term.incoming;
    slice->word = word;
    slice->ready = slice->begun = slice->changes.empty();
    term.slices.push_back(std::exchange(slice, std::make_shared<Slice>()));
    bytes = 0;
  };
  for (Change& change : changes) {
    const std::size_t more = encoded_bytes_max(change);
    if (slice->changes.size() >= kChangesPerMessage || (bytes + more > kMessageBytes && bytes > 0))
      finish(false);
    bytes += more;
    slice->changes.push_back(std::move(change));
  }
  const bool joins = slice->changes.empty() && !term.slices.empty() && !term.slices.back()->is_break &&
                     term.slices.back()->changes.empty();
  if (!joins) return finish(true);
  term.slices.back()->up_to = up_to;
  term.slices.back()->word = word;
}

void Publisher::offer_room(const Term& term) {
  if (!term->taken || term->slices.size() >= kSlicesMax) return;
  executor_->post([term, taken = std::exchange(term->taken, nullptr)]() mutable {
    if (!term->over) taken();
  });
}

// ---- L2, ahead of the stream ----

void Publisher::tell_ahead(const Term& term) {
  std::size_t telling = 0;
  for (const auto& slice : term->slices) {
    if (slice->is_break) break;  // L2 is told of the break first
    if (slice->begun) {
      telling += slice->ready ? 0 : 1;
      continue;
    }
    if (++telling > kSlicesTelling) break;
    slice->begun = true;
    if (mutant(Mutant::kL1BeforeL2)) slice->ready = true;
    spawn(term->l2->tell(slice->changes), [this, term, slice](bool told) {
      if (term->over) return;
      if (told && l2_ != nullptr)
        lags_.l2.record(ChangeLag::runs_of(slice->changes), clock_->wall(), last_position(slice->changes));
      slice->ready = true;
      nudge(term);
    });
  }
}

// ---- the stream ----

Task<void> Publisher::lead(Term term) {
  while (!term->over) {
    tell_ahead(term);
    if (!term->slices.empty() && term->slices.front()->ready) {
      if (term->slices.front()->is_break) {
        co_await send_floor(term);
      } else {
        co_await send_changes(term);
      }
    } else if (has_news(*term)) {
      co_await send_heartbeat(term);
    } else {
      co_await wait_for_work(term);
    }
  }
}

Task<void> Publisher::send_changes(Term term) {
  Position up_to = term->published;
  PublishLedger::Appended ledger;
  std::vector<Change> changes;
  std::size_t bytes = 0;
  while (!term->slices.empty()) {
    Slice& slice = *term->slices.front();
    if (!slice.ready || slice.is_break) break;
    std::size_t more = 0;
    for (const Change& change : slice.changes) more += encoded_bytes_max(change);
    const bool full =
        changes.size() + slice.changes.size() > kChangesPerMessage || bytes + more > kMessageBytes;
    if (full && !changes.empty()) break;
    bytes += more;
    for (Change& change : slice.changes) {
      ledger.highest = std::max(ledger.highest, change.position);
      ledger.highest_id = std::max(ledger.highest_id, change.id);
      changes.push_back(std::move(change));
    }
    if (slice.completes) {
      up_to = std::max(up_to, slice.up_to);
      term->word = std::move(slice.word);
    }
    term->slices.pop_front();
  }
  offer_room(term);
  tell_ahead(term);
  co_await term->l2->advance();
  if (term->over) co_return;
  message::Changes out = message_of(*term, up_to);
  out.changes = std::move(changes);
  const bool any = !out.changes.empty();
  const WallTime committed = any ? out.changes.back().committed : WallTime{};
  const ChangeLag::Runs runs = ChangeLag::runs_of(out.changes);
  ledger.up_to = up_to;
  ledger.sequence = co_await append(term, std::move(out));
  if (term->over) co_return;
  if (any) status_.lag_append = Duration{clock_->wall().ns - committed.ns};
  lags_.append.record(runs, clock_->wall(), ledger.highest);
  term->published = up_to;
  term->ledger.on_appended(ledger);
  confirm(*term);
}

Task<void> Publisher::send_floor(Term term) {
  const auto slice = term->slices.front();
  co_await term->l2->on_break(slice->up_to, slice->same_history);
  if (term->over) co_return;
  term->incarnation = slice->incarnation;
  term->word = slice->word;
  if (!slice->same_history) {
    term->ledger = PublishLedger{};  // positions of another history
    term->confirmed = Position{};
  }
  if (!mutant(Mutant::kFloorAfterChanges)) {
    message::Floor floor{options_.origin, {}, slice->incarnation, slice->up_to, slice->reason};
    PublishLedger::Appended entry{{}, slice->up_to, slice->up_to, {}};
    entry.sequence = co_await append(term, std::move(floor));
    if (term->over) co_return;
    term->ledger.on_appended(entry);
  }
  ++status_.floors;
  term->published = slice->up_to;
  term->slices.pop_front();
}

Task<void> Publisher::send_heartbeat(Term term) {
  co_await term->l2->advance();
  if (term->over) co_return;
  message::Changes out = message_of(*term, term->published);
  (void)co_await append(term, std::move(out));
  if (term->over) co_return;
  ++status_.heartbeats;
  confirm(*term);
}

message::Changes Publisher::message_of(Leadership& term, Position up_to) const {
  message::Changes out;
  out.origin = options_.origin;
  out.incarnation = term.incarnation;
  out.up_to = term.said_up_to = up_to;
  out.l2_told = term.said_told = term.l2->told(up_to);
  out.l2_generation = l2_ == nullptr ? 0 : term.l2->known().generation;
  out.l2_told_count = l2_ == nullptr ? 0 : term.l2->known().told;
  out.replay_from = term.said_replay = term.ledger.replay_from();
  out.unheard = term.word.unheard;
  out.break_id = term.word.break_id;
  return out;
}

bool Publisher::has_news(Leadership& term) const {
  if (term.published.value == 0 || term.incarnation.value == 0) return false;  // nothing is known yet
  const Duration since = executor_->now() - term.said_at;
  if (since < options_.heartbeat_period) return false;
  if (since >= kIdlePeriods * options_.heartbeat_period) return true;
  return term.said_up_to != term.published || term.said_told != term.l2->told(term.published) ||
         term.said_replay != term.ledger.replay_from();
}

// An append of unknown outcome is repeated: every message may come twice. 0: the leadership is over.
Task<SequenceNumber> Publisher::append(Term term, StreamMessage message) {
  Backoff backoff({20ms, 1s, 5ms}, mix64(options_.seed ^ status_.messages));
  while (!term->over) {
    StreamMessage copy = message;
    const Result<SequenceNumber> appended =
        co_await within(executor_, options_.append_patience, stream_->append(std::move(copy)));
    if (term->over) break;
    if (appended) {
      ++status_.messages;
      status_.problem.clear();
      term->said_at = executor_->now();
      co_return *appended;
    }
    ++status_.append_failures;
    if (mutant(Mutant::kAppendOnce)) co_return SequenceNumber{};
    status_.problem = fmt::format(
        "origin '{}': changes cannot be appended to the region stream ({}): {}; the position "
        "stands still until it takes them",
        options_.origin, stream_->describe(), appended.error().message);
    co_await sleep_for(*executor_, backoff.next());
  }
  co_return SequenceNumber{};
}

Task<void> Publisher::wait_for_work(Term term) {
  term->woken = OneShot<bool>();
  OneShot<bool> woken = term->woken;
  (void)co_await woken;
}

// Later: whoever calls may be in the middle of something.
void Publisher::nudge(const Term& term) {
  executor_->post([term] {
    const OneShot<bool> woken = term->woken;
    (void)woken.set(true);
  });
}

// ---- what may be confirmed ----

Task<void> Publisher::probe(Term term) {
  term->probing = true;
  ProbeAnswer answer;
  answer.asked = term->probed_at = clock_->now();
  const Result<OriginProbe> probe = co_await within(executor_, 2 * options_.probe_timeout,
                                                    origin_->probe(answer.asked + options_.probe_timeout));
  if (term->over) co_return;
  term->probing = false;
  if (!probe || probe->incarnation != term->incarnation) {
    ++status_.probes_failed;
    co_return;
  }
  answer.answered = clock_->now();
  answer.probe = *probe;
  status_.visible = probe->all_up_to;
  term->l2->on_probe(answer);
  term->ledger.on_visible(probe->all_up_to);
  confirm(*term);
}

void Publisher::confirm(Leadership& term) {
  term.ledger.on_told(term.l2->told(term.published));
  const Position may = term.ledger.confirmable();
  if (may <= term.confirmed) return;
  term.confirmed = may;
  feed_->confirm(may);
}

PublisherStatus Publisher::status() const {
  PublisherStatus status = status_;
  if (term_ == nullptr) return status;
  status.published = term_->published;
  status.confirmed = term_->confirmed;
  status.l2_told = term_->said_told;
  status.waiting_slices = term_->slices.size();
  status.unconfirmed = term_->ledger.size();
  status.l2 = term_->l2->status();
  return status;
}

}  // namespace candor
