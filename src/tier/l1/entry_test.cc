#include "tier/l1/entry.h"

#include <gtest/gtest.h>

#include <string>

#include "tier/l1/policy.h"

namespace candor::l1 {
namespace {

constexpr FeatureId kEntered{5};

class EntryTest : public testing::Test {
 protected:
  EntryRef write(std::string_view key, std::string_view value, const EntryMeta& meta) {
    const EntryShape shape = shape_of(key.size(), value.size(), meta, 1 << 20, 1 << 20);
    encode_entry(bytes_, shape, kEntered, key, value, nullptr, meta, 0);
    return EntryRef(bytes_);
  }

  alignas(8) std::byte bytes_[8192] = {};
};

TEST_F(EntryTest, ReadsRaiseAccessBitsUntilTheyAreFullAndThenWriteElsewhere) {
  const EntryRef entry = write("key", "value", {.loaded_at = 5, .expires_at = 10});
  std::byte elsewhere{0xEE};
  const std::uint32_t fresh = entry.head();
  for (unsigned access = 1; access <= kAccessMax; ++access) {
    entry.raise_access(entry.head(), &elsewhere);
    EXPECT_EQ(entry.head(), fresh + access);
    EXPECT_EQ(elsewhere, std::byte{0xEE});
  }
  const std::uint32_t full = entry.head();
  entry.raise_access(full, &elsewhere);
  EXPECT_EQ(entry.head(), full);
  EXPECT_NE(elsewhere, std::byte{0xEE});
}

TEST_F(EntryTest, TheCompactFormsShortcutsSayWhatTheGeneralOnesSay) {
  for (const Millis expires_at : {Millis{0}, Millis{20}}) {
    const EntryRef entry = write("a key", "its value", {.loaded_at = 5, .expires_at = expires_at});
    const std::uint32_t head = entry.head();
    const std::uint32_t identity = EntryRef::identity(kEntered, 5);
    EXPECT_TRUE(entry.matches_compact(head, identity, "a key"));
    EXPECT_FALSE(entry.matches_compact(head, identity, "b key"));
    EXPECT_FALSE(entry.matches_compact(head, EntryRef::identity(kEntered, 4), "a ke"));
    EXPECT_FALSE(entry.matches_compact(head, EntryRef::identity(FeatureId{6}, 5), "a key"));
    for (const Millis now : {19, 20, 21}) {
      EXPECT_EQ(entry.is_expired_compact(head, now), entry.is_expired(head, now)) << now;
    }
    EntryView general;
    EntryView compact;
    entry.view(head, &general);
    entry.view_compact(head, 5, &compact);
    EXPECT_EQ(compact.value, "its value");
    EXPECT_EQ(compact.value.data(), general.value.data());
    EXPECT_EQ(compact.meta.expires_at, expires_at);
  }
}

TEST_F(EntryTest, AWideEntryIsNoCompactOne) {
  const std::string value(5000, 'v');
  const EntryRef entry = write("key", value, {.loaded_at = 5});
  EXPECT_FALSE(entry.matches_compact(entry.head(), EntryRef::identity(kEntered, 3), "key"));
  EXPECT_TRUE(entry.matches(entry.head(), EntryRef::identity(kEntered, 3), "key"));
  const std::string long_key(300, 'k');
  const EntryRef other = write(long_key, "v", {.loaded_at = 5});
  EXPECT_FALSE(other.matches_compact(other.head(), EntryRef::identity(kEntered, 300), long_key));
  EXPECT_TRUE(other.matches(other.head(), EntryRef::identity(kEntered, 300), long_key));
}

}  // namespace
}  // namespace candor::l1
