// RocksDB's writers end the process when a file is used again after a write that failed, where the library
// was built with its assertions (Debian's is). A full disk must not do that: here every write of a file
// succeeds, as far as RocksDB knows, and the first one that did not is remembered. Whoever owns the database
// asks after each step, and gives the whole of it up.
//
// What RocksDB makes of files that end too early is damage that its checksums find: a table that it has just
// written is opened before it counts.
#pragma once

#include <rocksdb/env.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/mutex.h"

namespace candor::disk {

// Thread safety: everything.
class WriteFailures {
 public:
  void note(const std::string& what);
  [[nodiscard]] bool any() const { return any_.load(std::memory_order_acquire); }
  // The first one, in the system's words; empty: none.
  [[nodiscard]] std::string first() const;
  void forget();

 private:
  std::atomic<bool> any_{false};
  mutable Mutex mutex_;
  std::string first_ CANDOR_GUARDED_BY(mutex_);
};

// RocksDB's usual environment, with such files. `failures` is shared with them.
[[nodiscard]] std::unique_ptr<rocksdb::Env> make_sparing_env(std::shared_ptr<WriteFailures> failures);

}  // namespace candor::disk
