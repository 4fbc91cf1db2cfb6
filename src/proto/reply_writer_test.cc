#include "proto/reply_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "proto/command_writer.h"

namespace candor::resp {
namespace {

template <class... Args>
std::string written(void (*write)(std::string&, Args...), std::type_identity_t<Args>... args) {
  std::string out;
  write(out, args...);
  return out;
}

TEST(ReplyWriterTest, LinesCannotBeBrokenByTheirText) {
  EXPECT_EQ(written(write_error, "ERR unknown 'a\r\n+OK'"), "-ERR unknown 'a  +OK'\r\n");
  EXPECT_EQ(written(write_simple, "a\nb"), "+a b\r\n");
}

TEST(ReplyWriterTest, BulksOfEveryHeaderWidth) {
  for (const std::size_t size : {0U, 1U, 9U, 10U, 99U, 100U, 12345U}) {
    const std::string value(size, 'v');
    EXPECT_EQ(written(write_bulk, value), "$" + std::to_string(size) + "\r\n" + value + "\r\n");
  }
}

TEST(ReplyWriterTest, Integers) {
  EXPECT_EQ(written(write_integer, INT64_MIN), ":-9223372036854775808\r\n");
  EXPECT_EQ(written(write_integer, 0), ":0\r\n");
}

TEST(ReplyWriterTest, Resp2FormsOfResp3Types) {
  EXPECT_EQ(written(write_null, Protocol::kResp2), "$-1\r\n");
  EXPECT_EQ(written(write_null_array, Protocol::kResp2), "*-1\r\n");
  EXPECT_EQ(written(write_map, 3, Protocol::kResp2), "*6\r\n");
  EXPECT_EQ(written(write_set, 3, Protocol::kResp2), "*3\r\n");
  EXPECT_EQ(written(write_push, 3, Protocol::kResp2), "*3\r\n");
  EXPECT_EQ(written(write_double, 0.5, Protocol::kResp2), "$3\r\n0.5\r\n");
  EXPECT_EQ(written(write_boolean, true, Protocol::kResp2), ":1\r\n");
  EXPECT_EQ(written(write_verbatim, "txt", "hi", Protocol::kResp2), "$2\r\nhi\r\n");
}

TEST(ReplyWriterTest, Resp3Forms) {
  EXPECT_EQ(written(write_null, Protocol::kResp3), "_\r\n");
  EXPECT_EQ(written(write_map, 3, Protocol::kResp3), "%3\r\n");
  EXPECT_EQ(written(write_set, 3, Protocol::kResp3), "~3\r\n");
  EXPECT_EQ(written(write_push, 3, Protocol::kResp3), ">3\r\n");
  EXPECT_EQ(written(write_double, 0.5, Protocol::kResp3), ",0.5\r\n");
  EXPECT_EQ(written(write_boolean, false, Protocol::kResp3), "#f\r\n");
  EXPECT_EQ(written(write_verbatim, "txt", "hi", Protocol::kResp3), "=6\r\ntxt:hi\r\n");
}

TEST(ReplyWriterTest, DoublesReadBackAsThemselves) {
  EXPECT_EQ(format_double(0.1), "0.1");
  EXPECT_EQ(format_double(1e300), "1e+300");
  EXPECT_EQ(format_double(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(format_double(std::nan("")), "nan");
}

TEST(CommandWriterTest, CommandIsAnArrayOfBulks) {
  std::string out;
  write_command(out, {"SET", "k", ""});
  EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
}

}  // namespace
}  // namespace candor::resp
