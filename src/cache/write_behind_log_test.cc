#include "cache/write_behind_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/memory_append_store.h"

namespace candor::write_behind {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Hands one store to one log after the other, as restarts do.
class SharedStore final : public AppendStore {
 public:
  explicit SharedStore(MemoryAppendStore* store) : store_(store) {}
  Result<std::vector<std::string>> list() override { return store_->list(); }
  Result<std::string> read(const std::string& name, std::size_t bytes_max) override {
    return store_->read(name, bytes_max);
  }
  Result<std::unique_ptr<AppendFile>> open(const std::string& name) override { return store_->open(name); }
  Result<void> remove(const std::string& name) override { return store_->remove(name); }
  [[nodiscard]] std::string path_of(const std::string& name) const override { return store_->path_of(name); }

 private:
  MemoryAppendStore* store_;
};

class WriteBehindLogTest : public testing::Test {
 protected:
  Log::Recovered start() {
    log_ = std::make_unique<Log>(std::make_unique<SharedStore>(&store_), options_);
    LogId fresh;
    fresh.bytes.fill(++ids_);
    auto recovered = log_->recover(fresh);
    EXPECT_TRUE(recovered) << recovered.error().message;
    next_ = recovered->next;
    return std::move(*recovered);
  }
  Result<void> put(const std::string& key, const std::string& value) {
    Record record;
    record.position = next_;
    record.key = key;
    record.value = std::make_shared<const std::string>(value);
    auto done = log_->append({record});
    if (done) ++next_;
    return done;
  }
  static std::string text(const std::vector<Record>& records) {
    std::string out;
    for (const Record& r : records)  // start.number: of the first start, the number alone
      out +=
          (out.empty() ? "" : " ") +
          (r.position >> Log::kPositionBits == 0 ? ""
                                                 : std::to_string(r.position >> Log::kPositionBits) + ".") +
          std::to_string(r.position & 0xff) + ":" + r.key + "=" + *r.value;
    return out;
  }

