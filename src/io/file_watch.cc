#include "io/file_watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "io/descriptor.h"

namespace candor {
namespace {

constexpr std::uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM;
// Read at once: some hundred events with their names. What is left wakes the loop again.
constexpr std::size_t kEventBytes = 16384;

std::pair<std::string, std::string> folder_and_name(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

class InotifyWatch final : public FileWatch {
 public:
  InotifyWatch(Descriptor descriptor, std::set<std::pair<int, std::string>> files,
               std::function<void()> on_change)
      : descriptor_(std::move(descriptor)), files_(std::move(files)), on_change_(std::move(on_change)) {}

  void begin(Transport& transport) {
    watch_ = transport.watch(descriptor_.get(), FdEvents::kRead, [this](FdEvents) { take(); });
  }

 private:
  void take() {
    alignas(inotify_event) std::array<char, kEventBytes> buffer;
    const ssize_t got = ::read(descriptor_.get(), buffer.data(), buffer.size());
    bool ours = false;
    for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      // An overflow lost events: it may have been ours.
      ours = ours || (event->mask & IN_Q_OVERFLOW) != 0 || (event->len > 0 && is_ours(*event));
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    if (ours) on_change_();  // may destroy this watch: last
  }
  [[nodiscard]] bool is_ours(const inotify_event& event) const {
    return files_.contains({event.wd, std::string(event.name)});
  }

  Descriptor descriptor_;
  std::set<std::pair<int, std::string>> files_;  // folder's watch, name
  std::function<void()> on_change_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace

std::unique_ptr<FileWatch> make_file_watch(Transport& transport, const std::vector<std::string>& paths,
                                           std::function<void()> on_change) {
  Descriptor descriptor(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!descriptor.is_open()) return nullptr;
  std::set<std::pair<int, std::string>> files;
  for (const std::string& path : paths) {
    const auto [folder, name] = folder_and_name(path);
    const int watch = ::inotify_add_watch(descriptor.get(), folder.c_str(), kEvents);
    if (watch >= 0) files.emplace(watch, name);
  }
  if (files.empty()) return nullptr;
  auto made = std::make_unique<InotifyWatch>(std::move(descriptor), std::move(files), std::move(on_change));
  made->begin(transport);
  return made;
}

}  // namespace candor
