// What is said on a new connection before it serves: HELLO 3 with the password, or for servers that do not
// know HELLO, AUTH; then SELECT, CLIENT TRACKING where it is wanted, and SCRIPT LOAD for each script. Pure:
// replies in, bytes and a verdict out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/resp.h"

namespace candor::redis {

struct HandshakeOptions {
  std::string user, password;
  std::uint32_t database = 0;
  std::string client_name = "candor";
  std::vector<std::string_view> scripts;  // borrowed: static text
  // Asks for CLIENT TRACKING (RESP3, default mode). A server that refuses it still serves:
  // tracking_refusal().
  bool tracking = false;
};

class Handshake {
 public:
  enum class Verdict : std::uint8_t { kWait, kReady, kFailed };

  explicit Handshake(const HandshakeOptions* options) : options_(options), shas_(options->scripts.size()) {}

  // Bytes to send first. They may hold the password: do not log them.
  [[nodiscard]] std::string begin();
  // Appends to `out` what is to be sent now. After kFailed: reason() says why and what to do.
  [[nodiscard]] Verdict on_reply(const resp::RespValue& reply, std::string* out);

  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] bool is_resp3() const { return resp3_; }
  // Why the server does not track this connection; empty: it does, if that was asked for.
  [[nodiscard]] const std::string& tracking_refusal() const { return tracking_refusal_; }
  // As HELLO says; false when it does not.
  [[nodiscard]] bool is_replica() const { return replica_; }
  // By script; empty where the server did not load it.
  [[nodiscard]] std::vector<std::string>& shas() { return shas_; }

 private:
  enum class Phase : std::uint8_t { kHello, kAuth, kSetup };
  Verdict set_up(std::string* out);
  Verdict fail(std::string reason);

  const HandshakeOptions* options_;
  Phase phase_ = Phase::kHello;
  bool resp3_ = false;
  bool replica_ = false;
  bool select_answered_ = false;
  bool tracking_asked_ = false;
  std::string tracking_refusal_;
  std::size_t scripts_answered_ = 0;
  std::vector<std::string> shas_;
  std::string reason_;
};

}  // namespace candor::redis