  MemoryAppendStore store_;
  Log::Options options_;
  std::unique_ptr<Log> log_;
  std::uint64_t next_ = 1;
  unsigned char ids_ = 0;
};

TEST_F(WriteBehindLogTest, WhatWasAppendedIsThereAfterAPowerCutUnderTheSameId) {
  const LogId id = start().id;
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(put("b", "2"));
  store_.crash();
  const auto recovered = start();
  EXPECT_EQ(recovered.id, id);
  EXPECT_EQ(text(recovered.writes), "1:a=1 2:b=2");
  EXPECT_EQ(recovered.last, 2u);
  EXPECT_EQ(recovered.next, (std::uint64_t{1} << 40) + 1);
  EXPECT_THAT(recovered.problems, IsEmpty());
}

TEST_F(WriteBehindLogTest, ATornTailIsCutAndPositionsGoOnWithoutAGap) {
  options_.fsync = Log::Fsync::kInterval;
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(log_->sync());
  ASSERT_TRUE(put("b", "2"));
  store_.crash(10);
  auto recovered = start();
  EXPECT_EQ(text(recovered.writes), "1:a=1");
  EXPECT_THAT(recovered.problems, IsEmpty());
  ASSERT_TRUE(put("c", "3"));
  recovered = start();
  EXPECT_EQ(text(recovered.writes), "1:a=1 1.1:c=3");
  EXPECT_EQ(recovered.lost, 0u);
}

TEST_F(WriteBehindLogTest, APositionThatAPowerCutTookIsNotGivenAgain) {
  options_.fsync = Log::Fsync::kInterval;
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  const std::uint64_t taken = next_ - 1;
  store_.crash();
  const auto recovered = start();
  EXPECT_THAT(recovered.writes, IsEmpty());
  EXPECT_GT(recovered.next, taken);
}

TEST_F(WriteBehindLogTest, AGapAtTheBeginningOfAStartIsFound) {
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  (void)start();
  ASSERT_TRUE(put("bb", "2"));
  ASSERT_TRUE(put("c", "3"));
  auto& file = std::prev(store_.files.end())->second;
  file.bytes[file.bytes.find("bb2")] = 'X';
  const auto recovered = start();
  EXPECT_EQ(text(recovered.writes), "1:a=1 1.2:c=3");
  EXPECT_EQ(recovered.problems.size(), 2u);
  EXPECT_EQ(recovered.lost, 1u);
}

TEST_F(WriteBehindLogTest, IntervalAcknowledgesBeforeTheSyncAndAPowerCutLosesThat) {
  options_.fsync = Log::Fsync::kInterval;
  (void)start();
  const std::size_t syncs = store_.syncs;
  ASSERT_TRUE(put("a", "1"));
  EXPECT_EQ(store_.syncs, syncs);
  store_.crash();
  EXPECT_EQ(text(start().writes), "");
}

TEST_F(WriteBehindLogTest, DamageInTheMiddleIsSaidKeepsTheRestAndACopyStays) {
  (void)start();
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(put(key, "value"));
  auto& file = store_.files.begin()->second;
  const std::string name = store_.files.begin()->first;
  file.bytes[file.bytes.find("bvalue")] = 'X';
  const auto recovered = start();
  EXPECT_EQ(text(recovered.writes), "1:a=value 3:c=value");
  EXPECT_EQ(recovered.lost, 1u);
  ASSERT_EQ(recovered.problems.size(), 2u);
  EXPECT_THAT(recovered.problems[0], HasSubstr("damaged"));
  EXPECT_THAT(recovered.problems[1], HasSubstr("writes 2 to 2 were acknowledged and cannot be read"));
  EXPECT_TRUE(store_.files.contains(name + ".damaged"));
  ASSERT_TRUE(put("d", "4"));
  ASSERT_TRUE(log_->applied(4));
  EXPECT_FALSE(store_.files.contains(name));
  EXPECT_TRUE(store_.files.contains(name + ".damaged"));
}

TEST_F(WriteBehindLogTest, AnAppendThatDidNotFitLeavesNothingAndTheNextOneIsGood) {
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  store_.room = 30;
  const auto refused = put("b", std::string(100, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(log_->broken());
  store_.room = SIZE_MAX;
  ASSERT_TRUE(put("c", "3"));
  const auto recovered = start();
  EXPECT_EQ(text(recovered.writes), "1:a=1 2:c=3");
  EXPECT_THAT(recovered.problems, IsEmpty());
}

TEST_F(WriteBehindLogTest, AfterAFailedSyncNothingIsTakenAnyMoreAndWhatFailedIsNotThere) {
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  store_.sync_fails = true;
  EXPECT_FALSE(put("b", "2"));
  store_.sync_fails = false;
  EXPECT_FALSE(put("c", "3"));
  EXPECT_TRUE(log_->broken());
  EXPECT_EQ(text(start().writes), "1:a=1");
  EXPECT_TRUE(put("d", "4"));
}

TEST_F(WriteBehindLogTest, WhenTheEndCannotBeCutTheOutcomeIsUnknown) {
  (void)start();
  store_.room = 20;
  store_.cut_fails = true;
  const auto refused = put("a", std::string(100, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnknownOutcome);
  EXPECT_TRUE(log_->broken());
}

TEST_F(WriteBehindLogTest, SegmentsGoWhenTheOriginHasThemAndNoneBefore) {
  options_.segment_bytes = 200;
  (void)start();
  for (int i = 1; i <= 9; ++i) ASSERT_TRUE(put("k" + std::to_string(i), std::string(60, 'v')));
  const std::size_t before = store_.files.size();
  EXPECT_GT(before, 2u);
  ASSERT_TRUE(log_->applied(1));
  EXPECT_EQ(store_.files.size(), before);
  ASSERT_TRUE(log_->applied(5));
  EXPECT_LT(store_.files.size(), before);
  EXPECT_EQ(start().writes.front().position, 6u);
  ASSERT_TRUE(log_->applied(9));
  const auto recovered = start();
  EXPECT_THAT(recovered.writes, IsEmpty());
  EXPECT_EQ(recovered.last, 9u);
  EXPECT_EQ(recovered.applied, 9u);
  EXPECT_THAT(recovered.problems, IsEmpty());
}

TEST_F(WriteBehindLogTest, ManyStartsWithoutAWriteKeepOneSmallFileAndTheHint) {
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(log_->applied(1));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(start().applied, 1u);
  EXPECT_LE(store_.files.size(), 2u);
}

TEST_F(WriteBehindLogTest, AFileOfAnotherLogIsRefused) {
  (void)start();
  ASSERT_TRUE(put("a", "1"));
  LogId other;
  other.bytes.fill(99);
  store_.files["00000000000000ff.log"].bytes = segment_header(other, 255);
  Log log(std::make_unique<SharedStore>(&store_), options_);
  const auto recovered = log.recover(other);
  ASSERT_FALSE(recovered);
  EXPECT_EQ(recovered.error().code, ErrorCode::kCorrupt);
}

TEST_F(WriteBehindLogTest, DeadLettersStayUntilTheyAreResolvedAndATornOneIsCut) {
  (void)start();
  ASSERT_TRUE(log_->bury({3, RecordKind::kStore, "k", "v", "refused", 1}));
  ASSERT_TRUE(log_->bury({5, RecordKind::kStore, "l", "w", "refused", 2}));
  ASSERT_TRUE(log_->resolve(3));
  store_.files["dead-letters"].bytes += "half a record";
  auto recovered = start();
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].position, 5u);
  ASSERT_TRUE(log_->bury({6, RecordKind::kStore, "m", "x", "refused", 3}));
  EXPECT_EQ(start().dead.size(), 2u);
  ASSERT_TRUE(log_->resolve(5));
  ASSERT_TRUE(log_->resolve(6));
  EXPECT_EQ(store_.files["dead-letters"].bytes.size(), 0u);
}

TEST_F(WriteBehindLogTest, DeadLettersHaveALimit) {
  options_.dead_letters_max = 1;
  (void)start();
  ASSERT_TRUE(log_->bury({1, RecordKind::kStore, "k", "v", "r", 1}));
  const auto refused = log_->bury({2, RecordKind::kStore, "k", "v", "r", 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace candor::write_behind
