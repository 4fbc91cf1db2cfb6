#include "invalidation/marker_book.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr MonoTime kNow{1'000'000'000};

MarkerBook::Item item(std::uint64_t position, std::uint64_t id) {
  return {"user:" + std::to_string(id), ChangeId{id}, Position{position}, false};
}

TEST(MarkerBookTest, ChangeIsUntoldUntilL2Answered) {
  MarkerBook book({});
  const auto first = book.begin(item(10, 1));
  const auto second = book.begin(item(20, 2));
  EXPECT_EQ(book.first_untold(), Position{10});
  book.told(*second, kNow);
  EXPECT_EQ(book.first_untold(), Position{10});
  book.told(*first, kNow);
  EXPECT_FALSE(book.first_untold());
  EXPECT_EQ(book.held(), 2u);
}

TEST(MarkerBookTest, OwedIsPaidInTheOrderItCame) {
  MarkerBook book({});
  for (std::uint64_t n = 1; n <= 3; ++n) book.owe(*book.begin(item(n, n)));
  const auto paid = book.take_owed(2);
  ASSERT_EQ(paid.size(), 2u);
  EXPECT_EQ(paid[0].item.name, "user:1");
  EXPECT_EQ(paid[1].item.name, "user:2");
  for (const auto& one : paid) book.told(one.ticket, kNow);
  EXPECT_EQ(book.first_untold(), Position{3});
}

TEST(MarkerBookTest, LateAnswerSettlesWhatIsOwed) {
  MarkerBook book({});
  const auto ticket = book.begin(item(1, 1));
  book.owe(*ticket);
  book.told(*ticket, kNow);
  EXPECT_FALSE(book.first_untold());
  EXPECT_TRUE(book.take_owed(10).empty());
}

TEST(MarkerBookTest, FailedPaymentIsOwedAgainOnce) {
  MarkerBook book({});
  book.owe(*book.begin(item(1, 1)));
  const auto ticket = book.take_owed(10).at(0).ticket;
  book.owe(ticket);
  book.owe(ticket);
  EXPECT_EQ(book.take_owed(10).size(), 1u);
  EXPECT_TRUE(book.take_owed(10).empty());
}

TEST(MarkerBookTest, FullBookRefuses) {
  MarkerBook::Options options;
  options.untold_max = 1;
  MarkerBook book(options);
  EXPECT_TRUE(book.begin(item(1, 1)));
  EXPECT_FALSE(book.begin(item(2, 2)));
}

TEST(MarkerBookTest, InvisibleMarkerIsRenewedAtHalfItsTime) {
  MarkerBook book({});
  book.told(*book.begin(item(1, 7)), kNow);
  EXPECT_TRUE(book.on_visible(ChangeId{6}, kNow + 4min, 10).empty());
  const auto renewed = book.on_visible(ChangeId{6}, kNow + 5min, 10);
  ASSERT_EQ(renewed.size(), 1u);
  EXPECT_EQ(renewed[0].hold, 10min);
  EXPECT_TRUE(book.on_visible(ChangeId{6}, kNow + 6min, 10).empty());
  EXPECT_EQ(book.on_visible(ChangeId{6}, kNow + 10min, 10).size(), 1u);
}

TEST(MarkerBookTest, VisibleMarkerIsShortenedToOneLeaseAndForgottenAfterIt) {
  MarkerBook book({});
  book.told(*book.begin(item(1, 7)), kNow);
  const auto shortened = book.on_visible(ChangeId{7}, kNow, 10);
  ASSERT_EQ(shortened.size(), 1u);
  EXPECT_EQ(shortened[0].hold, 3s);
  EXPECT_TRUE(book.on_visible(ChangeId{7}, kNow + 1s, 10).empty());
  EXPECT_EQ(book.held(), 1u);
  (void)book.on_visible(ChangeId{7}, kNow + 4s, 10);
  EXPECT_EQ(book.held(), 1u) << "L2 has not counted it: it may have to be told again";
  book.counted();
  (void)book.on_visible(ChangeId{7}, kNow + 5s, 10);
  EXPECT_EQ(book.held(), 0u);
}

TEST(MarkerBookTest, WhatL2HasNotCountedIsOwedAgainAfterAReconnect) {
  MarkerBook book({});
  book.told(*book.begin(item(1, 7)), kNow);
  book.counted();
  book.told(*book.begin(item(2, 8)), kNow);
  book.tell_uncounted_again();
  EXPECT_EQ(book.held(), 1u);
  const auto owed = book.take_owed(10);
  ASSERT_EQ(owed.size(), 1u);
  EXPECT_EQ(owed[0].item.change, ChangeId{8});
}

TEST(MarkerBookTest, WhatL2ForgotIsOwedAgain) {
  MarkerBook book({});
  book.told(*book.begin(item(1, 7)), kNow);
  book.told(*book.begin(item(2, 8)), kNow);
  (void)book.on_visible(ChangeId{7}, kNow, 10);  // shortened, but leases from before may still live
  book.tell_again();
  EXPECT_EQ(book.first_untold(), Position{1});
  EXPECT_EQ(book.take_owed(10).size(), 2u);
}

TEST(MarkerBookTest, MarkerThatCannotBeHeldIsRemembered) {
  MarkerBook::Options options;
  options.held_max = 1;
  MarkerBook book(options);
  book.told(*book.begin(item(1, 7)), kNow);
  book.told(*book.begin(item(2, 8)), kNow + 1s);
  ASSERT_TRUE(book.unheld());
  EXPECT_EQ(book.unheld()->id, ChangeId{7});
  EXPECT_EQ(book.unheld()->ends, kNow + 10min);
  (void)book.on_visible(ChangeId{7}, kNow + 2s, 10);
  EXPECT_FALSE(book.unheld());
}

}  // namespace
}  // namespace candor
