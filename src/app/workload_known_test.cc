#include "app/workload_known.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "budget/key_classes.h"

namespace candor::app {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view toml) {
  const auto known = read_rates_text(toml, "rates.toml", false);
  return known ? "accepted" : known.error().message;
}

TEST(WorkloadRatesTest, FiguresBecomeAWorkload) {
  const auto known = read_rates_text(
      "[features.profile]\nreads_per_second = 1000\nupdates_per_second = 2.5\nkeys = 100\nthrough_share = "
      "0.5\n"
      "load = \"2ms\"\ndelay = \"20ms\"\nloss = 0.001\n",
      "rates.toml", false);
  ASSERT_TRUE(known) << known.error().message;
  const KnownWorkload& profile = known->at("profile");
  EXPECT_NEAR(profile.workload.read_weighted_reads(), 10.0, 1e-9);
  EXPECT_NEAR(profile.workload.read_weighted_updates(), 0.025, 1e-9);
  EXPECT_EQ(profile.source, "rates.toml:1");
  EXPECT_EQ(profile.load_seconds, 0.002);
  EXPECT_EQ(profile.delay_seconds, 0.02);
  EXPECT_EQ(profile.through_share, 0.5);
  EXPECT_FALSE(profile.own_share);
}

TEST(WorkloadRatesTest, ChangesAreSkewedAsReadsUnlessSaid) {
  const auto known = read_rates_text(
      "[features.a]\nreads_per_second = 10\nupdates_per_second = 1\nkeys = 50\nread_skew = 1\n"
      "[features.b]\nreads_per_second = 10\nupdates_per_second = 1\nkeys = 50\nread_skew = 1\nupdate_skew = "
      "0\n",
      "f", false);
  ASSERT_TRUE(known);
  EXPECT_GT(known->at("a").workload.read_weighted_updates(),
            2 * known->at("b").workload.read_weighted_updates());
}

TEST(WorkloadRatesTest, JsonSaysTheSame) {
  const auto known = read_rates_text(
      R"({"features": {"profile": {"reads_per_second": 10, "classes": [
        {"read_share": 0.75, "reads_per_second": 5, "updates_per_second": 1},
        {"read_share": 0.25, "reads_per_second": 0.5, "updates_per_second": 0}]}}})",
      "r.json", true);
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(known->at("profile").workload.classes.size(), 2u);
  EXPECT_NEAR(known->at("profile").workload.updates_per_second, 1.5, 1e-9);
}

TEST(WorkloadRatesTest, WhatIsNotSaidIsNotZero) {
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = 1\nkeys = 5"),
              HasSubstr("updates_per_second is missing"));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = 1\nupdates_per_second = 1"),
              HasSubstr("keys is missing"));
  // Delivery alone completes another source.
  const auto known = read_rates_text("[features.a]\nloss = 0.5", "f", false);
  ASSERT_TRUE(known);
  EXPECT_TRUE(known->at("a").workload.classes.empty());
}

