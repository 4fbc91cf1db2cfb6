#include "tests/support/recorder.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <unordered_set>

namespace candor::testing {

using sim::Operation;
using sim::OperationKind;
using sim::Outcome;

std::int64_t Recorder::now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::uint32_t Recorder::key(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return history_.keys.number(name);
}

std::uint32_t Recorder::node(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return history_.nodes.number(name);
}

void Recorder::add(const Operation& operation) {
  const std::lock_guard lock(mutex_);
  history_.operations.push_back(operation);
}

std::size_t Recorder::size() const {
  const std::lock_guard lock(mutex_);
  return history_.operations.size();
}

void Recorder::set_quiet(std::int64_t from) {
  const std::lock_guard lock(mutex_);
  history_.quiet_from = from;
}

// ---- when commits were visible, at the latest ----

std::unordered_map<std::uint64_t, Recorder::Latest> Recorder::latest_of_writes() const {
  std::unordered_map<std::uint64_t, Latest> all;
  for (const Operation& op : history_.operations) {
    if (op.kind != OperationKind::kWrite && op.kind != OperationKind::kRead) continue;
    Latest& latest = all[op.version];
    if (op.kind == OperationKind::kWrite) latest.invoked = op.invoked;
    if (op.outcome == Outcome::kOk) latest.visible = std::min(latest.visible, op.responded);
  }
  return all;
}

// An erase has no version of its own. A key that is erased has one writer, and this is the erase that came
// after the entry `before`; of several, of which the first may not have happened, the first that surely did.
// Whoever asks when `before` was visible, and finds nothing once the erase is under way, has seen the erase.
Recorder::Latest Recorder::latest_of_erase(std::uint32_t key, const Latest& before) const {
  Latest latest;
  for (const Operation& op : history_.operations) {
    if (op.key != key || op.kind != OperationKind::kErase || op.invoked < before.invoked) continue;
    if (op.outcome == Outcome::kRefused) continue;
    if (latest.invoked == 0) latest.invoked = op.invoked;
    if (op.outcome != Outcome::kOk) continue;
    latest.visible = op.responded;
    break;
  }
  for (const Operation& op : history_.operations) {
    if (op.key != key || op.kind != OperationKind::kRead || op.outcome != Outcome::kOk) continue;
    if (op.version == sim::kAbsent && op.invoked >= before.visible && op.responded >= latest.invoked)
      latest.visible = std::min(latest.visible, op.responded);
  }
  return latest;
}

void Recorder::add_commits(const std::vector<JournalEntry>& journal, std::int64_t read_at) {
  const std::lock_guard lock(mutex_);
  auto writes = latest_of_writes();
  const std::size_t begin = history_.commits.size();
  for (const JournalEntry& entry : journal) {
    const std::uint32_t key = history_.keys.number(entry.key);
    Latest latest = entry.version == 0 ? latest_of_erase(key, written_[key]) : writes[entry.version];
    latest.visible = std::min(latest.visible, read_at);
    written_[key] = latest;
    history_.commits.push_back({key, entry.version, latest.visible, false});
  }
  // What was followed by another commit was visible before it.
  std::unordered_map<std::uint32_t, std::int64_t> next;
  for (std::size_t i = history_.commits.size(); i-- > begin;) {
    sim::Commit& commit = history_.commits[i];
    const auto [found, is_last] = next.try_emplace(commit.key, commit.visible);
    if (!is_last) commit.visible = found->second = std::min(found->second, commit.visible);
  }
}

void Recorder::add_restored(const std::vector<JournalEntry>& state, std::int64_t visible) {
  const std::lock_guard lock(mutex_);
  for (auto& [key, latest] : written_) latest = {visible, visible};
  for (const JournalEntry& entry : state)
    history_.commits.push_back({history_.keys.number(entry.key), entry.version, visible, true});
}

sim::History Recorder::take() {
  const std::lock_guard lock(mutex_);
  std::unordered_set<std::uint64_t> happened;
  for (const sim::Commit& commit : history_.commits) happened.insert(commit.version);
  for (Operation& op : history_.operations)
    if (op.kind == OperationKind::kWrite && op.outcome == Outcome::kUnknown && !happened.contains(op.version))
      op.outcome = Outcome::kRefused;
  return std::move(history_);
}

// ---- a client ----

namespace {

// Of an error's text: did the write certainly not happen?
bool is_refusal(std::string_view error) {
  for (const std::string_view sure :
       {"READONLY", "OVERLOADED", "LIMIT", "NOFEATURE", "ORIGINDOWN not written"})
    if (error.starts_with(sure)) return true;
  return false;
}

std::uint64_t version_in(std::string_view value) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), version);
  // Nobody wrote such a value: a version that no commit has.
  return error == std::errc() && end == value.data() + value.size() ? version : UINT64_MAX;
}

