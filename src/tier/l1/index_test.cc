#include "tier/l1/index.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace candor::l1 {
namespace {

class IndexTableTest : public testing::Test {
 protected:
  IndexTable& open(std::uint64_t buckets) {
    memory_.assign(IndexTable::bytes_for(buckets) / sizeof(Line), Line{});
    table_ = new (memory_.data()) IndexTable(buckets);
    return *table_;
  }
  bool has(std::uint64_t hash, std::uint32_t offset, Slot* slot = nullptr) {
    return table_->find(hash, [&](std::uint32_t candidate) { return candidate == offset; }, slot);
  }

  struct alignas(64) Line {
    unsigned char bytes[64] = {};
  };
  std::vector<Line> memory_;
  IndexTable* table_ = nullptr;
};

TEST(TableRefTest, KeepsPlaceAndSizeInOneWord) {
  EXPECT_EQ(TableRef().table(), nullptr);
  for (const std::size_t pages : {1, 3, 110}) {
    const std::size_t bytes = pages * 4096;
    const std::unique_ptr<void, void (*)(void*)> memory(std::aligned_alloc(4096, bytes), std::free);
    auto* const table = new (memory.get()) IndexTable(bytes / sizeof(Bucket) - 1);
    const TableRef ref(table);
    EXPECT_EQ(ref.table(), table);
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const std::uint64_t hash = mix64(i);
      ASSERT_EQ(&ref.home(hash), &table->bucket(bucket_of_hash(hash, table->bucket_count())));
    }
  }
}

TEST_F(IndexTableTest, AFullBucketOverflowsIntoTheNextAndBackAgain) {
  IndexTable& table = open(4);
  const std::uint64_t hash = 5;  // home 0
  for (std::uint32_t i = 1; i <= 20; ++i) ASSERT_TRUE(table.insert(hash, i));
  EXPECT_EQ(table.bucket(0).overflow.load(), 8);
  for (std::uint32_t i = 1; i <= 20; ++i) {
    Slot slot;
    ASSERT_TRUE(has(hash, i, &slot)) << i;
    table.erase(hash, slot);
    ASSERT_FALSE(has(hash, i));
  }
  EXPECT_EQ(table.bucket(0).overflow.load(), 0);
}

TEST_F(IndexTableTest, TheLastBucketOverflowsIntoTheFirst) {
  IndexTable& table = open(3);
  const std::uint64_t hash = (std::uint64_t{1} << 50) - 1;  // home: the last
  for (std::uint32_t i = 1; i <= 13; ++i) ASSERT_TRUE(table.insert(hash, i));
  EXPECT_EQ(table.bucket(2).overflow.load(), 1);
  EXPECT_TRUE(has(hash, 13));
}

TEST_F(IndexTableTest, AFullTableRefuses) {
  IndexTable& table = open(2);
  for (std::uint32_t i = 1; i <= 24; ++i) ASSERT_TRUE(table.insert(mix64(i), i));
  EXPECT_FALSE(table.insert(mix64(25), 25));
  for (std::uint32_t i = 1; i <= 24; ++i) EXPECT_TRUE(has(mix64(i), i));
}

TEST_F(IndexTableTest, AReplacedOffsetKeepsItsSlot) {
  IndexTable& table = open(2);
  ASSERT_TRUE(table.insert(77, 1));
  Slot slot;
  ASSERT_TRUE(has(77, 1, &slot));
  table.replace(slot, 2);
  EXPECT_FALSE(has(77, 1));
  EXPECT_TRUE(has(77, 2));
}

TEST_F(IndexTableTest, RandomInsertsAndErasesAgreeWithAMap) {
  IndexTable& table = open(40);
  std::map<std::uint32_t, std::uint64_t> reference;
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    const auto offset = static_cast<std::uint32_t>(1 + random.below(1000));
    if (const auto at = reference.find(offset); at != reference.end()) {
      Slot slot;
      ASSERT_TRUE(has(at->second, offset, &slot));
      table.erase(at->second, slot);
      reference.erase(at);
    } else if (reference.size() < 460) {
      const std::uint64_t hash = random();
      ASSERT_TRUE(table.insert(hash, offset));
      reference[offset] = hash;
    }
  }
  for (const auto& [offset, hash] : reference) ASSERT_TRUE(has(hash, offset));
}

}  // namespace
}  // namespace candor::l1
