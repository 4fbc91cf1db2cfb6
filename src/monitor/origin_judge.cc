#include "monitor/origin_judge.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

// An origin that failed to answer is left alone for a while.
constexpr Duration kAskAgainAfter = 2s;

}  // namespace

OriginJudge::OriginJudge(Options options, const ChangeHistory* history, std::uint64_t feature_hash,
                         std::uint64_t seed)
    : options_(options), history_(history), feature_hash_(feature_hash), random_(seed) {}

std::uint64_t OriginJudge::entry_of(const PickedRead& read) {
  return mix64(read.key_hash ^ mix64(static_cast<std::uint64_t>(read.loaded_at.ns) ^ read.value_hash));
}

std::optional<HeardChange> OriginJudge::told_of(std::uint64_t key_hash, StampBound stamp,
                                                MonoTime loaded_at) const {
  if (history_ == nullptr) return std::nullopt;
  auto of_key = history_->first_missing(key_hash, stamp, loaded_at);
  auto of_all = history_->first_missing(feature_hash_, stamp, loaded_at);
  if (!of_key || (of_all && of_all->committed < of_key->committed)) return of_all;
  return of_key;
}

// The first change that a value does not include comes after its load: a young value is not over the limit.
bool OriginJudge::needs_question(const PickedRead& read) const {
  if (read.tier == Tier::kOrigin || read.age() <= options_.limit) return false;
  if (const auto told = told_of(read.key_hash, read.stamp, read.loaded_at);
      told && told->committed <= read.at)
    return false;
  const auto known = entries_.find(entry_of(read));
  if (known == entries_.end()) return true;
  const Entry& entry = known->second;
  return !entry.doubt_at && !entry.when.is_settled(read.at, options_.limit);
}

void OriginJudge::add(PickedRead read) {
  read.weight = read.check_weight;
  if (!needs_question(read)) {
    const auto known = entries_.find(entry_of(read));
    if (known != entries_.end() && known->second.doubt_at && !known->second.is_lost) {
      read.is_checked = false;                         // its weight is final
      known->second.reads.push_back(std::move(read));  // one doubt for both
      ++asked_reads_;
    } else {
      put(known == entries_.end() ? nullptr : &known->second, std::move(read));
    }
    return;
  }
  // A reservoir (Vitter 1985) where there is no room for all: each has the same chance to stay.
  waiting_weight_ += read.weight;
  if (waiting_.size() < options_.waiting_max) {
    waiting_.push_back(std::move(read));
  } else if (random_.unit() * waiting_weight_ < read.weight * static_cast<double>(options_.waiting_max)) {
    ++left_out_;
    waiting_[random_.below(waiting_.size())] = std::move(read);
  } else {
    ++left_out_;
  }
}

OriginJudge::Entry& OriginJudge::entry(const PickedRead& read) {
  const std::uint64_t id = entry_of(read);
  auto [it, is_new] = entries_.try_emplace(id);
  Entry& entry = it->second;
  if (is_new) {
    entry.when.not_before = read.loaded_at;
    entry.key = read.key;
    entry.key_hash = read.key_hash;
    entry.value_hash = read.value_hash;
    entry.negative = read.negative;
    entry.stamp = read.stamp;
    entry.loaded_at = read.loaded_at;
    entry.place = order_.insert(order_.end(), id);
  } else {
    order_.splice(order_.end(), order_, entry.place);
  }
  return entry;
}

// Entries that reads wait for stay.
void OriginJudge::trim() {
  for (auto it = order_.begin(); it != order_.end() && entries_.size() > options_.entries_max;) {
    const auto found = entries_.find(*it);
    const bool is_needed = found->second.is_asked || !found->second.reads.empty();
    if (is_needed) {
      ++it;
      continue;
    }
    entries_.erase(found);
    it = order_.erase(it);
  }
}

void OriginJudge::ask_again(MonoTime now, std::size_t questions, std::vector<Question>* out) {
  std::vector<std::uint64_t> still_failed;
  for (const std::uint64_t id : failed_) {
    Entry& entry = entries_.at(id);
    if (now - entry.first_asked > options_.retry_for) {
      left_out_ += entry.reads.size();
      asked_reads_ -= entry.reads.size();
      entry.reads.clear();
    } else if (entry.ask_again_at <= now && out->size() < questions) {
      entry.is_asked = true;
      out->push_back({id, entry.key});
    } else {
      still_failed.push_back(id);
    }
  }
  failed_ = std::move(still_failed);
}

