#include "origin/postgres_history.h"

#include <fmt/format.h>

#include <algorithm>

namespace candor {
namespace {

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const auto space = std::min(words.find(' '), words.size());
    if (words.substr(0, space) == word) return true;
    words.remove_prefix(std::min(space + 1, words.size()));
  }
  return false;
}

// Its nonce does not say yet where it was made (postgres_nonce()): a copy follows it at once.
bool is_being_made(std::string_view slot) { return slot.ends_with("0000"); }

// The first of `before` that is not in `now`; empty: none.
std::string_view missing_slot(std::string_view before, std::string_view now) {
  while (!before.empty()) {
    const auto space = std::min(before.find(' '), before.size());
    const auto slot = before.substr(0, space);
    const bool was_being_made = is_being_made(slot) && !now.empty();
    if (!slot.empty() && !has_word(now, slot) && !was_being_made) return slot;
    before.remove_prefix(std::min(space + 1, before.size()));
  }
  return {};
}

bool is_other_timeline(const PostgresHistory::Mark& before, const PostgresPlace& now) {
  return before.timeline != 0 && now.timeline != 0 && now.timeline != before.timeline;
}

std::string how_it_shows(const PostgresHistory::Mark& before, const PostgresPlace& now) {
  if (is_other_timeline(before, now))
    return fmt::format("the server is on timeline {}, and was on {}", now.timeline, before.timeline);
  if (now.next < before.next)
    return fmt::format("transaction ids went back: the next is {}, and ids up to {} were seen", now.next,
                       before.next - 1);
  if (const auto slot = missing_slot(before.slots, now.slots); !slot.empty())
    return fmt::format("replication slot {} is gone", slot);
  if (!before.unsafe_since.empty() && !now.unsafe_since.empty() && before.unsafe_since != now.unsafe_since)
    return "the server crashed, and with synchronous_commit = off commits that were read may be gone";
  return {};
}

}  // namespace

PostgresHistory::Mark PostgresHistory::mark() {
  return {++marks_, history_, timeline_, next_, slots_, unsafe_since_};
}

void PostgresHistory::saw(const Stamp& stamp) {
  if (stamp.is_known()) next_ = std::max(next_, stamp.highest().value + 1);
}

PostgresHistory::Verdict PostgresHistory::compare(const Mark& asked, const PostgresPlace& answer) {
  using Kind = Verdict::Kind;
  if (!answer.is_primary) return {};
  if (asked.history != history_) return {Kind::kOvertaken, {}};
  std::string reason = how_it_shows(asked, answer);
  const bool slots_stayed =
      !is_other_timeline(asked, answer) && missing_slot(asked.slots, answer.slots).empty();
  if (!reason.empty()) {
    ++history_;
    next_ = answer.next;  // the higher ones were of the lost history
  }
  next_ = std::max(next_, answer.next);
  if (asked.number > answered_) {
    answered_ = asked.number;
    if (answer.timeline != 0) timeline_ = answer.timeline;
    slots_ = answer.slots;
    if (!answer.unsafe_since.empty()) unsafe_since_ = answer.unsafe_since;  // probes do not ask
  }
  if (reason.empty()) return {};
  return {Kind::kLost, std::move(reason), slots_stayed};
}

}  // namespace candor
