// ByteStore on RocksDB.
//
// FIFO compaction: files are dropped whole, oldest first, when their sum reaches the limit; nothing is ever
// rewritten, so that a byte is written once. No log of writes: what memory had not written is lost with the
// process, and a store without a mark is emptied when it is opened (DiskTier). Filters and indexes live in
// the block cache, which has a limit, as the memtables have.
#pragma once

#include <memory>
#include <string>

#include "tier/disk/byte_store.h"

namespace candor::disk {

struct RocksOptions {
  std::string path;
  std::uint64_t disk_bytes = std::uint64_t{10} << 30;    // with what is being written
  std::uint64_t memory_bytes = std::uint64_t{64} << 20;  // block cache and memtables
};

struct RocksOpened {
  std::shared_ptr<ByteStore> store;
  std::string note;  // for the log: what was there could not be used; empty: all is well
};

// What cannot be opened is renamed to `path`.damaged (replacing an earlier one), and a fresh one begins.
// Where that fails too (the disk is full) the store is closed, answers errors, and clear() tries again.
// kConfiguration: no such directory can be made, or another process uses it.
[[nodiscard]] Result<RocksOpened> open_rocks_store(const RocksOptions& options);

}  // namespace candor::disk
