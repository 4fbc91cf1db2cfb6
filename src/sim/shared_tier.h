// A model of the tier that the nodes of a region share, by the contract of tier/l2.h: leases, markers,
// generations and what it remembers of the region's invalidations. Written against the contract, not after
// MemoryL2 or the Redis scripts, and copyable, so that it can be put back to what it was: a flush, an old
// dump, a replica that lagged.
//
// Its clock is its process's: entries age by it, leases and markers end by it.
// Thread safety: none; runs as a process of the world.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "sim/history.h"
#include "sim/network.h"
#include "tier/l2.h"
#include "version/marker.h"

namespace candor::sim {

class SharedTier {
 public:
  SharedTier(World& world, Network& network, Process& process, History* history);
  SharedTier(const SharedTier&) = delete;
  SharedTier& operator=(const SharedTier&) = delete;

  [[nodiscard]] PlaceId place() const { return place_; }
  [[nodiscard]] Process& process() { return process_; }
  // Counts starts: a restore is one.
  [[nodiscard]] std::uint64_t life() const { return restores_ + process_.life(); }

  // ---- what commands do; on the tier's process ----
  L2Lookup get_or_lease(const std::string& key, Duration lease_ttl, bool refresh);
  std::optional<L2Entry> get(const std::string& key);
  L2FillVerdict fill(const std::string& key, LeaseToken token, L2Entry entry);
  void release(const std::string& key, LeaseToken token);
  void put(const std::string& key, L2Entry entry);
  bool invalidate(const std::string& key, L2Marker marker);
  [[nodiscard]] L2State state() const { return data_.state; }
  Result<L2State> advance(L2State at_least);
  L2State raise_generation(L2State at_least);
  void hold_marker(const std::string& key, ChangeId change, Duration hold);
  void clear(const std::string& prefix);

  // ---- faults ----
  void forget_everything();
  // Back to a state of up to a minute ago: what was stored since is lost.
  void restore_old(Random& random);

  // What a lookup would find now: for the end of a run.
  struct Held {
    std::string key;
    std::uint64_t version;
  };
  [[nodiscard]] std::vector<Held> holdings();

 private:
  struct Node {
    std::optional<L2Entry> entry;  // `age` when it was stored
    MonoTime stored_at, expires_at;
    std::uint64_t token = 0;
    MonoTime lease_until;
    std::size_t lease_span = 0;  // in the history
    Marker marker;
    MonoTime marker_until;
  };
  struct Data {
    std::map<std::string, Node, std::less<>> nodes;
    L2State state;
  };

  [[nodiscard]] Node* find(const std::string& key);
  [[nodiscard]] L2Entry read(const Node& node) const;
  void end_lease(Node& node);
  void drop_if_empty(const std::string& key);
  void take_dumps();
  void tell(const std::string& what, std::uint64_t number) const;

  World& world_;
  Process& process_;
  PlaceId place_;
  History* history_;
  Random random_;
  Data data_;
  std::uint64_t restores_ = 0;
  struct Dump {
    TrueTime at;
    Data data;
  };
  std::deque<Dump> dumps_;
};

// A node's client of it.
class SharedTierClient final : public L2 {
 public:
  SharedTierClient(Network& network, PlaceId node, SharedTier& tier)
      : network_(network), node_(node), tier_(tier) {}

  Task<Result<L2Lookup>> get_or_lease(std::string key, Duration lease_ttl, bool refresh) override;
  Task<Result<std::optional<L2Entry>>> get(std::string key) override;
  Task<Result<L2FillVerdict>> fill(std::string key, LeaseToken token, L2Entry entry) override;
  Task<Result<void>> release(std::string key, LeaseToken token) override;
  Task<Result<void>> put(std::string key, L2Entry entry) override;
  Task<Result<L2Seen>> look(std::string key) override;
  Task<Result<L2Swap>> swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                            bool keep_ttl) override;
  Task<Result<bool>> invalidate(std::string key, L2Marker marker) override;
  Task<Result<L2State>> state() override;
  Task<Result<L2State>> advance(L2State at_least) override;
  Task<Result<L2State>> raise_generation(L2State at_least) override;
  Task<Result<void>> hold_marker(std::string key, ChangeId change, Duration hold) override;
  Task<Result<void>> clear(std::string prefix) override;
  [[nodiscard]] std::uint64_t connection() const override { return *connection_; }
  [[nodiscard]] L2Stats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "simulated"; }

 private:
  template <class T, class Command>
  Task<Result<T>> ask(Command command);
  template <class Command>
  Task<Result<void>> tell(Command command);

  Network& network_;
  PlaceId node_;
  SharedTier& tier_;
  // The life of the tier that answered last. Shared with commands under way, which may outlive this.
  std::shared_ptr<std::uint64_t> connection_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace candor::sim
