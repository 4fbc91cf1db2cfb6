// CANDOR.BUDGET: the API's report as RESP, for whoever may touch the feature.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/budget_desk.h"
#include "server/password.h"
#include "server/reply_json.h"
#include "server/testing_server.h"

namespace candor::server {
namespace {

using nlohmann::json;

struct FixedBudgets final : BudgetDesk {
  json answer;
  [[nodiscard]] json budgets(std::string_view) const override { return answer; }
};

class BudgetCommandTest : public testing::ServerTest {
 protected:
  BudgetCommandTest() {
    desk.answer = {
        {"at_ms", 7},
        {"features", {{{"feature", "row"}, {"state", "ok"}}, {{"feature", "view"}, {"state", "page"}}}},
        {"levers", {{{"feature", "view"}, {"lever", "ttl"}}}},
        {"pulled", {{{"feature", "view"}, {"value", 0.5}}}}};
    context.budgets = &desk;
  }
  FixedBudgets desk;
};

TEST_F(BudgetCommandTest, AnswersEveryBudgetWithWhatLeversDid) {
  EXPECT_EQ(exchange("CANDOR.BUDGET\r\n"),
            "*8\r\n$5\r\nat_ms\r\n:7\r\n"
            "$8\r\nfeatures\r\n*2\r\n*4\r\n$7\r\nfeature\r\n$3\r\nrow\r\n$5\r\nstate\r\n$2\r\nok\r\n"
            "*4\r\n$7\r\nfeature\r\n$4\r\nview\r\n$5\r\nstate\r\n$4\r\npage\r\n"
            "$6\r\nlevers\r\n*1\r\n*4\r\n$7\r\nfeature\r\n$4\r\nview\r\n$5\r\nlever\r\n$3\r\nttl\r\n"
            "$6\r\npulled\r\n*1\r\n*4\r\n$7\r\nfeature\r\n$4\r\nview\r\n$5\r\nvalue\r\n$3\r\n0.5\r\n");
}

TEST_F(BudgetCommandTest, OneFeatureIsAMapOfItsOwn) {
  auto& client = connect();
  client.send("HELLO 3\r\n");
  EXPECT_EQ(client.send("CANDOR.BUDGET view\r\n"),
            "%5\r\n$5\r\nat_ms\r\n:7\r\n$7\r\nfeature\r\n$4\r\nview\r\n"
            "$6\r\nlevers\r\n*1\r\n%2\r\n$7\r\nfeature\r\n$4\r\nview\r\n$5\r\nlever\r\n$3\r\nttl\r\n"
            "$6\r\npulled\r\n*1\r\n%2\r\n$7\r\nfeature\r\n$4\r\nview\r\n$5\r\nvalue\r\n,0.5\r\n"
            "$5\r\nstate\r\n$4\r\npage\r\n");
}

TEST_F(BudgetCommandTest, OnlyTheNewestActionsAreShown) {
  for (int i = 0; i < 100; ++i) desk.answer["levers"].push_back({{"feature", "row"}, {"number", i}});
  const std::string out = exchange("CANDOR.BUDGET row\r\n");
  EXPECT_NE(out.find("$6\r\nlevers\r\n*20\r\n"), std::string::npos) << out;
  EXPECT_NE(out.find(":0\r\n"), std::string::npos) << "the report has the newest first";
}

TEST_F(BudgetCommandTest, WithoutABudgetItIsAnErrorThatSaysWhatToDo) {
  EXPECT_TRUE(exchange("CANDOR.BUDGET nobody\r\n").starts_with("-NOFEATURE "));
  EXPECT_TRUE(exchange("CANDOR.BUDGET cache\r\n").starts_with("-NOFEATURE "));
  EXPECT_TRUE(exchange("CANDOR.BUDGET row view\r\n").starts_with("-ERR syntax"));
}

TEST_F(BudgetCommandTest, AUserSeesOnlyFeaturesThatItMayTouch) {
  const std::string salt(kSaltBytes, 's');
  context.users = {UserSpec{"guest", *hash_password("secret", salt, 16), {"read"}, {"row"}}};
  auto& client = connect();
  client.send("AUTH guest secret\r\n");
  const std::string all = client.send("CANDOR.BUDGET\r\n");
  EXPECT_NE(all.find("\r\nrow\r\n"), std::string::npos) << all;
  EXPECT_EQ(all.find("view"), std::string::npos) << all;
  EXPECT_TRUE(client.send("CANDOR.BUDGET view\r\n").starts_with("-NOFEATURE "));
}

TEST_F(BudgetCommandTest, ANodeWithoutBudgetsHasNone) {
  context.budgets = nullptr;
  EXPECT_EQ(
      exchange("CANDOR.BUDGET\r\n"),
      "*8\r\n$5\r\nat_ms\r\n:0\r\n$8\r\nfeatures\r\n*0\r\n$6\r\nlevers\r\n*0\r\n$6\r\npulled\r\n*0\r\n");
}

TEST(ReplyJsonTest, EveryKindHasItsForm) {
  const json value = {{"a", nullptr}, {"b", true}, {"c", -3}, {"d", 1.5}, {"e", "x"}};
  std::string two, three;
  write_json(two, value, resp::Protocol::kResp2);
  write_json(three, value, resp::Protocol::kResp3);
  EXPECT_EQ(
      two,
      "*10\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n:1\r\n$1\r\nc\r\n:-3\r\n$1\r\nd\r\n$3\r\n1.5\r\n$1\r\ne\r\n$1\r\n"
      "x\r\n");
  EXPECT_EQ(
      three,
      "%5\r\n$1\r\na\r\n_\r\n$1\r\nb\r\n#t\r\n$1\r\nc\r\n:-3\r\n$1\r\nd\r\n,1.5\r\n$1\r\ne\r\n$1\r\nx\r\n");
}

}  // namespace
}  // namespace candor::server
