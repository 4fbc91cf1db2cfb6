#include "io/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/errors.h"

namespace candor {
namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

void block_signals(std::initializer_list<int> signals) {
  const sigset_t set = set_of(signals);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void ignore_broken_pipes() { ::signal(SIGPIPE, SIG_IGN); }

Result<std::unique_ptr<SignalWatch>> SignalWatch::open(Loop& loop, std::initializer_list<int> signals,
                                                       std::function<void(int)> on_signal) {
  const sigset_t set = set_of(signals);
  Descriptor descriptor(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!descriptor.is_open()) return fail(ErrorCode::kInternal, "signalfd: " + error_text(errno));
  const int fd = descriptor.get();
  std::unique_ptr<SignalWatch> made(new SignalWatch(std::move(descriptor), std::move(on_signal)));
  made->watch_ = loop.watch(fd, FdEvents::kRead, [self = made.get()](FdEvents) { self->take(); });
  return made;
}

void SignalWatch::take() {
  // One per call; the watch reports again while there are more. The callback may destroy this.
  signalfd_siginfo received{};
  if (::read(descriptor_.get(), &received, sizeof received) != sizeof received) return;
  on_signal_(static_cast<int>(received.ssi_signo));
}

}  // namespace candor
