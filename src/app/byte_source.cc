#include "app/byte_source.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace candor::app {
namespace {

constexpr std::size_t kInputBytes = 64 << 10;  // read from the file at a time
// A decompressor may ask for this much at most: xz -9 and zstd -19 need 65 and 8 MiB, --ultra --long more
// than we give.
constexpr std::uint64_t kXzMemoryMax = std::uint64_t{256} << 20;
constexpr int kZstdWindowLogMax = 27;  // 128 MiB

class File {
 public:
  explicit File(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb")) {}
  ~File() {
    if (file_ != nullptr) std::fclose(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] bool is_open() const { return file_ != nullptr; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t consumed() const { return consumed_; }

  [[nodiscard]] Result<std::size_t> read(std::span<char> into) {
    const std::size_t count = std::fread(into.data(), 1, into.size(), file_);
    if (count < into.size() && std::ferror(file_) != 0) {
      return fail(ErrorCode::kInvalidArgument, path_ + ": cannot be read: " + std::strerror(errno));
    }
    consumed_ += count;
    return count;
  }

 private:
  std::string path_;
  std::FILE* file_;
  std::uint64_t consumed_ = 0;
};

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<std::size_t> read(std::span<char> into) override { return file_->read(into); }
  std::uint64_t consumed() const override { return file_->consumed(); }

 private:
  std::unique_ptr<File> file_;
};

// What the three decompressors share: a buffer of stored bytes, refilled when the library has used it up.
class DecompressingSource : public ByteSource {
 public:
  Result<std::size_t> read(std::span<char> into) final {
    std::size_t filled = 0;
    while (filled == 0 && !into.empty()) {
      if (unread_.empty() && !at_end_of_file_) {
        const Result<std::size_t> got = file_->read(input_);
        if (!got) return std::unexpected(got.error());
        unread_ = std::span<const char>(input_).first(*got);
        at_end_of_file_ = *got == 0;
      }
      if (unread_.empty() && is_between_streams()) return 0;
      const Result<Progress> progress = step(unread_, into, at_end_of_file_);
      if (!progress) return std::unexpected(progress.error());
      unread_ = unread_.subspan(progress->used);
      filled = progress->made;
      if (at_end_of_file_ && filled == 0 && progress->used == 0 && !is_between_streams()) {
        return damaged("it ends in the middle: copy it again");
      }
    }
    return filled;
  }
  std::uint64_t consumed() const final { return file_->consumed() - unread_.size(); }

 protected:
  struct Progress {
    std::size_t used = 0;
    std::size_t made = 0;
  };
  explicit DecompressingSource(std::unique_ptr<File> file) : file_(std::move(file)), input_(kInputBytes) {}

  [[nodiscard]] virtual Result<Progress> step(std::span<const char> input, std::span<char> output,
                                              bool last) = 0;
  // True when everything so far was whole: the file may end here.
  [[nodiscard]] virtual bool is_between_streams() const = 0;

  [[nodiscard]] std::unexpected<Error> damaged(const std::string& what) const {
    return fail(ErrorCode::kCorrupt, file_->path() + ": the compressed file is damaged: " + what);
  }

 private:
  std::unique_ptr<File> file_;
  std::vector<char> input_;
  std::span<const char> unread_;
  bool at_end_of_file_ = false;
};

class GzipSource final : public DecompressingSource {
 public:
  explicit GzipSource(std::unique_ptr<File> file) : DecompressingSource(std::move(file)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    ready_ = inflateInit2(&stream_, kGzipOnly) == Z_OK;
  }
  ~GzipSource() override { inflateEnd(&stream_); }

 private:
  Result<Progress> step(std::span<const char> input, std::span<char> output, bool /*last*/) override {
    if (!ready_) return damaged("zlib could not start (no memory?)");
    if (between_ && !input.empty()) {  // a file may hold several members, one after the other
      inflateReset(&stream_);
      between_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(output.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(output.size(), std::size_t{1} << 30));
    const uInt room = stream_.avail_out;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      between_ = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return damaged(stream_.msg != nullptr ? stream_.msg : "not gzip");
    }
    return Progress{input.size() - stream_.avail_in, room - stream_.avail_out};
  }
  bool is_between_streams() const override { return between_; }

  z_stream stream_{};
  bool ready_ = false;
  bool between_ = false;
};

class XzSource final : public DecompressingSource {
 public:
  explicit XzSource(std::unique_ptr<File> file) : DecompressingSource(std::move(file)) {
    ready_ = lzma_stream_decoder(&stream_, kXzMemoryMax, LZMA_CONCATENATED) == LZMA_OK;
  }
  ~XzSource() override { lzma_end(&stream_); }

 private:
  Result<Progress> step(std::span<const char> input, std::span<char> output, bool last) override {
    if (!ready_) return damaged("liblzma could not start (no memory?)");
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(input.data());
    stream_.avail_in = input.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(output.data());
    stream_.avail_out = output.size();
    const lzma_ret code = lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
    if (code == LZMA_STREAM_END) {
      ended_ = true;
    } else if (code == LZMA_MEMLIMIT_ERROR) {
      return damaged("it needs more than 256 MiB to decompress: compress it with a smaller dictionary");
    } else if (code != LZMA_OK && code != LZMA_BUF_ERROR) {
      return damaged(code == LZMA_FORMAT_ERROR ? "not xz" : "its checks do not match");
    }
    return Progress{input.size() - stream_.avail_in, output.size() - stream_.avail_out};
  }
  bool is_between_streams() const override { return ended_; }

  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ready_ = false;
  bool ended_ = false;
};

class ZstdSource final : public DecompressingSource {
 public:
  explicit ZstdSource(std::unique_ptr<File> file)
      : DecompressingSource(std::move(file)), stream_(ZSTD_createDStream()) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

 private:
  Result<Progress> step(std::span<const char> input, std::span<char> output, bool /*last*/) override {
    if (stream_ == nullptr) return damaged("zstd could not start (no memory?)");
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    const std::size_t code = ZSTD_decompressStream(stream_, &out, &in);
    if (ZSTD_isError(code) != 0) return damaged(ZSTD_getErrorName(code));
    between_ = code == 0;
    return Progress{in.pos, out.pos};
  }
  bool is_between_streams() const override { return between_; }

  ZSTD_DStream* stream_;
  bool between_ = false;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_bytes(const std::string& path) {
  auto file = std::make_unique<File>(path);
  if (!file->is_open()) {
    return fail(ErrorCode::kInvalidArgument, path + ": cannot be opened: " + std::strerror(errno));
  }
  const std::string_view name = path;
  if (name.ends_with(".gz")) return std::make_unique<GzipSource>(std::move(file));
  if (name.ends_with(".xz")) return std::make_unique<XzSource>(std::move(file));
  if (name.ends_with(".zst")) return std::make_unique<ZstdSource>(std::move(file));
  return std::make_unique<PlainSource>(std::move(file));
}

}  // namespace candor::app
