// The terminal of a program that draws on it: keys without a line end, its size, and its state given back
// whatever happens.
#pragma once

#include <termios.h>

#include <optional>

#include "base/time.h"

namespace candor {

struct TerminalSize {
  unsigned rows = 24, columns = 80;
};

// Is standard output a terminal?
[[nodiscard]] bool is_terminal_output();
// Of standard output; what is not told is 24 by 80.
[[nodiscard]] TerminalSize terminal_size();

// While it lives, keys typed on standard input come one by one and are not shown. Ctrl-C stays a signal.
class RawKeys {
 public:
  RawKeys();
  ~RawKeys();
  RawKeys(const RawKeys&) = delete;
  RawKeys& operator=(const RawKeys&) = delete;

  // The next key's byte; nothing: none came within `wait`, or a signal did (a resize, an interrupt).
  [[nodiscard]] std::optional<char> next(Duration wait);
  // False: standard input has ended, and no key will ever come.
  [[nodiscard]] bool is_open() const { return is_open_; }

 private:
  termios before_{};
  bool is_changed_ = false;
  bool is_open_ = true;
};

}  // namespace candor
