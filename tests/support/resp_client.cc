#include "tests/support/resp_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/command_writer.h"

namespace candor::testing {

RespClient::RespClient(std::uint16_t port, Duration patience) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval limit{patience / 1s, (patience % 1s) / 1us};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) close();
}

RespClient::~RespClient() { close(); }

void RespClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<resp::RespValue> RespClient::call(std::initializer_list<std::string_view> words) {
  std::string command;
  resp::write_command(command, words);
  if (!send(command)) return std::nullopt;
  return receive();
}

bool RespClient::send(const std::string& commands) {
  for (std::size_t sent = 0; fd_ >= 0 && sent < commands.size();) {
    const ssize_t n = ::send(fd_, commands.data() + sent, commands.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) close();
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  return fd_ >= 0;
}

std::optional<resp::RespValue> RespClient::receive() {
  while (fd_ >= 0) {
    std::string_view left = std::string_view(bytes_).substr(used_);
    resp::RespValue value;
    const auto status = parser_.next(&left, &value);
    used_ = bytes_.size() - left.size();
    if (status == resp::ReplyParser::Status::kValue) return value;
    if (status == resp::ReplyParser::Status::kError) break;
    bytes_.resize(16384);
    used_ = 0;
    const ssize_t n = ::recv(fd_, bytes_.data(), bytes_.size(), 0);
    bytes_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n <= 0) break;
  }
  close();
  return std::nullopt;
}

}  // namespace candor::testing
