#include "monitor/alert.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "monitor/alert_outbox.h"

namespace candor {
namespace {

FeatureExposure exposure(std::string feature, BudgetState state) {
  FeatureExposure out;
  out.feature = std::move(feature);
  out.region = "eu";
  out.owner = "growth";
  out.has_budget = true;
  out.budget = {.max_staleness = 5s, .stale_fraction = 0.001, .window = 30 * 24h};
  out.burn = {{5min, 20.0, 500}, {30min, 7, 900}, {1h, 18.2, 1000}, {6h, 3, 4000}, {72h, 1, 9000}};
  out.budget_remaining = 0.42;
  out.state = state;
  return out;
}

std::string shown(const AlertEvent& event) {
  constexpr std::array<const char*, 4> kKinds = {"began", "refreshed", "repeated", "resolved"};
  return std::string(kKinds[static_cast<std::size_t>(event.kind)]) + " " +
         std::string(event.alert.label("alertname")) + " " + std::string(event.alert.label("severity")) +
         " " + std::string(event.alert.label("feature"));
}
using Lines = std::vector<std::string>;

class AlertBookTest : public ::testing::Test {
 protected:
  Lines note(Duration pause, std::vector<FeatureExposure> features) {
    now_ = now_ + pause;
    ExposureReport report;
    report.at = now_;
    report.wall = WallTime{1'772'368'200'250'000'000 + now_.ns};
    report.features = std::move(features);
    events_ = book_.note(report, now_);
    Lines out;
    for (const AlertEvent& event : events_) out.push_back(shown(event));
    return out;
  }
  MonoTime now_{0};
  AlertBook book_{{"eu-1", "https://wiki/candor", 4h, 1min}};
  std::vector<AlertEvent> events_;
};

TEST_F(AlertBookTest, ATranscriptOfOneIncident) {
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kUnknown)}), Lines{});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kOk)}), Lines{});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kTicket)}), Lines{"began CandorStalenessBudget ticket p"});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kTicket)}), Lines{});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kPage)}),
            (Lines{"resolved CandorStalenessBudget ticket p", "began CandorStalenessBudget page p"}));
  EXPECT_EQ(note(50s, {exposure("p", BudgetState::kPage)}), Lines{});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kPage)}), Lines{"refreshed CandorStalenessBudget page p"});
  EXPECT_EQ(note(4h, {exposure("p", BudgetState::kPage)}), Lines{"repeated CandorStalenessBudget page p"});
  EXPECT_EQ(book_.active("page"), 1u);
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kOk)}), Lines{"resolved CandorStalenessBudget page p"});
  EXPECT_EQ(note(10s, {exposure("p", BudgetState::kOk)}), Lines{});
  EXPECT_EQ(book_.active("page"), 0u);
}

TEST_F(AlertBookTest, AnAlertSaysWhatAPersonNeeds) {
  auto feature = exposure("profile", BudgetState::kPage);
  feature.impact = "an old nickname on a page";
  feature.by_stream_window = {.reads = 2000, .stale_fraction = 0.01, .low = 0.006, .high = 0.015};
  feature.by_stream_window.by_cause[0] = 0.008;
  feature.by_stream_window.by_cause[4] = 0.002;
  note(10s, {feature});
  const Alert& alert = events_.at(0).alert;
  EXPECT_EQ(alert.annotation("summary"),
            "profile in eu: stale reads burn the budget 18.2 times as fast as it allows (18.2 over 1h, 20 "
            "over 5m); "
            "42 % of the 30d budget is left");
  EXPECT_EQ(
      alert.annotation("description"),
      "Reads may be staler than 5s for 0.1 % of reads. Over 30d, seen from the stream: 1 % of 2000 reads (95 "
      "%: "
      "0.6 % to 1.5 %), by cause: lag 0.8 %, serve-stale 0.2 %; checked against the origin: not measured.");
  EXPECT_EQ(alert.annotation("impact"), "an old nickname on a page");
  EXPECT_EQ(alert.annotation("runbook_url"), "https://wiki/candor");
  EXPECT_EQ(alert.label("node"), "eu-1");
  EXPECT_EQ(alert.label("owner"), "growth");
  EXPECT_EQ(alert.ends.ns - alert.starts.ns, Duration{4min}.count());
}

