#include "origin/sql_request.h"

#include <algorithm>

#include "base/assert.h"

namespace candor {

const SqlStatement& SqlFeature::statement(SqlVerb verb) const {
  switch (verb) {
    case SqlVerb::kStore:
      return statements.store;
    case SqlVerb::kErase:
      return statements.erase;
    case SqlVerb::kLoad:
      break;
  }
  return statements.load;
}

std::string_view parameter_bytes(const SqlRequest& request, const SqlParameter& parameter,
                                 const std::vector<std::string_view>& parts) {
  switch (parameter.kind) {
    case SqlParameter::Kind::kValue:
      return request.value;
    case SqlParameter::Kind::kKeyPart:
      return parts[parameter.part - 1u];
    case SqlParameter::Kind::kKey:
    case SqlParameter::Kind::kKeys:
      break;
  }
  return request.key;
}

std::vector<SqlRequestPtr> requests_of(const std::shared_ptr<const SqlFeature>& feature,
                                       const WriteBatch& batch) {
  std::vector<SqlRequestPtr> requests;
  requests.reserve(batch.writes.size());
  for (const BatchedWrite& write : batch.writes) {
    auto request = std::make_shared<SqlRequest>();
    request->verb = write.is_erase ? SqlVerb::kErase : SqlVerb::kStore;
    request->feature = feature;
    request->key = write.key;
    if (write.value != nullptr) request->value = *write.value;
    requests.push_back(std::move(request));
  }
  return requests;
}

bool WaitingLine::has_room_for(const SqlRequest& request) const {
  return size() < limits_.count_max && bytes_ + request.bytes() <= limits_.bytes_max;
}

void WaitingLine::insert(SqlRequestPtr request, bool at_front) {
  CANDOR_ASSERT(!request->waiting);
  const auto put = [&](List& list) { return list.insert(at_front ? list.begin() : list.end(), request); };
  const bool is_load = request->verb == SqlVerb::kLoad;
  const auto of = static_cast<std::size_t>(request->load_class);
  request->in_line = put(is_load ? loads_[of] : writes_);
  if (is_load) request->in_feature = put(by_feature_[request->feature->index][of]);
  request->waiting = true;
  ++size_;
  bytes_ += request->bytes();
}

void WaitingLine::push_back(SqlRequestPtr request) { insert(std::move(request), false); }
void WaitingLine::push_front(SqlRequestPtr request) { insert(std::move(request), true); }

void WaitingLine::remove(const SqlRequestPtr& request) {
  CANDOR_ASSERT(request->waiting);
  const SqlRequestPtr keep = request;  // `request` may refer into a list
  keep->waiting = false;
  --size_;
  bytes_ -= keep->bytes();
  if (keep->verb == SqlVerb::kLoad) {
    const auto of = static_cast<std::size_t>(keep->load_class);
    by_feature_[keep->feature->index][of].erase(keep->in_feature);
    loads_[of].erase(keep->in_line);
  } else {
    writes_.erase(keep->in_line);
  }
}

void WaitingLine::raise(const SqlRequestPtr& request, LoadClass to, MonoTime now) {
  const SqlRequestPtr keep = request;
  if (!keep->waiting || to >= keep->load_class) return;
  remove(keep);
  keep->load_class = to;
  keep->arrived = now;  // in this class's line: it must not look as if that one had stood still
  insert(keep, false);
}

SqlRequestPtr WaitingLine::oldest_load() const {
  for (const List& of_class : loads_)
    if (!of_class.empty()) return of_class.front();
  return nullptr;
}

SqlRequestPtr WaitingLine::oldest() const {
  const SqlRequestPtr load = oldest_load(), write = oldest_write();
  if (load == nullptr || write == nullptr) return load != nullptr ? load : write;
  const bool waits_for_writes = load->load_class == LoadClass::kBackground;
  return load->number < write->number && !waits_for_writes ? load : write;
}

std::optional<MonoTime> WaitingLine::waits_since(SqlVerb verb, LoadClass of) const {
  std::optional<MonoTime> since;
  const auto note = [&](const List& list) {
    if (!list.empty()) since = std::min(since.value_or(MonoTime::max()), list.front()->arrived);
  };
  if (verb != SqlVerb::kLoad) note(writes_);
  for (std::size_t i = 0; verb == SqlVerb::kLoad && i <= static_cast<std::size_t>(of); ++i) note(loads_[i]);
  return since;
}

std::vector<SqlRequestPtr> WaitingLine::take_loads_of(const SqlFeature& feature, std::size_t count_max) {
  std::vector<SqlRequestPtr> taken;
  for (List& list : by_feature_[feature.index]) {
    for (auto it = list.begin(); it != list.end() && taken.size() < count_max;) {
      const SqlRequestPtr request = *it++;
      if (request->alone && !taken.empty()) continue;
      if (taken.size() >= request->batch_max) continue;
      count_max = std::min<std::size_t>(count_max, request->batch_max);
      taken.push_back(request);
      remove(request);
      if (request->alone) return taken;
    }
  }
  return taken;
}

std::vector<SqlRequestPtr> WaitingLine::take_writes(std::size_t count_max, std::size_t bytes_max) {
  std::vector<SqlRequestPtr> taken;
  std::size_t bytes = 0;
  while (!writes_.empty() && taken.size() < count_max) {
    const SqlRequestPtr request = writes_.front();
    bytes += request->bytes();
    if (!taken.empty() && bytes > bytes_max) break;
    taken.push_back(request);
    remove(request);
  }
  return taken;
}

std::vector<SqlRequestPtr> WaitingLine::take_all() {
  std::vector<SqlRequestPtr> taken;
  for (const List& of_class : loads_) taken.insert(taken.end(), of_class.begin(), of_class.end());
  taken.insert(taken.end(), writes_.begin(), writes_.end());
  for (const auto& request : taken) remove(request);
  return taken;
}

}  // namespace candor
