#include "change/pgoutput.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "change/postgres_changes.h"

namespace candor {
namespace {

using pgoutput::decode_message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string bytes(std::string_view hex) {
  std::string out;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  }
  return out;
}

// Recorded from PostgreSQL 15.
constexpr const char* kBegin = "420000000001583340000303ee1258089e000002e4";
constexpr const char* kCommit = "430000000000015833400000000001583370000303ee1258089e";
constexpr const char* kLaterBegin = "420000000001583e60000303ee12580971000002e6";
constexpr const char* kLaterCommit = "43000000000001583e600000000001583e90000303ee12580971";
constexpr const char* kRelation =
    "52000040067075626c69630074006400020169640000000017ffffffff00760000000019ffffffff";
constexpr const char* kRelationFull =
    "52000040067075626c69630074006600020169640000000017ffffffff01760000000019ffffffff";
constexpr const char* kInsert = "49000040064e0002740000000131740000000161";
constexpr const char* kUpdateSameKey = "55000040064e0002740000000131740000000162";
constexpr const char* kUpdateOtherKey = "55000040064b00027400000001326e4e000274000000013375";
constexpr const char* kDelete = "44000040064b00027400000001316e";
constexpr const char* kTruncate = "54000000010000004006";
constexpr const char* kAll[] = {kBegin,         kCommit,         kRelation, kRelationFull, kInsert,
                                kUpdateSameKey, kUpdateOtherKey, kDelete,   kTruncate};

// ---- Decoder

TEST(PgoutputTest, BeginAndCommitCarryPositionTransactionAndTime) {
  const auto begin = decode_message(bytes(kBegin));
  ASSERT_TRUE(begin);
  EXPECT_EQ(std::get<pgoutput::Begin>(*begin).xid, 0x2e4u);
  const auto commit = decode_message(bytes(kCommit));
  ASSERT_TRUE(commit);
  const auto& c = std::get<pgoutput::Commit>(*commit);
  EXPECT_EQ(c.begin.value, 0x1583340u);
  EXPECT_EQ(c.end.value, 0x1583370u);
  EXPECT_EQ(c.committed.ns / 1'000'000'000, 0x303ee1258089e / 1'000'000 + 946'684'800);
}

TEST(PgoutputTest, ARelationNamesItsColumnsAndIdentity) {
  const auto text = bytes(kRelation);
  const auto message = decode_message(text);
  ASSERT_TRUE(message);
  const auto& relation = std::get<pgoutput::Relation>(*message);
  EXPECT_EQ(relation.schema, "public");
  EXPECT_EQ(relation.name, "t");
  EXPECT_EQ(relation.identity, 'd');
  ASSERT_EQ(relation.columns.size(), 2u);
  EXPECT_EQ(relation.columns[0].name, "id");
  EXPECT_TRUE(relation.columns[0].in_identity);
  EXPECT_FALSE(relation.columns[1].in_identity);
}

TEST(PgoutputTest, AnUpdateOfTheKeyCarriesTheOldOneAndLeavesOutALargeValueThatStayed) {
  const auto text = bytes(kUpdateOtherKey);
  const auto message = decode_message(text);
  ASSERT_TRUE(message);
  const auto& update = std::get<pgoutput::Update>(*message);
  EXPECT_EQ(update.old_kind, pgoutput::OldKind::kIdentity);
  EXPECT_EQ(update.old_row[0].bytes, "2");
  EXPECT_EQ(update.row[0].bytes, "3");
  EXPECT_EQ(update.row[1].kind, pgoutput::Value::Kind::kUnchanged);
}

TEST(PgoutputTest, WhatIsCutOffAnywhereIsRefused) {
  for (const auto* hex : kAll) {
    const auto whole = bytes(hex);
    ASSERT_TRUE(decode_message(whole)) << hex;
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(decode_message(std::string_view(whole).substr(0, length))) << hex << " at " << length;
    }
    EXPECT_FALSE(decode_message(whole + "x")) << hex;
  }
}

TEST(PgoutputTest, CountsThatLieReserveNothing) {
  EXPECT_FALSE(decode_message(bytes("49000040064effff74")));
  EXPECT_FALSE(decode_message(bytes("54ffffffff0000004006")));
  EXPECT_FALSE(decode_message(bytes("52000040067075626c696300740064ffff")));
  EXPECT_FALSE(decode_message(bytes("49000040064e000174ffffffff31")));
}

TEST(PgoutputTest, AnUnknownMessageIsRefusedByName) {
  EXPECT_THAT(decode_message("S123").error().message, HasSubstr("unknown kind (0x53)"));
}

TEST(PgoutputTest, FramesAreTakenApart) {
  const auto data = bytes(
                        "77"
                        "0000000000000001"
                        "0000000000000002"
                        "0000000000000003") +
                    "payload";
  const auto frame = pgoutput::decode_frame(data);
  ASSERT_TRUE(frame);
  EXPECT_EQ(std::get<pgoutput::WalData>(*frame).message, "payload");
  const auto keepalive =
      pgoutput::decode_frame(bytes("6b"
                                   "00000000000000ff"
                                   "0000000000000007"
                                   "01"));
  ASSERT_TRUE(keepalive);
  EXPECT_EQ(std::get<pgoutput::Keepalive>(*keepalive).sent.value, 255u);
  EXPECT_TRUE(std::get<pgoutput::Keepalive>(*keepalive).reply_wanted);
  EXPECT_FALSE(pgoutput::decode_frame(""));
  EXPECT_FALSE(pgoutput::decode_frame("w12"));
  EXPECT_FALSE(pgoutput::decode_frame("x"));
}

TEST(PgoutputTest, AStatusSaysReceivedAndConfirmed) {
  EXPECT_EQ(pgoutput::encode_status(Position{0x10}, Position{0x0f}, 7, true), bytes("72"
                                                                                    "0000000000000010"
                                                                                    "000000000000000f"
                                                                                    "000000000000000f"
                                                                                    "0000000000000007"
                                                                                    "01"));
}

// ---- Changes

PostgresChanges watching(PostgresChanges::Limits limits = {}, std::vector<std::string> key = {"id"},
                         bool covered = true, std::uint64_t next_xid = 0x300) {
  PostgresTable table{0x4006, "t", {{"f", std::move(key)}}, {covered}};
  return PostgresChanges({table}, limits, next_xid);
}

// The names of what is committed after these messages.
std::vector<std::string> after(PostgresChanges& changes, const std::vector<std::string>& messages) {
  for (const auto& message : messages) {
    const auto taken = changes.take(message);
    EXPECT_TRUE(taken) << taken.error().message;
  }
  std::vector<std::string> names;
  for (const auto& c : changes.committed()) names.push_back(c.scope == Change::Scope::kFeature ? "*" : c.key);
  changes.committed().clear();
  return names;
}

TEST(PostgresChangesTest, NothingIsSaidBeforeTheCommit) {
  auto changes = watching();
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert)}), IsEmpty());
  EXPECT_TRUE(changes.in_transaction());
  EXPECT_THAT(after(changes, {bytes(kCommit)}), ElementsAre("1"));
  EXPECT_EQ(changes.position().value, 0x1583370u);
}

