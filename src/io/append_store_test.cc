#include "io/append_store.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace candor {
namespace {

class AppendStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::filesystem::path path_;
};

TEST_F(AppendStoreTest, WhatWasAppendedIsReadBackAndASecondOpenGoesOnAtTheEnd) {
  auto store = open_append_store(path_ / "log").value();
  {
    auto file = store->open("a").value();
    ASSERT_TRUE(file->append("one"));
    ASSERT_TRUE(file->sync());
  }
  auto again = store->open("a").value();
  EXPECT_EQ(again->size(), 3u);
  ASSERT_TRUE(again->append("two"));
  EXPECT_EQ(store->read("a", 100).value(), "onetwo");
  ASSERT_TRUE(again->cut_to(4));
  ASSERT_TRUE(again->append("X"));
  EXPECT_EQ(store->read("a", 100).value(), "onetX");
  EXPECT_EQ(store->list().value(), std::vector<std::string>{"a"});
}

TEST_F(AppendStoreTest, ASecondProcessIsRefusedAndTheMessageSaysWhatToDo) {
  auto store = open_append_store(path_ / "log").value();
  const auto second = open_append_store(path_ / "log");
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("data_dir of its own"), std::string::npos);
  store.reset();
  EXPECT_TRUE(open_append_store(path_ / "log"));
}

TEST_F(AppendStoreTest, DirectoriesAreListedAndNoneIsNoError) {
  EXPECT_EQ(list_directories(path_ / "none").value(), std::vector<std::string>{});
  std::filesystem::create_directories(path_ / "b");
  std::filesystem::create_directories(path_ / "a");
  EXPECT_EQ(list_directories(path_).value(), (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace candor
