#include "server/feature_table.h"

#include "server/testing_server.h"

namespace candor::server::testing {
namespace {

using FeatureTableTest = ServerTest;

TEST_F(FeatureTableTest, PrefixUpToTheFirstColonNamesTheFeature) {
  const FeatureTable table(cache, "", 1);
  EXPECT_EQ(table.resolve("row:a:b").feature, cache.find_feature("row"));
  EXPECT_EQ(table.resolve("row:a:b").key, "a:b");
  EXPECT_EQ(table.resolve("row:").key, "");
  for (const char* key : {"", ":", "row", "ro:w", "rows:1", ":row:1", "ROW:1"})
    EXPECT_EQ(table.resolve(key).feature, nullptr) << key;
}

TEST_F(FeatureTableTest, PlainFeatureTakesWholeKeysWithoutAKnownPrefix) {
  const FeatureTable table(cache, "cache", 1);
  EXPECT_EQ(table.resolve("user:1").key, "user:1");
  EXPECT_EQ(table.resolve("user:1").feature, cache.find_feature("cache"));
  EXPECT_EQ(table.resolve("row:1").feature, cache.find_feature("row"));
}

TEST_F(FeatureTableTest, RecentPrefixGivesTheSameAnswers) {
  const FeatureTable table(cache, "cache", 1);
  FeatureTable::Recent recent;
  for (const char* key :
       {"row:1", "row:2", "rows:1", "view:1", "row:1", "x", "view:2", "", "cache:1", "row"}) {
    const auto expected = table.resolve(key);
    const auto got = recent.resolve(table, key);
    EXPECT_EQ(got.feature, expected.feature) << key;
    EXPECT_EQ(got.key, expected.key) << key;
  }
}

}  // namespace
}  // namespace candor::server::testing
