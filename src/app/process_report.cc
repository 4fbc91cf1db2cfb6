#include "app/process_report.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string_view>
#include <vector>

#include "io/files.h"

namespace candor::app {
namespace {

constexpr std::size_t kProcFileBytesMax = std::size_t{64} << 10;

std::vector<std::string_view> split_blanks(std::string_view text) {
  std::vector<std::string_view> fields;
  while (!text.empty()) {
    const auto begin = text.find_first_not_of(" \n");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    fields.push_back(text.substr(0, text.find_first_of(" \n")));
    text.remove_prefix(fields.back().size());
  }
  return fields;
}

std::uint64_t leading_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// proc(5): fields after the command's name in parentheses, which may hold anything.
void read_stat(ProcessReport& report) {
  const auto text = read_file("/proc/self/stat", kProcFileBytesMax);
  if (!text) return;
  const auto end = text->rfind(')');
  if (end == std::string::npos) return;
  const auto fields = split_blanks(std::string_view(*text).substr(end + 1));
  if (fields.size() < 22) return;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  report.cpu_seconds = static_cast<double>(leading_number(fields[11]) + leading_number(fields[12])) / ticks;
  report.threads = leading_number(fields[17]);
  report.virtual_bytes = leading_number(fields[20]);
  report.resident_bytes = leading_number(fields[21]) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t count_open_fds() {
  std::error_code error;
  std::uint64_t count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error))
    ++count;
  return count > 0 ? count - 1 : 0;  // without the one that lists them
}

}  // namespace

ProcessReport process_report(WallTime start_time) {
  ProcessReport report;
  read_stat(report);
  report.start_time_seconds = static_cast<double>(start_time.ms()) / 1000.0;
  report.open_fds = count_open_fds();
  const long fds_max = ::sysconf(_SC_OPEN_MAX);
  report.max_fds = fds_max > 0 ? static_cast<std::uint64_t>(fds_max) : 0;
  return report;
}

std::string machine_name() {
  const auto text = read_file("/proc/sys/kernel/hostname", kProcFileBytesMax);
  if (!text || text->empty()) return "candor";
  return text->substr(0, text->find('\n'));
}

}  // namespace candor::app
