#include "sim/database.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "version/mutant.h"

namespace candor::sim {
namespace {

// A slot's consumer that is silent for this long has lost it (PostgreSQL's wal_sender_timeout, shortened).
constexpr Duration kConsumerPatience = 10s;
constexpr Duration kTick = 1s;
// Commits on their way to one consumer: a socket's buffers.
constexpr std::size_t kUnderWayMax = 64;
constexpr std::size_t kCommitsPerMessage = 32;
// The log's length for slots that are not read; beyond it they lose it (max_slot_wal_keep_size).
constexpr std::size_t kLogMax = 5000;

std::pair<std::string, std::string> split(const std::string& name) {
  const auto colon = name.find(':');
  return {name.substr(0, colon), name.substr(colon + 1)};
}

Error is_over() { return {ErrorCode::kRejected, "the connection's server is gone"}; }

}  // namespace

Database::Database(World& world, Network& network, Process& process, History* history, Options options)
    : world_(world),
      process_(process),
      place_(network.add_place(process.name(), process)),
      history_(history),
      options_(options),
      random_(world.stream("database")) {
  process_.set_life({.start = [this] { tick(); }, .stop = [this] { on_crash(); }, .destroy = {}});
}

Database::Row& Database::row(std::uint32_t key) {
  if (key >= rows_.size()) rows_.resize(key + 1);
  return rows_[key];
}

Stamp Database::snapshot() const {
  return Stamp::of_snapshot(xmin(), next_xid_, {running_.begin(), running_.end()});
}

Incarnation Database::incarnation_of(const std::string& name) const {
  const auto slot = slots_.find(name);
  return slot == slots_.end() || !slot->second.is_good ? Incarnation{} : slot->second.incarnation;
}

PostgresPlace Database::place_of(const std::string& name) const {
  PostgresPlace place{true, timeline_, next_xid_, {}};
  const auto slot = slots_.find(name);
  if (slot != slots_.end() && slot->second.is_there)
    place.slots = fmt::format("{}_{:x}", name, slot->second.incarnation.value);
  return place;
}

Duration Database::service() {
  return Duration{static_cast<std::int64_t>(
      random_.below(static_cast<std::uint64_t>(options_.service_max.count()) / 2 + 1))};
}

void Database::after(Duration delay, Work work) {
  world_.at(world_.now() + delay, process_, [this, boot = boot_, work = std::move(work)]() mutable {
    if (boot == boot_) work();
  });
}

// ---- statements ----

Task<Result<Database::Met>> Database::connect(std::string slot) {
  const std::uint64_t boot = boot_;
  co_await sleep_for(process_, service());
  if (boot != boot_) co_return fail(ErrorCode::kOriginDown, "the connection ended with the server");
  co_return Met{boot, place_of(slot)};
}

Task<Result<Database::Loaded>> Database::load(Connection boot, std::uint32_t key) {
  if (boot != boot_) co_return std::unexpected(is_over());
  co_await sleep_for(process_, service());
  Loaded loaded{.on = boot};
  loaded.version = row(key).visible.version;
  loaded.stamp = snapshot();
  co_await sleep_for(process_, service());
  if (boot != boot_) co_return fail(ErrorCode::kOriginDown, "the connection ended with the server");
  co_return loaded;
}

Task<Result<std::uint64_t>> Database::store(Connection boot, std::uint32_t key, std::uint64_t version) {
  if (boot != boot_) co_return std::unexpected(is_over());
  co_await sleep_for(process_, service());
  if (boot != boot_) co_return fail(ErrorCode::kTimeout, "the connection ended with the server");
  OneShot<Result<std::uint64_t>> ended;
  transact({{key, version}}, 0s,
           [ended](Result<std::uint64_t> result) { (void)ended.set(std::move(result)); });
  co_return co_await ended;
}

Task<Result<bool>> Database::confirm(Connection boot, std::string slot, std::uint32_t key, HeldRow held) {
  if (boot != boot_) co_return std::unexpected(is_over());
  co_await sleep_for(process_, service());
  const RowState seen = row(key).visible;
  const bool is_absent = seen.version == kAbsent;
  const bool is_same_row =
      is_absent ? held.negative : !held.negative && held.stamp.includes(ChangeId{seen.xid});
  const bool same = is_same_row && (mutant(Mutant::kHistoryIgnored) ||
                                    (held.history.value != 0 && held.history == incarnation_of(slot)));
  co_await sleep_for(process_, service());
  if (boot != boot_) co_return fail(ErrorCode::kOriginDown, "the connection ended with the server");
  co_return Result<bool>{same};
}

Task<Result<Database::Probed>> Database::probe(Connection boot, std::string slot) {
  if (boot != boot_) co_return std::unexpected(is_over());
  co_await sleep_for(process_, service());
  // As SQLite's: a proof is refused while a watched table lacks what tells of its changes.
  if (world_.now() < hidden_until_) co_return fail(ErrorCode::kUnavailable, "changes are not told");
  const Probed probed{{incarnation_of(slot), position_, ChangeId{xmin() - 1}, ChangeId{next_xid_}},
                      place_of(slot)};
  co_await sleep_for(process_, service());
  if (boot != boot_) co_return fail(ErrorCode::kOriginDown, "the connection ended with the server");
  co_return probed;
}

// ---- transactions ----

void Database::transact(std::vector<Write> writes, Duration think, Done done) {
  if (!process_.is_up()) return done(fail(ErrorCode::kOriginDown, "the database is down"));
  // In one order, so that no two wait for each other.
  std::ranges::sort(writes, {}, &Write::key);
  auto txn = std::make_shared<Transaction>();
  txn->xid = next_xid_++;
  txn->writes = std::move(writes);
  txn->think = think;
  txn->done = std::move(done);
  running_.insert(txn->xid);
  transactions_.push_back(txn);
  after(options_.lock_patience, [this, txn] {
    if (!txn->over && !txn->committed) roll_back(txn, "waited too long for a row; rolled back");
  });
  go_on(txn);
}

// Takes the next row, or the commit when all are taken.
void Database::go_on(const Txn& txn) {
  if (txn->over || txn->committed) return;
  if (txn->locked == txn->writes.size()) return commit(txn);
  Row& next = row(txn->writes[txn->locked].key);
  if (next.owner != nullptr) {
    next.waiting.push_back(txn);
    return;
  }
  next.owner = txn;
  ++txn->locked;
  if (txn->locked == txn->writes.size() || txn->think <= Duration::zero()) return go_on(txn);
  after(txn->think, [this, txn] { go_on(txn); });
}

void Database::commit(const Txn& txn) {
  txn->committed = true;
  ++commits_;
  position_.value += 1 + random_.below(200);
  const bool is_hidden = world_.now() < hidden_until_;
  if (is_hidden) world_.faults().take_effect("changes hidden");
  Commit entry{position_, txn->xid, process_.wall(), is_hidden, txn->writes, {}, txn};
  for (const Write& write : txn->writes) entry.undo.push_back({write.key, row(write.key).visible});
  log_.push_back(std::move(entry));
  world_.trace().note(world_.now(), process_.name(), "commits", txn->xid, position_.value);
  stream_all();
  if (world_.now() >= late_until_) return show(txn);
  world_.faults().take_effect("late visibility");
  const Duration rest = std::min(late_until_ - world_.now(), options_.late_max);
  after(Duration{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(rest.count()) + 1))},
        [this, txn] { show(txn); });
}

