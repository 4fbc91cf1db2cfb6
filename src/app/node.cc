#include "app/node.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <thread>

#include "app/admin_token.h"
#include "app/log.h"
#include "app/process_report.h"
#include "app/version.h"
#include "io/files.h"

namespace candor::app {
namespace {

constexpr Duration kTickPeriod = 1s;
// Scrapers, a few dashboards and a person.
constexpr std::size_t kHttpConnectionsMax = 256;
// After the data plane has drained, the control plane's clients get this long for an answer under way.
constexpr Duration kHttpDrainPatience = 1s;
// A listener cuts off what is left when its patience ends, and its loops need a moment for it; a loop that
// takes longer than this is stuck.
constexpr Duration kDrainGrace = 3s;

Result<void> make_data_dir(const std::string& path) {
  auto made = make_directories(path, 0750);
  if (made) return made;
  return fail(
      ErrorCode::kConfiguration,
      fmt::format("[node] data_dir: {}; make the directory writable or name another", made.error().message));
}

unsigned data_threads(const RespConfig& config) {
  if (config.threads > 0) return config.threads;
  return std::max(1U, std::thread::hardware_concurrency());  // tidy: allow(the number of cores, no thread)
}

server::ServerOptions server_options(const Config& config, const std::string& node_name) {
  const RespConfig& resp = config.resp;
  server::ServerOptions options;
  options.connections_max = resp.connections_max;
  options.pending_max = resp.pending_max;
  options.output_bytes_max = resp.output_max;
  options.output_pause_bytes = std::min<std::size_t>(options.output_pause_bytes, resp.output_max / 2);
  options.auth_deadline = resp.auth_timeout;
  options.command_deadline = resp.command_timeout;
  options.stuck_output_deadline = resp.output_timeout;
  options.idle_deadline = resp.idle_timeout;
  options.plain_feature = resp.plain_feature;
  options.node_name = node_name;
  options.version = kVersion;
  options.port = resp.listen.port;
  return options;
}

GuardRules guard_rules(const HttpConfig& config, std::string token) {
  GuardRules rules;
  rules.token = std::move(token);
  for (const std::string& host : config.hosts) rules.hosts.push_back(host_name(host));
  const bool is_wildcard =
      config.listen.host == "0.0.0.0" || config.listen.host == "::" || config.listen.host == "*";
  if (!is_wildcard) rules.hosts.push_back(host_name(config.listen.host));
  return rules;
}

// Whether the one data-plane loop is the cache's home as well: a miss then stays on the thread that read the
// request, and neither its start nor its end wakes another. What runs at home must not hold that loop, so a
// shared L2 whose values are compressed keeps a home of its own (zstd takes about 3 ms for a MiB).
bool home_serves_clients(const Config& config) {
  const bool compresses =
      config.l2.url != "memory:" && config.l2.url != "none" && config.l2.compress_above > 0;
  return data_threads(config.resp) == 1 && !compresses;
}

// Closes a Listener's connections, in its own time.
class Draining {
 public:
  Draining(Listener* listener, Duration patience) : listener_(listener) {
    if (listener_ == nullptr) return;
    auto drained = std::make_shared<std::promise<DrainReport>>();
    report_ = drained->get_future();
    listener_->drain(patience, [drained](DrainReport r) { drained->set_value(r); });
  }
  // Returns how many connections had to be cut off; those of a loop that does not answer by `end` are.
  [[nodiscard]] std::size_t wait_until(MonoTime end) {
    if (listener_ == nullptr) return 0;
    const auto left = std::max(end - SystemClock().now(), Duration::zero());
    if (report_.wait_for(left) == std::future_status::ready) return report_.get().cut_off;
    spdlog::error("{}: its connections did not close in time", listener_->address());
    return listener_->stats().open.load();
  }

