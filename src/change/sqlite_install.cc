#include "change/sqlite_install.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "change/sqlite_triggers.h"
#include "origin/sqlite_change_log.h"

namespace candor {
namespace {

// A migration or a backup may hold the lock for a while; whoever types a command waits.
constexpr Duration kInstallPatience = 10s;

struct Plan {
  std::string table, columns;
  SqliteTableShape shape;
  std::vector<std::string> key_columns;
  std::vector<std::string> warnings;
};

Error refused(const Watch& watch, const std::string& why) {
  return Error{ErrorCode::kConfiguration,
               fmt::format("features.{}.watch: table {}: {}", watch.feature, watch.table, why)};
}

Result<std::vector<std::string>> texts(SqliteHandle& db, const std::string& sql, std::string_view argument) {
  auto rows = db.query(sql);
  if (!rows) return std::unexpected(rows.error());
  rows->bind(1, argument);
  std::vector<std::string> out;
  for (;;) {
    const auto more = rows->step();
    if (!more) return std::unexpected(more.error());
    if (!*more) return out;
    out.emplace_back(rows->text(0));
  }
}

Result<void> check_kind(SqliteHandle& db, const Watch& watch, Plan* plan) {
  auto found = texts(db,
                     "select type || ' ' || coalesce(sql, '') from sqlite_master where name = ?1 collate "
                     "nocase and type in ('table', 'view')",
                     plan->table);
  if (!found) return std::unexpected(found.error());
  if (found->empty())
    return std::unexpected(refused(watch, "there is no such table in the file's main schema"));
  std::string kind = found->front().substr(0, 32);
  for (char& c : kind)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (kind.starts_with("view"))
    return std::unexpected(refused(
        watch, "is a view, and views have no changes of their own; watch the table whose rows it shows"));
  if (kind.starts_with("table create virtual"))
    return std::unexpected(
        refused(watch, "is a virtual table, which cannot have triggers; watch the table behind it"));
  if (plan->table.starts_with("sqlite_") || plan->table.starts_with("candor_"))
    return std::unexpected(refused(watch, "belongs to SQLite or to Candor"));
  return {};
}

Result<void> check_columns(SqliteHandle& db, const Watch& watch, Plan* plan) {
  auto columns = texts(db, "select lower(name) from pragma_table_xinfo(?1)", plan->table);
  if (!columns) return std::unexpected(columns.error());
  if (watch.key_columns.empty()) return std::unexpected(refused(watch, "no key column is named"));
  for (const std::string& key : watch.key_columns) {
    const std::string quoted = sqlite_watch_columns({key});
    const bool exists = std::ranges::any_of(
        *columns, [&](const std::string& c) { return sqlite_watch_columns({c}) == quoted; });
    if (!exists) return std::unexpected(refused(watch, fmt::format("has no column {}", key)));
  }
  plan->key_columns = watch.key_columns;
  return {};
}

Result<void> add_uniques(SqliteHandle& db, Plan* plan) {
  auto indexes =
      texts(db, "select name from pragma_index_list(?1) where \"unique\" order by name", plan->table);
  if (!indexes) return std::unexpected(indexes.error());
  bool has_primary = false;
  for (const std::string& index : *indexes) {
    auto rows = db.query(
        "select x.cid, x.name, x.coll, l.origin from pragma_index_xinfo(?1) as x, pragma_index_list(?2) as l "
        "where l.name = ?1 and x.key order by x.seqno");
    if (!rows) return std::unexpected(rows.error());
    rows->bind(1, index).bind(2, plan->table);
    std::vector<SqliteTableShape::UniqueColumn> columns;
    bool has_expression = false;
    for (;;) {
      const auto more = rows->step();
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      has_expression = has_expression || rows->is_null(1);
      has_primary = has_primary || rows->text(3) == "pk";
      columns.push_back({std::string(rows->text(1)), std::string(rows->text(2))});
    }
    if (has_expression) {
      plan->warnings.push_back(fmt::format(
          "unique index {} of table {} is on an expression: a row that INSERT OR REPLACE deletes because of "
          "it "
          "is not seen; delete it by a statement of its own, or turn `pragma recursive_triggers` on",
          index, plan->table));
    } else {
      plan->shape.uniques.push_back(std::move(columns));
    }
  }
  if (has_primary) return {};
  // `integer primary key`: the rowid, which has no index of its own.
  auto primary = texts(db, "select name from pragma_table_info(?1) where pk > 0", plan->table);
  if (!primary) return std::unexpected(primary.error());
  if (primary->size() == 1) plan->shape.uniques.push_back({{primary->front(), "binary"}});
  return {};
}

Result<Plan> plan_of(SqliteHandle& db, const Watch& watch) {
  Plan plan;
  auto table = sqlite_watch_table(watch.table);
  if (!table) return std::unexpected(refused(watch, table.error().message));
  plan.table = std::move(*table);
  plan.columns = sqlite_watch_columns(watch.key_columns);
  plan.shape.table = plan.table;
  if (auto good = check_kind(db, watch, &plan); !good) return std::unexpected(good.error());
  if (auto good = check_columns(db, watch, &plan); !good) return std::unexpected(good.error());
  if (auto good = add_uniques(db, &plan); !good) return std::unexpected(good.error());
  return plan;
}

bool stands_as_planned(SqliteHandle& db, const std::vector<SqliteTrigger>& triggers) {
  return std::ranges::all_of(triggers, [&](const SqliteTrigger& t) {
    auto sql = texts(db, "select sql from sqlite_master where type = 'trigger' and name = ?1", t.name);
    // SQLite keeps the statement's text, but writes the verb in capitals.
    constexpr std::size_t kVerb = std::string_view("create trigger").size();
    return sql && sql->size() == 1 && sql->front().substr(kVerb) == t.sql.substr(kVerb);
  });
}

Result<std::int64_t> number_of(SqliteHandle& db, const Plan& plan) {
  auto made = db.query("insert or ignore into candor_watches (tbl, columns, triggers) values (?1, ?2, -1)");
  if (!made) return std::unexpected(made.error());
  if (auto done = made->bind(1, plan.table).bind(2, plan.columns).step(); !done)
    return std::unexpected(done.error());
  auto rows = db.query("select id from candor_watches where tbl = ?1 and columns = ?2");
  if (!rows) return std::unexpected(rows.error());
  if (auto row = rows->bind(1, plan.table).bind(2, plan.columns).step(); !row)
    return std::unexpected(row.error());
  return rows->integer(0);
}

Result<void> drop_triggers(SqliteHandle& db, const std::string& pattern) {
  auto names = texts(db, "select name from sqlite_master where type = 'trigger' and name glob ?1", pattern);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto done = db.execute("drop trigger " + quoted_sql_name(name)); !done) return done;
  }
  return {};
}

