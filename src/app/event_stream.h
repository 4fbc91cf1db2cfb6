// Server-sent events from bytes as they come. Pure; holds at most kHeldBytesMax, and what is longer is
// dropped whole.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace candor::app {

class EventStreamParser {
 public:
  static constexpr std::size_t kHeldBytesMax = std::size_t{4} << 20;
  struct Event {
    std::string name, data;
    friend bool operator==(const Event&, const Event&) = default;
  };
  [[nodiscard]] std::vector<Event> feed(std::string_view bytes);

 private:
  std::string held_;
  bool is_skipping_ = false;  // of an event that was too long
};

}  // namespace candor::app
