#include "app/event_stream.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

using Event = EventStreamParser::Event;

TEST(EventStreamTest, EventsComeWholeHoweverTheBytesDo) {
  const std::string text = ": hello\n\nevent: a\ndata: {\"x\":1}\n\nevent: b\ndata: 2\n\n";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    EventStreamParser parser;
    std::vector<Event> all;
    for (std::size_t i = 0; i < text.size(); i += step)
      for (Event& one : parser.feed(std::string_view(text).substr(i, step))) all.push_back(std::move(one));
    EXPECT_EQ(all, (std::vector<Event>{{"a", "{\"x\":1}"}, {"b", "2"}})) << step;
  }
}

TEST(EventStreamTest, WhatIsTooLongIsLeftOutAndTheNextIsRead) {
  EventStreamParser parser;
  EXPECT_TRUE(parser.feed("event: a\ndata: " + std::string(EventStreamParser::kHeldBytesMax, 'x')).empty());
  EXPECT_TRUE(parser.feed("xxx\n").empty());
  EXPECT_EQ(parser.feed("\nevent: b\ndata: 2\n\n"), (std::vector<Event>{{"b", "2"}}));
}

}  // namespace
}  // namespace candor::app
