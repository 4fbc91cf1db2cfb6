#include "cache/write_behind_queue.h"

#include "base/assert.h"
#include "base/units.h"

namespace candor::write_behind {

std::string Queue::refusal(std::string_view key, std::size_t bytes, std::size_t on_the_way,
                           std::size_t bytes_on_the_way, MonoTime now) const {
  if (keys_.size() + on_the_way >= options_.keys_max && !keys_.contains(key))
    return std::to_string(keys_.size()) + " keys wait for the origin already (keys_max)";
  if (bytes_ + bytes_on_the_way + bytes + kEntryBytes > options_.bytes_max)
    return std::to_string(bytes_) + " bytes wait for the origin already (bytes_max)";
  if (options_.age_max > Duration::zero() && age(now) > options_.age_max)
    return "the oldest write has been waiting for " + format_duration(options_.age_max) + " (age_max)";
  return {};
}

void Queue::add(const Record& record, MonoTime now) {
  CANDOR_ASSERT(record.position > last_position_);
  last_position_ = record.position;
  Pending write{record.position, record.kind, record.value, 0};
  if (keys_.empty()) round_began_ = now;
  if (!oldest_) oldest_ = now;
  const auto it = keys_.find(record.key);
  if (it != keys_.end()) {
    ++merged_;
    write.merged = it->second.merged + 1;
    order_.erase(it->second.position);
    bytes_ -= bytes_of(record.key, it->second);
    it->second = std::move(write);
    bytes_ += bytes_of(record.key, it->second);
  } else {
    bytes_ += bytes_of(record.key, write);
    keys_.emplace(record.key, std::move(write));
  }
  order_.emplace(record.position, record.key);
}

const Queue::Pending* Queue::find(std::string_view key) const {
  const auto it = keys_.find(key);
  return it == keys_.end() ? nullptr : &it->second;
}

std::optional<MonoTime> Queue::due(MonoTime now) const {
  if (order_.empty()) return std::nullopt;
  if (order_.size() >= options_.batch_keys || bytes_ >= options_.batch_bytes) return now;
  return round_began_ + options_.window;
}

std::vector<Queue::Item> Queue::snapshot() const {
  std::vector<Item> items;
  items.reserve(order_.size());
  for (const auto& [position, key] : order_) items.push_back({key, keys_.find(key)->second});
  return items;
}

std::size_t Queue::batch_size(const std::vector<Item>& items, std::size_t begin) const {
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (begin + count < items.size() && count < options_.batch_keys) {
    const Item& item = items[begin + count];
    bytes += bytes_of(item.key, item.write);
    if (bytes > options_.batch_bytes && count > 0) break;
    ++count;
  }
  return count;
}

bool Queue::finish(const std::string& key, std::uint64_t position) {
  const auto it = keys_.find(key);
  if (it == keys_.end() || it->second.position > position) return false;
  bytes_ -= bytes_of(key, it->second);
  order_.erase(it->second.position);
  keys_.erase(it);
  return true;
}

void Queue::end_round(MonoTime now) {
  if (keys_.empty()) {
    oldest_.reset();
    return;
  }
  // What is left came while the round was under way: at or after its beginning.
  oldest_ = round_began_ = now;
}

Duration Queue::age(MonoTime now) const { return oldest_ ? now - *oldest_ : Duration::zero(); }

}  // namespace candor::write_behind
