#include "sim/history.h"

#include <gtest/gtest.h>

namespace candor::sim {
namespace {

History one_of_each() {
  History h;
  h.operations.push_back({.session = 3,
                          .node = h.nodes.number("n1"),
                          .key = h.keys.number("f:\"quoted\"\n"),
                          .level = Level::kBounded,
                          .tier = Tier::kL2,
                          .degraded = true,
                          .invoked = 5,
                          .responded = 9,
                          .version = 7,
                          .bound_ns = 100,
                          .fresh_within_ns = 0});
  h.operations.push_back(
      {.session = 3, .kind = OperationKind::kWrite, .outcome = Outcome::kUnknown, .version = 8});
  h.operations.push_back({.session = 3, .kind = OperationKind::kAdopt, .responded = 4, .token = 12});
  h.commits.push_back({0, 7, 4, true});
  h.loads.push_back({0, 0, 77, 1, 2});
  h.leases.push_back({0, 77, 1, 2});
  h.holdings.push_back({0, 0, Tier::kL1, 7});
  h.quiet_from = 50;
  return h;
}

TEST(HistoryTest, JsonLinesReadBackAsTheyWereWritten) {
  const std::string text = to_json_lines(one_of_each());
  const auto read = parse_json_lines(text);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(to_json_lines(*read), text);
  EXPECT_EQ(read->operations[0].version, 7U);
  EXPECT_EQ(read->operations[0].fresh_within_ns, 0);
  EXPECT_EQ(read->operations[1].responded, kNever);
  EXPECT_EQ(read->operations[1].fresh_within_ns, -1);
  EXPECT_EQ(read->keys.name(0), "f:\"quoted\"\n");
  EXPECT_EQ(read->quiet_from, 50);
}

TEST(HistoryTest, ErrorsNameTheLineAndTheField) {
  const auto field =
      parse_json_lines("{\"is\":\"quiet\",\"from\":1}\n{\"is\":\"commit\",\"visible\":\"x\"}\n");
  ASSERT_FALSE(field.has_value());
  EXPECT_NE(field.error().message.find("line 2: 'visible'"), std::string::npos);
  EXPECT_FALSE(parse_json_lines("{\"is\":\"sentence\"}").has_value());
  EXPECT_FALSE(parse_json_lines("[1]").has_value());
  EXPECT_FALSE(parse_json_lines("{\"is\":\"operation\",\"level\":\"high\"}").has_value());
}

TEST(HistoryTest, AnOperationReadsAsASentence) {
  const History h = one_of_each();
  const std::string line = describe(h, h.operations[0]);
  EXPECT_NE(line.find("s3@n1  read bounded(0.0001 ms)"), std::string::npos) << line;
  EXPECT_NE(line.find("version 7 from l2"), std::string::npos) << line;
}

}  // namespace
}  // namespace candor::sim
