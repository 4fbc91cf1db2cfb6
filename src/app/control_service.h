// The control plane's answers: health, metrics, status, the dashboard and its events, and the few things that
// can be asked for. What is possible stands in one table, from which /api/v1/openapi.json is made.
//
// Thread safety: one loop, the one that its listener has.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/budget_timeline.h"
#include "app/http_connection.h"
#include "app/http_guard.h"
#include "app/node_report.h"
#include "app/timeline.h"
#include "base/acceptor.h"
#include "base/result.h"

namespace candor::app {

// What the control plane may ask of a node. Every `done` runs on the control plane's loop, once.
class NodeControl {
 public:
  virtual ~NodeControl() = default;
  virtual void report(std::function<void(std::shared_ptr<const NodeReport>)> done) = 0;
  // Drops what is cached of one feature, or of all; never the origin.
  virtual void flush(std::optional<std::string> feature, std::function<void(Result<void>)> done) = 0;
  // True: an entry was there.
  virtual void invalidate(std::string feature, std::string key, std::function<void(Result<void>)> done) = 0;
  // Dead letters of write-behind: `verb` is list, replay or drop; no feature: of all; no position: all of
  // them. The answer is what there was, or what was done, one for each.
  struct Writes {
    std::string verb, feature;
    std::optional<std::uint64_t> position;
  };
  struct Letter {
    std::string feature;
    write_behind::DeadLetter letter;
    std::string problem;  // why it could not be replayed or dropped; empty: it was
  };
  virtual void writes(Writes /*asked*/, std::function<void(Result<std::vector<Letter>>)> done) {
    done(fail(ErrorCode::kNotFound, "this node has no write-behind"));
  }
  // Begins to warm: of a feature (empty: of all) what the configuration says, or these keys of it.
  virtual void warm(std::string /*feature*/, std::vector<std::string> /*keys*/,
                    std::function<void(Result<void>)> done) {
    done(fail(ErrorCode::kNotFound, "this node warms nothing"));
  }
  // The hot set as it was written last.
  virtual void hot_set(std::function<void(Result<std::string>)> done) {
    done(fail(ErrorCode::kNotFound, "this node keeps no hot set"));
  }
};

struct ControlOptions {
  GuardRules guard;
  std::size_t event_clients_max = 16;
  // Features in one event of the dashboard; the API gives all.
  std::size_t event_features_max = 100;
};

class ControlService final : public ConnectionFactory, public HttpService {
 public:
  ControlService(ControlOptions options, NodeControl* node);
  ~ControlService() override;

  [[nodiscard]] std::unique_ptr<ConnectionHandler> accept(Peer* peer) override;
  void on_request(HttpRequest request, HttpReply reply) override;
  // Once a second: takes a report, keeps the timeline, tells those who watch.
  void tick();

  [[nodiscard]] std::size_t event_clients() const { return watchers_.size(); }

  struct Route;

 private:
  friend struct ControlRoutes;
  void route(HttpRequest request, const HttpReply& reply);
  [[nodiscard]] static bool has_route(std::string_view path, std::string_view method);
  void with_report(const HttpReply& reply, std::function<HttpResponse(const NodeReport&)> make);
  void get_health(const HttpReply& reply);
  void get_ready(const HttpReply& reply);
  void get_metrics(const HttpReply& reply);
  void get_status(const HttpReply& reply);
  void get_features(const HttpReply& reply);
  void get_feature(const HttpReply& reply, std::string name);
  void get_budgets(const HttpReply& reply);
  void get_levers(const HttpReply& reply);
  void get_budget(const HttpReply& reply, std::string name);
  void get_budget_history(const HttpReply& reply, std::string_view name);
  [[nodiscard]] nlohmann::json budgets_event() const;
  void post_lost_keys(const HttpReply& reply);
  void get_reconciliation(const HttpReply& reply);
  void get_capacity(const HttpReply& reply);
  void get_openapi(const HttpReply& reply);
  void get_events(const HttpReply& reply);
  void post_flush(const HttpReply& reply, const HttpRequest& request);
  void post_invalidate(const HttpReply& reply, const HttpRequest& request);
  void post_writes(const HttpReply& reply, const HttpRequest& request);
  void get_warm(const HttpReply& reply, bool with_problems);
  void post_warm(const HttpReply& reply, const HttpRequest& request);
  void post_hot_set(const HttpReply& reply);

  ControlOptions options_;
  NodeControl* node_;
  Timeline timeline_;
  BudgetTimeline budget_timeline_;
  std::shared_ptr<const ExposureReport> exposure_;  // as of the last tick
  std::vector<HttpReply> watchers_;
  std::shared_ptr<ControlService*> alive_;  // answers of the node that come after our end find it gone
};

// "a%20b" becomes "a b"; nullopt when an escape is not one.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

}  // namespace candor::app
