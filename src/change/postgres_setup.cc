#include "change/postgres_setup.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "origin/postgres_identity.h"

namespace candor {
namespace {

std::string literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\0') continue;
    if (c == '\'') quoted.push_back('\'');
    quoted.push_back(c);
  }
  return quoted + "'";
}

std::uint64_t number(const std::string& text, int base = 10) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> found(1);
  for (const char c : text) {
    if (c == '\n') {
      found.emplace_back();
    } else {
      found.back().push_back(c);
    }
  }
  return found;
}

// A walsender of ours that counted as a synchronous standby would hold every commit until its change is
// confirmed, which waits for the commit to become visible.
bool counts_as_standby(const std::string& synchronous_standby_names, const std::string& our_name) {
  return synchronous_standby_names.find('*') != std::string::npos ||
         synchronous_standby_names.find(our_name) != std::string::npos;
}

// One row of the tables' statement.
struct TableRow {
  enum Column : int {
    kOrdinal,
    kPubExists,
    kPubFits,
    kOid,
    kShown,
    kKind,
    kPersistence,
    kKeys,
    kUsable,
    kCovered,
    kPublished,
    kFiltered,
    kState,
    kFolds,
    kMayPublish,
    kRole,
  };
};

}  // namespace

// ---- The server

std::string postgres_server_sql() {
  return "select current_setting('wal_level'), pg_is_in_recovery(), r.rolreplication or r.rolsuper, "
         "quote_ident(current_user), current_setting('synchronous_standby_names'), "
         "case when not pg_is_in_recovery() then pg_current_wal_insert_lsn() end, "
         "case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end, "
         "pg_snapshot_xmax(pg_current_snapshot()), pg_size_bytes(current_setting('wal_segment_size')), "
         "case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() end "
         "from pg_roles r where r.rolname = current_user";
}

PostgresServerFacts read_server_facts(const PostgresRows& rows, const PostgresNames& names) {
  PostgresServerFacts facts;
  if (rows.count() != 1) {
    facts.problem = "the server does not say who we are";
    return facts;
  }
  facts.next_xid = number(rows.text(0, 7));
  facts.timeline = static_cast<std::uint32_t>(number(rows.text(0, 6), 16));
  const auto insert = parse_postgres_position(rows.text(0, 5));
  if (insert) facts.position = postgres_end_of_log(*insert, number(rows.text(0, 8)));
  const auto flushed = parse_postgres_position(rows.text(0, 9));
  facts.unflushed = flushed && *flushed < facts.position;
  if (rows.is_true(0, 1)) {
    facts.problem =
        "this server is a standby, and changes are read from the primary: name the primary in the origin's "
        "url";
  } else if (rows.text(0, 0) != "logical") {
    facts.problem = fmt::format(
        "wal_level is {}; run as superuser: alter system set wal_level = 'logical'; and restart the server",
        rows.text(0, 0));
  } else if (!rows.is_true(0, 2)) {
    facts.problem = fmt::format(
        "role {0} may not read changes; run as superuser: alter role {0} replication;", rows.text(0, 3));
  } else if (counts_as_standby(rows.text(0, 4), names.slot_prefix)) {
    facts.problem = fmt::format(
        "synchronous_standby_names = '{}' would count the feed as a standby, and commits would wait for it: "
        "name "
        "the standbys there one by one, without '*' and {}",
        rows.text(0, 4), names.slot_prefix);
  }
  return facts;
}

// ---- Slots

std::string postgres_slots_sql(const PostgresNames& names) {
  return fmt::format(
      "select slot_name, active, coalesce(wal_status, '') = 'lost', active_pid, confirmed_flush_lsn, "
      "greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(restart_lsn, "
      "confirmed_flush_lsn)))::bigint "
      "from pg_replication_slots where {} order by active desc, slot_name",
      postgres_slot_condition(names.slot_prefix));
}

std::vector<PostgresSlot> read_slots(const PostgresRows& rows) {
  std::vector<PostgresSlot> slots;
  for (int row = 0; row < rows.count(); ++row) {
    PostgresSlot slot;
    slot.name = rows.text(row, 0);
    slot.active = rows.is_true(row, 1);
    slot.lost = rows.is_true(row, 2);
    slot.pid = rows.text(row, 3);
    slot.confirmed = parse_postgres_position(rows.text(row, 4)).value_or(Position{});
    slot.lag_bytes = number(rows.text(row, 5));
    slots.push_back(std::move(slot));
  }
  return slots;
}

// ---- Tables

