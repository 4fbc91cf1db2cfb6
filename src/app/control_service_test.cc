#include "app/control_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/http_answers.h"
#include "app/percent_encoding.h"
#include "base/virtual_executor.h"

namespace candor::app {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class FakePeer final : public Peer {
 public:
  explicit FakePeer(Executor& executor) : executor_(executor) {}
  std::string& output() override { return output_; }
  void flush() override {}
  std::size_t unsent_bytes() const override { return stuck ? output_.size() : 0; }
  void pause_reading(bool paused) override { is_paused = paused; }
  void close_after_flush() override { is_closed = true; }
  void abort(const char*) override { is_aborted = true; }
  Executor& executor() override { return executor_; }
  std::string_view address() const override { return "127.0.0.1:1"; }
  std::uint64_t id() const override { return 1; }
  bool is_tls() const override { return false; }

  bool is_closed = false, is_aborted = false, is_paused = false, stuck = false;

 private:
  Executor& executor_;
  std::string output_;
};

class FakeNode final : public NodeControl {
 public:
  void report(std::function<void(std::shared_ptr<const NodeReport>)> done) override {
    if (holds_reports) {
      held.push_back(std::move(done));
    } else {
      done(std::make_shared<NodeReport>(now));
    }
  }
  void flush(std::optional<std::string> feature, std::function<void(Result<void>)> done) override {
    flushed.push_back(feature.value_or("*"));
    done({});
  }
  void invalidate(std::string feature, std::string key, std::function<void(Result<void>)> done) override {
    invalidated.push_back(feature + ":" + key);
    done({});
  }

