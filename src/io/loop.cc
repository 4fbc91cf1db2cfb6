#include "io/loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "io/file_watch.h"
#include "io/outgoing.h"

namespace candor {
namespace {

// Rounds of at_end_of_turn work in one turn: work added by end-of-turn work (a batch that completes at once
// and begins another) still joins this turn, but cannot hold it for ever.
constexpr int kEndOfTurnRounds = 8;

std::unique_ptr<Backend> make_backend(LoopBackend wanted) {
  if (wanted != LoopBackend::kUring) return make_epoll_backend();
  auto uring = make_uring_backend();
  if (uring) return std::move(*uring);
  spdlog::warn("the event loop uses epoll: {}", uring.error().message);
  return make_epoll_backend();
}

}  // namespace

Loop::Loop(LoopOptions options)
    : options_(std::move(options)),
      backend_(make_backend(options_.backend)),
      resolver_home_(std::make_shared<ResolverHome>(this)),
      thread_(std::this_thread::get_id()) {
  refresh_now();
}

Loop::~Loop() {
  resolver_home_->leave();
  // Work may own streams, which need the backend, and timers: it goes first, while the loop is whole.
  const auto posted = std::exchange(posted_, {});
  const auto end_of_turn = std::exchange(end_of_turn_, {});
  const auto timers = std::exchange(timers_, {});
  const MutexLock lock(inbox_mutex_);
  const auto inbox = std::exchange(inbox_, {});
}

void Loop::adopt_by_this_thread() { thread_.store(std::this_thread::get_id(), std::memory_order_relaxed); }

void Loop::run() {
  adopt_by_this_thread();
  backend_->enter_thread();
  refresh_now();
  while (!stopping_.load(std::memory_order_acquire)) turn(Duration::max());
  stopping_.store(false, std::memory_order_relaxed);
}

void Loop::stop() {
  stopping_.store(true, std::memory_order_release);
  backend_->wake();
}

void Loop::turn(Duration sleep_max) noexcept {
  backend_->send_output();  // of work done before the first turn
  // post() puts its work in first and looks at sleeping_ then; we set sleeping_ first and look for work then.
  // In any order of the two, one side sees the other (both are sequentially consistent).
  sleeping_.store(true);
  const bool idle = posted_.empty() && end_of_turn_.empty() && !inbox_used_.load();
  backend_->poll(idle ? sleep_time(sleep_max) : Duration::zero());
  sleeping_.store(false, std::memory_order_relaxed);
  refresh_now();
  backend_->dispatch();
  run_timers();
  run_posted();
  run_end_of_turn();
  backend_->send_output();
}

Duration Loop::sleep_time(Duration sleep_max) const {
  const MonoTime next = timers_.next();
  if (next == MonoTime::max()) return sleep_max;
  // By the clock, not by now_: the turn that just ended took time.
  return std::min(sleep_max, std::max(next - clock_.now(), Duration::zero()));
}

void Loop::refresh_now() {
  now_ = clock_.now();
  coarse_ms_.store(now_.ms(), std::memory_order_relaxed);
}

void Loop::post(Work work) {
  if (is_current()) {
    take_inbox();  // what others posted before comes first
    posted_.push_back(std::move(work));
    return;
  }
  {
    const MutexLock lock(inbox_mutex_);
    inbox_.push_back(std::move(work));
  }
  inbox_used_.store(true);
  if (sleeping_.exchange(false)) backend_->wake();
}

void Loop::take_inbox() {
  if (!inbox_used_.load(std::memory_order_relaxed)) return;
  const MutexLock lock(inbox_mutex_);
  inbox_used_.store(false);
  std::move(inbox_.begin(), inbox_.end(), std::back_inserter(posted_));
  inbox_.clear();
}

void Loop::at_end_of_turn(Work work) { end_of_turn_.push_back(std::move(work)); }

TimerId Loop::schedule(MonoTime at, Work work) { return timers_.add(at, std::move(work)); }
void Loop::cancel(TimerId timer) { timers_.cancel(timer); }

void Loop::run_timers() {
  const std::uint64_t mark = timers_.mark();
  while (auto work = timers_.take_due(now_, mark)) (*work)();
}

void Loop::run_posted() {
  take_inbox();
  if (posted_.empty()) return;
  auto batch = std::exchange(posted_, {});
  for (Work& work : batch) work();
  // Keeps the allocation for the next turn when nothing was posted meanwhile.
  batch.clear();
  if (posted_.empty()) posted_.swap(batch);
}

void Loop::run_end_of_turn() {
  for (int round = 0; round < kEndOfTurnRounds && !end_of_turn_.empty(); ++round) {
    auto batch = std::exchange(end_of_turn_, {});
    for (Work& work : batch) work();
    batch.clear();
    if (end_of_turn_.empty()) end_of_turn_.swap(batch);
    if (end_of_turn_.empty()) return;
  }
}

std::unique_ptr<Stream> Loop::connect(const Endpoint& endpoint, StreamHandler* handler,
                                      Duration connect_timeout) {
  return begin_connect(*this, endpoint, handler, connect_timeout);
}

std::unique_ptr<FdWatch> Loop::watch(int fd, FdEvents events, std::function<void(FdEvents)> on_ready) {
  return backend_->watch(fd, events, std::move(on_ready));
}

std::unique_ptr<FileWatch> Loop::watch_files(const std::vector<std::string>& paths,
                                             std::function<void()> on_change) {
  return make_file_watch(*this, paths, std::move(on_change));
}

Result<std::shared_ptr<const TlsContext>> Loop::client_tls() {
  if (!options_.client_tls) {
    auto made = TlsContext::client({});
    if (!made) return std::unexpected(made.error());
    options_.client_tls = std::move(*made);
  }
  return options_.client_tls;
}

}  // namespace candor
