// An origin in memory: the reference for tests and examples. Counts, and fails or stalls when told to.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "origin/origin.h"

namespace candor {

class MemoryOrigin final : public Origin {
 public:
  explicit MemoryOrigin(Executor& executor, std::string name = "memory");
  ~MemoryOrigin() override;

  // Statements are accepted as they are; `store` and `erase` exist unless `read_only` was asked for.
  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override;

  // The database's own side: what other clients of it do. Each write moves the position on.
  void put(const std::string& feature, const std::string& key, std::string value);
  void remove(const std::string& feature, const std::string& key);
  [[nodiscard]] std::optional<std::string> at(const std::string& feature, const std::string& key) const;
  [[nodiscard]] ChangeId position() const;

  // Faults. While an error is set, everything answers it. While stalled, requests wait for resume(), or for
  // their deadline.
  void fail_with(Error error);
  void heal();
  void stall();
  void resume();
  // Every answer takes this long (0: the same turn).
  void set_latency(Duration latency);
  void set_read_only(bool read_only);  // for features bound from now on

 private:
  class State;
  class Bound;
  std::shared_ptr<State> state_;
};

}  // namespace candor
