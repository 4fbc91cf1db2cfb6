#include "change/postgres_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "origin/postgres_identity.h"

namespace candor {
namespace {

std::size_t bytes_of(const Change& change) {
  return sizeof(Change) + change.feature.size() + change.key.size();
}

std::unexpected<Error> corrupt(std::string text) {
  return fail(ErrorCode::kCorrupt, "replication stream: " + std::move(text));
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

PostgresChanges::PostgresChanges(std::vector<PostgresTable> tables, Limits limits, std::uint64_t next_xid)
    : tables_(std::move(tables)), limits_(limits), next_xid_(next_xid) {
  for (const auto& table : tables_) {
    watched_.emplace(table.oid, &table);
    for (const auto& use : table.uses) {
      if (feature_index_.emplace(use.feature, features_.size()).second) features_.push_back({use.feature});
    }
  }
}

Result<bool> PostgresChanges::take(std::string_view bytes) {
  auto message = pgoutput::decode_message(bytes);
  if (!message) return std::unexpected(std::move(message.error()));
  return std::visit([this](const auto& m) { return on(m); }, *message);
}

void PostgresChanges::saw_next_xid(std::uint64_t next) { next_xid_ = std::max(next_xid_, next); }

// ---- Transactions

Result<bool> PostgresChanges::on(const pgoutput::Begin& begin) {
  if (in_transaction_) return corrupt("a transaction begins inside another");
  in_transaction_ = true;
  id_ = ChangeId{extend_xid(next_xid_, begin.xid)};
  saw_next_xid(id_.value + 1);
  return false;
}

Result<bool> PostgresChanges::on(const pgoutput::Commit& commit) {
  if (!in_transaction_) return corrupt("a commit without a transaction");
  if (commit.end < position_) return corrupt("a commit before the one before it");
  in_transaction_ = false;
  position_ = commit.end;
  ++transactions_;
  for (const auto feature : touched_) {
    auto& part = features_[feature];
    if (part.whole) {
      auto change = change_of(feature);
      change.scope = Change::Scope::kFeature;
      partial_.push_back(std::move(change));
    }
    part.keys = 0;
    part.whole = false;
    part.last = kNoChange;
  }
  touched_.clear();
  for (auto& change : partial_) {
    change.position = position_;
    change.committed = commit.committed;
    committed_.push_back(std::move(change));
  }
  partial_ = {};  // not kept: it may have been large
  partial_bytes_ = 0;
  return true;
}

// ---- Tables

Result<bool> PostgresChanges::on(const pgoutput::Relation& relation) {
  const auto watched = watched_.find(relation.id);
  if (watched != watched_.end()) bind(*watched->second, relation);
  return false;
}

void PostgresChanges::bind(const PostgresTable& table, const pgoutput::Relation& relation) {
  BoundTable bound{&table, relation.columns.size(), {}};
  std::string problem;
  for (std::size_t u = 0; u < table.uses.size(); ++u) {
    const auto& use = table.uses[u];
    BoundUse bound_use{
        feature_index_.at(use.feature), {}, u < table.identity_covers.size() && table.identity_covers[u]};
    for (const auto& name : use.key_columns) {
      const auto column = std::find_if(relation.columns.begin(), relation.columns.end(),
                                       [&](const auto& c) { return c.name == name; });
      if (column == relation.columns.end()) {
        problem += fmt::format(
            "features.{}.watch: table {} has no column {} any more: each change of the table invalidates the "
            "whole "
            "feature until the configuration names the key's column. ",
            use.feature, table.shown, name);
        bound_use.columns.clear();
        break;
      }
      bound_use.covered = bound_use.covered && column->in_identity;
      bound_use.columns.push_back(static_cast<std::size_t>(column - relation.columns.begin()));
    }
    if (!bound_use.covered && !bound_use.columns.empty()) {
      problem += fmt::format(
          "features.{}.watch: the replica identity of {} lacks the key ({}), so an update or delete does not "
          "tell "
          "which key it was and invalidates the whole feature; mend it with: alter table {} replica identity "
          "full; ",
          use.feature, table.shown, joined(use.key_columns), table.shown);
    }
    bound.uses.push_back(std::move(bound_use));
  }
  bound_[relation.id] = std::move(bound);
  auto& said = problems_[table.shown];
  if (said != problem) ++problems_version_;
  said = std::move(problem);
}

std::string PostgresChanges::problems() const {
  std::string text;
  for (const auto& [table, problem] : problems_) text += problem;
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

Result<const PostgresChanges::BoundTable*> PostgresChanges::table_of(std::uint32_t relation,
                                                                     const pgoutput::Tuple* a,
                                                                     const pgoutput::Tuple* b) const {
  if (!in_transaction_) return corrupt("a row outside of a transaction");
  if (!watched_.contains(relation)) return nullptr;  // somebody else's table in our publication
  const auto found = bound_.find(relation);
  if (found == bound_.end())
    return corrupt(fmt::format("a row of table {}, which was not described", relation));
  for (const auto* row : {a, b}) {
    if (row != nullptr && !row->empty() && row->size() != found->second.columns) {
      return corrupt(fmt::format("a row of {} with {} columns, {} were described", found->second.table->shown,
                                 row->size(), found->second.columns));
    }
  }
  return &found->second;
}

// ---- Rows

// The key's text. kNone: no key can name such a row (a NULL in it, or longer than a key may be).
PostgresChanges::Key PostgresChanges::key_of(const BoundUse& use, const pgoutput::Tuple& row,
                                             const pgoutput::Tuple* fallback, std::string& key) const {
  key.clear();
  bool first = true;
  for (const auto column : use.columns) {
    if (column >= row.size()) return Key::kUnknown;
    const auto* value = &row[column];
    if (value->kind == pgoutput::Value::Kind::kUnchanged) {  // a large value that stayed where it was
      if (fallback == nullptr || column >= fallback->size()) return Key::kUnknown;
      value = &(*fallback)[column];
    }
    if (value->kind == pgoutput::Value::Kind::kNull) return Key::kNone;
    if (value->kind != pgoutput::Value::Kind::kText) return Key::kUnknown;
    if (!std::exchange(first, false)) key.push_back(':');
    if (key.size() + value->bytes.size() > kKeyBytesMax) return Key::kNone;
    key.append(value->bytes);
  }
  return use.columns.empty() ? Key::kUnknown : Key::kKnown;
}

Result<bool> PostgresChanges::on(const pgoutput::Insert& insert) {
  const auto table = table_of(insert.relation, &insert.row, nullptr);
  if (!table) return std::unexpected(table.error());
  if (*table == nullptr) return false;
  for (const auto& use : (*table)->uses) {
    const auto kind = key_of(use, insert.row, nullptr, new_key_);
    add(use.feature, kind, new_key_);
  }
  return false;
}

Result<bool> PostgresChanges::on(const pgoutput::Update& update) {
  const auto table = table_of(update.relation, &update.row, &update.old_row);
  if (!table) return std::unexpected(table.error());
  if (*table == nullptr) return false;
  for (const auto& use : (*table)->uses) update_of(use, update);
  return false;
}

void PostgresChanges::update_of(const BoundUse& use, const pgoutput::Update& update) {
  // The key as it was cannot be told, and it may have been another.
  if (!use.covered) return make_whole(use.feature);
  const bool has_old = update.old_kind != pgoutput::OldKind::kNone;
  const auto kind = key_of(use, update.row, has_old ? &update.old_row : nullptr, new_key_);
  add(use.feature, kind, new_key_);
  if (!has_old) return;  // no column of the identity changed, so the key did not
  const auto old_kind = key_of(use, update.old_row, nullptr, old_key_);
  if (old_kind != kind || old_key_ != new_key_) add(use.feature, old_kind, old_key_);
}

Result<bool> PostgresChanges::on(const pgoutput::Delete& gone) {
  const auto table = table_of(gone.relation, &gone.old_row, nullptr);
  if (!table) return std::unexpected(table.error());
  if (*table == nullptr) return false;
  for (const auto& use : (*table)->uses) {
    if (!use.covered) {
      make_whole(use.feature);
      continue;
    }
    const auto kind = key_of(use, gone.old_row, nullptr, old_key_);
    add(use.feature, kind, old_key_);
  }
  return false;
}

Result<bool> PostgresChanges::on(const pgoutput::Truncate& truncate) {
  if (!in_transaction_) return corrupt("a truncate outside of a transaction");
  for (const auto relation : truncate.relations) {
    const auto watched = watched_.find(relation);
    if (watched == watched_.end()) continue;
    for (const auto& use : watched->second->uses) make_whole(feature_index_.at(use.feature));
  }
  return false;
}

Change PostgresChanges::change_of(std::size_t feature) const {
  Change change;
  change.feature = features_[feature].name;
  change.id = id_;
  return change;
}

void PostgresChanges::add(std::size_t feature, Key kind, const std::string& key) {
  auto& part = features_[feature];
  if (part.whole || kind == Key::kNone) return;
  if (kind == Key::kUnknown) return make_whole(feature);
  if (part.last != kNoChange && partial_[part.last].key == key) return;
  if (part.keys == 0) touched_.push_back(feature);
  auto change = change_of(feature);
  change.key = key;
  partial_bytes_ += bytes_of(change);
  part.last = partial_.size();
  partial_.push_back(std::move(change));
  if (++part.keys > limits_.keys_max || partial_bytes_ > limits_.bytes_max) make_whole(feature);
}

void PostgresChanges::make_whole(std::size_t feature) {
  auto& part = features_[feature];
  if (part.whole) return;
  if (part.keys == 0) touched_.push_back(feature);
  part.whole = true;
  if (part.keys == 0) return;
  std::erase_if(partial_, [&](const Change& change) {
    if (change.feature != part.name) return false;
    partial_bytes_ -= bytes_of(change);
    return true;
  });
  for (const auto other : touched_) features_[other].last = kNoChange;  // their places have moved
}

}  // namespace candor
