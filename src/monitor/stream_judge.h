// Judges picked reads by the change stream alone, without asking the origin: once everything that was
// committed before a read has been applied here, its staleness is known from what was applied since.
//
// It believes the stream: a change that never came is not seen (OriginJudge sees it). While the stream gives
// no proof a read waits; after `patience` it is handed back as not judged, which is not the same as fresh.
//
// Pure: callers pass `now`. Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "monitor/change_history.h"
#include "monitor/exposure_report.h"
#include "monitor/picked_read.h"

namespace candor {

class StreamJudge {
 public:
  struct Verdict {
    PickedRead read;
    bool is_judged = false;
    bool is_stale = false;  // superseded before the read, within the limit or not
    Duration staleness{0};
    StaleCause cause{};
  };
  struct Options {
    std::size_t waiting_max = 50'000;
    Duration patience = 30s;
  };
  // `history`: outlives this.
  StreamJudge(Options options, const ChangeHistory* history) : options_(options), history_(history) {}

  // `feature_hash`: what changes of all its keys are kept under.
  void add(PickedRead read, std::uint64_t feature_hash);
  // `proven`: every change committed before it has been applied here.
  [[nodiscard]] std::vector<Verdict> take(MonoTime now, MonoTime proven);

  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    PickedRead read;
    std::uint64_t feature_hash = 0;
  };
  [[nodiscard]] Verdict judge(Waiting waiting) const;

  Options options_;
  const ChangeHistory* history_;
  std::deque<Waiting> waiting_;
};

}  // namespace candor
