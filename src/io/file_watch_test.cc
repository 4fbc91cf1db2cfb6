#include "io/file_watch.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "io/loop.h"

namespace candor {
namespace {

class FileWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "candor-watch-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir = pattern;
    write("a.db");
    watch = loop.watch_files({dir + "/a.db", dir + "/a.db-wal"}, [this] { ++calls; });
    ASSERT_NE(watch, nullptr);
  }
  void TearDown() override {
    watch.reset();
    loop.turn(0s);
    std::filesystem::remove_all(dir);
  }
  void write(const std::string& name) { std::ofstream(dir + "/" + name, std::ios::app) << "x"; }
  [[nodiscard]] bool is_told() {
    const int before = calls;
    for (int i = 0; i < 50 && calls == before; ++i) loop.turn(2ms);
    return calls > before;
  }

  std::string dir;
  Loop loop;
  std::unique_ptr<FileWatch> watch;
  int calls = 0;
};

TEST_F(FileWatchTest, TellsOfWritesAndOfFilesThatComeGoAndAreReplaced) {
  write("a.db");
  EXPECT_TRUE(is_told());
  write("a.db-wal");  // did not exist
  EXPECT_TRUE(is_told());
  std::filesystem::remove(dir + "/a.db-wal");
  EXPECT_TRUE(is_told());
  write("new");
  EXPECT_FALSE(is_told());
  std::filesystem::rename(dir + "/new", dir + "/a.db");
  EXPECT_TRUE(is_told());
  write("a.db");  // the new one
  EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, OtherFilesOfTheFolderAreNotToldOf) {
  write("a.db-candor");
  write("b.db");
  EXPECT_FALSE(is_told());
}

TEST_F(FileWatchTest, AFolderThatDoesNotExistCannotBeWatched) {
  EXPECT_EQ(loop.watch_files({dir + "/none/a.db"}, [] {}), nullptr);
}

}  // namespace
}  // namespace candor
