#include "sim/jepsen_log.h"

#include <gtest/gtest.h>

namespace candor::sim {
namespace {

using Kind = RegisterOperation::Kind;

TEST(JepsenLogTest, ReadsInvocationsAndAnswersByProcess) {
  const auto history = parse_jepsen_log(
      "INFO  jepsen.util - 0\t:invoke\t:write\t3\n"
      "INFO  jepsen.util - 1\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 1\t:ok\t:read\tnil\n"
      "INFO  jepsen.util - 0\t:ok\t:write\t3\n"
      "INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]\n"
      "INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]\n");
  ASSERT_TRUE(history.has_value());
  ASSERT_EQ(history->size(), 3U);
  EXPECT_EQ((*history)[0].kind, Kind::kWrite);
  EXPECT_EQ((*history)[0].value, 4U);
  EXPECT_EQ((*history)[0].responded, 4);
  EXPECT_EQ((*history)[1].value, kAbsent);
  EXPECT_EQ((*history)[2].expected, 4U);
  EXPECT_FALSE((*history)[2].applied);
}

TEST(JepsenLogTest, TimeoutsOfWritesStayOpenAndThoseOfReadsLeave) {
  const auto history = parse_jepsen_log(
      "INFO  jepsen.util - 0\t:invoke\t:write\t3\n"
      "INFO  jepsen.util - 0\t:info\t:write\t:timed-out\n"
      "INFO  jepsen.util - 1\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 1\t:fail\t:read\t:timed-out\n");
  ASSERT_TRUE(history.has_value());
  ASSERT_EQ(history->size(), 1U);
  EXPECT_EQ((*history)[0].responded, kNever);
}

TEST(JepsenLogTest, ReadsFieldsBetweenBlanksAsWellAsTabs) {
  const auto history = parse_jepsen_log("INFO  jepsen.util - 4   :invoke :cas    [1 2]\n");
  ASSERT_TRUE(history.has_value());
  ASSERT_EQ(history->size(), 1U);
  EXPECT_EQ((*history)[0].expected, 2U);
  EXPECT_EQ((*history)[0].value, 3U);
}

TEST(JepsenLogTest, NamesTheLineThatItCannotRead) {
  const auto history = parse_jepsen_log("INFO  jepsen.util - 0\t:invoke\t:append\t3\n");
  ASSERT_FALSE(history.has_value());
  EXPECT_NE(history.error().message.find("line 1"), std::string::npos);
}

}  // namespace
}  // namespace candor::sim
