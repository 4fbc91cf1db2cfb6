#include "sim/clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace candor::sim {
namespace {

// A client's way to its node and back: the same machine.
constexpr Duration kArrival = 20us;
constexpr Duration kReconnect = 300ms;
constexpr std::size_t kTokensKept = 16;
constexpr std::size_t kDirectKeysMax = 3;

Level level_of(Consistency level) {
  switch (level) {
    case Consistency::kEventual:
      return Level::kEventual;
    case Consistency::kBounded:
      return Level::kBounded;
    case Consistency::kSession:
      return Level::kSession;
    case Consistency::kStrong:
      return Level::kStrong;
    case Consistency::kOrigin:
      return Level::kOrigin;
  }
  return Level::kOrigin;
}

Tier tier_of(candor::Tier tier) {
  switch (tier) {
    case candor::Tier::kL1:
      return Tier::kL1;
    case candor::Tier::kDisk:
      return Tier::kDisk;
    case candor::Tier::kL2:
      return Tier::kL2;
    case candor::Tier::kOrigin:
      return Tier::kOrigin;
  }
  return Tier::kNone;
}

// What the error says of a write: only what certainly did not happen is refused.
Outcome told_outcome(const Error& error) {
  return error.code == ErrorCode::kUnknownOutcome || error.code == ErrorCode::kTimeout ? Outcome::kUnknown
                                                                                       : Outcome::kRefused;
}

}  // namespace

Clients::Clients(World& world, Database& database, std::vector<SimNode*> nodes,
                 const std::vector<FeaturePolicy>& features, Workload workload, History* history)
    : world_(world),
      database_(database),
      nodes_(std::move(nodes)),
      workload_(workload),
      history_(history),
      random_(world.stream("clients")) {
  double sum = 0;
  for (std::size_t i = 0; i < workload_.keys; ++i) {
    for (const FeaturePolicy& feature : features) {
      std::string key = fmt::format("k{}", i);
      const std::uint32_t number = history_->keys.number(feature.name + ":" + key);
      keys_.push_back({feature.name, std::move(key), feature.consistency, feature.max_staleness, number});
      sum += std::pow(static_cast<double>(i + 1), -workload_.skew);
      weights_.push_back(sum);
    }
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    node_numbers_.push_back(history_->nodes.number(nodes_[i]->name()));
    nodes_[i]->on_death([this, i] { on_death(i); });
  }
}

void Clients::start() {
  is_running_ = true;
  for (std::size_t i = 0; i < workload_.sessions; ++i) begin_session();
  write_directly();
}

Duration Clients::draw_think(Duration mean) {
  return Duration{
      static_cast<std::int64_t>(-std::log(1.0 - random_.unit()) * static_cast<double>(mean.count()))};
}

const Clients::Key& Clients::draw_key() {
  const double at = random_.unit() * weights_.back();
  return keys_[static_cast<std::size_t>(std::ranges::lower_bound(weights_, at) - weights_.begin())];
}

// ---- sessions ----

void Clients::begin_session(std::optional<std::size_t> not_on) {
  auto session = std::make_shared<Session>();
  session->id = ++last_session_;
  session->node = random_.below(nodes_.size());
  if (nodes_.size() > 1 && not_on == session->node) session->node = (session->node + 1) % nodes_.size();
  std::erase_if(sessions_, [](const SessionPtr& old) { return old->is_over; });
  sessions_.push_back(session);
  next_operation(session);
}

void Clients::on_death(std::size_t node) {
  for (const SessionPtr& session : sessions_) {
    if (session->is_over || session->node != node) continue;
    session->is_over = true;  // what is under way is never answered
    world_.after(kReconnect, [this, node] {
      if (is_running_) begin_session(node);
    });
  }
}

void Clients::next_operation(const SessionPtr& session) {
  world_.after(draw_think(workload_.think), [this, session] {
    if (!is_running_ || session->is_over) return;
    if (nodes_[session->node]->process().is_up()) return operate(session);
    session->is_over = true;
    world_.after(kReconnect, [this, node = session->node] {
      if (is_running_) begin_session(node);
    });
  });
}

