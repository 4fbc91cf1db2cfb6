// What most answers of the control plane are: JSON with a status.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "app/http_connection.h"
#include "base/result.h"

namespace candor::app {

[[nodiscard]] HttpResponse json_response(int status, const nlohmann::json& body);
// {"error": text}
[[nodiscard]] HttpResponse error_response(int status, std::string text);
[[nodiscard]] HttpResponse error_response(const Error& error);
[[nodiscard]] int status_of(ErrorCode code);

// One event of a stream.
[[nodiscard]] std::string event_text(std::string_view name, const nlohmann::json& data);

// The decoded value of a query's parameter; nullopt: it is not there, or is no text.
[[nodiscard]] std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace candor::app
