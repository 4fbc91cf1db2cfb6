// "user:{key}": where a key of a feature lies in Redis, and which keys of the feature lie under a name. Pure.
//
// Keys with several columns use {key1}, {key2} … as SQL origins do; the last part takes the rest, colons
// included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor {

class KeyPattern {
 public:
  // Names that this many keys share, or that take this many steps to tell, are told as "any key": a pattern
  // such as "{key1}{key2}" finds one split for every letter of the name.
  static constexpr std::size_t kKeysMax = 16;
  static constexpr int kStepsMax = 4096;

  // kConfiguration: says what is wrong; `role` and `feature` are for the message.
  [[nodiscard]] static Result<KeyPattern> parse(std::string_view feature, std::string_view role,
                                                std::string_view text);
  // kInvalidArgument: the key has too few parts.
  [[nodiscard]] Result<std::string> name_of(std::string_view feature, std::string_view key) const;
  // Every key whose name_of() is `name`; empty: none. nullopt: too many to tell.
  [[nodiscard]] std::optional<std::vector<std::string>> keys_of(std::string_view name) const;

 private:
  struct Piece {
    std::string text;  // literal text in front
    int part = 0;      // the key's part (1 …); 0: the whole key; -1: nothing
  };
  struct Search;
  std::vector<Piece> pieces_;
  std::uint8_t parts_ = 0;
};

}  // namespace candor
