#include "app/process_memory.h"

#include <unistd.h>

#include <charconv>
#include <sstream>
#include <utility>

namespace candor::app {
namespace {

// v1 says "no limit" by the largest multiple of a page; no machine has a quarter of that.
constexpr std::size_t kUnlimited = std::size_t{1} << 60;

std::optional<std::size_t> parsed(const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::string parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

std::size_t value_of(const std::string& text, const std::string& name, std::size_t unit) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name) || line.size() <= name.size()) continue;
    const auto digit = line.find_first_not_of(" :\t", name.size());
    if (digit == name.size() || digit == std::string::npos) continue;  // a longer name
    return parsed(line.substr(digit)).value_or(0) * unit;
  }
  return 0;
}

double stalled_part(const std::string& pressure) {
  const auto at = pressure.find("some avg10=");
  if (at == std::string::npos) return 0;
  double percent = 0;
  const char* const begin = pressure.data() + at + 11;
  if (std::from_chars(begin, pressure.data() + pressure.size(), percent).ec != std::errc()) return 0;
  return percent / 100;
}

ProcessMemory::ProcessMemory(ReadText read, std::size_t configured)
    : read_(std::move(read)), configured_(configured) {
  look_for_limit();
}

std::optional<std::size_t> ProcessMemory::number(const std::string& path) const {
  const auto text = read_(path);
  if (!text) return std::nullopt;
  const auto value = parsed(*text);  // "max" is none
  if (!value || *value >= kUnlimited) return std::nullopt;
  return value;
}

void ProcessMemory::take(std::optional<std::size_t> limit, std::string source, Files files) {
  if (!limit || *limit == 0 || (limit_ != 0 && *limit >= limit_)) return;
  limit_ = *limit;
  source_ = std::move(source);
  files_ = files.used.empty() ? std::nullopt : std::optional<Files>(std::move(files));
}

// A group is bounded by those it is in as well; the first folder may be a container's own, where the path
// that /proc tells is of the world outside.
void ProcessMemory::look_at_v2(const std::string& path) {
  for (const std::string root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    std::string group = path == "/" ? std::string() : path;
    for (bool more = true; more; group = parent(group)) {
      const std::string folder = root + group;
      take(number(folder + "/memory.max"), "cgroup v2 " + (group.empty() ? "/" : group),
           {folder + "/memory.current",
            folder + "/memory.stat",
            folder + "/memory.pressure",
            {"inactive_file", "active_file"}});
      more = !group.empty();
    }
  }
}

void ProcessMemory::look_at_v1(const std::string& path) {
  std::string group = path == "/" ? std::string() : path;
  for (bool more = true; more; group = parent(group)) {
    const std::string folder = "/sys/fs/cgroup/memory" + group;
    take(number(folder + "/memory.limit_in_bytes"), "cgroup v1 " + (group.empty() ? "/" : group),
         {folder + "/memory.usage_in_bytes",
          folder + "/memory.stat",
          "/proc/pressure/memory",
          {"total_inactive_file", "total_active_file"}});
    more = !group.empty();
  }
}

void ProcessMemory::look_for_limit() {
  limit_ = 0;
  source_.clear();
  files_.reset();
  if (const auto machine = read_("/proc/meminfo")) {
    const std::size_t total = value_of(*machine, "MemTotal", 1024);
    take(total, "machine", {});
  }
  if (const auto groups = read_("/proc/self/cgroup")) {
    std::istringstream lines(*groups);
    for (std::string line; std::getline(lines, line);) {
      const auto first = line.find(':');
      const auto second = line.find(':', first == std::string::npos ? first : first + 1);
      if (second == std::string::npos) continue;
      const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
      if (controllers == ",,") look_at_v2(line.substr(second + 1));
      if (controllers.find(",memory,") != std::string::npos) look_at_v1(line.substr(second + 1));
    }
  }
  if (configured_ != 0) take(configured_, "[capacity] process_memory", {});
}

std::size_t ProcessMemory::resident() const {
  const auto text = read_("/proc/self/statm");
  if (!text) return 0;
  const auto blank = text->find(' ');
  if (blank == std::string::npos) return 0;
  return parsed(text->substr(blank + 1)).value_or(0) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

capacity::MemorySeen ProcessMemory::seen() const {
  capacity::MemorySeen seen = used_now();
  if (files_) seen.stalled = stalled_part(read_(files_->pressure).value_or(""));
  return seen;
}

capacity::MemorySeen ProcessMemory::used_now() const {
  capacity::MemorySeen seen;
  seen.limit = limit_;
  if (!files_) {
    seen.used = resident();
    return seen;
  }
  const std::size_t used = number(files_->used).value_or(0);
  // Pages of files, also those in use: RocksDB and SQLite read through them, and the kernel takes them back
  // before it runs out. Where they are missed, tasks stall (`stalled`).
  const std::string stat = read_(files_->stat).value_or("");
  std::size_t droppable = 0;
  for (const std::string& name : files_->droppable) droppable += value_of(stat, name, 1);
  seen.used = used - std::min(used, droppable);
  return seen;
}

}  // namespace candor::app
