// JSON as a RESP reply: objects are maps, numbers integers or doubles, and what RESP2 does not know is
// written as reply_writer.h says.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "proto/reply_writer.h"

namespace candor::server {

void write_json(std::string& out, const nlohmann::json& json, resp::Protocol protocol);

}  // namespace candor::server
