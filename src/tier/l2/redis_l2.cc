#include "tier/l2/redis_l2.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "tier/l2/redis_scripts.h"
#include "version/marker.h"

namespace candor::l2 {
namespace {

// Keys that one SCAN step looks at: about 100 µs of the server's time.
constexpr std::string_view kScanCount = "1000";

std::int64_t redis_ms(Duration d) { return std::max<std::int64_t>(1, d.count() / 1'000'000); }

Duration stored_for(Duration ttl) { return ttl > Duration::zero() ? ttl : RedisL2::kNoTtl; }

std::string digits(ChangeId change) { return fmt::format("{:020}", change.value); }

// A snapshot with more transactions in progress than this goes as its bound, as in the entry's format.
constexpr std::size_t kInProgressMax = 500;

std::string listed(const Stamp& stamp) {
  std::string out;
  if (stamp.in_progress == nullptr) return out;
  for (const std::uint64_t id : *stamp.in_progress) out += fmt::format("{:020},", id);
  return out;
}

std::string state_text(L2State state) {
  return state == L2State{} ? std::string() : fmt::format("{:010}:{:020}", state.generation, state.told);
}

constexpr std::size_t kStateBytes = 31;

std::optional<L2State> parse_state(std::string_view text) {
  L2State state;
  if (text.empty()) return state;
  if (text.size() != kStateBytes) return std::nullopt;
  const auto generation = std::from_chars(text.data(), text.data() + 10, state.generation);
  const auto told = std::from_chars(text.data() + 11, text.data() + kStateBytes, state.told);
  if (generation.ec != std::errc{} || told.ec != std::errc{}) return std::nullopt;
  return state;
}

std::string literal_glob(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view{"*?[]\\"}.find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// As kSwapText makes it. An entry ends with its checksum.
std::string mark_of(std::string_view bytes) {
  return fmt::format("{}:", bytes.size())
      .append(bytes.substr(bytes.size() - std::min(bytes.size(), kChecksumBytes)));
}

// As the scripts make it: 16 hexadecimal digits.
std::uint64_t parse_tag_mark(std::string_view text) {
  std::uint64_t mark = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), mark, 16);
  return mark;
}

redis::ClientOptions with_scripts(redis::ClientOptions options) {
  options.hello.scripts.assign(scripts::kTexts.begin(), scripts::kTexts.end());
  options.leaves_replicas = true;
  return options;
}

StoredEntry to_stored(L2Entry entry) {
  StoredEntry stored;
  stored.value = std::move(entry.value);
  stored.negative = entry.negative;
  stored.stamp = entry.stamp;
  stored.ttl = entry.ttl_left;
  stored.age = entry.age;
  stored.generation = entry.generation;
  stored.tag_mark = entry.tag_mark;
  return stored;
}

std::string advice(std::string_view error) {
  if (error.starts_with("OOM")) return "; its `maxmemory` is used up: raise it or choose an evicting policy";
  if (error.starts_with("NOPERM")) return "; give the user the scripting commands and the keys of the prefix";
  if (error.starts_with("MISCONF")) return "; it cannot write its snapshot, see its own log";
  return "";
}

}  // namespace

RedisL2::RedisL2(Executor* executor, Transport* transport, Options options, std::uint64_t seed)
    : options_(std::move(options)),
      random_(mix64(seed)),
      client_(executor, transport, with_scripts(options_.client), seed) {}

