#include "server/pubsub_hub.h"

#include <algorithm>

#include "base/glob.h"
#include "server/session.h"

namespace candor::server {

struct PubSubHub::Message {
  std::string channel;
  std::string payload;
};

bool PubSubHub::subscribe(Kind kind, std::string_view name, const std::shared_ptr<LoopState>& loop,
                          std::uint64_t session) {
  MutexLock lock(mutex_);
  Table& names = table(kind);
  auto it = names.find(name);
  if (it == names.end()) {
    if (kind == Kind::kPattern && names.size() >= patterns_max_) return false;
    it = names.emplace(std::string(name), std::vector<Listener>()).first;
  }
  it->second.push_back(Listener{loop, session});
  return true;
}

void PubSubHub::unsubscribe(Kind kind, std::string_view name, std::uint64_t session) {
  MutexLock lock(mutex_);
  Table& names = table(kind);
  const auto it = names.find(name);
  if (it == names.end()) return;
  std::erase_if(it->second, [session](const Listener& listener) { return listener.session == session; });
  if (it->second.empty()) names.erase(it);
}

void PubSubHub::add(Deliveries& deliveries, const Listener& listener,
                    const std::shared_ptr<const std::string>& pattern) {
  auto it = std::ranges::find_if(deliveries, [&](const auto& item) { return item.first == listener.loop; });
  if (it == deliveries.end()) it = deliveries.insert(it, {listener.loop, {}});
  it->second.push_back(Delivery{listener.session, pattern});
}

std::size_t PubSubHub::publish(std::string_view channel, std::string_view payload) {
  Deliveries deliveries;
  {
    MutexLock lock(mutex_);
    if (const auto it = channels_.find(channel); it != channels_.end()) {
      for (const auto& listener : it->second) add(deliveries, listener, nullptr);
    }
    for (const auto& [pattern, listeners] : patterns_) {
      if (!glob_match(pattern, channel)) continue;
      const auto shared = std::make_shared<const std::string>(pattern);
      for (const auto& listener : listeners) add(deliveries, listener, shared);
    }
  }
  if (deliveries.empty()) return 0;
  const auto message = std::make_shared<const Message>(Message{std::string(channel), std::string(payload)});
  std::size_t count = 0;
  for (auto& [target, listeners] : deliveries) {
    count += listeners.size();
    auto deliver = [loop = target, receivers = std::move(listeners), message] {
      for (const auto& receiver : receivers) {
        if (Session* session = loop->find(receiver.session)) {
          session->push_message(receiver.pattern.get(), message->channel, message->payload);
        }
      }
    };
    if (target->executor().is_current()) {
      deliver();
    } else {
      target->executor().post(std::move(deliver));
    }
  }
  return count;
}

std::vector<std::string> PubSubHub::channels_like(std::string_view pattern) {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, listeners] : channels_) {
    if (pattern.empty() || glob_match(pattern, name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

std::size_t PubSubHub::listeners(std::string_view channel) {
  MutexLock lock(mutex_);
  const auto it = channels_.find(channel);
  return it == channels_.end() ? 0 : it->second.size();
}

std::size_t PubSubHub::channel_count() {
  MutexLock lock(mutex_);
  return channels_.size();
}

std::size_t PubSubHub::pattern_count() {
  MutexLock lock(mutex_);
  return patterns_.size();
}

}  // namespace candor::server
