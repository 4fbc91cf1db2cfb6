#include "cache/write_behind_queue.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace candor::write_behind {
namespace {

class WriteBehindQueueTest : public testing::Test {
 protected:
  void add(const std::string& key, const std::string& value, RecordKind kind = RecordKind::kStore) {
    Record record;
    record.position = ++position_;
    record.kind = kind;
    record.key = key;
    record.value = std::make_shared<const std::string>(value);
    queue_.add(record, now_);
  }
  static std::string text(const std::vector<Queue::Item>& items) {
    std::string out;
    for (const auto& i : items)
      out += (out.empty() ? "" : " ") + i.key + "@" + std::to_string(i.write.position);
    return out;
  }

  MonoTime now_{1'000'000'000};
  std::uint64_t position_ = 0;
  Queue::Options options_{.window = 100ms,
                          .batch_keys = 3,
                          .batch_bytes = 1000,
                          .keys_max = 5,
                          .bytes_max = 3000,
                          .age_max = 10s};
  Queue queue_{options_, 1};
};

TEST_F(WriteBehindQueueTest, OfAKeyTheLastWriteCountsAtItsOwnPosition) {
  add("b", "1");
  add("a", "1");
  add("b", "2");
  add("c", "1");
  EXPECT_EQ(text(queue_.snapshot()), "a@2 b@3 c@4");
  EXPECT_EQ(*queue_.find("b")->value, "2");
  EXPECT_EQ(queue_.merged(), 1u);
  EXPECT_EQ(queue_.find("b")->merged, 1u);
  EXPECT_EQ(queue_.find("x"), nullptr);
}

TEST_F(WriteBehindQueueTest, AWriteThatCameDuringTheBatchStaysPending) {
  add("a", "1");
  add("a", "2");
  EXPECT_FALSE(queue_.finish("a", 1));
  ASSERT_NE(queue_.find("a"), nullptr);
  EXPECT_TRUE(queue_.finish("a", 2));
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.bytes(), 0u);
}

TEST_F(WriteBehindQueueTest, TheWindowBeginsWithTheFirstWriteAndIsNotPutOffByLaterOnes) {
  EXPECT_EQ(queue_.due(now_), std::nullopt);
  add("a", "1");
  const MonoTime due = now_ + 100ms;
  now_ = now_ + 60ms;
  add("a", "2");
  EXPECT_EQ(queue_.due(now_), due);
}

TEST_F(WriteBehindQueueTest, AFullBatchIsDueAtOnce) {
  add("a", "1");
  add("b", "1");
  EXPECT_GT(*queue_.due(now_), now_);
  add("c", "1");
  EXPECT_EQ(*queue_.due(now_), now_);
}

TEST_F(WriteBehindQueueTest, BatchesAreCutByCountAndByBytesAndHoldOneAtLeast) {
  for (const char* key : {"a", "b", "c", "d"}) add(key, "1");
  auto items = queue_.snapshot();
  EXPECT_EQ(queue_.batch_size(items, 0), 3u);
  EXPECT_EQ(queue_.batch_size(items, 3), 1u);
  add("a", std::string(900, 'x'));
  add("b", std::string(500, 'x'));
  items = queue_.snapshot();
  EXPECT_EQ(text(items), "c@3 d@4 a@5 b@6");
  EXPECT_EQ(queue_.batch_size(items, 0), 2u);
  EXPECT_EQ(queue_.batch_size(items, 2), 1u);
}

TEST_F(WriteBehindQueueTest, BeyondEachLimitAWriteIsRefusedAndTheReasonNamesIt) {
  EXPECT_EQ(queue_.refusal("a", 10, 0, 0, now_), "");
  for (const char* key : {"a", "b", "c", "d"}) add(key, "1");
  EXPECT_NE(queue_.refusal("e", 1, 1, 1, now_).find("keys_max"), std::string::npos);
  add("e", "1");
  EXPECT_NE(queue_.refusal("f", 1, 0, 0, now_).find("keys_max"), std::string::npos);
  EXPECT_EQ(queue_.refusal("a", 1, 0, 0, now_), "");
  EXPECT_NE(queue_.refusal("a", 2500, 0, 0, now_).find("bytes_max"), std::string::npos);
  EXPECT_NE(queue_.refusal("a", 1, 0, 2500, now_).find("bytes_max"), std::string::npos);
  EXPECT_NE(queue_.refusal("a", 1, 0, 0, now_ + 11s).find("age_max"), std::string::npos);
}

TEST_F(WriteBehindQueueTest, AgeIsThatOfTheOldestAndEndsWithTheRoundThatTookIt) {
  add("a", "1");
  now_ = now_ + 5s;
  add("b", "1");
  EXPECT_EQ(queue_.age(now_), 5s);
  (void)queue_.finish("a", 1);
  queue_.end_round(now_);
  now_ = now_ + 1s;
  EXPECT_EQ(queue_.age(now_), 1s);
  (void)queue_.finish("b", 2);
  queue_.end_round(now_);
  EXPECT_EQ(queue_.age(now_), Duration::zero());
}

// Whatever is written and finished, in whatever order: what is pending is the last write of each key, batches
// are prefixes by position, and applying them in order, with a crash after any of them and a replay of what
// is above its position, ends with the values that were written last.
TEST_F(WriteBehindQueueTest, ACrashBetweenAnyTwoBatchesReplaysToTheSameEnd) {
  Random random(42);
  for (int run = 0; run < 300; ++run) {
    std::vector<Record> log;
    std::map<std::string, std::string> wanted, origin;
    std::uint64_t origin_position = 0;
    std::uint64_t position = 0;
    Queue queue(Queue::Options{.batch_keys = 1 + random.below(4), .keys_max = 1000, .bytes_max = 1 << 20}, 1);
    std::map<std::uint64_t, int> applied;
    for (int step = 0; step < 30; ++step) {
      for (std::uint64_t writes = random.below(6); writes > 0; --writes) {
        Record record;
        record.position = ++position;
        record.key = std::string(1, static_cast<char>('a' + random.below(5)));
        record.value = std::make_shared<const std::string>(std::to_string(position));
        wanted[record.key] = *record.value;
        log.push_back(record);
        queue.add(record, now_);
      }
      const auto items = queue.snapshot();
      const std::size_t count = queue.batch_size(items, 0);
      for (std::size_t i = 0; i < count; ++i) {
        origin[items[i].key] = *items[i].write.value;
        ASSERT_EQ(++applied[items[i].write.position], 1);
      }
      if (count > 0) origin_position = items[count - 1].write.position;
      if (random.below(3) == 0) {  // kill -9 after the commit
        queue = Queue(
            Queue::Options{.batch_keys = 1 + random.below(4), .keys_max = 1000, .bytes_max = 1 << 20}, 1);
        for (const Record& record : log)
          if (record.position > origin_position) queue.add(record, now_);
      } else {
        for (std::size_t i = 0; i < count; ++i) (void)queue.finish(items[i].key, items[i].write.position);
      }
    }
    for (const auto& item : queue.snapshot()) origin[item.key] = *item.write.value;
    EXPECT_EQ(origin, wanted) << run;
  }
}

}  // namespace
}  // namespace candor::write_behind
