#include "server/users.h"

#include <algorithm>

#include "server/password.h"

namespace candor::server {

namespace {

Result<std::uint8_t> parse_rights(const UserSpec& spec) {
  std::uint8_t rights = 0;
  for (const auto& name : spec.rights) {
    if (name == "read") {
      rights |= static_cast<std::uint8_t>(Right::kRead);
    } else if (name == "write") {
      rights |= static_cast<std::uint8_t>(Right::kWrite);
    } else if (name == "admin") {
      rights |= static_cast<std::uint8_t>(Right::kAdmin);
    } else {
      return fail(ErrorCode::kConfiguration,
                  "user '" + spec.name + "': right '" + name + "' is none of read, write, admin");
    }
  }
  return rights;
}

}  // namespace

std::string_view right_name(Right right) {
  switch (right) {
    case Right::kNone:
      return "none";
    case Right::kRead:
      return "read";
    case Right::kWrite:
      return "write";
    case Right::kAdmin:
      return "admin";
  }
  return "unknown";
}

Result<Users> Users::make(const std::vector<UserSpec>& specs, const CacheCore& cache) {
  Users users;
  for (const auto& spec : specs) {
    if (users.find(spec.name) != nullptr)
      return fail(ErrorCode::kConfiguration, "user '" + spec.name + "' is defined twice");
    if (auto hash = check_password_hash(spec.password_hash); !hash) {
      return fail(ErrorCode::kConfiguration, "user '" + spec.name + "': " + hash.error().message);
    }
    auto rights = parse_rights(spec);
    if (!rights) return std::unexpected(std::move(rights.error()));
    auto user = std::make_unique<User>();
    user->name = spec.name;
    user->password_hash = spec.password_hash;
    user->rights = *rights;
    user->all_features = spec.features.empty();
    user->features.resize(cache.feature_count());
    for (const auto& name : spec.features) {
      const Feature* feature = cache.find_feature(name);
      if (feature == nullptr)
        return fail(ErrorCode::kConfiguration,
                    "user '" + spec.name + "': no feature is called '" + name + "'");
      user->features[feature->id().value] = true;
    }
    if (users.decoy_hash_.empty()) users.decoy_hash_ = spec.password_hash;
    users.users_.push_back(std::move(user));
  }
  return users;
}

const User* Users::find(std::string_view name) const {
  const auto it = std::ranges::find_if(users_, [&](const auto& user) { return user->name == name; });
  return it == users_.end() ? nullptr : it->get();
}

const User& Users::everybody() {
  static const User user{
      .name = "default", .password_hash = {}, .rights = 7, .all_features = true, .features = {}};
  return user;
}

}  // namespace candor::server