  NodeReport now;
  bool holds_reports = false;
  std::vector<std::function<void(std::shared_ptr<const NodeReport>)>> held;
  std::vector<std::string> flushed, invalidated;
};

class ControlServiceTest : public testing::Test {
 protected:
  ControlServiceTest() {
    node.now.ready = true;
    node.now.features.emplace_back().name = "profile";
    connect();
  }
  void connect() {
    peer = std::make_unique<FakePeer>(executor);
    connection = service.accept(peer.get());
  }
  // What comes back for `request` on a fresh connection.
  std::string ask(const std::string& request) {
    connect();
    connection->on_data(request);
    return peer->output();
  }
  std::string get(const std::string& path) {
    return ask("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  std::string post(const std::string& path, const std::string& body,
                   const std::string& headers = "Authorization: Bearer secret\r\n") {
    return ask("POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  static int status(const std::string& answer) { return std::stoi(answer.substr(9, 3)); }
  static std::string body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  VirtualExecutor executor;
  FakeNode node;
  ControlService service{ControlOptions{.guard = {{}, "secret"}, .event_clients_max = 2}, &node};
  std::unique_ptr<FakePeer> peer;
  std::unique_ptr<ConnectionHandler> connection;
};

TEST_F(ControlServiceTest, ReadinessFollowsTheNode) {
  EXPECT_EQ(status(get("/readyz")), 200);
  node.now.ready = false;
  node.now.not_ready_because = "draining";
  EXPECT_EQ(status(get("/readyz")), 503);
  EXPECT_EQ(status(get("/healthz")), 200);
}

TEST_F(ControlServiceTest, EveryAnswerCarriesTheStrictPolicy) {
  for (const char* path : {"/", "/healthz", "/metrics", "/api/v1/status", "/nothing", "/app.js"}) {
    const std::string answer = get(path);
    EXPECT_THAT(answer, HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'self'")) << path;
    EXPECT_THAT(answer, HasSubstr("frame-ancestors 'none'")) << path;
    EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff")) << path;
    EXPECT_THAT(answer, HasSubstr("Referrer-Policy: no-referrer")) << path;
    EXPECT_EQ(answer.find("unsafe-inline"), std::string::npos) << path;
  }
}

TEST_F(ControlServiceTest, ThePageHasNoInlineScriptOrStyle) {
  const std::string page = body(get("/"));
  EXPECT_THAT(page, HasSubstr("<script src="));
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_EQ(page.find("<style"), std::string::npos);
  EXPECT_EQ(page.find(" style="), std::string::npos);
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
}

TEST_F(ControlServiceTest, PagesUnderAForeignHostAreRefused) {
  EXPECT_EQ(status(ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status(ask("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status(ask("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 200);
}

TEST_F(ControlServiceTest, FlushNeedsTheToken) {
  EXPECT_EQ(status(post("/api/v1/flush", "{}", "")), 401);
  EXPECT_EQ(status(post("/api/v1/flush", "{}", "Authorization: Bearer wrong\r\n")), 401);
  EXPECT_EQ(status(get("/api/v1/flush")), 405);
  EXPECT_TRUE(node.flushed.empty());
  EXPECT_EQ(status(post("/api/v1/flush", "{}")), 200);
  EXPECT_EQ(status(post("/api/v1/flush", R"({"feature":"profile"})")), 200);
  EXPECT_THAT(node.flushed, testing::ElementsAre("*", "profile"));
}

TEST_F(ControlServiceTest, AMisspeltFlushDoesNotFlushEverything) {
  for (const char* wrong : {R"({"featrue":"profile"})", R"({"feature":1})", "[]", "profile", "{"})
    EXPECT_EQ(status(post("/api/v1/flush", wrong)), 400) << wrong;
  EXPECT_TRUE(node.flushed.empty());
}

TEST_F(ControlServiceTest, InvalidateNamesAFeatureAndAKey) {
  const std::string answer = post("/api/v1/invalidate", R"({"feature":"profile","key":"a:b"})");
  EXPECT_EQ(status(answer), 200);
  EXPECT_EQ(json::parse(body(answer)), json({{"invalidated", true}}));
  EXPECT_EQ(status(post("/api/v1/invalidate", R"({"feature":"profile"})")), 400);
  EXPECT_THAT(node.invalidated, testing::ElementsAre("profile:a:b"));
}

TEST_F(ControlServiceTest, AFeatureIsFoundByItsEncodedName) {
  EXPECT_EQ(json::parse(body(get("/api/v1/features/pro%66ile")))["name"], "profile");
  EXPECT_EQ(status(get("/api/v1/features/nobody")), 404);
  EXPECT_EQ(status(get("/api/v1/features/a/b")), 404);
}

TEST_F(ControlServiceTest, EveryRouteIsListedInTheOpenApiFile) {
  const json paths = json::parse(body(get("/api/v1/openapi.json")))["paths"];
  for (const char* path : {"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/features",
                           "/api/v1/features/{f}", "/events", "/api/v1/flush"})
    EXPECT_TRUE(paths.contains(path)) << path;
}

TEST_F(ControlServiceTest, HeadHasTheLengthAndNoBody) {
  const std::string answer = ask("HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(status(answer), 200);
  EXPECT_THAT(answer, HasSubstr("Content-Length: 6"));
  EXPECT_EQ(body(answer), "");
}

TEST_F(ControlServiceTest, TheWrongMethodIsToldTheRightOne) {
  const std::string answer = ask("DELETE /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(status(answer), 405);
  EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD"));
}

TEST_F(ControlServiceTest, MalformedRequestsAreAnsweredAndClosed) {
  EXPECT_EQ(status(ask("nonsense\r\n\r\n")), 400);
  EXPECT_TRUE(peer->is_closed);
  EXPECT_EQ(status(ask("GET /" + std::string(20'000, 'a'))), 431);
  EXPECT_TRUE(peer->is_closed);
}

TEST_F(ControlServiceTest, AKeptConnectionAnswersOneAfterTheOther) {
  connection->on_data("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
  executor.run_ready();
  EXPECT_THAT(peer->output(), HasSubstr("alive"));
  EXPECT_THAT(peer->output(), HasSubstr("ready"));
  EXPECT_FALSE(peer->is_closed);
}

TEST_F(ControlServiceTest, AnUnfinishedRequestIsClosedAtItsDeadline) {
  connection->on_data("GET /healthz HTTP/1.1\r\nHost:");
  connection->on_tick(executor.now() + HttpConnection::kRequestDeadline);
  EXPECT_FALSE(peer->is_closed);
  connection->on_tick(executor.now() + HttpConnection::kRequestDeadline + 1ms);
  EXPECT_TRUE(peer->is_closed);
}

TEST_F(ControlServiceTest, AnAnswerThatComesAfterTheConnectionEndedIsDropped) {
  node.holds_reports = true;
  connection->on_data("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  connection->on_closed("gone");
  connection.reset();
  for (auto& done : node.held) done(std::make_shared<NodeReport>());
  EXPECT_EQ(peer->output(), "");
}

TEST_F(ControlServiceTest, WatchersGetTheHistoryAndThenTicks) {
  EXPECT_THAT(get("/events"), HasSubstr("event: history\n"));
  service.tick();
  EXPECT_THAT(peer->output(), HasSubstr("event: tick\n"));
}

TEST_F(ControlServiceTest, BudgetsComeWithTheHistoryAndWhenEvaluatedAgain) {
  auto exposure = std::make_shared<ExposureReport>();
  exposure->at = MonoTime{1};
  exposure->features.emplace_back().feature = "profile";
  exposure->features[0].workload.classes.push_back({1.0, 2.0, 3.0});
  node.now.exposure = exposure;
  service.tick();
  EXPECT_THAT(get("/events"), HasSubstr(R"("feature":"profile")"));
  EXPECT_EQ(peer->output().find("classes"), std::string::npos);
  peer->output().clear();
  service.tick();
  EXPECT_THAT(peer->output(), HasSubstr("event: tick\n"));
  EXPECT_EQ(peer->output().find("budgets"), std::string::npos);
  auto next = std::make_shared<ExposureReport>(*exposure);
  next->at = MonoTime{2};
  node.now.exposure = next;
  service.tick();
  EXPECT_THAT(peer->output(), HasSubstr(R"("budgets":{)"));
}

TEST_F(ControlServiceTest, OneBudgetAndItsHistoryAreFoundByTheEncodedName) {
  auto exposure = std::make_shared<ExposureReport>();
  exposure->at = MonoTime{1};
  exposure->features.emplace_back().feature = "profile";
  exposure->features[0].workload.classes.push_back({1.0, 2.0, 3.0});
  node.now.exposure = exposure;
  service.tick();
  const json one = json::parse(body(get("/api/v1/budgets/pro%66ile")));
  EXPECT_EQ(one["workload"]["classes"].size(), 1U);
  EXPECT_EQ(one["measured"]["by_stream"], nullptr);
  const json history = json::parse(body(get("/api/v1/budget-history/profile")));
  EXPECT_EQ(history["points"].size(), 1U);
  EXPECT_EQ(history["points"][0]["by_stream"], nullptr);
  EXPECT_EQ(history["points"][0]["u_per_second"], 3.0);
  EXPECT_EQ(status(get("/api/v1/budgets/nobody")), 404);
  EXPECT_EQ(status(get("/api/v1/budget-history/nobody")), 404);
}

TEST_F(ControlServiceTest, ManyBudgetsOfManyKeysFitIntoAnEvent) {
  auto exposure = std::make_shared<ExposureReport>();
  exposure->at = MonoTime{1};
  for (int i = 0; i < 300; ++i) {
    FeatureExposure& one = exposure->features.emplace_back();
    one.feature = "feature" + std::to_string(i);
    one.impact = std::string(500, 'x');
    one.workload.classes.resize(512);
  }
  exposure->features[299].state = BudgetState::kPage;
  node.now.exposure = exposure;
  (void)get("/events");
  peer->output().clear();
  service.tick();
  EXPECT_LT(peer->output().size(), HttpConnection::kStreamUnsentBytesMax);
  EXPECT_EQ(service.event_clients(), 1U);
  EXPECT_THAT(peer->output(), HasSubstr(R"("feature":"feature299")"));
}

TEST_F(ControlServiceTest, WatchersAreBounded) {
  auto first_peer = std::make_unique<FakePeer>(executor);
  const auto first = service.accept(first_peer.get());
  auto second_peer = std::make_unique<FakePeer>(executor);
  const auto second = service.accept(second_peer.get());
  for (auto* handler : {first.get(), second.get()})
    handler->on_data("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(service.event_clients(), 2U);
  EXPECT_EQ(status(get("/events")), 503);
  first->on_closed("gone");
  service.tick();
  EXPECT_EQ(service.event_clients(), 1U);
}

TEST_F(ControlServiceTest, AWatcherThatDoesNotReadIsCutOff) {
  (void)get("/events");
  peer->stuck = true;
  peer->output().append(HttpConnection::kStreamUnsentBytesMax, 'x');
  service.tick();
  EXPECT_TRUE(peer->is_aborted);
  EXPECT_EQ(service.event_clients(), 0U);
}

TEST(PercentDecodeTest, EscapesAreReadAndBrokenOnesRefused) {
  EXPECT_EQ(percent_decode("a%20b%2Fc"), "a b/c");
  EXPECT_FALSE(percent_decode("a%2"));
  EXPECT_FALSE(percent_decode("a%zz"));
  EXPECT_EQ(percent_decode("u:p%40ss%word%2", BadEscape::kKeep), "u:p@ss%word%2");
}

}  // namespace
}  // namespace candor::app
