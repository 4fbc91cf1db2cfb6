// COMMAND and its subcommands: the command table as clients read it.
#pragma once

#include "server/command.h"

namespace candor::server {

void command(Session& session, Args args);

}  // namespace candor::server
