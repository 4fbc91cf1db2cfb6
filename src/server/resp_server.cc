#include "server/resp_server.h"

#include <utility>

#include "server/session.h"

namespace candor::server {

namespace {

std::string random_hex(EntropySource& entropy, std::size_t digits) {
  std::string hex;
  while (hex.size() < digits) {
    std::uint64_t word = entropy.next_seed();
    for (int i = 0; i < 16 && hex.size() < digits; ++i, word >>= 4)
      hex.push_back("0123456789abcdef"[word & 15]);
  }
  return hex;
}

}  // namespace

Result<std::unique_ptr<RespServer>> RespServer::make(ServerContext context) {
  const std::string& plain = context.options.plain_feature;
  if (!plain.empty()) {
    const Feature* feature = context.cache->find_feature(plain);
    if (feature == nullptr || !feature->policy().plain) {
      return fail(ErrorCode::kConfiguration,
                  "resp.plain_feature '" + plain + "' is no feature with origin = \"none\"");
    }
  }
  auto users = Users::make(context.users, *context.cache);
  if (!users) return std::unexpected(std::move(users.error()));
  return std::unique_ptr<RespServer>(new RespServer(std::move(context), std::move(*users)));
}

RespServer::RespServer(ServerContext context, Users users)
    : context_(std::move(context)),
      commands_(context_.entropy->next_seed()),
      features_(*context_.cache, context_.options.plain_feature, context_.entropy->next_seed()),
      users_(std::move(users)),
      started_at_(context_.clock->now()),
      run_id_(random_hex(*context_.entropy, 40)),
      pubsub_(context_.entropy->next_seed(), context_.options.patterns_max),
      slow_log_(context_.options.slow_log_entries) {
  if (context_.tracking != nullptr) context_.tracking->use_names(&features_, context_.cache);
}

RespServer::~RespServer() = default;

std::unique_ptr<ConnectionHandler> RespServer::accept(Peer* peer) {
  if (connections_.fetch_add(1, std::memory_order_relaxed) >= context_.options.connections_max) {
    connections_.fetch_sub(1, std::memory_order_relaxed);
    counters_.connections_refused.add();
    peer->output().append("-ERR max number of clients reached\r\n");
    peer->flush();
    return nullptr;
  }
  counters_.connections_accepted.add();
  return std::make_unique<Session>(*this, loop_of(&peer->executor()), peer);
}

std::shared_ptr<LoopState> RespServer::loop_of(Executor* executor) {
  MutexLock lock(mutex_);
  for (const auto& loop : loops_) {
    if (&loop->executor() == executor) return loop;
  }
  return loops_.emplace_back(std::make_shared<LoopState>(executor));
}

bool RespServer::begin_password_check() {
  if (password_checks_.fetch_add(1, std::memory_order_relaxed) < context_.options.password_checks_max)
    return true;
  password_checks_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

bool RespServer::may_log_foreign(MonoTime now) {
  auto last = foreign_logged_ns_.load(std::memory_order_relaxed);
  if (last != INT64_MIN && now - MonoTime{last} < kForeignLogPeriod) return false;
  return foreign_logged_ns_.compare_exchange_strong(last, now.ns, std::memory_order_relaxed);
}

void RespServer::visit_sessions(std::function<void(Session&)> visit, Work done) {
  std::vector<std::shared_ptr<LoopState>> loops;
  {
    MutexLock lock(mutex_);
    loops = loops_;
  }
  // Loop after loop, not all at once: `visit` then needs no lock.
  struct Tour {
    std::vector<std::shared_ptr<LoopState>> loops;
    std::function<void(Session&)> visit;
    Work done;
    static void step(std::shared_ptr<Tour> tour, std::size_t at) {
      if (at == tour->loops.size()) return tour->done();
      LoopState& loop = *tour->loops[at];
      loop.executor().post([tour = std::move(tour), at]() mutable {
        for (const auto& [id, session] : tour->loops[at]->sessions()) tour->visit(*session);
        step(std::move(tour), at + 1);
      });
    }
  };
  Tour::step(std::make_shared<Tour>(Tour{std::move(loops), std::move(visit), std::move(done)}), 0);
}

}  // namespace candor::server
