// L2 in Redis or Valkey. Every step that checks and then acts is one Lua script (redis_scripts.h).
//
// Names, P being the prefix: data P"c:{feature:key}", lease P"l:{feature:key}", marker P"m:{feature:key}";
// of a tag, P"t:{tag}".
//
// Invariants
//   - What comes back is trusted only as far as its checksum; a broken entry is a miss, counted, and
//   overwritten by
//     the next fill.
//   - Everything that this tier stores expires: no ttl is kNoTtl, so that an age is always known by Redis's
//   clock.
// Thread safety: one executor.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/executor.h"
#include "base/random.h"
#include "base/transport.h"
#include "tier/l2.h"
#include "tier/l2/entry_format.h"
#include "tier/l2/redis_client.h"

namespace candor::l2 {

class RedisL2 final : public L2 {
 public:
  struct Options {
    redis::ClientOptions client;     // hello.scripts is set by RedisL2
    std::string prefix = "candor:";  // what two installations in one database must not share
    FormatOptions format{};
  };
  // Ten years: "keeps it until evicted", in a form that still tells the age.
  static constexpr Duration kNoTtl = 87'600h;

  RedisL2(Executor* executor, Transport* transport, Options options, std::uint64_t seed);

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
  // Leases first, then entries: what is there afterwards was loaded after the call began. Markers stay, as
  // they guard against loads and end by themselves. By SCAN: its time grows with all keys of the database.
  Task<Result<void>> clear(std::string prefix) override;
  [[nodiscard]] std::uint64_t connection() const override { return client_.connection(); }
  void use_tags(const TagRules* rules) override { tags_ = rules; }
  Task<Result<void>> invalidate_tag(std::string tag, Duration hold) override;
  [[nodiscard]] L2Stats stats() const override;
  [[nodiscard]] std::string describe() const override { return client_.describe(); }

  [[nodiscard]] redis::Client& client() { return client_; }

 private:
  // The reply of a script, with the server's errors as errors.
  Task<Result<resp::RespValue>> run(std::size_t script, std::string key, std::vector<std::string> args);
  // Absent if the entry is broken.
  std::optional<L2Entry> read_entry(std::span<const resp::RespValue> value_and_ttl);
  Result<L2State> read_state(const Result<resp::RespValue>& reply);
  // Of all names of the prefix. A cluster would need one for each slot; redis+cluster:// is not offered yet.
  [[nodiscard]] std::string tag_key(std::string_view tag) const;
  [[nodiscard]] std::string state_key() const { return options_.prefix + "state"; }
  L2Seen read_seen(const resp::RespValue& reply);
  Task<Result<void>> unlink_matching(std::string pattern);
  [[nodiscard]] std::uint64_t new_token();

  Options options_;
  Random random_;
  const TagRules* tags_ = nullptr;
  L2Stats stats_;
  redis::Client client_;  // last: its end answers what is outstanding, and those answers use the rest
};

}  // namespace candor::l2
