#include "proto/request_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "proto/command_writer.h"

namespace candor::resp {
namespace {

using namespace std::string_literals;

using Requests = std::vector<std::vector<std::string>>;

struct Transcript {
  Requests requests;
  std::string error;
};

// Feeds `bytes` in the pieces that `cuts` name, the way a session does.
Transcript parse(RequestParser& parser, const std::vector<std::string>& pieces) {
  Transcript result;
  for (const auto& piece : pieces) {
    parser.feed(piece);
    while (parser.next() == RequestParser::Status::kRequest) {
      result.requests.emplace_back(parser.args().begin(), parser.args().end());
    }
    if (parser.failed()) break;
    parser.keep_rest();
  }
  result.error = parser.error();
  return result;
}

Transcript parse_whole(const std::string& bytes, RequestLimits limits = {}, bool authenticated = true) {
  RequestParser parser(limits);
  parser.set_authenticated(authenticated);
  return parse(parser, {bytes});
}

std::vector<std::string> single_bytes(const std::string& bytes) {
  std::vector<std::string> pieces;
  for (const char c : bytes) pieces.emplace_back(1, c);
  return pieces;
}

// Every way of cutting gives the same transcript: whole, cut once at every byte, cut in threes, byte by byte.
void expect_transcript(const std::string& bytes, const Requests& requests, const std::string& error = "") {
  std::vector<std::vector<std::string>> ways{{bytes}, single_bytes(bytes)};
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut)
    ways.push_back({bytes.substr(0, cut), bytes.substr(cut)});
  for (std::size_t a = 0; a + 2 < bytes.size(); a += 3) {
    ways.push_back({bytes.substr(0, a), bytes.substr(a, 2), bytes.substr(a + 2)});
  }
  for (const auto& pieces : ways) {
    RequestParser parser;
    const Transcript got = parse(parser, pieces);
    ASSERT_EQ(got.requests, requests) << "first piece: " << testing::PrintToString(pieces[0]);
    ASSERT_EQ(got.error, error) << "first piece: " << testing::PrintToString(pieces[0]);
  }
}

TEST(RequestParserTest, ArrayOfBulksIsARequest) {
  expect_transcript("*2\r\n$3\r\nGET\r\n$5\r\na:b c\r\n", {{"GET", "a:b c"}});
}

TEST(RequestParserTest, PipelinedRequestsComeOutInOrder) {
  expect_transcript(
      "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n",
      {{"PING"}, {"GET", "k"}, {"SET", "k", "vv"}});
}

TEST(RequestParserTest, BulksMayBeEmptyAndHoldAnyByte) {
  expect_transcript("*3\r\n$0\r\n\r\n$4\r\n\r\n\0\xff\r\n$1\r\n$\r\n"s,
                    {{"", std::string("\r\n\0\xff", 4), "$"}});
}

TEST(RequestParserTest, InlineCommandsAreSplitAtSpaces) {
  expect_transcript("PING\r\nGET  a:b \n\tSET k v\r\n", {{"PING"}, {"GET", "a:b"}, {"SET", "k", "v"}});
}

TEST(RequestParserTest, InlineQuotesAndEscapesAreUndone) {
  expect_transcript("SET k \"a b\\n\\x41\\\"\" 'it\\'s \\n' pre\"fix\"\r\n",
                    {{"SET", "k", "a b\nA\"", "it's \\n", "prefix"}});
}

TEST(RequestParserTest, EmptyRequestsAreSkipped) {
  expect_transcript("\r\n*0\r\n*-1\r\n  \r\nPING\r\n\n*1\r\n$4\r\nECHO\r\n", {{"PING"}, {"ECHO"}});
}

TEST(RequestParserTest, InlineAndArrayRequestsMix) {
  expect_transcript("PING\r\n*1\r\n$4\r\nPING\r\nPING x\r\n", {{"PING"}, {"PING"}, {"PING", "x"}});
}

TEST(RequestParserTest, ManyArgumentsSurviveGrowthOfTheKeptBuffer) {
  std::string bytes = "*300\r\n";
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(std::string(static_cast<std::size_t>(i % 40), static_cast<char>('a' + i % 26)));
    bytes += "$" + std::to_string(expected.back().size()) + "\r\n" + expected.back() + "\r\n";
  }
  RequestParser parser;
  EXPECT_EQ(parse(parser, single_bytes(bytes)).requests, Requests{expected});
}