Result<void> install_one(SqliteHandle& db, const Plan& plan) {
  const auto id = number_of(db, plan);
  if (!id) return std::unexpected(id.error());
  const auto triggers = sqlite_triggers(*id, plan.shape, plan.key_columns);
  auto found = find_sqlite_watch(db, plan.table, plan.columns);
  if (found && *found != 0 && stands_as_planned(db, triggers)) return {};
  if (auto done = drop_triggers(db, fmt::format("candor_{}_*", *id)); !done) return done;
  for (const SqliteTrigger& t : triggers) {
    if (auto done = db.execute(t.sql); !done) return done;
  }
  return db.execute(fmt::format(
      "update candor_watches set triggers = {} where id = {}; insert into candor_changes (watch, key, at) "
      "values ({}, null, cast((julianday('now') - 2440587.5) * 86400000.0 as integer))",
      triggers.size(), *id, *id));
}

Result<void> install_all(SqliteHandle& db, const std::vector<Watch>& watches) {
  if (auto made = db.execute(sqlite_log_tables()); !made) return made;
  for (const Watch& watch : watches) {
    auto plan = plan_of(db, watch);
    if (!plan) return std::unexpected(plan.error());
    if (auto done = install_one(db, *plan); !done) return done;
  }
  return db.execute("commit");
}

Error in_file(Error error, const std::string& path) {
  error.message = fmt::format("sqlite {}: {}", path, error.message);
  return error;
}

SqliteFeedState state_of(SqliteHandle& db, const std::vector<Watch>& watches) {
  SqliteFeedState state;
  if (auto incarnation = db.number("select incarnation from candor_feed")) {
    state.has_log = true;
    state.incarnation.value = static_cast<std::uint64_t>(*incarnation);
    state.position.value = static_cast<std::uint64_t>(db.number(kSqlitePositionQuery).value_or(0));
    state.log_rows = static_cast<std::uint64_t>(db.number("select count(*) from candor_changes").value_or(0));
  }
  for (const Watch& watch : watches) {
    SqliteWatchState& out = state.watches.emplace_back();
    out.table = watch.table;
    out.columns = sqlite_watch_columns(watch.key_columns);
    auto plan = plan_of(db, watch);
    if (!plan) {
      out.problem = plan.error().message;
      continue;
    }
    out.warnings = std::move(plan->warnings);
    const auto found = find_sqlite_watch(db, plan->table, plan->columns);
    out.installed = found && *found != 0;
  }
  return state;
}

}  // namespace

Result<SqliteFeedState> install_sqlite_feed(const std::string& path, const std::vector<Watch>& watches) {
  auto db = SqliteHandle::open(path, SqliteHandle::Mode::kReadWrite, kInstallPatience);
  if (!db) return std::unexpected(in_file(db.error(), path));
  auto done = db->execute("begin immediate");
  if (done) done = install_all(*db, watches);
  if (!done) {
    db->roll_back();
    return std::unexpected(in_file(done.error(), path));
  }
  return state_of(*db, watches);
}

Result<SqliteFeedState> sqlite_feed_state(const std::string& path, const std::vector<Watch>& watches) {
  auto db = SqliteHandle::open(path, SqliteHandle::Mode::kReadOnly, kInstallPatience);
  if (!db) return std::unexpected(in_file(db.error(), path));
  return state_of(*db, watches);
}

Result<void> remove_sqlite_feed(const std::string& path) {
  auto db = SqliteHandle::open(path, SqliteHandle::Mode::kReadWrite, kInstallPatience);
  if (!db) return std::unexpected(in_file(db.error(), path));
  auto done = db->execute("begin immediate");
  if (done) done = drop_triggers(*db, "candor_[0-9]*_*");
  if (done)
    done = db->execute(
        "drop table if exists candor_changes; drop table if exists candor_watches; drop table if exists "
        "candor_feed; commit");
  if (done) return {};
  db->roll_back();
  return std::unexpected(in_file(done.error(), path));
}

}  // namespace candor
