#include "tier/disk/rocks_store.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <filesystem>

#include "base/mutex.h"
#include "tier/disk/spared_files.h"

namespace candor::disk {
namespace {

// Names begin with a feature's name, which is never empty.
constexpr std::string_view kMarkKey{"\0mark", 5};
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
// Logs of RocksDB itself, manifest, and what is written before the oldest file goes.
constexpr std::uint64_t kOwnFilesBytes = 256 << 10;
// Files that may be written before the background thread has dropped the oldest.
constexpr std::uint64_t kFilesAhead = 4;
// A point read fetches one block: small for the read, large for the index, which has an entry for each.
constexpr std::size_t kBlockBytes = std::size_t{8} << 10;

Error error_of(const rocksdb::Status& status) {
  const ErrorCode code = status.IsCorruption() ? ErrorCode::kCorrupt : ErrorCode::kUnavailable;
  return Error{code, status.IsNoSpace() ? "the disk is full" : status.ToString()};
}

Result<void> result_of(const rocksdb::Status& status) {
  if (status.ok()) return {};
  return std::unexpected(error_of(status));
}

// Not a damage: it is whole, and not ours.
bool is_in_use(const rocksdb::Status& status) {
  return status.IsIOError() && status.ToString().find("/LOCK") != std::string::npos;
}

// RocksDB's own log would be one more file that fails; what matters it says in a status.
class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

class RocksStore final : public ByteStore {
 public:
  explicit RocksStore(const RocksOptions& options) : options_(options) {
    const std::uint64_t buffer =
        std::clamp(std::min(options.memory_bytes / 8, options.disk_bytes / 32), kMiB / 8, 16 * kMiB);
    cache_ = rocksdb::NewLRUCache(
        std::max(options.memory_bytes - std::min(options.memory_bytes, 2 * buffer), kMiB));
    settings_.create_if_missing = true;
    settings_.compaction_style = rocksdb::kCompactionStyleFIFO;
    const std::uint64_t own = kOwnFilesBytes + kFilesAhead * buffer;
    settings_.compaction_options_fifo.max_table_files_size =
        options.disk_bytes > 2 * own ? options.disk_bytes - own : options.disk_bytes / 2;
    settings_.write_buffer_size = buffer;
    settings_.max_write_buffer_number = 2;
    settings_.compression = rocksdb::kLZ4Compression;
    settings_.max_background_jobs = 2;
    settings_.env = env_.get();
    settings_.info_log = std::make_shared<NoLog>();
    settings_.max_manifest_file_size = 128 << 10;
    settings_.stats_dump_period_sec = 0;
    settings_.stats_persist_period_sec = 0;
    settings_.statistics = rocksdb::CreateDBStatistics();
    settings_.statistics->set_stats_level(rocksdb::StatsLevel::kExceptHistogramOrTimers);
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache_;
    table.block_size = kBlockBytes;
    table.cache_index_and_filter_blocks = true;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.checksum = rocksdb::kXXH3;
    table.format_version = 5;
    settings_.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  }
  ~RocksStore() override { shut(); }

  rocksdb::Status open() {
    const MutexLock lock(swap_);
    return open_locked();
  }

  Result<std::optional<std::string>> get(std::string_view name) override {
    const std::shared_ptr<rocksdb::DB> db = this->db();
    if (db == nullptr) return std::nullopt;
    std::string bytes;
    const rocksdb::Status status = db->Get(rocksdb::ReadOptions(), slice(name), &bytes);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return std::unexpected(error_of(status));
    return bytes;
  }

  Result<void> write(std::span<const Op> ops) override {
    const std::shared_ptr<rocksdb::DB> db = this->db();
    if (db == nullptr) return fail(ErrorCode::kUnavailable, "the store is not open");
    rocksdb::WriteBatch batch;
    std::string ignored;
    for (const Op& op : ops) {
      if (op.bytes) {
        batch.Put(slice(op.name), slice(*op.bytes));
      } else if (db->KeyMayExist(rocksdb::ReadOptions(), slice(op.name), &ignored)) {
        batch.Delete(slice(op.name));
      }
    }
    if (batch.Count() == 0) return {};
    rocksdb::WriteOptions how;
    how.disableWAL = true;
    return outcome(db->Write(how, &batch));
  }

