// Says a problem once when it appears and when it is gone, and at most every kAgain while its words change: a
// person has to read it, and a reconnecting peer must not fill the disk. Pure but for `write`.
// Thread safety: none; one owner.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/time.h"

namespace candor::app {

class ProblemLog {
 public:
  static constexpr Duration kAgain = 30s;
  // `text` empty: the problem of `part` is over.
  using Write = std::function<void(const std::string& part, const std::string& text)>;
  explicit ProblemLog(Write write) : write_(std::move(write)) {}

  void note(const std::string& part, const std::string& text, MonoTime now) {
    const auto held = said_.find(part);
    if (text.empty()) {
      if (held == said_.end()) return;
      said_.erase(held);
      return write_(part, text);
    }
    if (held != said_.end() && (held->second.text == text || now - held->second.at < kAgain)) return;
    said_.insert_or_assign(part, Said{text, now});
    write_(part, text);
  }

 private:
  struct Said {
    std::string text;
    MonoTime at;
  };
  Write write_;
  std::map<std::string, Said> said_;
};

}  // namespace candor::app
