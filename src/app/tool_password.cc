#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/tool.h"
#include "io/clock.h"
#include "server/password.h"

namespace candor::app {
namespace {

// scrypt takes any length; longer is a file given by mistake.
constexpr std::size_t kPasswordBytesMax = 1024;

void print_hash(ToolRun& run) {
  // From standard input and not from the command line: other users of the machine can read command lines.
  std::string password;
  std::getline(std::cin, password);
  if (password.ends_with('\r')) password.pop_back();
  if (password.empty())
    return report_failure(run, "hash-password",
                          "no password on standard input; pipe it in or type it and press return");
  if (password.size() > kPasswordBytesMax)
    return report_failure(
        run, "hash-password",
        fmt::format("the password is longer than {} bytes; is it the right file?", kPasswordBytesMax));
  std::string salt(server::kSaltBytes, '\0');
  SystemEntropy().fill(reinterpret_cast<unsigned char*>(salt.data()), salt.size());
  const auto hash = server::hash_password(password, salt);
  if (!hash) return report_failure(run, "hash-password", hash.error().message);
  if (run.json)
    fmt::print("{}\n", nlohmann::json{{"password_hash", *hash}}.dump(2));
  else
    fmt::print("{}\n", *hash);
}

}  // namespace

void add_hash_password(CLI::App& tool, ToolRun& run) {
  CLI::App* command = tool.add_subcommand(
      "hash-password", "Reads a password from standard input and prints its hash for [[resp.users]]");
  add_json_flag(*command, run);
  command->footer(
      "Example:\n"
      "  read -rs P && printf '%s' \"$P\" | candor hash-password\n"
      "and in the configuration:\n"
      "  [[resp.users]]\n  name = \"app\"\n  password_hash = \"scrypt:…\"\n  rights = [\"read\", \"write\"]");
  command->callback([&run] { print_hash(run); });
}

}  // namespace candor::app
