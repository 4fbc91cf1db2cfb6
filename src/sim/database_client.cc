#include "sim/database_client.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace candor::sim {
namespace {

// Between attempts at a slot that another node holds, and at a database that is away.
constexpr Duration kRetry = 500ms;
constexpr Duration kKeepAlive = 2s;
// A statement that reaches nobody or a server that goes down has not begun.
Error down(Error error) {
  if (error.code == ErrorCode::kUnavailable) error.code = ErrorCode::kOriginDown;
  return error;
}

}  // namespace

// ---- the origin ----

class DatabaseOrigin::Bound final : public OriginFeature {
 public:
  Bound(DatabaseOrigin* origin, std::string feature) : origin_(origin), feature_(std::move(feature)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    Database* database = &origin_->database_;
    const std::uint32_t number = number_of(key);
    Network::Serve<Database::Loaded> serve = [database, number] { return database->load(number); };
    Result<Database::Loaded> loaded = co_await origin_->network_.call<Database::Loaded>(
        origin_->node_, database->place(), std::move(serve), deadline);
    if (!loaded) co_return std::unexpected(down(std::move(loaded.error())));
    OriginRow row;
    if (loaded->version != kAbsent) row.value = fmt::format("{}", loaded->version);
    row.stamp = std::move(loaded->stamp);
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    std::uint64_t version = kAbsent;
    std::from_chars(value.data(), value.data() + value.size(), version);
    return write(number_of(key), version, deadline);
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return write(number_of(key), kAbsent, deadline);
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime deadline) override {
    Database* database = &origin_->database_;
    const std::uint32_t number = number_of(key);
    Network::Serve<bool> serve = [database, slot = origin_->slot_, number, held] {
      return database->confirm(slot, number, held);
    };
    Result<bool> same =
        co_await origin_->network_.call<bool>(origin_->node_, database->place(), std::move(serve), deadline);
    if (!same) co_return std::unexpected(down(std::move(same.error())));
    co_return same;
  }
  [[nodiscard]] bool can_confirm() const override { return true; }
  [[nodiscard]] bool confirms_by_row() const override { return true; }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }

 private:
  [[nodiscard]] std::uint32_t number_of(const std::string& key) const {
    return origin_->database_.key_number(feature_ + ":" + key);
  }
  Task<Result<OriginWrite>> write(std::uint32_t number, std::uint64_t version, MonoTime deadline) {
    Database* database = &origin_->database_;
    Network::Serve<std::uint64_t> serve = [database, number, version] {
      return database->store(number, version);
    };
    Result<std::uint64_t> xid = co_await origin_->network_.call<std::uint64_t>(
        origin_->node_, database->place(), std::move(serve), deadline);
    if (!xid) co_return std::unexpected(down(std::move(xid.error())));
    co_return OriginWrite{1, ChangeId{*xid}};
  }

  DatabaseOrigin* origin_;
  std::string feature_;
};

Result<std::unique_ptr<OriginFeature>> DatabaseOrigin::bind(OriginStatements statements) {
  return std::make_unique<Bound>(this, std::move(statements.feature));
}

Task<Result<void>> DatabaseOrigin::prepare() { co_return Result<void>{}; }

Task<Result<OriginProbe>> DatabaseOrigin::probe(MonoTime deadline) {
  Database* database = &database_;
  Network::Serve<OriginProbe> serve = [database, slot = slot_] { return database->probe(slot); };
  Result<OriginProbe> probe =
      co_await network_.call<OriginProbe>(node_, database->place(), std::move(serve), deadline);
  if (!probe) co_return std::unexpected(down(std::move(probe.error())));
  co_return probe;
}

// ---- the feed ----

DatabaseFeed::DatabaseFeed(Network& network, PlaceId node, Database& database, std::string slot)
    : network_(network), node_(node), database_(database), slot_(std::move(slot)) {}

DatabaseFeed::~DatabaseFeed() {
  *alive_ = false;
  if (consumer_ != nullptr) consumer_->channel->close(node_);
}

void DatabaseFeed::start(FeedSink* sink) {
  sink_ = sink;
  connect();
  beat();
}