TEST(PostgresChangesTest, AKeyThatChangesIsTwo) {
  auto changes = watching();
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kRelation), bytes(kUpdateSameKey), bytes(kUpdateOtherKey),
                              bytes(kDelete), bytes(kCommit)}),
              ElementsAre("1", "3", "2", "1"));
}

TEST(PostgresChangesTest, AnIdGetsItsEpoch) {
  auto changes = watching({}, {"id"}, true, (std::uint64_t{5} << 32) + 0x300);
  for (const auto* m : {kBegin, kRelation, kInsert, kCommit}) ASSERT_TRUE(changes.take(bytes(m)));
  EXPECT_EQ(changes.committed()[0].id.value, (std::uint64_t{5} << 32) + 0x2e4);
}

TEST(PostgresChangesTest, AKeyOutsideOfTheIdentityIsTheWholeFeature) {
  auto changes = watching({}, {"v"}, false);
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert), bytes(kCommit)}),
              ElementsAre("a"));
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kUpdateSameKey), bytes(kInsert), bytes(kCommit)}),
              ElementsAre("*"));
  EXPECT_THAT(changes.problems(), HasSubstr("alter table t replica identity full"));
}

TEST(PostgresChangesTest, AColumnThatIsGoneIsTheWholeFeatureUntilItIsBack) {
  auto changes = watching({}, {"nothing"});
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert), bytes(kCommit)}),
              ElementsAre("*"));
  EXPECT_THAT(changes.problems(), HasSubstr("no column nothing"));
}

TEST(PostgresChangesTest, ManyKeysOfOneTransactionBecomeTheFeature) {
  auto changes = watching({.keys_max = 2, .bytes_max = 1 << 20});
  EXPECT_THAT(after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert), bytes(kUpdateOtherKey),
                              bytes(kCommit)}),
              ElementsAre("*"));
  // The next one counts anew.
  EXPECT_THAT(after(changes, {bytes(kLaterBegin), bytes(kInsert), bytes(kLaterCommit)}), ElementsAre("1"));
}

TEST(PostgresChangesTest, ALargeTransactionStaysWithinItsBytes) {
  auto changes = watching({.keys_max = 1'000'000, .bytes_max = 1000});
  ASSERT_TRUE(changes.take(bytes(kBegin)));
  ASSERT_TRUE(changes.take(bytes(kRelation)));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(changes.take(bytes(i % 2 == 0 ? kInsert : kUpdateOtherKey)));
    EXPECT_LE(changes.partial_bytes(), 1000u);
  }
  EXPECT_THAT(after(changes, {bytes(kCommit)}), ElementsAre("*"));
}

TEST(PostgresChangesTest, TruncateIsTheFeature) {
  auto changes = watching();
  EXPECT_THAT(
      after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert), bytes(kTruncate), bytes(kCommit)}),
      ElementsAre("*"));
}

TEST(PostgresChangesTest, OtherTablesAreNotWatched) {
  PostgresChanges changes({PostgresTable{1, "other", {{"f", {"id"}}}, {true}}}, {}, 0x300);
  EXPECT_THAT(
      after(changes, {bytes(kBegin), bytes(kRelation), bytes(kInsert), bytes(kTruncate), bytes(kCommit)}),
      IsEmpty());
}

TEST(PostgresChangesTest, AStreamThatContradictsItselfIsRefused) {
  const auto refused = [](std::vector<const char*> messages) {
    auto changes = watching();
    for (std::size_t i = 0; i + 1 < messages.size(); ++i) EXPECT_TRUE(changes.take(bytes(messages[i])));
    return !changes.take(bytes(messages.back()));
  };
  EXPECT_TRUE(refused({kBegin, kBegin}));
  EXPECT_TRUE(refused({kCommit}));
  EXPECT_TRUE(refused({kInsert}));
  EXPECT_TRUE(refused({kBegin, kInsert}));                             // its table was not described
  EXPECT_TRUE(refused({kLaterBegin, kLaterCommit, kBegin, kCommit}));  // commits go back
}

}  // namespace
}  // namespace candor
