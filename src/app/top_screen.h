// `candor top` as lines of text, from what the API says at two moments. Pure: no terminal, no clock.
//
// Invariants
//   - No line is wider than `columns`, none more than `rows` lines, and nothing from outside drives the
//   terminal.
//   - A member that is missing or of another type shows as "-": whatever answers, the screen stands.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace candor::app {

struct TopFacts {
  const nlohmann::json* status = nullptr;
  const nlohmann::json* before = nullptr;  // the status `seconds` earlier; null: there is none, and no rates
  double seconds = 0;
  const nlohmann::json* budgets = nullptr;  // null: not known
  const nlohmann::json* levers = nullptr;
  const nlohmann::json* warm = nullptr;
  const nlohmann::json* hot_keys = nullptr;
  std::string hot_keys_problem;  // why there are none
};

// `rows` 0: as many as there is to say.
[[nodiscard]] std::vector<std::string> top_screen(const TopFacts& facts, std::size_t rows,
                                                  std::size_t columns);

}  // namespace candor::app
