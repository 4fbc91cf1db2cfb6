// The linearizability checker: how many operations a second it checks, and, with --porcupine DIR, in how many
// of the labelled etcd histories it agrees with the label.
//
//   linearizability_bench [--operations N] [--porcupine DIR]
//
// DIR is a copy of github.com/anishathalye/porcupine: the labels stand in its porcupine_test.go, the logs in
// test_data/jepsen. Nothing of it is part of this project. Exit code 1 if a label is contradicted or no log
// was found.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/jepsen_log.h"
#include "sim/linearizability.h"

namespace {

using candor::Random;
using namespace candor::sim;

std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int check_porcupine(const std::string& folder) {
  const std::string source = file_text(folder + "/porcupine_test.go");
  const std::regex label(R"(checkJepsen\(t, (\d+), (true|false)\))");
  int agreed = 0, contradicted = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::sregex_iterator at(source.begin(), source.end(), label), end; at != end; ++at) {
    const int number = std::stoi((*at)[1]);
    const auto history =
        parse_jepsen_log(file_text(fmt::format("{}/test_data/jepsen/etcd_{:03}.log", folder, number)));
    const auto expected = (*at)[2] == "true" ? Linearizable::kYes : Linearizable::kNo;
    const bool agrees = history && !history->empty() && check_register(*history) == expected &&
                        shortest_violation(*history).empty() == (expected == Linearizable::kYes);
    agrees ? ++agreed : ++contradicted;
    if (!agrees) fmt::print("etcd_{:03}: does not agree with its label\n", number);
  }
  fmt::print("porcupine: agrees with {} of {} labelled histories in {:.3f} s\n", agreed,
             agreed + contradicted, seconds_since(begin));
  return agreed > 0 && contradicted == 0 ? 0 : 1;
}

// A register that works, `clients` at once; every tenth write is an erase when `erases`.
std::vector<RegisterOperation> working_register(Random& random, std::size_t count, bool erases) {
  std::vector<RegisterOperation> history(count);
  std::vector<std::int64_t> free_at(16, 0);
  std::vector<std::pair<std::int64_t, std::size_t>> effects;
  for (std::size_t i = 0; i < count; ++i) {
    auto& free = *std::ranges::min_element(free_at);
    auto& op = history[i];
    op.invoked = free + static_cast<std::int64_t>(random.below(20));
    const auto took = 2 + random.below(100);
    op.responded = op.invoked + static_cast<std::int64_t>(took);
    op.kind = random.below(10) < 8 ? RegisterOperation::Kind::kRead : RegisterOperation::Kind::kWrite;
    op.value = erases && random.below(10) == 0 ? kAbsent : i + 1;
    effects.emplace_back(op.invoked + static_cast<std::int64_t>(random.below(took)), i);
    free = op.responded + 1;
  }
  std::ranges::sort(effects);
  std::uint64_t value = kAbsent;
  for (const auto& [time, i] : effects) {
    if (history[i].kind == RegisterOperation::Kind::kRead) history[i].value = value;
    value = history[i].value;
  }
  return history;
}

int measure(std::size_t operations) {
  for (const bool erases : {false, true}) {
    constexpr std::size_t kPerKey = 10'000;
    double seconds = 0;
    std::size_t checked = 0;
    for (std::uint64_t seed = 0; checked < operations; ++seed) {
      Random random(seed);
      const auto history = working_register(random, kPerKey, erases);
      const auto begin = std::chrono::steady_clock::now();
      if (check_register(history) != Linearizable::kYes) return 1;
      seconds += seconds_since(begin);
      checked += history.size();
    }
    fmt::print("{}: {} operations, {:.0f} a second\n", erases ? "search (with erases)" : "zones", checked,
               static_cast<double>(checked) / seconds);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  std::size_t operations = 1'000'000;
  std::string porcupine;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--operations") operations = std::stoul(arguments[i + 1]);
    if (name == "--porcupine") porcupine = arguments[i + 1];
  }
  const int measured = measure(operations);
  return porcupine.empty() ? measured : std::max(measured, check_porcupine(porcupine));
}
