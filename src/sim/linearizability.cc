#include "sim/linearizability.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/random.h"

namespace candor::sim {
namespace {

using Kind = RegisterOperation::Kind;

bool is_answered(const RegisterOperation& op) { return op.responded != kNever; }
bool may_write(const RegisterOperation& op) {
  return op.kind == Kind::kWrite || (op.kind == Kind::kCompareAndSet && (op.applied || !is_answered(op)));
}
// The operation is evidence that the register held `observed(op)`.
bool observes(const RegisterOperation& op) {
  return is_answered(op) && (op.kind == Kind::kRead || (op.kind == Kind::kCompareAndSet && op.applied));
}
std::uint64_t observed(const RegisterOperation& op) {
  return op.kind == Kind::kRead ? op.value : op.expected;
}
// The operation can only happen on `observed(op)`; without an answer it is no evidence of it.
bool wants(const RegisterOperation& op) {
  return observes(op) || (op.kind == Kind::kCompareAndSet && !is_answered(op));
}
bool is_refused_swap(const RegisterOperation& op) {
  return op.kind == Kind::kCompareAndSet && is_answered(op) && !op.applied;
}

}  // namespace

Linearizable check_register(std::span<const RegisterOperation> history,
                            const LinearizabilityOptions& options) {
  if (has_distinct_values(history, options.initial))
    return check_by_zones(history, options.initial) ? Linearizable::kYes : Linearizable::kNo;
  return check_by_search(history, options);
}

// ---- zones ----

bool has_distinct_values(std::span<const RegisterOperation> history, std::uint64_t initial) {
  std::vector<std::uint64_t> written;
  written.reserve(history.size() / 2 + 1);
  for (const auto& op : history) {
    if (op.kind == Kind::kCompareAndSet) return false;
    if (op.kind == Kind::kWrite) written.push_back(op.value);
  }
  written.push_back(initial);
  std::ranges::sort(written);
  return std::ranges::adjacent_find(written) == written.end();
}

namespace {

// All operations of one value: its write and its readers.
struct Cluster {
  std::int64_t write_invoked = std::numeric_limits<std::int64_t>::min();
  std::int64_t first_response = kNever;
  std::int64_t last_invocation = std::numeric_limits<std::int64_t>::min();
  bool is_written = false;
  bool is_evident = false;  // answered, or somebody saw it

  void add(const RegisterOperation& op) {
    first_response = std::min(first_response, op.responded);
    last_invocation = std::max(last_invocation, op.invoked);
    is_evident |= is_answered(op);
  }
  // The value stood at least from the first response to the last invocation.
  [[nodiscard]] bool is_forward() const { return first_response < last_invocation; }
};

std::unordered_map<std::uint64_t, Cluster> clusters_of(std::span<const RegisterOperation> history,
                                                       std::uint64_t initial) {
  std::unordered_map<std::uint64_t, Cluster> clusters;
  clusters.reserve(history.size());
  Cluster& first = clusters[initial];
  first.is_written = first.is_evident = true;
  first.first_response = std::numeric_limits<std::int64_t>::min();
  for (const auto& op : history) {
    if (op.kind == Kind::kRead && !is_answered(op)) continue;
    Cluster& cluster = clusters[op.value];
    cluster.add(op);
    if (op.kind == Kind::kWrite) {
      cluster.is_written = true;
      cluster.write_invoked = op.invoked;
    }
  }
  return clusters;
}

}  // namespace

// A value whose zone runs forward from its first response to its last invocation held the register all that
// time: two such zones must not overlap. A value whose operations all overlap each other can be put at any
// moment between its last invocation and its first response: some such moment must lie outside every forward
// zone.
bool check_by_zones(std::span<const RegisterOperation> history, std::uint64_t initial) {
  std::vector<std::pair<std::int64_t, std::int64_t>> forward;
  std::vector<std::pair<std::int64_t, std::int64_t>> backward;
  for (const auto& [value, cluster] : clusters_of(history, initial)) {
    if (!cluster.is_evident) continue;
    if (!cluster.is_written || cluster.first_response < cluster.write_invoked) return false;
    if (cluster.is_forward())
      forward.emplace_back(cluster.first_response, cluster.last_invocation);
    else
      backward.emplace_back(cluster.last_invocation, cluster.first_response);
  }
  std::ranges::sort(forward);
  for (std::size_t i = 1; i < forward.size(); ++i)
    if (forward[i].first < forward[i - 1].second) return false;
  return std::ranges::none_of(backward, [&](const auto& zone) {
    const auto after =
        std::ranges::lower_bound(forward, zone.first, {}, [](const auto& f) { return f.first; });
    return after != forward.begin() && zone.second < std::prev(after)->second;
  });
}

// ---- search ----

namespace {

// 128-bit names of configurations that led nowhere. Open addressing; a name is never zero.
class Seen {
 public:
  struct Name {
    std::uint64_t a = 0, b = 0;
    friend bool operator==(Name, Name) = default;
  };

