// What the tests of this folder share, here and in tests/: a reader that records, and checks the contract of
// region_stream.h at every call.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bus/region_stream.h"

namespace candor::testing_stream {

struct RecordingReader final : StreamReader {
  void on_message(SequenceNumber sequence, StreamMessage message) override {
    if (next) {
      EXPECT_EQ(sequence, *next) << "a hole or a step back that no on_gap told of";
    }
    next = SequenceNumber{sequence.value + 1};
    numbers.push_back(sequence.value);
    if (const auto* test = std::get_if<message::SelfTest>(&message)) tokens.push_back(test->token);
    if (when_message) when_message(message);
    messages.push_back(std::move(message));
  }
  void on_gap(SequenceNumber to, std::string reason) override {
    next = to;
    gaps.push_back({to.value, numbers.size(), std::move(reason)});
  }
  void on_connected(bool now) override {
    EXPECT_NE(now, connected) << "told twice";
    connected = now;
  }

  struct Gap {
    std::uint64_t next;
    std::size_t before;  // messages handed over before it
    std::string reason;
  };
  std::vector<std::uint64_t> numbers;
  std::vector<std::uint64_t> tokens;  // of SelfTest messages
  std::vector<StreamMessage> messages;
  std::vector<Gap> gaps;
  std::optional<SequenceNumber> next;  // what must come
  bool connected = false;
  std::function<void(const StreamMessage&)> when_message;
};

inline StreamMessage token(std::uint64_t value) { return message::SelfTest{"test", value}; }

}  // namespace candor::testing_stream
