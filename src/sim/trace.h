// The identity of a run: a hash over everything that happened in it, and the same as lines for a person who
// asks. One seed gives one trace, byte for byte; where two runs of a seed differ, the lines say first where.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/hash.h"
#include "base/random.h"
#include "sim/event_queue.h"

namespace candor::sim {

class Trace {
 public:
  using Sink = std::function<void(std::string_view line)>;
  // Lines cost time; without a sink only the hash is kept.
  void set_sink(Sink sink) { sink_ = std::move(sink); }
  [[nodiscard]] bool has_sink() const { return static_cast<bool>(sink_); }

  void fold(std::uint64_t a, std::uint64_t b) { hash_ = mix64(hash_ ^ a) + b * 0x9e3779b97f4a7c15ULL; }

  // `where` and `what` are names; numbers carry the rest.
  void note(TrueTime at, std::string_view where, std::string_view what, std::uint64_t a = 0,
            std::uint64_t b = 0) {
    fold(static_cast<std::uint64_t>(at.ns), hash_bytes(what, hash_bytes(where, 0)));
    fold(a, b);
    if (sink_) write(at, where, what, a, b);
  }
  // A line for a person that is no part of the identity.
  void tell(TrueTime at, std::string_view where, std::string_view what, std::uint64_t a) const {
    if (sink_) write(at, where, what, a, 0);
  }
  [[nodiscard]] std::uint64_t hash() const { return mix64(hash_); }

 private:
  void write(TrueTime at, std::string_view where, std::string_view what, std::uint64_t a,
             std::uint64_t b) const;

  std::uint64_t hash_ = 0;
  Sink sink_;
};

}  // namespace candor::sim
