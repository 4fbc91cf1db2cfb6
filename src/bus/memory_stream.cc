#include "bus/memory_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "bus/message_format.h"

namespace candor {
namespace {
// Messages handed over in one turn, so that a long backlog does not hold up the loop.
constexpr std::size_t kPageMessages = 256;
}  // namespace

// ---- the log ----

SequenceNumber MemoryLog::append(StreamMessage message, std::size_t bytes) {
  auto shared = std::make_shared<const StreamMessage>(std::move(message));
  std::vector<Kept> trimmed;  // destroyed outside the lock
  const MutexLock lock(mutex_);
  kept_.push_back({std::move(shared), bytes});
  bytes_ += bytes;
  while (kept_.size() > options_.messages_max || (bytes_ > options_.bytes_max && kept_.size() > 1)) {
    bytes_ -= kept_.front().bytes;
    trimmed.push_back(std::move(kept_.front()));
    kept_.pop_front();
  }
  for (MemoryStream* reader : readers_) reader->wake();
  return SequenceNumber{++last_};
}

SequenceNumber MemoryLog::tail() const {
  const MutexLock lock(mutex_);
  return SequenceNumber{last_};
}

MemoryLog::Page MemoryLog::read(SequenceNumber after, std::size_t messages_max) const {
  const MutexLock lock(mutex_);
  Page page;
  page.tail.value = last_;
  const std::uint64_t oldest = last_ - kept_.size() + 1;
  page.first.value = std::max(after.value + 1, oldest);
  for (std::uint64_t n = page.first.value; n <= last_ && page.messages.size() < messages_max; ++n) {
    page.messages.push_back(kept_[n - oldest].message);
  }
  return page;
}

void MemoryLog::join(MemoryStream* reader) {
  const MutexLock lock(mutex_);
  readers_.push_back(reader);
}

void MemoryLog::leave(MemoryStream* reader) {
  const MutexLock lock(mutex_);
  std::erase(readers_, reader);
}

// ---- one reader ----

MemoryStream::MemoryStream(Executor* executor, std::shared_ptr<MemoryLog> log)
    : executor_(executor), log_(std::move(log)) {
  status_.connected = true;
  status_.epoch = log_->epoch();
}

MemoryStream::~MemoryStream() {
  log_->leave(this);
  *alive_ = false;
}

void MemoryStream::read(std::optional<SequenceNumber> after, StreamReader* reader) {
  CANDOR_ASSERT(reader_ == nullptr && reader != nullptr);
  reader_ = reader;
  status_.last = after.value_or(log_->tail());
  executor_->post([this, alive = alive_] {
    if (*alive) reader_->on_connected(true);
  });
  log_->join(this);
  wake();  // for what is there already
}

void MemoryStream::wake() {
  if (woken_.exchange(true)) return;
  executor_->post([this, alive = alive_] {
    if (*alive) deliver();
  });
}

void MemoryStream::deliver() {
  woken_ = false;
  const auto alive = alive_;
  const MemoryLog::Page page = log_->read(status_.last, kPageMessages);
  if (page.tail < status_.last) {  // asked for numbers that were never given out: another process's life
    ++status_.gaps;
    status_.last = page.tail;
    return reader_->on_gap(SequenceNumber{page.tail.value + 1},
                           "memory: the log ends before the position asked for; a process that starts anew "
                           "has a new log");
  }
  if (page.first.value > status_.last.value + 1) {
    ++status_.gaps;
    status_.last.value = page.first.value - 1;
    reader_->on_gap(page.first, fmt::format("memory: messages before {} were trimmed", page.first.value));
    if (!*alive) return;
  }
  for (const auto& message : page.messages) {
    ++status_.received;
    ++status_.last.value;
    reader_->on_message(status_.last, *message);
    if (!*alive) return;
  }
  if (status_.last < page.tail) wake();
}

Task<Result<SequenceNumber>> MemoryStream::append(StreamMessage message) {
  auto bytes = encode_message(message);  // for the limits that every stream has
  if (!bytes) {
    ++status_.errors;
    co_return std::unexpected(bytes.error());
  }
  ++status_.appended;
  co_return log_->append(std::move(message), bytes->size());
}

Task<Result<SequenceNumber>> MemoryStream::tail() { co_return log_->tail(); }

StreamStatus MemoryStream::status() const { return status_; }

}  // namespace candor
