// candord: the daemon. Reads the configuration, starts a node, waits for signals.
// Exit codes: 0 stopped as asked, 1 could not start, 2 wrong usage or a configuration that cannot be.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <future>
#include <memory>

#include "app/config.h"
#include "app/log.h"
#include "app/node.h"
#include "app/version.h"
#include "io/signals.h"

namespace candor::app {
namespace {

constexpr int kExitGood = 0;
constexpr int kExitNoStart = 1;
constexpr int kExitUsage = 2;

// Without a file: a plain cache for any Redis client on this machine, nothing else.
constexpr const char* kEmbeddedConfig = R"([resp]
plain_feature = "cache"
[features.cache]
origin = "none"
)";

constexpr const char* kFooter =
    "Without --config: a plain cache (no database) on 127.0.0.1:6390, which `redis-cli -p 6390` can use at "
    "once.\n"
    "Signals: SIGTERM and SIGINT finish what is under way and stop; SIGHUP reads the configuration again.\n"
    "Examples:\n"
    "  candord\n"
    "  candor check candor.toml && candord --config candor.toml";

void say_findings(const ConfigReading& reading) {
  for (const Finding& finding : reading.findings) {
    if (finding.is_error())
      fmt::print(stderr, "{}\n", finding.to_string());
    else
      spdlog::warn("{}", finding.to_string());
  }
}

void say_start(Node& node, const Config& config) {
  for (const StartNote& note : node.engine().notes()) {
    if (note.is_warning)
      spdlog::warn("{}", note.text);
    else
      spdlog::info("{}", note.text);
  }
  spdlog::info("{} feature{}, l1 {} MiB", config.features.size(), config.features.size() == 1 ? "" : "s",
               config.l1.memory >> 20);
  spdlog::info("redis clients: {}   dashboard: http://{}/", node.resp_address(), node.http_address());
}

// Returns the signal that ended the wait.
int wait_for_end(Node& node) {
  std::promise<int> ended;
  auto end = ended.get_future();
  bool told = false;
  std::unique_ptr<SignalWatch> watch;
  auto& upkeep = node.engine().upkeep_thread();
  upkeep.run_there([&] {
    auto opened = SignalWatch::open(upkeep.loop(), {SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
      if (signal == SIGHUP) return node.reload();
      if (!std::exchange(told, true)) ended.set_value(signal);
    });
    if (opened) watch = std::move(*opened);
  });
  const int signal = end.get();
  upkeep.run_there([&] { watch.reset(); });
  return signal;
}

int run(const std::string& config_file) {
  block_signals({SIGTERM, SIGINT, SIGHUP});
  ignore_broken_pipes();
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit shall be a write that fails, as a full disk is
  start_log();
  ConfigReading reading = config_file.empty() ? read_config_text(kEmbeddedConfig, "(embedded default)")
                                              : read_config_file(config_file);
  set_log_level(reading.config.node.log_level);
  say_findings(reading);
  if (reading.has_errors()) return kExitUsage;
  spdlog::info("candord {} starts with {}", kVersion, reading.config.file);
  auto node = Node::start(reading.config);
  if (!node) {
    spdlog::error("cannot start: {}", node.error().message);
    return kExitNoStart;
  }
  say_start(**node, reading.config);
  const int signal = wait_for_end(**node);
  spdlog::info("{}: finishing what is under way", signal == SIGINT ? "SIGINT" : "SIGTERM");
  const std::size_t cut_off = (*node)->drain();
  if (cut_off > 0)
    spdlog::warn("{} connection{} cut off at the end of drain_timeout", cut_off, cut_off == 1 ? "" : "s");
  node->reset();
  spdlog::info("stopped");
  return kExitGood;
}

}  // namespace
}  // namespace candor::app

int main(int argc, char** argv) {
  CLI::App daemon("The daemon of Candor, a cache that knows how stale it is.", "candord");
  std::string config_file;
  daemon.add_option("--config", config_file, "The configuration, a TOML file");
  daemon.set_version_flag("--version", std::string("candord ") + candor::app::kVersion);
  daemon.footer(candor::app::kFooter);
  try {
    daemon.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return daemon.exit(error) == 0 ? candor::app::kExitGood : candor::app::kExitUsage;
  }
  return candor::app::run(config_file);
}
