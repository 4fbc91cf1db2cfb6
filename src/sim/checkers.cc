#include "sim/checkers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>

#include "base/stable_sort.h"
#include "sim/truth.h"
#include "sim/witness.h"

namespace candor::sim {
namespace {

bool is_write(const Operation& op) {
  return op.kind == OperationKind::kWrite || op.kind == OperationKind::kErase;
}
bool is_answered_read(const Operation& op) {
  return op.kind == OperationKind::kRead && op.outcome == Outcome::kOk && op.responded != kNever;
}
std::uint64_t written(const Operation& op) { return op.kind == OperationKind::kErase ? kAbsent : op.version; }

// Lines of an excerpt, put in order of time at the end.
class Excerpt {
 public:
  explicit Excerpt(const History& history) : history_(history) {}
  Excerpt& add(const Operation& op) {
    lines_.emplace_back(op.invoked, describe(history_, op));
    return *this;
  }
  // The span's commit, and the one that ended it.
  Excerpt& add(const Truth& truth, std::uint32_t key, const Truth::Span* span) {
    if (span == nullptr) return *this;
    add_commit(span->commit);
    if (span != &truth.last(key)) add_commit((span + 1)->commit);
    return *this;
  }
  Excerpt& add_commit(std::uint32_t commit) {
    if (commit == Truth::kBeforeAll) return *this;
    const Commit& c = history_.commits[commit];
    lines_.emplace_back(c.visible, describe(history_, c));
    return *this;
  }
  Excerpt& add(std::int64_t time, std::string line) {
    lines_.emplace_back(time, fmt::format("{:>14.6f} ms  {}", in_ms(time), line));
    return *this;
  }
  std::vector<std::string> lines() {
    stable_sort_by(lines_, [](const auto& line) { return line.first; });
    lines_.erase(std::unique(lines_.begin(), lines_.end()), lines_.end());
    std::vector<std::string> out;
    for (auto& [time, line] : lines_) out.push_back(std::move(line));
    return out;
  }

 private:
  const History& history_;
  std::vector<std::pair<std::int64_t, std::string>> lines_;
};

class Tally {
 public:
  Tally(std::string_view rule, const CheckOptions& options) : options_(options) { result_.rule = rule; }
  void check(std::size_t count = 1) { result_.checked += count; }
  // `excerpt` is made only for what will be shown.
  template <class MakeExcerpt>
  void breaks(std::string summary, MakeExcerpt excerpt) {
    ++result_.broken;
    if (result_.violations.size() < options_.violations_max)
      result_.violations.push_back({result_.rule, std::move(summary), excerpt()});
  }
  CheckResult take() { return std::move(result_); }

