// Judges picked reads of one feature against the origin itself: later, a few, never on the reader's way. It
// sees what the stream does not tell: a change that was lost.
//
//   add()      a picked read whose time has come
//   ask()      the keys to load now: reads of the same entry share one question, and a read that is younger
//              than its limit needs none
//   answered() what the origin said
//   take()     the verdicts
//
// Where not every read that needs a question may have one, they are taken in random order until the round's
// questions are used up, and those that were taken stand for the others. Reads that need none are all judged:
// a part of their own, so that neither weighs for the other.
//
// Questions are best asked soon: what changes between the read and the answer blurs it. It is the verdict
// that waits for the stream.
//
// Cause of a difference, where changes are heard of: a change that the stream told, committed before the
// answer, explains it (lag, or race when it had been applied before the read). If none does, the judge waits
// until the stream is proven to have passed the moment of the question: then the change was lost. If no such
// proof comes, the stream is behind, and so is the change: lag.
//
// Pure: callers pass `now`. Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "monitor/change_history.h"
#include "monitor/change_rate.h"
#include "monitor/exposure_report.h"
#include "monitor/picked_read.h"
#include "monitor/span_tally.h"
#include "monitor/supersession.h"

namespace candor {

class OriginJudge {
 public:
  struct Options {
    Duration limit{0};        // max_staleness
    bool is_watched = false;  // the feature's changes are heard of
    std::size_t waiting_max = 4096;
    std::size_t entries_max = 4096;
    Duration patience = 60s;    // for the stream's word on a difference
    Duration retry_for = 5min;  // an origin that does not answer
  };
  // `history`: of the feature's origin; null where changes are not heard of. Outlives this.
  OriginJudge(Options options, const ChangeHistory* history, std::uint64_t feature_hash, std::uint64_t seed);

  void add(PickedRead read);

  struct Question {
    std::uint64_t entry = 0;
    std::string key;
  };
  // At most `questions`; 0 settles only what needs none.
  [[nodiscard]] std::vector<Question> ask(MonoTime now, std::size_t questions);
  struct Answer {
    MonoTime asked{0};
    MonoTime answered{0};
    bool failed = false;  // the origin did not say
    bool negative = false;
    std::uint64_t value_hash = 0;
  };
  void answered(std::uint64_t entry, const Answer& answer);

  struct Verdict {
    PickedRead read;
    SpanTally::Judged judged;
    Duration staleness{0};  // as well as is known: the middle of what is possible
    bool is_stale = false;  // superseded before the read, within the limit or not, for certain
  };
  // What has been decided by now. `proven`: every change committed before it has been applied here.
  [[nodiscard]] std::vector<Verdict> take(MonoTime now, MonoTime proven);

  // An answer that cost nothing: what a reload brought `interval` after the load before it.
  void learn(Duration interval, bool changed) { rate_.add(interval, changed); }
  void set_limit(Duration limit) { options_.limit = limit; }
  // Once a second: old answers about how often keys change count for `factor` of what they did.
  void fade(double factor) {
    rate_.fade(factor);
    updates_ = rate_.per_second().value_or(0.0);
  }
  [[nodiscard]] const ChangeRate& rate() const { return rate_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size() + asked_reads_; }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  // What is known of one entry: one load of one key.
  struct Entry {
    Supersession when;
    std::string key;
    std::uint64_t key_hash = 0;
    std::uint64_t value_hash = 0;
    bool negative = false;
    StampBound stamp;
    MonoTime loaded_at{0};
    std::optional<MonoTime> doubt_at;  // a difference that nothing explains was found then
    double guessed = 0.0;              // weight of its reads that were judged by a chance
    bool is_lost = false;
    bool is_asked = false;
    MonoTime first_asked{0};
    MonoTime ask_again_at{0};       // of one whose question failed
    std::vector<PickedRead> reads;  // wait for the answer
    std::list<std::uint64_t>::iterator place;
  };
  [[nodiscard]] static std::uint64_t entry_of(const PickedRead& read);
  Entry& entry(const PickedRead& read);
  void trim();
  [[nodiscard]] bool needs_question(const PickedRead& read) const;
  void ask_again(MonoTime now, std::size_t questions, std::vector<Question>* out);
  void judge_reads(Entry& entry);
  void put(Entry* entry, PickedRead read);
  [[nodiscard]] std::optional<HeardChange> told_of(std::uint64_t key_hash, StampBound stamp,
                                                   MonoTime loaded_at) const;
  void settle_doubts(MonoTime now, MonoTime proven);

  Options options_;
  const ChangeHistory* history_;
  std::uint64_t feature_hash_;
  Random random_;
  std::vector<PickedRead> waiting_;  // need a question
  double waiting_weight_ = 0.0;      // also of those that had no room
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::list<std::uint64_t> order_;  // least lately used first
  std::vector<std::uint64_t> in_doubt_;
  std::vector<std::uint64_t> failed_;
  std::vector<Verdict> verdicts_;
  std::size_t asked_reads_ = 0;
  std::uint64_t left_out_ = 0;
  double updates_ = 0.0;  // per second, of late
  ChangeRate rate_;
};

}  // namespace candor
