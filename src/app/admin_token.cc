#include "app/admin_token.h"

#include <fmt/core.h>

#include <filesystem>
#include <system_error>

#include "io/files.h"

namespace candor::app {
namespace {

constexpr std::size_t kTokenBytes = 32;

std::string to_hex(const unsigned char* bytes, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

Result<void> require_private(const std::string& path) {
  using std::filesystem::perms;
  std::error_code error;
  const perms mode = std::filesystem::status(path, error).permissions();
  if (error)
    return fail(ErrorCode::kConfiguration,
                fmt::format("{}: {}; check the path and its permissions", path, error.message()));
  if ((mode & (perms::group_all | perms::others_all)) == perms::none) return {};
  return fail(
      ErrorCode::kConfiguration,
      fmt::format("{} is open to other users (mode {:o}), so its token may be known; run chmod 600 {}, "
                  "or remove it and a new one is made",
                  path, static_cast<unsigned>(mode), path));
}

Result<std::string> read_token(const std::string& path) {
  if (auto checked = require_private(path); !checked) return std::unexpected(std::move(checked.error()));
  auto text = read_file(path, 4096);
  if (!text) return std::unexpected(std::move(text.error()));
  std::string token = text->substr(0, text->find_first_of("\r\n"));
  if (token.size() >= kTokenBytes) return token;
  return fail(ErrorCode::kConfiguration,
              fmt::format("{} holds no token; remove it and a new one is made", path));
}

}  // namespace

Result<std::string> admin_token(const std::string& data_dir, EntropySource& entropy) {
  const std::string path = data_dir + "/admin.token";
  if (file_exists(path)) return read_token(path);
  unsigned char bytes[kTokenBytes];
  entropy.fill(bytes, sizeof bytes);
  const std::string token = to_hex(bytes, sizeof bytes);
  if (auto written = write_file_atomic(path, token + "\n", 0600); !written)
    return fail(ErrorCode::kConfiguration,
                fmt::format("[node] data_dir: {}; make the directory writable or name another",
                            written.error().message));
  return token;
}

}  // namespace candor::app