 private:
  const CheckOptions& options_;
  CheckResult result_;
};

std::vector<std::uint32_t> by_time(const History& h, auto time) {
  std::vector<std::uint32_t> order(h.operations.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  stable_sort_by(order, [&](std::uint32_t i) { return time(h.operations[i]); });
  return order;
}

std::int64_t with_drift(std::int64_t duration, const CheckOptions& options) {
  return duration + duration / 1'000'000 * options.clock_ppm + options.clock_ppm;
}

}  // namespace

// ---- (1) ----

namespace {

RegisterOperation on_register(const Operation& op) {
  RegisterOperation out;
  out.invoked = op.invoked;
  out.responded = op.outcome == Outcome::kOk ? op.responded : op.happened_by;
  out.kind = is_write(op) ? RegisterOperation::Kind::kWrite : RegisterOperation::Kind::kRead;
  out.value = is_write(op) ? written(op) : op.version;
  return out;
}

// What a failover put back is a write of the origin's own, at that moment.
RegisterOperation restored(const Commit& commit) {
  RegisterOperation out;
  out.kind = RegisterOperation::Kind::kWrite;
  out.value = commit.version;
  out.invoked = out.responded = commit.visible;
  return out;
}

}  // namespace

CheckResult check_linearizable(const History& h, const CheckOptions& options) {
  Tally tally("linearizable", options);
  const Truth truth(h);
  std::vector<std::vector<std::uint32_t>> of_key(h.keys.size());
  for (std::uint32_t i = 0; i < h.operations.size(); ++i) {
    const auto& op = h.operations[i];
    const bool is_strong = op.level == Level::kStrong || op.level == Level::kOrigin;
    if ((is_write(op) && op.outcome != Outcome::kRefused) || (is_answered_read(op) && is_strong))
      of_key[op.key].push_back(i);
  }
  std::vector<std::vector<RegisterOperation>> restores(h.keys.size());
  for (const Commit& commit : h.commits)
    if (commit.by_restore) restores[commit.key].push_back(restored(commit));
  for (std::uint32_t key = 0; key < h.keys.size(); ++key) {
    tally.check(of_key[key].size());
    if (log_explains(h, truth, key, of_key[key])) continue;
    std::vector<RegisterOperation> operations;
    for (const auto i : of_key[key]) operations.push_back(on_register(h.operations[i]));
    operations.insert(operations.end(), restores[key].begin(), restores[key].end());
    const auto verdict = check_register(operations);
    if (verdict == Linearizable::kYes) continue;
    if (verdict == Linearizable::kUndecided) {
      tally.breaks(fmt::format("{}: too many overlapping operations to decide", h.keys.name(key)),
                   [] { return std::vector<std::string>{}; });
      continue;
    }
    tally.breaks(fmt::format("{}: no order of these operations explains what was read", h.keys.name(key)),
                 [&] {
                   Excerpt excerpt(h);
                   for (const auto i : shortest_violation(operations))
                     if (i < of_key[key].size()) excerpt.add(h.operations[of_key[key][i]]);
                   return excerpt.lines();
                 });
  }
  return tally.take();
}

// ---- (2) and (7) ----

namespace {

void check_not_older(Tally& tally, const History& h, const Truth& truth, const Operation& op,
                     std::int64_t limit, std::string_view what, const CheckOptions& options) {
  tally.check();
  const auto staleness = truth.staleness(op);
  if (staleness && *staleness <= with_drift(limit, options)) return;
  const std::string text =
      staleness ? fmt::format("version {} of {} had been superseded for {} ms; {} {} ms", op.version,
                              h.keys.name(op.key), in_ms(*staleness), what, in_ms(limit))
                : fmt::format("version {} of {} was not visible before the answer", op.version,
                              h.keys.name(op.key));
  tally.breaks(text, [&] {
    return Excerpt(h).add(truth, op.key, truth.last_span(op.key, op.version, op.responded)).add(op).lines();
  });
}

}  // namespace

CheckResult check_bound(const History& h, const CheckOptions& options) {
  Tally tally("bound", options);
  const Truth truth(h);
  for (const auto& op : h.operations)
    if (is_answered_read(op) && op.level == Level::kBounded)
      check_not_older(tally, h, truth, op, op.bound_ns, "the bound is", options);
  return tally.take();
}

CheckResult check_claims(const History& h, const CheckOptions& options) {
  Tally tally("claim", options);
  const Truth truth(h);
  for (const auto& op : h.operations)
    if (is_answered_read(op) && op.fresh_within_ns >= 0)
      check_not_older(tally, h, truth, op, op.fresh_within_ns, "the answer claimed", options);
  return tally.take();
}

// ---- (3) ----

namespace {

// How far a session's knowledge of each key reaches: an index into the key's spans, and who taught it.
struct Reached {
  std::uint32_t span = 0;
  std::uint32_t operation = 0;
};
using Knowledge = std::unordered_map<std::uint32_t, Reached>;

class Sessions {
 public:
  Sessions(const History& history, const CheckOptions& options)
      : h_(history), truth_(history), tally_("session", options) {}

  CheckResult run() {
    const auto answers = by_time(h_, [](const Operation& op) { return op.responded; });
    const auto invocations = by_time(h_, [](const Operation& op) { return op.invoked; });
    std::size_t answered = 0;
    // What was known when an operation was invoked is what had been answered strictly before.
    for (const auto i : invocations) {
      for (;
           answered < answers.size() && h_.operations[answers[answered]].responded < h_.operations[i].invoked;
           ++answered)
        learn(answers[answered]);
      judge(i);
    }
    return tally_.take();
  }

 private:
  // The earliest span at or after `floor` that shows `version` and had begun by `until`. Taking the earliest
  // asks the least of later reads: an absence does not say which erase it is.
  [[nodiscard]] std::optional<std::uint32_t> span_from(std::uint32_t key, std::uint64_t version,
                                                       std::uint32_t floor, std::int64_t until) const {
    const auto spans = truth_.of(key);
    for (std::uint32_t i = floor; i < spans.size() && spans[i].from <= until; ++i)
      if (spans[i].version == version) return i;
    return std::nullopt;
  }

  void raise(Knowledge& knowledge, std::uint32_t key, Reached to) {
    const auto [found, is_new] = knowledge.try_emplace(key, to);
    if (!is_new && found->second.span < to.span) found->second = to;
  }

  void judge(std::uint32_t i) {
    const Operation& op = h_.operations[i];
    auto& mine = sessions_[op.session];
    if (op.kind == OperationKind::kToken && op.outcome == Outcome::kOk) {
      for (const auto& [key, reached] : mine) raise(tokens_[op.token], key, reached);
      return;
    }
    const bool is_promised = op.level == Level::kSession || op.level == Level::kStrong;
    if (!is_answered_read(op) || op.degraded) return;
    const auto known = mine.find(op.key);
    const Reached floor = known == mine.end() ? Reached{} : known->second;
    const auto span = span_from(op.key, op.version, floor.span, op.responded);
    if (span && op.level != Level::kEventual) learned_[i] = *span;
    if (!is_promised) return;
    tally_.check();
    if (!span) report(op, floor);
  }

