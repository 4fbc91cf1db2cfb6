// A session's token: how far each origin had gone when the session was there. Whoever adopts it reads nothing
// that is older, on any node of any region. It names no region and no node.
//
//   offset  bytes  what (as text: base64url without padding)
//        0      1  version, 1
//        1      1  number of origins
//        2      …  each: length of its name (1), name, incarnation (8), position (8), little endian;
//                  by name, ascending
//   end - 4      4  lower half of XXH3 of everything before, little endian
//
// One token has one text. The checksum finds accidents, not malice: a forged token makes its own reads slow
// or old, nobody else's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "version/change.h"

namespace candor {

class SessionToken {
 public:
  struct Entry {
    std::string origin;
    Incarnation incarnation;
    Position position;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  // A configuration with more origins that change feeds watch is not known; the names' limit is the
  // configuration's.
  static constexpr std::size_t kOriginsMax = 64;
  static constexpr std::size_t kOriginNameBytesMax = 64;
  static constexpr std::size_t kTextBytesMax =
      (2 + kOriginsMax * (1 + kOriginNameBytesMax + 16) + 4) * 4 / 3 + 4;

  // At least `position` of this origin from now on. kRejected: the token knows another incarnation of it, and
  // positions of two histories cannot be compared. kLimit: too many origins, or a name too long or empty.
  [[nodiscard]] Result<void> add(std::string_view origin, Incarnation incarnation, Position position);
  // Whoever meets the result meets both. On an error nothing has changed.
  [[nodiscard]] Result<void> merge(const SessionToken& other);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }  // by name
  [[nodiscard]] const Entry* find(std::string_view origin) const;
  [[nodiscard]] bool empty() const { return entries_.empty(); }

  [[nodiscard]] std::string text() const;
  // kInvalidArgument for anything that text() does not write.
  [[nodiscard]] static Result<SessionToken> parse(std::string_view text);

  friend bool operator==(const SessionToken&, const SessionToken&) = default;

 private:
  std::vector<Entry> entries_;  // by name
};

}  // namespace candor
