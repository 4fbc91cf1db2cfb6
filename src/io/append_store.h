// Files that only grow, in one directory: the real AppendStore. Blocking.
#pragma once

#include <memory>
#include <string>

#include "base/append_store.h"

namespace candor {

// Makes the directory, and locks it for as long as the store lives: a second process that would write the
// same log is an error.
[[nodiscard]] Result<std::unique_ptr<AppendStore>> open_append_store(const std::string& directory);

// For looking only: no lock, nothing is made.
[[nodiscard]] std::unique_ptr<AppendStore> look_at_append_store(const std::string& directory);

// The names of the directories in `directory`, sorted; none when it does not exist.
[[nodiscard]] Result<std::vector<std::string>> list_directories(const std::string& directory);

}  // namespace candor
