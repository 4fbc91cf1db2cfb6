// How much memory may this process have, and how much does it have? From what the system says: its cgroup
// (v2, or v1), else the machine. Every file is read through one function, so that tests can play the system.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "capacity/memory_line.h"

namespace candor::app {

class ProcessMemory {
 public:
  using ReadText = std::function<std::optional<std::string>(const std::string& path)>;
  // `configured`: a limit of the owner's, 0: none.
  ProcessMemory(ReadText read, std::size_t configured);

  // Which limit holds; again when somebody may have changed it.
  void look_for_limit();
  [[nodiscard]] capacity::MemorySeen seen() const;
  // As above, but for `stalled`, which is 0: some 50 µs.
  [[nodiscard]] capacity::MemorySeen used_now() const;
  // "cgroup v2 /shop", "cgroup v1 /shop", "machine", "[capacity] process_memory"; empty: nothing is known.
  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] std::size_t limit() const { return limit_; }

 private:
  struct Files {  // of the cgroup whose limit holds
    std::string used, stat, pressure;
    std::vector<std::string> droppable{};  // the lines of `stat` that say what the kernel can take back
  };
  void look_at_v2(const std::string& path);
  void look_at_v1(const std::string& path);
  void take(std::optional<std::size_t> limit, std::string source, Files files);
  [[nodiscard]] std::optional<std::size_t> number(const std::string& path) const;
  [[nodiscard]] std::size_t resident() const;

  ReadText read_;
  std::size_t configured_;
  std::size_t limit_ = 0;
  std::string source_;
  std::optional<Files> files_;  // nothing: what counts is what is resident
};

// "some avg10=1.25 …" as 0.0125.
[[nodiscard]] double stalled_part(const std::string& pressure);
// The number behind a name, of lines `name number`; 0: it is not there. `unit` is 1024 for /proc/meminfo.
[[nodiscard]] std::size_t value_of(const std::string& text, const std::string& name, std::size_t unit);

}  // namespace candor::app
