// CLIENT LIST, CLIENT INFO and CLIENT KILL.
#pragma once

#include <string>

#include "server/command.h"

namespace candor::server {

// One connection in Redis' form: "id=3 addr=127.0.0.1:5000 name=…", without the newline.
[[nodiscard]] std::string client_line(Session& session);
void client_list(Session& session, Args args);
void client_kill(Session& session, Args args);

}  // namespace candor::server
