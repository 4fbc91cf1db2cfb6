// Bytes of a file, decompressed on the way if the file's ending says so (.gz, .xz, .zst), in pieces of
// bounded size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace candor::app {

// Thread safety: none.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills from the front; 0 at the end of the file. A damaged or cut file is an error, not an end.
  [[nodiscard]] virtual Result<std::size_t> read(std::span<char> into) = 0;
  // Bytes of the file (as stored) consumed so far: for progress.
  [[nodiscard]] virtual std::uint64_t consumed() const = 0;
};

[[nodiscard]] Result<std::unique_ptr<ByteSource>> open_bytes(const std::string& path);

}  // namespace candor::app
