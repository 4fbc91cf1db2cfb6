#include "app/admin_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "io/clock.h"

namespace candor::app {
namespace {

using testing::HasSubstr;

class AdminTokenTest : public testing::Test {
 protected:
  AdminTokenTest() {
    std::string pattern = testing::TempDir() + "/candor-token-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/admin.token";
  }
  ~AdminTokenTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
  SystemEntropy entropy_;
};

TEST_F(AdminTokenTest, IsMadeOnceForItsOwnerOnlyAndThenStays) {
  const auto made = admin_token(folder_, entropy_);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->size(), 64U);
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(admin_token(folder_, entropy_), *made);
}

TEST_F(AdminTokenTest, FileThatOthersMayReadIsRefusedWithoutTheToken) {
  const std::string token = admin_token(folder_, entropy_).value();
  for (const mode_t mode : {0640U, 0604U, 0660U, 0644U}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    const auto read = admin_token(folder_, entropy_);
    ASSERT_FALSE(read) << mode;
    EXPECT_THAT(read.error().message, HasSubstr("chmod 600 " + path_));
    EXPECT_EQ(read.error().message.find(token), std::string::npos);
  }
  ASSERT_EQ(::chmod(path_.c_str(), 0400), 0);
  EXPECT_EQ(admin_token(folder_, entropy_), token);
}

}  // namespace
}  // namespace candor::app
