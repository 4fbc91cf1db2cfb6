#include "io/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

namespace candor {
namespace {

using ::testing::HasSubstr;

class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "candor-files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string directory_;
};

TEST_F(FilesTest, what_was_written_is_read_back) {
  const std::string bytes(200'000, '\0');
  ASSERT_TRUE(write_file_atomic(path("a"), bytes));
  EXPECT_EQ(read_file(path("a"), 1'000'000), bytes);
}

TEST_F(FilesTest, writing_replaces_and_leaves_nothing_beside) {
  ASSERT_TRUE(write_file_atomic(path("a"), "one"));
  ASSERT_TRUE(write_file_atomic(path("a"), "two"));
  EXPECT_EQ(read_file(path("a"), 10), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(FilesTest, a_secret_gets_its_mode) {
  ASSERT_TRUE(write_file_atomic(path("token"), "secret", 0600));
  struct stat found{};
  ASSERT_EQ(::stat(path("token").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
}

TEST_F(FilesTest, a_missing_file_is_named_in_the_error) {
  const auto read = read_file(path("none"), 10);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(read.error().message, HasSubstr(path("none")));
}

TEST_F(FilesTest, a_file_over_the_limit_is_refused) {
  ASSERT_TRUE(write_file_atomic(path("a"), "12345"));
  const auto read = read_file(path("a"), 4);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kLimit);
}

TEST_F(FilesTest, a_failed_write_leaves_the_old_file) {
  ASSERT_TRUE(make_directories(path("target")));
  ASSERT_FALSE(write_file_atomic(path("target"), "x")) << "a directory cannot be replaced by a file";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(FilesTest, an_error_names_the_file_that_was_asked_for) {
  const auto written = write_file_atomic(path("no/such/place"), "x");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr(path("no/such/place")));
}

TEST_F(FilesTest, directories_are_made_with_their_parents) {
  ASSERT_TRUE(make_directories(path("a/b/c")));
  ASSERT_TRUE(make_directories(path("a/b/c")));
  EXPECT_TRUE(std::filesystem::is_directory(path("a/b/c")));
}

TEST_F(FilesTest, a_file_in_the_way_of_a_directory_is_an_error) {
  ASSERT_TRUE(write_file_atomic(path("a"), "x"));
  EXPECT_FALSE(make_directories(path("a")));
  EXPECT_FALSE(make_directories(path("a/b")));
}

TEST_F(FilesTest, removing_what_is_not_there_is_fine) { EXPECT_TRUE(remove_file(path("none"))); }

}  // namespace
}  // namespace candor
