// CANDOR.INVALIDATE and the flushes: one reply for what every node of the region has to drop.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "server/feature_table.h"

namespace candor::server {

class Session;
struct Target;  // session.h

// Writes the reply of success.
using DropAnswer = std::function<void(Session&, std::string& out)>;

// Each answers once every live node of the region has applied it, with an error if one has not; nothing of
// this connection runs meanwhile. `targets` are not empty;
// how many they are is answered.
void drop_keys(Session& session, std::span<const Target> targets);
// All of a feature, or of every feature.
void drop_feature(Session& session, std::optional<FeatureId> feature, DropAnswer answer);

// Every key that has the tag.
void drop_tag(Session& session, std::string_view tag);

}  // namespace candor::server
