// The Lua scripts of the Redis tier: each is one atomic step. KEYS are the data, lease and marker key of one
// name, which carry the same hash tag, and the region's state key. Lookup and fill have the keys of the
// name's tags behind them.
//
// A tag's key holds a number drawn when it was last invalidated. The mark of a name is made of those numbers:
// 16 digits, '' for a name without tags. It stands in the entry at byte 32, and its flag (4) at byte 5. An
// entry with another mark than its tags' now is not there.
//
// Ids travel as 20 decimal digits: Lua's numbers are doubles and would round them; strings of one length
// compare as the numbers do. The state is ten digits of generation, ':', twenty digits told: states compare
// as strings, too; absent is ''. A marker is a list of ids joined by ',', or '~' and the highest id, which
// only a bound may pass.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace candor::l2::scripts {

enum Script : std::size_t {
  kLookup,
  kGet,
  kFill,
  kRelease,
  kPut,
  kInvalidate,
  kAdvance,
  kRaiseGeneration,
  kHoldMarker,
  kSwap,
  kInvalidateTag,
  kCount
};

// ARGV: token, lease ms, "1" to refresh. Answers {2, state, value, pttl}, {1, state, mark} (the lease is
// yours) or {0, state} (somebody else's). An entry of another generation than the state's is not there: its
// generation stands at byte 28.
inline constexpr std::string_view kLookupText = R"(
local s = redis.call('GET', KEYS[4]) or ''
local mark = ''
if #KEYS > 4 then
  for _, drawn in ipairs(redis.call('MGET', unpack(KEYS, 5))) do mark = mark .. (drawn or '') .. '.' end
  mark = string.sub(redis.sha1hex(mark), 1, 16)
end
if ARGV[3] ~= '1' then
  local v = redis.call('GET', KEYS[1])
  if v and #v >= 32 then
    local g = s == '' and 0 or tonumber(string.sub(s, 1, 10))
    local held = string.byte(v, 6) % 8 >= 4 and string.sub(v, 33, 48) or ''
    if struct.unpack('<I4', v, 29) == g and (mark == '' or mark == held) then
      return {2, s, v, redis.call('PTTL', KEYS[1])}
    end
  end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, s, mark} end
return {0, s}
)";

// Answers {value, pttl} or nil.
inline constexpr std::string_view kGetText = R"(
local v = redis.call('GET', KEYS[1])
if v then return {v, redis.call('PTTL', KEYS[1])} end
return false
)";

// ARGV: token, up_to, limit, ids in progress joined by ',', entry, ttl ms, generation, mark. Answers 0
// stored, 1 lease lost or another generation or mark by now, 2 the marker names a change that the stamp does
// not include. The lease is used up even when the marker refuses: the next reader shall load again at once. A
// marker that the bound has passed is done: under the key's one lease nobody else can store anything older.
inline constexpr std::string_view kFillText = R"(
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 1 end
redis.call('DEL', KEYS[2])
local s = redis.call('GET', KEYS[4])
if (s and string.sub(s, 1, 10) or '0000000000') ~= ARGV[7] then return 1 end
if #KEYS > 4 then
  local mark = ''
  for _, drawn in ipairs(redis.call('MGET', unpack(KEYS, 5))) do mark = mark .. (drawn or '') .. '.' end
  if string.sub(redis.sha1hex(mark), 1, 16) ~= ARGV[8] then return 1 end
end
local m = redis.call('GET', KEYS[3])
if m then
  if string.sub(m, 1, 1) == '~' then
    if ARGV[2] < string.sub(m, 2) then return 2 end
    redis.call('DEL', KEYS[3])
  else
    local passed = true
    for id in string.gmatch(m, '%d+') do
      if id > ARGV[2] then
        passed = false
        if id >= ARGV[3] or string.find(ARGV[4], id, 1, true) then return 2 end
      end
    end
    if passed then redis.call('DEL', KEYS[3]) end
  end
end
redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6])
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

