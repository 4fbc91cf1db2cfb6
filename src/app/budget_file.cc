#include "app/budget_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "io/files.h"

namespace candor::app {

BudgetFile::BudgetFile(const std::string& data_dir, BlockingPool* pool, Write write)
    : pool_(pool), write_(std::move(write)), shared_(std::make_shared<Shared>()) {
  shared_->path = data_dir + "/budget-windows";
}

void BudgetFile::Shared::write(const std::string& bytes) {
  const auto written = write_file_atomic(path, bytes, 0640);
  const MutexLock lock(mutex);
  problem = written ? std::string() : written.error().message;
  is_writing.store(false);
  is_writing.notify_all();
}

void BudgetFile::restore(BudgetBook& book, const Clock& clock) {
  next_ = clock.now() + kPeriod;
  if (!file_exists(shared_->path)) return;
  const auto warn = [&](const std::string& text) {
    write_(true, fmt::format("budgets: {}: {}", shared_->path, text));
  };
  const auto bytes = read_file(shared_->path, kBytesMax);
  if (!bytes) return warn(fmt::format("{}; the windows of the budgets begin empty", bytes.error().message));
  const auto lines = book.restore(*bytes, clock.now(), clock.wall());
  if (!lines) return warn(lines.error().message);
  for (const std::string& line : *lines) warn(line);
}

void BudgetFile::save_if_due(const BudgetBook& book, const Clock& clock) {
  const MonoTime now = clock.now();
  if (now < next_ || shared_->is_writing.load()) return;
  {
    const MutexLock lock(shared_->mutex);
    say(shared_->problem);
  }
  std::string bytes = book.save(now, clock.wall());
  next_ = now + std::max<Duration>(kPeriod, std::chrono::seconds(bytes.size() / kBytesPerSecond));
  shared_->is_writing.store(true);
  pool_->run([shared = shared_, bytes = std::move(bytes)] { shared->write(bytes); });
}

void BudgetFile::save_now(const BudgetBook& book, const Clock& clock) {
  // One that is still under way holds older bytes; it must not come after these.
  while (shared_->is_writing.load()) shared_->is_writing.wait(true);
  shared_->write(book.save(clock.now(), clock.wall()));
  const MutexLock lock(shared_->mutex);
  say(shared_->problem);
}

void BudgetFile::say(const std::string& problem) {
  if (problem == said_) return;
  said_ = problem;
  if (problem.empty()) return write_(false, "budgets: their windows are written again");
  write_(true, fmt::format("budgets: {}; a restart would forget their history", problem));
}

}  // namespace candor::app