  // False if it was there.
  bool insert(Name name) {
    if (2 * (size_ + 1) > table_.size()) grow();
    Name& place = find(name);
    if (place == name) return false;
    place = name;
    ++size_;
    return true;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  Name& find(Name name) {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = name.a & mask;
    while (table_[at] != Name{} && table_[at] != name) at = (at + 1) & mask;
    return table_[at];
  }
  void grow() {
    auto old = std::exchange(table_, std::vector<Name>(std::max<std::size_t>(64, 2 * table_.size())));
    for (const Name& name : old)
      if (name != Name{}) find(name) = name;
  }

  std::vector<Name> table_;
  std::size_t size_ = 0;
};

// The history without what cannot matter, and with the latest response that each open operation can have had.
std::vector<RegisterOperation> reduced(std::span<const RegisterOperation> history, std::uint64_t initial) {
  struct Value {
    std::uint32_t writers = 0;
    bool is_wanted = false;
    std::int64_t first_seen = kNever;
  };
  std::unordered_map<std::uint64_t, Value> values;
  values[initial].writers = 1;
  bool any_refused = false;
  for (const auto& op : history) {
    if (may_write(op)) ++values[op.value].writers;
    if (wants(op)) {
      Value& value = values[observed(op)];
      value.is_wanted = true;
      value.first_seen = std::min(value.first_seen, op.responded);
    }
    any_refused |= is_refused_swap(op);
  }
  std::vector<RegisterOperation> kept;
  kept.reserve(history.size());
  for (RegisterOperation op : history) {
    if (!is_answered(op)) {
      if (op.kind == Kind::kRead) continue;
      const Value& value = values[op.value];
      // A refused compare-and-set may owe its refusal to any value, seen or not.
      if (!value.is_wanted && !any_refused) continue;
      if (op.kind == Kind::kWrite && value.writers == 1) op.responded = value.first_seen;
    }
    kept.push_back(op);
  }
  return kept;
}

class Search {
 public:
  Search(std::vector<RegisterOperation> operations, const LinearizabilityOptions& options)
      : operations_(std::move(operations)), states_max_(options.states_max), value_(options.initial) {
    link();
    for (const auto& op : operations_) {
      if (is_answered(op)) ++owed_;
      if (wants(op)) ++wanted_[observed(op)];
      any_refused_ |= is_refused_swap(op);
    }
  }

  Linearizable run() {
    std::uint32_t from = entries_[kHead].next;
    while (owed_ > 0) {
      if (from == entries_[kHead].next) {
        take_what_changes_nothing();
        from = entries_[kHead].next;
      }
      if (owed_ == 0) break;
      if (const auto candidate = next_candidate(from)) {
        take(*candidate, /*is_choice=*/true);
        from = entries_[kHead].next;
        if (seen_.size() > states_max_) return Linearizable::kUndecided;
      } else if (const auto undone = take_back()) {
        from = *undone;
      } else {
        return Linearizable::kNo;
      }
    }
    return Linearizable::kYes;
  }

 private:
  static constexpr std::uint32_t kHead = 0;
  static constexpr std::uint32_t kNone = 0;

  // A doubly linked list of invocations and responses in order of time; what is taken leaves it.
  struct Entry {
    std::uint32_t next = kNone, previous = kNone;
    std::uint32_t operation = 0;
    bool is_response = false;
  };
  struct Taken {
    std::uint32_t entry;  // of the invocation
    std::uint64_t value_before;
    bool is_choice;
  };

  void link() {
    struct Event {
      std::int64_t time;
      bool is_response;
      std::uint32_t operation;
    };
    std::vector<Event> events;
    events.reserve(2 * operations_.size());
    for (std::uint32_t i = 0; i < operations_.size(); ++i) {
      events.push_back({operations_[i].invoked, false, i});
      if (is_answered(operations_[i])) events.push_back({operations_[i].responded, true, i});
    }
    // At one moment invocations come first: operations that touch overlap.
    std::ranges::sort(events, {},
                      [](const Event& e) { return std::tuple(e.time, e.is_response, e.operation); });
    entries_.resize(events.size() + 1);
    response_of_.assign(operations_.size(), kNone);
    for (std::uint32_t i = 0; i < events.size(); ++i) {
      const std::uint32_t at = i + 1;
      entries_[at] = {at + 1 < entries_.size() ? at + 1 : kNone, at - 1, events[i].operation,
                      events[i].is_response};
      if (events[i].is_response) response_of_[events[i].operation] = at;
    }
    entries_[kHead].next = entries_.size() > 1 ? 1 : kNone;
  }

