// redis://[USER:PASSWORD@]HOST[:PORT][/DB] and rediss:// (TLS): what a URL says about a Redis or Valkey
// server.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/transport.h"

namespace candor::redis {

struct Address {
  Endpoint endpoint;
  std::string user;      // empty: the default user
  std::string password;  // empty: none. Never in a message, a log or describe()
  std::uint32_t database = 0;
  [[nodiscard]] std::string describe() const;  // "redis 127.0.0.1:6379/0"
};

// User and password may hold %XX. IPv6 hosts stand in brackets. kConfiguration otherwise; the message never
// repeats the URL, because it may hold a password.
[[nodiscard]] Result<Address> parse_url(std::string_view url);

}  // namespace candor::redis
