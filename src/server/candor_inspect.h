// CANDOR.EXPLAIN key: what every tier holds of a key, and what happened to it lately.
// CANDOR.HOTKEYS [feature] [n] [BY reads|bytes|misses|changes]: the hottest keys, with their bounds.
#pragma once

#include "server/command.h"

namespace candor::server {

void explain(Session& session, Args args);
void hot_keys(Session& session, Args args);

}  // namespace candor::server
