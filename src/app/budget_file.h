// Keeps the windows of the budgets over restarts: data_dir/budget-windows, written anew now and then and at
// the end. The book is turned into bytes where it lives; the file is written on the pool.
//
// Losing the file loses history, never the node's service: whatever goes wrong is a line in the log.
// Thread safety: none, but for what the pool does; the owner waits for it in the destructor.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/time.h"
#include "base/transport.h"
#include "monitor/budget_book.h"

namespace candor::app {

class BudgetFile {
 public:
  using Write = std::function<void(bool is_warning, const std::string& line)>;
  BudgetFile(const std::string& data_dir, BlockingPool* pool, Write write);

  // What a crash may lose; and of a large book, so long that writing it stays below kBytesPerSecond.
  static constexpr Duration kPeriod = 1min;
  static constexpr std::size_t kBytesPerSecond = 256 << 10;
  // 4096 features with both ways of judging in use.
  static constexpr std::size_t kBytesMax = std::size_t{512} << 20;

  // Before the first reads are added.
  void restore(BudgetBook& book, const Clock& clock);
  // Call it often; it writes when it is time.
  void save_if_due(const BudgetBook& book, const Clock& clock);
  // At the end: returns when the file is written. Not while save_if_due() may still be called.
  void save_now(const BudgetBook& book, const Clock& clock);

 private:
  // Shared with the pool's thread, which may finish after this is gone.
  struct Shared {
    std::string path;
    std::atomic<bool> is_writing{false};
    Mutex mutex;
    std::string problem CANDOR_GUARDED_BY(mutex);
    // Writes whole files, one after another.
    void write(const std::string& bytes);
  };
  void say(const std::string& problem);

  BlockingPool* pool_;
  Write write_;
  std::shared_ptr<Shared> shared_;
  std::string said_;
  MonoTime next_{0};
};

}  // namespace candor::app
