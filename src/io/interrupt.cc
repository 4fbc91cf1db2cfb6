#include "io/interrupt.h"

#include <csignal>

namespace candor {

namespace {

volatile std::sig_atomic_t raised = 0;

void raise_flag(int /*signal*/) { raised = 1; }

}  // namespace

InterruptFlag::InterruptFlag() {
  raised = 0;
  struct sigaction action = {};
  action.sa_handler = raise_flag;
  // Without SA_RESTART: whoever waits in a system call comes back and looks.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  (void)sigaction(SIGINT, &action, nullptr);
  (void)sigaction(SIGTERM, &action, nullptr);
}

InterruptFlag::~InterruptFlag() {
  (void)std::signal(SIGINT, SIG_DFL);
  (void)std::signal(SIGTERM, SIG_DFL);
}

bool InterruptFlag::is_raised() { return raised != 0; }

}  // namespace candor
