// Hears of changes to files, by inotify.
//
// The folders are watched, not the files: a file that is replaced (renamed over), or comes and goes like
// SQLite's -wal, has no descriptor to hold on to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/transport.h"

namespace candor {

// See Transport::watch_files(). Null when inotify refuses (fs.inotify.max_user_instances is used up), or when
// none of the folders exists.
[[nodiscard]] std::unique_ptr<FileWatch> make_file_watch(Transport& transport,
                                                         const std::vector<std::string>& paths,
                                                         std::function<void()> on_change);

}  // namespace candor
