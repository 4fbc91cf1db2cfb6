// Ctrl-C and SIGTERM as a word that a blocking program looks at between two steps, so that it can end what it
// has begun (a summary, the terminal's state). A second one ends the process at once, as if nothing were
// here.
//
// Thread safety: one of them at a time, in the main thread.
#pragma once

namespace candor {

class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  [[nodiscard]] static bool is_raised();
};

}  // namespace candor
