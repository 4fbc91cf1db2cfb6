// A daemon of its own: configuration, data and log in a temporary folder, listeners on free ports.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/process.h"

namespace candor::testing {

class Candord {
 public:
  // `body`: the configuration but for [node], [resp], [http] and [l1].
  Candord(std::string name, std::string region, const std::string& body);

  // True once it answers PING. Again after kill_now(): same ports, same folder.
  [[nodiscard]] bool start(Duration patience = std::chrono::seconds(20));
  void kill_now() { process_->kill_now(); }
  void stop() { process_->stop(); }
  void freeze() const { process_->freeze(); }
  void thaw() const { process_->thaw(); }
  [[nodiscard]] bool is_running() { return process_ && process_->is_running(); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }
  [[nodiscard]] std::string log() const;
  // What the daemon says of itself over HTTP: /api/v1/status, headers included. Empty: no answer.
  [[nodiscard]] std::string status() const;
  [[nodiscard]] const std::string& folder() const { return folder_.path(); }
  [[nodiscard]] std::string config_file() const { return folder_.path() + "/candor.toml"; }

  // A program of the same build: "candord", "candor".
  [[nodiscard]] static std::string program(const std::string& name);

 private:
  TempDir folder_;
  std::string name_;
  std::uint16_t port_, http_port_;
  std::unique_ptr<Process> process_;
};

}  // namespace candor::testing