void Clients::operate(const SessionPtr& session) {
  const double dice = random_.unit();
  if (dice < workload_.tokens) {
    // Whoever has just come takes a token up; the others leave one.
    if (!tokens_.empty() && random_.below(2) == 0) return adopt_token(session);
    return issue_token(session);
  }
  const Key& key = draw_key();
  if (dice < workload_.tokens + workload_.invalidations) return invalidate(session, key);
  if (random_.unit() < workload_.writes) return write(session, key);
  read(session, key);
}

std::size_t Clients::begin(const SessionPtr& session, OperationKind kind) {
  Operation operation;
  operation.session = session->id;
  operation.node = node_numbers_[session->node];
  operation.kind = kind;
  operation.invoked = world_.now().ns;
  // Until it is answered: a write may have happened, or may yet.
  operation.outcome = Outcome::kUnknown;
  history_->operations.push_back(operation);
  return history_->operations.size() - 1;
}

void Clients::at_node(const SessionPtr& session, Work work) {
  world_.at(world_.now() + kArrival, nodes_[session->node]->process(), std::move(work));
}

bool Clients::end(const SessionPtr& session, std::size_t operation, Outcome outcome) {
  // A process that is going says nothing any more.
  if (session->is_over || !nodes_[session->node]->process().is_up()) return false;
  Operation& op = history_->operations[operation];
  op.outcome = outcome;
  op.responded = world_.now().ns;
  world_.trace().fold(op.version, static_cast<std::uint64_t>(op.responded));
  if (is_running_) next_operation(session);
  return true;
}

void Clients::read(const SessionPtr& session, const Key& key) {
  SimNode::Read wanted{key.feature, key.key, std::nullopt, Duration{0}, nullptr};
  Consistency level = key.level;
  Duration bound = key.bound;
  if (random_.unit() < workload_.other_levels) {
    constexpr Consistency kLevels[] = {Consistency::kEventual, Consistency::kBounded, Consistency::kSession,
                                       Consistency::kStrong, Consistency::kOrigin};
    level = kLevels[random_.below(std::size(kLevels))];
    bound = Duration{static_cast<std::int64_t>(random_.below(Duration(5s).count()))};
    wanted.level = level;
    wanted.bound = bound;
  }
  const std::size_t number = begin(session, OperationKind::kRead);
  Operation& op = history_->operations[number];
  op.key = key.number;
  op.level = level_of(level);
  if (level == Consistency::kBounded) op.bound_ns = bound.count();
  at_node(session, [this, session, number, wanted]() mutable {
    wanted.token = session->token ? &*session->token : nullptr;
    nodes_[session->node]->read(wanted, [this, session, number](Result<SimNode::Answer> answer) {
      if (!answer) return void(end(session, number, Outcome::kRefused));
      Operation& answered = history_->operations[number];
      if (!session->is_over) {
        answered.version = answer->version;
        answered.tier = tier_of(answer->tier);
        answered.degraded = answer->degraded;
        answered.fresh_within_ns = answer->fresh_within_ns;
      }
      (void)end(session, number, Outcome::kOk);
    });
  });
}

void Clients::write(const SessionPtr& session, const Key& key) {
  const bool erases = random_.unit() < workload_.erases;
  const std::size_t number = begin(session, erases ? OperationKind::kErase : OperationKind::kWrite);
  Operation& op = history_->operations[number];
  op.key = key.number;
  op.version = erases ? kAbsent : new_version();
  at_node(session, [this, session, number, &key, version = op.version] {
    nodes_[session->node]->write(key.feature, key.key, version, [this, session, number](Result<void> done) {
      (void)end(session, number, done ? Outcome::kOk : told_outcome(done.error()));
    });
  });
}

void Clients::invalidate(const SessionPtr& session, const Key& key) {
  at_node(session, [this, session, &key] {
    nodes_[session->node]->invalidate(key.feature, key.key, [this, session](const Result<void>&) {
      if (is_running_ && !session->is_over && nodes_[session->node]->process().is_up())
        next_operation(session);
    });
  });
}

