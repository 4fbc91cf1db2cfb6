#include "bus/message_format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "base/hash.h"

namespace candor {
namespace {

// Numbers of every length, not only the small ones that rapidcheck likes.
rc::Gen<std::uint64_t> any_number() {
  return rc::gen::apply([](std::uint64_t n, unsigned shift) { return n >> (shift % 64); },
                        rc::gen::arbitrary<std::uint64_t>(), rc::gen::arbitrary<unsigned>());
}
std::uint64_t number() { return *rc::gen::resize(1000, any_number()); }
std::string text() { return *rc::gen::arbitrary<std::string>(); }
std::string name() { return text().substr(0, kMessageNameBytesMax); }

Change any_change(const std::vector<std::string>& features) {
  Change c;
  c.feature = features[number() % features.size()];
  c.key = text();
  c.scope = *rc::gen::element(Change::Scope::kKey, Change::Scope::kFeature);
  c.id.value = number();
  c.position.value = number();
  c.committed.ns = static_cast<std::int64_t>(number());
  return c;
}

StreamMessage any_message() {
  switch (number() % 6) {
    case 0: {
      message::Changes m;
      m.origin = name();
      m.incarnation.value = number();
      m.up_to.value = number();
      m.l2_told.value = number();
      m.l2_generation = static_cast<std::uint32_t>(number());
      m.l2_told_count = number();
      m.replay_from.value = number();
      const std::vector<std::string> features{name(), name(), ""};
      for (std::uint64_t n = number() % 20; n > 0; --n) m.changes.push_back(any_change(features));
      for (std::uint64_t n = number() % 4; n > 0; --n)
        m.unheard.push_back({name(), text().substr(0, kUnheardReasonBytesMax)});
      m.break_id = number();
      return m;
    }
    case 1:
      return message::Floor{
          name(), name(), Incarnation{number()}, Position{number()}, text(), *rc::gen::arbitrary<bool>()};
    case 2:
      return message::Invalidate{number(), name(), *rc::gen::arbitrary<std::vector<std::string>>(), name()};
    case 3:
      return message::Applied{number(), name()};
    case 4:
      return message::Presence{name(),
                               number(),
                               SequenceNumber{number()},
                               *rc::gen::arbitrary<bool>(),
                               *rc::gen::arbitrary<std::uint32_t>(),
                               number()};
    default:
      return message::SelfTest{name(), number()};
  }
}

RC_GTEST_PROP(MessageFormatTest, EveryMessageSurvives, ()) {
  const StreamMessage message = any_message();
  const auto bytes = encode_message(message);
  RC_ASSERT(bytes.has_value());
  const auto back = decode_message(*bytes);
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == message);
}

message::Changes two_changes() {
  message::Changes m;
  m.origin = "shop";
  m.incarnation.value = 77;
  m.up_to.value = m.l2_told.value = 1 << 20;
  m.changes.push_back({"profile", "1", Change::Scope::kKey, ChangeId{5}, Position{9}, WallTime{-1}});
  m.changes.push_back({"price", "a:b", Change::Scope::kFeature, ChangeId{6}, Position{9}, WallTime{1}});
  return m;
}

TEST(MessageFormatTest, EverySingleFlippedBitIsFound) {
  const std::string good = encode_message(two_changes()).value();
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto decoded = decode_message(bad);
    ASSERT_FALSE(decoded.has_value()) << "bit " << bit;
    EXPECT_EQ(decoded.error().code, ErrorCode::kCorrupt);
  }
}

TEST(MessageFormatTest, EveryTruncationIsFound) {
  const std::string good = encode_message(two_changes()).value();
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(decode_message({good.data(), n}).has_value()) << n;
  }
  EXPECT_FALSE(decode_message(good + '\0').has_value());
}

// A valid checksum around a body of our choice.
std::string forged(std::uint8_t kind, std::string_view body) {
  std::string out = "CDSM\x01";
  out.push_back(static_cast<char>(kind));
  out.append(body);
  const std::uint64_t sum = hash_bytes(out, 0x4344534d2d763031ULL);
  char bytes[8];
  std::memcpy(bytes, &sum, 8);
  return out.append(bytes, 8);
}

TEST(MessageFormatTest, ForgedLengthsAndNumbersAreRefused) {
  using std::string_literals::operator""s;
  ASSERT_TRUE(decode_message(forged(3, "\x05\x01n"s)).has_value());
  EXPECT_FALSE(decode_message(forged(3, "\x05\x7fn"s)).has_value());      // name beyond the end
  EXPECT_FALSE(decode_message(forged(3, "\x05\x01nn"s)).has_value());     // bytes left over
  EXPECT_FALSE(decode_message(forged(3, "\x85\x00\x01n"s)).has_value());  // 5 in two bytes
  EXPECT_FALSE(decode_message(forged(3, std::string(10, '\xff') + "\x01")).has_value());  // 65 bits and more
  EXPECT_FALSE(decode_message(forged(4, "\x01n\x01\x01\x02"s)).has_value());              // a bool of 2
  EXPECT_FALSE(decode_message(forged(6, "")).has_value());                                // unknown kind
  // A change of a feature that the table does not have; a million changes in no bytes.
  EXPECT_FALSE(decode_message(forged(0, "\0\0\0\0\0\0\0\x00\x01\0\0\0\0\0\0"s)).has_value());
  EXPECT_FALSE(decode_message(forged(0, "\0\0\0\0\0\0\0\x01\0\xff\xff\x7f"s)).has_value());
}

