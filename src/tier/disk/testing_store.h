// A ByteStore in memory, which a test can break.
#pragma once

#include <deque>
#include <functional>
#include <map>

#include "base/transport.h"
#include "tier/disk/byte_store.h"

namespace candor::disk {

class TestingStore final : public ByteStore {
 public:
  std::map<std::string, std::string, std::less<>> records;
  std::string mark;
  bool is_full = false;  // writes and clear() fail
  int clears = 0, writes = 0;
  std::function<void()> found{};  // between finding a record and answering

  Result<std::optional<std::string>> get(std::string_view name) override {
    const auto at = records.find(name);
    if (at == records.end()) return std::nullopt;
    std::string bytes = at->second;
    if (found) found();
    return bytes;
  }
  Result<void> write(std::span<const Op> ops) override {
    if (is_full) return fail(ErrorCode::kUnavailable, "the disk is full");
    ++writes;
    for (const Op& op : ops) {
      if (op.bytes)
        records[op.name] = *op.bytes;
      else
        records.erase(op.name);
    }
    return {};
  }
  Result<std::string> take_mark() override { return std::exchange(mark, {}); }
  Result<void> stop(std::string_view text) override {
    mark = text;
    return {};
  }
  Result<void> clear() override {
    if (is_full) return fail(ErrorCode::kUnavailable, "the disk is full");
    ++clears;
    records.clear();
    mark.clear();
    return {};
  }
  [[nodiscard]] Usage usage() const override {
    Usage usage;
    for (const auto& [name, bytes] : records) usage.disk_bytes += name.size() + bytes.size();
    return usage;
  }
};

// A pool whose work runs when the test says so.
class TestingPool final : public BlockingPool {
 public:
  bool holds = false;  // else at once
  void run(std::move_only_function<void()> work) override {
    if (holds)
      waiting.push_back(std::move(work));
    else
      work();
  }
  void run_one() {
    auto work = std::move(waiting.front());
    waiting.pop_front();
    work();
  }
  void release() {
    holds = false;
    while (!waiting.empty()) run_one();
  }
  std::deque<std::move_only_function<void()>> waiting;
};

}  // namespace candor::disk
