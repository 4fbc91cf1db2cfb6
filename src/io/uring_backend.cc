// Completions by io_uring: one system call per turn submits every send and fetches every arrival. Receiving
// is multishot, into a ring of buffers that all connections of the loop share; idle connections hold none.
//
// Sockets are blocking here: io_uring answers EAGAIN for non-blocking ones instead of waiting.
#include <fcntl.h>
#include <liburing.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "io/backend.h"
#include "io/errors.h"
#include "io/readiness.h"
#include "io/wake_event.h"

namespace candor {
namespace {

// Requests prepared in one turn without an extra system call; more only costs one.
constexpr unsigned kSubmissionEntries = 1024;
// Completions between two turns; the kernel keeps what does not fit and hands it over later.
constexpr unsigned kCompletionEntries = 8192;

// The receive buffers of a loop: as many as connections that usually speak in one turn, large enough for a
// deep pipeline's burst, and together (1 MiB) small enough to stay in a core's share of the cache.
constexpr unsigned kBuffers = 128;  // a power of two
constexpr std::size_t kBufferBytes = std::size_t{8} << 10;
constexpr int kBufferGroup = 0;

// What a completion is about: the low bits of its user data; the rest is the address of the object.
enum Tag : std::uint64_t { kIgnored = 0, kReceive = 1, kSend = 2, kPoll = 3, kWake = 4 };
constexpr std::uint64_t kTagMask = 7;

class UringBackend;

struct alignas(8) UringSocket final : Socket {
  int operations = 0;  // requests whose completion is still to come; the memory stays until then
  bool receiving = false;
  bool send_under_way = false;
  bool rearm = false;       // in the list of sockets whose receive must be asked for again
  bool resumed = false;     // in the list of sockets whose stash is due
  std::string stash;        // arrived while not reading
  std::string pending_end;  // the end arrived while not reading
};

struct alignas(8) UringWatchTarget {
  int fd = -1;
  unsigned wanted = 0;  // poll(2) bits
  bool armed = false;
  bool cancelling = false;
  bool dead = false;
  std::function<void(FdEvents)> on_ready;
};

// The ring of receive buffers, shared with the kernel.
class Buffers {
 public:
  ~Buffers() { std::free(ring_); }

  [[nodiscard]] int register_with(io_uring& ring) {
    ring_ = static_cast<io_uring_buf_ring*>(std::aligned_alloc(4096, kRingBytes));
    CANDOR_ASSERT(ring_ != nullptr);
    io_uring_buf_ring_init(ring_);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
    registration.ring_entries = kBuffers;
    registration.bgid = kBufferGroup;
    const int error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error == 0) {
      for (unsigned id = 0; id < kBuffers; ++id) give_back(id);
    }
    return error;
  }
  [[nodiscard]] std::string_view view(unsigned id, std::size_t size) const {
    return {memory_.data() + id * kBufferBytes, size};
  }
  void give_back(unsigned id) {
    io_uring_buf_ring_add(ring_, memory_.data() + id * kBufferBytes, kBufferBytes,
                          static_cast<unsigned short>(id), io_uring_buf_ring_mask(kBuffers), 0);
    io_uring_buf_ring_advance(ring_, 1);
  }

 private:
  static constexpr std::size_t kRingBytes = (kBuffers * sizeof(io_uring_buf) + 4095) / 4096 * 4096;
  io_uring_buf_ring* ring_ = nullptr;
  std::vector<char> memory_ = std::vector<char>(kBuffers * kBufferBytes);
};

class UringBackend final : public Backend {
 public:
  UringBackend() = default;
  ~UringBackend() override;
  [[nodiscard]] Result<void> set_up();

  [[nodiscard]] std::string_view name() const override { return "io_uring"; }
  [[nodiscard]] Socket* open(int fd, SocketOwner* owner) override;
  void set_reading(Socket& socket, bool reading) override;
  void flush(Socket& socket) override;
  void close(Socket& socket) override;
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int fd, FdEvents events,
                                               std::function<void(FdEvents)> on_ready) override;
  void send_output() override;
  void poll(Duration timeout) override;
  void dispatch() override;
  void wake() override;

  void set_watch(UringWatchTarget& target, unsigned wanted);
  void end_watch(std::unique_ptr<UringWatchTarget> target);

 private:
  [[nodiscard]] io_uring_sqe* request(const void* object, Tag tag);
  void cancel(const void* object, Tag tag);
  void receive(UringSocket& socket);
  void receive_later(UringSocket& socket);
  void start_send(UringSocket& socket);
  void arm(UringWatchTarget& target);
  void arm_wake();

