// What clients of real daemons saw, recorded as the history that sim/checkers.h judges.
//
// The truth comes from the origin itself: a trigger of the test's own writes each new version of a row into a
// journal, in the same transaction and under the row's lock, so that the journal's order of one key is the
// order of its commits. When a commit became visible is known only within bounds; the latest possible moment
// is recorded: the writer had its answer, or a reader had seen it. A cache is then never called staler than
// it was, and at most by the time that a write takes fresher.
//
// A write of unknown outcome that is not in the journal never happened, and is recorded as refused.
// Thread safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/history.h"
#include "tests/support/candord.h"
#include "tests/support/resp_client.h"

namespace candor::testing {

// One row of the origin's journal. Version 0: the row was erased.
struct JournalEntry {
  std::string key;  // as readers name it: "item:7"
  std::uint64_t version = 0;
};

class Recorder {
 public:
  // Nanoseconds of this machine's monotonic clock: every time in the history.
  [[nodiscard]] static std::int64_t now();

  [[nodiscard]] std::uint32_t key(std::string_view name);
  [[nodiscard]] std::uint32_t node(std::string_view name);
  [[nodiscard]] std::uint32_t new_session() { return ++sessions_; }
  [[nodiscard]] std::uint64_t new_version() { return ++versions_; }
  [[nodiscard]] std::uint64_t new_token() { return ++tokens_; }
  void add(const sim::Operation& operation);
  [[nodiscard]] std::size_t size() const;

  // The journal, or what was added to it since; read at `read_at`, after the last of these was committed.
  void add_commits(const std::vector<JournalEntry>& journal, std::int64_t read_at);
  // What holds again since `visible`, because the origin was put back.
  void add_restored(const std::vector<JournalEntry>& state, std::int64_t visible);
  void set_quiet(std::int64_t from);
  // Once, after everything was added.
  [[nodiscard]] sim::History take();

 private:
  struct Latest {
    std::int64_t invoked = 0;
    std::int64_t visible = sim::kNever;
  };
  // By version: no two writes of a history share one.
  [[nodiscard]] std::unordered_map<std::uint64_t, Latest> latest_of_writes() const;
  [[nodiscard]] Latest latest_of_erase(std::uint32_t key, const Latest& before) const;

  std::atomic<std::uint32_t> sessions_ = 0;
  std::atomic<std::uint64_t> versions_ = 0, tokens_ = 0;
  mutable std::mutex mutex_;
  sim::History history_;
  std::unordered_map<std::uint32_t, Latest> written_;  // of each key, its last entry in the journal
};

// One client of one node: a connection, which is a session. When the connection is lost the next operation
// opens another, which is another session.
// Thread safety: none.
class Visitor {
 public:
  struct Token {
    std::string text;
    std::uint64_t number = 0;
  };
  Visitor(Recorder* recorder, const Candord* node, Duration patience = std::chrono::seconds(15))
      : recorder_(recorder), node_(node), patience_(patience) {}

  // nullopt: no answer, or an error.
  std::optional<sim::Operation> read(const std::string& key, sim::Level level, Duration bound = 2s);
  bool write(const std::string& key);
  bool erase(const std::string& key);
  std::optional<Token> take_token();
  bool adopt(const Token& token);
  // The connection, made if there is none; null: the node does not answer.
  RespClient* client();
  [[nodiscard]] const std::string& last_error() const { return error_; }

 private:
  sim::Operation begin(sim::OperationKind kind);
  std::optional<resp::RespValue> call(std::initializer_list<std::string_view> words);
  bool change(sim::Operation operation, std::initializer_list<std::string_view> words);

  Recorder* recorder_;
  const Candord* node_;
  Duration patience_;
  std::unique_ptr<RespClient> client_;
  std::uint32_t session_ = 0;
  std::string error_;
};

}  // namespace candor::testing
