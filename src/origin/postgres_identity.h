// How PostgreSQL names what Candor compares: log positions, transaction ids with their epoch, snapshots, and
// which history they belong to. Pure.
//
// *Incarnation.* The replication slot of a region carries it in its name:
//
//     candor_<region>_<origin>_<timeline>_<nonce>        candor_eu_shop_1_9f3c01d2ab54
//
// A slot dies with everything that breaks the history that it guards: it is not in a base backup, not on a
// standby that is promoted, and its nonce is drawn when it is made. What could carry a slot over (PostgreSQL
// 17's failover slots, a promoted copy of the files) begins another timeline, which no longer fits the name.
// So the name is the history's identity. It survives restarts of everybody, any role can read it, and whoever
// may read changes may make slots. Alternatives: system identifier and timeline alone do not notice a slot
// that was made again, nor a base backup that was started as it is; a comment on the publication notices
// that, but is its owner's to write, and all regions share it.
//
// *What the nonce remembers.* Whoever may read changes can make and copy slots, and nothing else that every
// leader sees and no crash takes away. So the nonce's three parts are: drawn | a hash of what stood behind
// the watched tables | a hash of the position that the slot was made at. A leader that finds other tables
// than the slot's name says knows that changes may have been missed, whoever died meanwhile; one that finds a
// slot from which nothing was ever confirmed knows that nobody may have been told of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "version/change.h"
#include "version/stamp.h"

namespace candor {

// "candor_eu_shop": what the slots of a region and an origin have in common. Bytes that a slot's name cannot
// have become '_'; what is too long is cut, with a hash of the whole in place of the rest.
[[nodiscard]] std::string postgres_slot_prefix(std::string_view region, std::string_view origin);
[[nodiscard]] std::string postgres_publication_name(std::string_view origin);

struct PostgresSlotName {
  std::uint32_t timeline = 0;
  std::uint64_t nonce = 0;  // 48 bits
};
inline constexpr std::uint64_t kPostgresNonceMask = (std::uint64_t{1} << 48) - 1;
// `tables`: what stands behind the watched tables, as text. `made`: the slot's first confirmed position;
// none: not known yet.
[[nodiscard]] std::uint64_t postgres_nonce(std::uint64_t random, std::string_view tables,
                                           std::optional<Position> made);
[[nodiscard]] bool postgres_nonce_is_of(std::uint64_t nonce, std::string_view tables);
[[nodiscard]] bool postgres_nonce_knows_its_place(std::uint64_t nonce);
// Nothing has been confirmed since the slot was made, or nobody can say.
[[nodiscard]] bool postgres_nonce_is_new(std::uint64_t nonce, Position confirmed);
[[nodiscard]] std::string postgres_slot_name(std::string_view prefix, PostgresSlotName parts);
// Nothing, when `name` is not a slot of this prefix.
[[nodiscard]] std::optional<PostgresSlotName> parse_postgres_slot_name(std::string_view prefix,
                                                                       std::string_view name);
// The same as a condition in SQL on pg_replication_slots: names of another origin may begin with the prefix.
[[nodiscard]] std::string postgres_slot_condition(std::string_view prefix);
// Of a slot's name, while the server is on the slot's timeline; else unknown (0).
[[nodiscard]] Incarnation postgres_incarnation(std::string_view prefix, std::string_view slot_name,
                                               std::uint32_t timeline);

// "16/B374D848"; nothing when it is no log position.
[[nodiscard]] std::optional<Position> parse_postgres_position(std::string_view text);
[[nodiscard]] std::string postgres_position_text(Position position);

// The server says where the next record's bytes would begin: behind the head of a page, when a page is just
// full. A feed that has read everything stands at the page's boundary, and would never reach that.
[[nodiscard]] Position postgres_end_of_log(Position insert, std::uint64_t segment_bytes);

// "10:20:10,14,15": pg_snapshot's text.
struct PostgresSnapshot {
  std::uint64_t xmin = 0;  // everything below has ended
  std::uint64_t xmax = 0;  // nothing from here on has
  Stamp stamp;
};
[[nodiscard]] std::optional<PostgresSnapshot> parse_postgres_snapshot(std::string_view text);

// A 32-bit transaction id as the one nearest to `near`: PostgreSQL keeps all that are in use within 2^31.
[[nodiscard]] constexpr std::uint64_t extend_xid(std::uint64_t near, std::uint32_t xid) {
  const auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(near));
  const auto signed_near = static_cast<std::int64_t>(near);
  return signed_near + distance < 0 ? xid : static_cast<std::uint64_t>(signed_near + distance);
}

// The 32-bit id of the transaction that made a row, as a ChangeId that is not too low: a frozen row's may be
// any number of epochs old, and is taken for the latest that it may be, the one below `next`. 0: before every
// snapshot (the bootstrap's and frozen ids).
[[nodiscard]] constexpr ChangeId row_version(std::uint64_t next, std::uint32_t xmin) {
  constexpr std::uint32_t kFirstNormal = 3;
  if (xmin < kFirstNormal) return {};
  const std::uint64_t epoch = next >> 32;
  std::uint64_t full = epoch << 32 | xmin;
  if (full >= next && epoch > 0) full -= std::uint64_t{1} << 32;
  return ChangeId{full};
}

}  // namespace candor