// ARGV: change or '' for none, hold ms, how many ids a marker may list. A marker forgets no id and never ends
// earlier. Answers 1 if an entry was there.
inline constexpr std::string_view kInvalidateText = R"(
local existed = redis.call('UNLINK', KEYS[1])
redis.call('DEL', KEYS[2])
if ARGV[1] ~= '' then
  local marker, hold = ARGV[1], tonumber(ARGV[2])
  local m = redis.call('GET', KEYS[3])
  if m then
    hold = math.max(hold, redis.call('PTTL', KEYS[3]))
    if string.sub(m, 1, 1) == '~' then
      marker = string.sub(m, 2) > marker and m or '~' .. marker
    elseif string.find(m, marker, 1, true) then
      marker = m
    elseif (#m + 1) / 21 < tonumber(ARGV[3]) then
      marker = m .. ',' .. marker
    else
      for id in string.gmatch(m, '%d+') do if id > marker then marker = id end end
      marker = '~' .. marker
    end
  end
  redis.call('SET', KEYS[3], marker, 'PX', string.format('%.0f', hold))
end
return existed
)";

// KEYS[1]: the state. ARGV: the highest state that the caller knows of ('' for none). Answers the new state,
// or 0: what is here is lower, so that writes were lost.
inline constexpr std::string_view kAdvanceText = R"(
local s = redis.call('GET', KEYS[1]) or ''
if s < ARGV[1] then return 0 end
if s == '' then s = '0000000000:00000000000000000000' end
s = string.sub(s, 1, 11) .. string.format('%020.0f', tonumber(string.sub(s, 12)) + 1)
redis.call('SET', KEYS[1], s)
return s
)";

// KEYS[1]: the state. ARGV: the highest state that the caller knows of ('' for none). Answers the new state.
inline constexpr std::string_view kRaiseGenerationText = R"(
local s = redis.call('GET', KEYS[1]) or ''
if s < ARGV[1] then s = ARGV[1] end
if s == '' then s = '0000000000:00000000000000000000' end
s = string.format('%010.0f', tonumber(string.sub(s, 1, 10)) + 1) .. ':' ..
    string.format('%020.0f', tonumber(string.sub(s, 12)) + 1)
redis.call('SET', KEYS[1], s)
return s
)";

// ARGV: change, hold ms.
inline constexpr std::string_view kHoldMarkerText = R"(
local m = redis.call('GET', KEYS[3])
if not m then return 0 end
if m == ARGV[1] or tonumber(ARGV[2]) > redis.call('PTTL', KEYS[3]) then
  return redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
return 0
)";

// ARGV: mark or '' for absent, entry or '' to remove, ttl ms or '' to keep the one that is there. Answers 1
// swapped, else what is there: {value, pttl}, or 0 for nothing. The mark is the entry's size and its checksum
// (see mark_of() in redis_l2.cc): a large value need not travel to be compared.
inline constexpr std::string_view kSwapText = R"(
local v = redis.call('GET', KEYS[1])
local mark = ''
if v then mark = string.format('%d:', #v) .. string.sub(v, -8) end
if mark ~= ARGV[1] then
  if v then return {v, redis.call('PTTL', KEYS[1])} end
  return 0
end
if ARGV[2] == '' then
  redis.call('UNLINK', KEYS[1])
else
  local ttl = ARGV[3]
  if ttl == '' then ttl = string.format('%.0f', math.max(1, redis.call('PTTL', KEYS[1]))) end
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ttl)
end
redis.call('DEL', KEYS[2])
return 1
)";

// KEYS[1]: the tag's. ARGV: a number just drawn, hold ms. A hold is never made shorter.
inline constexpr std::string_view kInvalidateTagText = R"(
local hold = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', hold))
return 0
)";

// In the order of Script.
inline constexpr std::array<std::string_view, kCount> kTexts{
    kLookupText,     kGetText,        kFillText,         kReleaseText,
    kPutText,        kInvalidateText, kAdvanceText,      kRaiseGenerationText,
    kHoldMarkerText, kSwapText,       kInvalidateTagText};

}  // namespace candor::l2::scripts
