// Alerts on their way to real web servers: some take them, some fail first, some hang, some are not there.
#include "app/alerting.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "io/running_loop.h"

namespace candor::app {
namespace {

using nlohmann::json;

// An Alertmanager to the eye: remembers what was posted, and answers as told.
class Receiver {
 public:
  explicit Receiver(int port = 0) {
    server_.Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      response.status = answers_.empty() ? 200 : answers_.front();
      if (!answers_.empty()) answers_.erase(answers_.begin());
    });
    port_ =
        port != 0 && server_.bind_to_port("127.0.0.1", port) ? port : server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Receiver() {
    server_.stop();
    thread_.join();
  }
  // The next answers; after them 200.
  void answer(std::vector<int> statuses) {
    const std::lock_guard lock(mutex_);
    answers_ = std::move(statuses);
  }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<httplib::Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<int> answers_;
  std::vector<httplib::Request> requests_;
};

// Accepts connections by the kernel's hand and never says a word, or says `greeting` and no more.
class Mute {
 public:
  explicit Mute(std::string greeting = "") {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_, 16), 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    if (greeting.empty()) return;
    thread_ = std::thread([this, greeting] {
      for (int client = 0; (client = ::accept(socket_, nullptr, nullptr)) >= 0; ::close(client))
        (void)!::write(client, greeting.data(), greeting.size());
    });
  }
  ~Mute() {
    ::shutdown(socket_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(socket_);
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1;
  int port_ = 0;
  std::thread thread_;
};

class AlertingTest : public testing::Test {
 protected:
  ~AlertingTest() override {
    loop_.run_there([this] { alerting_.reset(); });
  }
  void start(std::vector<std::string> urls) {
    AlertsConfig config;
    config.webhook = std::move(urls);
    config.repeat = 4h;
    config.refresh = 1h;
    Alerting::Parts parts{&loop_.loop(), &loop_.loop(), 42, "eu-1", 400ms, "http://127.0.0.1:8390/"};
    loop_.run_there([&] {
      alerting_ = std::make_unique<Alerting>(parts, config, [this](bool is_warning, const std::string& line) {
        lines_.push_back((is_warning ? "warn " : "info ") + line);
      });
    });
  }
  void judge(BudgetState state, const std::string& feature = "profile") {
    FeatureExposure exposure;
    exposure.feature = feature;
    exposure.region = "eu";
    exposure.has_budget = true;
    exposure.budget = {.max_staleness = 5s, .stale_fraction = 0.001, .window = 30 * 24h};
    exposure.burn = {{5min, 20, 500}, {1h, 18.2, 1000}};
    exposure.state = state;
    loop_.run_there([&] {
      ExposureReport report;
      report.wall = SystemClock().wall();
      report.features.push_back(exposure);
      alerting_->judge(report, loop_.loop().now());
    });
  }
  AlertingReport report() {
    AlertingReport out;
    loop_.run_there([&] { out = alerting_->report(); });
    return out;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> out;
    loop_.run_there([&] { out = lines_; });
    return out;
  }
  template <class Condition>
  [[nodiscard]] bool comes(Condition condition, Duration patience = 10s) {
    const MonoTime end = SystemClock().now() + patience;
    while (!condition()) {
      if (SystemClock().now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  static json body(const httplib::Request& request) { return json::parse(request.body); }

  std::vector<std::string> lines_;  // the loop's
  RunningLoop loop_{"alerts"};
  std::unique_ptr<Alerting> alerting_;
};

TEST_F(AlertingTest, AnAlertBeginsAndEndsAtTheReceiver) {
  Receiver receiver;
  start({receiver.url()});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return receiver.requests().size() == 1; }));
  const auto request = receiver.requests()[0];
  EXPECT_EQ(request.path, "/api/v2/alerts");
  EXPECT_EQ(request.get_header_value("Content-Type"), "application/json");
  EXPECT_FALSE(request.has_header("Authorization"));
  const json alert = body(request).at(0);
  EXPECT_EQ(alert["labels"], (json{{"alertname", "CandorStalenessBudget"},
                                   {"feature", "profile"},
                                   {"node", "eu-1"},
                                   {"region", "eu"},
                                   {"severity", "page"}}));
  EXPECT_EQ(alert["generatorURL"], "http://127.0.0.1:8390/");
  EXPECT_GT(alert["endsAt"], alert["startsAt"]);
  judge(BudgetState::kOk);
  ASSERT_TRUE(comes([&] { return receiver.requests().size() == 2; }));
  const json resolved = body(receiver.requests()[1]).at(0);
  EXPECT_EQ(resolved["labels"], alert["labels"]);
  EXPECT_LT(resolved["endsAt"], alert["endsAt"]);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).delivered == 2; }));
  EXPECT_EQ(report().pages, 0u);
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[0],
            "warn page: profile in eu: stale reads burn the budget 18.2 times as fast as it allows (18.2 "
            "over 1h, 20 "
            "over 5m); 100 % of the 30d budget is left");
  EXPECT_TRUE(lines()[1].starts_with("info page is over: profile in eu")) << lines()[1];
}

