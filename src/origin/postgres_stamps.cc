#include "origin/postgres_stamps.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/hash.h"
#include "origin/postgres_identity.h"
#include "origin/postgres_value.h"

namespace candor {
namespace {

// Keys of one confirmation: a short-lived map, bounded by kKeysPerConfirmation.
constexpr std::uint64_t kConfirmSeed = 0xc0f1;

std::string_view text_at(const PGresult* rows, int row, int column) {
  if (row >= PQntuples(rows) || column >= PQnfields(rows) || PQgetisnull(rows, row, column)) return {};
  return {PQgetvalue(rows, row, column), static_cast<std::size_t>(PQgetlength(rows, row, column))};
}

template <class T>
T number(std::string_view text, int base = 10) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::string literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted.push_back('\'');
    quoted.push_back(c);
  }
  return quoted + "'";
}

// As SQL reads the name, for comparison with the catalog: quoted as it is, else in small letters.
std::string catalog_name(std::string_view name) {
  if (name.size() >= 2 && name.front() == '"' && name.back() == '"') {
    return std::string(name.substr(1, name.size() - 2));
  }
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

}  // namespace

std::string stamped_sql(std::string_view load) {
  // The line breaks end a comment that the statement may end with.
  return fmt::format(
      "select s.snapshot, q.* from (select pg_catalog.pg_current_snapshot()::text as snapshot) s "
      "left join (select true as found, l.* from (\n{}\n) l) q on true",
      load);
}

Stamp stamp_of_rows(const PGresult* rows) {
  const auto snapshot = parse_postgres_snapshot(text_at(rows, 0, 0));
  return snapshot ? snapshot->stamp : Stamp{};
}

bool is_spelled_as_the_row(const SqlRequest& request, const SqlStatement& statement,
                           const std::vector<Oid>& types) {
  const auto parts = split_key(request.feature->name(), request.key, request.feature->statements.key_parts);
  if (!parts) return false;
  for (std::size_t i = 0; i < statement.parameters.size(); ++i) {
    if (i >= types.size()) return false;
    if (!has_one_spelling(types[i], parameter_bytes(request, statement.parameters[i], *parts))) return false;
  }
  return true;
}

namespace {

// What names the history (postgres_identity.h): the timeline in hexadecimal, and the region's slot.
constexpr std::string_view kTimelineSql = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";

std::string slot_sql(std::string_view slot_prefix) {
  if (slot_prefix.empty()) return "''";
  return fmt::format(
      "(select slot_name::text from pg_catalog.pg_replication_slots where coalesce(wal_status, '') <> 'lost' "
      "and {} order by active desc, slot_name limit 1)",
      postgres_slot_condition(slot_prefix));
}

// All slots of the region, those too whose log was removed: one that is gone was dropped, or is of another
// history.
std::string slots_sql(std::string_view slot_prefix) {
  if (slot_prefix.empty()) return "''";
  return fmt::format(
      "(select string_agg(slot_name::text, ' ' order by slot_name) from pg_catalog.pg_replication_slots "
      "where {})",
      postgres_slot_condition(slot_prefix));
}

Result<PostgresPlace> place_of(const PGresult* rows, int timeline, int snapshot, int slots) {
  const auto seen = parse_postgres_snapshot(text_at(rows, 0, snapshot));
  if (!seen) return fail(ErrorCode::kOriginDown, "the server does not say where it stands");
  PostgresPlace place;
  place.is_primary = true;
  place.timeline = number<std::uint32_t>(text_at(rows, 0, timeline), 16);
  place.next = seen->xmax;
  place.slots = text_at(rows, 0, slots);
  return place;
}

Incarnation incarnation_of(const PGresult* rows, int timeline, int slot, std::string_view slot_prefix) {
  return postgres_incarnation(slot_prefix, text_at(rows, 0, slot),
                              number<std::uint32_t>(text_at(rows, 0, timeline), 16));
}

}  // namespace

std::string probe_sql(std::string_view slot_prefix) {
  return fmt::format(
      "select pg_current_wal_insert_lsn(), {}, "
      "pg_current_snapshot()::text, pg_size_bytes(current_setting('wal_segment_size')), {}, "
      "(select string_agg(transactionid::text, ' ') from pg_catalog.pg_locks where locktype = "
      "'transactionid' "
      "and granted), {}",
      kTimelineSql, slot_sql(slot_prefix), slots_sql(slot_prefix));
}

