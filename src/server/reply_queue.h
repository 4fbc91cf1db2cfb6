// The replies of one connection, in the order of its requests. A request that cannot be answered at once
// reserves its place; what comes after it waits behind it.
//
// Invariants
//   - The front place is not ready: ready ones at the front have left for the output.
//   - buffered_bytes() is the size of all replies that wait behind a reserved place.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

namespace candor::server {

class ReplyQueue {
 public:
  using Place = std::uint64_t;

  [[nodiscard]] bool empty() const { return places_ == nullptr || places_->empty(); }
  [[nodiscard]] std::size_t buffered_bytes() const { return buffered_; }

  // `muted`: the reply is thrown away when it comes.
  [[nodiscard]] Place reserve(bool muted) {
    if (places_ == nullptr) places_ = std::make_unique<std::deque<Item>>();
    recount();
    places_->emplace_back();
    places_->back().muted = muted;
    return first_ + places_->size() - 1;
  }

  // Where a reply goes that is known now: `output` if nothing waits before it. Valid until the next call
  // here.
  [[nodiscard]] std::string& tail(std::string& output) {
    if (empty()) return output;
    recount();
    if (!places_->back().ready) {
      places_->emplace_back();
      places_->back().ready = true;
    }
    open_ = true;
    return places_->back().bytes;
  }

  // Fills a reserved place: `write(std::string&)` appends the reply. Moves all that is ready then to
  // `output`.
  template <class Write>
  void fill(Place place, std::string& output, Write&& write) {
    recount();
    Item& item = (*places_)[place - first_];
    if (item.muted) {
      item.ready = true;
      if (place == first_) release(output);
      return;
    }
    if (place == first_) {
      write(output);
      pop();
      release(output);
      return;
    }
    write(item.bytes);
    item.ready = true;
    item.counted = item.bytes.size();
    buffered_ += item.counted;
  }

 private:
  struct Item {
    bool ready = false;
    bool muted = false;
    std::size_t counted = 0;
    std::string bytes;
  };
  void release(std::string& output) {
    while (!places_->empty() && places_->front().ready) {
      output.append(places_->front().bytes);
      buffered_ -= places_->front().counted;
      pop();
    }
  }
  // The last text place may have grown since it was given out.
  void recount() {
    if (!open_) return;
    open_ = false;
    Item& last = places_->back();
    buffered_ += last.bytes.size() - last.counted;
    last.counted = last.bytes.size();
  }
  void pop() {
    places_->pop_front();
    ++first_;
  }

  std::unique_ptr<std::deque<Item>> places_;  // made on first use: most connections never miss twice at once
  Place first_ = 0;
  std::size_t buffered_ = 0;
  bool open_ = false;
};

}  // namespace candor::server