std::vector<OriginJudge::Question> OriginJudge::ask(MonoTime now, std::size_t questions) {
  std::vector<Question> out;
  ask_again(now, questions, &out);
  if (out.size() >= questions || waiting_.empty()) return out;
  for (std::size_t i = waiting_.size() - 1; i > 0; --i)
    std::swap(waiting_[i], waiting_[random_.below(i + 1)]);
  std::size_t taken = 0;
  double taken_weight = 0.0;
  std::vector<std::uint64_t> touched;
  for (; taken < waiting_.size(); ++taken) {
    const std::uint64_t id = entry_of(waiting_[taken]);
    const auto known = entries_.find(id);
    const bool is_under_way =
        known != entries_.end() && (known->second.is_asked || !known->second.reads.empty());
    if (!is_under_way && out.size() >= questions) break;
    Entry& entry = this->entry(waiting_[taken]);
    if (!is_under_way) {
      entry.is_asked = true;
      entry.first_asked = now;
      out.push_back({id, entry.key});
    }
    taken_weight += waiting_[taken].weight;
    ++asked_reads_;
    entry.reads.push_back(std::move(waiting_[taken]));
    touched.push_back(id);
  }
  const double factor = waiting_weight_ / taken_weight;
  for (std::size_t i = 0; i < touched.size(); ++i) {
    Entry& entry = entries_.at(touched[i]);
    // Of this round only: they are the last ones, and each is touched once.
    for (auto read = entry.reads.rbegin(); read != entry.reads.rend(); ++read) {
      if (read->is_checked) {
        read->weight *= factor;
        read->is_checked = false;  // its weight is final
        break;
      }
    }
  }
  left_out_ += waiting_.size() - taken;
  waiting_.clear();
  waiting_weight_ = 0.0;
  trim();
  return out;
}

void OriginJudge::answered(std::uint64_t id, const Answer& answer) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  entry.is_asked = false;
  if (answer.failed) {
    entry.ask_again_at = answer.answered + kAskAgainAfter;
    if (!entry.reads.empty()) failed_.push_back(id);
    return;
  }
  const bool is_same =
      answer.negative == entry.negative && (answer.negative || answer.value_hash == entry.value_hash);
  rate_.add(answer.asked - entry.when.not_before, !is_same);
  if (is_same) {
    entry.when.not_before = std::max(entry.when.not_before, answer.asked);
    judge_reads(entry);
  } else if (history_ != nullptr) {
    entry.doubt_at = answer.answered;
    in_doubt_.push_back(id);
  } else {
    entry.when.not_after = answer.answered;
    judge_reads(entry);
  }
}

void OriginJudge::settle_doubts(MonoTime now, MonoTime proven) {
  std::erase_if(in_doubt_, [&](std::uint64_t id) {
    Entry& entry = entries_.at(id);
    // One that came after the answer is not what the answer saw.
    const auto told = told_of(entry.key_hash, entry.stamp, entry.loaded_at);
    const bool is_told = told && told->committed <= *entry.doubt_at;
    const bool is_complete = history_->complete_since() <= entry.first_asked;
    if (!is_told) {
      const bool stream_is_past = proven > *entry.doubt_at && is_complete;
      if (!stream_is_past && now - *entry.doubt_at < options_.patience) return false;
      entry.is_lost = stream_is_past;
      entry.when.not_after = *entry.doubt_at;
    }
    if (is_told || !entry.is_lost) entry.doubt_at.reset();
    judge_reads(entry);
    return true;
  });
}

std::vector<OriginJudge::Verdict> OriginJudge::take(MonoTime now, MonoTime proven) {
  if (history_ != nullptr) settle_doubts(now, proven);
  trim();
  return std::exchange(verdicts_, {});
}

void OriginJudge::judge_reads(Entry& entry) {
  std::vector<PickedRead> reads = std::exchange(entry.reads, {});
  asked_reads_ -= reads.size();
  for (PickedRead& read : reads) put(&entry, std::move(read));
}

void OriginJudge::put(Entry* entry, PickedRead read) {
  Verdict verdict;
  verdict.judged.weight = read.weight;
  const auto told = told_of(read.key_hash, read.stamp, read.loaded_at);
  if (read.tier == Tier::kOrigin) {
    // The origin's own word of this read.
  } else if (told && told->committed <= read.at) {
    verdict.is_stale = true;
    verdict.staleness = read.at - told->committed;
    verdict.judged.over = verdict.staleness > options_.limit ? 1.0 : 0.0;
    verdict.judged.cause = told->applied + kReadTimeSlack > read.at ? StaleCause::kLag : StaleCause::kRace;
  } else if (entry != nullptr && entry->when.not_after) {
    const Supersession& when = entry->when;
    const bool is_watched = history_ != nullptr;
    // Lost changes are rare: one in a bracket, anywhere in it.
    verdict.judged.over = when.chance_over(read.at, options_.limit, entry->is_lost ? 0.0 : updates_);
    if (verdict.judged.over > 0.0 && verdict.judged.over < 1.0) {
      // (W + w)^2 - W^2: one unknown moment decides all of the entry's reads.
      verdict.judged.together = 2.0 * entry->guessed + read.weight;
      entry->guessed += read.weight;
    }
    verdict.is_stale = *when.not_after <= read.at;
    const Duration longest = read.at - when.not_before;
    const Duration least = std::max(Duration::zero(), read.at - *when.not_after);
    if (longest > Duration::zero()) verdict.staleness = (longest + least) / 2;
    verdict.judged.cause = !is_watched      ? StaleCause::kTtlOnly
                           : entry->is_lost ? StaleCause::kLost
                                            : StaleCause::kLag;
  }
  if (read.degraded) verdict.judged.cause = StaleCause::kServeStale;
  verdict.read = std::move(read);
  verdicts_.push_back(std::move(verdict));
}

}  // namespace candor
