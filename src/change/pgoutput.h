// PostgreSQL's logical replication, bytes to messages: the frames of a replication connection and, inside
// them, the messages of the pgoutput plugin, protocol version 1. Pure; views into the bytes that were given.
//
// Version 1 hands over a transaction when it has committed, as a whole. Version 2 would stream transactions
// that are still in progress, to be kept here until their commit or abort: memory of ours for something that
// PostgreSQL already keeps on its disk. A huge transaction is bounded by PostgresChanges instead.
//
// Layout (big endian): documentation of PostgreSQL 15, chapters 55.4 "Streaming Replication Protocol" and
// 55.9 "Logical Replication Message Formats".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "version/stamp.h"

namespace candor::pgoutput {

// ---- frames ----

struct WalData {
  std::string_view message;  // one pgoutput message
};
struct Keepalive {
  Position sent;  // everything that was committed at or below this has been sent before this frame
  std::int64_t server_time_us = 0;  // since 2000-01-01, as PostgreSQL counts
  bool reply_wanted = false;
};
using Frame = std::variant<WalData, Keepalive>;
[[nodiscard]] Result<Frame> decode_frame(std::string_view bytes);

// "Standby status update". `received` is what arrived, `confirmed` what the slot may forget.
[[nodiscard]] std::string encode_status(Position received, Position confirmed, std::int64_t time_us,
                                        bool reply_wanted);

// ---- messages ----

struct Begin {
  Position final_position;  // where the commit record begins
  WallTime committed;
  std::uint32_t xid = 0;
};
struct Commit {
  Position begin;
  Position end;  // the position of the transaction: a server's position at or above it includes the commit
  WallTime committed;
};
struct Column {
  bool in_identity = false;
  std::string_view name;
  std::uint32_t type = 0;
};
struct Relation {
  std::uint32_t id = 0;
  std::string_view schema;  // "pg_catalog" where the server sends none
  std::string_view name;
  char identity = 'd';  // d: default, n: nothing, f: full, i: an index
  std::vector<Column> columns;
};
struct Value {
  enum class Kind : std::uint8_t { kNull, kUnchanged, kText, kBinary } kind = Kind::kNull;
  std::string_view bytes;
};
using Tuple = std::vector<Value>;
struct Insert {
  std::uint32_t relation = 0;
  Tuple row;
};
// What is known of a row as it was: nothing, its identity's columns (others are null), or all.
enum class OldKind : char { kNone = 0, kIdentity = 'K', kFull = 'O' };
struct Update {
  std::uint32_t relation = 0;
  OldKind old_kind = OldKind::kNone;
  Tuple old_row;
  Tuple row;
};
struct Delete {
  std::uint32_t relation = 0;
  OldKind old_kind = OldKind::kIdentity;
  Tuple old_row;
};
struct Truncate {
  std::vector<std::uint32_t> relations;
};
// Origin, Type and Message: of no interest here, checked as far as they are read.
struct Ignored {
  char kind = 0;
};
using Message = std::variant<Begin, Commit, Relation, Insert, Update, Delete, Truncate, Ignored>;

// kCorrupt names the message and what is wrong with it, never its values.
[[nodiscard]] Result<Message> decode_message(std::string_view bytes);

}  // namespace candor::pgoutput
