#include "tier/disk/spared_files.h"

#include <rocksdb/file_system.h>

#include <utility>

namespace candor::disk {

void WriteFailures::note(const std::string& what) {
  const MutexLock lock(mutex_);
  if (first_.empty()) first_ = what;
  any_.store(true, std::memory_order_release);
}

std::string WriteFailures::first() const {
  const MutexLock lock(mutex_);
  return first_;
}

void WriteFailures::forget() {
  const MutexLock lock(mutex_);
  first_.clear();
  any_.store(false, std::memory_order_release);
}

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using File = std::unique_ptr<rocksdb::FSWritableFile>;

class SparedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  SparedFile(File file, std::shared_ptr<WriteFailures> failures)
      : FSWritableFileOwnerWrapper(std::move(file)), failures_(std::move(failures)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return spare([&] { return target()->Append(data, options, debug); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& info,
                  IODebugContext* debug) override {
    return spare([&] { return target()->Append(data, options, info, debug); });
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    return spare([&] { return target()->PositionedAppend(data, offset, options, debug); });
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    return spare([&] { return target()->PositionedAppend(data, offset, options, info, debug); });
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return spare([&] { return target()->Truncate(size, options, debug); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    // Also after a failure: its descriptor has to go.
    const IOStatus status = target()->Close(options, debug);
    if (!status.ok()) failures_->note(status.ToString());
    return IOStatus::OK();
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return spare([&] { return target()->Flush(options, debug); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return spare([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return spare([&] { return target()->Fsync(options, debug); });
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return spare([&] { return target()->RangeSync(offset, bytes, options, debug); });
  }

 private:
  // What comes after a failure is not tried: it would leave a hole.
  template <typename Step>
  IOStatus spare(Step step) {
    if (has_failed_.load(std::memory_order_relaxed)) return IOStatus::OK();
    const IOStatus status = step();
    if (status.ok()) return status;
    has_failed_.store(true, std::memory_order_relaxed);
    failures_->note(status.IsNoSpace() ? "the disk is full" : status.ToString());
    return IOStatus::OK();
  }

  std::shared_ptr<WriteFailures> failures_;
  std::atomic<bool> has_failed_{false};
};

class SparingFiles final : public rocksdb::FileSystemWrapper {
 public:
  explicit SparingFiles(std::shared_ptr<WriteFailures> failures)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), failures_(std::move(failures)) {}

  const char* Name() const override { return "SparingFiles"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options, File* file,
                           IODebugContext* debug) override {
    return wrap(FileSystemWrapper::NewWritableFile(name, options, file, debug), file);
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options, File* file,
                              IODebugContext* debug) override {
    return wrap(FileSystemWrapper::ReopenWritableFile(name, options, file, debug), file);
  }
  IOStatus ReuseWritableFile(const std::string& name, const std::string& old, const FileOptions& options,
                             File* file, IODebugContext* debug) override {
    return wrap(FileSystemWrapper::ReuseWritableFile(name, old, options, file, debug), file);
  }

 private:
  IOStatus wrap(IOStatus status, File* file) const {
    if (status.ok()) {
      *file = std::make_unique<SparedFile>(std::move(*file), failures_);
    } else {
      failures_->note(status.ToString());  // no writer was made of it: RocksDB may hear
    }
    return status;
  }

  std::shared_ptr<WriteFailures> failures_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_sparing_env(std::shared_ptr<WriteFailures> failures) {
  return rocksdb::NewCompositeEnv(std::make_shared<SparingFiles>(std::move(failures)));
}

}  // namespace candor::disk
