// INFO and CONFIG GET: what clients, exporters and people ask a Redis server about itself.
#pragma once

#include "server/command.h"

namespace candor::server {

void info(Session& session, Args args);
void config(Session& session, Args args);

}  // namespace candor::server
