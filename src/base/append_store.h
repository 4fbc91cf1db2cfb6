// The seam for files that only grow: one directory of them, for logs. io has the real one;
// memory_append_store.h has one that fails, tears and loses what was not synced.
//
// Blocking: belongs on a BlockingPool thread, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor {

class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // All of it, or an error: then some of it may be there, and cut_to() takes it away again.
  virtual Result<void> append(std::string_view bytes) = 0;
  // What was appended survives a power cut. After an error nobody knows what does.
  virtual Result<void> sync() = 0;
  // Cuts the file's end off, and syncs.
  virtual Result<void> cut_to(std::uint64_t size) = 0;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
};

class AppendStore {
 public:
  virtual ~AppendStore() = default;
  // Names, sorted.
  virtual Result<std::vector<std::string>> list() = 0;
  virtual Result<std::string> read(const std::string& name, std::size_t bytes_max) = 0;
  // At its end; a new file is made, and its name synced, when there is none.
  virtual Result<std::unique_ptr<AppendFile>> open(const std::string& name) = 0;
  // Not existing is fine.
  virtual Result<void> remove(const std::string& name) = 0;
  // For messages: where it is.
  [[nodiscard]] virtual std::string path_of(const std::string& name) const = 0;
};

}  // namespace candor
