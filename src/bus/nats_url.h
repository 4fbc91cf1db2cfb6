// nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST[:PORT]…], and tls:// for the same over TLS.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor::nats {

struct Address {
  std::vector<std::string> hosts;  // "HOST:PORT", at least one; any of them leads to the cluster
  bool tls = false;
  // Never in a message, a log or describe().
  std::string user, password, token;
  [[nodiscard]] std::string describe() const;  // "nats 127.0.0.1:4222"
};

// User, password and token may hold %XX. kConfiguration otherwise; the message never repeats the URL.
[[nodiscard]] Result<Address> parse_url(std::string_view url);

}  // namespace candor::nats
