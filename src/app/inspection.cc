#include "app/inspection.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/json_number.h"

namespace candor::app {
namespace {

using nlohmann::json;

}  // namespace

Inspection::Inspection(const Config& config, std::size_t features_max, World world)
    : world_(std::move(world)),
      has_hot_keys_(config.hotkeys.enabled),
      sample_(features_max),
      hot_(features_max, config.hotkeys.enabled ? config.hotkeys.keys : 0, mix64(world_.seed + 1)),
      history_(config.explain.memory, world_.clock, mix64(world_.seed + 2)),
      trace_(features_max, world_.clock) {}

Inspection::~Inspection() = default;

void Inspection::join(TapFan* fan, Watchers* watchers) {
  if (has_hot_keys_ || history_.bytes() > 0) fan->add(&sample_);
  fan->add(&trace_);
  if (has_hot_keys_) watchers->add(this);
  if (history_.bytes() > 0) watchers->add(&history_);
  watchers->add(&trace_);
}

void Inspection::start(CacheCore* cache) {
  cache_ = cache;
  ttls_ = std::make_unique<TtlScan>(world_.control, cache);
  drained_ = world_.home->now();
  drain();
}

void Inspection::stop() { world_.home->cancel(timer_); }

void Inspection::drain() {
  const MonoTime now = world_.home->now();
  for (const SightedRead& read : sample_.drain(now - drained_)) {
    if (has_hot_keys_) hot_.on_read(now, read);
    if (read.tier == Tier::kL1 && !read.degraded) history_.on_hit(read);
  }
  drained_ = now;
  if (trace_.is_watched() && trace_.pace()) cache_->resample_reads();
  timer_ = world_.home->schedule(now + kDrainPeriod, [this] { drain(); });
}

// ---- what happens ----

void Inspection::on_load(KeyRef key, Duration /*took*/, bool /*ok*/) {
  hot_.on_miss(world_.home->now(), key);
}

// Where nobody tells of changes, this node's own writes are all that is known of them.
void Inspection::on_invalidate(KeyRef key, const char* cause) {
  if (std::string_view(cause) == "write" && cache_ != nullptr && !cache_->feature(key.feature).is_heard())
    hot_.on_change(world_.home->now(), key);
}

void Inspection::on_change_applied(FeatureId feature, std::optional<std::string_view> key, const Change&) {
  if (key) hot_.on_change(world_.home->now(), KeyRef{feature, *key});
}

// ---- a key ----

Task<json> Inspection::explain_now(FeatureId id, std::string key) {
  KeyReport report;
  report.tiers = co_await cache_->explain(id, key);
  const Feature& feature = cache_->feature(id);
  report.node = world_.node;
  report.region = world_.region;
  report.feature = feature.policy().name;
  report.is_plain = feature.policy().plain;
  report.now = world_.clock->now();
  report.wall = world_.clock->wall();
  const KeyRef ref{id, key};
  report.events = history_.of(ref, kEventsShown);
  for (const KeyEvent& event : report.events) {
    const bool is_change = event.kind == KeyEvent::Kind::kChange && world_.stages;
    report.stages.push_back(is_change ? world_.stages(id, event.position) : River::Stages{});
  }
  report.reach = history_.reach(report.now);
  report.keeps_history = history_.bytes() > 0;
  report.hot = hot_.figures_of(ref, report.now);
  report.key = std::move(key);
  co_return explain_json(report);
}

void Inspection::explain(FeatureId feature, std::string key, DeskDone done) {
  world_.home->post([this, feature, key = std::move(key), done = std::move(done)]() mutable {
    spawn(explain_now(feature, std::move(key)), std::move(done));
  });
}

// ---- hot keys ----

json Inspection::hot_keys_now(const std::vector<FeatureId>& features, std::size_t count, HotBy by) const {
  const MonoTime now = world_.home->now();
  std::vector<HotKey> keys;
  json totals = json::array();
  for (const FeatureId id : features) {
    std::ranges::move(hot_.top(id, count, by, now), std::back_inserter(keys));
    const HotKeys::Total total = hot_.total(id, by, now);
    if (total.per_second <= 0.0) continue;
    totals.push_back({{"feature", cache_->feature(id).policy().name},
                      {"per_second", thousandths(total.per_second)},
                      {"unlisted_at_most", thousandths(total.unlisted_at_most)}});
  }
  const auto hotter = [by](const HotKey& a, const HotKey& b) {
    return a.by(by)->per_second > b.by(by)->per_second;
  };
  std::ranges::sort(keys, hotter);
  json list = json::array();
  for (std::size_t i = 0; i < std::min(count, keys.size()); ++i) {
    json one = {{"feature", cache_->feature(keys[i].feature).policy().name}, {"key", keys[i].key}};
    for (const HotBy which : kHotBys)
      one[std::string(hot_by_name(which))] = hot_figure_json(keys[i].by(which));
    list.push_back(std::move(one));
  }
  return {{"node", world_.node},     {"enabled", has_hot_keys_},
          {"by", hot_by_name(by)},   {"half_life_ms", HotList::kHalfLife / 1ms},
          {"keys", std::move(list)}, {"features", std::move(totals)}};
}

void Inspection::hot_keys(std::vector<FeatureId> features, std::size_t count, HotBy by, DeskDone done) {
  world_.home->post([this, features = std::move(features), count, by, done = std::move(done)]() mutable {
    done(hot_keys_now(features, count, by));
  });
}

// ---- the control plane ----

Result<std::vector<FeatureId>> Inspection::features_of(const std::string& name) const {
  std::vector<FeatureId> out;
  for (std::size_t i = 0; i < cache_->feature_count(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (name.empty() || cache_->feature(id).policy().name == name) out.push_back(id);
  }
  if (out.empty() && !name.empty())
    return fail(ErrorCode::kNoFeature, "no such feature; see /api/v1/features");
  return out;
}

Inspection::DeskDone Inspection::to_control(InspectControl::Done done) {
  return [this, done = std::move(done)](json answer) mutable {
    world_.control->post([done = std::move(done), answer = std::move(answer)]() mutable {
      mark_binary_keys(answer);
      done(std::move(answer));
    });
  };
}

void Inspection::explain_key(std::string feature, std::string key, InspectControl::Done done) {
  const auto known =
      feature.empty() ? fail(ErrorCode::kNoFeature, "the feature's name is missing") : features_of(feature);
  if (!known) return done(std::unexpected(known.error()));
  if (key.size() > kKeyBytesMax)
    return done(fail(ErrorCode::kLimit, fmt::format("a key has at most {} bytes", kKeyBytesMax)));
  explain(known->front(), std::move(key), to_control(std::move(done)));
}

void Inspection::list_hot_keys(std::string feature, std::size_t count, HotBy by, InspectControl::Done done) {
  const auto known = features_of(feature);
  if (!known) return done(std::unexpected(known.error()));
  hot_keys(*known, count, by, to_control(std::move(done)));
}

void Inspection::picture_ttls(std::string feature, InspectControl::Done done) {
  const auto known = features_of(feature);
  if (!known) return done(std::unexpected(known.error()));
  const auto only = feature.empty() ? std::nullopt : std::optional(known->front());
  ttls_->run(
      [this, only, done = std::move(done)](const TtlScan::Result& scan) { done(ttl_json(scan, only)); });
}

json Inspection::ttl_feature_json(const TtlScan::Result& scan, const Feature& feature) const {
  const TtlPicture& picture = scan.features[feature.id().value];
  const double scale = scan.scale();
  const auto scaled = [scale](std::uint64_t n) { return std::round(static_cast<double>(n) * scale); };
  json histogram = json::array();
  for (std::size_t i = 0; i < picture.buckets().size(); ++i)
    histogram.push_back(
        {{"up_to_ms", i < TtlPicture::kEdges.size() ? json(TtlPicture::kEdges[i] / 1ms) : json(nullptr)},
         {"entries", scaled(picture.buckets()[i])}});
  json ahead = json::array();
  for (std::size_t i = 0; i < picture.ahead().size(); ++i)
    ahead.push_back({{"within_ms", TtlPicture::kAheads[i] / 1ms},
                     {"expiries", scaled(picture.ahead()[i].all)},
                     {"of_keys_that_are_read", scaled(picture.ahead()[i].read)}});
  const auto cost = feature.load_cost_ns.load(std::memory_order_relaxed);
  const StampedeRisk risk =
      stampede_risk(picture.peak().expiries, scale, world_.concurrency ? world_.concurrency(feature.id()) : 0,
                    cost == 0 ? std::nullopt : std::optional(Duration{static_cast<std::int64_t>(cost)}));
  return {{"feature", feature.policy().name},
          {"entries", scaled(picture.entries())},
          {"without_expiry", scaled(picture.without_expiry())},
          {"past_ttl", scaled(picture.past())},
          {"ttl_ms", feature.policy().ttl / 1ms},
          {"histogram", std::move(histogram)},
          {"ahead", std::move(ahead)},
          {"stampede",
           {{"risk", risk.verdict},
            {"peak_expiries_per_second", scaled(picture.peak().expiries)},
            {"peak_in_ms", picture.peak().in / 1ms},
            {"origin_loads_per_second", risk.capacity ? json(thousandths(*risk.capacity)) : json(nullptr)},
            {"peak_share_of_origin", risk.share ? json(thousandths(*risk.share)) : json(nullptr)}}}};
}

json Inspection::ttl_json(const TtlScan::Result& scan, std::optional<FeatureId> only) const {
  json features = json::array();
  for (std::size_t i = 0; i < scan.features.size(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    if (!only || *only == id) features.push_back(ttl_feature_json(scan, cache_->feature(id)));
  }
  return {{"node", world_.node},
          {"entries_looked_at", scan.looked_at},
          {"entries_held", scan.held},
          {"features", std::move(features)}};
}

// ---- traces ----

Result<std::uint64_t> Inspection::open_trace(const std::string& feature, TraceFilter filter) {
  double first = 1.0;
  const auto known = features_of(feature);
  if (!known) return std::unexpected(known.error());
  if (!feature.empty()) filter.feature = known->front();
  // As many hits as hot keys look at, or a few times that: what their sample knows of the traffic.
  if (has_hot_keys_ || history_.bytes() > 0) {
    for (const FeatureId id : *known)
      first = std::min(first, sample_.chance(id) * LiveTrace::kHitsPerSecond / ReadSample::kReadsPerSecond);
  } else {
    first = ReadSample::kReadsPerSecond * 1e-6;
  }
  const auto id = trace_.open(std::move(filter), first);
  if (!id)
    return fail(ErrorCode::kOverloaded,
                fmt::format("{} traces are running already, which is all that may", LiveTrace::kWatchersMax));
  cache_->resample_reads();
  return *id;
}

InspectControl::TraceNews Inspection::trace_news(std::uint64_t trace) {
  const LiveTrace::Taken taken = trace_.take(trace);
  TraceNews news;
  news.left_out = taken.left_out;
  news.sample = taken.sample;
  const MonoTime now = world_.clock->now();
  const WallTime wall = world_.clock->wall();
  for (const TraceEvent& event : taken.events) {
    json one = trace_event_json(event, cache_->feature(event.feature).policy().name, now, wall);
    mark_binary_keys(one);
    news.events.push_back(std::move(one));
  }
  return news;
}

void Inspection::close_trace(std::uint64_t trace) { trace_.close(trace); }

}  // namespace candor::app
