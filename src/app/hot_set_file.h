// The hot set on disk, data_dir/hot-set: written now and then and at the end, read at the next start.
//
// A walk over L1 and the file's writing are the pool's; losing the file costs a cold start, never service:
// what goes wrong is a line in the log. Thread safety: the cache's home executor, but for what the pool does.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/transport.h"
#include "tier/l1/store.h"
#include "warm/hot_set.h"

namespace candor::app {

class HotSetFile {
 public:
  using Write = std::function<void(bool is_warning, const std::string& line)>;
  // Pool, clock and store outlive this.
  HotSetFile(const std::string& data_dir, std::size_t keys_max, const l1::Store* store, BlockingPool* pool,
             const Clock* clock, Write write);
  ~HotSetFile();
  HotSetFile(const HotSetFile&) = delete;
  HotSetFile& operator=(const HotSetFile&) = delete;

  // Keys of 4 KiB each would be larger than any file that is read back.
  static constexpr std::size_t kBytesMax = std::size_t{256} << 20;
  static constexpr std::size_t kEntriesPerStep = 4096;
  // A walk and its file may take this share of one core.
  static constexpr int kIdlePerWork = 50;

  struct Counted {
    FeatureId feature;
    std::string key;
    double reads = 0.0;
  };
  // Begins a walk, unless one is under way; `node` is written down with it.
  void save(std::vector<warm::HotSetBuilder::Feature> features, std::vector<Counted> counted,
            std::string node);
  [[nodiscard]] bool is_saving() const { return shared_->is_saving.load(); }
  // Not before the last walk has been made up for.
  [[nodiscard]] Duration rest() const { return Duration(shared_->took.load()) * kIdlePerWork; }
  // As save(), and returns when it is written; for the end. What is under way is waited for.
  void save_now(std::vector<warm::HotSetBuilder::Feature> features, std::vector<Counted> counted,
                std::string node);
  // Says what went wrong since, once each.
  void say();

  // Blocking; on the pool. kNotFound: there is no file.
  [[nodiscard]] static Result<std::string> read(const std::string& path);
  [[nodiscard]] const std::string& path() const { return shared_->path; }

 private:
  struct Shared {
    std::string path;
    std::size_t keys_max = 0;
    const l1::Store* store = nullptr;
    const Clock* clock = nullptr;
    std::atomic<bool> is_saving{false}, is_over{false};
    std::atomic<std::int64_t> took{0};  // nanoseconds
    Mutex mutex;
    std::string problem CANDOR_GUARDED_BY(mutex);
    void run(std::vector<warm::HotSetBuilder::Feature> features, const std::vector<Counted>& counted,
             const std::string& node);
  };
  void wait();

  BlockingPool* pool_;
  Write write_;
  std::shared_ptr<Shared> shared_;
  std::string said_;
};

}  // namespace candor::app
