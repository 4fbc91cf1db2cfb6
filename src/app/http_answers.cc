#include "app/http_answers.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "app/percent_encoding.h"
#include "app/status_json.h"

namespace candor::app {

using nlohmann::json;

HttpResponse json_response(int status, const json& body) {
  return {.status = status, .body = dump_json(body)};
}
HttpResponse error_response(int status, std::string text) {
  return json_response(status, {{"error", std::move(text)}});
}
HttpResponse error_response(const Error& error) {
  return error_response(status_of(error.code), error.message);
}

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kNoFeature:
      return 404;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kLimit:
      return 400;
    case ErrorCode::kTimeout:
    case ErrorCode::kUnknownOutcome:
      return 504;
    default:
      return 503;
  }
}

std::string event_text(std::string_view name, const json& data) {
  return fmt::format("event: {}\ndata: {}\n\n", name, dump_json(data));
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const auto equals = part.find('=');
    if (part.substr(0, equals) == name && equals != std::string_view::npos)
      return percent_decode(part.substr(equals + 1));
  }
  return std::nullopt;
}

}  // namespace candor::app