TEST_F(AlertingTest, AReceiverThatFailsFirstGetsItLater) {
  Receiver receiver;
  receiver.answer({500, 503, 429});
  start({receiver.url()});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).delivered == 1; }, 20s));
  ASSERT_EQ(receiver.requests().size(), 4u);
  EXPECT_EQ(receiver.requests()[0].body, receiver.requests()[3].body);
  EXPECT_EQ(report().webhooks[0].failed, 3u);
  EXPECT_EQ(report().webhooks[0].problem, "");
  // Its trouble is said once, and that it is over.
  EXPECT_EQ(lines().size(), 3u);
  EXPECT_EQ(lines()[1], "warn alerts to " + receiver.url() +
                            ": answers with status 500; its alerts are kept and sent again");
  EXPECT_EQ(lines()[2], "info alerts to " + receiver.url() + ": all is well again");
}

TEST_F(AlertingTest, AReceiverThatHangsHoldsUpNobody) {
  Mute mute;
  Receiver receiver;
  start({mute.url(), receiver.url()});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return receiver.requests().size() == 1; }));
  // The loop goes on meanwhile.
  const MonoTime begin = SystemClock().now();
  for (int i = 0; i < 100; ++i) loop_.run_there([] {});
  EXPECT_LT(SystemClock().now() - begin, 300ms);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).failed >= 2; }));
  EXPECT_EQ(report().webhooks[0].waiting, 1u);
  EXPECT_EQ(report().webhooks[0].problem, "no answer within 400ms; its alerts are kept and sent again");
  EXPECT_EQ(report().webhooks[1].delivered, 1u);
}

TEST_F(AlertingTest, WhatEndedWhileTheReceiverWasAwayArrivesAsEnded) {
  int port = 0;
  {
    Receiver gone;
    port = gone.port();
  }
  start({"http://127.0.0.1:" + std::to_string(port)});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).failed >= 1; }));
  judge(BudgetState::kOk);
  Receiver receiver(port);
  ASSERT_EQ(receiver.port(), port);
  ASSERT_TRUE(comes([&] { return !receiver.requests().empty(); }, 30s));
  const auto request = receiver.requests()[0];
  ASSERT_EQ(body(request).size(), 1u);
  const json alert = body(request)[0];
  EXPECT_LT(alert["endsAt"].get<std::string>(), rfc3339({SystemClock().wall().ns + 1'000'000'000}));
}

TEST_F(AlertingTest, ARefusalIsSaidAndNotRepeated) {
  Receiver receiver;
  receiver.answer({400});
  start({receiver.url()});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).refused == 1; }));
  EXPECT_TRUE(report().webhooks[0].problem.starts_with("refuses alerts with status 400"))
      << report().webhooks[0].problem;
  EXPECT_EQ(report().webhooks[0].waiting, 0u);
  std::this_thread::sleep_for(1500ms);
  EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_F(AlertingTest, SecretsReachTheReceiverAndNothingElse) {
  Receiver receiver;
  receiver.answer({500});
  const std::string port = std::to_string(receiver.port());
  start({"http://us%40er:s3cr%3Aet@127.0.0.1:" + port + "/hooks/T0KEN?also=h1dden"});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).delivered == 1; }));
  const auto request = receiver.requests()[0];
  EXPECT_EQ(request.target, "/hooks/T0KEN?also=h1dden");
  EXPECT_EQ(request.get_header_value("Authorization"), "Basic dXNAZXI6czNjcjpldA==");  // us@er:s3cr:et
  std::string said = report().webhooks[0].address + report().webhooks[0].problem;
  for (const std::string& line : lines()) said += line;
  for (const char* secret : {"us%40er", "us@er", "s3cr", "T0KEN", "h1dden", "dXNA"})
    EXPECT_EQ(said.find(secret), std::string::npos) << secret;
  EXPECT_NE(said.find("http://127.0.0.1:" + port), std::string::npos);
}

