#include "sim/node_disk.h"

#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "cache/freshness.h"

namespace candor::sim {
namespace {

constexpr Duration kEvictPeriod = 40ms;
// Of the entries that are looked at; the rest stay, so that some are evicted young and some old.
constexpr std::uint64_t kOneEvictedOf = 4;
constexpr Duration kAccessMin = 100us;
constexpr Duration kAccessMax = 3ms;
// A device that collects its garbage: some do so often and long.
constexpr Duration kHiccupMax = 500ms;
constexpr std::uint64_t kOneHiccupOfMin = 4;
constexpr std::uint64_t kOneHiccupOfMax = 64;

}  // namespace

NodeDisk::Pool::Pool(Process* process)
    : process_(process),
      random_(process->next_seed()),
      home_(this),
      one_hiccup_of_(kOneHiccupOfMin << random_.below(std::bit_width(kOneHiccupOfMax / kOneHiccupOfMin))) {}

Duration NodeDisk::Pool::takes() {
  const Duration most = random_.below(one_hiccup_of_) == 0 ? kHiccupMax : kAccessMax;
  return kAccessMin + Duration{static_cast<std::int64_t>(
                          random_.below(static_cast<std::uint64_t>((most - kAccessMin).count())))};
}

void NodeDisk::Pool::run(std::move_only_function<void()> work) {
  process_->schedule(process_->now() + takes(),
                     [self = shared_from_this(), work = std::move(work)]() mutable {
                       self->is_at_work_ = true;
                       work();
                       self->is_at_work_ = false;
                     });
}

void NodeDisk::Pool::Home::post(Work work) {
  if (!pool_->is_at_work_) return pool_->process_->post(std::move(work));
  pool_->process_->schedule(now() + pool_->takes(),
                            [pool = pool_->shared_from_this(), work = std::move(work)]() mutable { work(); });
}

NodeDisk::NodeDisk(Process* process)
    : process_(process), random_(process->next_seed()), pool_(std::make_shared<Pool>(process)) {
  disk::DiskTier::World world;
  world.home = pool_->home();
  world.clock = process;
  world.pool = pool_.get();
  world.seed = process->next_seed();
  disk::DiskTier::Options options;
  options.disk_bytes = std::uint64_t{1} << 20;
  options.write_rate = 0;
  options.held_flag = kHeldByDisk;
  options.never_flags = kPendingWrite;
  tier_ = std::make_unique<disk::DiskTier>(std::move(world), options, std::make_shared<disk::TestingStore>());
}

NodeDisk::~NodeDisk() = default;

void NodeDisk::evict_from(l1::Store* store) {
  std::vector<std::pair<FeatureId, std::string>> held;
  const l1::Millis now = process_->now().ms();
  (void)store->scan(0, 1000, now, [&](const l1::Store::Visited& one) {
    if (random_.below(kOneEvictedOf) == 0) held.emplace_back(one.feature, one.key);
  });
  for (const auto& [feature, key] : held) {
    const l1::KeyHash hash = store->hash(feature, key);
    {
      const l1::Store::ReadGuard guard(*store);
      l1::EntryView view;
      if (!store->peek(guard, hash, feature, key, now, &view)) continue;
      tier_->on_evicted(feature, hash, key, view);
    }
    (void)store->erase(hash, feature, key, now);
  }
  process_->schedule(process_->now() + kEvictPeriod,
                     [this, store, process = process_, life = process_->life()] {
                       if (process->is_up() && process->life() == life) evict_from(store);
                     });
}

}  // namespace candor::sim
