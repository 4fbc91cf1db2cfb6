#include "invalidation/publish_ledger.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

PublishLedger::Appended message(std::uint64_t sequence, std::uint64_t position, std::uint64_t id) {
  return {SequenceNumber{sequence}, Position{position}, Position{id == 0 ? 0 : position}, ChangeId{id}};
}

TEST(PublishLedgerTest, ConfirmsWhatIsAppendedToldAndVisible) {
  PublishLedger ledger;
  ledger.on_appended(message(1, 10, 5));
  EXPECT_EQ(ledger.confirmable().value, 0u);
  ledger.on_told(Position{10});
  EXPECT_EQ(ledger.confirmable().value, 0u);
  ledger.on_visible(ChangeId{5});
  EXPECT_EQ(ledger.confirmable().value, 10u);
  EXPECT_EQ(ledger.replay_from().value, 0u);
}

TEST(PublishLedgerTest, InvisibleTransactionHoldsBackThoseBehindIt) {
  PublishLedger ledger;
  ledger.on_told(Position{30});
  ledger.on_appended(message(1, 10, 9));  // committed first, begun last: still invisible
  ledger.on_appended(message(2, 20, 5));
  ledger.on_visible(ChangeId{8});
  EXPECT_EQ(ledger.confirmable().value, 0u);
  EXPECT_EQ(ledger.replay_from().value, 1u);
  ledger.on_visible(ChangeId{9});
  EXPECT_EQ(ledger.confirmable().value, 20u);
}

TEST(PublishLedgerTest, UntoldMessageIsReplayedAlthoughItIsVisible) {
  PublishLedger ledger;
  ledger.on_visible(ChangeId{100});
  ledger.on_told(Position{19});
  ledger.on_appended(message(1, 10, 5));
  ledger.on_appended(message(2, 20, 6));
  EXPECT_EQ(ledger.confirmable().value, 10u);
  EXPECT_EQ(ledger.replay_from().value, 2u);
}

TEST(PublishLedgerTest, HeartbeatsMoveThePosition) {
  PublishLedger ledger;
  ledger.on_appended(message(1, 10, 0));
  EXPECT_EQ(ledger.confirmable().value, 10u);
}

TEST(PublishLedgerTest, MessageInTheMiddleOfATransactionConfirmsNothing) {
  PublishLedger ledger;
  ledger.on_visible(ChangeId{9});
  ledger.on_told(Position{20});
  ledger.on_appended(message(1, 10, 5));
  ledger.on_appended({SequenceNumber{2}, Position{10}, Position{20}, ChangeId{7}});
  EXPECT_EQ(ledger.confirmable().value, 10u);
  ledger.on_appended({SequenceNumber{3}, Position{20}, Position{20}, ChangeId{7}});
  EXPECT_EQ(ledger.confirmable().value, 20u);
}

TEST(PublishLedgerTest, JoinsNeighboursAtTheLimitAndStaysConservative) {
  PublishLedger ledger;
  ledger.on_told(Position{1'000'000});
  for (std::uint64_t n = 1; n <= 2 * PublishLedger::kEntriesMax; ++n) ledger.on_appended(message(n, n, n));
  EXPECT_LE(ledger.size(), PublishLedger::kEntriesMax);
  ledger.on_visible(ChangeId{PublishLedger::kEntriesMax});
  EXPECT_LE(ledger.confirmable().value, PublishLedger::kEntriesMax);
  EXPECT_GT(ledger.confirmable().value, PublishLedger::kEntriesMax - 10);
  EXPECT_LE(ledger.replay_from().value, PublishLedger::kEntriesMax + 1);
  ledger.on_visible(ChangeId{2 * PublishLedger::kEntriesMax});
  EXPECT_EQ(ledger.confirmable().value, 2 * PublishLedger::kEntriesMax);
}

TEST(PublishLedgerTest, ConfirmedPositionStaysWhenL2Forgets) {
  PublishLedger ledger;
  ledger.on_visible(ChangeId{9});
  ledger.on_told(Position{10});
  ledger.on_appended(message(1, 10, 5));
  ledger.on_told(Position{4});
  EXPECT_EQ(ledger.confirmable().value, 10u);
  ledger.on_appended(message(2, 20, 6));
  EXPECT_EQ(ledger.replay_from().value, 2u);
}

}  // namespace
}  // namespace candor
