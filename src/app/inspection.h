// Looking into a running node: hot keys, what happened to a key, a live trace, when entries expire. Wired
// here and nowhere else; the parts are pure or nearly so (monitor/hot_keys.h, key_history.h, live_trace.h,
// ttl_picture.h).
//
//   hit path ── TapFan ─┬─ ReadSample ── drain on home ─┬─ HotKeys
//                       └─ LiveTrace                    └─ KeyHistory
//   miss path, changes ── Watchers ── this ── the same three
//
// Thread safety: InspectDesk from any thread; InspectControl on the control plane's loop; the rest on home.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/explain_json.h"
#include "app/inspect_control.h"
#include "app/ttl_scan.h"
#include "app/watchers.h"
#include "base/executor.h"
#include "base/task.h"
#include "cache/cache.h"
#include "cache/tap_fan.h"
#include "monitor/hot_keys.h"
#include "monitor/key_history.h"
#include "monitor/live_trace.h"
#include "monitor/read_sample.h"
#include "server/inspect_desk.h"

namespace candor::app {

class Inspection final : public Observer, public server::InspectDesk, public InspectControl {
 public:
  using DeskDone = server::InspectDesk::Done;
  struct World {
    Executor* home = nullptr;
    Executor* control = nullptr;  // the control plane's loop
    const Clock* clock = nullptr;
    std::uint64_t seed = 0;
    std::string node, region;
    // Of the feature's origin, on home; null: nobody knows.
    std::function<River::Stages(FeatureId, Position)> stages{};
    // Statements that the feature's origin takes at once.
    std::function<unsigned(FeatureId)> concurrency{};
  };
  Inspection(const Config& config, std::size_t features_max, World world);
  ~Inspection() override;
  Inspection(const Inspection&) = delete;
  Inspection& operator=(const Inspection&) = delete;

  // Before the cache is made.
  void join(TapFan* fan, Watchers* watchers);
  // On home, when its features are there.
  void start(CacheCore* cache);
  void stop();

  // For others of this program; on home.
  [[nodiscard]] const HotKeys& hot_keys() const { return hot_; }
  [[nodiscard]] std::uint64_t trace_events_left_out() const { return trace_.left_out(); }

  // ---- server::InspectDesk ----
  void explain(FeatureId feature, std::string key, DeskDone done) override;
  void hot_keys(std::vector<FeatureId> features, std::size_t count, HotBy by, DeskDone done) override;

  // ---- InspectControl ----
  void explain_key(std::string feature, std::string key, InspectControl::Done done) override;
  void list_hot_keys(std::string feature, std::size_t count, HotBy by, InspectControl::Done done) override;
  void picture_ttls(std::string feature, InspectControl::Done done) override;
  [[nodiscard]] Result<std::uint64_t> open_trace(const std::string& feature, TraceFilter filter) override;
  [[nodiscard]] TraceNews trace_news(std::uint64_t trace) override;
  void close_trace(std::uint64_t trace) override;

  // ---- Observer ----
  void on_load(KeyRef key, Duration took, bool ok) override;
  void on_invalidate(KeyRef key, const char* cause) override;
  void on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                         const Change& change) override;

  static constexpr Duration kDrainPeriod = 100ms;
  // Events of a key in one answer.
  static constexpr std::size_t kEventsShown = 50;

 private:
  void drain();
  Task<nlohmann::json> explain_now(FeatureId feature, std::string key);
  [[nodiscard]] nlohmann::json hot_keys_now(const std::vector<FeatureId>& features, std::size_t count,
                                            HotBy by) const;
  [[nodiscard]] nlohmann::json ttl_json(const TtlScan::Result& scan, std::optional<FeatureId> only) const;
  [[nodiscard]] nlohmann::json ttl_feature_json(const TtlScan::Result& scan, const Feature& feature) const;
  // Empty name: all. An error: there is none of this name.
  [[nodiscard]] Result<std::vector<FeatureId>> features_of(const std::string& name) const;
  // `done` with the answer, on the control plane's loop.
  [[nodiscard]] DeskDone to_control(InspectControl::Done done);

  World world_;
  bool has_hot_keys_ = false;
  CacheCore* cache_ = nullptr;
  ReadSample sample_;
  HotKeys hot_;
  KeyHistory history_;
  LiveTrace trace_;
  std::unique_ptr<TtlScan> ttls_;
  MonoTime drained_{0};
  TimerId timer_{};
};

}  // namespace candor::app
