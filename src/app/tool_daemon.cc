#include "app/tool_daemon.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "app/blocking_client.h"
#include "app/config.h"
#include "io/files.h"

namespace candor::app {
namespace {

using nlohmann::json;

constexpr std::size_t kTokenBytesMax = 4096;

Result<std::string> token_in(const std::string& path) {
  auto token = read_file(path, kTokenBytesMax);
  if (!token)
    return fail(token.error().code,
                token.error().message + "; run this where candord runs, as a user who may read it");
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  return token;
}

}  // namespace

json resp_json(const resp::RespValue& value) {
  using Type = resp::RespValue::Type;
  switch (value.type) {
    case Type::kNull:
      return nullptr;
    case Type::kInteger:
      return value.integer;
    case Type::kDouble:
      return value.number;
    case Type::kBoolean:
      return value.integer != 0;
    case Type::kMap: {
      json out = json::object();
      for (std::size_t i = 0; i + 1 < value.items.size(); i += 2)
        out[value.items[i].text] = resp_json(value.items[i + 1]);
      return out;
    }
    case Type::kArray:
    case Type::kSet:
    case Type::kPush: {
      json out = json::array();
      for (const resp::RespValue& one : value.items) out.push_back(resp_json(one));
      return out;
    }
    default:
      return value.text;
  }
}

void add_resp_options(CLI::App& command, RespAddress& address) {
  command.add_option("--at", address.at, "Where the daemon listens for Redis clients")->capture_default_str();
  command.add_option("--user", address.user, "User for AUTH")->capture_default_str();
  command.add_option("--password-env", address.password_env, "Environment variable that holds the password");
}

Result<json> resp_answer(const RespAddress& address, const std::vector<std::string>& command) {
  std::vector<std::string> hello = {"HELLO", "3"};
  if (!address.password_env.empty()) {
    const char* password = std::getenv(address.password_env.c_str());  // tidy: allow(the tool's own option)
    hello.insert(hello.end(), {"AUTH", address.user, password != nullptr ? password : ""});
  }
  const auto replies = resp_ask(address.at, {hello, command}, kReadTimeout);
  if (!replies) return std::unexpected(replies.error());
  for (const resp::RespValue& reply : *replies) {
    if (!reply.is_error()) continue;
    const bool wants_user = reply.text.starts_with("NOAUTH");
    return fail(
        ErrorCode::kRejected,
        wants_user ? "this daemon wants a user: add --user NAME --password-env VARIABLE" : reply.text);
  }
  return resp_json(replies->back());
}

void add_http_options(CLI::App& command, HttpAddress& address) {
  command.add_option("--at", address.at, "Where the daemon's HTTP listens")->capture_default_str();
  command.add_option("--config", address.config,
                     "The daemon's configuration: its address and admin token are taken from there");
  command.add_option("--token-file", address.token_file, "The daemon's data_dir/admin.token");
}

Result<HttpDaemon> http_daemon(const HttpAddress& address) {
  HttpDaemon out{address.at, {}};
  std::string file = address.token_file;
  if (!address.config.empty()) {
    const ConfigReading reading = read_config_file(address.config);
    if (reading.has_errors())
      return fail(ErrorCode::kConfiguration,
                  fmt::format("{} has errors; run candor check {}", address.config, address.config));
    out.at = reading.config.http.listen.to_string();
    if (file.empty()) file = reading.config.node.data_dir + "/admin.token";
  }
  if (file.empty()) return out;
  auto token = token_in(file);
  if (!token) return std::unexpected(std::move(token.error()));
  out.token = std::move(*token);
  return out;
}

Result<json> http_json(const HttpDaemon& daemon, const std::string& path) {
  const auto answer = http_get(daemon.at, path, kReadTimeout, daemon.token);
  if (!answer) return std::unexpected(answer.error());
  json body = json::parse(answer->body, nullptr, false);
  if (answer->status == 200 && body.is_object()) return body;
  const std::string said = body.is_object() ? body.value("error", std::string()) : std::string();
  if (answer->status == 401)
    return fail(ErrorCode::kRejected,
                "this shows keys and needs the admin token: add --config FILE or "
                "--token-file FILE (" +
                    said + ")");
  return fail(ErrorCode::kUnavailable,
              said.empty()
                  ? fmt::format("{} answered {}; is it candord's HTTP address?", daemon.at, answer->status)
                  : said);
}

Result<json> post_to_daemon(const std::string& config_file, const std::string& path, const json& body,
                            Duration timeout) {
  HttpAddress address;
  address.config = config_file;
  const auto daemon = http_daemon(address);
  if (!daemon) return std::unexpected(daemon.error());
  const auto answer = http_post(daemon->at, path, daemon->token,
                                body.dump(-1, ' ', false, json::error_handler_t::replace), timeout);
  if (!answer) return std::unexpected(answer.error());
  json out = json::parse(answer->body, nullptr, false);
  if (out.is_discarded()) return fail(ErrorCode::kInternal, "the daemon's answer is no JSON");
  if (answer->status != 200) return fail(ErrorCode::kUnavailable, out.value("error", answer->body));
  return out;
}

}  // namespace candor::app
