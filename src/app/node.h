// One running node: an engine, the RESP server on its data-plane loops, and the control plane. What candord
// is.
//
// Start: data directory and token, engine (databases), listeners last: a port answers only when what is
// behind it is there. Stop: stop accepting, finish what is under way within drain_timeout, then take
// everything down in reverse. Thread safety: start(), stop() and the destructor on one thread; request_stop()
// and request_reload() from any.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "app/budget_desk.h"
#include "app/config.h"
#include "app/control_service.h"
#include "app/engine.h"
#include "app/warming_report.h"
#include "io/listener.h"
#include "server/resp_server.h"

namespace candor::app {

class Node final : public NodeControl {
 public:
  // Errors are one line: what, where, what to do.
  [[nodiscard]] static Result<std::unique_ptr<Node>> start(Config config);
  ~Node() override;

  [[nodiscard]] const std::string& resp_address() const { return resp_listener_->address(); }
  [[nodiscard]] const std::string& http_address() const { return http_listener_->address(); }
  [[nodiscard]] Engine& engine() { return *engine_; }

  // Drains and stops listening. Returns how many connections had to be cut off.
  std::size_t drain();
  // Reads the file again and applies what can be applied; the log says what and what not. On the upkeep loop.
  void reload();

  // NodeControl, on the upkeep loop.
  void report(std::function<void(std::shared_ptr<const NodeReport>)> done) override;
  void flush(std::optional<std::string> feature, std::function<void(Result<void>)> done) override;
  void invalidate(std::string feature, std::string key, std::function<void(Result<void>)> done) override;
  void writes(Writes asked, std::function<void(Result<std::vector<Letter>>)> done) override;
  void warm(std::string feature, std::vector<std::string> keys,
            std::function<void(Result<void>)> done) override;
  void hot_set(std::function<void(Result<std::string>)> done) override;

 private:
  using ReportDone = std::function<void(std::shared_ptr<const NodeReport>)>;

  explicit Node(Config config);
  Result<void> open();
  Result<void> open_resp();
  [[nodiscard]] std::vector<Loop*> make_data_loops();
  Result<void> open_http();
  void tick();
  void complete_report(NodeReport& report);
  [[nodiscard]] WriteDone then_region(server::RegionWide what, std::function<void(Result<void>)> done);
  [[nodiscard]] ConnectionReport connections() const;
  void close_resp_listeners();

  Config config_;  // changed by reload() on the upkeep loop only
  WallTime started_wall_;
  MonoTime started_;
  std::string node_name_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<BudgetDesk> budgets_;
  std::unique_ptr<WarmDesk> warm_desk_;
  std::unique_ptr<server::RespServer> resp_server_;
  bool home_serves_clients_ = false;  // one data-plane loop, which is the engine's home; else data_loops_
  std::vector<std::unique_ptr<RunningLoop>> data_loops_;
  std::unique_ptr<Listener> resp_listener_;
  std::unique_ptr<Listener> tls_listener_;
  std::unique_ptr<ControlService> control_;
  std::unique_ptr<Listener> http_listener_;
  std::vector<ReportDone> report_waiters_;  // upkeep loop only
  std::atomic<bool> serving_{false};
  std::atomic<bool> draining_{false};
};

}  // namespace candor::app
