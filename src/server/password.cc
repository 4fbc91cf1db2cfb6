#include "server/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <charconv>

namespace candor::server {

namespace {

constexpr std::uint64_t kBlockSize = 8;  // r
constexpr std::uint64_t kParallel = 1;   // p
constexpr std::size_t kHashBytes = 32;
// What one check may use: 128 · N · r bytes and a little; refuses a configured N that would take the node's
// memory.
constexpr std::uint64_t kMemoryMax = std::uint64_t{160} << 20;
constexpr std::uint64_t kCostMax = std::uint64_t{1} << 17;

struct Parsed {
  std::uint64_t cost = 0;
  std::string salt;
  std::string hash;
};

bool from_hex(std::string_view hex, std::string* out) {
  if (hex.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, code] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (code != std::errc{} || end != hex.data() + i + 2) return false;
    out->push_back(static_cast<char>(byte));
  }
  return true;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string_view take_field(std::string_view* text) {
  const std::size_t colon = text->find(':');
  const std::string_view field = text->substr(0, colon);
  *text = colon == std::string_view::npos ? std::string_view() : text->substr(colon + 1);
  return field;
}

Result<Parsed> parse(std::string_view text) {
  Parsed parsed;
  if (take_field(&text) != "scrypt")
    return fail(ErrorCode::kConfiguration, "a password hash begins with 'scrypt:'");
  const std::string_view cost = take_field(&text);
  const auto [end, code] = std::from_chars(cost.data(), cost.data() + cost.size(), parsed.cost);
  const bool is_number = code == std::errc{} && end == cost.data() + cost.size();
  if (!is_number || parsed.cost < 2 || parsed.cost > kCostMax || (parsed.cost & (parsed.cost - 1)) != 0) {
    return fail(ErrorCode::kConfiguration,
                "a password hash's N is a power of two from 2 to " + std::to_string(kCostMax));
  }
  if (!from_hex(take_field(&text), &parsed.salt) || parsed.salt.empty()) {
    return fail(ErrorCode::kConfiguration, "a password hash's salt is hexadecimal and not empty");
  }
  if (!from_hex(text, &parsed.hash) || parsed.hash.size() != kHashBytes) {
    return fail(ErrorCode::kConfiguration, "a password hash's hash is 64 hexadecimal digits");
  }
  return parsed;
}

bool scrypt(std::string_view password, std::string_view salt, std::uint64_t cost, std::string* hash) {
  hash->resize(kHashBytes);
  return EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                        salt.size(), cost, kBlockSize, kParallel, kMemoryMax,
                        reinterpret_cast<unsigned char*>(hash->data()), kHashBytes) == 1;
}

}  // namespace

Result<std::string> hash_password(std::string_view password, std::string_view salt, std::uint64_t cost) {
  std::string hash;
  if (!scrypt(password, salt, cost, &hash))
    return fail(ErrorCode::kInternal, "scrypt failed: not enough memory for N = " + std::to_string(cost));
  return "scrypt:" + std::to_string(cost) + ":" + to_hex(salt) + ":" + to_hex(hash);
}

bool check_password(std::string_view password, std::string_view password_hash) {
  const auto parsed = parse(password_hash);
  std::string hash;
  if (!parsed || !scrypt(password, parsed->salt, parsed->cost, &hash)) return false;
  return CRYPTO_memcmp(hash.data(), parsed->hash.data(), kHashBytes) == 0;
}

Result<void> check_password_hash(std::string_view password_hash) {
  auto parsed = parse(password_hash);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return {};
}

}  // namespace candor::server