 private:
  Listener* listener_;
  std::future<DrainReport> report_;
};

}  // namespace

Node::Node(Config config) : config_(std::move(config)) {}

Result<std::unique_ptr<Node>> Node::start(Config config) {
  std::unique_ptr<Node> node(new Node(std::move(config)));
  if (auto opened = node->open(); !opened) return std::unexpected(std::move(opened.error()));
  return node;
}

Result<void> Node::open() {
  SystemClock clock;
  started_wall_ = clock.wall();
  started_ = clock.now();
  node_name_ = config_.node.name.empty() ? machine_name() : config_.node.name;
  if (auto made = make_data_dir(config_.node.data_dir); !made) return made;
  home_serves_clients_ = home_serves_clients(config_);
  Engine::Room room;
  room.keeps_windows = true;
  room.node_name = node_name_;
  if (home_serves_clients_) room.home_name = "data-0";
  auto engine = Engine::open(config_, room);
  if (!engine) return std::unexpected(std::move(engine.error()));
  engine_ = std::move(*engine);
  if (auto opened = open_resp(); !opened) return opened;
  if (auto opened = open_http(); !opened) return opened;
  serving_ = true;
  return {};
}

Result<void> Node::open_resp() {
  server::ServerContext context;
  context.cache = &engine_->cache();
  context.tracking = engine_->tracking();
  context.clock = &engine_->clock();
  context.entropy = &engine_->entropy();
  context.pool = &engine_->pool();
  context.options = server_options(config_, node_name_);
  context.desk = engine_->session_desk();
  context.region = engine_->region();
  budgets_ = std::make_unique<BudgetDesk>(engine_.get());
  context.budgets = budgets_.get();
  warm_desk_ = std::make_unique<WarmDesk>(engine_.get());
  context.warm = warm_desk_.get();
  for (const UserConfig& user : config_.resp.users)
    context.users.push_back({user.name, user.password_hash, user.rights, user.features});
  auto server = server::RespServer::make(std::move(context));
  if (!server) return std::unexpected(std::move(server.error()));
  resp_server_ = std::move(*server);

  const std::vector<Loop*> loops = make_data_loops();
  ListenerOptions options;
  options.host = config_.resp.listen.host;
  options.port = config_.resp.listen.port;
  options.setting = "[resp] listen";
  options.connections_max = config_.resp.connections_max;
  options.refusal = "-ERR max number of clients reached\r\n";
  auto listener = Listener::open(options, loops, resp_server_.get());
  if (!listener) return std::unexpected(std::move(listener.error()));
  resp_listener_ = std::move(*listener);
  if (!config_.resp.tls_listen) return {};

  auto tls = TlsContext::server(config_.resp.tls_cert, config_.resp.tls_key);
  if (!tls) return std::unexpected(std::move(tls.error()));
  options.tls = std::move(*tls);
  options.host = config_.resp.tls_listen->host;
  options.port = config_.resp.tls_listen->port;
  options.setting = "[resp] tls_listen";
  auto tls_listener = Listener::open(options, loops, resp_server_.get());
  if (!tls_listener) return std::unexpected(std::move(tls_listener.error()));
  tls_listener_ = std::move(*tls_listener);
  return {};
}

std::vector<Loop*> Node::make_data_loops() {
  if (home_serves_clients_) return {&engine_->home()};
  std::vector<Loop*> loops;
  for (unsigned i = 0; i < data_threads(config_.resp); ++i) {
    data_loops_.push_back(std::make_unique<RunningLoop>(fmt::format("data-{}", i)));
    loops.push_back(&data_loops_.back()->loop());
  }
  return loops;
}

Result<void> Node::open_http() {
  auto token = admin_token(config_.node.data_dir, engine_->entropy());
  if (!token) return std::unexpected(std::move(token.error()));
  ControlOptions control;
  control.guard = guard_rules(config_.http, std::move(*token));
  control.event_clients_max = config_.http.event_clients_max;
  control_ = std::make_unique<ControlService>(std::move(control), this);
  ListenerOptions options;
  options.host = config_.http.listen.host;
  options.port = config_.http.listen.port;
  options.setting = "[http] listen";
  options.connections_max = kHttpConnectionsMax;
  options.refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  auto listener = Listener::open(options, {&engine_->upkeep()}, control_.get());
  if (!listener) return std::unexpected(std::move(listener.error()));
  http_listener_ = std::move(*listener);
  engine_->upkeep_thread().run_there([this] { tick(); });
  return {};
}

void Node::tick() {
  control_->tick();
  engine_->upkeep().schedule(engine_->upkeep().now() + kTickPeriod, [this] { tick(); });
}

std::size_t Node::drain() {
  if (draining_.exchange(true)) return 0;
  SystemClock clock;
  const Duration patience = config_.node.drain_timeout;
  const MonoTime end = clock.now() + patience + kDrainGrace;
  Draining plain(resp_listener_.get(), patience);
  Draining tls(tls_listener_.get(), patience);
  const std::size_t plain_cut_off = plain.wait_until(end);
  const std::size_t tls_cut_off = tls.wait_until(end);
  if (engine_ != nullptr) {
    const std::size_t left = engine_->write_behind().drain(end - kDrainGrace);
    if (left > 0)
      spdlog::warn("write-behind: {} write{} not at the origin yet; the next start brings {} there", left,
                   left == 1 ? "" : "s", left == 1 ? "it" : "them");
  }
  // Last: until here /readyz says why the node takes no more.
  Draining http(http_listener_.get(), kHttpDrainPatience);
  (void)http.wait_until(clock.now() + kHttpDrainPatience + kDrainGrace);
  return plain_cut_off + tls_cut_off;
}

// A listener ends when its loops stand still, or on its loop if that one has more to do: home ends with the
// engine.
void Node::close_resp_listeners() {
  const auto close = [this] {
    resp_listener_.reset();
    tls_listener_.reset();
  };
  if (home_serves_clients_ && engine_ != nullptr)
    engine_->home_thread().run_there(close);
  else
    close();
}

Node::~Node() {
  drain();
  // Loops stop before what they run is destroyed; listeners end while their loops still exist.
  for (auto& loop : data_loops_) loop->stop();
  if (engine_ != nullptr) engine_->upkeep_thread().stop();
  close_resp_listeners();
  http_listener_.reset();
  control_.reset();
  // Loads under way may still answer sessions' posts to these loops: the engine becomes quiet first.
  engine_.reset();
  resp_server_.reset();
  data_loops_.clear();
}

void Node::reload() {
  ConfigReading reading = read_config_file(config_.file);
  for (const Finding& finding : reading.findings) {
    if (finding.is_error())
      spdlog::error("{}", finding.to_string());
    else
      spdlog::warn("{}", finding.to_string());
  }
  if (reading.has_errors())
    return spdlog::error("reload: nothing was changed; mend {} and send SIGHUP again", config_.file);
  const auto changes = compare_configs(config_, reading.config);
  for (const ConfigChange& change : changes) {
    if (change.applies_now)
      spdlog::info("reload: {}", change.to_string());
    else
      spdlog::warn("reload: {}", change.to_string());
  }
  spdlog::info("reload: {} change{} in {}", changes.size(), changes.size() == 1 ? "" : "s", config_.file);
  // What needs a restart keeps its old value here as well, so that the next reload says so again.
  engine_->home().post([this, fresh = reading.config] { engine_->reload(fresh); });
  engine_->capacity().look_for_limit();
  set_log_level(reading.config.node.log_level);
  config_.node.log_level = reading.config.node.log_level;
  config_.node.drain_timeout = reading.config.node.drain_timeout;
  for (const ConfigChange& change : changes) {
    if (!change.applies_now) continue;
    const auto it = reading.config.values.find(change.key);
    if (it == reading.config.values.end())
      config_.values.erase(change.key);
    else
      config_.values.insert_or_assign(change.key, it->second);
  }
}

ConnectionReport Node::connections() const {
  server::ServerCounters& c = resp_server_->counters();
  ConnectionReport out;
  out.open = resp_server_->connections();
  out.accepted = c.connections_accepted.value();
  out.refused = c.connections_refused.value();
  for (const Listener* listener : {resp_listener_.get(), tls_listener_.get()})
    if (listener != nullptr)
      out.refused = std::max<std::uint64_t>(out.refused, listener->stats().refused.load());
  out.commands = c.commands.value();
  out.command_errors = c.command_errors.value();
  out.protocol_errors = c.protocol_errors.value();
  out.foreign_protocols = c.foreign_protocols.value();
  out.slow_readers_cut = c.slow_readers_cut.value();
  out.deadlines_missed = c.deadlines_missed.value();
  out.wrong_passwords = c.wrong_passwords.value();
  out.bytes_in = c.bytes_in.value();
  out.hit_ns = c.hit_ns.snapshot();
  return out;
}

void Node::complete_report(NodeReport& report) {
  report.node = node_name_;
  report.region = config_.node.region;
  report.version = kVersion;
  report.uptime = report.at - started_;
  report.ready = serving_ && !draining_ && report.catching_up.empty() && report.warming.empty();
  if (draining_)
    report.not_ready_because = "draining";
  else if (!report.catching_up.empty())
    report.not_ready_because = "catching up: " + report.catching_up;
  else if (!report.warming.empty())
    report.not_ready_because = report.warming;
  else if (!report.ready)
    report.not_ready_because = "starting";
  report.connections = connections();
  report.process = process_report(started_wall_);
  report.capacity = engine_->capacity().report(report.at);
}

// Callers that ask while a report is on its way share it.
void Node::report(ReportDone done) {
  report_waiters_.push_back(std::move(done));
  if (report_waiters_.size() > 1) return;
  engine_->home().post([this] {
    engine_->report([this](std::unique_ptr<NodeReport> made) {
      engine_->upkeep().post([this, report = std::shared_ptr<NodeReport>(std::move(made))] {
        complete_report(*report);
        const auto waiters = std::exchange(report_waiters_, {});
        for (const ReportDone& waiter : waiters) waiter(report);
      });
    });
  });
}

// After this node and L2: every node of the region, then `done` on the upkeep loop.
WriteDone Node::then_region(server::RegionWide what, std::function<void(Result<void>)> done) {
  auto answer = [this, done = std::move(done)](Result<void> result) {
    engine_->upkeep().post([done, result = std::move(result)] { done(result); });
  };
  return [this, what = std::move(what), answer = std::move(answer)](Result<WriteResult> here) mutable {
    const Result<void> local = here ? Result<void>{} : std::unexpected(here.error());
    RegionDesk* region = engine_->region();
    if (region == nullptr) return answer(local);
    region->forget(std::move(what), [local, answer = std::move(answer)](Result<void> told) {
      answer(local ? std::move(told) : local);
    });
  };
}

void Node::flush(std::optional<std::string> feature, std::function<void(Result<void>)> done) {
  std::optional<FeatureId> id;
  if (feature) {
    const Feature* found = engine_->cache().find_feature(*feature);
    if (found == nullptr) return done(fail(ErrorCode::kNoFeature, "no such feature; see /api/v1/features"));
    id = found->id();
  }
  spdlog::info("flush of {} asked for over HTTP", feature ? "feature " + *feature : "everything");
  server::RegionWide what;
  what.features.push_back(feature.value_or("*"));
  engine_->cache().flush(id, then_region(std::move(what), std::move(done)));
}

void Node::invalidate(std::string feature, std::string key, std::function<void(Result<void>)> done) {
  const Feature* found = engine_->cache().find_feature(feature);
  if (found == nullptr) return done(fail(ErrorCode::kNoFeature, "no such feature; see /api/v1/features"));
  if (key.size() > kKeyBytesMax)
    return done(fail(ErrorCode::kLimit, fmt::format("a key has at most {} bytes", kKeyBytesMax)));
  server::RegionWide what;
  what.names.push_back(feature + ":" + key);
  engine_->cache().invalidate(found->id(), std::move(key), then_region(std::move(what), std::move(done)));
}

void Node::writes(Writes asked, std::function<void(Result<std::vector<Letter>>)> done) {
  if (!asked.feature.empty() && engine_->cache().find_feature(asked.feature) == nullptr)
    return done(fail(ErrorCode::kNoFeature, "no such feature; see /api/v1/features"));
  if (asked.verb != "list")
    spdlog::info("{} of dead letters of {} asked for over HTTP", asked.verb,
                 asked.feature.empty() ? "every feature" : "feature " + asked.feature);
  engine_->home().post([this, asked = std::move(asked), done = std::move(done)]() mutable {
    auto answer = [this, done = std::move(done)](Result<std::vector<Letter>> letters) {
      engine_->upkeep().post([done, letters = std::move(letters)]() mutable { done(std::move(letters)); });
    };
    spawn(engine_->write_behind().dead_letters(std::move(asked)), std::move(answer));
  });
}

void Node::warm(std::string feature, std::vector<std::string> keys, std::function<void(Result<void>)> done) {
  spdlog::info("warming of {} asked for over HTTP", feature.empty() ? "every feature" : "feature " + feature);
  engine_->home().post([this, feature = std::move(feature), keys = std::move(keys), done = std::move(done)] {
    const Result<void> begun = engine_->warming().request({feature, keys});
    engine_->upkeep().post([done, begun] { done(begun); });
  });
}

void Node::hot_set(std::function<void(Result<std::string>)> done) {
  if (!config_.warm.hot_set) return done(fail(ErrorCode::kNotFound, "[warm] hot_set is off here"));
  engine_->pool().run([this, path = config_.node.data_dir + "/hot-set", done = std::move(done)]() mutable {
    auto bytes = HotSetFile::read(path);
    engine_->upkeep().post(
        [done = std::move(done), bytes = std::move(bytes)]() mutable { done(std::move(bytes)); });
  });
}

}  // namespace candor::app
