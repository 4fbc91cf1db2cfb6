#include "io/append_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/descriptor.h"
#include "io/errors.h"
#include "io/files.h"

namespace candor {
namespace {

constexpr const char* kLockName = ".lock";

std::unexpected<Error> failed(std::string_view what, const std::string& path, int error) {
  const ErrorCode code = error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return fail(code, fmt::format("{}: cannot {}: {}", path, what, error_text(error)));
}

class RealAppendFile final : public AppendFile {
 public:
  RealAppendFile(Descriptor file, std::string path, std::uint64_t size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}

  Result<void> append(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = ::write(file_.get(), bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return failed("write", path_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(put));
      size_ += static_cast<std::uint64_t>(put);
    }
    return {};
  }
  Result<void> sync() override {
    if (::fdatasync(file_.get()) != 0) return failed("sync", path_, errno);
    return {};
  }
  Result<void> cut_to(std::uint64_t size) override {
    if (::ftruncate(file_.get(), static_cast<off_t>(size)) != 0) return failed("cut", path_, errno);
    size_ = size;
    if (::fsync(file_.get()) != 0) return failed("sync", path_, errno);
    return {};
  }
  [[nodiscard]] std::uint64_t size() const override { return size_; }

 private:
  Descriptor file_;
  std::string path_;
  std::uint64_t size_;
};

using Entries = std::vector<std::pair<std::string, bool>>;  // name, is a directory

Result<Entries> entries_of(const std::string& directory) {
  DIR* opened = ::opendir(directory.c_str());
  if (opened == nullptr) return failed("open", directory, errno);
  Entries entries;
  for (const dirent* entry = ::readdir(opened); entry != nullptr; entry = ::readdir(opened)) {
    const std::string name = entry->d_name;
    if (name.starts_with('.')) continue;
    struct stat found{};
    const bool is_there = ::stat((directory + "/" + name).c_str(), &found) == 0;
    entries.emplace_back(name, is_there && S_ISDIR(found.st_mode));
  }
  ::closedir(opened);
  std::ranges::sort(entries);
  return entries;
}

class RealAppendStore final : public AppendStore {
 public:
  RealAppendStore(std::string directory, Descriptor lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}

  Result<std::vector<std::string>> list() override {
    auto entries = entries_of(directory_);
    if (!entries) return std::unexpected(entries.error());
    std::vector<std::string> names;
    for (auto& [name, is_directory] : *entries)
      if (!is_directory) names.push_back(std::move(name));
    return names;
  }
  Result<std::string> read(const std::string& name, std::size_t bytes_max) override {
    return read_file(path_of(name), bytes_max);
  }
  Result<std::unique_ptr<AppendFile>> open(const std::string& name) override {
    const std::string path = path_of(name);
    const bool is_new = !file_exists(path);
    // What it holds is the clients' data: nobody else reads it.
    Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!file.is_open()) return failed("open", path, errno);
    if (is_new) {
      if (auto synced = sync_directory(directory_); !synced) return std::unexpected(synced.error());
    }
    struct stat found{};
    if (::fstat(file.get(), &found) != 0) return failed("look at", path, errno);
    return std::make_unique<RealAppendFile>(std::move(file), path, static_cast<std::uint64_t>(found.st_size));
  }
  Result<void> remove(const std::string& name) override { return remove_file(path_of(name)); }
  [[nodiscard]] std::string path_of(const std::string& name) const override {
    return directory_ + "/" + name;
  }

 private:
  std::string directory_;
  Descriptor lock_;
};

}  // namespace

Result<std::unique_ptr<AppendStore>> open_append_store(const std::string& directory) {
  if (auto made = make_directories(directory, 0700); !made) return std::unexpected(made.error());
  const std::string path = directory + "/" + kLockName;
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return failed("open", path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock", path, errno);
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("{}: another process has it open; give each node a data_dir of its own", directory));
  }
  return std::make_unique<RealAppendStore>(directory, std::move(lock));
}

std::unique_ptr<AppendStore> look_at_append_store(const std::string& directory) {
  return std::make_unique<RealAppendStore>(directory, Descriptor());
}

Result<std::vector<std::string>> list_directories(const std::string& directory) {
  std::vector<std::string> names;
  auto entries = entries_of(directory);
  if (!entries && entries.error().code == ErrorCode::kNotFound) return names;
  if (!entries) return std::unexpected(entries.error());
  for (auto& [name, is_directory] : *entries)
    if (is_directory) names.push_back(std::move(name));
  return names;
}

}  // namespace candor
