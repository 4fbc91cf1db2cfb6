#include "app/control_service.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/budget_json.h"
#include "app/capacity_json.h"
#include "app/http_answers.h"
#include "app/metrics.h"
#include "app/percent_encoding.h"
#include "app/reconciliation.h"
#include "app/status_json.h"
#include "app/version.h"
#include "app/warming_report.h"
#include "app/web_assets.h"

namespace candor::app {
namespace {

using nlohmann::json;

HttpResponse text_response(int status, std::string body) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

// A body that is a JSON object, or nothing at all, which is an empty one.
std::optional<json> parse_body(const std::string& body) {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  return parsed;
}

std::optional<std::string> text_member(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) return std::nullopt;
  return it->get<std::string>();
}

constexpr std::string_view kFeaturePrefix = "/api/v1/features/";
constexpr std::string_view kBudgetPrefix = "/api/v1/budgets/";
constexpr std::string_view kBudgetHistoryPrefix = "/api/v1/budget-history/";

}  // namespace

struct ControlService::Route {
  std::string_view method;
  std::string_view path;  // a path that ends with "{f}" takes one more segment
  Guard guard;
  std::string_view summary;
  void (*run)(ControlService& self, const HttpReply& reply, HttpRequest& request);
};

struct ControlRoutes {
  using S = ControlService;
  using R = const HttpReply&;
  static constexpr S::Route kAll[] = {
      {"GET", "/healthz", Guard::kOpen, "Alive: this process answers.",
       [](S& s, R r, HttpRequest&) { s.get_health(r); }},
      {"GET", "/readyz", Guard::kOpen,
       "200 when the node serves, 503 while it starts, catches up with changes, or drains.",
       [](S& s, R r, HttpRequest&) { s.get_ready(r); }},
      {"GET", "/metrics", Guard::kOpen, "Prometheus text format.",
       [](S& s, R r, HttpRequest&) { s.get_metrics(r); }},
      {"GET", "/api/v1/status", Guard::kPage, "The node: tiers, origins, features, connections.",
       [](S& s, R r, HttpRequest&) { s.get_status(r); }},
      {"GET", "/api/v1/features", Guard::kPage, "Every feature with its counters.",
       [](S& s, R r, HttpRequest&) { s.get_features(r); }},
      {"GET", "/api/v1/features/{f}", Guard::kPage, "One feature.",
       [](S& s, R r, HttpRequest& q) { s.get_feature(r, q.path.substr(kFeaturePrefix.size())); }},
      {"GET", "/api/v1/budgets", Guard::kPage,
       "Every budget: predicted and measured exposure, burn rates, state; as of the last evaluation.",
       [](S& s, R r, HttpRequest&) { s.get_budgets(r); }},
      {"GET", "/api/v1/levers", Guard::kPage,
       "What the controller did or advised, the newest first, with the numbers that caused it; what is "
       "pulled.",
       [](S& s, R r, HttpRequest&) { s.get_levers(r); }},
      {"GET", "/api/v1/budgets/{f}", Guard::kPage, "One budget.",
       [](S& s, R r, HttpRequest& q) { s.get_budget(r, q.path.substr(kBudgetPrefix.size())); }},
      {"GET", "/api/v1/budget-history/{f}", Guard::kPage,
       "One budget's last hour, a point for each evaluation; null where nothing was measured or known.",
       [](S& s, R r, HttpRequest& q) {
         s.get_budget_history(r, q.path.substr(kBudgetHistoryPrefix.size()));
       }},
      {"POST", "/api/v1/lost-keys", Guard::kToken, "Keys of which a change was lost, by feature.",
       [](S& s, R r, HttpRequest&) { s.post_lost_keys(r); }},
      {"GET", "/api/v1/reconciliation", Guard::kPage,
       "What the sweep over the tiers found: divergence per million entries, by feature and cause.",
       [](S& s, R r, HttpRequest&) { s.get_reconciliation(r); }},
      {"GET", "/api/v1/capacity", Guard::kPage,
       "What more or less memory would do, what each feature deserves, trends, the process's memory.",
       [](S& s, R r, HttpRequest&) { s.get_capacity(r); }},
      {"GET", "/api/v1/openapi.json", Guard::kPage, "This list.",
       [](S& s, R r, HttpRequest&) { s.get_openapi(r); }},
      {"GET", "/api/v1/events", Guard::kPage,
       "Server-sent events: `history` once, then `tick` every second; budgets come when evaluated.",
       [](S& s, R r, HttpRequest&) { s.get_events(r); }},
      {"GET", "/events", Guard::kPage, "As /api/v1/events.",
       [](S& s, R r, HttpRequest&) { s.get_events(r); }},
      {"GET", "/api/v1/keys/{f}/{key}", Guard::kKeys,
       "One key: what each tier holds, the proof of its freshness, what happened to it lately. The key is "
       "percent-encoded.",
       [](S& s, R r, HttpRequest& q) { s.inspect_.get_key(r, q); }},
      {"GET", "/api/v1/hotkeys", Guard::kKeys,
       "The hottest keys with the bounds of each figure: ?feature=&n=&by=reads|bytes|misses|changes.",
       [](S& s, R r, HttpRequest& q) { s.inspect_.get_hot_keys(r, q); }},
      {"GET", "/api/v1/ttl", Guard::kPage,
       "When entries expire, by feature, and what the worst second ahead asks of the origin: ?feature=.",
       [](S& s, R r, HttpRequest& q) { s.inspect_.get_ttl(r, q); }},
      {"GET", "/api/v1/trace", Guard::kKeys,
       "Server-sent events: what is read, filled, dropped and changed, as it happens: "
       "?feature=&key=&tier=&outcome=&kind=&slower_ms=&staler_ms=&sample=&rate=.",
       [](S& s, R r, HttpRequest& q) { s.inspect_.get_trace(r, q); }},
      {"POST", "/api/v1/flush", Guard::kToken,
       "Drops what is cached, of {\"feature\": …} or of all; never the origin.",
       [](S& s, R r, HttpRequest& q) { s.post_flush(r, q); }},
      {"POST", "/api/v1/invalidate", Guard::kToken,
       "Drops one key, {\"feature\": …, \"key\": …}, from every tier.",
       [](S& s, R r, HttpRequest& q) { s.post_invalidate(r, q); }},
      {"POST", "/api/v1/writes", Guard::kToken,
       "Writes that the origin refused, {\"do\": \"list\"|\"replay\"|\"drop\"}, of {\"feature\": …} or of "
       "all, the one at "
       "{\"position\": …} or all.",
       [](S& s, R r, HttpRequest& q) { s.post_writes(r, q); }},
      {"GET", "/api/v1/warm", Guard::kPage,
       "What is loaded before it is read: progress, time left, what became of each key.",
       [](S& s, R r, HttpRequest&) { s.get_warm(r, false); }},
      {"POST", "/api/v1/warm", Guard::kToken,
       "Begins to warm what the configuration says of {\"feature\": …} or of all, or {\"feature\": …, "
       "\"keys\": […]}.",
       [](S& s, R r, HttpRequest& q) { s.post_warm(r, q); }},
      {"POST", "/api/v1/warm-progress", Guard::kToken,
       "As GET /api/v1/warm, with the last error of each feature, which may quote a key.",
       [](S& s, R r, HttpRequest&) { s.get_warm(r, true); }},
      {"POST", "/api/v1/hot-set", Guard::kToken, "The hot set as it was written last, for a peer to warm.",
       [](S& s, R r, HttpRequest&) { s.post_hot_set(r); }},
  };

