// Small files, whole: configuration, tokens, snapshots' manifests. Blocking; not for a loop that serves.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candor {

// Fails with kLimit when the file is larger than `bytes_max`.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Replaces the file or leaves it as it was, also when the power fails in between: written beside it, synced,
// renamed, directory synced. `mode` holds from the first byte on: a secret is never readable by others, not
// even briefly.
[[nodiscard]] Result<void> write_file_atomic(const std::string& path, std::string_view bytes,
                                             mode_t mode = 0644);

// Makes `path` and what is missing above it. New directories get `mode`.
[[nodiscard]] Result<void> make_directories(const std::string& path, mode_t mode = 0755);

// Makes what was written, renamed or created in this directory durable.
[[nodiscard]] Result<void> sync_directory(const std::string& path);

[[nodiscard]] bool file_exists(const std::string& path);
// Not existing is fine.
[[nodiscard]] Result<void> remove_file(const std::string& path);

}  // namespace candor