TEST(RequestParserTest, RequestsAfterALongUnfinishedOneAreNotCopied) {
  RequestParser parser;
  const std::string first = "*2\r\n$3\r\nGET\r\n$1";
  const std::string second = "\r\nk\r\n" + std::string(2000, ' ') + "\r\n*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n";
  parser.feed(first);
  EXPECT_EQ(parser.next(), RequestParser::Status::kNeedMore);
  parser.keep_rest();
  parser.feed(second);
  ASSERT_EQ(parser.next(), RequestParser::Status::kRequest);
  ASSERT_EQ(parser.next(), RequestParser::Status::kRequest);
  const std::string_view key = parser.args()[1];
  EXPECT_EQ(key, "abc");
  EXPECT_TRUE(key.data() >= second.data() && key.data() < second.data() + second.size());
}

TEST(RequestParserTest, ViewsOfAllRequestsOfAChunkStayValidUntilItEnds) {
  RequestParser parser;
  parser.feed("*2\r\n$3\r\nGET\r\n$4\r\nke");
  EXPECT_EQ(parser.next(), RequestParser::Status::kNeedMore);
  parser.keep_rest();
  parser.feed("y1\r\nGET \"key 2\"\r\n*2\r\n$3\r\nGET\r\n$4\r\nkey3\r\n");
  std::vector<std::string_view> keys;
  while (parser.next() == RequestParser::Status::kRequest) keys.push_back(parser.args()[1]);
  EXPECT_EQ(keys, (std::vector<std::string_view>{"key1", "key 2", "key3"}));
}

TEST(RequestParserTest, CallerMayStopEarlyAndResume) {
  RequestParser parser;
  const std::string bytes = "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\nc\r\n*1\r\n$1";
  parser.feed(bytes);
  ASSERT_EQ(parser.next(), RequestParser::Status::kRequest);
  parser.keep_rest();
  parser.feed("\r\nd\r\n");  // more arrives while the caller waits
  parser.keep_rest();
  parser.resume();
  std::string names;
  while (parser.next() == RequestParser::Status::kRequest) names += parser.args()[0];
  EXPECT_EQ(names, "bcd");
  parser.keep_rest();
  EXPECT_TRUE(parser.is_idle());
}

// However the bytes are cut, and wherever the caller stops for a while.
TEST(RequestParserTest, StoppingAndResumingAnywhereLosesNothing) {
  std::string bytes;
  Requests expected;
  for (int i = 0; i < 60; ++i) {
    std::vector<std::string> request{"SET", "key" + std::to_string(i),
                                     std::string(static_cast<std::size_t>(i * i % 900), 'v')};
    if (i % 7 == 0) {
      request = {"PING", std::to_string(i)};
      bytes += "PING " + request[1] + "\r\n";
    } else {
      bytes += "*3\r\n";
      for (const std::string& arg : request)
        bytes += "$" + std::to_string(arg.size()) + "\r\n" + arg + "\r\n";
    }
    expected.push_back(std::move(request));
  }
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    RequestParser parser;
    Requests got;
    std::size_t at = 0;
    bool is_stopped = false;
    const auto run = [&] {
      while (!is_stopped && parser.next() == RequestParser::Status::kRequest) {
        got.emplace_back(parser.args().begin(), parser.args().end());
        is_stopped = random.below(4) == 0;
      }
      if (random.below(8) == 0) is_stopped = true;  // as a batch that is answered at the end of a chunk may
    };
    while (at < bytes.size() || is_stopped) {
      if (is_stopped && (at == bytes.size() || random.below(2) == 0)) {
        is_stopped = false;
        parser.resume();
        run();
        parser.keep_rest();
        continue;
      }
      const std::string chunk = bytes.substr(at, 1 + random.below(2000));
      at += chunk.size();
      parser.feed(chunk);
      run();
      parser.keep_rest();
    }
    ASSERT_EQ(parser.error(), "") << "seed " << seed;
    ASSERT_EQ(got, expected) << "seed " << seed;
    EXPECT_TRUE(parser.is_idle());
  }
}

TEST(RequestParserTest, IdleOnlyBetweenRequests) {
  RequestParser parser;
  EXPECT_TRUE(parser.is_idle());
  parser.feed("*1\r\n$4\r\nPI");
  EXPECT_EQ(parser.next(), RequestParser::Status::kNeedMore);
  parser.keep_rest();
  EXPECT_FALSE(parser.is_idle());
  parser.feed("NG\r\n");
  EXPECT_EQ(parser.next(), RequestParser::Status::kRequest);
  EXPECT_EQ(parser.next(), RequestParser::Status::kNeedMore);
  parser.keep_rest();
  EXPECT_TRUE(parser.is_idle());
}

// ---- malformed input: every class, with Redis' words ----

