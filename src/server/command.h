// A command as the table knows it. Each family of commands is one file with its table at the end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/users.h"

namespace candor::server {

class Session;
using Args = std::span<const std::string_view>;

struct Command {
  enum Flag : std::uint16_t {
    kReadOnly = 1,
    kChanges = 2,
    kFast = 4,
    kAdmin = 8,
    kPubSub = 16,
    kNoAuth = 32,      // allowed before AUTH
    kSubscriber = 64,  // allowed in a RESP2 connection that has subscribed
    kBarrier = 128,    // waits until nothing of this connection is under way, and nothing passes it
  };

  std::string_view name;  // upper case
  int arity = 0;          // as Redis: with the name; negative: at least so many
  std::uint16_t flags = 0;
  Right right = Right::kNone;
  int first_key = 0;  // 0: no keys
  int last_key = 0;   // negative: counted from the end
  int key_step = 0;
  std::string_view group;
  std::string_view since;
  std::string_view summary;
  void (*run)(Session&, Args) = nullptr;

  [[nodiscard]] bool has(Flag flag) const { return (flags & flag) != 0; }
  [[nodiscard]] bool accepts(std::size_t args) const {
    return arity >= 0 ? args == static_cast<std::size_t>(arity) : args >= static_cast<std::size_t>(-arity);
  }
};

[[nodiscard]] std::span<const Command> connection_commands();
[[nodiscard]] std::span<const Command> string_commands();
[[nodiscard]] std::span<const Command> key_commands();
[[nodiscard]] std::span<const Command> pubsub_commands();
[[nodiscard]] std::span<const Command> admin_commands();
[[nodiscard]] std::span<const Command> candor_commands();

// All of them, found by name in any case. Const after construction.
class CommandTable {
 public:
  explicit CommandTable(std::uint64_t seed);
  [[nodiscard]] const Command* find(std::string_view name) const;
  [[nodiscard]] const std::vector<const Command*>& all() const { return all_; }  // by name

 private:
  std::uint64_t seed_;
  std::vector<const Command*> slots_;  // open addressing, at most half full
  std::vector<const Command*> all_;
};

// Case-insensitive, for names and options; `upper` is in upper case.
[[nodiscard]] bool is_word(std::string_view text, std::string_view upper);

}  // namespace candor::server
