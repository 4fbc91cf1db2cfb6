// PostgresConnection and statements that nobody waits for any more.
#include <fmt/format.h>

#include <algorithm>

#include "origin/postgres_connection.h"

namespace candor {
namespace {

// How long the server may be at work on something that nobody waits for, when it was not at work on it at the
// deadline.
constexpr Duration kHeadGrace = 1s;

}  // namespace

void PostgresConnection::on_late(const SqlRequest& request) {
  if (state_ != State::kReady || ops_.empty() || ops_.front().kind != Op::Kind::kExecute) return;
  const auto& job = ops_.front().job;
  const bool ours = std::any_of(job.requests.begin(), job.requests.end(),
                                [&](const auto& r) { return r.get() == &request; });
  if (ours && !job.is_awaited()) {
    lose({ErrorCode::kOriginDown, fmt::format("features.{}.{} ran past its deadline and was given up",
                                              job.feature().name(), statement_role_name(job.role))});
  } else {
    watch_head();
  }
}

void PostgresConnection::watch_head() {
  const auto unwanted_head = [](const PostgresConnection& c) {
    return c.state_ == State::kReady && !c.ops_.empty() && c.ops_.front().kind == Op::Kind::kExecute &&
           !c.ops_.front().job.is_awaited();
  };
  if (head_timer_ != TimerId{} || !unwanted_head(*this)) return;
  head_timer_ = executor_.schedule(
      executor_.now() + kHeadGrace, [weak = weak_from_this(), head = heads_, unwanted_head] {
        auto self = weak.lock();
        if (!self) return;
        self->head_timer_ = {};
        if (!unwanted_head(*self)) return;
        if (self->heads_ != head) return self->watch_head();
        self->lose({ErrorCode::kOriginDown, "a statement that nobody waits for did not end"});
      });
}

}  // namespace candor