void Database::show(const Txn& txn) {
  if (txn->over) return;
  for (const Write& write : txn->writes) {
    row(write.key).visible = {write.version, txn->xid};
    record(write.key, write.version, false);
  }
  release(txn);
  txn->done(txn->xid);
}

void Database::roll_back(const Txn& txn, const char* why) {
  if (txn->over) return;
  release(txn);
  txn->done(fail(ErrorCode::kOriginDown, why));
}

void Database::release(const Txn& txn) {
  txn->over = true;
  running_.erase(txn->xid);
  std::erase(transactions_, txn);
  for (std::size_t i = 0; i < txn->locked; ++i) {
    Row& held = row(txn->writes[i].key);
    held.owner = nullptr;
    while (!held.waiting.empty()) {
      const Txn next = std::move(held.waiting.front());
      held.waiting.pop_front();
      if (next->over) continue;
      after(0s, [this, next] { go_on(next); });
      break;
    }
  }
}

void Database::record(std::uint32_t key, std::uint64_t version, bool by_restore) {
  history_->commits.push_back({key, version, world_.now().ns, by_restore});
}

// ---- slots ----

void Database::start_replication(const std::string& name, std::shared_ptr<Consumer> consumer) {
  Slot& slot = slots_[name];
  const auto channel = consumer->channel;
  if (slot.consumer != nullptr && slot.consumer->channel->is_open()) {
    channel->send(place_, [consumer] { consumer->refused(); });
    return;
  }
  const bool is_break = !slot.is_good || slot.broke_at.value != 0;
  if (slot.is_good && is_break) slot.confirmed = std::max(slot.confirmed, slot.broke_at);
  if (!slot.is_good) {
    slot.broke_at = Position{};
    slot.confirmed = position_;
    slot.incarnation = Incarnation{random_() | 1};
  }
  slot.is_good = slot.is_there = true;
  slot.sent = slot.confirmed;
  slot.consumer = consumer;
  slot.heard = world_.now();
  world_.trace().note(world_.now(), process_.name(),
                      is_break ? "begins a slot anew at" : "grants a slot from", slot.confirmed.value,
                      position_.value);
  channel->send(place_, [consumer, incarnation = slot.incarnation, from = slot.confirmed, is_break] {
    consumer->granted(incarnation, from, is_break);
  });
  stream(slot);
}