// What a node of the version before writes, and what it can read: no tail where there is nothing to say.
TEST(MessageFormatTest, WhatIsSaidOfUnheardFeaturesAndBreaksIsATailThatMayBeAbsent) {
  using std::string_literals::operator""s;
  const auto plain = decode_message(forged(0, "\0\0\0\0\0\0\0\0\0"s));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(std::get<message::Changes>(*plain), message::Changes{});
  EXPECT_EQ(encode_message(message::Changes{}).value(), forged(0, "\0\0\0\0\0\0\0\0\0"s));
  const auto tail = decode_message(forged(0, "\0\0\0\0\0\0\0\0\0\x01\x01p\x02no\x05"s));
  ASSERT_TRUE(tail.has_value());
  EXPECT_EQ(std::get<message::Changes>(*tail).unheard, (std::vector<Unheard>{{"p", "no"}}));
  EXPECT_EQ(std::get<message::Changes>(*tail).break_id, 5U);
  EXPECT_FALSE(decode_message(forged(0, "\0\0\0\0\0\0\0\0\0\0\0"s)).has_value());       // an empty tail
  EXPECT_FALSE(decode_message(forged(0, "\0\0\0\0\0\0\0\0\0\x01\x01p"s)).has_value());  // cut off
  EXPECT_FALSE(
      decode_message(forged(0, "\0\0\0\0\0\0\0\0\0\x41"s + std::string(130, '\0') + "\1")).has_value());
  EXPECT_TRUE(
      decode_message(forged(0, "\0\0\0\0\0\0\0\0\0\x40"s + std::string(128, '\0') + "\1")).has_value());
  EXPECT_TRUE(decode_message(forged(1, "\0\0\0\0\0"s)).has_value());
  EXPECT_TRUE(decode_message(forged(1, "\0\0\0\0\0\1"s)).has_value());
  EXPECT_FALSE(decode_message(forged(1, "\0\0\0\0\0\0"s)).has_value());
  message::Changes many;
  many.unheard.resize(kUnheardMax + 1);
  EXPECT_EQ(encode_message(many).error().code, ErrorCode::kLimit);
}

TEST(MessageFormatTest, WhatANodeSaysOfWritesIsBoundedAndNothingHasOneForm) {
  using std::string_literals::operator""s;
  message::Presence presence{"eu-1", 7, SequenceNumber{3}};
  const std::string without = encode_message(presence).value();
  presence.writes = {{"profile", 36'000, true, 0}, {"counter", 0, false, 1500}};
  const std::string with = encode_message(presence).value();
  EXPECT_EQ(std::get<message::Presence>(*decode_message(with)), presence);
  EXPECT_GT(with.size(), without.size());
  EXPECT_FALSE(decode_message(forged(4, "\0\0\0\0\0\0\0"s)).has_value()) << "an empty list is no list";
  presence.writes.resize(kFeatureWritesMax + 1);
  EXPECT_EQ(encode_message(presence).error().code, ErrorCode::kLimit);
}

TEST(MessageFormatTest, NewerVersionSaysSo) {
  std::string bytes = encode_message(message::SelfTest{"n", 1}).value();
  bytes[4] = 2;
  const auto decoded = decode_message(bytes);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_NE(decoded.error().message.find("newer"), std::string::npos);
}

TEST(MessageFormatTest, TooLargeIsRefusedAndTheBoundHolds) {
  message::Changes m;
  m.origin = "o";
  std::size_t bound = 128;
  while (bound < kMessageBytesMax) {
    m.changes.push_back({"f", std::string(100, 'k'), Change::Scope::kKey, ChangeId{UINT64_MAX},
                         Position{UINT64_MAX}, WallTime{INT64_MIN}});
    bound += encoded_bytes_max(m.changes.back());
  }
  m.changes.pop_back();
  EXPECT_TRUE(encode_message(m).has_value());
  m.changes.front().key.assign(kMessageBytesMax, 'k');
  ASSERT_FALSE(encode_message(m).has_value());
  EXPECT_EQ(encode_message(m).error().code, ErrorCode::kLimit);
  EXPECT_EQ(encode_message(message::SelfTest{std::string(256, 'n'), 1}).error().code, ErrorCode::kLimit);
}

TEST(MessageFormatTest, LongReasonIsCut) {
  const auto bytes = encode_message(message::Floor{"o", "", {}, {}, std::string(5000, 'r')}).value();
  EXPECT_EQ(std::get<message::Floor>(*decode_message(bytes)).reason.size(), kMessageReasonBytesMax);
}

}  // namespace
}  // namespace candor
