#include "origin/postgres_identity.h"

#include <gtest/gtest.h>

#include <string>

namespace candor {
namespace {

TEST(PostgresIdentityTest, ASlotsNameHoldsRegionOriginTimelineAndNonce) {
  const auto prefix = postgres_slot_prefix("eu-west", "Shop");
  EXPECT_EQ(prefix, "candor_eu_west_shop");
  const auto name = postgres_slot_name(prefix, {.timeline = 0x1a, .nonce = 0x0123456789ab});
  EXPECT_EQ(name, "candor_eu_west_shop_1a_0123456789ab");
  const auto parts = parse_postgres_slot_name(prefix, name);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->timeline, 0x1au);
  EXPECT_EQ(parts->nonce, 0x0123456789abu);
}

TEST(PostgresIdentityTest, LongNamesFitASlotAndStayDifferent) {
  const std::string region(60, 'r');
  const auto one = postgres_slot_prefix(region, "one"), two = postgres_slot_prefix(region, "two");
  EXPECT_NE(one, two);
  EXPECT_LE(postgres_slot_name(one, {.timeline = 0xffffffff, .nonce = ~std::uint64_t{0}}).size(), 63u);
  EXPECT_LE(postgres_publication_name(std::string(100, 'o')).size(), 63u);
}

TEST(PostgresIdentityTest, AnotherOriginsSlotIsNotOurs) {
  EXPECT_FALSE(parse_postgres_slot_name("candor_eu_shop", "candor_eu_shop_2_1_0123456789ab"));
  EXPECT_FALSE(parse_postgres_slot_name("candor_eu_shop", "candor_eu_shop"));
  EXPECT_FALSE(parse_postgres_slot_name("candor_eu_shop", "candor_eu_shopping_1_0123456789ab"));
  EXPECT_FALSE(parse_postgres_slot_name("candor_eu_shop", "candor_eu_shop_1_xyz456789abc"));
}

TEST(PostgresIdentityTest, AnIncarnationIsOneSlotOnOneTimeline) {
  const auto here = postgres_incarnation("p", "p_1_0123456789ab", 1);
  EXPECT_NE(here.value, 0u);
  EXPECT_EQ(here, postgres_incarnation("p", "p_1_0123456789ab", 1));
  EXPECT_NE(here, postgres_incarnation("p", "p_1_0123456789ac", 1));
  EXPECT_EQ(postgres_incarnation("p", "p_1_0123456789ab", 2).value, 0u);
  EXPECT_EQ(postgres_incarnation("p", "", 1).value, 0u);
}

TEST(PostgresIdentityTest, PositionsReadAndWrite) {
  EXPECT_EQ(parse_postgres_position("16/B374D848")->value, 0x16b374d848u);
  EXPECT_EQ(postgres_position_text(Position{0x16b374d848}), "16/B374D848");
  EXPECT_FALSE(parse_postgres_position("16"));
  EXPECT_FALSE(parse_postgres_position("16/"));
  EXPECT_FALSE(parse_postgres_position("1600000000/1"));
}

TEST(PostgresIdentityTest, TheEndOfTheLogIsTheBoundaryOfAFullPage) {
  constexpr std::uint64_t kSegment = 16 << 20;
  EXPECT_EQ(postgres_end_of_log(Position{3 * kSegment + 40}, kSegment).value, 3 * kSegment);
  EXPECT_EQ(postgres_end_of_log(Position{kSegment + 8192 + 24}, kSegment).value, kSegment + 8192);
  // A page of a segment's middle has the short head: 40 is where a record ended.
  EXPECT_EQ(postgres_end_of_log(Position{8192 + 40}, kSegment).value, 8192u + 40);
  EXPECT_EQ(postgres_end_of_log(Position{8192 + 100}, kSegment).value, 8192u + 100);
}

TEST(PostgresIdentityTest, ASnapshotBecomesAStamp) {
  const auto snapshot = parse_postgres_snapshot("10:20:10,14,15");
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->xmin, 10u);
  EXPECT_EQ(snapshot->xmax, 20u);
  for (const std::uint64_t in : {9, 11, 13, 16, 19})
    EXPECT_TRUE(snapshot->stamp.includes(ChangeId{in})) << in;
  for (const std::uint64_t out : {10, 14, 15, 20})
    EXPECT_FALSE(snapshot->stamp.includes(ChangeId{out})) << out;
  EXPECT_EQ(snapshot->stamp.bound().up_to.value, 9u);
}

TEST(PostgresIdentityTest, AnIdleServersSnapshotIncludesEverythingThatWas) {
  const auto snapshot = parse_postgres_snapshot("725:725:");
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->stamp.includes(ChangeId{724}));
  EXPECT_FALSE(snapshot->stamp.includes(ChangeId{725}));
}

TEST(PostgresIdentityTest, WhatIsNoSnapshotIsRefused) {
  for (const auto* text : {"", "1", "1:2", ":2:", "3:2:", "1:5:7", "1:5:3,2", "1:5:3,,4", "1:5:x", "-1:5:"}) {
    EXPECT_FALSE(parse_postgres_snapshot(text)) << text;
  }
}

TEST(PostgresIdentityTest, TransactionIdsAreFollowedAcrossAWrap) {
  const std::uint64_t wrap = std::uint64_t{7} << 32;
  EXPECT_EQ(extend_xid(wrap - 5, 3), wrap + 3);             // already in the next epoch
  EXPECT_EQ(extend_xid(wrap + 5, 0xfffffff0u), wrap - 16);  // still of the one before
  EXPECT_EQ(extend_xid(wrap + 5, 9), wrap + 9);
  EXPECT_EQ(extend_xid(100, 0xffffff00u), 0xffffff00u);  // there is no epoch before the first
}

TEST(PostgresIdentityTest, ARowsVersionIsNeverTakenForOlderThanItIs) {
  const std::uint64_t wrap = std::uint64_t{2} << 32;
  EXPECT_EQ(row_version(wrap + 100, 99).value, wrap + 99);
  EXPECT_EQ(row_version(wrap + 100, 100).value, wrap + 100 - (std::uint64_t{1} << 32));  // not given out yet
  EXPECT_EQ(row_version(wrap + 100, 2).value, 0u);                                       // frozen
  EXPECT_EQ(row_version(100, 40).value, 40u);
}

}  // namespace
}  // namespace candor