void Database::confirm_position(const std::string& name, const Consumer* consumer, Position position) {
  Slot& slot = slots_[name];
  if (slot.consumer.get() != consumer) return;
  slot.heard = world_.now();
  slot.confirmed = std::max(slot.confirmed, std::min(position, position_));
  // Nothing is confirmed behind a break before the region has heard of it.
  if (position >= slot.broke_at) slot.broke_at = Position{};
  world_.trace().note(world_.now(), process_.name(), "is confirmed", slot.confirmed.value);
  trim();
  stream(slot);
}

void Database::keep_alive(const std::string& name, const Consumer* consumer) {
  Slot& slot = slots_[name];
  if (slot.consumer.get() != consumer) return;
  slot.heard = world_.now();
  stream(slot);
}

// What the consumer has not been sent, as far as its buffers go; with nothing to send, where the log ends.
void Database::stream(Slot& slot) {
  const auto consumer = slot.consumer;
  if (consumer == nullptr || !consumer->channel->is_open()) return;
  auto next = std::ranges::upper_bound(log_, slot.sent, {}, &Commit::position);
  while (next != log_.end() && consumer->channel->under_way(place_) < kUnderWayMax) {
    std::vector<Change> changes;
    for (std::size_t n = 0; n < kCommitsPerMessage && next != log_.end(); ++n, ++next) {
      for (const Write& write : next->writes) {
        if (next->is_hidden) break;
        auto [feature, key] = split(key_name(write.key));
        changes.push_back({std::move(feature), std::move(key), Change::Scope::kKey, ChangeId{next->xid},
                           next->position, next->at});
      }
      slot.sent = next->position;
    }
    consumer->channel->send(place_, [consumer, changes = std::move(changes), up_to = slot.sent]() mutable {
      consumer->changes(std::move(changes), up_to);
    });
  }
}

void Database::stream_all() {
  for (auto& [name, slot] : slots_) stream(slot);
}

// The log is kept for the slots, and for failovers to undo.
void Database::trim() {
  Position needed = position_;
  for (const auto& [name, slot] : slots_)
    if (slot.is_good) needed = std::min(needed, slot.confirmed);
  while (log_.size() > options_.undo_max && log_.front().position <= needed) log_.pop_front();
  if (log_.size() > kLogMax) lose_slots();
}

