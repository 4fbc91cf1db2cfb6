#include "origin/row_json.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(RowJson, ColumnsStandInOrder) {
  RowJson row;
  row.add_raw("n", "12.5000000000000000000001");
  row.add_text("t", "a\"b");
  row.add_bytes("b", std::string_view("\x00\xff", 2));
  EXPECT_EQ(row.take(), R"({"n":12.5000000000000000000001,"t":"a\"b","b":"\\x00ff"})");
}

TEST(RowJson, ARowWithoutColumnsIsAnEmptyObject) { EXPECT_EQ(RowJson().take(), "{}"); }

TEST(RowJson, ControlCharactersAreEscaped) {
  EXPECT_EQ(json_string(std::string_view("\n\t\r\x01\\\0", 6)), R"("\n\t\r\u0001\\\u0000")");
}

TEST(RowJson, BrokenUtf8IsReplaced) {
  EXPECT_EQ(json_string("a\xffz"), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(json_string("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(json_string("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(json_string("\xE2\x82\xAC"), "\"\xE2\x82\xAC\"");
}

TEST(Utf8, SurrogatesAndOverlongFormsAreRefused) {
  EXPECT_TRUE(is_utf8("plain \xF0\x9F\x98\x80"));
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));
  EXPECT_FALSE(is_utf8("\xE0\x80\x80"));
}

}  // namespace
}  // namespace candor