TEST_F(AlertBookTest, LostInvalidationsStayUntilHalfAnHourHasNone) {
  auto feature = exposure("p", BudgetState::kOk);
  feature.lost_fraction = 0.02;
  feature.lost_keys = {"p:1", "p:2"};
  EXPECT_EQ(note(10s, {feature}), Lines{"began CandorLostInvalidations ticket p"});
  EXPECT_NE(events_[0].alert.annotation("description").find("p:1, p:2"), std::string::npos);
  feature.lost_fraction = 0;
  EXPECT_EQ(note(10s, {feature}), Lines{});
  EXPECT_EQ(note(29min, {feature}), Lines{"refreshed CandorLostInvalidations ticket p"});
  EXPECT_EQ(note(1min, {feature}), Lines{"resolved CandorLostInvalidations ticket p"});
}

TEST_F(AlertBookTest, WhatTheSweepFoundIsALostInvalidationToo) {
  auto feature = exposure("p", BudgetState::kOk);
  feature.lost_entries = 3;
  feature.lost_keys = {"p:1"};
  EXPECT_EQ(note(10s, {feature}), Lines{"began CandorLostInvalidations ticket p"});
  EXPECT_NE(events_[0].alert.annotation("description").find("The sweep found 3 entries"), std::string::npos);
}

TEST_F(AlertBookTest, AFeatureThatIsGoneHasNoAlert) {
  note(10s, {exposure("p", BudgetState::kPage)});
  EXPECT_EQ(note(10s, {}), Lines{"resolved CandorStalenessBudget page p"});
}

TEST_F(AlertBookTest, TheWorstDayIsBounded) {
  std::vector<FeatureExposure> all;
  for (int i = 0; i < 1500; ++i) all.push_back(exposure(std::to_string(i), BudgetState::kPage));
  EXPECT_EQ(note(10s, all).size(), AlertBook::kAlertsMax);
  EXPECT_EQ(book_.left_out(), 1500 - AlertBook::kAlertsMax);
}

// ---- what leaves ----

TEST_F(AlertBookTest, JsonIsWhatAlertmanagerTakes) {
  note(10s, {exposure("p", BudgetState::kPage)});
  const std::vector<Alert> alerts = {events_[0].alert};
  const auto json = nlohmann::json::parse(alerts_json(alerts, "http://127.0.0.1:8390/"));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["labels"]["alertname"], "CandorStalenessBudget");
  EXPECT_EQ(json[0]["startsAt"], "2026-03-01T12:30:10.250Z");
  EXPECT_EQ(json[0]["endsAt"], "2026-03-01T12:34:10.250Z");
  EXPECT_EQ(json[0]["generatorURL"], "http://127.0.0.1:8390/");
}

TEST_F(AlertBookTest, HostileTextsStayTextsAndAreCut) {
  auto feature = exposure("p", BudgetState::kPage);
  feature.lost_fraction = 0.1;
  feature.lost_keys = {std::string("\xff\xfe\"},{\n", 6), std::string(5000, 'k')};
  feature.impact.clear();
  for (int i = 0; i < 1000; ++i) feature.impact += "ä";
  note(10s, {feature});
  std::vector<Alert> alerts;
  for (const AlertEvent& event : events_) alerts.push_back(event.alert);
  const std::string text = alerts_json(alerts, "");
  const auto json = nlohmann::json::parse(text);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_LT(text.size(), 8000u);
  const std::string impact = json[0]["annotations"]["impact"];
  EXPECT_EQ(impact.size(), kAlertTextMax + 3);
  EXPECT_TRUE(impact.ends_with("ä…"));
}

