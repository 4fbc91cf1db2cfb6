// What callers see of an entry, and the words that every part of the store shares.
#pragma once

#include <cstdint>
#include <string_view>

#include "version/stamp.h"

namespace candor::l1 {

// Milliseconds of the monotonic clock; 0 means "never" where it is an expiry.
using Millis = std::int64_t;

struct EntryMeta {
  StampBound stamp;
  Millis loaded_at = 0;         // when the load that produced the value began
  Millis expires_at = 0;        // 0: no expiry
  bool negative = false;        // the origin has no such row; the value is empty
  std::uint8_t user_flags = 0;  // 3 bits for the layer above; kept, not read
};

struct EntryView {
  std::string_view value;
  EntryMeta meta;
};

// The hash of a key, computed once per request and passed to every call.
struct KeyHash {
  std::uint64_t value = 0;
};

}  // namespace candor::l1
