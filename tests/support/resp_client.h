// A blocking client of one RESP server: one connection, a limit on every wait.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "proto/reply_parser.h"

namespace candor::testing {

class RespClient {
 public:
  // Connects at once; is_open() says whether it worked. `patience`: for the connection and for each answer.
  explicit RespClient(std::uint16_t port, Duration patience = std::chrono::seconds(15));
  ~RespClient();
  RespClient(const RespClient&) = delete;
  RespClient& operator=(const RespClient&) = delete;

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  // nullopt: the connection is lost, or the patience was over; then the connection is closed.
  std::optional<resp::RespValue> call(std::initializer_list<std::string_view> words);
  // Pipelines: any number of commands, then as many answers.
  bool send(const std::string& commands);
  std::optional<resp::RespValue> receive();

 private:
  void close();
  int fd_ = -1;
  resp::ReplyParser parser_;
  std::string bytes_;
  std::size_t used_ = 0;
};

}  // namespace candor::testing
