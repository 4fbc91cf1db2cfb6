// What L2 can only be told once it is visible: changes that name no key there can be a marker for. A table
// that was truncated, a feed that missed changes, more owed keys than there is place for. Pure.
//
// A marker refuses a late fill key by key. Where there is none, the tier is cleared (a feature) or its
// generation raised (everything) a *second* time: when the change is visible to new loads, and every lease of
// a load that began before has ended. A fill after that includes the change. Until then L2 has not been told
// (first_position()), nodes keep their own markers, and nodes that join replay from there.
//
// Thread safety: none.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "invalidation/probe_answer.h"

namespace candor {

class LateDebts {
 public:
  // More features at once are one debt of everything.
  static constexpr std::size_t kDebtsMax = 64;

  struct Debt {
    std::string feature;  // empty: everything
    Position position;    // of the first change it stands for
    // The highest change it stands for; nullopt: unknown, taken from the first probe asked after `since`:
    // whatever had not been given out then came later.
    std::optional<ChangeId> id;
    MonoTime since{0};
    std::optional<MonoTime> visible_at{};
    std::uint64_t version = 0;  // a payment settles the debt as it stood when it was made
  };

  void add(std::string feature, Position position, std::optional<ChangeId> id, MonoTime now) {
    if (debts_.size() >= kDebtsMax && find(feature) == nullptr) fold();
    Debt* debt = find(feature);
    if (debt == nullptr) {
      debts_.push_back({std::move(feature), position, id, now, {}, ++last_version_});
      return;
    }
    debt->position = std::min(debt->position, position);
    debt->id = debt->id && id ? std::optional(std::max(*debt->id, *id)) : std::nullopt;
    debt->since = now;
    debt->visible_at.reset();
    debt->version = ++last_version_;
  }
  void on_probe(const ProbeAnswer& answer) {
    for (Debt& debt : debts_) {
      if (answer.asked <= debt.since) continue;
      if (!debt.id) debt.id = ChangeId{answer.probe.next.value == 0 ? 0 : answer.probe.next.value - 1};
      if (!debt.visible_at && *debt.id <= answer.probe.all_up_to) debt.visible_at = answer.answered;
    }
  }
  // Those whose leases have ended: twice the longest one, because L2 counts it by its own clock.
  [[nodiscard]] std::vector<Debt> due(MonoTime now, Duration lease_time) const {
    std::vector<Debt> out;
    for (const Debt& debt : debts_) {
      if (debt.visible_at && now - *debt.visible_at >= 2 * lease_time) out.push_back(debt);
    }
    return out;
  }
  void settle(const Debt& paid) {
    std::erase_if(debts_, [&](const Debt& debt) { return debt.version == paid.version; });
  }
  [[nodiscard]] std::optional<Position> first_position() const {
    if (debts_.empty()) return std::nullopt;
    return std::ranges::min(debts_, {}, &Debt::position).position;
  }
  [[nodiscard]] std::size_t size() const { return debts_.size(); }
  void clear() { debts_.clear(); }

 private:
  Debt* find(std::string_view feature) {
    const auto found = std::ranges::find(debts_, feature, &Debt::feature);
    return found == debts_.end() ? nullptr : &*found;
  }
  // All debts become one of everything.
  void fold() {
    Debt all = debts_.front();
    all.feature.clear();
    for (const Debt& debt : debts_) {
      all.position = std::min(all.position, debt.position);
      all.id = all.id && debt.id ? std::optional(std::max(*all.id, *debt.id)) : std::nullopt;
      all.since = std::max(all.since, debt.since);
    }
    all.visible_at.reset();
    all.version = ++last_version_;
    debts_.assign(1, std::move(all));
  }

  std::vector<Debt> debts_;
  std::uint64_t last_version_ = 0;
};

}  // namespace candor
