// What the sessions of one event loop share. Belongs to that loop's thread, except post().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "server/feature_table.h"
#include "tier/l1/store.h"

namespace candor::server {

class Session;

// Consecutive reads of one key each (GET) that are looked up together. Sixty-four cover a usual pipeline and
// keep the batch (6 KB) in the first-level cache.
inline constexpr std::size_t kReadBatchMax = 64;

struct ReadBatch {
  std::size_t size = 0;
  bool needs_proof = false;  // a bounded feature is among them
  std::vector<l1::Store::Lookup> lookups = std::vector<l1::Store::Lookup>(kReadBatchMax);
  std::vector<const Feature*> features = std::vector<const Feature*>(kReadBatchMax);
  std::vector<Proof> proofs = std::vector<Proof>(kReadBatchMax);  // where needs_proof says so
};

class LoopState : public std::enable_shared_from_this<LoopState> {
 public:
  explicit LoopState(Executor* executor) : executor_(executor) {}

  [[nodiscard]] Executor& executor() { return *executor_; }
  void add(std::uint64_t id, Session* session) { sessions_.emplace(id, session); }
  void remove(std::uint64_t id) { sessions_.erase(id); }
  [[nodiscard]] Session* find(std::uint64_t id) const {
    const auto it = sessions_.find(id);
    return it == sessions_.end() ? nullptr : it->second;
  }
  // On this loop's thread only.
  [[nodiscard]] const std::unordered_map<std::uint64_t, Session*>& sessions() const { return sessions_; }

  // Runs `work` on this loop with the session, if it still is there. Any thread; at once when on the loop's
  // own.
  template <class F>
  void with_session(std::uint64_t id, F work) {
    if (executor_->is_current()) {
      if (Session* session = find(id)) work(*session);
      return;
    }
    executor_->post([self = shared_from_this(), id, work = std::move(work)]() mutable {
      if (Session* session = self->find(id)) work(*session);
    });
  }

  ReadBatch batch;
  FeatureTable::Recent recent;
  std::string muted;     // where replies go that nobody wants (CLIENT REPLY OFF)
  unsigned batches = 0;  // for the sampling of hit times

 private:
  Executor* executor_;
  std::unordered_map<std::uint64_t, Session*> sessions_;  // ids are ours, nobody outside chooses them
};

}  // namespace candor::server
