// Socket addresses, and how names become some.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace candor {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string to_string() const;  // "127.0.0.1:6390", "[::1]:6390"
};

// The addresses of a numeric host, of "localhost" (127.0.0.1, then ::1) and of "" and "*" (all interfaces,
// IPv4): without asking anyone. Empty for other names.
[[nodiscard]] std::vector<SocketAddress> known_addresses(const std::string& host, std::uint16_t port);

// Asks the system's resolver, which may take many seconds. Blocks.
[[nodiscard]] Result<std::vector<SocketAddress>> look_up_addresses(const std::string& host,
                                                                   std::uint16_t port);

}  // namespace candor