  static bool matches(const S::Route& route, std::string_view path) {
    if (route.path.ends_with("{f}/{key}")) {
      const auto prefix = route.path.substr(0, route.path.size() - 9);
      return path.starts_with(prefix) && path.find('/', prefix.size()) != std::string_view::npos;
    }
    if (!route.path.ends_with("{f}")) return route.path == path;
    const auto prefix = route.path.substr(0, route.path.size() - 3);
    return path.size() > prefix.size() && path.starts_with(prefix) &&
           path.find('/', prefix.size()) == std::string_view::npos;
  }
};

namespace {

const WebAsset* find_asset(std::string_view path) {
  const auto assets = web_assets();
  const auto it =
      std::ranges::find(assets, path == "/" ? std::string_view("/index.html") : path, &WebAsset::path);
  return it == assets.end() ? nullptr : &*it;
}

json openapi_operation(const ControlService::Route& route) {
  json responses = {{"200", {{"description", "done"}}}};
  if (route.guard != Guard::kOpen) responses["403"] = {{"description", "the Host or Origin is not allowed"}};
  json operation = {{"summary", route.summary}};
  if (route.guard == Guard::kToken || route.guard == Guard::kKeys) {
    responses["401"] = {{"description", "the token is missing or wrong"}};
    operation["security"] = json::array({{{"admin_token", json::array()}}});
    if (route.guard == Guard::kToken)
      operation["requestBody"] = {{"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
  }
  for (const char* name : {"f", "key"})
    if (route.path.find(fmt::format("{{{}}}", name)) != std::string_view::npos)
      operation["parameters"].push_back(
          {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  operation["responses"] = std::move(responses);
  return operation;
}

}  // namespace

ControlService::ControlService(ControlOptions options, NodeControl* node)
    : options_(std::move(options)),
      node_(node),
      inspect_(node->inspect()),
      alive_(std::make_shared<ControlService*>(this)) {}
ControlService::~ControlService() = default;

std::unique_ptr<ConnectionHandler> ControlService::accept(Peer* peer) {
  return std::make_unique<HttpConnection>(peer, this);
}

void ControlService::on_request(HttpRequest request, HttpReply reply) { route(std::move(request), reply); }

void ControlService::route(HttpRequest request, const HttpReply& reply) {
  // HEAD is GET whose body the connection leaves out.
  const std::string_view method =
      request.method == "HEAD" ? std::string_view("GET") : std::string_view(request.method);
  for (const Route& candidate : ControlRoutes::kAll) {
    if (!ControlRoutes::matches(candidate, request.path)) continue;
    if (auto refusal = check_guard(candidate.guard, request, options_.guard)) {
      HttpResponse response = error_response(refusal->status, refusal->text);
      if (refusal->status == 405) response.headers.emplace_back("Allow", "POST");
      if (refusal->status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
      return reply.send(std::move(response));
    }
    const bool may_post = candidate.guard == Guard::kKeys && method == "POST";
    if (candidate.method == method || may_post) return candidate.run(*this, reply, request);
    if (has_route(request.path, method)) continue;
    HttpResponse response = error_response(405, fmt::format("use {}", candidate.method));
    response.headers.emplace_back("Allow",
                                  candidate.method == "GET" ? "GET, HEAD" : std::string(candidate.method));
    return reply.send(std::move(response));
  }
  if (auto refusal = check_guard(Guard::kPage, request, options_.guard))
    return reply.send(error_response(refusal->status, refusal->text));
  const WebAsset* asset = method == "GET" ? find_asset(request.path) : nullptr;
  if (asset == nullptr) return reply.send(error_response(404, "nothing is here; see /api/v1/openapi.json"));
  HttpResponse response{.content_type = std::string(asset->content_type), .body = std::string(asset->bytes)};
  response.headers.emplace_back("Cache-Control", "no-cache");
  reply.send(std::move(response));
}

bool ControlService::has_route(std::string_view path, std::string_view method) {
  return std::ranges::any_of(ControlRoutes::kAll, [&](const Route& route) {
    return route.method == method && ControlRoutes::matches(route, path);
  });
}

// The route only: what follows names features and keys.
void ControlService::on_traced(const Traced& request) {
  server::SpanSink* sink = node_->spans();
  const auto parent = parse_traceparent(request.traceparent);
  if (sink == nullptr || !parent || !sink->wants(*parent)) return;
  const auto known = std::ranges::find_if(
      ControlRoutes::kAll, [&](const Route& route) { return ControlRoutes::matches(route, request.path); });
  server::RequestSpan span;
  span.parent = *parent;
  span.name = request.method.substr(0, 16);
  if (known != std::end(ControlRoutes::kAll)) span.name += " " + std::string(known->path);
  span.system = "http";
  span.took = request.took;
  span.began = WallTime{node_->wall().ns - request.took.count()};
  if (request.status >= 500) span.error = fmt::format("status {}", request.status);
  sink->add(std::move(span));
}

void ControlService::with_report(const HttpReply& reply,
                                 std::function<HttpResponse(const NodeReport&)> make) {
  node_->report([reply, make = std::move(make)](const std::shared_ptr<const NodeReport>& report) {
    reply.send(make(*report));
  });
}

void ControlService::get_health(const HttpReply& reply) {
  // Through the home loop and back: a node whose miss path hangs is not alive, and gets no answer.
  with_report(reply, [](const NodeReport&) { return text_response(200, "alive\n"); });
}

void ControlService::get_ready(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    if (report.ready) {
      std::string body = "ready\n";
      for (const std::string& reason : report.degraded) body += "degraded: " + reason + "\n";
      return text_response(200, std::move(body));
    }
    return text_response(503, fmt::format("not ready: {}\n", report.not_ready_because));
  });
}

void ControlService::get_metrics(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = metrics_text(report)};
  });
}

