// L2: the store that the nodes of a region share. Behind it: this process's memory (`memory:`), Redis or
// Valkey.
//
// What L2 promises the read path
//   - A lookup that misses gives one caller a lease: until the lease ends, others are told that a load is
//   under way
//     (one loader per key per region). A lease is cancelled by an invalidation.
//   - fill() stores only if the lease is still held and the entry's stamp includes the marker that an
//     invalidation may have left. Check and store are one atomic step in the tier. A late fill therefore
//     loses.
//   - Nothing here is an authority: every failure is a Result, and the caller goes on to the origin.
//
// Thread safety: one executor. All calls and all completions happen on its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/breaker.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "tier/tags.h"
#include "version/stamp.h"

namespace candor {

struct L2Entry {
  std::string value;
  bool negative = false;  // the origin had no such row
  Stamp stamp;
  Duration age{
      0};  // since the load began, by L2's clock and the ttl it was stored with: no clocks are compared
  Duration ttl_left{0};  // 0: no expiry
  // Of L2 when the lease for this load was given; an entry of an older generation is a miss. For a fill: that
  // of the lookup that gave the lease.
  std::uint32_t generation = 0;
  // Which invalidations of the key's tags the load came after, in the same way; 0: the key has no tags.
  std::uint64_t tag_mark = 0;
};

struct LeaseToken {
  std::uint64_t value = 0;  // 0: none. Random, so that tokens of a crashed node never match.
};

// What L2 remembers of the region's invalidations, in L2 itself, so that an L2 which lost writes (flushed,
// restored from an old dump, failed over to a lagging replica) shows it.
struct L2State {
  std::uint32_t generation = 0;  // raised to make every older entry a miss
  std::uint64_t told = 0;        // counts the batches of invalidations that were stored
  friend constexpr auto operator<=>(const L2State&, const L2State&) = default;
};

struct L2Lookup {
  enum class State : std::uint8_t {
    kHit,    // `entry` is set
    kLease,  // absent; the caller got `token` and shall load, then fill() or release()
    kBusy,   // absent; another node holds the lease: ask again in a little while
  } state = State::kBusy;
  L2Entry entry;
  LeaseToken token;
  L2State l2;                  // read in the same atomic step
  std::uint64_t tag_mark = 0;  // with a lease: for the fill
};

enum class L2FillVerdict : std::uint8_t { kStored, kLeaseLost, kMarkerNewer };

// What an invalidation leaves behind: a load that does not include `change` may not be stored until `hold`
// has passed. Change 0 (no change feed): only leases are cancelled.
struct L2Marker {
  ChangeId change;
  Duration hold{0};
};

// A plain value as it was seen, and how to recognise it again.
struct L2Seen {
  std::optional<L2Entry> entry;
  std::string mark;  // opaque; empty: nothing was there. The same bytes have the same mark.
};

struct L2Swap {
  bool done = false;
  L2Seen now;  // when not done: what is there instead
};

struct L2Stats {
  bool connected = true;
  bool breaker_open = false;
  Breaker::State breaker = Breaker::State::kClosed;
  std::uint64_t hits = 0, misses = 0, errors = 0, timeouts = 0, reconnects = 0;
  std::uint64_t fills_refused = 0;
  std::uint64_t bytes = 0, bytes_limit = 0;  // 0: not known (remote)
  std::uint64_t corrupt = 0;                 // entries that failed their checksum and were treated as misses
  std::uint64_t breaker_opened = 0;          // times
  std::uint64_t demotions = 0;  // connections left because the server had become a read-only replica
};

// Keys are whole names, `feature:key`. Implementations pipeline calls that are made in one turn of the loop.
class L2 {
 public:
  virtual ~L2() = default;
  // With `refresh` an entry that exists is no reason not to load: the first caller gets a lease beside it
  // (readers keep hitting the entry meanwhile), later ones get kBusy.
  virtual Task<Result<L2Lookup>> get_or_lease(std::string key, Duration lease_ttl, bool refresh) = 0;
  // Without a lease: plain features.
  virtual Task<Result<std::optional<L2Entry>>> get(std::string key) = 0;
  virtual Task<Result<L2FillVerdict>> fill(std::string key, LeaseToken token, L2Entry entry) = 0;
  // Gives a lease back without a fill (the load failed).
  virtual Task<Result<void>> release(std::string key, LeaseToken token) = 0;
  // Unconditional store, for plain features; `entry.ttl_left` 0 keeps it until evicted.
  virtual Task<Result<void>> put(std::string key, L2Entry entry) = 0;
  // For changes that depend on the value: look, decide, swap if it still is what was seen. A swap without an
  // entry removes. With `keep_ttl` (only where something was seen) the new entry expires when the old one
  // would have.
  virtual Task<Result<L2Seen>> look(std::string key) = 0;
  virtual Task<Result<L2Swap>> swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                                    bool keep_ttl) = 0;
  // Removes the entry, cancels leases, leaves the marker. True if an entry was there.
  virtual Task<Result<bool>> invalidate(std::string key, L2Marker marker) = 0;
  // ---- for the publisher of changes ----
  [[nodiscard]] virtual Task<Result<L2State>> state() = 0;
  // The markers of a batch are stored: counts `told` up and answers the new state. An L2 that knows less than
  // `at_least`, the highest state that the caller has heard of, has lost writes: kCorrupt, and nothing is
  // changed.
  virtual Task<Result<L2State>> advance(L2State at_least) = 0;
  // Makes every entry that is there a miss, in one step. The answer is above `at_least`.
  virtual Task<Result<L2State>> raise_generation(L2State at_least) = 0;
  // The marker of `key` lasts for `hold` from now: longer as long as its change is not visible, shorter once
  // it is. Nothing if it has none, or one that names other changes beside `change`, when it would be
  // shortened.
  virtual Task<Result<void>> hold_marker(std::string key, ChangeId change, Duration hold) = 0;
  // ---- tags: an entry that was filled before one of its tags was invalidated is a miss ----
  // A tier without tags of its own drops everything.
  // Which tags a key has. Before traffic; outlives this.
  virtual void use_tags(const TagRules* /*rules*/) {}
  // In one step, however many keys have it. `hold`: longer than any entry lives that was filled before.
  virtual Task<Result<void>> invalidate_tag(std::string /*tag*/, Duration /*hold*/) { return clear({}); }

  // Drops every entry whose key begins with `prefix` (empty: all that this tier holds for Candor), and
  // cancels every lease, in bounded steps.
  virtual Task<Result<void>> clear(std::string prefix) = 0;
  // Counts connections. While it is the same, what was answered was stored by one life of one server; when it
  // has changed, the server may have started anew from an older dump meanwhile.
  [[nodiscard]] virtual std::uint64_t connection() const { return 1; }
  [[nodiscard]] virtual L2Stats stats() const = 0;
  [[nodiscard]] virtual std::string describe() const = 0;  // "memory", "redis 127.0.0.1:6379/0"; no password
};

}  // namespace candor
