// How urgent a load is. Loads of a better class leave the line first; the others are refused first when it is
// long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace candor {

enum class LoadClass : std::uint8_t {
  kCritical,  // a reader of a feature with this priority waits for it
  kNormal,
  kLow,
  kBackground,  // nobody waits: refreshes, warming, repair, the sweep
};
inline constexpr std::size_t kLoadClasses = 4;

[[nodiscard]] constexpr const char* load_class_name(LoadClass of) {
  constexpr const char* kNames[kLoadClasses] = {"critical", "normal", "low", "background"};
  return kNames[static_cast<std::size_t>(of)];
}

// Shared between who asked for the load and the line in which it waits: a reader who joins a load that began
// in the background makes it urgent, else it would wait behind all the others. One executor.
class LoadUrgency {
 public:
  explicit LoadUrgency(LoadClass of) : class_(of) {}
  [[nodiscard]] LoadClass get() const { return class_; }
  void raise(LoadClass to) {
    if (to >= class_) return;
    class_ = to;
    if (raised_) raised_();
  }
  void on_raise(std::function<void()> raised) { raised_ = std::move(raised); }

 private:
  LoadClass class_;
  std::function<void()> raised_;
};
using LoadUrgencyPtr = std::shared_ptr<LoadUrgency>;

[[nodiscard]] inline LoadUrgencyPtr in_background() {
  return std::make_shared<LoadUrgency>(LoadClass::kBackground);
}

}  // namespace candor
