#include "app/terminal_text.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

using namespace std::string_view_literals;

TEST(PrintableTest, LettersStayAsTheyAre) { EXPECT_EQ(printable("user:42 ü 日本 €"), "user:42 ü 日本 €"); }

TEST(PrintableTest, NothingCanDriveTheTerminal) {
  EXPECT_EQ(printable("\x1b[2J\x07\r\n\0"sv), "\\x1b[2J\\x07\\x0d\\x0a\\x00");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\u{9b}2J");  // the C1 form of the same
  EXPECT_EQ(printable("\x7f"), "\\x7f");
}

TEST(PrintableTest, WhatTurnsOrHidesTextIsShown) {
  EXPECT_EQ(printable("a\u202e"
                      "b"),
            "a\\u{202e}b");
  EXPECT_EQ(printable("\u200b"), "\\u{200b}");
  EXPECT_EQ(printable("\ufeff"), "\\u{feff}");
}

TEST(PrintableTest, BytesThatAreNoTextAreToldOneByOne) {
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("a\\b"), "a\\\\b");
}

TEST(PrintableTest, FitsAndCutsNoEscape) {
  EXPECT_EQ(printable_within("abc", 3), "abc");
  EXPECT_EQ(printable_within("abcd", 3), "ab~");
  EXPECT_EQ(printable_within("ab\x01zzzz", 6), "ab~");
  EXPECT_EQ(printable_within("ab\x01zzzz", 7), "ab\\x01~");
  EXPECT_EQ(printable_within("日本語日本語", 4), "日本語~");
  EXPECT_EQ(printable_within("", 3), "");
}

TEST(ShortNumberTest, KeepsThreeDigits) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.5), "0.5");
  EXPECT_EQ(short_number(850), "850");
  EXPECT_EQ(short_number(12'340), "12.3k");
  EXPECT_EQ(short_number(4'560'000), "4.56M");
  EXPECT_EQ(short_millis(0.42), "0.42 ms");
  EXPECT_EQ(short_millis(180'000), "3 min");
}

}  // namespace
}  // namespace candor::app
