// What the disk tier stands on: names and bytes on a disk of limited size. It may lose anything; what it
// answers for a name is the last thing that was written for it, or nothing, or kCorrupt.
//
// Thread safety: get() from several threads, and beside one write(); everything else one call at a time.
// Every call may block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candor::disk {

class ByteStore {
 public:
  struct Op {
    std::string name;
    std::optional<std::string> bytes;  // nothing: the name is removed
  };
  struct Usage {
    std::uint64_t disk_bytes = 0;
    std::uint64_t memory_bytes = 0;
    std::uint64_t written_bytes = 0;  // to the disk since it was opened, all included
  };

  virtual ~ByteStore() = default;
  [[nodiscard]] virtual Result<std::optional<std::string>> get(std::string_view name) = 0;
  // In order: the last operation of a name counts. After an error nobody knows what was written, until
  // clear().
  [[nodiscard]] virtual Result<void> write(std::span<const Op> ops) = 0;
  // What stop() left at the end of the run before, and takes it away durably: a run that ends without a
  // stop() leaves none. Empty: nothing.
  [[nodiscard]] virtual Result<std::string> take_mark() = 0;
  // Makes everything durable, then the mark.
  [[nodiscard]] virtual Result<void> stop(std::string_view mark) = 0;
  // Begins anew with an empty store.
  [[nodiscard]] virtual Result<void> clear() = 0;
  [[nodiscard]] virtual Usage usage() const = 0;
};

}  // namespace candor::disk
