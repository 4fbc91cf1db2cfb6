// A load or a write on its way through an SQL origin, and the line in which it waits for a place.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "base/task.h"
#include "origin/origin.h"
#include "origin/origin_gate.h"
#include "origin/statement.h"
#include "version/stamp.h"

namespace candor {

enum class SqlVerb : std::uint8_t { kLoad, kStore, kErase };

// A bound feature. Immutable; `index` is dense, so that connections keep their prepared statements in a
// vector.
struct SqlFeature {
  std::uint32_t index = 0;
  FeatureStatements statements;

  [[nodiscard]] const SqlStatement& statement(SqlVerb verb) const;
  [[nodiscard]] const std::string& name() const { return statements.feature; }
};

struct SqlAnswer {
  std::optional<std::string> value;  // load: nullopt is a negative result
  Stamp stamp;
  std::uint64_t rows = 0;  // writes
  ChangeId change;
};

// `verb` to `deadline` never change while the request is on its way, so a pool thread may read them.
struct SqlRequest {
  SqlVerb verb = SqlVerb::kLoad;
  std::shared_ptr<const SqlFeature> feature;
  std::string key;
  std::string value;
  MonoTime deadline;

  // Home thread only.
  LoadClass load_class = LoadClass::kNormal;
  OriginGate::Pass pass;
  MonoTime arrived{0};
  std::optional<MonoTime> sent;  // nothing: it waits, or waited until its end
  OneShot<Result<SqlAnswer>> answer;
  TimerId timer;
  bool waiting = false;  // in the line; else in flight or answered
  bool alone = false;  // shares neither a statement nor a transaction: it, or a neighbour, failed in company
  std::uint32_t batch_max = UINT32_MAX;  // it shares a statement with fewer: a larger one failed by some key
  std::uint8_t failed = 0;               // attempts that were lost with their connection
  std::uint64_t number = 0;              // order of arrival
  std::list<std::shared_ptr<SqlRequest>>::iterator in_line, in_feature;

  [[nodiscard]] bool is_answered() const { return answer.is_set(); }
  [[nodiscard]] std::size_t bytes() const { return key.size() + value.size() + sizeof(SqlRequest); }
};
using SqlRequestPtr = std::shared_ptr<SqlRequest>;

// The parameter's bytes; `parts` comes from split_key(). Views into the request.
[[nodiscard]] std::string_view parameter_bytes(const SqlRequest& request, const SqlParameter& parameter,
                                               const std::vector<std::string_view>& parts);

// The writes of a batch as requests, which is what statements are bound from. Nobody waits for them one by
// one.
[[nodiscard]] std::vector<SqlRequestPtr> requests_of(const std::shared_ptr<const SqlFeature>& feature,
                                                     const WriteBatch& batch);

// Requests waiting for a place: loads of the best class first, in a class the oldest; they can be taken
// feature by feature. Bounded by count and by bytes.
//
// Invariant: a request is here exactly while its `waiting` is true.
// Thread safety: none.
class WaitingLine {
 public:
  struct Limits {
    std::uint32_t count_max;
    std::size_t bytes_max;
  };
  explicit WaitingLine(Limits limits) : limits_(limits) {}

  [[nodiscard]] bool has_room_for(const SqlRequest& request) const;
  void push_back(SqlRequestPtr request);
  // For what was in flight and must go again: it was admitted once, the limits do not apply.
  void push_front(SqlRequestPtr request);
  void remove(const SqlRequestPtr& request);
  // A load that waits goes to the end of a better class.
  void raise(const SqlRequestPtr& request, LoadClass to, MonoTime now);

  // Of the best class that waits.
  [[nodiscard]] SqlRequestPtr oldest_load() const;
  [[nodiscard]] SqlRequestPtr oldest_write() const { return writes_.empty() ? nullptr : writes_.front(); }
  // The write that waits longest may be older than that load: then it goes first. Background loads wait for
  // writes.
  [[nodiscard]] SqlRequestPtr oldest() const;
  // When the oldest load of this class or a better one came, for loads; else the oldest write.
  [[nodiscard]] std::optional<MonoTime> waits_since(SqlVerb verb, LoadClass of) const;
  // The waiting loads of `feature` that may share a statement, in the line's order, at most `count_max`;
  // removed from the line.
  [[nodiscard]] std::vector<SqlRequestPtr> take_loads_of(const SqlFeature& feature, std::size_t count_max);
  // At most `count_max` writes, oldest first, of together at most `bytes_max` bytes (but at least one);
  // removed from the line.
  [[nodiscard]] std::vector<SqlRequestPtr> take_writes(std::size_t count_max, std::size_t bytes_max);
  [[nodiscard]] std::vector<SqlRequestPtr> take_all();

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(size_); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  using List = std::list<SqlRequestPtr>;
  using Classes = std::array<List, kLoadClasses>;
  void insert(SqlRequestPtr request, bool at_front);

  Limits limits_;
  Classes loads_;
  List writes_;
  std::unordered_map<std::uint32_t, Classes> by_feature_;  // keyed by SqlFeature::index, which is ours
  std::size_t size_ = 0, bytes_ = 0;
};

}  // namespace candor
