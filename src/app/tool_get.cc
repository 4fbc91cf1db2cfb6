#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/blocking_client.h"
#include "app/tool.h"
#include "app/tool_daemon.h"

namespace candor::app {
namespace {

using nlohmann::json;

struct GetOptions {
  std::string key;
  std::string at = "127.0.0.1:6390";
  std::string user = "default";
  std::string password_env;
  std::string level;
  bool raw = false;
};

std::string field_text(const resp::RespValue& map, const char* name) {
  const resp::RespValue* field = map.find(name);
  if (field == nullptr || field->is_null()) return "-";
  return field->is_integer() ? std::to_string(field->integer) : field->text;
}

// A value for a terminal, which its control bytes could otherwise drive; lines and columns stay.
std::string without_controls(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
      out += static_cast<char>(c);
    else
      out += fmt::format("\\x{:02x}", c);
  }
  return out;
}

void print_text(const GetOptions& options, const resp::RespValue& answer) {
  const resp::RespValue* value = answer.find("value");
  const bool found = value != nullptr && !value->is_null();
  if (options.raw) {
    if (found) std::fwrite(value->text.data(), 1, value->text.size(), stdout);
    return;
  }
  if (found)
    fmt::print("{}\n", ::isatty(STDOUT_FILENO) != 0 ? without_controls(value->text) : value->text);
  else
    fmt::print("(no such row)\n");
  fmt::print("tier {}  level {}  age {} ms  ttl {} ms  fresh within {} ms  degraded {}\n",
             field_text(answer, "tier"), field_text(answer, "level"), field_text(answer, "age_ms"),
             field_text(answer, "ttl_ms"), field_text(answer, "fresh_within_ms"),
             field_text(answer, "degraded"));
}

void print_json(const std::string& key, const resp::RespValue& answer) {
  json out = {{"key", key}};
  for (std::size_t i = 0; i + 1 < answer.items.size(); i += 2)
    out[answer.items[i].text] = resp_json(answer.items[i + 1]);
  fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

std::vector<std::vector<std::string>> commands_of(const GetOptions& options) {
  std::vector<std::string> hello = {"HELLO", "3"};
  if (!options.password_env.empty()) {
    const char* password = std::getenv(options.password_env.c_str());  // tidy: allow(the tool's own option)
    hello.insert(hello.end(), {"AUTH", options.user, password != nullptr ? password : ""});
  }
  std::vector<std::string> get = {"CANDOR.GET", options.key};
  if (!options.level.empty()) get.push_back(options.level);
  return {hello, get};
}

void get(const GetOptions& options, ToolRun& run) {
  const auto replies = resp_ask(options.at, commands_of(options), kReadTimeout);
  if (!replies) return report_failure(run, "get", replies.error().message);
  for (const auto& reply : *replies) {
    if (!reply.is_error()) continue;
    const bool wants_user = reply.text.starts_with("NOAUTH");
    return report_failure(
        run, "get",
        wants_user ? "this daemon wants a user: add --user NAME --password-env VARIABLE" : reply.text);
  }
  const resp::RespValue& answer = replies->back();
  if (run.json)
    print_json(options.key, answer);
  else
    print_text(options, answer);
  const resp::RespValue* value = answer.find("value");
  if (value == nullptr || value->is_null()) run.exit_code = kExitFinding;
}

}  // namespace

void add_get(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* command =
      tool.add_subcommand("get", "Reads one key and says which tier answered and how old the value is");
  command->add_option("KEY", options->key, "The key, FEATURE:KEY")->required();
  command->add_option("--at", options->at, "Where the daemon listens for Redis clients")
      ->capture_default_str();
  command->add_option("--level", options->level,
                      "Read at this level instead of the feature's own: EVENTUAL or ORIGIN");
  command->add_option("--user", options->user, "User for AUTH")->capture_default_str();
  command->add_option("--password-env", options->password_env,
                      "Environment variable that holds the password");
  command->add_flag("--raw", options->raw, "Only the value's bytes");
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when there is no such row.\n"
      "Examples:\n  candor get profile:42\n  candor get profile:42 --level ORIGIN\n  candor get word:cache "
      "--json");
  command->callback([options, &run] { get(*options, run); });
}

}  // namespace candor::app
