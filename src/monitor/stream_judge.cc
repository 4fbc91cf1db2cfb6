#include "monitor/stream_judge.h"

#include <utility>

namespace candor {

void StreamJudge::add(PickedRead read, std::uint64_t feature_hash) {
  if (waiting_.size() >= options_.waiting_max) waiting_.pop_front();
  waiting_.push_back({std::move(read), feature_hash});
}

StreamJudge::Verdict StreamJudge::judge(Waiting waiting) const {
  Verdict verdict;
  verdict.is_judged = true;
  PickedRead& read = waiting.read;
  if (read.tier != Tier::kOrigin) {
    auto first = history_->first_missing(read.key_hash, read.stamp, read.loaded_at);
    const auto of_all = history_->first_missing(waiting.feature_hash, read.stamp, read.loaded_at);
    if (!first || (of_all && of_all->committed < first->committed)) first = of_all;
    if (first && first->committed <= read.at) {
      verdict.is_stale = true;
      verdict.staleness = read.at - first->committed;
      verdict.cause = read.degraded                               ? StaleCause::kServeStale
                      : first->applied + kReadTimeSlack > read.at ? StaleCause::kLag
                                                                  : StaleCause::kRace;
    }
  }
  verdict.read = std::move(read);
  return verdict;
}

std::vector<StreamJudge::Verdict> StreamJudge::take(MonoTime now, MonoTime proven) {
  std::vector<Verdict> out;
  while (!waiting_.empty()) {
    Waiting& oldest = waiting_.front();
    // The read's time is rounded down to a millisecond.
    const bool is_past = oldest.read.at + 1ms < proven;
    const bool is_covered = history_->complete_since() <= oldest.read.at;
    if (is_past && is_covered) {
      out.push_back(judge(std::move(oldest)));
    } else if (is_past || now - oldest.read.at > options_.patience) {
      Verdict verdict;
      verdict.read = std::move(oldest.read);
      out.push_back(std::move(verdict));
    } else {
      break;
    }
    waiting_.pop_front();
  }
  return out;
}

}  // namespace candor