  void unlink(std::uint32_t at) {
    const Entry& entry = entries_[at];
    entries_[entry.previous].next = entry.next;
    if (entry.next != kNone) entries_[entry.next].previous = entry.previous;
  }
  void relink(std::uint32_t at) {
    const Entry& entry = entries_[at];
    entries_[entry.previous].next = at;
    if (entry.next != kNone) entries_[entry.next].previous = at;
  }

  [[nodiscard]] static Seen::Name word(std::uint64_t n) { return {mix64(2 * n + 1), mix64(~(2 * n))}; }

  // What the register holds after `op`, if `op` can happen now.
  [[nodiscard]] std::optional<std::uint64_t> after(const RegisterOperation& op) const {
    switch (op.kind) {
      case Kind::kRead:
        return op.value == value_ ? std::optional(value_) : std::nullopt;
      case Kind::kWrite:
        return op.value;
      case Kind::kCompareAndSet:
        if (!is_answered(op)) return value_ == op.expected ? std::optional(op.value) : std::nullopt;
        if (op.applied != (value_ == op.expected)) return std::nullopt;
        return op.applied ? op.value : value_;
    }
    return std::nullopt;
  }

  // Moving an operation that never changes anything to the front of any linearization leaves it one. Not a
  // write of the present value: it may be needed later, to overwrite something.
  void take_what_changes_nothing() {
    for (std::uint32_t at = entries_[kHead].next; at != kNone && !entries_[at].is_response;) {
      const RegisterOperation& op = operations_[entries_[at].operation];
      const auto result = is_answered(op) && op.kind != Kind::kWrite ? after(op) : std::nullopt;
      if (result != value_) {
        at = entries_[at].next;
        continue;
      }
      take(at, /*is_choice=*/false);
      at = entries_[kHead].next;  // its response may have been the fence in front of others
    }
  }

  // The next operation, at or after `from`, that can happen now and leads to a configuration not seen before.
  std::optional<std::uint32_t> next_candidate(std::uint32_t from) {
    for (std::uint32_t at = from; at != kNone && !entries_[at].is_response; at = entries_[at].next) {
      const std::uint32_t index = entries_[at].operation;
      const RegisterOperation& op = operations_[index];
      if (!is_answered(op) && !any_refused_ && !is_awaited(op.value)) continue;
      const auto result = after(op);
      if (!result) continue;
      const Seen::Name taken = word(index);
      const Seen::Name value = word(mix64(*result));
      if (seen_.insert({name_.a ^ taken.a ^ value.a, name_.b ^ taken.b ^ value.b})) return at;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool is_awaited(std::uint64_t value) const {
    const auto found = wanted_.find(value);
    return found != wanted_.end() && found->second > 0;
  }

  void take(std::uint32_t at, bool is_choice) {
    const std::uint32_t index = entries_[at].operation;
    const RegisterOperation& op = operations_[index];
    taken_.push_back({at, value_, is_choice});
    value_ = *after(op);
    const Seen::Name mine = word(index);
    name_ = {name_.a ^ mine.a, name_.b ^ mine.b};
    unlink(at);
    if (response_of_[index] != kNone) unlink(response_of_[index]);
    if (is_answered(op)) --owed_;
    if (wants(op)) --wanted_[observed(op)];
  }

  // Undoes up to and including the last choice; where to look for another one.
  std::optional<std::uint32_t> take_back() {
    while (!taken_.empty()) {
      const Taken last = taken_.back();
      taken_.pop_back();
      const std::uint32_t index = entries_[last.entry].operation;
      const RegisterOperation& op = operations_[index];
      if (response_of_[index] != kNone) relink(response_of_[index]);
      relink(last.entry);
      value_ = last.value_before;
      const Seen::Name mine = word(index);
      name_ = {name_.a ^ mine.a, name_.b ^ mine.b};
      if (is_answered(op)) ++owed_;
      if (wants(op)) ++wanted_[observed(op)];
      if (last.is_choice) return entries_[last.entry].next;
    }
    return std::nullopt;
  }

  std::vector<RegisterOperation> operations_;
  std::size_t states_max_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> response_of_;
  std::vector<Taken> taken_;
  Seen seen_;
  Seen::Name name_{};
  std::uint64_t value_;
  std::size_t owed_ = 0;                                     // answered operations that are not yet taken
  std::unordered_map<std::uint64_t, std::uint32_t> wanted_;  // by how many that are not yet taken
  bool any_refused_ = false;
};

}  // namespace

Linearizable check_by_search(std::span<const RegisterOperation> history,
                             const LinearizabilityOptions& options) {
  return Search(reduced(history, options.initial), options).run();
}

// ---- the shortest part that shows the fault ----

namespace {

class Shrink {
 public:
  Shrink(std::span<const RegisterOperation> history, const LinearizabilityOptions& options)
      : history_(history), options_(options) {}

