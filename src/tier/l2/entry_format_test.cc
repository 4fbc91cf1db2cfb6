#include "tier/l2/entry_format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "base/hash.h"
#include "base/ids.h"
#include "base/random.h"

namespace candor::l2 {
namespace {

StoredEntry stored_of(std::string value) {
  StoredEntry e;
  e.value = std::move(value);
  e.stamp = Stamp{ChangeId{42}};
  e.ttl = 60s;
  e.age = 150ms;
  return e;
}

void expect_same(const StoredEntry& a, const StoredEntry& b) {
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(a.negative, b.negative);
  EXPECT_EQ(a.stamp, b.stamp);
  EXPECT_EQ(a.ttl, b.ttl);
  EXPECT_EQ(a.age, b.age);
}

std::string encoded(const StoredEntry& e, FormatOptions options = {}) {
  return encode_entry(e, options).value();
}

// Writes a checksum that fits, as an attacker would.
std::string resealed(std::string bytes) {
  const std::size_t body = bytes.size() - kChecksumBytes;
  const std::uint64_t sum = hash_bytes({bytes.data(), body}, 0x43444c322d763031ULL);
  std::memcpy(bytes.data() + body, &sum, sizeof sum);
  return bytes;
}

template <class T>
std::string with(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return resealed(std::move(bytes));
}

void expect_corrupt(std::string_view bytes) {
  const auto back = decode_entry(bytes);
  ASSERT_FALSE(back.has_value());
  EXPECT_EQ(back.error().code, ErrorCode::kCorrupt);
}

TEST(EntryFormatTest, RoundTripKeepsEverything) {
  for (const bool negative : {false, true}) {
    StoredEntry e = stored_of(negative ? "" : "hello");
    e.negative = negative;
    expect_same(decode_entry(encoded(e)).value(), e);
  }
}

TEST(EntryFormatTest, UnknownStampAndNoTtlRoundTrip) {
  StoredEntry e;
  e.value = "v";
  const std::string bytes = encoded(e);
  EXPECT_EQ(bytes.size(), kHeaderBytes + 1 + kChecksumBytes);
  expect_same(decode_entry(bytes).value(), e);
}

RC_GTEST_PROP(EntryFormatProperty, AnyValueRoundTrips,
              (const std::string& value, bool negative, std::uint64_t position)) {
  StoredEntry e;
  e.value = value;
  e.negative = negative;
  e.stamp = Stamp{ChangeId{position}};
  e.ttl = std::chrono::milliseconds(position % 1'000'000);
  FormatOptions options;
  options.compress_above = 8;
  expect_same(decode_entry(encoded(e, options)).value(), e);
}

TEST(EntryFormatTest, RepetitiveValueIsCompressed) {
  const StoredEntry e = stored_of(std::string(100'000, 'x'));
  const std::string bytes = encoded(e);
  EXPECT_LT(bytes.size(), 1000U);
  expect_same(decode_entry(bytes).value(), e);
}

TEST(EntryFormatTest, RandomValueStaysRaw) {
  Random random(1);
  StoredEntry e = stored_of("");
  for (int i = 0; i < 5000; ++i) e.value.push_back(static_cast<char>(random()));
  const std::string bytes = encoded(e);
  EXPECT_EQ(static_cast<int>(bytes[5]) & 2, 0);
  expect_same(decode_entry(bytes).value(), e);
}

TEST(EntryFormatTest, BelowTheSizeNothingIsCompressed) {
  const StoredEntry e = stored_of(std::string(1023, 'x'));
  EXPECT_GT(encoded(e).size(), 1023U);
  EXPECT_LT(encoded(stored_of(std::string(1024, 'x'))).size(), 1000U);
}

TEST(EntryFormatTest, LargestValueRoundTripsAndOneMoreByteIsRefused) {
  StoredEntry e = stored_of(std::string(kValueBytesMax, 'x'));
  EXPECT_EQ(decode_entry(encoded(e))->value.size(), kValueBytesMax);
  e.value.push_back('x');
  const auto refused = encode_entry(e, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
}

TEST(EntryFormatTest, EveryFlippedBitIsFound) {
  for (const std::size_t size : {std::size_t{5}, std::size_t{2000}}) {
    const std::string good = encoded(stored_of(std::string(size, 'x')));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      expect_corrupt(bad);
    }
  }
}

TEST(EntryFormatTest, EveryTruncationIsFound) {
  const std::string good = encoded(stored_of("hello"));
  for (std::size_t n = 0; n < good.size(); ++n) expect_corrupt(std::string_view{good}.substr(0, n));
}

TEST(EntryFormatTest, LengthsThatLieUnderAGoodChecksumAreRefused) {
  const std::string raw = encoded(stored_of("hello"));
  const std::string small = encoded(stored_of(std::string(4000, 'x')));
  expect_corrupt(with<std::uint16_t>(raw, 6, 60'000));                 // stamp
  expect_corrupt(with<std::uint16_t>(raw, 6, 10));                     // stamp eats the payload
  expect_corrupt(with<std::uint32_t>(raw, 20, 4));                     // raw size
  expect_corrupt(with<std::uint32_t>(raw, 24, 0xffffffff));            // payload size
  expect_corrupt(with<std::uint64_t>(raw, 8, UINT64_MAX));             // ttl
  expect_corrupt(with<std::uint32_t>(small, 20, kValueBytesMax + 1));  // bomb: announced above the limit
  expect_corrupt(with<std::uint32_t>(small, 20, kValueBytesMax));      // bomb: the frame says another size
  expect_corrupt(with<std::uint32_t>(small, 20, 3999));
}

TEST(EntryFormatTest, AVersionFromTheFutureIsAbsentNotMisread) {
  const auto back = decode_entry(with<std::uint8_t>(encoded(stored_of("hello")), 4, 9));
  ASSERT_FALSE(back.has_value());
  EXPECT_NE(back.error().message.find("format version 9"), std::string::npos);
}

TEST(EntryFormatTest, AStampKindFromTheFutureIncludesNothing) {
  const auto back = decode_entry(with<std::uint8_t>(encoded(stored_of("hello")), kHeaderBytes, 7));
  ASSERT_TRUE(back.has_value());
  EXPECT_FALSE(back->stamp.is_known());
  EXPECT_EQ(back->value, "hello");
}

TEST(EntryFormatTest, UnknownFlagsAreRefused) {
  expect_corrupt(with<std::uint8_t>(encoded(stored_of("hello")), 5, 4));
}

}  // namespace
}  // namespace candor::l2