void ControlService::get_status(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    return json_response(200, status_json(report, report.features.size()));
  });
}

void ControlService::get_features(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    json features = json::array();
    for (const FeatureReport& feature : report.features) features.push_back(feature_json(feature));
    return json_response(200, {{"features", std::move(features)}});
  });
}

void ControlService::get_feature(const HttpReply& reply, std::string name) {
  with_report(reply, [name = std::move(name)](const NodeReport& report) {
    const auto decoded = percent_decode(name);
    const auto it = std::ranges::find(report.features, decoded.value_or(""), &FeatureReport::name);
    if (it == report.features.end()) return error_response(404, "no such feature; see /api/v1/features");
    return json_response(200, feature_json(*it));
  });
}

void ControlService::get_budgets(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    if (report.exposure == nullptr)
      return json_response(200, {{"at_ms", nullptr}, {"features", json::array()}});
    return json_response(200, exposures_json(*report.exposure, WithKeys::kNo));
  });
}

void ControlService::get_levers(const HttpReply& reply) {
  with_report(reply,
              [](const NodeReport& report) { return json_response(200, levers_json(report.levers.get())); });
}

void ControlService::get_budget(const HttpReply& reply, std::string name) {
  with_report(reply, [name = std::move(name)](const NodeReport& report) {
    const auto decoded = percent_decode(name);
    if (report.exposure != nullptr && decoded)
      for (const FeatureExposure& one : report.exposure->features)
        if (one.feature == *decoded) return json_response(200, exposure_json(one, WithKeys::kNo));
    return error_response(404, "no feature of this name has a budget; see /api/v1/budgets");
  });
}