  Result<std::string> take_mark() override {
    const std::shared_ptr<rocksdb::DB> db = this->db();
    if (db == nullptr) return fail(ErrorCode::kUnavailable, "the store is not open");
    std::string mark;
    const rocksdb::Status found = db->Get(rocksdb::ReadOptions(), slice(kMarkKey), &mark);
    if (found.IsNotFound()) return std::string();
    if (!found.ok()) return std::unexpected(error_of(found));
    // In memory it is gone at once; on the disk before anything else is written.
    rocksdb::WriteOptions how;
    how.sync = true;
    const rocksdb::Status gone = db->Delete(how, slice(kMarkKey));
    if (Result<void> written = outcome(gone); !written) return std::unexpected(written.error());
    return mark;
  }

  Result<void> stop(std::string_view mark) override {
    const std::shared_ptr<rocksdb::DB> db = this->db();
    if (db == nullptr) return fail(ErrorCode::kUnavailable, "the store is not open");
    if (Result<void> flushed = outcome(db->Flush(rocksdb::FlushOptions())); !flushed) return flushed;
    rocksdb::WriteOptions how;
    how.sync = true;
    return outcome(db->Put(how, slice(kMarkKey), slice(mark)));
  }

  Result<void> clear() override {
    const MutexLock lock(swap_);
    db_.reset();  // readers that are under way hold it a moment longer
    const rocksdb::Status gone = rocksdb::DestroyDB(options_.path, settings_);
    if (!gone.ok()) return std::unexpected(error_of(gone));
    failures_->forget();
    return outcome(open_locked());
  }

  [[nodiscard]] Usage usage() const override {
    Usage usage;
    const std::shared_ptr<rocksdb::DB> db = this->db();
    if (db == nullptr) return usage;
    (void)db->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &usage.disk_bytes);
    (void)db->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &usage.memory_bytes);
    usage.memory_bytes += cache_->GetUsage();
    usage.written_bytes = settings_.statistics->getTickerCount(rocksdb::FLUSH_WRITE_BYTES) +
                          settings_.statistics->getTickerCount(rocksdb::COMPACT_WRITE_BYTES) +
                          settings_.statistics->getTickerCount(rocksdb::WAL_FILE_BYTES);
    return usage;
  }

  void shut() {
    const MutexLock lock(swap_);
    db_.reset();
  }

 private:
  rocksdb::Status open_locked() CANDOR_REQUIRES(swap_) {
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(settings_, options_.path, &db);
    if (!status.ok()) return status;
    db_.reset(db);
    if (!failures_->any()) return status;
    db_.reset();
    return rocksdb::Status::IOError(failures_->first());
  }
  // A write that failed in the background is told of by the next step: what it was to hold is lost.
  Result<void> outcome(const rocksdb::Status& status) const {
    if (failures_->any()) return fail(ErrorCode::kUnavailable, failures_->first());
    return result_of(status);
  }
  std::shared_ptr<rocksdb::DB> db() const {
    const MutexLock lock(swap_);
    return db_;
  }

  RocksOptions options_;
  std::shared_ptr<WriteFailures> failures_ = std::make_shared<WriteFailures>();
  std::unique_ptr<rocksdb::Env> env_ = make_sparing_env(failures_);  // outlives every database
  rocksdb::Options settings_;
  std::shared_ptr<rocksdb::Cache> cache_;
  mutable Mutex swap_;
  std::shared_ptr<rocksdb::DB> db_ CANDOR_GUARDED_BY(swap_);  // shared with readers, while clear() renews it
};

}  // namespace

Result<RocksOpened> open_rocks_store(const RocksOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.path, error);
  if (error)
    return fail(ErrorCode::kConfiguration, fmt::format("disk.path: {}: {}", options.path, error.message()));
  auto store = std::make_shared<RocksStore>(options);
  RocksOpened opened;
  opened.store = store;
  const rocksdb::Status first = store->open();
  if (first.ok()) return opened;
  if (is_in_use(first))
    return fail(ErrorCode::kConfiguration,
                fmt::format("disk.path: {}: another process uses it: {}", options.path, first.ToString()));
  const std::string aside = options.path + ".damaged";
  std::filesystem::remove_all(aside, error);
  std::filesystem::rename(options.path, aside, error);
  const rocksdb::Status second = error ? first : store->open();
  opened.note = second.ok()
                    ? fmt::format("{} cannot be opened ({}): it is set aside as {}, and a fresh one begins",
                                  options.path, first.ToString(), aside)
                    : fmt::format("{} cannot be opened: {}", options.path, second.ToString());
  return opened;
}

}  // namespace candor::disk
