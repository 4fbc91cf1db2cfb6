#include "version/session_token.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace candor {
namespace {

SessionToken token_of(std::string_view origin, std::uint64_t incarnation, std::uint64_t position) {
  SessionToken token;
  EXPECT_TRUE(token.add(origin, Incarnation{incarnation}, Position{position}));
  return token;
}

TEST(SessionTokenTest, TextIsStableAcrossVersionsOfTheProgram) {
  const SessionToken token = token_of("main", 0x0102030405060708, 0xfffffffffffffffe);
  EXPECT_EQ(token.text(), "AQEEbWFpbggHBgUEAwIB_v________8_T_fJ");
  EXPECT_EQ(SessionToken::parse(token.text()).value(), token);
}

TEST(SessionTokenTest, EmptyTokenHasAText) {
  EXPECT_TRUE(SessionToken::parse(SessionToken().text()).value().empty());
}

RC_GTEST_PROP(SessionTokenTest, ReadsBackWhatItWrote, ()) {
  SessionToken token;
  const auto count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i) {
    const auto name = *rc::gen::resize(20, rc::gen::nonEmpty<std::string>());
    (void)token.add(name, Incarnation{*rc::gen::arbitrary<std::uint64_t>()},
                    Position{*rc::gen::arbitrary<std::uint64_t>()});
  }
  const auto parsed = SessionToken::parse(token.text());
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed == token);
}

RC_GTEST_PROP(SessionTokenTest, OneWrongCharacterIsNoticed, ()) {
  const std::string text = token_of("main", 7, 42).text();
  std::string wrong = text;
  const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
  wrong[at] = *rc::gen::arbitrary<char>();
  RC_PRE(wrong != text);
  RC_ASSERT(!SessionToken::parse(wrong).has_value());
}

RC_GTEST_PROP(SessionTokenTest, AnyTextIsRefusedOrIsTheTokensOwn, (const std::string& text)) {
  const auto parsed = SessionToken::parse(text);
  if (parsed) RC_ASSERT(parsed->text() == text);
}

TEST(SessionTokenTest, CutOrPaddedTextsAreRefused) {
  const std::string text = token_of("main", 7, 42).text();
  for (std::size_t length = 0; length < text.size(); ++length)
    EXPECT_FALSE(SessionToken::parse(text.substr(0, length)));
  EXPECT_FALSE(SessionToken::parse(text + "="));
  EXPECT_FALSE(SessionToken::parse(text + "A"));
  EXPECT_FALSE(SessionToken::parse(std::string(SessionToken::kTextBytesMax + 1, 'A')));
}

TEST(SessionTokenTest, LargestTokenIsWithinTheTextLimit) {
  SessionToken token;
  for (std::size_t i = 0; i < SessionToken::kOriginsMax; ++i) {
    std::string name(SessionToken::kOriginNameBytesMax, 'x');
    name[0] = static_cast<char>('!' + i);
    ASSERT_TRUE(token.add(name, Incarnation{1}, Position{i}));
  }
  EXPECT_EQ(token.add("one more", Incarnation{1}, Position{1}).error().code, ErrorCode::kLimit);
  EXPECT_LE(token.text().size(), SessionToken::kTextBytesMax);
  EXPECT_TRUE(SessionToken::parse(token.text()));
}

TEST(SessionTokenTest, MergedTokenAsksForTheFurtherOfBoth) {
  SessionToken token = token_of("main", 7, 42);
  SessionToken other = token_of("main", 7, 50);
  ASSERT_TRUE(other.add("users", Incarnation{3}, Position{1}));
  ASSERT_TRUE(token.merge(other));
  EXPECT_EQ(token, other);
  ASSERT_TRUE(token.merge(token_of("main", 7, 10)));
  EXPECT_EQ(token.find("main")->position, Position{50});
}

TEST(SessionTokenTest, TokensOfTwoHistoriesDoNotMerge) {
  SessionToken token = token_of("main", 7, 42);
  SessionToken other = token_of("auth", 1, 1);
  ASSERT_TRUE(other.add("main", Incarnation{8}, Position{1}));
  EXPECT_EQ(token.merge(other).error().code, ErrorCode::kRejected);
  EXPECT_EQ(token, token_of("main", 7, 42));
}

TEST(SessionTokenTest, NamesOutOfBoundsAreRefused) {
  SessionToken token;
  EXPECT_FALSE(token.add("", Incarnation{1}, Position{1}));
  EXPECT_FALSE(token.add(std::string(65, 'x'), Incarnation{1}, Position{1}));
}

}  // namespace
}  // namespace candor
