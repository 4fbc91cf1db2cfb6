#include "sim/database_client.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "version/mutant.h"

namespace candor::sim {
namespace {

// Between attempts at a slot that another node holds, and at a database that is away.
constexpr Duration kReconnectPause = 500ms;
constexpr Duration kKeepAlive = 2s;
// A statement that reaches nobody or a server that goes down has not begun.
Error down(Error error) {
  if (error.code == ErrorCode::kUnavailable) error.code = ErrorCode::kOriginDown;
  return error;
}

}  // namespace

// ---- the origin ----

struct DatabaseOrigin::Link {
  Network& network;
  const PlaceId node;
  Database& database;
  const std::string slot;
  PostgresHistory history{};
  Database::Connection connection = 0;  // 0: none
  HistoryTold told{};

  // False: of the history that was lost while the question was under way, perhaps.
  bool is_of_now(const PostgresHistory::Mark& mark, const PostgresPlace& place) {
    if (mutant(Mutant::kHistoryUncompared)) return true;
    const auto verdict = history.compare(mark, place);
    if (verdict.kind == PostgresHistory::Verdict::Kind::kLost && told) told(verdict);
    return verdict.kind != PostgresHistory::Verdict::Kind::kOvertaken;
  }
  template <class T>
  Task<Result<T>> call(Network::Serve<T> serve, MonoTime deadline) {
    return network.call<T>(node, database.place(), std::move(serve), deadline);
  }
  [[nodiscard]] PostgresHistory::Mark mark() { return history.mark(); }

  static Task<Result<Database::Connection>> connected(std::shared_ptr<Link> link, MonoTime deadline) {
    while (link->connection == 0) {
      const PostgresHistory::Mark mark = link->mark();
      Network::Serve<Database::Met> serve = [database = &link->database, slot = link->slot] {
        return database->connect(slot);
      };
      Result<Database::Met> met = co_await link->call<Database::Met>(std::move(serve), deadline);
      if (!met) co_return std::unexpected(std::move(met.error()));
      // Another question may have connected meanwhile: an older server's late greeting does not undo that.
      if (link->is_of_now(mark, met->place) && link->connection == 0) link->connection = met->connection;
    }
    co_return link->connection;
  }

  // A statement that finds its connection's server gone goes out again on a new one; of a write nobody knows
  // how far it came.
  template <class T>
  static Task<Result<T>> ask(std::shared_ptr<Link> link,
                             std::function<Task<Result<T>>(Database::Connection)> statement,
                             MonoTime deadline, bool is_write = false) {
    while (true) {
      Result<Database::Connection> on = co_await connected(link, deadline);
      if (!on) co_return std::unexpected(down(std::move(on.error())));
      Network::Serve<T> serve = [statement, connection = *on] { return statement(connection); };
      Result<T> answer = co_await link->call<T>(std::move(serve), deadline);
      if (answer) co_return answer;
      if (answer.error().code != ErrorCode::kRejected)
        co_return std::unexpected(down(std::move(answer.error())));
      if (link->connection == *on) link->connection = 0;
      if (is_write) co_return fail(ErrorCode::kTimeout, std::move(answer.error().message));
    }
  }
};

class DatabaseOrigin::Bound final : public OriginFeature {
 public:
  Bound(std::shared_ptr<Link> link, std::string feature)
      : link_(std::move(link)), feature_(std::move(feature)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_row(link_, number_of(key), deadline);
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    std::uint64_t version = kAbsent;
    std::from_chars(value.data(), value.data() + value.size(), version);
    return write(link_, number_of(key), version, deadline);
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return write(link_, number_of(key), kAbsent, deadline);
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime deadline) override {
    std::function<Task<Result<bool>>(Database::Connection)> statement =
        [database = &link_->database, slot = link_->slot, number = number_of(key), held](auto connection) {
          return database->confirm(connection, slot, number, held);
        };
    return Link::ask<bool>(link_, std::move(statement), deadline);
  }
  [[nodiscard]] bool can_confirm() const override { return true; }
  [[nodiscard]] bool confirms_by_row() const override { return true; }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }

 private:
  [[nodiscard]] std::uint32_t number_of(const std::string& key) const {
    return link_->database.key_number(feature_ + ":" + key);
  }
  static Task<Result<OriginRow>> load_row(std::shared_ptr<Link> link, std::uint32_t number,
                                          MonoTime deadline) {
    std::function<Task<Result<Database::Loaded>>(Database::Connection)> statement =
        [database = &link->database, number](auto connection) { return database->load(connection, number); };
    Result<Database::Loaded> loaded =
        co_await Link::ask<Database::Loaded>(link, std::move(statement), deadline);
    if (!loaded) co_return std::unexpected(std::move(loaded.error()));
    OriginRow row;
    if (loaded->version != kAbsent) row.value = fmt::format("{}", loaded->version);
    row.stamp = std::move(loaded->stamp);
    // One that has ended may be of a lost history, whose ids were higher.
    if (loaded->on == link->connection) link->history.saw(row.stamp);
    co_return row;
  }
  static Task<Result<OriginWrite>> write(std::shared_ptr<Link> link, std::uint32_t number,
                                         std::uint64_t version, MonoTime deadline) {
    std::function<Task<Result<std::uint64_t>>(Database::Connection)> statement =
        [database = &link->database, number, version](auto connection) {
          return database->store(connection, number, version);
        };
    Result<std::uint64_t> xid = co_await Link::ask<std::uint64_t>(link, std::move(statement), deadline, true);
    if (!xid) co_return std::unexpected(std::move(xid.error()));
    co_return OriginWrite{1, ChangeId{*xid}};
  }

  std::shared_ptr<Link> link_;
  std::string feature_;
};

DatabaseOrigin::DatabaseOrigin(Network& network, PlaceId node, Database& database, std::string slot)
    : link_(new Link{network, node, database, std::move(slot)}) {}

void DatabaseOrigin::on_history_lost(HistoryTold told) { link_->told = std::move(told); }

Result<std::unique_ptr<OriginFeature>> DatabaseOrigin::bind(OriginStatements statements) {
  return std::make_unique<Bound>(link_, std::move(statements.feature));
}

Task<Result<void>> DatabaseOrigin::prepare() { co_return Result<void>{}; }

Task<Result<OriginProbe>> DatabaseOrigin::probe(MonoTime deadline) { return probe_of(link_, deadline); }

Task<Result<OriginProbe>> DatabaseOrigin::probe_of(std::shared_ptr<Link> link, MonoTime deadline) {
  const PostgresHistory::Mark mark = link->mark();
  std::function<Task<Result<Database::Probed>>(Database::Connection)> statement =
      [database = &link->database, slot = link->slot](auto connection) {
        return database->probe(connection, slot);
      };
  Result<Database::Probed> probed =
      co_await Link::ask<Database::Probed>(link, std::move(statement), deadline);
  if (!probed) co_return std::unexpected(std::move(probed.error()));
  (void)link->is_of_now(mark, probed->place);
  co_return probed->probe;
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
  process.schedule(process.now() + kReconnectPause, [this, alive = alive_] {
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
