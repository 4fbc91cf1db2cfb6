#include "sim/shared_log.h"

#include <algorithm>
#include <utility>

namespace candor::sim {
namespace {

constexpr Duration kCallTimeout = 2s;
// How often the log says where it ends, and after how much silence a client subscribes again.
constexpr Duration kTailPeriod = 500ms;
constexpr Duration kSilenceMax = 2s;
constexpr Duration kWatchPeriod = 500ms;
constexpr std::size_t kKept = 5000;
constexpr std::size_t kPage = 500;
constexpr std::size_t kEarlyMax = 1000;

template <class T>
Task<Result<T>> ready(T value) {
  co_return Result<T>(std::move(value));
}

}  // namespace

// ---- the server ----

SharedLog::SharedLog(World& world, Network& network, Process& process)
    : world_(world),
      network_(network),
      process_(process),
      place_(network.add_place(process.name(), process)),
      random_(world.stream("shared log " + process.name())),
      epoch_(random_() | 1) {
  // The log is on disk; who listened is not.
  process_.set_life({.start = [this] { tick(); }, .stop = [this] { subscribers_.clear(); }, .destroy = {}});
}

std::uint64_t SharedLog::append(SharedMessage message) {
  kept_.push_back(message);
  if (kept_.size() > kKept) kept_.pop_front();
  push({++last_, std::move(message)});
  return last_;
}

void SharedLog::push(const Numbered& message) {
  std::erase_if(subscribers_, [this](const Subscriber& s) {
    const Process& p = network_.process(s.place);
    return !p.is_up() || p.life() != s.life;
  });
  for (const Subscriber& s : subscribers_) {
    (void)network_.send(place_, s.place, [to = s.push, epoch = epoch_, tail = last_, message] {
      (*to)(epoch, tail, message);
    });
  }
}

void SharedLog::tick() {
  push({});
  process_.schedule(process_.now() + kTailPeriod, [this, life = process_.life()] {
    if (process_.is_up() && process_.life() == life) tick();
  });
}

SharedLog::Page SharedLog::fetch(std::uint64_t after, std::size_t count) const {
  Page page;
  page.epoch = epoch_;
  page.tail = last_;
  page.first = last_ - kept_.size() + 1;
  for (std::uint64_t n = std::max(after + 1, page.first); n <= last_ && page.messages.size() < count; ++n)
    page.messages.push_back({n, kept_[n - page.first]});
  return page;
}

SharedLog::Page SharedLog::subscribe(PlaceId subscriber, std::shared_ptr<Push> push) {
  std::erase_if(subscribers_, [&](const Subscriber& s) { return s.place == subscriber; });
  subscribers_.push_back({subscriber, network_.process(subscriber).life(), std::move(push)});
  return fetch(last_, 0);
}

void SharedLog::trim(std::size_t keep) {
  world_.faults().plan("log trimmed");
  if (kept_.size() > keep) world_.faults().take_effect("log trimmed");
  while (kept_.size() > keep) kept_.pop_front();
  world_.trace().note(world_.now(), process_.name(), "is trimmed", keep);
}

void SharedLog::make_anew() {
  world_.faults().plan("log made anew");
  world_.faults().take_effect("log made anew");
  kept_.clear();
  last_ = 0;
  epoch_ = random_() | 1;
  world_.trace().note(world_.now(), process_.name(), "is made anew");
}

// ---- the client ----

SharedLogClient::SharedLogClient(Network& network, PlaceId node, SharedLog& log)
    : network_(network),
      node_(node),
      process_(network.process(node)),
      log_(log),
      life_(std::make_shared<Life>(Life{this})) {}

SharedLogClient::~SharedLogClient() { life_->client = nullptr; }

void SharedLogClient::read(std::optional<SequenceNumber> after, StreamReader* reader) {
  reader_ = reader;
  begun_ = after.has_value();
  if (after) status_.last = *after;
  subscribe();
  watch();
}

void SharedLogClient::subscribe() {
  auto push = std::make_shared<SharedLog::Push>(
      [life = life_](std::uint64_t epoch, std::uint64_t tail, SharedLog::Numbered message) {
        if (life->client != nullptr) life->client->on_push(epoch, tail, std::move(message));
      });
  Network::Serve<SharedLog::Page> serve = [log = &log_, node = node_, push] {
    return ready(log->subscribe(node, push));
  };
  spawn(network_.call<SharedLog::Page>(node_, log_.place(), std::move(serve), process_.now() + kCallTimeout),
        [life = life_](Result<SharedLog::Page> page) {
          if (life->client == nullptr) return;
          SharedLogClient& self = *life->client;
          if (!page) {
            ++self.status_.errors;
            return;
          }
          self.heard_ = self.process_.now();
          const bool was_connected = std::exchange(self.status_.connected, true);
          if (!was_connected) self.reader_->on_connected(true);
          if (life->client != nullptr) self.on_page(std::move(*page));
        });
}

void SharedLogClient::watch() {
  process_.schedule(process_.now() + kWatchPeriod, [life = life_] {
    if (life->client == nullptr) return;
    SharedLogClient& self = *life->client;
    // A subscription whose answer was lost pushes all the same: where to begin is still not known.
    if (!self.begun_ || self.process_.now() - self.heard_ > kSilenceMax) {
      if (std::exchange(self.status_.connected, false)) {
        ++self.status_.reconnects;
        self.reader_->on_connected(false);
      }
      self.subscribe();
    } else {
      self.fetch_missing();
    }
    self.watch();
  });
}

// Another log stands in the place of the one that was read: what it holds from its beginning may be news.
void SharedLogClient::begin_epoch(std::uint64_t epoch) {
  status_.epoch = epoch;
  status_.last = SequenceNumber{0};
  early_.clear();
  ++status_.gaps;
  reader_->on_gap(SequenceNumber{1}, "the log was made anew");
}

void SharedLogClient::on_push(std::uint64_t epoch, std::uint64_t tail, SharedLog::Numbered message) {
  heard_ = process_.now();
  if (!begun_) return;
  if (epoch != status_.epoch) {
    // Messages of the old log may come after the first of the new one: only a fetch knows which one stands.
    fetching_ = false;
    tail_ = UINT64_MAX;
    return fetch_missing();
  }
  tail_ = std::max(tail_, tail);
  if (message.message != nullptr) take(std::move(message));
  if (life_->client != nullptr && status_.last.value < tail_) fetch_missing();
}

void SharedLogClient::take(SharedLog::Numbered message) {
  ++status_.received;
  if (message.number <= status_.last.value || early_.contains(message.number)) {
    ++status_.duplicates;
    return;
  }
  if (message.number > status_.last.value + 1 && early_.size() >= kEarlyMax) return;
  early_.emplace(message.number, std::move(message.message));
  drain();
}

void SharedLogClient::drain() {
  const auto life = life_;
  while (!early_.empty() && early_.begin()->first <= status_.last.value + 1) {
    const auto first = early_.extract(early_.begin());
    if (first.key() <= status_.last.value) continue;
    status_.last.value = first.key();
    reader_->on_message(status_.last, *first.mapped());
    if (life->client == nullptr) return;
  }
}

void SharedLogClient::fetch_missing() {
  if (fetching_ || !begun_ || status_.last.value >= tail_) return;
  fetching_ = true;
  Network::Serve<SharedLog::Page> serve = [log = &log_, after = status_.last.value] {
    return ready(log->fetch(after, kPage));
  };
  spawn(network_.call<SharedLog::Page>(node_, log_.place(), std::move(serve), process_.now() + kCallTimeout),
        [life = life_](Result<SharedLog::Page> page) {
          if (life->client == nullptr) return;
          life->client->fetching_ = false;
          if (page) life->client->on_page(std::move(*page));
        });
}

void SharedLogClient::on_page(SharedLog::Page page) {
  const auto life = life_;
  heard_ = process_.now();
  if (!begun_) {  // from here on
    begun_ = true;
    status_.epoch = page.epoch;
    status_.last.value = page.tail;
    tail_ = page.tail;
    return;
  }
  if (status_.epoch == 0) status_.epoch = page.epoch;
  if (page.epoch != status_.epoch) {
    begin_epoch(page.epoch);
    if (life->client == nullptr) return;
    tail_ = page.tail;
    return fetch_missing();
  }
  tail_ = page.tail;
  if (page.first > status_.last.value + 1 && page.tail > status_.last.value) {
    ++status_.gaps;
    status_.last.value = page.first - 1;
    std::erase_if(early_, [&](const auto& one) { return one.first < page.first; });
    reader_->on_gap(SequenceNumber{page.first}, "messages were trimmed");
    if (life->client == nullptr) return;
  }
  for (auto& message : page.messages) {
    take(std::move(message));
    if (life->client == nullptr) return;
  }
  drain();
  if (life->client != nullptr && status_.last.value < tail_) fetch_missing();
}

Task<Result<SequenceNumber>> SharedLogClient::append(StreamMessage message) {
  ++status_.appended;
  SharedLog* log = &log_;
  auto shared = std::make_shared<const StreamMessage>(std::move(message));
  Network::Serve<SequenceNumber> serve = [log, shared] { return ready(SequenceNumber{log->append(shared)}); };
  const MonoTime deadline = process_.now() + kCallTimeout;
  co_return co_await network_.call<SequenceNumber>(node_, log->place(), std::move(serve), deadline);
}

Task<Result<SequenceNumber>> SharedLogClient::tail() {
  Network::Serve<SequenceNumber> serve = [log = &log_] {
    return ready(SequenceNumber{log->fetch(0, 0).tail});
  };
  const MonoTime deadline = process_.now() + kCallTimeout;
  co_return co_await network_.call<SequenceNumber>(node_, log_.place(), std::move(serve), deadline);
}

}  // namespace candor::sim