void Clients::issue_token(const SessionPtr& session) {
  const std::size_t number = begin(session, OperationKind::kToken);
  history_->operations[number].token = ++last_token_;
  at_node(session, [this, session, number, token = last_token_] {
    nodes_[session->node]->issue_token([this, session, number, token](Result<SessionToken> made) {
      // The server's part: what the session had adopted goes with it.
      if (made && session->token) {
        if (!made->merge(*session->token)) made = fail(ErrorCode::kRejected, "another history");
      }
      if (!end(session, number, made ? Outcome::kOk : Outcome::kRefused) || !made) return;
      tokens_.push_back({token, std::move(*made)});
      if (tokens_.size() > kTokensKept) tokens_.pop_front();
    });
  });
}

void Clients::adopt_token(const SessionPtr& session) {
  const Token given = tokens_[random_.below(tokens_.size())];
  SessionToken merged = given.token;
  if (session->token && !merged.merge(*session->token)) return next_operation(session);
  const std::size_t number = begin(session, OperationKind::kAdopt);
  history_->operations[number].token = given.number;
  at_node(session, [this, session, number, merged] {
    nodes_[session->node]->check_token(merged, [this, session, number, merged](Result<void> allowed) {
      if (allowed && !session->is_over) session->token = merged;
      (void)end(session, number, allowed ? Outcome::kOk : Outcome::kRefused);
    });
  });
}

// ---- straight at the database ----

void Clients::write_directly() {
  if (workload_.direct_per_second <= 0) return;
  const Duration mean{static_cast<std::int64_t>(1e9 / workload_.direct_per_second)};
  world_.after(draw_think(mean), [this] {
    if (!is_running_) return;
    std::vector<Database::Write> writes;
    std::vector<std::size_t> operations;
    for (std::size_t n = 1 + random_.below(kDirectKeysMax); n > 0; --n) {
      const Key& key = draw_key();
      if (std::ranges::find(writes, key.number, &Database::Write::key) != writes.end()) continue;
      Operation op;
      op.session = 0;  // nobody's: it is never asked what it has seen
      op.node = history_->nodes.number("direct");
      op.key = key.number;
      const bool erases = random_.unit() < workload_.erases;
      op.kind = erases ? OperationKind::kErase : OperationKind::kWrite;
      op.version = erases ? kAbsent : new_version();
      op.invoked = world_.now().ns;
      op.outcome = Outcome::kUnknown;
      writes.push_back({key.number, op.version});
      operations.push_back(history_->operations.size());
      history_->operations.push_back(op);
    }
    const Duration think{static_cast<std::int64_t>(
        random_.below(static_cast<std::uint64_t>(workload_.direct_think_max.count()) + 1))};
    world_.at(world_.now() + kArrival, database_.process(), [this, writes, operations, think] {
      database_.transact(writes, think, [this, operations](const Result<std::uint64_t>& done) {
        for (const std::size_t number : operations) {
          Operation& op = history_->operations[number];
          op.outcome = done ? Outcome::kOk : told_outcome(done.error());
          op.responded = world_.now().ns;
          // Visible now, and not before: the wait for rows is no part of it.
          if (done) op.invoked = op.responded;
        }
      });
    });
    write_directly();
  });
}

// ---- the end ----

void Clients::read_everything() {
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    auto session = std::make_shared<Session>();
    session->id = ++last_session_;
    session->node = node;
    for (const Key& key : keys_) {
      const std::size_t number = begin(session, OperationKind::kRead);
      Operation& op = history_->operations[number];
      op.key = key.number;
      op.level = Level::kEventual;
      SimNode::Read wanted{key.feature, key.key, Consistency::kEventual, Duration{0}, nullptr};
      at_node(session, [this, session, number, wanted] {
        nodes_[session->node]->read(wanted, [this, session, number](const Result<SimNode::Answer>& answer) {
          Operation& answered = history_->operations[number];
          if (answer) {
            answered.version = answer->version;
            answered.tier = tier_of(answer->tier);
            answered.degraded = answer->degraded;
          }
          (void)end(session, number, answer ? Outcome::kOk : Outcome::kRefused);
        });
      });
    }
  }
}

}  // namespace candor::sim
