#include "io/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace candor {

namespace {

void look_again(int /*signal*/) {}

}  // namespace

bool is_terminal_output() { return ::isatty(STDOUT_FILENO) != 0; }

TerminalSize terminal_size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {};
  return {size.ws_row, size.ws_col};
}

RawKeys::RawKeys() {
  if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  is_changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  // A handler that does nothing: poll() comes back when the window has another size.
  struct sigaction action = {};
  action.sa_handler = look_again;
  (void)sigaction(SIGWINCH, &action, nullptr);
}

RawKeys::~RawKeys() {
  if (is_changed_) (void)::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  (void)std::signal(SIGWINCH, SIG_DFL);
}

std::optional<char> RawKeys::next(Duration wait) {
  pollfd key{STDIN_FILENO, POLLIN, 0};
  const auto ms = static_cast<int>(wait / 1ms);
  if (::poll(&key, is_open_ ? 1 : 0, ms) <= 0) return std::nullopt;
  char byte = 0;
  const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
  if (got == 1) return byte;
  if (got == 0 || (errno != EINTR && errno != EAGAIN)) is_open_ = false;
  return std::nullopt;
}

}  // namespace candor
