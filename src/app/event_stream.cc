#include "app/event_stream.h"

namespace candor::app {
namespace {

EventStreamParser::Event parse(std::string_view block) {
  EventStreamParser::Event event;
  while (!block.empty()) {
    const auto end = block.find('\n');
    const std::string_view line = block.substr(0, end);
    block = end == std::string_view::npos ? std::string_view() : block.substr(end + 1);
    if (line.starts_with("event: ")) event.name = line.substr(7);
    if (line.starts_with("data: ")) event.data += line.substr(6);
  }
  return event;
}

}  // namespace

std::vector<EventStreamParser::Event> EventStreamParser::feed(std::string_view bytes) {
  std::vector<Event> out;
  held_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end = held_.find("\n\n"); end != std::string::npos; end = held_.find("\n\n", begin)) {
    Event event = parse(std::string_view(held_).substr(begin, end - begin));
    begin = end + 2;
    if (!is_skipping_ && !event.data.empty()) out.push_back(std::move(event));
    is_skipping_ = false;
  }
  held_.erase(0, begin);
  if (held_.size() > kHeldBytesMax) {
    held_.erase(0, held_.size() - 1);  // an end may lie across
    is_skipping_ = true;
  }
  return out;
}

}  // namespace candor::app
