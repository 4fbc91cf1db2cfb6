#include "server/reply_json.h"

#include <nlohmann/json.hpp>

namespace candor::server {

// Nested as deep as the value, which is of our own making.
void write_json(std::string& out, const nlohmann::json& json, resp::Protocol protocol) {
  if (json.is_object()) {
    resp::write_map(out, json.size(), protocol);
    for (const auto& [key, value] : json.items()) {
      resp::write_bulk(out, key);
      write_json(out, value, protocol);
    }
  } else if (json.is_array()) {
    resp::write_array(out, json.size());
    for (const auto& value : json) write_json(out, value, protocol);
  } else if (json.is_string()) {
    resp::write_bulk(out, json.get_ref<const std::string&>());
  } else if (json.is_boolean()) {
    resp::write_boolean(out, json.get<bool>(), protocol);
  } else if (json.is_number_float()) {
    resp::write_double(out, json.get<double>(), protocol);
  } else if (json.is_number()) {
    resp::write_integer(out, json.get<std::int64_t>());
  } else {
    resp::write_null(out, protocol);
  }
}

}  // namespace candor::server
