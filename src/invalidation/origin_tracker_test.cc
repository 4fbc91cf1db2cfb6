#include "invalidation/origin_tracker.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr Incarnation kLife{7};

class OriginTrackerTest : public ::testing::Test {
 protected:
  static OriginProbe probe(std::uint64_t position, std::uint64_t all_up_to, std::uint64_t next) {
    return OriginProbe{kLife, Position{position}, ChangeId{all_up_to}, ChangeId{next}};
  }
  OriginTracker tracker_;
};

TEST_F(OriginTrackerTest, ProvesTheTimeOfTheQuestionOnceTheStreamIsPastTheAnswer) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  const auto settled = tracker_.on_probe(MonoTime{20}, MonoTime{21}, probe(150, 50, 51));
  ASSERT_TRUE(settled.settle_floor);
  EXPECT_EQ(settled.settle_floor->ns, 21);
  EXPECT_FALSE(settled.fresh_as_of);
  EXPECT_FALSE(tracker_.on_applied(kLife, Position{149}, MonoTime{30}).fresh_as_of);
  const auto proven = tracker_.on_applied(kLife, Position{150}, MonoTime{40});
  ASSERT_TRUE(proven.fresh_as_of);
  EXPECT_EQ(proven.fresh_as_of->ns, 20);  // not 40: what was committed in between may not be applied
  EXPECT_EQ(proven.applied_up_to.value, 50u);
}

TEST_F(OriginTrackerTest, QuestionAskedBeforeTheStreamWasWholeProvesNothing) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  EXPECT_FALSE(tracker_.on_probe(MonoTime{9}, MonoTime{10}, probe(50, 50, 51)).settle_floor);
  EXPECT_FALSE(tracker_.is_settled());
}

TEST_F(OriginTrackerTest, FloorWaitsForWhatMayHaveBeenMissedToBeVisible) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  // Transactions 41..49 run, or have committed and are not visible yet: one of them may be what was missed.
  EXPECT_FALSE(tracker_.on_probe(MonoTime{20}, MonoTime{21}, probe(100, 40, 50)).settle_floor);
  EXPECT_FALSE(tracker_.on_probe(MonoTime{30}, MonoTime{31}, probe(100, 48, 60)).settle_floor);
  const auto settled = tracker_.on_probe(MonoTime{40}, MonoTime{41}, probe(100, 49, 70));
  ASSERT_TRUE(settled.settle_floor);
  EXPECT_EQ(settled.settle_floor->ns, 41);
}

TEST_F(OriginTrackerTest, LossTakesTheProofAndTheQuestionsUnderWay) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  (void)tracker_.on_probe(MonoTime{20}, MonoTime{21}, probe(200, 50, 51));
  tracker_.on_loss();
  EXPECT_FALSE(tracker_.on_applied(kLife, Position{300}, MonoTime{30}).fresh_as_of);
  EXPECT_FALSE(tracker_.on_probe(MonoTime{25}, MonoTime{26}, probe(200, 50, 51)).settle_floor);
  EXPECT_TRUE(tracker_.on_probe(MonoTime{31}, MonoTime{32}, probe(200, 50, 51)).settle_floor);
}

TEST_F(OriginTrackerTest, AnotherHistoryIsALoss) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  (void)tracker_.on_probe(MonoTime{20}, MonoTime{21}, probe(100, 50, 51));
  const auto outcome = tracker_.on_applied(Incarnation{8}, Position{3}, MonoTime{30});
  EXPECT_TRUE(outcome.other_history);
  EXPECT_EQ(tracker_.applied().value, 3u);
  EXPECT_FALSE(tracker_.on_probe(MonoTime{40}, MonoTime{41}, probe(1, 50, 51))
                   .settle_floor);  // still speaks of the old one
}

TEST_F(OriginTrackerTest, ProofNeverMovesBack) {
  (void)tracker_.on_applied(kLife, Position{100}, MonoTime{10});
  (void)tracker_.on_probe(MonoTime{40}, MonoTime{41}, probe(90, 50, 51));
  EXPECT_EQ(tracker_.fresh_as_of().ns, 40);
  EXPECT_FALSE(tracker_.on_probe(MonoTime{30}, MonoTime{31}, probe(80, 50, 51)).fresh_as_of);
  EXPECT_EQ(tracker_.fresh_as_of().ns, 40);
}

}  // namespace
}  // namespace candor
