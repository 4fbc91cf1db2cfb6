#include "app/tool_daemon.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/tool_client.h"
#include "io/files.h"

namespace candor::app {
namespace {

constexpr std::size_t kTokenBytesMax = 4096;

}  // namespace

Result<nlohmann::json> post_to_daemon(const std::string& config_file, const std::string& path,
                                      const nlohmann::json& body, Duration timeout) {
  const ConfigReading reading = read_config_file(config_file);
  if (reading.has_errors())
    return fail(ErrorCode::kConfiguration,
                fmt::format("{} has errors; run candor check {}", config_file, config_file));
  auto token = read_file(reading.config.node.data_dir + "/admin.token", kTokenBytesMax);
  if (!token) {
    return fail(token.error().code, token.error().message +
                                        "; run this where candord runs, in the same directory, as a "
                                        "user who may read it");
  }
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  auto answer = http_post(reading.config.http.listen.to_string(), path, *token,
                          body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), timeout);
  if (!answer) return std::unexpected(answer.error());
  nlohmann::json out = nlohmann::json::parse(answer->body, nullptr, false);
  if (out.is_discarded()) return fail(ErrorCode::kInternal, "the daemon's answer is no JSON");
  if (answer->status != 200) return fail(ErrorCode::kUnavailable, out.value("error", answer->body));
  return out;
}

}  // namespace candor::app