  std::vector<std::size_t> run() {
    std::vector<std::size_t> all(history_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    cut_ = kNever;
    if (!fails(all)) return {};
    cut_at_first_failure(all);
    for (std::size_t before = all.size() + 1; before != all.size();) {
      before = all.size();
      all = without_values(std::move(all));
      all = without_readers(std::move(all));
      all = without_unseen_writes(std::move(all));
    }
    std::ranges::sort(all, {}, [&](std::size_t i) { return std::pair(history_[i].invoked, i); });
    return all;
  }

 private:
  using Indices = std::vector<std::size_t>;

  [[nodiscard]] bool fails(const Indices& part) const {
    std::vector<RegisterOperation> operations;
    operations.reserve(part.size());
    for (const std::size_t i : part) {
      RegisterOperation op = history_[i];
      if (op.invoked > cut_) continue;
      if (op.responded > cut_) op.responded = kNever;
      operations.push_back(op);
    }
    return check_register(operations, options_) == Linearizable::kNo;
  }

  // Linearizability is closed under prefixes, so the first moment of failure is found by bisection.
  void cut_at_first_failure(Indices& all) {
    std::vector<std::int64_t> moments;
    for (const auto& op : history_)
      if (is_answered(op)) moments.push_back(op.responded);
    std::ranges::sort(moments);
    std::size_t low = 0, high = moments.size() - 1;  // fails at `high`
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      cut_ = moments[middle];
      if (fails(all))
        high = middle;
      else
        low = middle + 1;
    }
    cut_ = moments[high];
    std::erase_if(all, [&](std::size_t i) {
      const auto& op = history_[i];
      return op.invoked > cut_ || (op.kind == Kind::kRead && op.responded > cut_);
    });
  }

  // Zeller's delta debugging over units that leave together, beside what stays: ever smaller runs of units
  // are left out.
  Indices minimized(std::vector<Indices> units, const Indices& fixed) const {
    for (std::size_t run = std::max<std::size_t>(1, units.size() / 2);; run /= 2) {
      for (std::size_t at = 0; at < units.size();) {
        const std::size_t end = std::min(units.size(), at + run);
        std::vector<Indices> rest(units.begin(), units.begin() + static_cast<std::ptrdiff_t>(at));
        rest.insert(rest.end(), units.begin() + static_cast<std::ptrdiff_t>(end), units.end());
        if (fails(joined(rest, fixed)))
          units = std::move(rest);
        else
          at = end;
      }
      if (run <= 1) return joined(units, fixed);
    }
  }
  static Indices joined(const std::vector<Indices>& units, const Indices& fixed) {
    Indices all = fixed;
    for (const auto& unit : units) all.insert(all.end(), unit.begin(), unit.end());
    return all;
  }

  // A value leaves with all who wrote or saw it. A compare-and-set joins the two values that it names, and a
  // refused one speaks of every value: with such operations there is one unit only.
  Indices without_values(Indices part) const {
    const bool any_swap =
        std::ranges::any_of(part, [&](std::size_t i) { return history_[i].kind == Kind::kCompareAndSet; });
    if (any_swap) return part;
    std::unordered_map<std::uint64_t, std::size_t> unit_of;
    std::vector<Indices> units;
    for (const std::size_t i : part) {
      const auto [found, is_new] = unit_of.try_emplace(history_[i].value, units.size());
      if (is_new) units.emplace_back();
      units[found->second].push_back(i);
    }
    return minimized(std::move(units), {});
  }

  // Reads and refused compare-and-sets leave no trace: each can go by itself.
  Indices without_readers(Indices part) const {
    std::vector<Indices> units;
    Indices fixed;
    for (const std::size_t i : part) {
      if (history_[i].kind == Kind::kRead || is_refused_swap(history_[i]))
        units.push_back({i});
      else
        fixed.push_back(i);
    }
    return minimized(std::move(units), fixed);
  }

  // A write whose value is seen by nobody who could have it from there explains nothing that is seen.
  Indices without_unseen_writes(Indices part) const {
    for (std::size_t at = 0; at < part.size();) {
      const auto& write = history_[part[at]];
      const bool is_seen =
          write.kind != Kind::kWrite || std::ranges::any_of(part, [&](std::size_t i) {
            const auto& op = history_[i];
            if (is_refused_swap(op)) return true;
            return op.kind != Kind::kWrite && observed(op) == write.value && op.responded >= write.invoked;
          });
      Indices rest = part;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
      if (!is_seen && fails(rest))
        part = std::move(rest);
      else
        ++at;
    }
    return part;
  }

  std::span<const RegisterOperation> history_;
  LinearizabilityOptions options_;
  std::int64_t cut_ = kNever;
};

}  // namespace

std::vector<std::size_t> shortest_violation(std::span<const RegisterOperation> history,
                                            const LinearizabilityOptions& options) {
  return Shrink(history, options).run();
}

}  // namespace candor::sim
