// A node's disk tier in the simulator: the real DiskTier over a store in memory that takes its time, and
// evictions without a full L1, because a few keys never fill one. What a thread of the pool has read or
// written reaches the tier some time after it was done, and in no order.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "base/executor.h"
#include "base/random.h"
#include "base/transport.h"
#include "sim/process.h"
#include "tier/disk/disk_tier.h"
#include "tier/disk/testing_store.h"
#include "tier/l1/store.h"

namespace candor::sim {

class NodeDisk {
 public:
  explicit NodeDisk(Process* process);
  ~NodeDisk();
  NodeDisk(const NodeDisk&) = delete;
  NodeDisk& operator=(const NodeDisk&) = delete;

  [[nodiscard]] disk::DiskTier& tier() { return *tier_; }
  // Evicts some of what L1 holds, now and for as long as the process lives.
  void evict_from(l1::Store* store);

 private:
  // Threads whose work is done some time later; reads overtake writes. What they post to their home arrives
  // when they are scheduled again.
  class Pool final : public BlockingPool, public std::enable_shared_from_this<Pool> {
   public:
    explicit Pool(Process* process);
    void run(std::move_only_function<void()> work) override;
    [[nodiscard]] Executor* home() { return &home_; }

   private:
    class Home final : public Executor {
     public:
      explicit Home(Pool* pool) : pool_(pool) {}
      void post(Work work) override;
      void at_end_of_turn(Work work) override { pool_->process_->at_end_of_turn(std::move(work)); }
      TimerId schedule(MonoTime at, Work work) override {
        return pool_->process_->schedule(at, std::move(work));
      }
      void cancel(TimerId timer) override { pool_->process_->cancel(timer); }
      [[nodiscard]] MonoTime now() const override { return pool_->process_->now(); }
      [[nodiscard]] bool is_current() const override { return pool_->process_->is_current(); }

     private:
      Pool* pool_;
    };
    [[nodiscard]] Duration takes();

    Process* process_;
    Random random_;
    Home home_;
    std::uint64_t one_hiccup_of_;
    bool is_at_work_ = false;
  };

  Process* process_;
  Random random_;
  std::shared_ptr<Pool> pool_;  // with what is under way
  std::unique_ptr<disk::DiskTier> tier_;
};

}  // namespace candor::sim
