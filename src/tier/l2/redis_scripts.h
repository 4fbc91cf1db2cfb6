// The Lua scripts of the Redis tier: each is one atomic step. KEYS are always the data, lease and marker key
// of one name, and all three carry the same hash tag, so that a cluster keeps them together.
//
// Positions travel as 20 decimal digits: Lua's numbers are doubles and would round them; strings of one
// length compare as the numbers do.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace candor::l2::scripts {

enum Script : std::size_t { kLookup, kGet, kFill, kRelease, kPut, kInvalidate, kCount };

// ARGV: token, lease ms, "1" to refresh. Answers {value, pttl}, 1 (the lease is yours) or 0 (somebody
// else's).
inline constexpr std::string_view kLookupText = R"(
if ARGV[3] ~= '1' then
  local v = redis.call('GET', KEYS[1])
  if v then return {v, redis.call('PTTL', KEYS[1])} end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
)";

// Answers {value, pttl} or nil.
inline constexpr std::string_view kGetText = R"(
local v = redis.call('GET', KEYS[1])
if v then return {v, redis.call('PTTL', KEYS[1])} end
return false
)";

// ARGV: token, the stamp's position, entry, ttl ms. Answers 0 stored, 1 lease lost, 2 marker newer.
// The lease is used up even when the marker refuses: the next reader shall load again at once.
inline constexpr std::string_view kFillText = R"(
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 1 end
redis.call('DEL', KEYS[2])
local m = redis.call('GET', KEYS[3])
if m and ARGV[2] < m then return 2 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 0
)";

// ARGV: token.
inline constexpr std::string_view kReleaseText = R"(
if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end
return 0
)";

// ARGV: entry, ttl ms. A load under way is older than this value: its lease ends.
inline constexpr std::string_view kPutText = R"(
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 0
)";

// ARGV: position or '' for none, hold ms. A marker never steps back and never ends earlier. Answers 1 if an
// entry was there.
inline constexpr std::string_view kInvalidateText = R"(
local existed = redis.call('UNLINK', KEYS[1])
redis.call('DEL', KEYS[2])
if ARGV[1] ~= '' then
  local position, hold = ARGV[1], tonumber(ARGV[2])
  local m = redis.call('GET', KEYS[3])
  if m then
    if m > position then position = m end
    hold = math.max(hold, redis.call('PTTL', KEYS[3]))
  end
  redis.call('SET', KEYS[3], position, 'PX', string.format('%.0f', hold))
end
return existed
)";

// In the order of Script.
inline constexpr std::array<std::string_view, kCount> kTexts{kLookupText,  kGetText, kFillText,
                                                             kReleaseText, kPutText, kInvalidateText};

}  // namespace candor::l2::scripts
