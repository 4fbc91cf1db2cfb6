#include "bus/memory_stream.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "bus/message_format.h"
#include "bus/testing_stream.h"

namespace candor {
namespace {

using testing_stream::RecordingReader;
using testing_stream::token;

class MemoryStreamTest : public ::testing::Test {
 protected:
  std::uint64_t append(MemoryStream& stream, std::uint64_t value) {
    std::uint64_t number = 0;
    spawn(stream.append(token(value)), [&number](Result<SequenceNumber> r) { number = r.value().value; });
    return number;
  }
  VirtualExecutor executor;
  std::shared_ptr<MemoryLog> log = std::make_shared<MemoryLog>(MemoryLog::Options{.messages_max = 10}, 7);
  RecordingReader a, b;
};

TEST_F(MemoryStreamTest, EveryStreamHearsEveryAppendInOrder) {
  MemoryStream one(&executor, log), two(&executor, log);
  one.read(std::nullopt, &a);
  two.read(std::nullopt, &b);
  EXPECT_EQ(append(one, 100), 1U);
  EXPECT_EQ(append(two, 200), 2U);
  EXPECT_TRUE(a.numbers.empty()) << "never inside append()";
  executor.run_ready();
  EXPECT_EQ(a.tokens, (std::vector<std::uint64_t>{100, 200}));
  EXPECT_EQ(b.tokens, a.tokens);
  EXPECT_EQ(one.status().last.value, 2U);
  EXPECT_EQ(one.status().epoch, 7U);
}

TEST_F(MemoryStreamTest, ReadsWhatIsKeptAfterAPosition) {
  MemoryStream one(&executor, log);
  for (std::uint64_t i = 1; i <= 5; ++i) append(one, i * 10);
  one.read(SequenceNumber{3}, &a);
  executor.run_ready();
  EXPECT_EQ(a.tokens, (std::vector<std::uint64_t>{40, 50}));
  EXPECT_TRUE(a.gaps.empty());
}

TEST_F(MemoryStreamTest, ReaderBehindTheTrimmedPartHearsOfTheGapFirst) {
  MemoryStream one(&executor, log);
  one.read(SequenceNumber{0}, &a);
  for (std::uint64_t i = 1; i <= 15; ++i) append(one, i);
  executor.run_ready();
  ASSERT_EQ(a.gaps.size(), 1U);
  EXPECT_EQ(a.gaps[0].next, 6U);
  EXPECT_EQ(a.gaps[0].before, 0U);
  EXPECT_EQ(a.numbers.front(), 6U);
  EXPECT_EQ(a.numbers.back(), 15U);
}

TEST_F(MemoryStreamTest, PositionOfAnotherLifeIsAGap) {
  MemoryStream one(&executor, log);
  append(one, 1);
  one.read(SequenceNumber{500}, &a);
  executor.run_ready();
  ASSERT_EQ(a.gaps.size(), 1U);
  EXPECT_EQ(a.gaps[0].next, 2U);
  append(one, 2);
  executor.run_ready();
  EXPECT_EQ(a.tokens, (std::vector<std::uint64_t>{2}));
}

TEST_F(MemoryStreamTest, BytesAreBoundedToo) {
  const std::size_t one_message = encode_message(token(1)).value().size();
  log = std::make_shared<MemoryLog>(MemoryLog::Options{.messages_max = 100, .bytes_max = 3 * one_message}, 1);
  MemoryStream one(&executor, log);
  for (std::uint64_t i = 1; i <= 9; ++i) append(one, 1);
  EXPECT_EQ(log->read(SequenceNumber{0}, 100).first.value, 7U);
}

TEST_F(MemoryStreamTest, TooLargeIsRefusedLikeOnEveryStream) {
  MemoryStream one(&executor, log);
  ErrorCode code = ErrorCode::kInternal;
  message::Invalidate large;
  large.names.emplace_back(kMessageBytesMax, 'n');
  spawn(one.append(large), [&code](Result<SequenceNumber> r) { code = r.error().code; });
  EXPECT_EQ(code, ErrorCode::kLimit);
  EXPECT_EQ(log->tail().value, 0U);
}

TEST_F(MemoryStreamTest, DestroyedStreamHearsNothingMore) {
  auto one = std::make_unique<MemoryStream>(&executor, log);
  one->read(std::nullopt, &a);
  append(*one, 1);
  one.reset();
  executor.run_ready();
  EXPECT_TRUE(a.numbers.empty());
}

}  // namespace
}  // namespace candor
