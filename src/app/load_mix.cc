#include "app/load_mix.h"

#include <fmt/format.h>

#include <array>

namespace candor::load {
namespace {

// Row counts are those of tools/demo/build_database.py; the shapes of `word` and `price` are fits of recorded
// traces (docs/demo.md), the others are assumptions and are called so there.
constexpr std::array kMix{
    FeatureTraffic{"word",
                   KeyForm::kWord,
                   0.50,
                   0,
                   {.keys = 147'306,
                    .zipf = 0.75,
                    .repeat_share = 0.7,
                    .repeat_window = 1'000,
                    .scan_share = 0.01,
                    .scan_length = 200,
                    .drift = 0.01},
                   "large and read only"},
    FeatureTraffic{"profile",
                   KeyForm::kNumber,
                   0.20,
                   20,
                   {.keys = 20'000, .zipf = 0.9},
                   "read often, changed now and then"},
    FeatureTraffic{"balance", KeyForm::kNumber, 0.15, 50, {.keys = 20'000, .zipf = 0.7}, "must not be old"},
    FeatureTraffic{
        "session", KeyForm::kSession, 0.05, 400, {.keys = 5'000, .zipf = 0.5}, "written as often as read"},
    FeatureTraffic{"price",
                   KeyForm::kNumber,
                   0.10,
                   0,
                   {.keys = 20'000,
                    .zipf = 0.83,
                    .repeat_share = 0.55,
                    .repeat_window = 10'000,
                    .scan_share = 0.1,
                    .scan_length = 200,
                    .drift = 0.01},
                   "half of the keys have no row; changes come in bursts"},
};

}  // namespace

std::span<const FeatureTraffic> demo_mix() { return kMix; }

std::string key_text(KeyForm form, std::uint32_t number, std::span<const std::string> words) {
  switch (form) {
    case KeyForm::kNumber:
      return std::to_string(number);
    case KeyForm::kSession:
      return fmt::format("s{}", number);
    case KeyForm::kWord:
      return words[number % words.size()];
  }
  return {};
}

std::string value_text(std::string_view feature, std::uint32_t number, std::uint64_t count) {
  if (feature == "balance") return std::to_string((number * 7919ULL + count) % 1'000'000);
  if (feature == "session") return fmt::format(R"({{"cart":[{}],"step":{}}})", count % 100, count);
  return fmt::format(R"({{"id":{},"nick":"reader{}","city":"Turku"}})", number, count);
}

}  // namespace candor::load