  void learn(std::uint32_t i) {
    const Operation& op = h_.operations[i];
    if (op.outcome != Outcome::kOk || op.responded == kNever) return;
    auto& mine = sessions_[op.session];
    if (op.kind == OperationKind::kAdopt) {
      for (const auto& [key, reached] : tokens_[op.token]) raise(mine, key, reached);
    } else if (is_write(op)) {
      // The write's own span is the first of its version that was visible after it was asked for.
      const auto spans = truth_.of(op.key);
      const auto first = std::ranges::lower_bound(spans, op.invoked, {}, &Truth::Span::from);
      if (const auto span =
              span_from(op.key, written(op), static_cast<std::uint32_t>(first - spans.begin()), op.responded))
        raise(mine, op.key, {*span, i});
    } else if (const auto found = learned_.find(i); found != learned_.end()) {
      raise(mine, op.key, {found->second, i});
      learned_.erase(found);
    }
  }

  void report(const Operation& op, Reached floor) {
    const Truth::Span& known = truth_.of(op.key)[floor.span];
    const auto& teacher = h_.operations[floor.operation];
    const bool is_own = teacher.session == op.session;
    tally_.breaks(
        fmt::format(
            "session {} {} version {} of {} and then read version {}, which is older", op.session,
            !is_own ? "was given a token that knows" : (is_write(teacher) ? "had written" : "had seen"),
            known.version, h_.keys.name(op.key), op.version),
        [&] {
          Excerpt excerpt(h_);
          if (known.commit != Truth::kBeforeAll) excerpt.add(teacher);
          if (!is_own) add_token(excerpt, op);
          return excerpt.add(truth_, op.key, truth_.last_span(op.key, op.version, op.responded))
              .add(op)
              .lines();
        });
  }
  // The last token that this session took before the read.
  void add_token(Excerpt& excerpt, const Operation& read) {
    const Operation* last = nullptr;
    for (const auto& op : h_.operations)
      if (op.kind == OperationKind::kAdopt && op.session == read.session && op.responded < read.invoked &&
          (last == nullptr || op.responded > last->responded))
        last = &op;
    if (last != nullptr) excerpt.add(*last);
  }

