#include "tests/support/candord.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "tests/support/resp_client.h"

namespace candor::testing {
namespace {

// Two listeners of one daemon shall not be given one port.
std::uint16_t fresh_port() {
  static std::set<std::uint16_t> given;
  for (;;) {
    const std::uint16_t port = free_port();
    if (given.insert(port).second) return port;
  }
}

}  // namespace

std::string Candord::program(const std::string& name) {
  std::error_code ignored;
  auto folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!std::filesystem::exists(folder / name)) folder = folder.parent_path();  // benchmarks lie one deeper
  return (folder / name).string();
}

Candord::Candord(std::string name, std::string region, const std::string& body)
    : name_(std::move(name)), port_(fresh_port()), http_port_(fresh_port()) {
  std::ofstream(config_file()) << fmt::format(
      "[node]\nname = \"{}\"\nregion = \"{}\"\ndata_dir = \"{}/data\"\n"
      "[resp]\nlisten = \"127.0.0.1:{}\"\nthreads = 1\n[http]\nlisten = \"127.0.0.1:{}\"\n"
      "[l1]\nmemory = \"16MiB\"\n{}",
      name_, region, folder_.path(), port_, http_port_, body);
}

bool Candord::start(Duration patience) {
  Process::Options options;
  options.arguments = {program("candord"), "--config", config_file()};
  options.output = folder_.path() + "/candord.log";
  process_ = std::make_unique<Process>(options);
  for (Duration waited{0}; waited < patience; waited += 20ms) {
    if (!process_->is_running()) break;
    RespClient client(port_, 2s);
    if (client.is_open() && client.call({"PING"})) return true;
    std::this_thread::sleep_for(20ms);
  }
  std::fprintf(stderr, "candord %s did not start:\n%s\n", name_.c_str(), log().c_str());
  return false;
}

std::string Candord::log() const {
  std::stringstream text;
  text << std::ifstream(folder_.path() + "/candord.log").rdbuf();
  return text.str();
}

}  // namespace candor::testing
