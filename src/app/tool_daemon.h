// How the tool reaches a daemon whose keys it wants to see: over RESP, as any client, or over HTTP with the
// admin token.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "proto/reply_parser.h"

namespace CLI {
class App;
}

namespace candor::app {

// ---- RESP ----
struct RespAddress {
  std::string at = "127.0.0.1:6390";
  std::string user = "default";
  std::string password_env;
};
void add_resp_options(CLI::App& command, RespAddress& address);
// What a reply says; strings may hold any bytes.
[[nodiscard]] nlohmann::json resp_json(const resp::RespValue& value);
// One command; its answer, whose strings may hold any bytes. An error reply is an error.
[[nodiscard]] Result<nlohmann::json> resp_answer(const RespAddress& address,
                                                 const std::vector<std::string>& command);

// ---- HTTP ----
struct HttpAddress {
  std::string at = "127.0.0.1:8390";
  std::string config;      // of the daemon: its address and token are taken from there
  std::string token_file;  // instead
};
void add_http_options(CLI::App& command, HttpAddress& address);
// Where the daemon listens, and its token; the token is empty where no file was named.
struct HttpDaemon {
  std::string at, token;
};
[[nodiscard]] Result<HttpDaemon> http_daemon(const HttpAddress& address);
// GET with the token, if there is one; anything but a JSON object with status 200 is an error.
[[nodiscard]] Result<nlohmann::json> http_json(const HttpDaemon& daemon, const std::string& path);

// POST to the daemon of this configuration, with its token; anything but JSON with status 200 is an error.
[[nodiscard]] Result<nlohmann::json> post_to_daemon(const std::string& config_file, const std::string& path,
                                                    const nlohmann::json& body, Duration timeout);

}  // namespace candor::app