Result<OriginProbe> read_probe(const PGresult* rows, std::string_view slot_prefix) {
  const auto insert = parse_postgres_position(text_at(rows, 0, 0));
  const auto snapshot = parse_postgres_snapshot(text_at(rows, 0, 2));
  if (!insert || !snapshot) return fail(ErrorCode::kOriginDown, "the server does not say where it stands");
  OriginProbe probe;
  probe.position = postgres_end_of_log(*insert, number<std::uint64_t>(text_at(rows, 0, 3)));
  probe.incarnation = incarnation_of(rows, 1, 4, slot_prefix);
  probe.all_up_to = snapshot->stamp.up_to;
  std::uint64_t next = snapshot->xmax;
  for (auto rest = text_at(rows, 0, 5); !rest.empty();) {
    const auto space = std::min(rest.find(' '), rest.size());
    next = std::max(next, extend_xid(snapshot->xmax, number<std::uint32_t>(rest.substr(0, space))) + 1);
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  probe.next = ChangeId{next};
  return probe;
}

Result<PostgresPlace> read_probe_place(const PGresult* rows) { return place_of(rows, 1, 2, 6); }

// A crash throws the server's statistics away, and a restart does not (nor does it lose commits).
constexpr const char* kUnsafeSinceSql =
    "(select stats_reset::text from pg_stat_bgwriter where current_setting('synchronous_commit') = 'off')";

std::string place_sql(std::string_view slot_prefix) {
  return fmt::format(
      "select pg_is_in_recovery(), case when not pg_is_in_recovery() then {} end, "
      "pg_current_snapshot()::text, {}, {}",
      kTimelineSql, slots_sql(slot_prefix), kUnsafeSinceSql);
}

Result<PostgresPlace> read_place(const PGresult* rows) {
  auto place = place_of(rows, 1, 2, 3);
  if (!place) return place;
  place->is_primary = text_at(rows, 0, 0) == "f";
  place->unsafe_since = text_at(rows, 0, 4);
  return place;
}

std::string confirm_sql(const FeatureStatements& feature, std::size_t keys, std::string_view slot_prefix) {
  const auto& columns = feature.watch_columns;
  std::string names, text, where;
  for (const auto& column : columns) {
    names += (names.empty() ? "" : ", ") + literal(catalog_name(column));
    text += fmt::format("{}t.{}::text", text.empty() ? "" : " || ':' || ", column);
  }
  if (columns.size() == 1) {
    where = fmt::format("t.{} = any ($1)", columns.front());
  } else {
    std::size_t parameter = 0;
    for (std::size_t key = 0; key < keys; ++key) {
      where += key == 0 ? "(" : " or (";
      for (std::size_t i = 0; i < columns.size(); ++i) {
        where += fmt::format("{}t.{} = ${}", i == 0 ? "" : " and ", columns[i], ++parameter);
      }
      where += ")";
    }
  }
  // Of two rows with one key, one could go and leave the other as it was.
  return fmt::format(
      "select s.snapshot, s.is_unique, q.k, q.version, s.timeline, s.slot from (select "
      "pg_current_snapshot()::text as snapshot, {5} as timeline, {6} as slot, "
      "exists "
      "(select from pg_catalog.pg_index i where i.indrelid = {0}::regclass and i.indisunique and "
      "i.indisvalid and "
      "i.indpred is null and i.indexprs is null and (select array_agg(a.attname::text) from "
      "pg_catalog.pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey)) <@ "
      "array[{1}]::text[]) as is_unique) s left join (select {2} as k, t.xmin::text as version from {3} t "
      "where {4}) q on true",
      literal(feature.watch_table), names, text, feature.watch_table, where, kTimelineSql,
      slot_sql(slot_prefix));
}

std::optional<std::vector<std::string>> confirm_parameters(const FeatureStatements& feature,
                                                           const std::vector<Confirmation>& asked) {
  std::vector<std::string> parameters;
  const auto columns = feature.watch_columns.size();
  if (columns == 1) {
    auto& array = parameters.emplace_back("{");
    for (const auto& one : asked) {
      array += array.size() > 1 ? ",\"" : "\"";
      for (const char c : one.key) {
        if (c == '"' || c == '\\') array.push_back('\\');
        array.push_back(c);
      }
      array.push_back('"');
    }
    array.push_back('}');
    return parameters;
  }
  for (const auto& one : asked) {
    const auto parts = split_key(feature.feature, one.key, static_cast<std::uint8_t>(columns));
    if (!parts) return std::nullopt;
    parameters.insert(parameters.end(), parts->begin(), parts->end());
  }
  return parameters;
}

std::vector<bool> read_confirmations(const PGresult* rows, const std::vector<Confirmation>& asked,
                                     std::string_view slot_prefix) {
  std::vector<bool> confirmed(asked.size(), false);
  const auto snapshot = parse_postgres_snapshot(text_at(rows, 0, 0));
  if (!snapshot || text_at(rows, 0, 1) != "t") return confirmed;
  const Incarnation history = incarnation_of(rows, 4, 5, slot_prefix);
  std::unordered_map<std::string_view, ChangeId, SeededHash> versions(16, SeededHash{kConfirmSeed});
  for (int row = 0; row < PQntuples(rows); ++row) {
    const auto version = text_at(rows, row, 3);
    if (version.empty()) continue;
    versions[text_at(rows, row, 2)] = row_version(snapshot->xmax, number<std::uint32_t>(version));
  }
  std::size_t matched = 0;
  for (const auto& one : asked) matched += versions.contains(one.key) ? 1 : 0;
  // A row that was found under another spelling of some key: nothing is certain about absent ones then.
  const bool surplus = matched < versions.size();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const HeldRow& held = asked[i].held;
    if (!held.stamp.is_known() || held.history.value == 0 || held.history != history) continue;
    const auto found = versions.find(asked[i].key);
    if (found == versions.end()) {
      confirmed[i] = held.negative && !surplus;
    } else {
      confirmed[i] = !held.negative && found->second <= held.stamp.up_to;
    }
  }
  return confirmed;
}

}  // namespace candor