TEST(WorkloadRatesTest, BadFiguresNameTheirPlace) {
  EXPECT_THAT(refusal("x = "), HasSubstr("rates.toml:1"));
  EXPECT_THAT(refusal("[profile]\nkeys = 1"), HasSubstr("no [features.NAME]"));
  EXPECT_THAT(refusal("[features.a]\nraeds_per_second = 1"), HasSubstr("did you mean \"reads_per_second\""));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = \"many\""), HasSubstr("rates.toml:2"));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = -1\nupdates_per_second = 1\nkeys = 1"),
              HasSubstr("-1"));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = nan\nupdates_per_second = 1\nkeys = 1"),
              HasSubstr("nan"));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = 1\nupdates_per_second = 1\nkeys = 0"),
              HasSubstr("keys"));
  EXPECT_THAT(refusal("[features.a]\nloss = 2"), HasSubstr("loss"));
  EXPECT_THAT(refusal("[features.a]\ndelay = 20"), HasSubstr("with a unit"));
  EXPECT_THAT(refusal("[features.a]\ndelay = \"20 parsecs\""), HasSubstr("rates.toml:2"));
  EXPECT_THAT(refusal("[features.a]\nthrough_share = 0.1\nown_share = 0.2"), HasSubstr("own_share"));
  EXPECT_THAT(refusal("[features.a]\nreads_per_second = 1\nclasses = []"), HasSubstr("classes"));
  EXPECT_THAT(
      refusal("[features.a]\nreads_per_second = 1\nclasses = [{read_share = 0.5, reads_per_second = 1, "
              "updates_per_second = 1}]"),
      HasSubstr("not 1"));
  EXPECT_THAT(refusal("features = 5"), HasSubstr("no [features.NAME]"));
  EXPECT_THAT(refusal("[features]\na = 5"), HasSubstr("where a table belongs"));
  EXPECT_FALSE(read_rates_text("{", "r.json", true));
  EXPECT_FALSE(read_rates_text("[1,2]", "r.json", true));
  EXPECT_FALSE(read_rates_text(std::string(100'000, '['), "r.json", true));
  EXPECT_FALSE(read_rates_file("/nonexistent/rates.toml"));
}

TEST(WorkloadRatesTest, AnOptionIsOneFeature) {
  const auto known = read_rate_option("profile: reads_per_second=1e3, updates_per_second=2,keys=10,load=3ms");
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_EQ(known->at("profile").workload.reads_per_second, 1000.0);
  EXPECT_EQ(known->at("profile").load_seconds, 0.003);
  for (const char* bad :
       {"", "profile", ":keys=1", "profile:keys", "profile:keys=x", "profile:reads_per_second=1"})
    EXPECT_FALSE(read_rate_option(bad)) << bad;
}

TEST(WorkloadKnownTest, LaterSourcesWinAndCompleteEarlierOnes) {
  auto known = read_rate_option("a:reads_per_second=1,updates_per_second=1,keys=1,load=1ms,loss=0.5");
  ASSERT_TRUE(known);
  add_known(*known, *read_rates_text("[features.a]\nloss = 0.25", "f", false));
  EXPECT_EQ(known->at("a").loss, 0.25);
  EXPECT_EQ(known->at("a").load_seconds, 0.001);
  EXPECT_EQ(known->at("a").workload.reads_per_second, 1.0);
  add_known(*known, *read_rate_option("a:reads_per_second=9,updates_per_second=1,keys=1"));
  EXPECT_EQ(known->at("a").workload.reads_per_second, 9.0);
}

TEST(WorkloadSeenTest, LinesOfALog) {
  const auto line = parse_log_line("12.5 profile user 42");
  ASSERT_TRUE(line && *line);
  EXPECT_EQ((*line)->seconds, 12.5);
  EXPECT_EQ((*line)->feature, "profile");
  EXPECT_EQ((*line)->key, "user 42");
  EXPECT_EQ((*parse_log_line("1700000000,profile,a,b\r"))->key, "a,b");
  for (const char* nothing : {"", "  ", "# comment", "time,feature,key", "\r"}) {
    const auto parsed = parse_log_line(nothing);
    EXPECT_TRUE(parsed && !*parsed) << nothing;
  }
  for (const char* bad :
       {"profile 42", "x profile 42", "12 profile", "12", "1e300 profile 1", "nan profile 1"})
    EXPECT_FALSE(parse_log_line(bad)) << bad;
}

class WorkloadFilesTest : public testing::Test {
 protected:
  WorkloadFilesTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("candor-workload-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
    std::filesystem::create_directories(folder_);
  }
  ~WorkloadFilesTest() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  std::filesystem::path folder_;
};

TEST_F(WorkloadFilesTest, LogsOfReadsAndChanges) {
  std::string reads, writes;
  for (int i = 0; i <= 100; ++i) reads += std::to_string(i) + " profile " + (i % 4 == 0 ? "7" : "ada") + "\n";
  for (int i = 0; i < 10; ++i) writes += std::to_string(10 * i) + " profile 7\n5 price 1\n";
  const auto known = read_seen_files({.reads = file("reads", reads), .writes = file("writes", writes)});
  ASSERT_TRUE(known) << known.error().message;
  const Workload& profile = known->at("profile").workload;
  EXPECT_NEAR(profile.reads_per_second, 1.01, 1e-9);
  EXPECT_NEAR(profile.updates_per_second, 0.1, 1e-9);
  EXPECT_NEAR(profile.read_weighted_updates(), 26.0 / 101 * 0.1, 1e-9);
  EXPECT_TRUE(known->at("price").workload.classes.empty()) << "nobody read it";
  EXPECT_FALSE(known->at("price").notes.empty());
}

TEST_F(WorkloadFilesTest, TraceKeysAreTheKeysOfTheLog) {
  const auto known = read_seen_files({.writes = file("writes", "0 profile ada\n1 profile 42\n"),
                                      .trace = file("trace", "x ada\nx 42\nx ada\nx 9\n"),
                                      .format = *parse_trace_format("csvkey:1"),
                                      .trace_feature = "profile",
                                      .duration = 10s});
  ASSERT_TRUE(known) << known.error().message;
  const Workload& profile = known->at("profile").workload;
  EXPECT_NEAR(profile.reads_per_second, 0.4, 1e-9);
  EXPECT_NEAR(profile.read_weighted_updates(), 0.75 * 0.1, 1e-9);
}

TEST_F(WorkloadFilesTest, NoChangeSeenIsSaidNotConcluded) {
  const auto known =
      read_seen_files({.reads = file("reads", "0 a 1\n100 a 1\n"), .writes = file("w", "5 b 1\n")});
  ASSERT_TRUE(known);
  ASSERT_EQ(known->at("a").notes.size(), 1u);
  EXPECT_THAT(known->at("a").notes[0], HasSubstr("less than 0.03 times a second"));
}

TEST_F(WorkloadFilesTest, FilesThatSpellKeysDifferentlyAreNotAFreshCache) {
  const auto known = read_seen_files(
      {.reads = file("reads", "0 a 1\n100 a 2\n"), .writes = file("w", "5 a user:1\n6 a user:2\n")});
  ASSERT_TRUE(known);
  EXPECT_TRUE(known->at("a").workload.classes.empty());
  ASSERT_EQ(known->at("a").notes.size(), 1u);
  EXPECT_THAT(known->at("a").notes[0], HasSubstr("spell keys alike"));
}

TEST_F(WorkloadFilesTest, BadFilesNameTheirLine) {
  const std::string good = file("good", "0 a 1\n9 a 1\n");
  const auto refusal_of = [&](const SeenFiles& files) {
    const auto known = read_seen_files(files);
    return known ? "accepted" : known.error().message;
  };
  EXPECT_THAT(refusal_of({.reads = good, .writes = file("bad", "0 a 1\nnonsense\n")}), HasSubstr("bad:2"));
  EXPECT_THAT(refusal_of({.reads = good, .writes = file("empty", "# nothing\n")}), HasSubstr("no line"));
  EXPECT_THAT(refusal_of({.reads = file("r1", "5 a 1\n"), .writes = file("w1", "5 a 1\n")}),
              HasSubstr("--duration"));
  EXPECT_THAT(refusal_of({.reads = good, .writes = file("long", std::string(300'000, 'x'))}),
              HasSubstr("long:1"));
  EXPECT_THAT(refusal_of({.reads = good, .writes = "/nonexistent/w"}), HasSubstr("/nonexistent/w"));
}

TEST(WorkloadNodeTest, AnswerOfANode) {
  const auto known = read_node_budgets(R"({"features": [
    {"feature": "profile", "workload": {"reads_per_second": 100, "updates_per_second": 2, "classes": [
        {"read_share": 0.5, "reads_per_second": 10, "updates_per_second": 0.1},
        {"read_share": 0.5, "reads_per_second": 1, "updates_per_second": 0}]},
     "delivery": {"ttl_seconds": 60, "is_pushed": true, "delay_seconds": 0.004, "lag_p99_seconds": 0.03, "loss": 0},
     "load_seconds_mean": 0.0007,
     "measured": {"by_origin": {"reads": 500, "stale_fraction": 0.01, "low": 0.002, "high": 0.02}}},
    {"feature": "price"}, {"nonsense": 1}, 7]})",
                                       "n:1");
  ASSERT_TRUE(known) << known.error().message;
  const KnownWorkload& profile = known->at("profile");
  EXPECT_NEAR(profile.workload.read_weighted_updates(), 0.05, 1e-12);
  EXPECT_EQ(profile.delay_p99_seconds, 0.03);
  EXPECT_EQ(profile.load_seconds, 0.0007);
  ASSERT_TRUE(profile.measured);
  EXPECT_EQ(profile.measured->fraction, 0.01);
  EXPECT_TRUE(known->at("price").workload.classes.empty());
  EXPECT_FALSE(known->at("price").notes.empty());
  EXPECT_EQ(known->size(), 2u);
}

TEST(WorkloadNodeTest, AnythingElseIsRefusedOrUnknown) {
  for (const char* bad : {"", "nonsense", "{}", "5", "null", "{\"features\": 5}"})
    EXPECT_FALSE(read_node_budgets(bad, "n:1")) << bad;
  const auto known = read_node_budgets(
      R"([{"feature": "a", "workload": [], "delivery": 5, "measured": null, "load_seconds_mean": "fast"},
          {"feature": "b", "workload": {"classes": [{"read_share": -1, "reads_per_second": 1, "updates_per_second": 1},
            5, null, {"read_share": 1e999}]}}])",
      "n:1");
  if (known) {
    EXPECT_TRUE(known->at("a").workload.classes.empty());
    EXPECT_TRUE(known->at("b").workload.classes.empty());
  }
}

}  // namespace
}  // namespace candor::app
