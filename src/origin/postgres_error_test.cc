#include "origin/postgres_error.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

TEST(PostgresError, ClassesMeanWhatTheyShould) {
  struct Case {
    const char* sqlstate;
    ErrorCode code;
    bool retry_load;
    bool unknown_write;
  };
  for (const auto& c :
       {Case{"", ErrorCode::kOriginDown, true, true}, Case{"08006", ErrorCode::kOriginDown, true, true},
        Case{"57P01", ErrorCode::kOriginDown, true, true}, Case{"40001", ErrorCode::kOriginDown, true, false},
        Case{"40P01", ErrorCode::kOriginDown, true, false}, Case{"57014", ErrorCode::kTimeout, false, false},
        Case{"55P03", ErrorCode::kTimeout, false, false}, Case{"53300", ErrorCode::kOverloaded, false, false},
        Case{"53100", ErrorCode::kOriginDown, false, false},
        Case{"22P02", ErrorCode::kRejected, false, false}, Case{"23505", ErrorCode::kRejected, false, false},
        Case{"42P01", ErrorCode::kRejected, false, false}, Case{"42501", ErrorCode::kRejected, false, false},
        Case{"25006", ErrorCode::kReadOnly, false, false},
        Case{"28P01", ErrorCode::kOriginDown, false, false}}) {
    const auto failure = classify_sqlstate(c.sqlstate);
    EXPECT_EQ(failure.code, c.code) << c.sqlstate;
    EXPECT_EQ(failure.retry_load, c.retry_load) << c.sqlstate;
    EXPECT_EQ(failure.unknown_write, c.unknown_write) << c.sqlstate;
  }
}

TEST(PostgresError, AStalePlanIsMadeAgain) {
  EXPECT_TRUE(classify_sqlstate("26000").stale_plan);
  EXPECT_TRUE(classify_sqlstate("0A000").stale_plan);
  EXPECT_FALSE(classify_sqlstate("42601").stale_plan);
}

}  // namespace
}  // namespace candor
