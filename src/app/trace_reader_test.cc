#include "app/trace_reader.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace candor::app {
namespace {

using namespace std::string_view_literals;

class TraceReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("candor-trace-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, std::string_view bytes) {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path.string();
  }

  // All requests, read `batch` at a time; or the error.
  Result<std::vector<TraceRequest>> all(const std::string& path, std::string_view format,
                                        std::size_t batch = 3) {
    const Result<TraceFormat> parsed = parse_trace_format(format);
    EXPECT_TRUE(parsed.has_value());
    Result<TraceReader> reader = TraceReader::open(path, *parsed);
    if (!reader) return std::unexpected(reader.error());
    std::vector<TraceRequest> requests;
    std::vector<TraceRequest> some(batch);
    for (;;) {
      const Result<std::size_t> count = reader->read(some);
      if (!count) return std::unexpected(count.error());
      if (*count == 0) return requests;
      requests.insert(requests.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*count));
    }
  }
  std::vector<std::uint64_t> keys(const std::string& path, std::string_view format) {
    const auto requests = all(path, format);
    EXPECT_TRUE(requests.has_value()) << (requests ? "" : requests.error().message);
    std::vector<std::uint64_t> found;
    if (requests) {
      for (const TraceRequest& request : *requests) found.push_back(request.key);
    }
    return found;
  }
  std::string failure(const std::string& path, std::string_view format) {
    const auto requests = all(path, format);
    EXPECT_FALSE(requests.has_value());
    return requests ? "" : requests.error().message;
  }

  std::filesystem::path folder_;
};

using Keys = std::vector<std::uint64_t>;

TEST_F(TraceReaderTest, ReadsBigEndianKeysOfFourBytes) {
  EXPECT_EQ(keys(file("t", std::string("\0\0\1\2\xff\0\0\0"sv)), "be32"), (Keys{258, 0xff000000}));
}

TEST_F(TraceReaderTest, ReadsBigEndianKeysOfEightBytes) {
  EXPECT_EQ(keys(file("t", std::string("\0\0\0\1\0\0\0\2"sv)), "be64"), (Keys{0x100000002}));
}

TEST_F(TraceReaderTest, ReadsOracleRecordsWithSizes) {
  const std::string record = std::string("\1\0\0\0"sv) + std::string("\2\1\0\0\0\0\0\0"sv) +
                             std::string("\0\2\0\0"sv) + std::string("\xff\xff\xff\xff\xff\xff\xff\xff"sv);
  const auto requests = all(file("t", record + record), "oracle");
  ASSERT_TRUE(requests.has_value());
  ASSERT_EQ(requests->size(), 2U);
  EXPECT_EQ((*requests)[1].key, 258U);
  EXPECT_EQ((*requests)[1].size, 512U);
}

TEST_F(TraceReaderTest, ReadsOneKeyALineAndSkipsStarsAndBlankLines) {
  EXPECT_EQ(keys(file("t", "5\n*\n\n 7 \r\n5"), "lirs"), (Keys{5, 7, 5}));
}

TEST_F(TraceReaderTest, TheSameTextIsTheSameKey) {
  const Keys found = keys(file("t", "r 0xAB 4\nw 0xCD 4\nr,0xAB,1\n"), "csvkey:1");
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0], found[2]);
  EXPECT_NE(found[0], found[1]);
}

TEST_F(TraceReaderTest, UnfoldsRunsOfKeys) {
  EXPECT_EQ(keys(file("t", "10 3 0 0\n7 0 0 1\n20 1 0 2\n"), "arc"), (Keys{10, 11, 12, 20}));
}

TEST_F(TraceReaderTest, AnEmptyFileIsAnEmptyTrace) { EXPECT_EQ(keys(file("t", ""), "be32"), Keys{}); }

TEST_F(TraceReaderTest, RecordsAndLinesMayCrossTheBuffersEnd) {
  std::string text;
  Keys expected;
  for (std::uint64_t key = 0; key < 100000; ++key) {  // more than two buffers
    text += std::to_string(key) + "\n";
    expected.push_back(key);
  }
  EXPECT_EQ(keys(file("t", text), "lirs"), expected);
}

