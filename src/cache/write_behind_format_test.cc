#include "cache/write_behind_format.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace candor::write_behind {
namespace {

LogId id_of(unsigned char byte) {
  LogId id;
  id.bytes.fill(byte);
  return id;
}

Record store(std::uint64_t position, std::string key, std::string value) {
  Record record;
  record.position = position;
  record.key = std::move(key);
  record.value = std::make_shared<const std::string>(std::move(value));
  return record;
}

class WriteBehindFormatTest : public testing::Test {
 protected:
  std::string segment(std::uint64_t count, std::size_t value_bytes = 20) {
    std::string bytes = segment_header(id_, 1);
    for (std::uint64_t i = 1; i <= count; ++i) {
      begins_.push_back(bytes.size());
      append_record(bytes, id_, store(i, "key" + std::to_string(i), std::string(value_bytes, 'v')));
    }
    return bytes;
  }
  LogId id_ = id_of(7);
  std::vector<std::size_t> begins_;
};

TEST_F(WriteBehindFormatTest, ReadsBackWhatWasWrittenWithEveryByteAndKind) {
  std::string bytes = segment_header(id_, 5);
  Record erase = store(6, std::string("k\0\r\n", 4), "");
  erase.kind = RecordKind::kErase;
  append_record(bytes, id_, store(5, "a", std::string("\0\xff", 2)));
  append_record(bytes, id_, erase);
  EXPECT_EQ(bytes.size(), kHeaderBytes + record_bytes(store(5, "a", "xx")) + record_bytes(erase));
  const SegmentScan scan = scan_segment(bytes);
  ASSERT_TRUE(scan.has_header);
  EXPECT_EQ(scan.id, id_);
  EXPECT_EQ(scan.first, 5u);
  ASSERT_EQ(scan.records.size(), 2u);
  EXPECT_EQ(*scan.records[0].value, std::string("\0\xff", 2));
  EXPECT_EQ(scan.records[1].kind, RecordKind::kErase);
  EXPECT_EQ(scan.records[1].key, std::string("k\0\r\n", 4));
  EXPECT_EQ(scan.whole_bytes, bytes.size());
  EXPECT_TRUE(scan.damage.empty());
}

TEST_F(WriteBehindFormatTest, ATailThatIsTornAnywhereIsLeftOutAndIsNoDamage) {
  const std::string bytes = segment(3);
  for (std::size_t end = kHeaderBytes; end < bytes.size(); ++end) {
    const SegmentScan scan = scan_segment(std::string_view(bytes).substr(0, end));
    const auto whole = static_cast<std::size_t>(std::ranges::count_if(
        begins_, [&](std::size_t begin) { return begin + bytes.size() - begins_[2] <= end; }));
    EXPECT_EQ(scan.records.size(), whole) << end;
    EXPECT_EQ(scan.whole_bytes, whole == 3 ? bytes.size() : begins_[whole]) << end;
    EXPECT_TRUE(scan.damage.empty()) << end;
  }
}

TEST_F(WriteBehindFormatTest, AnyFlippedBitOfARecordIsFoundAndTheOthersAreKept) {
  const std::string whole = segment(3);
  for (std::size_t at = begins_[1]; at < begins_[2]; ++at) {
    for (int bit = 0; bit < 8; bit += 7) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      const SegmentScan scan = scan_segment(bytes);
      ASSERT_EQ(scan.records.size(), 2u) << at;
      EXPECT_EQ(scan.records[1].position, 3u);
      ASSERT_EQ(scan.damage.size(), 1u) << at;
      EXPECT_EQ(scan.damage[0].offset, begins_[1]);
      EXPECT_EQ(scan.damage[0].bytes, begins_[2] - begins_[1]);
    }
  }
}

TEST_F(WriteBehindFormatTest, ARecordInsideAValueIsNeverFound) {
  // A client who knows the format, and not the log's id, puts a record into a value; then the record around
  // it is torn.
  std::string forged;
  append_record(forged, id_of(0), store(99, "other", "forged"));
  std::string bytes = segment_header(id_, 1);
  const std::size_t before = bytes.size();
  append_record(bytes, id_, store(1, "key", "x" + forged + "y"));
  bytes.resize(bytes.size() - 1);
  const SegmentScan scan = scan_segment(bytes);
  EXPECT_TRUE(scan.records.empty());
  EXPECT_TRUE(scan.damage.empty());
  EXPECT_EQ(scan.whole_bytes, before);
}

TEST_F(WriteBehindFormatTest, WithoutAHeaderRecordsAreReadUnderAKnownIdOnly) {
  std::string bytes = segment(2);
  bytes[3] ^= 1;
  EXPECT_TRUE(scan_segment(bytes).records.empty());
  const SegmentScan scan = scan_segment(bytes, &id_);
  EXPECT_FALSE(scan.has_header);
  EXPECT_EQ(scan.records.size(), 2u);
  ASSERT_EQ(scan.damage.size(), 1u);
  EXPECT_EQ(scan.damage[0].bytes, kHeaderBytes);
}

TEST_F(WriteBehindFormatTest, LengthsThatLieAreRefused) {
  std::string bytes = segment(1);
  for (const std::uint32_t length : {0u, 12u, 0x7fffffffu, 0xffffffffu}) {
    for (int i = 0; i < 4; ++i)
      bytes[begins_[0] + 4 + static_cast<std::size_t>(i)] = static_cast<char>(length >> (8 * i));
    EXPECT_TRUE(scan_segment(bytes).records.empty());
  }
}

TEST_F(WriteBehindFormatTest, ADeadLetterKeepsTheWriteAndItsReason) {
  DeadLetter letter{17,  RecordKind::kErase, "a:b", std::string("v\0w", 3), "NOT NULL constraint failed",
                    1234};
  DeadLetter read;
  ASSERT_TRUE(read_dead_record(dead_record(letter), &read));
  EXPECT_EQ(read.position, 17u);
  EXPECT_EQ(read.kind, RecordKind::kErase);
  EXPECT_EQ(read.key, "a:b");
  EXPECT_EQ(read.value, std::string("v\0w", 3));
  EXPECT_EQ(read.reason, letter.reason);
  EXPECT_EQ(read.refused_at_ms, 1234);
  Record cut = dead_record(letter);
  cut.value = std::make_shared<const std::string>(cut.value->substr(0, 12));
  EXPECT_FALSE(read_dead_record(cut, &read));
}

}  // namespace
}  // namespace candor::write_behind
