#include "cache/unsettled_writes.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

TEST(UnsettledWritesTest, KeyIsUnsettledUntilTheLastOfItsWritesIs) {
  UnsettledWrites writes(10, 1);
  writes.add("f:k", MonoTime{100});
  writes.add("f:k", MonoTime{200});
  EXPECT_TRUE(writes.is_unsettled("f:k", MonoTime{150}));
  EXPECT_FALSE(writes.is_unsettled("f:other", MonoTime{150}));
  EXPECT_FALSE(writes.settle("f:k", MonoTime{100}));
  EXPECT_TRUE(writes.settle("f:k", MonoTime{200}));
  EXPECT_FALSE(writes.is_unsettled("f:k", MonoTime{200}));
}

TEST(UnsettledWritesTest, TooManyKeysMakeEveryKeyUnsettled) {
  UnsettledWrites writes(1, 1);
  writes.add("f:a", MonoTime{100});
  writes.add("f:b", MonoTime{100});
  EXPECT_TRUE(writes.is_unsettled("f:anything", MonoTime{99}));
  EXPECT_FALSE(writes.is_unsettled("f:anything", MonoTime{100}));
}

}  // namespace
}  // namespace candor
