// The dashboard computes the same law in JavaScript (web/model.js). One grid of cases and answers holds both
// to the same numbers: tests/web/exposure_grid.json, read by this test and by tests/web/model.test.mjs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "budget/exposure.h"

namespace candor {
namespace {

using nlohmann::json;

constexpr const char* kGridFile = CANDOR_SOURCE_DIR "/tests/web/exposure_grid.json";

Workload grid_workload(const json& from) {
  Workload workload;
  workload.reads_per_second = from["reads_per_second"];
  for (const json& one : from["classes"])
    workload.classes.push_back({one["read_share"], one["reads_per_second"], one["updates_per_second"]});
  return workload;
}

Delivery delivery_of(const json& from) {
  Delivery delivery;
  delivery.ttl_seconds = from["ttl_seconds"];
  delivery.is_pushed = from["is_pushed"];
  delivery.delay_seconds = from["delay_seconds"];
  delivery.delay_p99_seconds = from["delay_p99_seconds"];
  delivery.ttl_jitter = from["ttl_jitter"];
  delivery.own_share = from["own_share"];
  delivery.loss = from["loss"];
  return delivery;
}

Exposure answer_of(const json& one) {
  const auto limit = Duration{std::llround(1e9 * one["limit_seconds"].get<double>())};
  return predict(grid_workload(one["workload"]), delivery_of(one["delivery"]), limit);
}

json delivery_case(double ttl, bool pushed, double delay, double p99, double jitter, double own,
                   double loss) {
  return {{"ttl_seconds", ttl},
          {"is_pushed", pushed},
          {"delay_seconds", delay},
          {"delay_p99_seconds", p99},
          {"ttl_jitter", jitter},
          {"own_share", own},
          {"loss", loss}};
}

// Cold, warm and hot keys that never, seldom and all the time change; every way of delivery; limits from 0 to
// above the ttl.
json make_grid() {
  const json classes =
      json::array({{{"read_share", 0.5}, {"reads_per_second", 200.0}, {"updates_per_second", 0.01}},
                   {{"read_share", 0.2}, {"reads_per_second", 5.0}, {"updates_per_second", 2.0}},
                   {{"read_share", 0.2}, {"reads_per_second", 0.02}, {"updates_per_second", 1e-6}},
                   {{"read_share", 0.1}, {"reads_per_second", 1.0}, {"updates_per_second", 0.0}}});
  const json workload = {{"reads_per_second", 4000.0}, {"classes", classes}};
  json grid = json::array();
  for (const double ttl : {0.0, 0.5, 2.0, 60.0, 86400.0})
    for (const double limit : {0.0, 1.0, 5.0})
      for (const json& delivery :
           {delivery_case(ttl, false, 0, 0, 0, 0, 0), delivery_case(ttl, false, 0, 0, 0.1, 0.3, 0),
            delivery_case(ttl, true, 0.05, 0, 0, 0, 0), delivery_case(ttl, true, 0.05, 0.9, 0, 0.5, 0.001),
            delivery_case(ttl, true, 2.0, 9.0, 0.2, 0, 0.1), delivery_case(ttl, true, 0.0, 0, 0, 1.0, 0)})
        grid.push_back({{"workload", workload}, {"delivery", delivery}, {"limit_seconds", limit}});
  for (json& one : grid) {
    const Exposure exposure = answer_of(one);
    one["stale"] = exposure.stale;
    one["over_limit"] = exposure.over_limit;
    one["loads_per_second"] = exposure.loads_per_second;
  }
  return grid;
}

// CANDOR_WRITE_GRID=1 writes the file anew, after a change of the law that was meant.
TEST(ExposureGridTest, TheFileSaysWhatTheLawSays) {
  if (std::getenv("CANDOR_WRITE_GRID") != nullptr) {  // tidy: allow(a wish of who runs it, read once)
    std::ofstream out(kGridFile);
    out << "[\n";
    const json grid = make_grid();
    for (std::size_t i = 0; i < grid.size(); ++i)
      out << grid[i].dump() << (i + 1 < grid.size() ? ",\n" : "\n]\n");
  }
  std::ifstream in(kGridFile);
  const json grid = json::parse(in, nullptr, false);
  ASSERT_TRUE(grid.is_array());
  ASSERT_EQ(grid.size(), make_grid().size());
  for (const json& one : grid) {
    const Exposure exposure = answer_of(one);
    const auto is_near = [&](const char* name, double value) {
      EXPECT_NEAR(one[name].get<double>(), value, 1e-12 + 1e-10 * std::fabs(value))
          << name << " of " << one.dump();
    };
    is_near("stale", exposure.stale);
    is_near("over_limit", exposure.over_limit);
    is_near("loads_per_second", exposure.loads_per_second);
  }
}

}  // namespace
}  // namespace candor
