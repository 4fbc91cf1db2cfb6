#include <algorithm>
#include <array>
#include <bit>

#include "base/assert.h"
#include "base/hash.h"
#include "server/command.h"

namespace candor::server {

namespace {

// Longer than any command's name; longer names are unknown without a look.
constexpr std::size_t kNameBytesMax = 24;

char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

bool is_word(std::string_view text, std::string_view upper) {
  return std::ranges::equal(text, upper, [](char a, char b) { return to_upper(a) == b; });
}

CommandTable::CommandTable(std::uint64_t seed) : seed_(seed) {
  for (const auto family : {connection_commands(), string_commands(), key_commands(), pubsub_commands(),
                            admin_commands(), candor_commands()}) {
    for (const Command& command : family) all_.push_back(&command);
  }
  slots_.resize(std::bit_ceil(2 * all_.size()));
  for (const Command* command : all_) {
    CANDOR_ASSERT(command->name.size() <= kNameBytesMax);
    std::size_t at = hash_bytes(command->name, seed_) & (slots_.size() - 1);
    while (slots_[at] != nullptr) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = command;
  }
  std::ranges::sort(all_, {}, [](const Command* command) { return command->name; });
}

const Command* CommandTable::find(std::string_view name) const {
  if (name.size() > kNameBytesMax) return nullptr;
  std::array<char, kNameBytesMax> buffer;
  std::ranges::transform(name, buffer.begin(), to_upper);
  const std::string_view upper(buffer.data(), name.size());
  std::size_t at = hash_bytes(upper, seed_) & (slots_.size() - 1);
  for (; slots_[at] != nullptr; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at]->name == upper) return slots_[at];
  }
  return nullptr;
}

}  // namespace candor::server
