// The demo's readers and writers at work: a steady rate of reads over several connections, writes beside
// them, and a count of what came back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "app/load_client.h"
#include "app/load_mix.h"
#include "base/counters.h"

namespace candor::load {

struct LoadOptions {
  Endpoint endpoint;
  double reads_per_second = 20'000;
  unsigned connections = 8;
  Duration duration{0};  // 0: until stop()
  std::uint64_t seed = 1;
  std::vector<std::string> features;  // of the mix, those that the server has; empty: all
  std::vector<std::string> words;
  std::vector<std::uint32_t> word_requests;   // a recording for `word`; empty: generated
  std::vector<std::uint32_t> price_requests;  // and for `price`
};

struct FeatureTally {
  std::uint64_t reads = 0, found = 0, absent = 0, read_errors = 0;
  std::uint64_t writes = 0, write_errors = 0;
  std::string last_error;
  std::vector<std::uint32_t> reads_of_key;  // by key number
};

// Thread safety: none; lives on its loop.
class LoadRun {
 public:
  LoadRun(Executor* executor, Transport* transport, LoadOptions options);

  void start();
  // Sends no more, waits for answers under way (a second at most), then calls `finished`.
  void stop(std::function<void()> finished);

  [[nodiscard]] Duration elapsed() const;
  [[nodiscard]] std::uint64_t reads() const;
  [[nodiscard]] std::uint64_t errors() const;
  [[nodiscard]] std::string report_json() const;

 private:
  void tick();
  void send_reads(std::uint64_t due);
  void send_writes(double seconds);
  bool send_read();
  bool send_write(std::size_t feature);
  std::size_t pick_feature();
  LoadClient* next_client();
  void on_reply(const Asked& asked, const resp::RespValue& value);
  void finish_when_quiet(MonoTime deadline, std::function<void()> finished);

  Executor* executor_;
  LoadOptions options_;
  Random random_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  std::size_t turn_ = 0;  // whose turn it is among the clients
  std::vector<std::unique_ptr<KeySource>> read_keys_, write_keys_;
  std::vector<std::size_t> taking_part_;  // indexes of the mix
  double share_sum_ = 0;                  // of their read shares
  std::vector<double> write_credit_;      // writes that are due, by feature
  std::vector<FeatureTally> tallies_;
  LatencyHistogram latency_ns_;
  MonoTime started_, last_tick_, ended_;
  std::uint64_t reads_issued_ = 0, writes_issued_ = 0, lost_ = 0, held_back_ = 0;
  std::string last_loss_;
  bool running_ = false;
};

}  // namespace candor::load