Task<Result<L2Lookup>> RedisL2::get_or_lease(std::string key, Duration lease_ttl, bool refresh) {
  const std::string lease_ms = std::to_string(redis_ms(lease_ttl));
  L2Lookup answer;
  // The second round is for an entry that cannot be read: a lease beside it, and the fill replaces it.
  for (bool beside = refresh;; beside = true) {
    answer.token.value = new_token();
    std::vector<std::string> args{std::to_string(answer.token.value), lease_ms, beside ? "1" : "0"};
    Result<resp::RespValue> reply = co_await run(scripts::kLookup, key, std::move(args));
    if (!reply) co_return std::unexpected(reply.error());
    std::optional<L2State> state;
    if (reply->items.size() >= 2 && reply->items[1].is_text()) state = parse_state(reply->items[1].text);
    if (!state) co_return fail(ErrorCode::kCorrupt, describe() + ": the state key holds something else");
    answer.l2 = *state;
    const std::int64_t kind = reply->items[0].integer;
    if (kind != 2) {
      if (!refresh) ++stats_.misses;
      answer.state = kind == 1 ? L2Lookup::State::kLease : L2Lookup::State::kBusy;
      if (answer.state == L2Lookup::State::kBusy) answer.token = LeaseToken{};
      if (kind == 1 && reply->items.size() >= 3) answer.tag_mark = parse_tag_mark(reply->items[2].text);
      co_return answer;
    }
    if (auto entry = read_entry(std::span(reply->items).subspan(2))) {
      ++stats_.hits;
      answer.state = L2Lookup::State::kHit;
      answer.token = LeaseToken{};
      answer.entry = std::move(*entry);
      co_return answer;
    }
    if (beside)
      co_return fail(ErrorCode::kInternal, describe() + ": the lookup script gave an unknown answer");
  }
}

Task<Result<std::optional<L2Entry>>> RedisL2::get(std::string key) {
  std::vector<std::string> none;
  Result<resp::RespValue> reply = co_await run(scripts::kGet, std::move(key), std::move(none));
  if (!reply) co_return std::unexpected(reply.error());
  std::optional<L2Entry> entry;
  if (!reply->is_null()) entry = read_entry(reply->items);
  ++(entry ? stats_.hits : stats_.misses);
  co_return entry;
}

