#include "app/hot_set_file.h"

#include <fmt/core.h>

#include <utility>

#include "io/files.h"

namespace candor::app {

HotSetFile::HotSetFile(const std::string& data_dir, std::size_t keys_max, const l1::Store* store,
                       BlockingPool* pool, const Clock* clock, Write write)
    : pool_(pool), write_(std::move(write)), shared_(std::make_shared<Shared>()) {
  shared_->path = data_dir + "/hot-set";
  shared_->keys_max = keys_max;
  shared_->store = store;
  shared_->clock = clock;
}

HotSetFile::~HotSetFile() {
  shared_->is_over = true;
  wait();
}

void HotSetFile::wait() {
  while (shared_->is_saving.load()) shared_->is_saving.wait(true);
}

void HotSetFile::Shared::run(std::vector<warm::HotSetBuilder::Feature> features,
                             const std::vector<Counted>& counted, const std::string& node) {
  const MonoTime began = clock->now();
  warm::HotSetBuilder builder(std::move(features), keys_max);
  std::uint64_t cursor = 0;
  do {
    const auto see = [&](const l1::Store::Visited& one) {
      if (!one.view.meta.negative) builder.see(one.feature, one.key, one.accesses);
    };
    cursor = store->scan(cursor, kEntriesPerStep, clock->now().ms(), see);
  } while (cursor != 0 && !is_over);
  std::string trouble;
  if (!is_over) {
    for (const Counted& one : counted) builder.counted(one.feature, one.key, one.reads);
    warm::HotSet set = builder.take();
    set.at = clock->wall();
    set.node = node;
    // Keys may tell of people.
    const auto written = write_file_atomic(path, warm::encode_hot_set(set), 0600);
    if (!written) trouble = written.error().message;
  }
  took = (clock->now() - began).count();
  {
    const MutexLock lock(mutex);
    problem = trouble;
  }
  is_saving.store(false);
  is_saving.notify_all();
}

void HotSetFile::save(std::vector<warm::HotSetBuilder::Feature> features, std::vector<Counted> counted,
                      std::string node) {
  if (shared_->is_saving.exchange(true)) return;
  pool_->run([shared = shared_, features = std::move(features), counted = std::move(counted),
              node = std::move(node)]() mutable { shared->run(std::move(features), counted, node); });
}

void HotSetFile::save_now(std::vector<warm::HotSetBuilder::Feature> features, std::vector<Counted> counted,
                          std::string node) {
  wait();
  shared_->is_saving = true;
  shared_->run(std::move(features), counted, node);
  say();
}

void HotSetFile::say() {
  std::string problem;
  {
    const MutexLock lock(shared_->mutex);
    problem = shared_->problem;
  }
  if (problem == said_) return;
  said_ = problem;
  if (problem.empty()) return write_(false, "warming: the hot set is written again");
  write_(true, fmt::format("warming: {}; the next start would begin cold", problem));
}

Result<std::string> HotSetFile::read(const std::string& path) {
  if (!file_exists(path)) return fail(ErrorCode::kNotFound, path + ": no such file");
  return read_file(path, kBytesMax);
}

}  // namespace candor::app