sim::Tier tier_in(const resp::RespValue* tier) {
  for (const auto one : {sim::Tier::kL1, sim::Tier::kDisk, sim::Tier::kL2, sim::Tier::kOrigin})
    if (tier != nullptr && tier->text == sim::tier_name(one)) return one;
  return sim::Tier::kNone;
}

void take_answer(const resp::RespValue& map, Operation* op) {
  const resp::RespValue* const value = map.find("value");
  const resp::RespValue* const within = map.find("fresh_within_ms");
  const resp::RespValue* const degraded = map.find("degraded");
  op->version = value == nullptr || value->is_null() ? sim::kAbsent : version_in(value->text);
  op->tier = tier_in(map.find("tier"));
  if (within != nullptr && within->is_integer()) op->fresh_within_ns = within->integer * 1'000'000;
  op->degraded = degraded != nullptr && !degraded->is_null();
}

}  // namespace

RespClient* Visitor::client() {
  if (client_ == nullptr || !client_->is_open()) {
    client_ = std::make_unique<RespClient>(node_->port(), patience_);
    session_ = recorder_->new_session();
  }
  return client_->is_open() ? client_.get() : nullptr;
}

Operation Visitor::begin(OperationKind kind) {
  (void)client();
  Operation op;
  op.kind = kind;
  op.session = session_;
  op.node = recorder_->node(node_->name());
  op.outcome = Outcome::kRefused;
  op.invoked = Recorder::now();
  return op;
}

std::optional<resp::RespValue> Visitor::call(std::initializer_list<std::string_view> words) {
  error_ = "no answer";
  if (!client_->is_open()) return std::nullopt;
  auto answer = client_->call(words);
  if (answer && answer->is_error()) error_ = answer->text;
  return answer;
}

std::optional<Operation> Visitor::read(const std::string& key, sim::Level level, Duration bound) {
  Operation op = begin(OperationKind::kRead);
  op.key = recorder_->key(key);
  op.level = level;
  std::optional<resp::RespValue> answer;
  if (level == sim::Level::kBounded) {
    op.bound_ns = bound.count();
    answer = call({"CANDOR.GET", key, "BOUNDED", std::to_string(bound / 1ms)});
  } else if (level == sim::Level::kSession) {
    answer = call({"CANDOR.GET", key});  // the feature's own level
  } else {
    answer = call({"CANDOR.GET", key, sim::level_name(level)});
  }
  op.responded = Recorder::now();
  if (answer && answer->is_list()) {
    op.outcome = Outcome::kOk;
    take_answer(*answer, &op);
  }
  recorder_->add(op);
  if (op.outcome != Outcome::kOk) return std::nullopt;
  return op;
}

bool Visitor::change(Operation op, std::initializer_list<std::string_view> words) {
  const bool was_open = client_->is_open();
  const auto answer = call(words);
  if (answer && !answer->is_error()) {
    op.outcome = Outcome::kOk;
    op.responded = Recorder::now();
  } else if (was_open && !is_refusal(error_)) {
    op.outcome = Outcome::kUnknown;
  } else {
    op.responded = Recorder::now();
  }
  recorder_->add(op);
  return op.outcome == Outcome::kOk;
}

bool Visitor::write(const std::string& key) {
  Operation op = begin(OperationKind::kWrite);
  op.key = recorder_->key(key);
  op.version = recorder_->new_version();
  return change(op, {"SET", key, std::to_string(op.version)});
}

bool Visitor::erase(const std::string& key) {
  Operation op = begin(OperationKind::kErase);
  op.key = recorder_->key(key);
  return change(op, {"DEL", key});
}

std::optional<Visitor::Token> Visitor::take_token() {
  Operation op = begin(OperationKind::kToken);
  op.token = recorder_->new_token();
  const auto answer = call({"CANDOR.TOKEN"});
  op.responded = Recorder::now();
  const bool ok = answer && answer->is_text();
  if (ok) op.outcome = Outcome::kOk;
  recorder_->add(op);
  if (!ok) return std::nullopt;
  return Token{answer->text, op.token};
}

bool Visitor::adopt(const Token& token) {
  Operation op = begin(OperationKind::kAdopt);
  op.token = token.number;
  const auto answer = call({"CANDOR.SESSION", token.text});
  op.responded = Recorder::now();
  if (answer && !answer->is_error()) op.outcome = Outcome::kOk;
  recorder_->add(op);
  return op.outcome == Outcome::kOk;
}

}  // namespace candor::testing
