#include "io/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <memory>

namespace candor {
namespace {

// Addresses tried for one name. More would not fit in any sensible connect timeout.
constexpr std::size_t kAddressesMax = 8;

SocketAddress v4_address(in_addr host, std::uint16_t port) {
  SocketAddress address;
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr = host;
  std::memcpy(&address.storage, &in, sizeof in);
  address.length = sizeof in;
  return address;
}

SocketAddress v6_address(const in6_addr& host, std::uint16_t port) {
  SocketAddress address;
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  in.sin6_addr = host;
  std::memcpy(&address.storage, &in, sizeof in);
  address.length = sizeof in;
  return address;
}

}  // namespace

std::uint16_t SocketAddress::port() const {
  // The port lies at the same place in both families.
  sockaddr_in in{};
  std::memcpy(&in, &storage, sizeof in);
  return ntohs(in.sin_port);
}

std::string SocketAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (family() == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), port());
  }
  if (family() == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &storage, sizeof in);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), port());
  }
  return "?";
}

std::vector<SocketAddress> known_addresses(const std::string& host, std::uint16_t port) {
  if (host == "localhost") {
    return {v4_address({htonl(INADDR_LOOPBACK)}, port), v6_address(in6addr_loopback, port)};
  }
  if (host.empty() || host == "*") return {v4_address({htonl(INADDR_ANY)}, port)};
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return {v4_address(v4, port)};
  in6_addr v6{};
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string bare = bracketed ? host.substr(1, host.size() - 2) : host;
  if (::inet_pton(AF_INET6, bare.c_str(), &v6) == 1) return {v6_address(v6, port)};
  return {};
}

Result<std::vector<SocketAddress>> look_up_addresses(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the name {} does not resolve: {}", host, ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* item = found; item != nullptr && addresses.size() < kAddressesMax;
       item = item->ai_next) {
    if (item->ai_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, item->ai_addr, sizeof in);
      addresses.push_back(v4_address(in.sin_addr, port));
    } else if (item->ai_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, item->ai_addr, sizeof in);
      addresses.push_back(v6_address(in.sin6_addr, port));
    }
  }
  return addresses;
}

}  // namespace candor