void ControlService::get_budget_history(const HttpReply& reply, std::string_view name) {
  const auto decoded = percent_decode(name);
  const auto* points = decoded ? budget_timeline_.of(*decoded) : nullptr;
  if (points == nullptr)
    return reply.send(error_response(404, "no history of such a budget; see /api/v1/budgets"));
  json out = json::array();
  for (const BudgetPoint& point : *points) out.push_back(budget_point_json(point));
  reply.send(json_response(200, {{"feature", *decoded}, {"points", std::move(out)}}));
}

void ControlService::post_lost_keys(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) {
    json features = json::object();
    if (report.exposure != nullptr)
      for (const FeatureExposure& one : report.exposure->features) features[one.feature] = one.lost_keys;
    return json_response(200, {{"features", std::move(features)}});
  });
}

void ControlService::get_reconciliation(const HttpReply& reply) {
  with_report(reply,
              [](const NodeReport& report) { return json_response(200, reconciliation_json(report)); });
}

void ControlService::get_capacity(const HttpReply& reply) {
  with_report(reply, [](const NodeReport& report) { return json_response(200, capacity_json(report)); });
}

void ControlService::get_openapi(const HttpReply& reply) {
  json paths = json::object();
  for (const Route& candidate : ControlRoutes::kAll)
    paths[std::string(candidate.path)][candidate.method == "GET" ? "get" : "post"] =
        openapi_operation(candidate);
  reply.send(json_response(
      200,
      {{"openapi", "3.0.3"},
       {"info", {{"title", "Candor control plane"}, {"version", kVersion}}},
       {"paths", std::move(paths)},
       {"components", {{"securitySchemes", {{"admin_token", {{"type", "http"}, {"scheme", "bearer"}}}}}}}}));
}

