// Who may do what. Immutable once built.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cache/cache.h"
#include "server/options.h"

namespace candor::server {

// What a command needs. kNone: every authenticated connection may.
enum class Right : std::uint8_t { kNone = 0, kRead = 1, kWrite = 2, kAdmin = 4 };

[[nodiscard]] std::string_view right_name(Right right);

struct User {
  std::string name;
  std::string password_hash;
  std::uint8_t rights = 0;  // bits of Right
  bool all_features = true;
  std::vector<bool> features;  // by FeatureId, when not all

  [[nodiscard]] bool has(Right right) const {
    const auto bit = static_cast<std::uint8_t>(right);
    return (rights & bit) == bit;
  }
  [[nodiscard]] bool may_touch(FeatureId feature) const {
    return all_features || (feature.value < features.size() && features[feature.value]);
  }
};

class Users {
 public:
  // Errors name the user and what is wrong with it.
  [[nodiscard]] static Result<Users> make(const std::vector<UserSpec>& specs, const CacheCore& cache);

  // True: nobody has to AUTH, and everybody may do everything.
  [[nodiscard]] bool is_open() const { return users_.empty(); }
  [[nodiscard]] const User* find(std::string_view name) const;
  // The user of a fresh connection when the server is open.
  [[nodiscard]] static const User& everybody();
  // A hash for names that do not exist, so that their check takes as long as anybody's.
  [[nodiscard]] const std::string& decoy_hash() const { return decoy_hash_; }

 private:
  std::vector<std::unique_ptr<const User>> users_;  // addresses stay when this moves
  std::string decoy_hash_;
};

}  // namespace candor::server
