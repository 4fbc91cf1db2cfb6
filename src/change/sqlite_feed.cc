#include "change/sqlite_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace candor {

SqliteFeed::SqliteFeed(Executor* executor, Transport* transport, BlockingPool* pool, SqliteLogOptions options)
    : executor_(executor),
      transport_(transport),
      pool_(pool),
      path_(options.file.path),
      reader_(options.reader),
      log_(std::make_shared<SqliteLog>(std::move(options))) {}

SqliteFeed::~SqliteFeed() {
  *alive_ = false;
  executor_->cancel(timer_);
  if (!busy_) pool_->run([log = std::move(log_)]() mutable { log.reset(); });
}

std::string SqliteFeed::describe() const { return fmt::format("sqlite {} reader {}", path_, reader_); }

void SqliteFeed::start(FeedSink* sink) {
  sink_ = sink;
  status_.state = FeedStatus::State::kConnecting;
  watch_ = transport_->watch_files({path_, path_ + "-wal", path_ + "-journal"}, [this] { wake(); });
  visit();
}

void SqliteFeed::wake() {
  delay_ = kLookMin;
  visit();
}

void SqliteFeed::confirm(Position position) { confirmed_ = std::max(confirmed_, position); }

void SqliteFeed::stop() {
  stopping_ = true;
  watch_.reset();
  visit();
}

void SqliteFeed::visit() {
  if (sink_ == nullptr) return;
  if (busy_) {
    again_ = true;
    return;
  }
  executor_->cancel(std::exchange(timer_, TimerId{}));
  busy_ = true;
  const SqliteLog::Visit what{executor_->now(), taken_, confirmed_, stopping_};
  pool_->run([this, home = executor_, alive = alive_, log = log_, what]() mutable {
    auto found = std::make_unique<SqliteLog::Found>(log->turn(what));
    home->post([this, alive = std::move(alive), log = std::move(log), found = std::move(found)]() mutable {
      if (*alive) visited(std::move(*found));
    });
  });
}

void SqliteFeed::visited(SqliteLog::Found found) {
  busy_ = false;
  const bool had_news = found.up_to.value != 0 && !found.changes.empty();
  const bool more = found.more;
  if (found.soon) delay_ = kLookMin;
  tell(found);
  if (stopping_ && !leading_ && found.state == FeedStatus::State::kOff) return;
  if (had_news) delay_ = kLookMin;
  // Nothing is read before the sink has taken what it got; its call comes back to visit().
  if ((std::exchange(again_, false) || more || stopping_) && taken_) return visit();
  look_later();
}

void SqliteFeed::tell(SqliteLog::Found& found) {
  status_.state = found.state;
  status_.problem = std::move(found.problem);
  status_.lag_bytes = found.lag_rows;
  if (found.unheard) {
    status_.unheard = std::move(*found.unheard);
    status_.break_id = found.break_id;
  }
  status_.confirmed = std::max(status_.confirmed, found.saved);
  if (found.incarnation.value != 0) status_.incarnation = found.incarnation;
  // Without its log a feed leads nothing, but it is the one of its region that looks.
  const bool leads =
      found.state == FeedStatus::State::kLeading || found.state == FeedStatus::State::kMisconfigured;
  const auto alive = alive_;
  if (!found.soon && leads != leading_) {
    leading_ = leads;
    // A sink that lost its leadership drops what it was given, and never asks for more of it.
    ++leadership_;
    taken_ = true;
    sink_->on_leading(leads);
    if (!*alive) return;
  }
  if (found.broke) {
    ++status_.breaks;
    confirmed_ = status_.confirmed = Position{};
    status_.handed_over = found.broke->from;
    sink_->on_break(found.broke->incarnation, found.broke->from, found.broke->reason);
    if (!*alive) return;
  }
  if (found.up_to.value == 0 || found.up_to == status_.handed_over) return;
  status_.changes += found.changes.size();
  ++status_.transactions;
  status_.handed_over = found.up_to;
  taken_ = false;
  sink_->on_changes(std::move(found.changes), found.up_to, [this, alive, leadership = leadership_] {
    if (!*alive || taken_ || leadership != leadership_) return;
    taken_ = true;
    if (!busy_)
      executor_->post([this, alive] {
        if (*alive) visit();
      });
  });
}

void SqliteFeed::look_later() {
  executor_->cancel(timer_);
  timer_ = executor_->schedule(executor_->now() + delay_, [this] {
    timer_ = TimerId{};
    visit();
  });
  delay_ = std::min(delay_ * 2, kLookMax);
}

}  // namespace candor
