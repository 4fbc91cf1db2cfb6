#include "app/load_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace candor::load {
namespace {

constexpr Duration kTick = 1ms;
constexpr Duration kQuietPatience = 1s;
// After a pause (the server was gone, the machine slept) the missed requests are not made up for: a burst of
// them would measure the burst.
constexpr double kCatchUpSecondsMax = 0.05;
constexpr double kWritesOwedMax = 100;  // and missed writes neither

}  // namespace

LoadRun::LoadRun(Executor* executor, Transport* transport, LoadOptions options)
    : executor_(executor), options_(std::move(options)), random_(options_.seed) {
  const auto on_lost = [this](std::size_t unanswered, const std::string& reason) {
    lost_ += unanswered;
    last_loss_ = reason;
  };
  for (unsigned i = 0; i < options_.connections; ++i) {
    clients_.push_back(std::make_unique<LoadClient>(
        executor, transport, options_.endpoint,
        [this](const Asked& asked, const resp::RespValue& value) { on_reply(asked, value); }, on_lost));
  }
  for (const auto& feature : demo_mix()) {
    const auto& recording = feature.name == "word" ? options_.word_requests : options_.price_requests;
    const bool recorded = (feature.name == "word" || feature.name == "price") && !recording.empty();
    read_keys_.push_back(recorded ? make_recorded_keys(recording)
                                  : make_generated_keys(feature.shape, random_()));
    write_keys_.push_back(make_generated_keys(feature.shape, random_()));
    tallies_.emplace_back().reads_of_key.resize(feature.shape.keys);
  }
  write_credit_.resize(demo_mix().size());
  for (std::size_t i = 0; i < demo_mix().size(); ++i) {
    const auto& wanted = options_.features;
    if (!wanted.empty() && std::ranges::find(wanted, demo_mix()[i].name) == wanted.end()) continue;
    taking_part_.push_back(i);
    share_sum_ += demo_mix()[i].read_share;
  }
}

void LoadRun::start() {
  for (auto& client : clients_) client->start();
  running_ = true;
  started_ = last_tick_ = executor_->now();
  executor_->schedule(started_ + kTick, [this] { tick(); });
}

void LoadRun::tick() {
  if (!running_) return;
  const MonoTime now = executor_->now();
  const double passed = std::min(to_seconds(now - last_tick_), kCatchUpSecondsMax);
  last_tick_ = now;
  const double due = passed * options_.reads_per_second + random_.unit();  // rounds fairly over many ticks
  send_reads(static_cast<std::uint64_t>(due));
  send_writes(passed);
  for (auto& client : clients_) client->flush();
  executor_->schedule(now + kTick, [this] { tick(); });
}

void LoadRun::send_reads(std::uint64_t due) {
  if (taking_part_.empty()) return;
  for (; due > 0; --due) {
    if (!send_read()) {
      held_back_ += due;
      return;
    }
  }
}

void LoadRun::send_writes(double passed) {
  for (const std::size_t i : taking_part_) {
    write_credit_[i] = std::min(write_credit_[i] + passed * demo_mix()[i].writes_per_second, kWritesOwedMax);
    while (write_credit_[i] >= 1 && send_write(i)) write_credit_[i] -= 1;
  }
}

std::size_t LoadRun::pick_feature() {
  double at = random_.unit() * share_sum_;
  for (const std::size_t i : taking_part_) {
    if ((at -= demo_mix()[i].read_share) < 0) return i;
  }
  return taking_part_.back();
}

LoadClient* LoadRun::next_client() { return clients_[turn_++ % clients_.size()].get(); }

bool LoadRun::send_read() {
  const std::size_t index = pick_feature();
  const auto& feature = demo_mix()[index];
  const std::uint32_t number = read_keys_[index]->next() % feature.shape.keys;
  const std::string key = std::string(feature.name) + ":" + key_text(feature.form, number, options_.words);
  const Asked asked{Operation::kRead, static_cast<std::uint16_t>(index), executor_->now()};
  if (!next_client()->try_send(asked, {"GET", key})) return false;
  ++reads_issued_;
  ++tallies_[index].reads_of_key[number];
  return true;
}

bool LoadRun::send_write(std::size_t index) {
  const auto& feature = demo_mix()[index];
  const std::uint32_t number = write_keys_[index]->next();
  const std::string key = std::string(feature.name) + ":" + key_text(feature.form, number, options_.words);
  const std::string value = value_text(feature.name, number, ++writes_issued_);
  const Asked asked{Operation::kWrite, static_cast<std::uint16_t>(index), executor_->now()};
  return next_client()->try_send(asked, {"SET", key, value});
}

void LoadRun::on_reply(const Asked& asked, const resp::RespValue& value) {
  FeatureTally& tally = tallies_[asked.feature];
  if (value.is_error()) tally.last_error = value.text;
  if (asked.operation == Operation::kWrite) {
    ++tally.writes;
    tally.write_errors += value.is_error() ? 1 : 0;
    return;
  }
  ++tally.reads;
  if (value.is_error()) {
    ++tally.read_errors;
  } else {
    ++(value.is_null() ? tally.absent : tally.found);
  }
  latency_ns_.record(static_cast<std::uint64_t>((executor_->now() - asked.at).count()));
}

void LoadRun::stop(std::function<void()> finished) {
  if (!std::exchange(running_, false)) return;
  ended_ = executor_->now();
  finish_when_quiet(ended_ + kQuietPatience, std::move(finished));
}

void LoadRun::finish_when_quiet(MonoTime deadline, std::function<void()> finished) {
  const bool quiet =
      std::ranges::all_of(clients_, [](const auto& client) { return client->unanswered() == 0; });
  if (quiet || executor_->now() >= deadline) {
    finished();
    return;
  }
  executor_->schedule(executor_->now() + 10 * kTick,
                      [this, deadline, finished = std::move(finished)]() mutable {
                        finish_when_quiet(deadline, std::move(finished));
                      });
}

Duration LoadRun::elapsed() const { return (running_ ? executor_->now() : ended_) - started_; }

std::uint64_t LoadRun::reads() const {
  std::uint64_t sum = 0;
  for (const auto& tally : tallies_) sum += tally.reads;
  return sum;
}

std::uint64_t LoadRun::errors() const {
  std::uint64_t sum = lost_;
  for (const auto& tally : tallies_) sum += tally.read_errors + tally.write_errors;
  return sum;
}

std::string LoadRun::report_json() const {
  const auto latency = latency_ns_.snapshot();
  nlohmann::json report;
  report["seconds"] = to_seconds(elapsed());
  report["reads"] = reads();
  report["p50_us"] = latency.quantile_ns(0.50) / 1000;
  report["p99_us"] = latency.quantile_ns(0.99) / 1000;
  report["lost"] = lost_;
  report["last_loss"] = last_loss_;
  report["held_back"] = held_back_;
  for (std::size_t i = 0; i < tallies_.size(); ++i) {
    const auto& tally = tallies_[i];
    auto& out = report["features"][std::string(demo_mix()[i].name)];
    out["character"] = std::string(demo_mix()[i].character);
    out["reads"] = tally.reads;
    out["found"] = tally.found;
    out["absent"] = tally.absent;
    out["read_errors"] = tally.read_errors;
    out["writes"] = tally.writes;
    out["write_errors"] = tally.write_errors;
    out["last_error"] = tally.last_error;
    // Words are many and never change: nobody needs their counts by key.
    if (demo_mix()[i].form != KeyForm::kWord) out["reads_of_key"] = tally.reads_of_key;
  }
  return report.dump();
}

}  // namespace candor::load
