// Features that load by a C++ function instead of SQL: for programs that link the library.
//
// The functions run on a BlockingPool, at most max_concurrency of them at once; what waits is bounded. A
// function cannot be stopped: one that outlives the deadline keeps its place until it returns, and its answer
// is dropped.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/transport.h"
#include "origin/origin.h"

namespace candor {

struct OriginFunctions {
  // The value, or nullopt: there is no such thing. Called on pool threads, several at once.
  std::function<Result<std::optional<std::string>>(std::string_view key)> load;
  std::function<Result<void>(std::string_view key, std::string_view value)> store;  // optional
  std::function<Result<void>(std::string_view key)> erase;                          // optional
};

class FunctionOrigin final : public Origin {
 public:
  struct Options {
    std::string name = "functions";
    std::uint32_t max_concurrency = 32;
    std::uint32_t waiting_max = 16'384;
    OriginProtection protection{};
  };
  FunctionOrigin(Options options, Executor& executor, BlockingPool& pool);
  ~FunctionOrigin() override;

  // Before bind() of the feature of that name.
  void set_functions(const std::string& feature, OriginFunctions functions);

  // Statements other than the feature's name must be empty.
  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  class State;
  class Bound;
  std::shared_ptr<State> state_;
  std::map<std::string, std::shared_ptr<const OriginFunctions>> functions_;
};

}  // namespace candor