std::string postgres_tables_sql(const PostgresNames& names, const std::vector<Watch>& watches) {
  std::string values;
  for (std::size_t i = 0; i < watches.size(); ++i) {
    std::string keys;
    for (const auto& key : watches[i].key_columns) keys += (keys.empty() ? "" : ", ") + literal(key);
    values +=
        fmt::format("{}({}, {}, array[{}]::text[])", i == 0 ? "" : ", ", i, literal(watches[i].table), keys);
  }
  // The leaves of a partitioned table are where rows, and identities, live. Columns of an identity: of the
  // primary key (d), of the chosen index (i), all (f), none (n).
  return fmt::format(
      "with w (ord, name, keys) as (values {0}), "
      "t as (select w.ord, w.keys, coalesce(to_regclass(w.name), to_regclass(quote_ident(w.name)))::oid as "
      "oid "
      "from w), "
      "k as (select t.ord, t.oid, array(select coalesce(a.attname::text, '') from unnest(t.keys) with "
      "ordinality "
      "u (name, i) left join lateral (select attname from pg_attribute where attrelid = t.oid and attnum > 0 "
      "and "
      "not attisdropped and attname in (u.name, lower(u.name), trim(both '\"' from u.name)) "
      "order by attname = u.name desc limit 1) a on true order by u.i) as keys from t), "
      "l as (select k.ord, p.relid::oid as oid from k cross join lateral pg_partition_tree(k.oid) p where "
      "p.isleaf union select k.ord, k.oid from k join pg_class c on c.oid = k.oid where c.relkind <> 'p'), "
      "d as (select l.ord, bool_and(c.relreplident = 'f' or i.columns is not null) as usable, "
      "bool_and(c.relreplident = 'f' or coalesce(k.keys <@ i.columns, false)) as covered, "
      "string_agg(l.oid::text || case when c.relispartition then '.' || c.relfilenode else '' end, ' ' "
      "order by l.oid) as leaves from l join k on k.ord = l.ord join pg_class c on c.oid = l.oid left join "
      "lateral (select array_agg(a.attname::text) as columns from pg_index x join pg_attribute a on "
      "a.attrelid = x.indrelid and a.attnum = any (x.indkey) where x.indrelid = l.oid and x.indisvalid and "
      "case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident else false end) i on "
      "true "
      "group by l.ord) "
      "select k.ord, p.oid is not null, p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate and "
      "p.pubviaroot, c.oid, c.oid::regclass, c.relkind, c.relpersistence, array_to_string(k.keys, E'\\n'), "
      "coalesce(d.usable, c.relkind = 'p'), coalesce(d.covered, c.relkind = 'p'), v.tablename is not null, "
      "coalesce(to_jsonb(v) ->> 'rowfilter', '') <> '', "
      "md5(concat(c.oid, ' ', d.leaves, ' ', (select string_agg(a.attnum || a.attname || a.atttypid || "
      "a.attisdropped, ' ' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > "
      "0), "
      "' ', d.covered, ' ', p.oid, ' ', p.xmin, ' ', (select r.oid from pg_publication_rel r where r.prpubid "
      "= "
      "p.oid and r.prrelid = c.oid))), "
      "exists (select from pg_attribute a join pg_collation o on o.oid = a.attcollation where a.attrelid = "
      "c.oid and a.attname = any (k.keys) and not o.collisdeterministic), "
      "pg_has_role(c.relowner, 'usage') and (p.oid is null or pg_has_role(p.pubowner, 'usage')), "
      "quote_ident(current_user) "
      "from k left join pg_class c on c.oid = k.oid left join pg_namespace n on n.oid = c.relnamespace "
      "left join d on d.ord = k.ord left join pg_publication p on p.pubname = {1} "
      "left join pg_publication_tables v on v.pubname = p.pubname and v.schemaname = n.nspname and "
      "v.tablename = c.relname order by k.ord",
      values, literal(names.publication));
}

