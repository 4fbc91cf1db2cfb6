#include "app/write_behind_desk.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "io/append_store.h"
#include "io/clock.h"

namespace candor::app {
namespace {

using write_behind::Log;
using write_behind::WriteBehind;
using write_behind::WriteMode;

// What an earlier run left is brought to the origin before traffic, if that takes no longer.
constexpr Duration kReplayPatience = 10s;
constexpr Duration kReplayLookPeriod = 10ms;
// Directories are called after features with this before it: a feature may be called "..".
constexpr std::string_view kPrefix = "f-";

void pause() {
  std::this_thread::sleep_for(
      kReplayLookPeriod);  // tidy: allow(start and end of the process; nothing is simulated here)
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

std::string WriteBehindDesk::directory_of(const std::string& feature) const {
  return fmt::format("{}/{}{}", directory_, kPrefix, feature);
}

Log::Options WriteBehindDesk::log_options() const {
  Log::Options options;
  options.fsync =
      config_.fsync == WriteBehindConfig::Fsync::kAlways ? Log::Fsync::kAlways : Log::Fsync::kInterval;
  // Beyond the limit on new writes there may be one append, hints, and a limit that was lowered.
  options.bytes_max = 2 * config_.log_max + (std::uint64_t{1} << 30);
  return options;
}

WriteBehind::Options WriteBehindDesk::options(const FeatureConfig& feature) const {
  WriteBehind::Options options;
  options.fsync = log_options().fsync;
  options.fsync_interval = config_.fsync_interval;
  options.log_bytes_max = config_.log_max;
  options.queue.window = feature.batching().window;
  options.queue.batch_keys = feature.batching().batch;
  options.queue.keys_max = config_.keys_max;
  options.queue.bytes_max = config_.bytes_max;
  options.queue.age_max = config_.age_max;
  return options;
}

Result<WriteBehindDesk::Opened> WriteBehindDesk::open_log(const std::string& feature) const {
  auto store = open_append_store(directory_of(feature));
  if (!store) return std::unexpected(store.error());
  Opened opened;
  opened.log = std::make_unique<Log>(std::move(*store), log_options());
  write_behind::LogId fresh;
  world_.entropy->fill(fresh.bytes.data(), fresh.bytes.size());
  auto recovered = opened.log->recover(fresh);
  if (!recovered) return std::unexpected(recovered.error());
  opened.recovered = std::move(*recovered);
  return opened;
}

void WriteBehindDesk::take_up(const FeatureConfig& feature, FeatureId id, Opened opened) {
  world_.cache->use_write_behind(id, options(feature), std::move(opened.log), std::move(opened.recovered),
                                 world_.pool);
}

Result<std::vector<WriteBehindDesk::Note>> WriteBehindDesk::open(const std::vector<FeatureConfig>& features,
                                                                 const std::vector<OriginConfig>& origins) {
  std::vector<Note> notes;
  auto found = list_directories(directory_);
  if (!found) return std::unexpected(found.error());
  for (const FeatureConfig& feature : features) {
    const bool is_behind = feature.write == "behind" && !feature.is_plain();
    const bool has_log = std::ranges::binary_search(*found, std::string(kPrefix) + feature.name);
    const Feature* known = world_.cache->find_feature(feature.name);
    const auto origin = std::ranges::find(origins, feature.origin, &OriginConfig::name);
    const bool may_be_switched = origin != origins.end() && why_not_gathered(feature, &*origin).empty();
    if (known == nullptr || known->origin() == nullptr || !(is_behind || has_log || may_be_switched))
      continue;
    if (!known->origin()->can_apply()) continue;  // an orphan, if its log holds anything
    auto opened = open_log(feature.name);
    if (!opened) {
      return fail(opened.error().code,
                  fmt::format("features.{}: its write-behind log: {}", feature.name, opened.error().message));
    }
    for (const std::string& problem : opened->recovered.problems)
      notes.push_back({true, "write-behind: " + problem});
    const std::size_t left = opened->recovered.writes.size();
    if (left > 0)
      notes.push_back({false, fmt::format("write-behind {}: {} of the last run, on the way to the origin",
                                          feature.name, counted(left, "write"))});
    world_.home->run_there([&] {
      take_up(feature, known->id(), std::move(*opened));
      const WriteMode mode = is_behind ? WriteMode::kBehind : WriteMode::kThrough;
      (void)world_.cache->set_write_mode(known->id(), mode, feature.batching().window);
    });
  }
  note_orphans(features, notes);
  wait_for_replay(notes);
  return notes;
}

// Acknowledged writes that nobody brings anywhere: loud.
void WriteBehindDesk::note_orphans(const std::vector<FeatureConfig>& features, std::vector<Note>& notes) {
  auto found = list_directories(directory_);
  if (!found) return;
  for (const std::string& name : *found) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string feature = name.substr(kPrefix.size());
    const Feature* known = world_.cache->find_feature(feature);
    const bool is_taken_up = known != nullptr && known->behind() != nullptr;
    if (is_taken_up) continue;
    const auto store = look_at_append_store(directory_of(feature));
    const auto left = Log::look(*store, log_options());
    if (left && left->writes.empty() && left->dead.empty() && left->problems.empty()) continue;
    orphans_.push_back(feature);
    const bool is_known = std::ranges::find(features, feature, &FeatureConfig::name) != features.end();
    notes.push_back(
        {true,
         fmt::format(
             "write-behind: {} holds {} of feature '{}', which {}: nobody brings them to an origin; {}, or "
             "remove the directory to give them up",
             directory_of(feature),
             left ? counted(left->writes.size(), "acknowledged write") : left.error().message, feature,
             is_known ? "cannot write to its origin any more" : "is no longer configured",
             is_known ? "restore its statements" : "configure it again")});
  }
}

void WriteBehindDesk::wait_for_replay(std::vector<Note>& notes) {
  const MonoTime until = world_.clock->now() + kReplayPatience;
  world_.home->run_there([&] {
    for (WriteBehind* one : all())
      if (!one->is_empty()) spawn(one->settle(until), [](const Result<void>&) {});
  });
  for (;;) {
    std::size_t left = 0;
    bool is_stuck = false;
    std::string problem;
    world_.home->run_there([&] {
      for (WriteBehind* one : all()) {
        const auto stats = one->stats();
        left += stats.pending_keys;
        is_stuck = is_stuck || !stats.problem.empty();
        if (!stats.problem.empty()) problem = stats.problem;
      }
    });
    if (left == 0) return;
    if (is_stuck || world_.clock->now() >= until) {
      notes.push_back(
          {true,
           fmt::format("write-behind: {} of the last run not yet at the origin ({}); they are tried again",
                       counted(left, "write"), problem.empty() ? "it takes long" : problem)});
      return;
    }
    pause();
  }
}

std::vector<WriteBehind*> WriteBehindDesk::all() const {
  std::vector<WriteBehind*> all;
  for (std::size_t i = 0; i < world_.cache->feature_count(); ++i)
    if (auto* one = world_.cache->write_behind(FeatureId{static_cast<std::uint16_t>(i)})) all.push_back(one);
  return all;
}

void WriteBehindDesk::set_write_mode(const FeatureConfig& feature, WriteMode mode, Duration window,
                                     std::function<void(Result<void>)> done) {
  const Feature* known = world_.cache->find_feature(feature.name);
  if (known == nullptr || known->origin() == nullptr || !known->origin()->can_apply()) {
    return done(
        fail(ErrorCode::kConfiguration,
             fmt::format("feature '{}' cannot write behind: its origin takes no batches", feature.name)));
  }
  if (known->behind() != nullptr) return done(world_.cache->set_write_mode(known->id(), mode, window));
  if (mode == WriteMode::kThrough) return done({});
  if (std::ranges::find(opening_, feature.name) != opening_.end())
    return done(fail(ErrorCode::kOverloaded,
                     fmt::format("feature '{}': its log is being opened already", feature.name)));
  opening_.push_back(feature.name);
  world_.pool->run([this, feature, mode, window, done = std::move(done)]() mutable {
    auto opened = std::make_shared<Result<Opened>>(open_log(feature.name));
    world_.home->loop().post([this, feature, mode, window, opened, done = std::move(done)] {
      std::erase(opening_, feature.name);
      if (!*opened) return done(std::unexpected(opened->error()));
      const Feature* now = world_.cache->find_feature(feature.name);
      take_up(feature, now->id(), std::move(**opened));
      done(world_.cache->set_write_mode(now->id(), mode, window));
    });
  });
}

Task<Result<std::vector<NodeControl::Letter>>> WriteBehindDesk::dead_letters(NodeControl::Writes asked) {
  std::vector<NodeControl::Letter> letters;
  for (std::size_t i = 0; i < world_.cache->feature_count(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    WriteBehind* one = world_.cache->write_behind(id);
    const std::string name = world_.cache->feature(id).policy().name;
    if (one == nullptr || (!asked.feature.empty() && asked.feature != name)) continue;
    for (write_behind::DeadLetter& letter : one->dead_letters()) {
      if (asked.position && *asked.position != letter.position) continue;
      NodeControl::Letter out{name, std::move(letter), {}};
      Result<void> done;
      if (asked.verb == "replay") done = co_await one->replay(out.letter.position);
      if (asked.verb == "drop") done = co_await one->drop(out.letter.position);
      if (!done) out.problem = done.error().message;
      letters.push_back(std::move(out));
    }
  }
  if (letters.empty() && asked.position)
    co_return fail(ErrorCode::kNotFound, "no dead letter has this position; see `candor writes list`");
  co_return letters;
}

std::size_t WriteBehindDesk::drain(MonoTime until) {
  world_.home->run_there([this] {
    for (WriteBehind* one : all()) one->hurry();
  });
  for (;;) {
    std::size_t left = 0;
    bool is_over = true;
    world_.home->run_there([&] {
      for (WriteBehind* one : all()) {
        left += one->stats().pending_keys;
        is_over = is_over && one->is_empty();
      }
    });
    if (is_over || world_.clock->now() >= until) return left;
    pause();
  }
}

bool WriteBehindDesk::is_idle() const {
  return opening_.empty() &&
         std::ranges::all_of(all(), [](const WriteBehind* one) { return one->is_idle(); });
}

std::vector<std::string> WriteBehindDesk::troubles() const {
  std::vector<std::string> troubles;
  for (const std::string& feature : orphans_) troubles.push_back("write_behind_orphaned:" + feature);
  for (std::size_t i = 0; i < world_.cache->feature_count(); ++i) {
    const FeatureId id{static_cast<std::uint16_t>(i)};
    const WriteBehind* one = world_.cache->write_behind(id);
    if (one == nullptr) continue;
    const std::string& name = world_.cache->feature(id).policy().name;
    const auto stats = one->stats();
    if (!stats.problem.empty()) troubles.push_back("write_behind_stuck:" + name);
    if (stats.dead_letters > 0) troubles.push_back("dead_letters:" + name);
    if (!stats.damage.empty()) troubles.push_back("write_behind_damaged:" + name);
  }
  return troubles;
}

}  // namespace candor::app