TEST(Rfc3339Test, KnowsLeapYearsAndTheFirstDay) {
  EXPECT_EQ(rfc3339(WallTime{0}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(WallTime{951'782'399'999'000'000}), "2000-02-28T23:59:59.999Z");
  EXPECT_EQ(rfc3339(WallTime{951'782'400'000'000'000}), "2000-02-29T00:00:00.000Z");
}

// ---- the outbox ----

Alert alert_of(const std::string& feature, bool is_resolved = false) {
  Alert out;
  out.labels = {{"alertname", "A"}, {"feature", feature}};
  out.is_resolved = is_resolved;
  return out;
}

class AlertOutboxTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string take() {
    std::string out;
    for (const Alert& alert : outbox_.take())
      out += (alert.is_resolved ? "-" : "+") + std::string(alert.label("feature")) + " ";
    return out;
  }
  MonoTime now_{1'000'000'000};
  AlertOutbox outbox_{7};
};

TEST_F(AlertOutboxTest, TheNewestWordIsWhatIsSent) {
  EXPECT_FALSE(outbox_.due());
  outbox_.put(alert_of("a"));
  outbox_.put(alert_of("b"));
  outbox_.put(alert_of("a", true));
  EXPECT_EQ(take(), "-a +b ");
  EXPECT_FALSE(outbox_.due()) << "one batch at a time";
  outbox_.on_taken(now_);
  EXPECT_FALSE(outbox_.due());
  EXPECT_EQ(outbox_.counts().delivered, 2u);
}

TEST_F(AlertOutboxTest, WhatFailedComesBackUnlessThereIsANewerWord) {
  outbox_.put(alert_of("a"));
  outbox_.put(alert_of("b"));
  EXPECT_EQ(take(), "+a +b ");
  outbox_.put(alert_of("b", true));
  outbox_.on_failed(now_);
  ASSERT_TRUE(outbox_.due());
  EXPECT_GT(*outbox_.due(), now_);
  EXPECT_EQ(take(), "+a -b ");
}

TEST_F(AlertOutboxTest, PausesGrowAndAreBounded) {
  outbox_.put(alert_of("a"));
  Duration longest{0}, sum{0};
  for (int i = 0; i < 40; ++i) {
    (void)take();
    outbox_.on_failed(now_);
    const Duration pause = *outbox_.due() - now_;
    EXPECT_GE(pause, AlertOutbox::kBackoff.floor);
    EXPECT_LE(pause, AlertOutbox::kBackoff.limit);
    longest = std::max(longest, pause);
    sum += pause;
    now_ = *outbox_.due();
  }
  EXPECT_GT(longest, 20s);
  EXPECT_GT(sum, 5min);
  EXPECT_EQ(outbox_.counts().failed, 40u);
}

TEST_F(AlertOutboxTest, WhatIsRefusedIsNotSentAgain) {
  outbox_.put(alert_of("a"));
  (void)take();
  outbox_.on_refused(now_);
  EXPECT_FALSE(outbox_.due());
  outbox_.put(alert_of("b"));
  EXPECT_GT(*outbox_.due(), now_) << "a receiver that refuses is not asked in a loop";
  EXPECT_EQ(take(), "+b ");
}

TEST_F(AlertOutboxTest, IsBounded) {
  for (int i = 0; i < 3000; ++i) outbox_.put(alert_of(std::to_string(i)));
  EXPECT_EQ(outbox_.waiting(), AlertOutbox::kAlertsMax);
  EXPECT_EQ(outbox_.counts().dropped, 3000 - AlertOutbox::kAlertsMax);
  EXPECT_EQ(outbox_.take().size(), AlertOutbox::kBatchMax);
  for (int i = 5000; i < 6000; ++i) outbox_.put(alert_of(std::to_string(i)));
  outbox_.on_failed(now_);
  EXPECT_EQ(outbox_.waiting(), AlertOutbox::kAlertsMax);
  outbox_.put(alert_of("one that is there already"));
}

}  // namespace
}  // namespace candor