namespace {

std::string table_problem(const PostgresRows& rows, int row, const PostgresNames& names, const Watch& watch) {
  const auto at = fmt::format("features.{}.watch: ", watch.feature);
  const auto shown = rows.text(row, TableRow::kShown);
  const auto kind = rows.text(row, TableRow::kKind);
  if (shown.empty())
    return at + fmt::format("there is no table {}; correct its name, or make it", watch.table);
  if (kind != "r" && kind != "p") {
    return at + fmt::format("{} is no table (a view, a foreign table): watch the tables behind it", shown);
  }
  if (rows.text(row, TableRow::kPersistence) != "p") {
    return at +
           fmt::format(
               "{0} is unlogged or temporary, its changes are in no log; run: alter table {0} set logged;",
               shown);
  }
  const auto keys = lines(rows.text(row, TableRow::kKeys));
  for (std::size_t i = 0; i < watch.key_columns.size(); ++i) {
    if (i >= keys.size() || keys[i].empty()) {
      return at + fmt::format("table {} has no column {}", shown, watch.key_columns[i]);
    }
  }
  if (rows.is_true(row, TableRow::kFolds)) {
    return at + fmt::format(
                    "a key column of {} has a nondeterministic collation: a row would be found under other "
                    "spellings, which no change names; watch it by a column with an ordinary collation",
                    shown);
  }
  if (!rows.is_true(row, TableRow::kUsable)) {
    return at +
           fmt::format(
               "{0} has no replica identity (no primary key?): once published, PostgreSQL would refuse every "
               "update and delete of it; run first: alter table {0} replica identity full;",
               shown);
  }
  if (rows.is_true(row, TableRow::kFiltered)) {
    return at +
           fmt::format("the publication shows only some rows of {0}: alter its entry to have no where clause",
                       shown);
  }
  if (!rows.is_true(row, TableRow::kPublished) && rows.is_true(row, TableRow::kPubExists) &&
      !rows.is_true(row, TableRow::kMayPublish)) {
    return at + fmt::format(
                    "{0} is not published, and role {1} may not publish it; run as its owner who owns the "
                    "publication too, or as superuser: alter publication {2} add table {0};",
                    shown, rows.text(row, TableRow::kRole), names.publication);
  }
  return "";
}

// `good`: by row, whether the table can be watched.
std::string publish_sql(const PostgresRows& rows, const PostgresNames& names, const std::vector<bool>& good) {
  // A publication that is new is made of what our role may publish; one that may publish nothing is told all.
  bool any_ours = false;
  for (int row = 0; row < rows.count(); ++row)
    any_ours = any_ours || (good[static_cast<std::size_t>(row)] && rows.is_true(row, TableRow::kMayPublish));
  std::vector<std::string> missing;
  for (int row = 0; row < rows.count(); ++row) {
    if (!good[static_cast<std::size_t>(row)]) continue;
    if (any_ours && !rows.is_true(row, TableRow::kMayPublish)) continue;
    const auto shown = rows.text(row, TableRow::kShown);
    if (!rows.is_true(row, TableRow::kPublished) &&
        std::find(missing.begin(), missing.end(), shown) == missing.end())
      missing.push_back(shown);
  }
  std::string list;
  for (const auto& table : missing) list += (list.empty() ? "" : ", ") + table;
  if (!rows.is_true(0, TableRow::kPubExists)) {
    return fmt::format("create publication {} for table {} with (publish_via_partition_root = true);",
                       names.publication, list);
  }
  std::string sql;
  if (!rows.is_true(0, TableRow::kPubFits)) {
    sql = fmt::format(
        "alter publication {} set (publish = 'insert, update, delete, truncate', publish_via_partition_root "
        "= true);",
        names.publication);
  }
  if (!list.empty())
    sql +=
        fmt::format("{}alter publication {} add table {};", sql.empty() ? "" : " ", names.publication, list);
  return sql;
}

}  // namespace

PostgresTablesFacts read_tables_facts(const PostgresRows& rows, const PostgresNames& names,
                                      const std::vector<Watch>& watches) {
  PostgresTablesFacts facts;
  if (static_cast<std::size_t>(rows.count()) != watches.size()) {
    facts.problem = "the catalog does not answer for each watched table";
    return facts;
  }
  std::map<std::string, std::size_t> by_oid;
  std::vector<bool> good;
  std::vector<std::string> states{rows.is_true(0, TableRow::kPubFits) ? "whole" : "partial"};
  for (int row = 0; row < rows.count(); ++row) {
    const auto& watch = watches[static_cast<std::size_t>(row)];
    const auto problem = table_problem(rows, row, names, watch);
    good.push_back(problem.empty());
    states.push_back(fmt::format("{} {} {} {} {}", watch.feature, fmt::join(watch.key_columns, ":"),
                                 problem.empty() ? rows.text(row, TableRow::kState) : "",
                                 rows.is_true(row, TableRow::kPublished) ? "published" : "", problem));
    if (!problem.empty()) {
      facts.unheard.push_back({watch.feature, problem});
      continue;
    }
    const auto oid = rows.text(row, TableRow::kOid);
    const auto [place, is_new] = by_oid.emplace(oid, facts.tables.size());
    if (is_new) {
      facts.tables.push_back(
          {static_cast<std::uint32_t>(number(oid)), rows.text(row, TableRow::kShown), {}, {}});
    }
    auto& table = facts.tables[place->second];
    table.uses.push_back({watch.feature, lines(rows.text(row, TableRow::kKeys))});
    table.identity_covers.push_back(rows.is_true(row, TableRow::kCovered));
  }
  // In whatever order the configuration names them.
  std::ranges::sort(states);
  facts.fingerprint = fmt::format("{}", fmt::join(states, "\n"));
  if (facts.tables.empty()) {
    for (const Unheard& one : facts.unheard)
      facts.problem += (facts.problem.empty() ? "" : "; ") + one.reason;
    return facts;
  }
  facts.publication_is_new = !rows.is_true(0, TableRow::kPubExists);
  facts.publish_sql = publish_sql(rows, names, good);
  return facts;
}

}  // namespace candor
