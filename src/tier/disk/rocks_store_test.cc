#include "tier/disk/rocks_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace candor::disk {
namespace {

namespace fs = std::filesystem;

class RocksStoreTest : public testing::Test {
 protected:
  RocksStoreTest() {
    std::string pattern = (fs::temp_directory_path() / "candor-rocks-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    options_.path = root_ + "/disk";
    options_.disk_bytes = 8 << 20;
    options_.memory_bytes = 4 << 20;
  }
  void TearDown() override { fs::remove_all(root_); }

  RocksOpened open() {
    auto opened = open_rocks_store(options_);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }
  static void put(ByteStore& store, const std::string& name, std::string bytes) {
    const std::vector<ByteStore::Op> ops{{name, std::move(bytes)}};
    ASSERT_TRUE(store.write(ops));
  }
  static void fill(ByteStore& store, int from, int to) {
    for (int i = from; i < to; ++i) put(store, fmt::format("f:{}", i), value(i));
  }
  // Does not compress.
  static std::string value(int i) {
    std::string bytes;
    for (std::uint64_t word = static_cast<std::uint64_t>(i) + 1; bytes.size() < 4000;) {
      word = word * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return bytes;
  }
  [[nodiscard]] std::uint64_t bytes_on_disk() const {
    std::uint64_t bytes = 0;
    for (const auto& file : fs::directory_iterator(options_.path)) {
      std::error_code gone;  // the store drops files meanwhile
      const std::uintmax_t size = fs::file_size(file, gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  template <class Change>
  int change_files(std::string_view extension, Change&& change) const {
    int changed = 0;
    for (const auto& file : fs::directory_iterator(options_.path)) {
      if (file.path().extension() != extension) continue;
      std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
      change(bytes, fs::file_size(file));
      ++changed;
    }
    return changed;
  }

  std::string root_;
  RocksOptions options_;
};

TEST_F(RocksStoreTest, TheLastOperationOfANameCounts) {
  auto store = open().store;
  put(*store, "f:1", "one");
  put(*store, "f:2", "two");
  const std::vector<ByteStore::Op> ops{{"f:1", std::nullopt}, {"f:2", "zwei"}, {"f:3", std::nullopt}};
  ASSERT_TRUE(store->write(ops));
  EXPECT_EQ(*store->get("f:1"), std::nullopt);
  EXPECT_EQ(*store->get("f:2"), "zwei");
  ASSERT_TRUE(store->clear());
  EXPECT_EQ(*store->get("f:2"), std::nullopt);
}

TEST_F(RocksStoreTest, TheMarkIsThereOnceAfterAGoodEnd) {
  {
    auto store = open().store;
    EXPECT_EQ(*store->take_mark(), "");
    put(*store, "f:1", "one");
    ASSERT_TRUE(store->stop("the mark"));
  }
  {
    auto store = open().store;
    EXPECT_EQ(*store->take_mark(), "the mark");
    EXPECT_EQ(*store->get("f:1"), "one");
  }
  auto store = open().store;
  EXPECT_EQ(*store->take_mark(), "") << "that run had no good end";
}

TEST_F(RocksStoreTest, TheSizeIsHeldAndTheOldestGo) {
  auto store = open().store;
  std::uint64_t most = 0;
  for (int i = 0; i < 8000; i += 100) {
    fill(*store, i, i + 100);
    most = std::max(most, bytes_on_disk());
  }
  EXPECT_LE(most, options_.disk_bytes);
  EXPECT_GT(store->usage().disk_bytes, options_.disk_bytes / 2);
  EXPECT_EQ(*store->get("f:7999"), value(7999));
  EXPECT_EQ(*store->get("f:0"), std::nullopt);
  // 32 MB were put; each byte is written once.
  EXPECT_LT(store->usage().written_bytes, std::uint64_t{36} << 20);
  EXPECT_GT(store->usage().written_bytes, std::uint64_t{24} << 20);
  EXPECT_LE(store->usage().memory_bytes, options_.memory_bytes + (std::uint64_t{1} << 20));
}

TEST_F(RocksStoreTest, FlippedBitsAreFoundAndTheRestGoesOn) {
  {
    auto store = open().store;
    fill(*store, 0, 200);
    ASSERT_TRUE(store->stop("mark"));
  }
  ASSERT_GT(change_files(".sst",
                         [](std::fstream& file, std::uint64_t bytes) {
                           if (bytes < 20'000) return;  // a longer file is another fault: no store opens then
                           file.seekp(10'000);
                           file.put('\x55');
                         }),
            0);
  auto store = open().store;
  int damaged = 0, right = 0;
  for (int i = 0; i < 200; ++i) {
    const auto found = store->get(fmt::format("f:{}", i));
    if (!found) {
      EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
      ++damaged;
    } else {
      ASSERT_EQ(*found, value(i));
      ++right;
    }
  }
  EXPECT_GT(damaged, 0);
  EXPECT_GT(right, 150);
  fill(*store, 300, 400);
  EXPECT_EQ(*store->get("f:399"), value(399));
}

// Files cannot grow beyond some size, as on a full disk. The library's assertions must not end the process.
TEST_F(RocksStoreTest, WritesThatFailAreToldAndAClearedStoreWorksAgain) {
  (void)std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto store = open().store;
  for (const rlim_t room : {rlim_t{0}, rlim_t{100}, rlim_t{5000}, rlim_t{100'000}}) {
    fill(*store, 0, 500);
    rlimit small = before;
    small.rlim_cur = room;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    std::string problem;
    for (int i = 0; i < 4000 && problem.empty(); ++i) {
      const std::vector<ByteStore::Op> ops{{fmt::format("f:{}", i), value(i)}};
      if (const auto written = store->write(ops); !written) problem = written.error().message;
    }
    const bool is_cleared = store->clear().has_value();
    const bool is_stopped = is_cleared && store->stop("a mark").has_value();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_NE(problem, "") << room;
    EXPECT_FALSE(is_stopped && room < 100) << room;
    ASSERT_TRUE(store->clear()) << room;
    EXPECT_EQ(*store->get("f:1"), std::nullopt);
    fill(*store, 0, 1000);
    EXPECT_EQ(*store->get("f:999"), value(999));
  }
  ASSERT_TRUE(store->stop("mark"));
  store.reset();
  EXPECT_EQ(*open().store->take_mark(), "mark");
}

TEST_F(RocksStoreTest, WhatCannotBeOpenedIsSetAside) {
  {
    auto store = open().store;
    fill(*store, 0, 200);
    ASSERT_TRUE(store->stop("mark"));
  }
  for (const auto& file : fs::directory_iterator(options_.path)) {
    if (file.path().filename().string().starts_with("MANIFEST"))
      fs::resize_file(file.path(), fs::file_size(file) / 2);
    if (file.path().extension() == ".sst") fs::resize_file(file.path(), 100);
  }
  RocksOpened opened = open();
  EXPECT_NE(opened.note.find("set aside"), std::string::npos) << opened.note;
  EXPECT_TRUE(fs::exists(options_.path + ".damaged"));
  EXPECT_EQ(*opened.store->take_mark(), "");
  put(*opened.store, "f:1", "one");
  EXPECT_EQ(*opened.store->get("f:1"), "one");
}

}  // namespace
}  // namespace candor::disk
