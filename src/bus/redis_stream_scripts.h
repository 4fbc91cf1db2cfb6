// The Lua scripts of the Redis stream: each is one atomic step. KEYS: the stream, its state.
//
// An entry's id is `<epoch>-<number>`: the epoch is the server's time in milliseconds when the log was begun,
// and above every earlier one, numbers count from 1 without holes. So a reader that waits after
// `<epoch>-<number>` is handed the first message of a newer log at once, though that one begins at 1 again.
//
// An entry's fields: m the message, c a nonce of its own, p the nonce of the message before it. The chain
// shows a history that forked: a server that came back from a dump, or a replica that had not heard
// everything, counts on from an earlier number, and the message that then carries the next number names
// another predecessor.
//
// The state is a hash: epoch, n (the last number), c (the last nonce), size (average bytes of a message).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace candor::stream_scripts {

enum Script : std::size_t { kAppend, kLook, kCount };

// ARGV: messages to keep, bytes to keep, then a nonce and a message for each. Answers {epoch, last number}.
// A stream or a state that is missing begins a new epoch; so does a stream whose ids are beyond the state's,
// which only the first XADD can tell.
inline constexpr std::string_view kAppendText = R"(
local s = redis.call('HMGET', KEYS[2], 'epoch', 'n', 'c', 'size')
local epoch, n, chain, size = s[1], tonumber(s[2]), s[3], tonumber(s[4])
local begun = false
local function begin()
  local time = redis.call('TIME')
  local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  if epoch then ms = math.max(ms, tonumber(epoch) + 1) end
  if redis.call('EXISTS', KEYS[1]) == 1 then
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        ms = math.max(ms, tonumber(string.match(info[i + 1], '^%d+')) + 1)
      end
    end
  end
  epoch, n, chain, size, begun = string.format('%.0f', ms), 0, '', 256, true
end
if not epoch or not n or not chain or not size or redis.call('EXISTS', KEYS[1]) == 0 then begin() end
for i = 3, #ARGV, 2 do
  local function add()
    return redis.pcall('XADD', KEYS[1], epoch .. '-' .. string.format('%.0f', n + 1),
                       'c', ARGV[i], 'p', chain, 'm', ARGV[i + 1])
  end
  local added = add()
  if type(added) == 'table' and added.err and not begun and i == 3 then
    begin()
    added = add()
  end
  if type(added) == 'table' and added.err then return added end
  n, chain = n + 1, ARGV[i]
  size = size + (#ARGV[i + 1] - size) / 64
end
local keep = math.max(128, math.min(tonumber(ARGV[1]), math.floor(tonumber(ARGV[2]) / math.max(size, 64))))
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', string.format('%.0f', keep))
redis.call('HSET', KEYS[2], 'epoch', epoch, 'n', string.format('%.0f', n), 'c', chain,
           'size', string.format('%.2f', size))
return {epoch, string.format('%.0f', n)}
)";

// Answers {epoch, last number, last nonce}, or nil when there is no log. Writes nothing: a replica answers
// too.
inline constexpr std::string_view kLookText = R"(
local s = redis.call('HMGET', KEYS[2], 'epoch', 'n', 'c')
if not s[1] or not s[2] or not s[3] or redis.call('EXISTS', KEYS[1]) == 0 then return false end
return s
)";

inline constexpr std::array<std::string_view, kCount> kTexts{kAppendText, kLookText};

}  // namespace candor::stream_scripts