  const History& h_;
  Truth truth_;
  Tally tally_;
  std::unordered_map<std::uint32_t, Knowledge> sessions_;
  std::unordered_map<std::uint64_t, Knowledge> tokens_;
  std::unordered_map<std::uint32_t, std::uint32_t>
      learned_;  // span of a read that is judged and not yet over
};

}  // namespace

CheckResult check_sessions(const History& h, const CheckOptions& options) {
  return Sessions(h, options).run();
}

// ---- (4) ----

CheckResult check_convergence(const History& h, const CheckOptions& options) {
  Tally tally("convergence", options);
  const Truth truth(h);
  for (const auto& op : h.operations) {
    if (!is_answered_read(op) || op.invoked < h.quiet_from) continue;
    tally.check();
    if (op.version == truth.last(op.key).version) continue;
    tally.breaks(fmt::format("{} is version {} since {} ms, and {} ms of quiet later {} answers version {}",
                             h.keys.name(op.key), truth.last(op.key).version, in_ms(truth.last(op.key).from),
                             in_ms(op.invoked - h.quiet_from), h.nodes.name(op.node), op.version),
                 [&] { return Excerpt(h).add_commit(truth.last(op.key).commit).add(op).lines(); });
  }
  for (const auto& held : h.holdings) {
    tally.check();
    if (held.version == truth.last(held.key).version) continue;
    const auto line = fmt::format("{} of {} still holds version {} of {}", tier_name(held.tier),
                                  h.nodes.name(held.node), held.version, h.keys.name(held.key));
    tally.breaks(line, [&] {
      return Excerpt(h)
          .add(truth, held.key, truth.last_span(held.key, held.version, kNever))
          .add_commit(truth.last(held.key).commit)
          .add(h.quiet_from == kNever ? truth.last(held.key).from : h.quiet_from, line)
          .lines();
    });
  }
  return tally.take();
}

// ---- (5) ----

CheckResult check_acknowledged(const History& h, const CheckOptions& options) {
  Tally tally("acknowledged", options);
  const Truth truth(h);
  for (const auto& op : h.operations) {
    if (is_answered_read(op)) {
      tally.check();
      if (truth.last_span(op.key, op.version, op.responded) != nullptr) continue;
      tally.breaks(
          fmt::format("{} was read as version {}, which no load could have shown by then",
                      h.keys.name(op.key), op.version),
          [&] {
            return Excerpt(h).add(truth, op.key, truth.last_span(op.key, op.version, kNever)).add(op).lines();
          });
      continue;
    }
    if (!is_write(op) || op.outcome != Outcome::kOk || op.responded == kNever) continue;
    tally.check();
    const auto* span = truth.last_span(op.key, written(op), op.responded);
    // An erase of what is absent commits nothing, and the span before it stands.
    const bool is_there = span != nullptr && (span->from >= op.invoked || span->until >= op.invoked);
    if (is_there) continue;
    tally.breaks(fmt::format("version {} of {} was acknowledged and is not in the origin", written(op),
                             h.keys.name(op.key)),
                 [&] { return Excerpt(h).add(op).add_commit(truth.last(op.key).commit).lines(); });
  }
  return tally.take();
}

// ---- (6) ----

namespace {

std::string load_text(const History& h, const LoadSpan& load) {
  return fmt::format("{}  load of {} under lease {}, until {:.6f} ms", h.nodes.name(load.node),
                     h.keys.name(load.key), load.lease, in_ms(load.ended));
}
std::string lease_text(const History& h, const LeaseSpan& lease) {
  return fmt::format("lease {} of {} granted, ends at {:.6f} ms", lease.lease, h.keys.name(lease.key),
                     in_ms(lease.ended));
}

}  // namespace

CheckResult check_leases(const History& h, const CheckOptions& options) {
  Tally tally("lease", options);
  std::unordered_map<std::uint64_t, const LeaseSpan*> leases;
  for (const auto& lease : h.leases) leases.try_emplace(lease.lease, &lease);
  std::unordered_map<std::uint64_t, const LoadSpan*> loads;
  for (const auto& load : h.loads) {
    if (load.lease == 0) continue;
    tally.check();
    const auto [first, is_first] = loads.try_emplace(load.lease, &load);
    if (!is_first)
      tally.breaks(fmt::format("two loads of {} under one lease", h.keys.name(load.key)), [&] {
        const LoadSpan& other = *first->second;
        return Excerpt(h).add(other.begun, load_text(h, other)).add(load.begun, load_text(h, load)).lines();
      });
    const auto lease = leases.find(load.lease);
    if (!leases.empty() && (lease == leases.end() || load.begun < lease->second->granted))
      tally.breaks(fmt::format("a load of {} under a lease that had not been granted", h.keys.name(load.key)),
                   [&] { return Excerpt(h).add(load.begun, load_text(h, load)).lines(); });
  }
  std::vector<const LeaseSpan*> order;
  for (const auto& lease : h.leases) order.push_back(&lease);
  stable_sort_by(order, [](const LeaseSpan* l) { return std::pair(l->key, l->granted); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    tally.check();
    if (i == 0 || order[i - 1]->key != order[i]->key || order[i]->granted >= order[i - 1]->ended) continue;
    tally.breaks(fmt::format("two leases of {} at one time", h.keys.name(order[i]->key)), [&] {
      return Excerpt(h)
          .add(order[i - 1]->granted, lease_text(h, *order[i - 1]))
          .add(order[i]->granted, lease_text(h, *order[i]))
          .lines();
    });
  }
  return tally.take();
}

// ---- together ----

std::vector<CheckResult> check_all(const History& h, const CheckOptions& options) {
  constexpr std::array kRules = {check_linearizable, check_bound,  check_sessions, check_convergence,
                                 check_acknowledged, check_leases, check_claims};
  std::vector<CheckResult> results;
  for (const auto rule : kRules) results.push_back(rule(h, options));
  return results;
}

bool holds(const std::vector<CheckResult>& results) {
  return std::ranges::all_of(results, [](const CheckResult& r) { return r.broken == 0; });
}

std::string report(const std::vector<CheckResult>& results) {
  std::string out;
  auto to = std::back_inserter(out);
  for (const auto& r : results) {
    if (r.checked == 0)
      fmt::format_to(to, "{:<14} nothing to check\n", r.rule);
    else if (r.broken == 0)  // the rule of three: 95 % confidence
      fmt::format_to(to, "{:<14} {} checked, none broken (rate below {:.2g})\n", r.rule, r.checked,
                     3.0 / static_cast<double>(r.checked));
    else
      fmt::format_to(to, "{:<14} {} checked, {} BROKEN\n", r.rule, r.checked, r.broken);
  }
  for (const auto& r : results)
    for (const auto& v : r.violations) {
      fmt::format_to(to, "\n{}: {}\n", v.rule, v.summary);
      for (const auto& line : v.excerpt) fmt::format_to(to, "  {}\n", line);
    }
  return out;
}

}  // namespace candor::sim
