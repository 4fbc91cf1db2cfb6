#include "capacity/stack_axis.h"

#include <algorithm>

#include "base/assert.h"

namespace candor::capacity {
namespace {

constexpr std::size_t kPositionsMin = 32;

}  // namespace

StackAxis::Position StackAxis::push(Owner owner, Weight weight) {
  CANDOR_ASSERT(!is_full());
  const Position at = next_++;
  owners_[at] = owner;
  ++size_;
  add(at, weight);
  return at;
}

void StackAxis::remove(Position at, Weight weight) {
  owners_[at] = kNobody;
  --size_;
  add(at, {-weight.bytes, -weight.objects});
}

void StackAxis::add(Position at, Weight weight) {
  total_.bytes += weight.bytes;
  total_.objects += weight.objects;
  for (std::size_t i = at + 1; i < tree_.size(); i += i & (~i + 1)) {
    tree_[i].bytes += weight.bytes;
    tree_[i].objects += weight.objects;
  }
}

Weight StackAxis::above(Position at) const {
  Weight below;
  for (std::size_t i = at + 1; i > 0; i &= i - 1) {
    below.bytes += tree_[i].bytes;
    below.objects += tree_[i].objects;
  }
  return {std::max(0.0, total_.bytes - below.bytes), std::max(0.0, total_.objects - below.objects)};
}

StackAxis::Owner StackAxis::oldest() {
  while (first_ < next_ && owners_[first_] == kNobody) ++first_;
  return first_ < next_ ? owners_[first_] : kNobody;
}

void StackAxis::rebuild(const std::function<Weight(Owner)>& weigh,
                        const std::function<void(Owner, Position)>& moved) {
  std::vector<Owner> living;
  living.reserve(size_);
  for (const Owner owner : owners_)
    if (owner != kNobody) living.push_back(owner);
  const std::size_t positions = std::max(kPositionsMin, living.size() + living.size() / 2);
  owners_.assign(positions, kNobody);
  tree_.assign(positions + 1, Weight{});
  owners_.shrink_to_fit();
  tree_.shrink_to_fit();
  next_ = first_ = 0;
  size_ = 0;
  total_ = {};
  for (const Owner owner : living) moved(owner, push(owner, weigh(owner)));
}

}  // namespace candor::capacity
