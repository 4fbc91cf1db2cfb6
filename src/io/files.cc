#include "io/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "io/descriptor.h"
#include "io/errors.h"

namespace candor {
namespace {

// Bytes asked for at once while reading a file whose size may not be what stat says (/proc, pipes).
constexpr std::size_t kReadStep = std::size_t{64} << 10;

std::string_view advice_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there, or choose another directory";
    case EACCES:
    case EPERM:
      return "; give this user the right to it";
    case EROFS:
      return "; the file system is mounted read-only";
    default:
      return "";
  }
}

std::unexpected<Error> file_error(std::string_view what, const std::string& path, int error) {
  const ErrorCode code = error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return fail(code, fmt::format("{}: cannot {}: {}{}", path, what, error_text(error), advice_for(error)));
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_and_sync(const std::string& path, std::string_view bytes, mode_t mode) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file.is_open()) return file_error("create", path, errno);
  while (!bytes.empty()) {
    const ssize_t put = ::write(file.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return file_error("write", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  if (::fsync(file.get()) != 0) return file_error("sync", path, errno);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return file_error("open", path, errno);
  std::string bytes;
  while (true) {
    const std::size_t before = bytes.size();
    bytes.resize(before + kReadStep);
    const ssize_t got = ::read(file.get(), bytes.data() + before, kReadStep);
    bytes.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got == 0) return bytes;
    if (got < 0 && errno != EINTR) return file_error("read", path, errno);
    if (bytes.size() > bytes_max) {
      return fail(ErrorCode::kLimit, fmt::format("{}: larger than the {} bytes allowed", path, bytes_max));
    }
  }
}

Result<void> write_file_atomic(const std::string& path, std::string_view bytes, mode_t mode) {
  // One fixed name per process: what a crash left behind is replaced by the next writer with this pid, at the
  // latest.
  const std::string beside = fmt::format("{}.new.{}", path, ::getpid());
  (void)::unlink(beside.c_str());
  auto written = write_and_sync(beside, bytes, mode);
  if (written && ::rename(beside.c_str(), path.c_str()) != 0) written = file_error("replace", path, errno);
  if (!written) {
    (void)::unlink(beside.c_str());
    return written;
  }
  return sync_directory(directory_of(path));
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (!part.empty() && ::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      return file_error("make the directory", part, errno);
    }
    if (end == std::string::npos) break;
  }
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0) return file_error("open", path, errno);
  if (!S_ISDIR(found.st_mode)) return file_error("make the directory", path, ENOTDIR);
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return file_error("open", path, errno);
  if (::fsync(directory.get()) != 0) return file_error("sync", path, errno);
  return {};
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return file_error("remove", path, errno);
  return {};
}

}  // namespace candor