TEST(RequestParserTest, ArrayLengthMustBeANumber) {
  const std::string error = "Protocol error: invalid multibulk length";
  for (const char* bytes :
       {"*x\r\n", "*\r\n", "*1a\r\n", "*+1\r\n", "* 1\r\n", "*01\r\n", "*-\r\n", "*--1\r\n", "*1.0\r\n",
        "*9223372036854775808\r\n", "*1048577\r\n", "*2147483648\r\n", "*1\rx"}) {
    SCOPED_TRACE(bytes);
    expect_transcript(bytes, {}, error);
  }
}

TEST(RequestParserTest, BulkLengthMustBeANumber) {
  const std::string error = "Protocol error: invalid bulk length";
  for (const char* length :
       {"x", "", "-1", "+3", "03", "3 ", "67108865", "99999999999", "9223372036854775808", "-0"}) {
    SCOPED_TRACE(length);
    expect_transcript(std::string("PING\r\n*2\r\n$3\r\nGET\r\n$") + length + "\r\n", {{"PING"}}, error);
  }
}

TEST(RequestParserTest, BulkMustBeginWithADollar) {
  expect_transcript("*1\r\n:1\r\n", {}, "Protocol error: expected '$', got ':'");
}

TEST(RequestParserTest, BulkMustEndWithCrlf) {
  expect_transcript("*1\r\n$4\r\nPINGxx", {}, "Protocol error: expected CRLF after a bulk string");
}

TEST(RequestParserTest, EndlessHeadersAreCut) {
  expect_transcript("*" + std::string(60, '1'), {}, "Protocol error: too big mbulk count string");
  expect_transcript("*1\r\n$" + std::string(60, '1'), {}, "Protocol error: too big bulk count string");
}

TEST(RequestParserTest, UnbalancedQuotesAreRefused) {
  for (const char* line :
       {"GET \"a\r\n", "GET 'a\r\n", "GET \"a\"b\r\n", "GET 'a'b\r\n", "GET \"a\\\"\r\n"}) {
    SCOPED_TRACE(line);
    expect_transcript(line, {}, "Protocol error: unbalanced quotes in request");
  }
}

TEST(RequestParserTest, EndlessInlineLineIsCut) {
  EXPECT_EQ(parse_whole(std::string(65'537, 'a')).error, "Protocol error: too big inline request");
  EXPECT_EQ(parse_whole(std::string(65'536, 'a')).error, "");
}

TEST(RequestParserTest, LimitsAreSmallerBeforeAuthentication) {
  EXPECT_EQ(parse_whole("*11\r\n", {}, false).error, "Protocol error: unauthenticated multibulk length");
  EXPECT_EQ(parse_whole("*10\r\n", {}, false).error, "");
  EXPECT_EQ(parse_whole("*1\r\n$16385\r\n", {}, false).error, "Protocol error: unauthenticated bulk length");
  EXPECT_EQ(parse_whole("*1\r\n$16384\r\n", {}, false).error, "");
  EXPECT_NE(parse_whole("1 2 3 4 5 6 7 8 9 10 11\r\n", {}, false).error, "");
}

TEST(RequestParserTest, WholeRequestIsLimited) {
  RequestLimits limits;
  limits.request_bytes_max = 100;
  EXPECT_EQ(parse_whole("*3\r\n$40\r\n" + std::string(40, 'x') + "\r\n$40\r\n", limits).error, "");
  EXPECT_EQ(parse_whole("*3\r\n$40\r\n" + std::string(40, 'x') + "\r\n$50\r\n", limits).error,
            "Protocol error: request larger than the limit");
}

TEST(RequestParserTest, AnnouncedSizesAllocateNothing) {
  RequestParser parser;
  parser.feed("*1048576\r\n$67108864\r\n");
  EXPECT_EQ(parser.next(), RequestParser::Status::kNeedMore);
  parser.keep_rest();
  EXPECT_LT(parser.kept_bytes(), 1024U);
}

TEST(RequestParserTest, MemoryOfALargeRequestIsGivenBack) {
  RequestParser parser;
  std::string bytes;
  const std::string value(1 << 20, 'v');
  write_command(bytes, {"SET", "k", value});
  EXPECT_EQ(parse(parser, {bytes.substr(0, 100), bytes.substr(100)}).requests.size(), 1U);
  EXPECT_LT(parser.kept_bytes(), 128U << 10);
}

TEST(RequestParserTest, NothingFollowsAnError) {
  RequestParser parser;
  parser.feed("*x\r\n*1\r\n$4\r\nPING\r\n");
  EXPECT_EQ(parser.next(), RequestParser::Status::kError);
  EXPECT_EQ(parser.next(), RequestParser::Status::kError);
}

}  // namespace
}  // namespace candor::resp
