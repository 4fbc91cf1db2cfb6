// The write-behind logs of one node: opens them, says what the last run left, and switches features between
// through and behind.
//
// A log is opened at a start for each feature that writes behind or that the controller may switch, and for
// each that has one on disk: what an earlier run left there goes to the origin, whatever the feature is
// configured to do now. Everything else is opened when a feature is switched. Thread safety: open() and
// drain() on the engine's owner's thread; everything else on home.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/control_service.h"
#include "cache/cache.h"
#include "io/running_loop.h"
#include "io/thread_pool.h"

namespace candor::app {

class WriteBehindDesk {
 public:
  struct World {
    CacheCore* cache = nullptr;
    RunningLoop* home = nullptr;
    ThreadPool* pool = nullptr;
    EntropySource* entropy = nullptr;
    const Clock* clock = nullptr;
  };
  // `directory`: data_dir/write-behind.
  WriteBehindDesk(World world, std::string directory, WriteBehindConfig config)
      : world_(world), directory_(std::move(directory)), config_(config) {}

  // Before traffic; blocks. Gives what an earlier run left a moment to reach the origin: readers see it in
  // any case.
  struct Note {
    bool is_warning = false;
    std::string text;
  };
  [[nodiscard]] Result<std::vector<Note>> open(const std::vector<FeatureConfig>& features,
                                               const std::vector<OriginConfig>& origins);

  // Switches a feature, safely at any time (CacheCore::set_write_mode); opens its log first where there is
  // none. `done` on home. The lever of the controller, and what a reload does.
  void set_write_mode(const FeatureConfig& feature, write_behind::WriteMode mode, Duration window,
                      std::function<void(Result<void>)> done);

  // As NodeControl::writes(). On home.
  [[nodiscard]] Task<Result<std::vector<NodeControl::Letter>>> dead_letters(NodeControl::Writes asked);

  // Brings what is pending to the origins, until `until`. Returns how many writes stay in their logs for the
  // next start.
  [[nodiscard]] std::size_t drain(MonoTime until);
  [[nodiscard]] bool is_idle() const;
  // What there is to say of them, for `degraded`.
  [[nodiscard]] std::vector<std::string> troubles() const;

 private:
  struct Opened {
    std::unique_ptr<write_behind::Log> log;
    write_behind::Log::Recovered recovered;
  };
  [[nodiscard]] std::string directory_of(const std::string& feature) const;
  [[nodiscard]] write_behind::Log::Options log_options() const;
  [[nodiscard]] write_behind::WriteBehind::Options options(const FeatureConfig& feature) const;
  [[nodiscard]] Result<Opened> open_log(const std::string& feature) const;
  void take_up(const FeatureConfig& feature, FeatureId id, Opened opened);
  void note_orphans(const std::vector<FeatureConfig>& features, std::vector<Note>& notes);
  void wait_for_replay(std::vector<Note>& notes);
  [[nodiscard]] std::vector<write_behind::WriteBehind*> all() const;

  World world_;
  std::string directory_;
  WriteBehindConfig config_;
  std::vector<std::string> orphans_;  // features that are gone, and have writes in their log
  std::vector<std::string> opening_;  // home's
};

}  // namespace candor::app