void ControlService::get_events(const HttpReply& reply) {
  if (watchers_.size() >= options_.event_clients_max)
    return reply.send(error_response(
        503, fmt::format("{} clients watch already; that is [http] event_clients_max", watchers_.size())));
  json points = json::array();
  for (const TimelinePoint& point : timeline_.points()) points.push_back(point_json(point));
  const json history = {{"points", std::move(points)}, {"budgets", budgets_event()}};
  if (reply.open_stream("retry: 2000\n" + event_text("history", history))) watchers_.push_back(reply);
}

json ControlService::budgets_event() const {
  if (exposure_ == nullptr) return nullptr;
  return exposures_event_json(*exposure_, options_.event_features_max);
}

void ControlService::tick() {
  node_->report([alive = std::weak_ptr(alive_)](const std::shared_ptr<const NodeReport>& report) {
    const auto self = alive.lock();
    if (self == nullptr) return;
    ControlService& s = **self;
    const bool added = s.timeline_.add(*report);
    s.exposure_ = report->exposure;
    const bool evaluated = s.exposure_ != nullptr && s.budget_timeline_.add(*s.exposure_);
    if (s.watchers_.empty()) return;
    json data = {{"status", status_json(*report, s.options_.event_features_max)}};
    if (evaluated) data["budgets"] = s.budgets_event();
    data["point"] = added ? point_json(s.timeline_.points().back()) : json(nullptr);
    const std::string text = event_text("tick", data);
    std::erase_if(s.watchers_, [&](const HttpReply& watcher) { return !watcher.send_event(text); });
  });
}

void ControlService::post_flush(const HttpReply& reply, const HttpRequest& request) {
  const auto body = parse_body(request.body);
  if (!body)
    return reply.send(
        error_response(400, "the body must be a JSON object, such as {\"feature\": \"profile\"}, or empty"));
  const auto feature = text_member(*body, "feature");
  // A feature that is meant but misspelt as another member must not flush everything.
  if (!feature && !body->empty())
    return reply.send(error_response(400, "the body may hold \"feature\" (a string) and nothing else"));
  node_->flush(feature, [reply](const Result<void>& done) {
    reply.send(done ? json_response(200, {{"flushed", true}})
                    : error_response(status_of(done.error().code), done.error().message));
  });
}

void ControlService::post_invalidate(const HttpReply& reply, const HttpRequest& request) {
  const auto body = parse_body(request.body);
  const auto feature = body ? text_member(*body, "feature") : std::nullopt;
  const auto key = body ? text_member(*body, "key") : std::nullopt;
  if (!feature || !key)
    return reply.send(error_response(400, "the body must be {\"feature\": …, \"key\": …}"));
  // Whether a tier held the key is not known here, so the answer does not speak of it.
  node_->invalidate(*feature, *key, [reply](const Result<void>& done) {
    reply.send(done ? json_response(200, {{"invalidated", true}})
                    : error_response(status_of(done.error().code), done.error().message));
  });
}

