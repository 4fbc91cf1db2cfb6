#include "tests/support/candord.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

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

std::string Candord::status() const {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(http_port_);
  const timeval patience{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string ask = fmt::format(
      "GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", http_port_);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, ask.data(), ask.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(ask.size())) {
    char bytes[4096];
    for (ssize_t n = 0; (n = ::recv(fd, bytes, sizeof bytes, 0)) > 0;)
      answer.append(bytes, static_cast<std::size_t>(n));
  }
  ::close(fd);
  return answer;
}

std::string Candord::log() const {
  std::stringstream text;
  text << std::ifstream(folder_.path() + "/candord.log").rdbuf();
  return text.str();
}

}  // namespace candor::testing
