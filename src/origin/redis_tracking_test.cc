#include "origin/redis_tracking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Notes final : RedisInvalidationListener {
  void on_tracked(Incarnation incarnation, Position) override {
    said.emplace_back("tracked");
    incarnations.push_back(incarnation);
  }
  void on_invalidated(const std::string* name, ChangeId id) override {
    said.push_back(name == nullptr ? "all" : *name);
    last = id;
  }
  void on_lost(const std::string&) override { said.emplace_back("lost"); }
  void on_refused(const std::string& error) override { said.push_back("refused " + error); }
  std::vector<std::string> said;
  std::vector<Incarnation> incarnations;
  ChangeId last;
};

resp::RespValue text(std::string word) {
  resp::RespValue value;
  value.type = resp::RespValue::Type::kBulk;
  value.text = std::move(word);
  return value;
}
// Of these names; none: the null invalidation.
resp::RespValue invalidation(const std::vector<std::string>& names) {
  resp::RespValue push, list;
  push.type = resp::RespValue::Type::kPush;
  if (!names.empty()) list.type = resp::RespValue::Type::kArray;
  for (const std::string& name : names) list.items.push_back(text(name));
  push.items = {text("invalidate"), list};
  return push;
}

class RedisTrackingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tracking.listen(&notes);
    tracking.want();
  }
  Notes notes;
  RedisTracking tracking{1};
};

TEST_F(RedisTrackingTest, AStampHoldsWhatCameBeforeTheReply) {
  tracking.on_ready("");
  const Stamp first = tracking.stamp();
  EXPECT_TRUE(first.is_known());
  tracking.on_push(invalidation({"a"}));
  EXPECT_FALSE(first.includes(notes.last));
  EXPECT_TRUE(tracking.stamp().includes(notes.last));
  EXPECT_EQ(tracking.probe().position.value, notes.last.value);
  EXPECT_EQ(tracking.probe().all_up_to, notes.last);
  EXPECT_EQ(tracking.probe().next.value, notes.last.value + 1);
}

TEST_F(RedisTrackingTest, NamesOfOnePushShareItsNumberAndNullIsEveryKey) {
  tracking.on_ready("");
  tracking.on_push(invalidation({"a", "b"}));
  tracking.on_push(invalidation({}));
  EXPECT_THAT(notes.said, ElementsAre("tracked", "a", "b", "all"));
}

TEST_F(RedisTrackingTest, OtherPushesAreNoInvalidations) {
  tracking.on_ready("");
  resp::RespValue push;
  push.type = resp::RespValue::Type::kPush;
  push.items = {text("message"), text("invalidate"), text("x")};
  tracking.on_push(push);
  push.items.clear();
  tracking.on_push(push);
  EXPECT_THAT(notes.said, ElementsAre("tracked"));
}

TEST_F(RedisTrackingTest, NoStampOutlivesItsConnection) {
  tracking.on_ready("");
  for (int i = 0; i < 5; ++i) tracking.on_push(invalidation({"a"}));
  const Stamp old = tracking.stamp();
  tracking.on_lost("gone");
  EXPECT_FALSE(tracking.stamp().is_known());
  tracking.on_ready("");
  tracking.on_push(invalidation({"a"}));
  EXPECT_FALSE(old.includes(notes.last));
  ASSERT_EQ(notes.incarnations.size(), 2U);
  EXPECT_FALSE(notes.incarnations[0] == notes.incarnations[1]);
}

TEST_F(RedisTrackingTest, ARefusalKnowsNothingUntilItIsMended) {
  tracking.on_ready("NOPERM");
  EXPECT_FALSE(tracking.stamp().is_known());
  EXPECT_TRUE(tracking.may_ask());
  tracking.on_accepted();
  EXPECT_TRUE(tracking.stamp().is_known());
  EXPECT_FALSE(tracking.may_ask());
  EXPECT_THAT(notes.said, ElementsAre("refused NOPERM", "tracked"));
}

TEST(RedisTrackingUnaskedTest, WithoutAWatchNothingIsClaimed) {
  RedisTracking tracking{1};
  Notes notes;
  tracking.listen(&notes);
  tracking.on_ready("");
  EXPECT_FALSE(tracking.stamp().is_known());
  EXPECT_FALSE(tracking.may_ask());
  EXPECT_THAT(notes.said, IsEmpty());
  tracking.want();
  EXPECT_TRUE(tracking.may_ask());
  EXPECT_NE(tracking.connection(), 0U);
}

}  // namespace
}  // namespace candor
