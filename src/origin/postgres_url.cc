#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "origin/postgres_connection.h"

namespace candor {
namespace {

[[nodiscard]] bool is_multi_host(const PostgresTarget& target) {
  return std::any_of(target.words.begin(), target.words.end(), [](const auto& word) {
    return word.first == "host" && word.second.find(',') != std::string::npos;
  });
}

}  // namespace

Result<PostgresTarget> parse_postgres_url(std::string_view origin, std::string_view url) {
  // No word of the URL goes into a message: the password may be anywhere in one that does not parse.
  const auto problem = [&](std::string_view what) {
    return fail(ErrorCode::kConfiguration, fmt::format("origins.{}.url {}", origin, what));
  };
  const std::string text(url);
  if (!text.starts_with("postgresql://") && !text.starts_with("postgres://")) {
    return problem("does not begin with postgresql://");
  }
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(text.c_str(), nullptr), &PQconninfoFree);
  if (!options) {
    return problem(
        "cannot be parsed: write postgresql://USER:PASSWORD@HOST:PORT/DB, with %-escapes for special "
        "characters in user and password, and options as libpq has them");
  }
  PostgresTarget target;
  target.origin = origin;
  std::string user = "", host = "", port = "5432", database = "";
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const std::string keyword = option->keyword;
    target.words.emplace_back(keyword, option->val);
    if (keyword == "user") user = std::string(option->val) + "@";
    if (keyword == "host" || (keyword == "hostaddr" && host.empty())) host = option->val;
    if (keyword == "port") port = option->val;
    if (keyword == "dbname") database = option->val;
  }
  if (is_multi_host(target)) {
    return problem("names several hosts, which is not supported: name one, or a name that stands for all");
  }
  if (port.find_first_not_of("0123456789") != std::string::npos || port.empty() || port.size() > 5) {
    return problem("has a port that is no number");
  }
  target.shown = fmt::format("{}{}:{}/{}", user, host.empty() ? "local socket" : host, port, database);
  return target;
}

}  // namespace candor
