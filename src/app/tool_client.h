// The tool's side of a connection to a daemon: blocking, one conversation, bounded in time and size.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "proto/reply_parser.h"

namespace candor::app {

struct HttpAnswer {
  int status = 0;
  std::string body;
};
// `address` is HOST:PORT.
[[nodiscard]] Result<HttpAnswer> http_get(const std::string& address, const std::string& path,
                                          Duration timeout);

// The same with a JSON body and the admin token.
[[nodiscard]] Result<HttpAnswer> http_post(const std::string& address, const std::string& path,
                                           const std::string& token, const std::string& body,
                                           Duration timeout);

// Sends the commands together and returns their replies in order.
[[nodiscard]] Result<std::vector<resp::RespValue>> resp_ask(
    const std::string& address, const std::vector<std::vector<std::string>>& commands, Duration timeout);

}  // namespace candor::app
