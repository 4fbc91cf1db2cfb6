// The secret that requests which change something over HTTP must carry.
#pragma once

#include <string>

#include "base/random.h"
#include "base/result.h"

namespace candor::app {

// The token in `data_dir`/admin.token: made once, readable by its owner only, and then the same for the life
// of the data directory. A file that others may read is refused: what it holds is no secret any more.
[[nodiscard]] Result<std::string> admin_token(const std::string& data_dir, EntropySource& entropy);

}  // namespace candor::app