  void on_completion(const io_uring_cqe& completion);
  void on_received(UringSocket& socket, int result, unsigned flags);
  void take_received(UringSocket& socket, int result, unsigned flags);
  void on_end(UringSocket& socket, std::string reason);
  void on_send_done(UringSocket& socket, int result);
  void on_polled(UringWatchTarget& target, int result);
  void deliver_stash(UringSocket& socket);
  void operation_done(UringSocket& socket);
  void release(UringSocket& socket);

  io_uring ring_{};
  bool ring_made_ = false;
  bool enabled_ = false;
  Buffers buffers_;
  WakeEvent wake_{WakeEvent::Mode::kBlocking};
  std::uint64_t wake_count_ = 0;
  std::vector<UringSocket*> dirty_;
  std::vector<UringSocket*> rearm_;
  std::vector<UringSocket*> resumed_;
  std::vector<std::unique_ptr<UringSocket>> graveyard_;
  std::unordered_set<UringSocket*> closing_;            // closed by their owner, waiting for completions
  std::unordered_set<UringWatchTarget*> dead_watches_;  // the same for watches
};

class UringWatch final : public FdWatch {
 public:
  UringWatch(UringBackend* backend, std::unique_ptr<UringWatchTarget> target)
      : backend_(backend), target_(std::move(target)) {}
  ~UringWatch() override { backend_->end_watch(std::move(target_)); }
  void set_events(FdEvents events) override;

 private:
  UringBackend* backend_;
  std::unique_ptr<UringWatchTarget> target_;
};

void UringWatch::set_events(FdEvents events) { backend_->set_watch(*target_, readiness_bits(events)); }

Result<void> UringBackend::set_up() {
  io_uring_params params{};
  // One thread submits, and completions are worked off when that thread asks for them, not in the middle of
  // its work: the two flags that pay most here. Disabled at first, so that the thread that polls first
  // becomes "the thread", whoever made the loop.
  params.flags =
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
  params.cq_entries = kCompletionEntries;
  const auto refused = [](const char* step, int error) {
    return fail(ErrorCode::kUnavailable, std::string("io_uring: ") + step + ": " + error_text(-error));
  };
  if (const int error = io_uring_queue_init_params(kSubmissionEntries, &ring_, &params); error != 0) {
    return refused("not available", error);
  }
  ring_made_ = true;
  if (!(params.features & IORING_FEAT_EXT_ARG)) return refused("waiting with a timeout", -ENOSYS);
  if (const int error = buffers_.register_with(ring_); error != 0) return refused("receive buffers", error);
  if (!wake_.is_open()) return refused("eventfd", -errno);
  arm_wake();
  return {};
}

UringBackend::~UringBackend() {
  if (ring_made_) io_uring_queue_exit(&ring_);
  for (UringSocket* socket : closing_) {
    ::close(socket->fd);
    delete socket;
  }
  for (const UringWatchTarget* target : dead_watches_) delete target;
}

io_uring_sqe* UringBackend::request(const void* object, Tag tag) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    (void)io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  CANDOR_ASSERT(entry != nullptr);  // a submit empties the queue
  io_uring_sqe_set_data64(entry, reinterpret_cast<std::uintptr_t>(object) | tag);
  return entry;
}

void UringBackend::cancel(const void* object, Tag tag) {
  io_uring_prep_cancel64(request(nullptr, kIgnored), reinterpret_cast<std::uintptr_t>(object) | tag, 0);
}

void UringBackend::arm_wake() {
  io_uring_prep_read(request(nullptr, kWake), wake_.fd(), &wake_count_, sizeof wake_count_, 0);
}

// Sockets: receiving.

Socket* UringBackend::open(int fd, SocketOwner* owner) {
  auto* socket = new UringSocket;  // freed by release()
  socket->fd = fd;
  socket->owner = owner;
  const int flags = ::fcntl(fd, F_GETFL);
  (void)::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  receive(*socket);
  return socket;
}

