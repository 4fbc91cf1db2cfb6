#include "app/disk_desk.h"

#include <spdlog/spdlog.h>

#include "base/hash.h"
#include "cache/freshness.h"
#include "io/files.h"
#include "tier/disk/rocks_store.h"

namespace candor::app {
namespace {

// One write and reads that wait for the flash, not for the processor.
constexpr std::size_t kThreads = 4;

// Names this start of the machine: its monotonic clock means something within it. Where nothing tells, every
// run is a start of its own.
std::uint64_t boot_id(SystemEntropy& entropy) {
  constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
  const auto text = read_file(kBootId, 256);
  return text && !text->empty() ? hash_bytes(*text, 0) : entropy.next_seed();
}

// Of everything that a value depends on beside its row, and of the grace that is part of its expiry.
std::uint64_t version_of_feature(const FeatureConfig& feature, const OriginConfig* origin) {
  std::string text = origin != nullptr ? origin->url : std::string();
  for (const std::string* part : {&feature.load, &feature.load_many}) text.append(1, '\0').append(*part);
  text.append(1, '\0').append(std::to_string(feature.serve_stale.count()));
  text.append(feature.watch ? "watched" : "");
  return hash_bytes(text, 1);
}

void tell(bool is_warning, const std::string& line) {
  spdlog::log(is_warning ? spdlog::level::warn : spdlog::level::info, "{}", line);
}

}  // namespace

Result<std::unique_ptr<DiskDesk>> DiskDesk::open(const Config& config, RunningLoop* home,
                                                 const SystemClock* clock, SystemEntropy* entropy,
                                                 std::vector<std::string>* notes) {
  disk::RocksOptions where;
  where.path = config.disk->path;
  where.disk_bytes = config.disk->size;
  where.memory_bytes = config.disk->memory;
  auto opened = disk::open_rocks_store(where);
  if (!opened) return std::unexpected(std::move(opened.error()));
  if (!opened->note.empty()) notes->push_back(opened->note);
  std::unique_ptr<DiskDesk> desk(new DiskDesk);
  desk->pool_ = std::make_unique<ThreadPool>(kThreads, "disk");
  disk::DiskTier::World world;
  world.home = &home->loop();
  world.clock = clock;
  world.pool = desk->pool_.get();
  world.seed = entropy->next_seed();
  world.tell = tell;
  disk::DiskTier::Options options;
  options.disk_bytes = config.disk->size;
  options.write_rate = config.disk->write_rate;
  options.boot = boot_id(*entropy);
  // Other nodes' commands and breaks of the feed would not be heard of while this one is down.
  options.keeps_over_restart = !config.stream || config.stream->url == "memory:";
  options.held_flag = kHeldByDisk;
  options.never_flags = kPendingWrite;
  home->run_there([&] {
    desk->tier_ = std::make_unique<disk::DiskTier>(std::move(world), options, std::move(opened->store));
  });
  return desk;
}

DiskDesk::~DiskDesk() = default;

void DiskDesk::add_feature(const FeatureConfig& feature, const OriginConfig* origin) {
  const bool may_be_read =
      tiers_may_answer(feature.consistency) || feature.consistency == Consistency::kBounded;
  tier_->add_feature(feature.name, version_of_feature(feature, origin), !feature.is_plain() && may_be_read);
}

}  // namespace candor::app
