#include "monitor/alert_outbox.h"

#include <utility>

namespace candor {

void AlertOutbox::put(const Alert& alert) {
  const std::string key = alert.key();
  if (waiting_.size() >= kAlertsMax && !waiting_.contains(key)) {
    ++counts_.dropped;
    return;
  }
  waiting_.insert_or_assign(key, alert);
}

std::optional<MonoTime> AlertOutbox::due() const {
  if (waiting_.empty() || !under_way_.empty()) return std::nullopt;
  return next_;
}

std::vector<Alert> AlertOutbox::take() {
  std::vector<Alert> out;
  while (!waiting_.empty() && out.size() < kBatchMax) {
    auto node = waiting_.extract(waiting_.begin());
    out.push_back(node.mapped());
    under_way_.insert(std::move(node));
  }
  return out;
}

void AlertOutbox::on_taken(MonoTime now) {
  counts_.delivered += under_way_.size();
  under_way_.clear();
  backoff_.reset();
  next_ = now;
}

void AlertOutbox::on_failed(MonoTime now) {
  ++counts_.failed;
  waiting_.merge(under_way_);
  under_way_.clear();
  while (waiting_.size() > kAlertsMax) {
    waiting_.erase(std::prev(waiting_.end()));
    ++counts_.dropped;
  }
  next_ = now + backoff_.next();
}

void AlertOutbox::on_refused(MonoTime now) {
  counts_.refused += under_way_.size();
  under_way_.clear();
  next_ = now + backoff_.next();
}

}  // namespace candor
