// Password hashes: "scrypt:<N>:<salt, hex>:<hash, hex>", with r = 8 and p = 1. scrypt (Percival 2009) because
// every guess costs an attacker memory as well as time; N = 16384 is 16 MiB and some 50 ms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candor::server {

inline constexpr std::uint64_t kPasswordCost = 16384;
inline constexpr std::size_t kSaltBytes = 16;

// `salt`: kSaltBytes from the entropy source.
[[nodiscard]] Result<std::string> hash_password(std::string_view password, std::string_view salt,
                                                std::uint64_t cost = kPasswordCost);

// Constant time in the hash; false also for a hash that cannot be read.
[[nodiscard]] bool check_password(std::string_view password, std::string_view password_hash);

// An error says what is wrong with a configured hash; never repeats it.
[[nodiscard]] Result<void> check_password_hash(std::string_view password_hash);

}  // namespace candor::server
