// Keys in the order of their last access, and how much was accessed since each: the reuse distance in
// O(log n). A Fenwick tree over positions that only grow; when they are used up, the living move together.
//
// Invariant: a position belongs to at most one owner; positions of later accesses are higher.
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace candor::capacity {

struct Weight {
  double bytes = 0;
  double objects = 0;
};

class StackAxis {
 public:
  using Owner = std::uint32_t;
  using Position = std::uint32_t;
  static constexpr Owner kNobody = 0xFFFFFFFF;

  // To the top. Requires: !is_full().
  Position push(Owner owner, Weight weight);
  void remove(Position at, Weight weight);
  void change(Position at, Weight more) { add(at, more); }

  // What lies above this position, itself not counted.
  [[nodiscard]] Weight above(Position at) const;
  // Whose access was the longest ago; kNobody: nothing is here.
  [[nodiscard]] Owner oldest();
  // All of it.
  [[nodiscard]] Weight total() const { return total_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] bool is_full() const { return next_ == owners_.size(); }
  // Makes room for half as many again as there are. `weigh` says what an owner weighs, `moved` hears where it
  // went. Also how weights are changed altogether.
  void rebuild(const std::function<Weight(Owner)>& weigh, const std::function<void(Owner, Position)>& moved);

  [[nodiscard]] std::size_t memory_bytes() const {
    return owners_.capacity() * sizeof(Owner) + tree_.capacity() * sizeof(Weight);
  }

 private:
  void add(Position at, Weight weight);

  std::vector<Owner> owners_;  // by position
  std::vector<Weight> tree_;   // one longer: Fenwick trees count from 1
  Position next_ = 0;
  Position first_ = 0;  // nobody is below
  std::size_t size_ = 0;
  Weight total_;
};

}  // namespace candor::capacity