void DatabaseFeed::connect() {
  status_.state = FeedStatus::State::kConnecting;
  if (!database_.process().is_up()) return retry();
  auto consumer = std::make_shared<Database::Consumer>();
  const auto is_mine = [this, alive = alive_, weak = std::weak_ptr(consumer)] {
    return *alive && consumer_ != nullptr && consumer_ == weak.lock();
  };
  consumer->granted = [this, is_mine](Incarnation incarnation, Position from, bool is_break) {
    if (is_mine()) on_granted(incarnation, from, is_break);
  };
  consumer->refused = [this, is_mine] {
    if (!is_mine()) return;
    status_.state = FeedStatus::State::kStandby;
    std::exchange(consumer_, nullptr)->channel->close(node_);
    retry();
  };
  consumer->changes = [this, is_mine](std::vector<Change> changes, Position up_to) {
    if (is_mine()) on_changes(std::move(changes), up_to);
  };
  consumer->channel = Channel::open(network_,
                                    {node_,
                                     [this, is_mine] {
                                       if (is_mine()) lose();
                                     }},
                                    {database_.place(), [] {}});
  consumer_ = consumer;
  consumer->channel->send(node_, [database = &database_, slot = slot_, consumer] {
    database->start_replication(slot, consumer);
  });
}

void DatabaseFeed::retry() {
  Process& process = network_.process(node_);
  process.schedule(process.now() + kRetry, [this, alive = alive_] {
    if (*alive && !stopped_ && consumer_ == nullptr) connect();
  });
}

void DatabaseFeed::lose() {
  const bool was_leading = status_.state == FeedStatus::State::kLeading;
  consumer_ = nullptr;
  batches_.clear();
  sink_is_busy_ = false;
  ++status_.reconnects;
  status_.state = FeedStatus::State::kConnecting;
  if (was_leading) sink_->on_leading(false);
  if (!stopped_) retry();
}

void DatabaseFeed::on_granted(Incarnation incarnation, Position from, bool is_break) {
  status_.state = FeedStatus::State::kLeading;
  status_.incarnation = incarnation;
  status_.confirmed = status_.handed_over = from;
  sink_->on_leading(true);
  if (!is_break) return;
  ++status_.breaks;
  sink_->on_break(incarnation, from, "the slot could not go on from where it was");
}

void DatabaseFeed::on_changes(std::vector<Change> changes, Position up_to) {
  if (!batches_.empty() && changes.empty()) {  // a heartbeat behind changes says what they say
    batches_.back().up_to = up_to;
    return;
  }
  batches_.push_back({std::move(changes), up_to});
  hand_over();
}

void DatabaseFeed::hand_over() {
  if (sink_is_busy_ || batches_.empty() || consumer_ == nullptr) return;
  Batch batch = std::move(batches_.front());
  batches_.pop_front();
  sink_is_busy_ = true;
  status_.changes += batch.changes.size();
  status_.handed_over = batch.up_to;
  sink_->on_changes(std::move(batch.changes), batch.up_to,
                    [this, alive = alive_, weak = std::weak_ptr(consumer_)] {
                      if (!*alive || consumer_ == nullptr || weak.lock() != consumer_) return;
                      sink_is_busy_ = false;
                      hand_over();
                    });
}

void DatabaseFeed::to_database(std::function<void()> work) {
  if (consumer_ != nullptr) consumer_->channel->send(node_, std::move(work));
}

void DatabaseFeed::confirm(Position position) {
  status_.confirmed = position;
  to_database([database = &database_, slot = slot_, consumer = consumer_.get(), position] {
    database->confirm_position(slot, consumer, position);
  });
}

void DatabaseFeed::beat() {
  to_database([database = &database_, slot = slot_, consumer = consumer_.get()] {
    database->keep_alive(slot, consumer);
  });
  Process& process = network_.process(node_);
  process.schedule(process.now() + kKeepAlive, [this, alive = alive_] {
    if (*alive && !stopped_) beat();
  });
}

void DatabaseFeed::stop() {
  stopped_ = true;
  if (consumer_ != nullptr) std::exchange(consumer_, nullptr)->channel->close(node_);
  const bool was_leading = status_.state == FeedStatus::State::kLeading;
  status_.state = FeedStatus::State::kOff;
  if (was_leading) sink_->on_leading(false);
}

}  // namespace candor::sim
