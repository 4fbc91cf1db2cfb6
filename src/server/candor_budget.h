// CANDOR.BUDGET [feature]: what the API says of budgets, with what levers did about them.
#pragma once

#include "server/command.h"

namespace candor::server {

void budget(Session& session, Args args);

}  // namespace candor::server