void UringBackend::receive(UringSocket& socket) {
  io_uring_sqe* entry = request(&socket, kReceive);
  io_uring_prep_recv_multishot(entry, socket.fd, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = kBufferGroup;
  entry->ioprio |= IORING_RECVSEND_POLL_FIRST;  // a new or idle connection rarely has data already
  socket.receiving = true;
  ++socket.operations;
}

void UringBackend::receive_later(UringSocket& socket) {
  if (socket.rearm) return;
  socket.rearm = true;
  rearm_.push_back(&socket);
}

void UringBackend::set_reading(Socket& socket, bool reading) {
  auto& self = static_cast<UringSocket&>(socket);
  self.reading = reading;
  if (!reading) {
    if (self.receiving) cancel(&self, kReceive);
    return;
  }
  if (!self.stash.empty() || !self.pending_end.empty()) {
    if (!std::exchange(self.resumed, true)) resumed_.push_back(&self);
  }
  // If the cancelled request is still to report, its completion asks again.
  if (!self.receiving) receive_later(self);
}

void UringBackend::on_received(UringSocket& socket, int result, unsigned flags) {
  if (!(flags & IORING_CQE_F_MORE)) socket.receiving = false;
  take_received(socket, result, flags);
  if (flags & IORING_CQE_F_BUFFER) buffers_.give_back(flags >> IORING_CQE_BUFFER_SHIFT);
  if (flags & IORING_CQE_F_MORE) return;
  // Ended though nothing is wrong: the buffers ran out, the kernel wanted a break, or a pause was taken back.
  const bool wanted = socket.owner != nullptr && socket.reading && socket.pending_end.empty();
  if (wanted && (result > 0 || result == -ENOBUFS || result == -ECANCELED)) receive_later(socket);
  operation_done(socket);
}

void UringBackend::take_received(UringSocket& socket, int result, unsigned flags) {
  if (socket.owner == nullptr || result == -ENOBUFS || result == -ECANCELED || result == -EINTR) return;
  if (result == 0) return on_end(socket, "the other side closed the connection");
  if (result < 0) return on_end(socket, error_text(-result));
  const std::string_view bytes =
      buffers_.view(flags >> IORING_CQE_BUFFER_SHIFT, static_cast<std::size_t>(result));
  if (!socket.reading || !socket.stash.empty()) {
    // At most what was in flight when reading stopped: the shared buffers bound it.
    socket.stash.append(bytes);
  } else {
    socket.owner->on_bytes(bytes);
  }
}

void UringBackend::on_end(UringSocket& socket, std::string reason) {
  if (socket.reading && socket.stash.empty()) return socket.owner->on_end(reason);
  socket.pending_end = std::move(reason);
}

void UringBackend::deliver_stash(UringSocket& socket) {
  if (socket.owner == nullptr || !socket.reading) return;
  if (!socket.stash.empty()) {
    const std::string bytes = std::exchange(socket.stash, {});
    socket.owner->on_bytes(bytes);
  }
  if (socket.owner == nullptr || !socket.reading || socket.pending_end.empty()) return;
  const std::string reason = std::exchange(socket.pending_end, {});
  socket.owner->on_end(reason);
}

// Sockets: sending and closing.

void UringBackend::flush(Socket& socket) {
  if (socket.dirty) return;
  socket.dirty = true;
  dirty_.push_back(static_cast<UringSocket*>(&socket));
}

void UringBackend::start_send(UringSocket& socket) {
  if (socket.send_under_way) return;
  if (socket.sending.empty()) socket.sending.swap(socket.output);
  if (socket.sending.empty()) {
    if (std::exchange(socket.notify_when_sent, false)) socket.owner->on_sent();
    return;
  }
  io_uring_prep_send(request(&socket, kSend), socket.fd, socket.sending.data() + socket.sent,
                     socket.sending.size() - socket.sent, MSG_NOSIGNAL);
  socket.send_under_way = true;
  socket.used = true;
  ++socket.operations;
}

void UringBackend::on_send_done(UringSocket& socket, int result) {
  socket.send_under_way = false;
  if (result > 0) socket.sent += static_cast<std::size_t>(result);
  if (socket.sent == socket.sending.size()) {
    socket.sent = 0;
    recycle_output(socket.sending);
  } else if (result >= 0 || result == -EINTR) {
    socket.notify_when_sent = true;  // the kernel's buffer was full: this send did not complete at once
  }
  if (socket.owner != nullptr) {
    if (result < 0 && result != -EINTR) {
      socket.owner->on_end(error_text(-result));
    } else if (socket.unsent() > 0) {
      flush(socket);
    } else if (std::exchange(socket.notify_when_sent, false)) {
      socket.owner->on_sent();
    }
  }
  operation_done(socket);
}

void UringBackend::close(Socket& socket) {
  auto& self = static_cast<UringSocket&>(socket);
  self.owner = nullptr;
  if (self.send_under_way) {
    // Perhaps not even submitted; the shutdown below would overtake it.
    if (io_uring_sq_ready(&ring_) > 0) (void)io_uring_submit(&ring_);
  } else {
    for (const std::string* part : {&self.sending, &self.output}) {
      const std::size_t from = part == &self.sending ? self.sent : 0;
      if (part->size() == from) continue;
      (void)::send(self.fd, part->data() + from, part->size() - from, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  if (self.operations == 0) return release(self);
  // Ends the requests that wait; release() follows their completions. A second shutdown() of a connection
  // that the other side ended is an error and harmless.
  (void)::shutdown(self.fd, SHUT_RDWR);
  closing_.insert(&self);
}

void UringBackend::operation_done(UringSocket& socket) {
  if (--socket.operations > 0 || socket.owner != nullptr) return;
  closing_.erase(&socket);
  release(socket);
}

void UringBackend::release(UringSocket& socket) {
  ::close(socket.fd);
  socket.fd = -1;
  graveyard_.emplace_back(&socket);  // the lists of this turn may still name it
}

void UringBackend::send_output() {
  // By index: on_sent() and on_end() may append to other connections' output.
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->dirty = false;
    if (dirty_[i]->owner != nullptr) start_send(*dirty_[i]);
  }
  dirty_.clear();
  for (UringSocket* socket : rearm_) {
    socket->rearm = false;
    if (socket->owner != nullptr && socket->reading && !socket->receiving) receive(*socket);
  }
  rearm_.clear();
  if (resumed_.empty()) graveyard_.clear();
}

// Watches.

std::unique_ptr<FdWatch> UringBackend::watch(int fd, FdEvents events,
                                             std::function<void(FdEvents)> on_ready) {
  auto target = std::make_unique<UringWatchTarget>();
  target->fd = fd;
  target->wanted = readiness_bits(events);
  target->on_ready = std::move(on_ready);
  if (target->wanted != 0) arm(*target);
  return std::make_unique<UringWatch>(this, std::move(target));
}

void UringBackend::arm(UringWatchTarget& target) {
  // One shot, asked for again after each report: so readiness that was not consumed is reported again.
  io_uring_prep_poll_add(request(&target, kPoll), target.fd, target.wanted);
  target.armed = true;
}

void UringBackend::set_watch(UringWatchTarget& target, unsigned wanted) {
  if (target.wanted == wanted) return;
  target.wanted = wanted;
  if (target.armed && !std::exchange(target.cancelling, true)) {
    cancel(&target, kPoll);  // its completion asks again, for what is wanted then
  } else if (!target.armed && wanted != 0) {
    arm(target);
  }
}

void UringBackend::end_watch(std::unique_ptr<UringWatchTarget> target) {
  if (!target->armed) return;  // the kernel knows nothing of it
  target->dead = true;
  // While it is being called it counts as cancelling: a watch may end itself, and on_polled() frees it then.
  if (!target->cancelling) cancel(target.get(), kPoll);
  dead_watches_.insert(target.release());
}

void UringBackend::on_polled(UringWatchTarget& target, int result) {
  target.cancelling = false;
  if (!target.dead && target.wanted != 0 && result != -ECANCELED) {
    const auto reported = result > 0 ? static_cast<unsigned>(result) : target.wanted;
    const FdEvents ready = readiness_of(reported, target.wanted);
    // Still "armed" meanwhile, so that set_watch() inside the call leaves the asking to us.
    target.cancelling = true;
    if (ready != FdEvents::kNone) target.on_ready(ready);
    target.cancelling = false;
  }
  target.armed = false;
  if (target.dead) {
    dead_watches_.erase(&target);
    delete &target;
  } else if (target.wanted != 0) {
    arm(target);
  }
}

// Turns.

void UringBackend::poll(Duration timeout) {
  if (!std::exchange(enabled_, true)) {
    // As io_uring_enable_rings(), which Debian 12's liburing 2.3 declares but does not export.
    const long error =
        ::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    CANDOR_ASSERT(error == 0);
  }
  if (timeout == Duration::zero() || !resumed_.empty()) {
    (void)io_uring_submit_and_get_events(&ring_);
  } else if (timeout == Duration::max()) {
    (void)io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec limit{.tv_sec = timeout.count() / 1'000'000'000,
                            .tv_nsec = timeout.count() % 1'000'000'000};
    io_uring_cqe* ignored = nullptr;
    (void)io_uring_submit_and_wait_timeout(&ring_, &ignored, 1, &limit, nullptr);
  }
}

void UringBackend::dispatch() {
  for (UringSocket* socket : std::exchange(resumed_, {})) {
    socket->resumed = false;
    deliver_stash(*socket);
  }
  unsigned head = 0;
  unsigned count = 0;
  const io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    ++count;
    on_completion(*completion);
  }
  io_uring_cq_advance(&ring_, count);
}

void UringBackend::on_completion(const io_uring_cqe& completion) {
  const std::uint64_t data = completion.user_data;
  void* const object = reinterpret_cast<void*>(static_cast<std::uintptr_t>(data & ~kTagMask));
  switch (static_cast<Tag>(data & kTagMask)) {
    case kReceive:
      return on_received(*static_cast<UringSocket*>(object), completion.res, completion.flags);
    case kSend:
      return on_send_done(*static_cast<UringSocket*>(object), completion.res);
    case kPoll:
      return on_polled(*static_cast<UringWatchTarget*>(object), completion.res);
    case kWake:
      return arm_wake();
    case kIgnored:
      return;
  }
}

void UringBackend::wake() { wake_.wake(); }

}  // namespace

Result<std::unique_ptr<Backend>> make_uring_backend() {
  auto made = std::make_unique<UringBackend>();
  if (auto ready = made->set_up(); !ready) return std::unexpected(ready.error());
  return made;
}

}  // namespace candor
