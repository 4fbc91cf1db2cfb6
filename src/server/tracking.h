// Who has to hear that a key changed: the connections that keep values on their side (CLIENT TRACKING). Fed
// by the cache's invalidations and by the changes of plain values in this node's L1.
//
// Invariants
//   - A key is remembered before its value is read, so that no change can fall between the two.
//   - A key is told once to those who read it, and then forgotten until they read it again; members in
//   broadcast mode hear of every key under their prefixes.
//   - A value that the cache would not keep itself, because it knows or must fear a newer one, is told again
//   behind the reply that carries it: nobody else would.
//   - Bounded: when the table is full, the oldest keys are told as if they had changed.
//   - Whoever tracks nothing pays one atomic load per invalidation.
// Thread safety: any thread. No lock is held while a session is called.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "cache/observer.h"
#include "server/feature_table.h"
#include "server/loop_state.h"

namespace candor::server {

class Tracking final : public Observer {
 public:
  // As Redis' tracking-table-max-keys.
  static constexpr std::size_t kKeysMax = 1'000'000;
  // Connections that remember one key, on average, at which the table counts as full too.
  static constexpr std::size_t kReadersPerKey = 4;

  struct Address {
    std::shared_ptr<LoopState> loop;
    std::uint64_t session = 0;
  };
  struct Options {
    std::optional<Address> redirect;
    bool broadcast = false;
    bool no_loop = false;
    std::vector<std::string> prefixes;  // of broadcast; an empty one matches every key
  };
  // A connection that tracks.
  class Member;
  using MemberPtr = std::shared_ptr<Member>;

  // What one connection has to be told, on its own loop.
  struct Push {
    Address owner;                            // who tracks
    Address receiver;                         // who is told
    std::shared_ptr<const std::string> name;  // null: everything that it holds
    bool own_change = false;                  // the owner's own change of this key is under way
  };

  explicit Tracking(std::uint64_t seed, std::size_t keys_max = kKeysMax);
  ~Tracking() override;
  // Before traffic: how clients name keys.
  void use_names(const FeatureTable* names, const CacheCore* cache) {
    names_ = names;
    cache_ = cache;
  }

  [[nodiscard]] MemberPtr join(Address owner, Options options);
  void change(const MemberPtr& member, Options options);
  void leave(const MemberPtr& member);
  // `prefixed`: the key was named with its feature's prefix.
  void remember(const MemberPtr& member, KeyRef key, bool prefixed);

  [[nodiscard]] bool is_used() const { return members_count_.load() > 0; }
  [[nodiscard]] std::size_t members() const { return members_count_.load(); }
  [[nodiscard]] std::size_t keys();

  // A change through the cache: between the two calls on_invalidate() knows whose it is.
  void begin_change(KeyRef key, std::uint64_t session);
  void end_change(KeyRef key, std::uint64_t session);
  // A plain value changed, by this session.
  void on_change(KeyRef key, std::uint64_t session);

  // Somebody was given a value of this key that may be old already.
  void on_doubtful(KeyRef key);

  void on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) override;
  void on_invalidate(KeyRef key, const char* cause) override;
  void on_invalidate_feature(std::optional<FeatureId> feature) override;

 private:
  struct OwnKey {
    FeatureId feature;
    std::string key;
    operator KeyRef() const { return {feature, key}; }  // NOLINT: the same key
  };
  struct Hash {
    using is_transparent = void;
    std::uint64_t seed = 0;
    std::size_t operator()(KeyRef key) const { return hash_bytes(key.key, seed + key.feature.value); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(KeyRef a, KeyRef b) const { return a.feature == b.feature && a.key == b.key; }
  };
  struct Reader {
    MemberPtr member;
    bool prefixed = false;
    bool bare = false;
  };
  struct Entry {
    std::vector<Reader> readers;
    std::list<const OwnKey*>::iterator age;
  };
  using Table = std::unordered_map<OwnKey, Entry, Hash, Equal>;

  void tell(KeyRef key, std::optional<std::uint64_t> writer, bool through_cache);
  void tell_readers(Table::iterator entry, std::optional<std::uint64_t> skipped, std::vector<Push>* pushes)
      CANDOR_REQUIRES(mutex_);
  void tell_broadcast(KeyRef key, std::optional<std::uint64_t> skipped, std::vector<Push>* pushes)
      CANDOR_REQUIRES(mutex_);
  void make_room(std::vector<Push>* pushes) CANDOR_REQUIRES(mutex_);
  [[nodiscard]] bool changes_now(KeyRef key, std::uint64_t session) CANDOR_REQUIRES(mutex_);
  [[nodiscard]] std::string bare_name(KeyRef key) const;
  [[nodiscard]] std::string prefixed_name(KeyRef key) const;
  static void deliver(std::vector<Push> pushes);

  const std::size_t keys_max_;
  const FeatureTable* names_ = nullptr;
  const CacheCore* cache_ = nullptr;
  std::atomic<std::size_t> members_count_{0};
  Mutex mutex_;
  std::vector<MemberPtr> members_ CANDOR_GUARDED_BY(mutex_);
  Table table_ CANDOR_GUARDED_BY(mutex_);
  std::list<const OwnKey*> by_age_ CANDOR_GUARDED_BY(mutex_);  // oldest first
  std::size_t readers_ CANDOR_GUARDED_BY(mutex_) = 0;
  // Who changes a key through the cache right now.
  std::unordered_map<OwnKey, std::vector<std::uint64_t>, Hash, Equal> changes_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::server
