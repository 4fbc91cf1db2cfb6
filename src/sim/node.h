// A node of a region in the simulator: the daemon's engine without sockets. Cache, publisher, applier and
// stores are the real ones; database, shared tier, stream and network are models.
//
// Each start of the process builds everything anew; a crash ends the loops first, lets what waits unwind, and
// takes the rest away. Thread safety: none. The read and the writes below are called on the node's process.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/cache.h"
#include "cache/session_tokens.h"
#include "invalidation/applier.h"
#include "invalidation/publisher.h"
#include "sim/database_client.h"
#include "sim/shared_log.h"
#include "sim/shared_tier.h"

namespace candor::sim {

// Requires candor's own Tier and sim's: candor::Tier is the cache's answer.
struct NodeOptions {
  std::string region;
  std::vector<FeaturePolicy> features;
  Duration probe_period = 200ms;
  std::size_t l1_bytes = std::size_t{1} << 20;
  unsigned keys_swept_per_second = 0;
  bool has_disk = false;
};

class SimNode {
 public:
  SimNode(World& world, Network& network, Process& process, Database& database, SharedTier& tier,
          SharedLog& log, NodeOptions options);
  ~SimNode();
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  [[nodiscard]] Process& process() { return process_; }
  [[nodiscard]] const std::string& name() const { return process_.name(); }
  [[nodiscard]] PlaceId place() const { return place_; }
  // Told when the process dies, before anything of it is gone.
  void on_death(std::function<void()> tell) { tell_death_ = std::move(tell); }
  // Told of each change of a key ("feature:key") that was applied here.
  void on_applied(std::function<void(std::string_view name)> tell) { tell_applied_ = std::move(tell); }

  struct Read {
    std::string feature, key;
    std::optional<Consistency> level;  // none: the feature's own
    Duration bound{0};
    const SessionToken* token = nullptr;  // the session's; borrowed for the call
  };
  struct Answer {
    std::uint64_t version = kAbsent;
    candor::Tier tier = candor::Tier::kOrigin;
    bool degraded = false;
    std::int64_t fresh_within_ns = -1;
  };
  void read(const Read& wanted, std::function<void(Result<Answer>)> done);
  void write(const std::string& feature, const std::string& key, std::uint64_t version,
             std::function<void(Result<void>)> done);
  void invalidate(const std::string& feature, const std::string& key, std::function<void(Result<void>)> done);
  void issue_token(std::function<void(Result<SessionToken>)> done);
  void check_token(SessionToken token, std::function<void(Result<void>)> done);

  // What L1 would serve at level eventual. For the end of a run; the process is up.
  [[nodiscard]] std::optional<std::uint64_t> held(const std::string& feature, const std::string& key);
  // May the cache read the tier, after all that it has missed?
  [[nodiscard]] bool uses_shared_tier() const;
  // Of all lives of the process.
  void add_swept(std::array<std::uint64_t, kReconciledKinds>* sum) const;
  [[nodiscard]] ApplierStatus applier_status() const;
  [[nodiscard]] PublisherStatus publisher_status() const;

 private:
  struct Life;
  void start();
  void stop();
  void keep_up();
  void note_swept();

  World& world_;
  Network& network_;
  Process& process_;
  PlaceId place_;
  Database& database_;
  SharedTier& tier_;
  SharedLog& log_;
  NodeOptions options_;
  std::function<void()> tell_death_;
  std::function<void(std::string_view)> tell_applied_;
  std::array<std::uint64_t, kReconciledKinds> swept_{};  // of the lives before
  std::unique_ptr<Life> life_;
};

// The one origin of every simulation.
inline constexpr const char* kOriginName = "db";

}  // namespace candor::sim
