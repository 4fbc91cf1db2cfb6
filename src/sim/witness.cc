#include "sim/witness.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace candor::sim {

namespace {

std::int64_t end_of(const Operation& op) {
  return op.outcome == Outcome::kOk ? op.responded : op.happened_by;
}

bool shows(std::span<const Truth::Span> spans, std::uint64_t version, std::int64_t from, std::int64_t until) {
  auto at = std::ranges::upper_bound(spans, until, {}, &Truth::Span::from);
  for (; at != spans.begin(); --at) {
    const Truth::Span& span = *(at - 1);
    if (span.until < from) return false;
    if (span.version == version) return true;
  }
  return false;
}

// Writes that wait for their commits: by value, and erases, which share one.
class Writes {
 public:
  Writes(const History& history, std::span<const std::uint32_t> operations) {
    for (const std::uint32_t i : operations) {
      const Operation& op = history.operations[i];
      if (op.kind == OperationKind::kErase)
        erases_.push_back({&op, false});
      else if (op.kind == OperationKind::kWrite)
        by_value_[op.version].push_back({&op, false});
    }
    std::ranges::sort(erases_, {}, [](const Write& write) { return write.op->invoked; });
  }

  // The write whose commit this is. Of several the one that must happen first: if any choice works, this one
  // does.
  bool take(const Truth::Span& span) {
    if (span.version != kAbsent) {
      const auto found = by_value_.find(span.version);
      return found != by_value_.end() && take_one(found->second, 0, span.from);
    }
    // Commits come in order of time: what was over before this one is over for the next as well.
    while (begin_ < erases_.size() && (erases_[begin_].is_taken || end_of(*erases_[begin_].op) < span.from))
      ++begin_;
    return take_one(erases_, begin_, span.from);
  }

  // A write that was acknowledged happened. An erase of what was absent changed nothing, and left no commit.
  [[nodiscard]] bool are_explained(std::span<const Truth::Span> spans) const {
    for (const auto& [value, writes] : by_value_)
      for (const Write& write : writes)
        if (!write.is_taken && write.op->outcome == Outcome::kOk) return false;
    return std::ranges::all_of(erases_, [&](const Write& erase) {
      return erase.is_taken || erase.op->outcome != Outcome::kOk ||
             shows(spans, kAbsent, erase.op->invoked, erase.op->responded);
    });
  }

 private:
  struct Write {
    const Operation* op;
    bool is_taken;
  };

  static bool take_one(std::vector<Write>& writes, std::size_t begin, std::int64_t at) {
    Write* best = nullptr;
    for (std::size_t i = begin; i < writes.size() && writes[i].op->invoked <= at; ++i) {
      Write& write = writes[i];
      if (write.is_taken || end_of(*write.op) < at) continue;
      if (best == nullptr || end_of(*write.op) < end_of(*best->op)) best = &write;
    }
    if (best == nullptr) return false;
    best->is_taken = true;
    return true;
  }

  std::unordered_map<std::uint64_t, std::vector<Write>> by_value_;
  std::vector<Write> erases_;  // by invocation
  std::size_t begin_ = 0;
};

}  // namespace

bool log_explains(const History& history, const Truth& truth, std::uint32_t key,
                  std::span<const std::uint32_t> operations) {
  const auto spans = truth.of(key);
  Writes writes(history, operations);
  for (const Truth::Span& span : spans) {
    if (span.commit == Truth::kBeforeAll || history.commits[span.commit].by_restore) continue;
    if (!writes.take(span)) return false;
  }
  if (!writes.are_explained(spans)) return false;
  return std::ranges::all_of(operations, [&](std::uint32_t i) {
    const Operation& op = history.operations[i];
    return op.kind != OperationKind::kRead || shows(spans, op.version, op.invoked, op.responded);
  });
}

}  // namespace candor::sim