std::string gzip(std::string_view bytes) {
  std::string out(bytes.size() + 1024, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string xz(std::string_view bytes) {
  std::string out(bytes.size() + 1024, '\0');
  std::size_t used = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                    reinterpret_cast<std::uint8_t*>(out.data()), &used, out.size()),
            LZMA_OK);
  out.resize(used);
  return out;
}

std::string zst(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

struct Packed {
  std::string ending;
  std::string (*pack)(std::string_view);
};

class CompressedTrace : public TraceReaderTest, public testing::WithParamInterface<Packed> {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("candor-trace-" + std::to_string(::getpid()) + GetParam().ending);
    std::filesystem::create_directories(folder_);
    for (int key = 0; key < 50000; ++key) text_ += std::to_string(key % 977) + "\n";
  }
  std::string text_;
};

TEST_P(CompressedTrace, ReadsWhatWasPacked) {
  const std::string packed = GetParam().pack(text_);
  EXPECT_EQ(keys(file("t" + GetParam().ending, packed), "lirs"), keys(file("t", text_), "lirs"));
}

TEST_P(CompressedTrace, ReadsSeveralStreamsInOneFile) {
  const std::string packed = GetParam().pack("1\n2\n") + GetParam().pack("3\n");
  EXPECT_EQ(keys(file("t" + GetParam().ending, packed), "lirs"), (Keys{1, 2, 3}));
}

TEST_P(CompressedTrace, ACutFileIsAnErrorAndNotAnEnd) {
  const std::string packed = GetParam().pack(text_);
  const std::string message =
      failure(file("t" + GetParam().ending, packed.substr(0, packed.size() / 2)), "lirs");
  EXPECT_NE(message.find("damaged"), std::string::npos) << message;
}

TEST_P(CompressedTrace, AFileThatIsNotCompressedIsAnError) {
  const std::string message = failure(file("t" + GetParam().ending, "1\n2\n3\n, and some more text"), "lirs");
  EXPECT_NE(message.find("damaged"), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Endings, CompressedTrace,
                         testing::Values(Packed{".gz", gzip}, Packed{".xz", xz}, Packed{".zst", zst}),
                         [](const auto& suite) { return suite.param.ending.substr(1); });

TEST_F(TraceReaderTest, AMissingFileIsAnErrorThatNamesIt) {
  EXPECT_NE(failure((folder_ / "none").string(), "be32").find("none: cannot be opened"), std::string::npos);
}

TEST_F(TraceReaderTest, AFolderIsAnError) { EXPECT_FALSE(failure(folder_.string(), "be32").empty()); }

TEST_F(TraceReaderTest, ARecordCutShortIsAnError) {
  EXPECT_NE(failure(file("t", std::string("\0\0\0\1\0"sv)), "be32").find("middle of a record"),
            std::string::npos);
}

TEST_F(TraceReaderTest, ABadLineIsNamedByItsNumber) {
  EXPECT_NE(failure(file("t", "1 2\nx y\n"), "arc").find("line 2"), std::string::npos);
  EXPECT_NE(failure(file("t", "a b\nc\n"), "csvkey:1").find("line 2"), std::string::npos);
}

TEST_F(TraceReaderTest, ARunBeyondReasonIsAnError) {
  EXPECT_NE(failure(file("t", "1 99999999999\n"), "arc").find("line 1"), std::string::npos);
}

TEST_F(TraceReaderTest, ALineWithoutEndIsAnErrorAndNotAllOfMemory) {
  EXPECT_NE(failure(file("t", std::string(1 << 20, '7')), "lirs").find("longer than"), std::string::npos);
}

TEST_F(TraceReaderTest, NumbersKeysInOrderOfAppearance) {
  const Result<NumberedTrace> trace = read_numbered_trace(file("t", "9\n4\n9\n"), {TraceFormat::Kind::kLirs});
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->keys, (std::vector<std::uint32_t>{0, 1, 0}));
  EXPECT_EQ(trace->unique, 2U);
}

TEST(TraceFormats, AnUnknownNameIsAnErrorThatListsThem) {
  for (std::string_view name : {"", "be16", "csvkey", "csvkey:", "csvkey:x", "csvkey:-1", "csvkey:256"}) {
    const auto parsed = parse_trace_format(name);
    ASSERT_FALSE(parsed.has_value()) << name;
    EXPECT_NE(parsed.error().message.find("csvkey:N"), std::string::npos);
  }
}

}  // namespace
}  // namespace candor::app
