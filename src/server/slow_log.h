// The last commands that waited long for the miss path or the origin, for SLOWLOG. A ring of fixed size;
// arguments are cut.
//
// Thread safety: any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "server/command.h"

namespace candor::server {

// What the time of the read went into for which the command waited last; the rest was waiting in line: for
// another's load, for a place at the origin's limit.
struct SlowStages {
  Duration in_l2{0}, in_origin{0};
  bool is_known = false;  // not of a write, nor of a read that failed
};

class SlowLog {
 public:
  struct Entry {
    std::uint64_t id = 0;
    WallTime at;
    Duration took{0};
    std::vector<std::string> args;
    std::string client;
    std::string name;
    SlowStages stages;
  };
  // As Redis: at most so many arguments, each at most so long.
  static constexpr std::size_t kArgsMax = 32;
  static constexpr std::size_t kArgBytesMax = 128;

  explicit SlowLog(std::size_t entries_max) : entries_max_(entries_max) {}

  void add(WallTime at, Duration took, std::vector<std::string> args, std::string client, std::string name,
           SlowStages stages = {}) {
    MutexLock lock(mutex_);
    entries_.push_front(
        Entry{next_id_++, at, took, std::move(args), std::move(client), std::move(name), stages});
    if (entries_.size() > entries_max_) entries_.pop_back();
  }
  // The latest first.
  [[nodiscard]] std::vector<Entry> latest(std::size_t count) {
    MutexLock lock(mutex_);
    const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(std::min(count, entries_.size()));
    return {entries_.begin(), last};
  }
  [[nodiscard]] std::size_t size() {
    MutexLock lock(mutex_);
    return entries_.size();
  }
  void clear() {
    MutexLock lock(mutex_);
    entries_.clear();
  }

  [[nodiscard]] static std::vector<std::string> cut_args(Args args) {
    std::vector<std::string> cut;
    for (const auto arg : args.first(std::min(args.size(), kArgsMax)))
      cut.emplace_back(arg.substr(0, kArgBytesMax));
    return cut;
  }

 private:
  const std::size_t entries_max_;
  Mutex mutex_;
  std::deque<Entry> entries_ CANDOR_GUARDED_BY(mutex_);
  std::uint64_t next_id_ CANDOR_GUARDED_BY(mutex_) = 0;
};

}  // namespace candor::server