Task<Result<L2FillVerdict>> RedisL2::fill(std::string key, LeaseToken token, L2Entry entry) {
  std::vector<std::string> args(8);
  args[0] = std::to_string(token.value);
  args[1] = digits(entry.stamp.up_to);
  const bool whole = entry.stamp.in_progress != nullptr && entry.stamp.in_progress->size() <= kInProgressMax;
  args[2] = digits(whole ? entry.stamp.limit : ChangeId{});
  if (whole) args[3] = listed(entry.stamp);
  args[6] = fmt::format("{:010}", entry.generation);
  args[7] = tag_mark_text(entry.tag_mark);
  args[5] = std::to_string(redis_ms(stored_for(entry.ttl_left)));
  auto bytes = encode_entry(to_stored(std::move(entry)), options_.format);
  if (!bytes) co_return std::unexpected(bytes.error());
  args[4] = std::move(*bytes);
  Result<resp::RespValue> reply = co_await run(scripts::kFill, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  if (reply->integer == 0) co_return L2FillVerdict::kStored;
  ++stats_.fills_refused;
  co_return reply->integer == 2 ? L2FillVerdict::kMarkerNewer : L2FillVerdict::kLeaseLost;
}

Task<Result<void>> RedisL2::release(std::string key, LeaseToken token) {
  std::vector<std::string> args{std::to_string(token.value)};
  Result<resp::RespValue> reply = co_await run(scripts::kRelease, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  co_return Result<void>{};
}

Task<Result<void>> RedisL2::put(std::string key, L2Entry entry) {
  std::vector<std::string> args(2);
  args[1] = std::to_string(redis_ms(stored_for(entry.ttl_left)));
  auto bytes = encode_entry(to_stored(std::move(entry)), options_.format);
  if (!bytes) co_return std::unexpected(bytes.error());
  args[0] = std::move(*bytes);
  Result<resp::RespValue> reply = co_await run(scripts::kPut, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  co_return Result<void>{};
}

Task<Result<L2Seen>> RedisL2::look(std::string key) {
  std::vector<std::string> none;
  Result<resp::RespValue> reply = co_await run(scripts::kGet, std::move(key), std::move(none));
  if (!reply) co_return std::unexpected(reply.error());
  co_return read_seen(*reply);
}

Task<Result<L2Swap>> RedisL2::swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                                   bool keep_ttl) {
  std::vector<std::string> args(3);
  args[0] = std::move(mark);
  if (entry) {
    if (!keep_ttl) args[2] = std::to_string(redis_ms(stored_for(entry->ttl_left)));
    auto bytes = encode_entry(to_stored(std::move(*entry)), options_.format);
    if (!bytes) co_return std::unexpected(bytes.error());
    args[1] = std::move(*bytes);
  }
  Result<resp::RespValue> reply = co_await run(scripts::kSwap, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  L2Swap swap;
  swap.done = reply->is_integer() && reply->integer == 1;
  if (!swap.done) swap.now = read_seen(*reply);
  co_return swap;
}

Task<Result<bool>> RedisL2::invalidate(std::string key, L2Marker marker) {
  std::vector<std::string> args(3);
  args[2] = std::to_string(Marker::kIdsMax);
  const bool leaves_marker = marker.change.value != 0 && marker.hold > Duration::zero();
  if (leaves_marker) args[0] = digits(marker.change);
  args[1] = std::to_string(redis_ms(marker.hold));
  Result<resp::RespValue> reply = co_await run(scripts::kInvalidate, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  co_return reply->integer > 0;
}

Task<Result<L2State>> RedisL2::state() {
  const std::string key = state_key();
  const std::array<std::string_view, 2> get{"GET", key};
  redis::Answer answer = client_.send(get);
  Result<resp::RespValue> reply = co_await answer;
  co_return read_state(reply);
}

Task<Result<L2State>> RedisL2::advance(L2State at_least) {
  std::vector<std::string> words{state_key(), state_text(at_least)};
  Result<resp::RespValue> reply = co_await client_.run(scripts::kAdvance, 1, std::move(words));
  if (reply && reply->is_integer()) {
    co_return fail(
        ErrorCode::kCorrupt,
        describe() + ": it has forgotten invalidations that it was told (flushed, restored or failed over)");
  }
  co_return read_state(reply);
}

Task<Result<L2State>> RedisL2::raise_generation(L2State at_least) {
  std::vector<std::string> words{state_key(), state_text(at_least)};
  Result<resp::RespValue> reply = co_await client_.run(scripts::kRaiseGeneration, 1, std::move(words));
  co_return read_state(reply);
}

Result<L2State> RedisL2::read_state(const Result<resp::RespValue>& reply) {
  if (!reply) {
    ++stats_.errors;
    return std::unexpected(reply.error());
  }
  if (reply->is_error()) {
    ++stats_.errors;
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: {}{}", describe(), reply->text, advice(reply->text)));
  }
  const auto state = parse_state(reply->is_null() ? std::string_view{} : std::string_view{reply->text});
  if (!state) return fail(ErrorCode::kUnavailable, describe() + ": the state key holds something else");
  return *state;
}

Task<Result<void>> RedisL2::hold_marker(std::string key, ChangeId change, Duration hold) {
  std::vector<std::string> args{digits(change), std::to_string(redis_ms(hold))};
  Result<resp::RespValue> reply = co_await run(scripts::kHoldMarker, std::move(key), std::move(args));
  if (!reply) co_return std::unexpected(reply.error());
  co_return Result<void>{};
}

std::string RedisL2::tag_key(std::string_view tag) const {
  return fmt::format("{}t:{{{}}}", options_.prefix, tag);
}

Task<Result<void>> RedisL2::invalidate_tag(std::string tag, Duration hold) {
  std::vector<std::string> words{tag_key(tag), tag_mark_text(new_token()),
                                 std::to_string(redis_ms(stored_for(hold)))};
  Result<resp::RespValue> reply = co_await client_.run(scripts::kInvalidateTag, 1, std::move(words));
  if (!reply) {
    ++stats_.errors;
    co_return std::unexpected(reply.error());
  }
  if (reply->is_error()) {
    ++stats_.errors;
    co_return fail(ErrorCode::kUnavailable,
                   fmt::format("{}: {}{}", describe(), reply->text, advice(reply->text)));
  }
  co_return Result<void>{};
}

Task<Result<void>> RedisL2::clear(std::string prefix) {
  const std::string ours = literal_glob(options_.prefix);
  Result<void> leases = co_await unlink_matching(ours + "l:{*");
  if (!leases) co_return leases;
  Result<void> entries = co_await unlink_matching(ours + "c:{" + literal_glob(prefix) + "*");
  co_return entries;
}

Task<Result<void>> RedisL2::unlink_matching(std::string pattern) {
  std::string cursor = "0";
  do {
    const std::array<std::string_view, 6> scan{"SCAN", cursor, "MATCH", pattern, "COUNT", kScanCount};
    redis::Answer scanning = client_.send(scan);
    Result<resp::RespValue> page = co_await scanning;
    if (!page) co_return std::unexpected(page.error());
    if (page->items.size() != 2 || !page->items[0].is_text()) {
      co_return fail(ErrorCode::kUnavailable, fmt::format("{}: SCAN failed: {}", describe(), page->text));
    }
    cursor = page->items[0].text;
    if (page->items[1].items.empty()) continue;
    std::vector<std::string_view> unlink{"UNLINK"};
    for (const resp::RespValue& key : page->items[1].items) unlink.push_back(key.text);
    redis::Answer unlinking = client_.send(unlink);
    Result<resp::RespValue> gone = co_await unlinking;
    if (!gone) co_return std::unexpected(gone.error());
    if (gone->is_error()) {
      co_return fail(ErrorCode::kUnavailable, fmt::format("{}: UNLINK failed: {}", describe(), gone->text));
    }
  } while (cursor != "0");
  co_return Result<void>{};
}

L2Stats RedisL2::stats() const {
  L2Stats stats = stats_;
  const redis::ClientStats client = client_.stats();
  stats.connected = client.connected;
  stats.breaker_open = client.breaker_open;
  stats.breaker = client.breaker;
  stats.breaker_opened = client.breaker_opened;
  stats.demotions = client.demotions;
  stats.timeouts = client.timeouts;
  stats.reconnects = client.connects > 0 ? client.connects - 1 : 0;
  return stats;
}

Task<Result<resp::RespValue>> RedisL2::run(std::size_t script, std::string key,
                                           std::vector<std::string> args) {
  std::vector<std::string> words;
  words.reserve(4 + args.size());
  for (const char kind : {'c', 'l', 'm'})
    words.push_back(fmt::format("{}{}:{{{}}}", options_.prefix, kind, key));
  words.push_back(state_key());
  if (tags_ != nullptr && (script == scripts::kLookup || script == scripts::kFill))
    for (const std::string& tag : tags_->of_name(key)) words.push_back(tag_key(tag));
  const std::size_t keys = words.size();
  for (std::string& arg : args) words.push_back(std::move(arg));
  Result<resp::RespValue> reply = co_await client_.run(script, keys, std::move(words));
  if (!reply) {
    ++stats_.errors;
  } else if (reply->is_error()) {
    ++stats_.errors;
    co_return fail(ErrorCode::kUnavailable,
                   fmt::format("{}: {}{}", describe(), reply->text, advice(reply->text)));
  }
  co_return reply;
}

// Nothing there is null from one script and 0 from another. An entry that cannot be read has a mark: it is as
// good as absent, and a swap replaces it.
L2Seen RedisL2::read_seen(const resp::RespValue& reply) {
  L2Seen seen;
  if (reply.items.empty()) return seen;
  seen.mark = mark_of(reply.items[0].text);
  seen.entry = read_entry(reply.items);
  return seen;
}

std::optional<L2Entry> RedisL2::read_entry(std::span<const resp::RespValue> value_and_ttl) {
  if (value_and_ttl.size() != 2 || !value_and_ttl[1].is_integer()) return std::nullopt;
  auto stored = decode_entry(value_and_ttl[0].text);
  if (!stored) {
    ++stats_.corrupt;
    return std::nullopt;
  }
  const Duration left = std::chrono::milliseconds(std::max<std::int64_t>(0, value_and_ttl[1].integer));
  L2Entry entry;
  entry.value = std::move(stored->value);
  entry.negative = stored->negative;
  entry.stamp = std::move(stored->stamp);
  entry.generation = stored->generation;
  entry.age = stored->age + std::max(Duration::zero(), stored_for(stored->ttl) - left);
  // An entry in its last millisecond still has an expiry.
  if (stored->ttl > Duration::zero()) entry.ttl_left = std::max<Duration>(left, 1ms);
  return entry;
}

std::uint64_t RedisL2::new_token() {
  for (;;) {
    if (const std::uint64_t token = random_(); token != 0) return token;
  }
}

}  // namespace candor::l2