TEST_F(AlertingTest, WhatIsNoWebServerIsSaid) {
  Mute ssh("SSH-2.0-OpenSSH_9.2\r\n");
  start({ssh.url()});
  judge(BudgetState::kPage);
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).failed >= 1; }));
  EXPECT_EQ(report().webhooks[0].problem,
            "what answers there is no web server; its alerts are kept and sent again");
}

TEST_F(AlertingTest, ManyAlertsLeaveInBatches) {
  Receiver receiver;
  start({receiver.url()});
  loop_.run_there([&] {
    ExposureReport report;
    for (int i = 0; i < 200; ++i) {
      FeatureExposure& exposure = report.features.emplace_back();
      exposure.feature = "f" + std::to_string(i);
      exposure.has_budget = true;
      exposure.budget.window = 1h;
      exposure.state = BudgetState::kTicket;
    }
    alerting_->judge(report, loop_.loop().now());
  });
  ASSERT_TRUE(comes([&] { return report().webhooks.at(0).delivered == 200; }));
  EXPECT_EQ(receiver.requests().size(), 4u);
  EXPECT_EQ(lines().size(), Alerting::kLinesMax + 1);
  EXPECT_EQ(lines().back(), "warn 150 more alerts changed and were not written here");
}

TEST_F(AlertingTest, ItEndsWhileAnAttemptIsUnderWay) {
  Mute mute;
  start({mute.url()});
  judge(BudgetState::kPage);
  std::this_thread::sleep_for(50ms);
}

// ---- addresses ----

TEST(WebhookUrlTest, IsTakenApart) {
  const auto plain = parse_webhook_url("http://alertmanager:9093");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->endpoint.to_string(), "alertmanager:9093");
  EXPECT_EQ(plain->path, "/api/v2/alerts");
  EXPECT_FALSE(plain->endpoint.tls);
  const auto tls = parse_webhook_url("https://am.example/prefix/api/v2/alerts");
  ASSERT_TRUE(tls);
  EXPECT_EQ(tls->endpoint.to_string(), "am.example:443");
  EXPECT_TRUE(tls->endpoint.tls);
  EXPECT_EQ(tls->path, "/prefix/api/v2/alerts");
  const auto six = parse_webhook_url("http://[::1]:9093/");
  ASSERT_TRUE(six);
  EXPECT_EQ(six->endpoint.host, "::1");
  EXPECT_EQ(six->host, "[::1]:9093");
  const auto at = parse_webhook_url("http://u:p@ss/w@host");
  ASSERT_TRUE(at);
  EXPECT_EQ(at->endpoint.host, "host");
  EXPECT_EQ(at->shown, "http://host");
}

TEST(WebhookUrlTest, WhatIsNoAddressIsRefusedWithoutItsSecrets) {
  for (const char* url :
       {"", "alertmanager:9093", "ftp://u:s3cret@host", "http://", "http://u:s3cret@", "http://:9093",
        "http://host:", "http://host:0", "http://host:99999", "http://host:9093x", "http://[::1",
        "http://ho st", "http://u:s3cret@host\r\nX: y", "http://host?s3cret", "http://host#s3cret"}) {
    const auto target = parse_webhook_url(url);
    ASSERT_FALSE(target) << url;
    EXPECT_EQ(target.error().message.find("s3cret"), std::string::npos) << target.error().message;
    EXPECT_NE(target.error().message.find("write http://"), std::string::npos) << target.error().message;
  }
}

}  // namespace
}  // namespace candor::app
