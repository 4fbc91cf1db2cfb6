// A blocking connection to a daemon, for the tool and for a node that asks its peers: one conversation,
// bounded in time and size.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "proto/reply_parser.h"

namespace candor::app {

// A page that the daemon has ready.
inline constexpr Duration kPageTimeout = 5s;
// Longer than a feature's hard timeout by default: the daemon's own error is more useful than ours.
inline constexpr Duration kReadTimeout = 15s;

// Nothing can wake it but a signal that ends the process.
void pause_for(Duration wait);

struct HttpAnswer {
  int status = 0;
  std::string body;
};
// `address` is HOST:PORT. `token`: the admin token, for what shows keys; empty: none.
[[nodiscard]] Result<HttpAnswer> http_get(const std::string& address, const std::string& path,
                                          Duration timeout, const std::string& token = {});

// Follows a stream of events: `take` gets bytes as they come, until it says false or the stream ends. The
// answer is what came instead where there is no stream (a status that is not 200, with its body); nothing
// for a stream that has ended. Nothing has to come for `silence`.
[[nodiscard]] Result<HttpAnswer> http_follow(const std::string& address, const std::string& path,
                                             const std::string& token, Duration silence,
                                             const std::function<bool(std::string_view)>& take);

// The same with a JSON body and the admin token.
[[nodiscard]] Result<HttpAnswer> http_post(const std::string& address, const std::string& path,
                                           const std::string& token, const std::string& body,
                                           Duration timeout);

// Sends the commands together and returns their replies in order.
[[nodiscard]] Result<std::vector<resp::RespValue>> resp_ask(
    const std::string& address, const std::vector<std::vector<std::string>>& commands, Duration timeout);

}  // namespace candor::app
