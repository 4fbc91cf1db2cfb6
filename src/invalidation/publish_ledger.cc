#include "invalidation/publish_ledger.h"

#include <algorithm>

#include "version/mutant.h"

namespace candor {

void PublishLedger::on_appended(const Appended& message) {
  entries_.push_back(message);
  if (entries_.size() > kEntriesMax) join_neighbours();
  settle();
}

void PublishLedger::on_visible(ChangeId id) {
  visible_ = std::max(visible_, id);
  settle();
}

void PublishLedger::on_told(Position told) {
  told_ = told;
  settle();
}

SequenceNumber PublishLedger::replay_from() const {
  return entries_.empty() ? SequenceNumber{} : entries_.front().sequence;
}

void PublishLedger::settle() {
  const auto is_done = [this](const Appended& entry) {
    return (entry.highest_id <= visible_ || mutant(Mutant::kConfirmInvisible)) && entry.highest <= told_;
  };
  while (!entries_.empty() && is_done(entries_.front())) {
    confirmable_ = std::max(confirmable_, entries_.front().up_to);
    entries_.pop_front();
  }
}

void PublishLedger::join_neighbours() {
  std::deque<Appended> joined;
  for (std::size_t i = 0; i < entries_.size(); i += 2) {
    Appended one = entries_[i];
    if (i + 1 < entries_.size()) {
      const Appended& next = entries_[i + 1];
      one.up_to = next.up_to;
      one.highest = std::max(one.highest, next.highest);
      one.highest_id = std::max(one.highest_id, next.highest_id);
    }
    joined.push_back(one);
  }
  entries_ = std::move(joined);
}

}  // namespace candor
