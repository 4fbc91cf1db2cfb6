// A real server behind a region stream, and what an operator can do to it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"

namespace candor::testing {

class StreamServer {
 public:
  // "memory" (no server), "redis" (keeps nothing), "redis_aof" (every write on disk), "nats" (JetStream).
  [[nodiscard]] static std::unique_ptr<StreamServer> make(const std::string& kind);
  virtual ~StreamServer() = default;

  [[nodiscard]] virtual bool start() { return true; }  // again after crash(): same port, same folder
  virtual void crash() {}
  [[nodiscard]] virtual Process& process();
  [[nodiscard]] virtual std::string url() const { return "memory:"; }
  [[nodiscard]] virtual bool is_persistent() const { return false; }
  // The whole log; every message, but not the log.
  virtual void delete_log(const std::string& region);
  virtual void purge_log(const std::string& region);

  // Redis.
  virtual std::string command(const std::vector<std::string>& words);
  [[nodiscard]] virtual std::string dump(const std::string& key);
  virtual void restore(const std::vector<std::pair<std::string, std::string>>& dumps);
  // NATS.
  [[nodiscard]] virtual bool make_nats_stream(const std::string& name, const std::string& subject,
                                              const std::string& retention);
  [[nodiscard]] virtual bool delete_nats_message(const std::string& stream, int sequence);
};

}  // namespace candor::testing