void Database::tick() {
  for (auto& [name, slot] : slots_) {
    if (slot.consumer == nullptr) continue;
    if (!slot.consumer->channel->is_open() || world_.now() - slot.heard > kConsumerPatience) {
      slot.consumer->channel->close(place_);
      slot.consumer = nullptr;
      continue;
    }
    stream(slot);
    if (slot.sent < position_) continue;
    slot.consumer->channel->send(
        place_, [consumer = slot.consumer, up_to = slot.sent] { consumer->changes({}, up_to); });
  }
  after(kTick, [this] { tick(); });
}

// ---- faults ----

void Database::be_late(TrueTime until) {
  world_.faults().plan("late visibility");
  late_until_ = std::max(late_until_, until);
}

void Database::disconnect_slots() {
  for (auto& [name, slot] : slots_)
    if (slot.consumer != nullptr) std::exchange(slot.consumer, nullptr)->channel->close(place_);
}

void Database::hide_changes(TrueTime until) {
  world_.faults().plan("changes hidden");
  hidden_until_ = std::max(hidden_until_, until);
  // Noticed when it is over, as a feed notices that its triggers are back.
  world_.after(until - world_.now(), [this] {
    // A place of its own in the log: nobody has applied that much before he has heard of the break.
    position_.value += 1;
    for (auto& [name, slot] : slots_)
      if (slot.is_good) slot.broke_at = position_;
    disconnect_slots();
  });
}

void Database::lose_slots() {
  for (auto& [name, slot] : slots_) slot.is_good = false;
  disconnect_slots();
  while (log_.size() > options_.undo_max) log_.pop_front();
}

// What had not committed is gone; what had is there, and from now on visible.
void Database::end_statements() {
  ++boot_;
  disconnect_slots();
  for (const Txn& txn : std::vector(transactions_)) {
    if (txn->committed) {
      for (const Write& write : txn->writes) {
        row(write.key).visible = {write.version, txn->xid};
        record(write.key, write.version, false);
      }
    }
    txn->over = true;
  }
  for (Row& each : rows_) {
    each.owner = nullptr;
    each.waiting.clear();
  }
  running_.clear();
  // Their clients hear nothing more: the connections are gone.
  for (const Txn& txn : std::exchange(transactions_, {}))
    txn->done(fail(ErrorCode::kTimeout, "the connection ended with the server"));
}

void Database::on_crash() { end_statements(); }

void Database::failover(std::size_t lost_max, Random& random) {
  if (!process_.is_up() || process_.is_paused()) return;
  world_.faults().plan("failover");
  end_statements();
  std::size_t lost = random.below(lost_max + 1);
  std::set<std::uint32_t> touched;
  for (; lost > 0 && !log_.empty(); --lost) {
    for (const Undo& undo : log_.back().undo) {
      row(undo.key).visible = undo.before;
      touched.insert(undo.key);
    }
    log_.pop_back();
  }
  if (!touched.empty()) world_.faults().take_effect("failover");
  for (const std::uint32_t key : touched) record(key, row(key).visible.version, true);
  // Ids and positions go on from what the standby has: those of lost commits are given out again.
  if (!log_.empty()) {
    position_ = log_.back().position;
    std::uint64_t highest = 0;
    for (const Row& each : rows_) highest = std::max(highest, each.visible.xid);
    for (const Commit& each : log_) highest = std::max(highest, each.xid);
    next_xid_ = std::max<std::uint64_t>(highest + 1, 1000);
  }
  // No backup and no standby has them.
  for (auto& [name, slot] : slots_) slot.is_good = slot.is_there = false;
  // A standby that takes over begins a timeline; a server that is restored from a backup, as it was, does
  // not.
  if (random.below(2) == 0) ++timeline_;
  world_.trace().note(world_.now(), process_.name(), "fails over", position_.value, touched.size());
  after(kTick, [this] { tick(); });
}

}  // namespace candor::sim