void ControlService::post_writes(const HttpReply& reply, const HttpRequest& request) {
  const auto body = parse_body(request.body);
  NodeControl::Writes asked;
  asked.verb = body ? text_member(*body, "do").value_or("") : "";
  asked.feature = body ? text_member(*body, "feature").value_or("") : "";
  // A member that is misspelt must not mean "all of them".
  std::size_t known = 0;
  for (const char* name : {"do", "feature", "position"}) known += body && body->contains(name) ? 1 : 0;
  const bool has_position = body && body->contains("position");
  const bool is_number = has_position && (*body)["position"].is_number_unsigned();
  if (is_number) asked.position = (*body)["position"].get<std::uint64_t>();
  const bool is_verb = asked.verb == "list" || asked.verb == "replay" || asked.verb == "drop";
  if (!is_verb || known != body->size() || has_position != is_number ||
      (has_position && asked.feature.empty()))
    return reply.send(error_response(400,
                                     "the body must be {\"do\": \"list\"|\"replay\"|\"drop\"}, and may hold "
                                     "\"feature\", and with it \"position\""));
  node_->writes(asked, [reply](Result<std::vector<NodeControl::Letter>> letters) {
    if (!letters) return reply.send(error_response(status_of(letters.error().code), letters.error().message));
    json out = json::array();
    for (const NodeControl::Letter& one : *letters)
      out.push_back({{"feature", one.feature},
                     {"position", one.letter.position},
                     {"what", one.letter.kind == write_behind::RecordKind::kErase ? "erase" : "store"},
                     {"key", one.letter.key},
                     {"value_bytes", one.letter.value.size()},
                     {"reason", one.letter.reason},
                     {"refused_at_ms", one.letter.refused_at_ms},
                     {"problem", one.problem}});
    reply.send(json_response(200, {{"dead_letters", std::move(out)}}));
  });
}

void ControlService::get_warm(const HttpReply& reply, bool with_problems) {
  with_report(reply, [with_problems](const NodeReport& report) {
    std::vector<std::string> names;
    for (const FeatureReport& feature : report.features) names.push_back(feature.name);
    json out = warming_json(report.warm, names, with_problems);
    out["ready_waits_for"] = report.warming;
    return json_response(200, out);
  });
}

void ControlService::post_warm(const HttpReply& reply, const HttpRequest& request) {
  const auto body = parse_body(request.body);
  const std::string feature = body ? text_member(*body, "feature").value_or("") : "";
  std::vector<std::string> keys;
  bool is_good = body.has_value();
  std::size_t known = feature.empty() ? 0 : 1;
  if (is_good && body->contains("keys")) {
    const json& named = (*body)["keys"];
    is_good = named.is_array() && !feature.empty();
    for (std::size_t i = 0; is_good && i < named.size(); ++i) {
      is_good = named[i].is_string();
      if (is_good) keys.push_back(named[i].get<std::string>());
    }
    ++known;
  }
  if (!is_good || known != body->size())
    return reply.send(error_response(
        400,
        "the body may hold \"feature\" (a string), and with it \"keys\" (a list of strings), or be empty"));
  auto done = [alive = std::weak_ptr(alive_), reply](const Result<void>& begun) {
    if (!begun) return reply.send(error_response(status_of(begun.error().code), begun.error().message));
    if (const auto self = alive.lock()) (*self)->get_warm(reply, true);
  };
  node_->warm(feature, std::move(keys), std::move(done));
}

void ControlService::post_hot_set(const HttpReply& reply) {
  node_->hot_set([reply](Result<std::string> bytes) {
    if (!bytes) return reply.send(error_response(status_of(bytes.error().code), bytes.error().message));
    reply.send(HttpResponse{.content_type = "application/octet-stream", .body = std::move(*bytes)});
  });
}

}  // namespace candor::app
