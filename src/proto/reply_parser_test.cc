#include "proto/reply_parser.h"

#include <gtest/gtest.h>

#include <limits>

#include "proto/reply_writer.h"

namespace candor::resp {
namespace {

using Type = RespValue::Type;

std::vector<RespValue> parse(ReplyParser& parser, std::string_view bytes, std::size_t piece) {
  std::vector<RespValue> values;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    RespValue value;
    while (parser.next(&part, &value) == ReplyParser::Status::kValue) values.push_back(std::move(value));
    if (!parser.error().empty()) break;
  }
  return values;
}

// The values that come out, written as RESP3; the same for every size of the pieces.
std::string echo(const std::string& bytes, ReplyLimits limits = {}) {
  std::string first;
  for (std::size_t piece = bytes.size(); piece >= 1; --piece) {
    ReplyParser parser(limits);
    std::string out;
    for (const auto& value : parse(parser, bytes, piece)) write_value(out, value);
    if (!parser.error().empty()) out += "error";
    if (piece == bytes.size()) first = out;
    EXPECT_EQ(out, first) << "pieces of " << piece;
  }
  return first;
}

RespValue one(const std::string& bytes) {
  ReplyParser parser;
  auto values = parse(parser, bytes, bytes.size());
  EXPECT_EQ(values.size(), 1U) << bytes << parser.error();
  return values.empty() ? RespValue{} : values[0];
}

TEST(ReplyParserTest, EveryTypeComesBackAsWritten) {
  for (const char* bytes :
       {"+OK\r\n", "-ERR no\r\n", ":-12\r\n", "$3\r\na\r\n\r\n", "$0\r\n\r\n", "_\r\n", "#t\r\n", "#f\r\n",
        ",1.5\r\n", ",inf\r\n", ",-inf\r\n", "(123456789012345678901234567890\r\n", "=6\r\ntxt:hi\r\n",
        "*0\r\n", "*2\r\n:1\r\n*1\r\n+a\r\n", "%1\r\n+k\r\n$1\r\nv\r\n", "~2\r\n:1\r\n:2\r\n",
        ">2\r\n$7\r\nmessage\r\n_\r\n", "%0\r\n"}) {
    EXPECT_EQ(echo(bytes), bytes);
  }
}

TEST(ReplyParserTest, Resp2NullsAreNull) {
  EXPECT_TRUE(one("$-1\r\n").is_null());
  EXPECT_TRUE(one("*-1\r\n").is_null());
}

TEST(ReplyParserTest, BulkErrorIsAnError) {
  const auto value = one("!8\r\nERR a\r\nb\r\n");
  EXPECT_TRUE(value.is_error());
  EXPECT_EQ(value.text, "ERR a\r\nb");
}

TEST(ReplyParserTest, AttributesAreReadAndDropped) {
  EXPECT_EQ(echo("|1\r\n+ttl\r\n:3600\r\n+OK\r\n"), "+OK\r\n");
  EXPECT_EQ(echo("*2\r\n|1\r\n+x\r\n*1\r\n:1\r\n:7\r\n:8\r\n"), "*2\r\n:7\r\n:8\r\n");
}

TEST(ReplyParserTest, MapsAreSearchedInBothProtocols) {
  EXPECT_EQ(one("%2\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n").find("b")->integer, 2);
  EXPECT_EQ(one("*4\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n").find("b")->integer, 2);
  EXPECT_EQ(one("*0\r\n").find("b"), nullptr);
}

TEST(ReplyParserTest, PipelinedRepliesComeOutInOrder) {
  EXPECT_EQ(echo("+a\r\n:1\r\n*1\r\n$1\r\nx\r\n+b\r\n"), "+a\r\n:1\r\n*1\r\n$1\r\nx\r\n+b\r\n");
}

TEST(ReplyParserTest, MalformedRepliesAreErrors) {
  for (const char* bytes : {"x\r\n",         "\r\n",
                            "+a\n",          ":\r\n",
                            ":1a\r\n",       ":9223372036854775808\r\n",
                            "$-2\r\n",       "$x\r\n",
                            "$1\r\nabc",     "*-2\r\n",
                            "*x\r\n",        "%-1\r\n",
                            "#x\r\n",        "_x\r\n",
                            ",x\r\n",        ",\r\n",
                            "(1a\r\n",       "(\r\n",
                            "=3\r\nabc\r\n", "=5\r\nabcde\r\n",
                            "$?\r\n",        "*?\r\n",
                            "+a\rb\r\n",     "$99999999999\r\n",
                            "*1048577\r\n"}) {
    EXPECT_EQ(echo(bytes), "error") << bytes;
  }
}

TEST(ReplyParserTest, DepthIsLimited) {
  std::string deep;
  for (int i = 0; i < 16; ++i) deep += "*1\r\n";
  EXPECT_EQ(echo(deep + ":1\r\n"), deep + ":1\r\n");
  EXPECT_EQ(echo("*1\r\n" + deep + ":1\r\n"), "error");
}

TEST(ReplyParserTest, NestedListsShareOneLimitOfElements) {
  ReplyLimits limits;
  limits.items_max = 6;
  EXPECT_EQ(echo("*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:1\r\n:2\r\n", limits),
            "*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:1\r\n:2\r\n");
  EXPECT_EQ(echo("*2\r\n*2\r\n:1\r\n:2\r\n*3\r\n:1\r\n:2\r\n:3\r\n", limits), "error");
}

TEST(ReplyParserTest, TextOfOneReplyIsLimitedAndTheNextStartsAfresh) {
  ReplyLimits limits;
  limits.reply_bytes_max = 6;
  EXPECT_EQ(echo("*2\r\n$3\r\nabc\r\n$3\r\nabc\r\n$5\r\nabcde\r\n", limits),
            "*2\r\n$3\r\nabc\r\n$3\r\nabc\r\n$5\r\nabcde\r\n");
  EXPECT_EQ(echo("*2\r\n$3\r\nabc\r\n$4\r\nabcd\r\n", limits), "error");
}

TEST(ReplyParserTest, EndlessLineIsCut) {
  ReplyLimits limits;
  limits.line_bytes_max = 50;
  EXPECT_EQ(echo("+" + std::string(60, 'x'), limits), "error");
}

TEST(ReplyParserTest, ResetForgetsHalfAReplyAndTheError) {
  ReplyParser parser;
  EXPECT_TRUE(parse(parser, "*2\r\n$3\r\na", 100).empty());
  parser.reset();
  EXPECT_EQ(parse(parser, "+OK\r\n", 100).size(), 1U);
  EXPECT_TRUE(parse(parser, "?", 1).empty());
  EXPECT_TRUE(parse(parser, "\r\n", 2).empty());
  EXPECT_FALSE(parser.error().empty());
  parser.reset();
  EXPECT_EQ(parse(parser, "+OK\r\n", 100).size(), 1U);
}

}  // namespace
}  // namespace candor::resp
