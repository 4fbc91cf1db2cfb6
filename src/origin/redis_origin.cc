#include "origin/redis_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/ids.h"
#include "origin/statement.h"
#include "tier/l2/redis_url.h"

namespace candor {
namespace {

// As for SQL origins: four of the largest values may wait.
constexpr std::size_t kWaitingBytesMax = std::size_t{256} << 20;
constexpr Duration kTick = 25ms;

// Values above our own limit are refused one by one, which needs the reply to be read: Redis's own limit is
// 512 MiB.
resp::ReplyLimits reply_limits() {
  resp::ReplyLimits limits;
  limits.bulk_bytes_max = std::size_t{512} << 20;
  limits.reply_bytes_max = std::size_t{513} << 20;
  return limits;
}

redis::ClientOptions client_options(redis::ClientOptions options) {
  options.reply_limits = reply_limits();
  options.hello.scripts.clear();
  return options;
}

std::optional<int> part_number(std::string_view name) {
  if (name == "key") return 0;
  if (!name.starts_with("key")) return std::nullopt;
  name.remove_prefix(3);
  int part = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), part);
  if (code != std::errc{} || end != name.data() + name.size() || part < 1 || part > kKeyPartsMax)
    return std::nullopt;
  return part;
}

std::string advice(std::string_view error) {
  if (error.starts_with("OOM")) return "; its `maxmemory` is used up";
  if (error.starts_with("WRONGTYPE")) return "; Candor reads strings only";
  if (error.starts_with("NOPERM")) return "; the user in the URL lacks the right";
  return "";
}

}  // namespace

// ---- KeyPattern ----

Result<KeyPattern> KeyPattern::parse(std::string_view feature, std::string_view role, std::string_view text) {
  const auto bad = [&](std::string_view what) {
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("feature {}: {}: {}; for a Redis origin it is a key pattern such as \"user:{{key}}\"",
                    feature, role, what));
  };
  KeyPattern pattern;
  bool whole = false;
  std::uint32_t seen = 0;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    Piece piece{std::string(text.substr(0, open)), -1};
    if (piece.text.find('}') != std::string::npos) return bad("a } without its {");
    text.remove_prefix(std::min(text.size(), piece.text.size()));
    if (open != std::string_view::npos) {
      const std::size_t close = text.find('}');
      if (close == std::string_view::npos) return bad("a { without its }");
      const auto part = part_number(text.substr(1, close - 1));
      if (!part) return bad(fmt::format("unknown name {}", text.substr(0, close + 1)));
      piece.part = *part;
      whole = whole || *part == 0;
      seen |= *part > 0 ? 1U << (*part - 1) : 0U;
      pattern.parts_ = std::max(pattern.parts_, static_cast<std::uint8_t>(*part));
      text.remove_prefix(close + 1);
    }
    pattern.pieces_.push_back(std::move(piece));
  }
  if (whole && seen != 0) return bad("{key} and {key1} cannot both be used");
  if (!whole && seen == 0) return bad("it does not contain {key}");
  if (!whole && seen != (1U << pattern.parts_) - 1)
    return bad("a number is left out among {key1}, {key2}, …");
  return pattern;
}

Result<std::string> KeyPattern::name_of(std::string_view feature, std::string_view key) const {
  auto parts = split_key(feature, key, parts_);
  if (!parts) return std::unexpected(parts.error());
  std::string out;
  for (const Piece& piece : pieces_) {
    out += piece.text;
    if (piece.part == 0) out += key;
    if (piece.part > 0) out += (*parts)[static_cast<std::size_t>(piece.part) - 1];
  }
  return out;
}

// ---- one feature ----

class RedisOrigin::Bound final : public OriginFeature {
 public:
  Bound(RedisOrigin* origin, std::string feature, KeyPattern load, std::optional<KeyPattern> store,
        std::optional<KeyPattern> erase)
      : origin_(origin),
        feature_(std::move(feature)),
        load_(std::move(load)),
        store_(std::move(store)),
        erase_(std::move(erase)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    auto name = load_.name_of(feature_, key);
    if (!name) co_return std::unexpected(name.error());
    std::vector<std::string> words{"GET", *name};
    Result<resp::RespValue> reply = co_await origin_->run(std::move(words), true, deadline);
    if (!reply) co_return std::unexpected(reply.error());
    OriginRow row;
    if (reply->is_null()) co_return row;
    if (reply->text.size() > kValueBytesMax) {
      co_return fail(ErrorCode::kLimit,
                     fmt::format("{}: the value of a key of feature {} has {} bytes; Candor's limit is {}",
                                 origin_->describe(), feature_, reply->text.size(), kValueBytesMax));
    }
    row.value = std::move(reply->text);
    co_return row;
  }

  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    if (!store_) co_return fail(ErrorCode::kReadOnly, fmt::format("feature {} has no `store`", feature_));
    auto name = store_->name_of(feature_, key);
    if (!name) co_return std::unexpected(name.error());
    std::vector<std::string> words{"SET", *name, std::move(value)};
    Result<resp::RespValue> reply = co_await origin_->run(std::move(words), false, deadline);
    if (!reply) co_return std::unexpected(reply.error());
    OriginWrite done;
    done.rows = 1;
    co_return done;
  }

  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    if (!erase_) co_return fail(ErrorCode::kReadOnly, fmt::format("feature {} has no `erase`", feature_));
    auto name = erase_->name_of(feature_, key);
    if (!name) co_return std::unexpected(name.error());
    std::vector<std::string> words{"DEL", *name};
    Result<resp::RespValue> reply = co_await origin_->run(std::move(words), false, deadline);
    if (!reply) co_return std::unexpected(reply.error());
    OriginWrite done;
    done.rows = static_cast<std::uint64_t>(std::max<std::int64_t>(0, reply->integer));
    co_return done;
  }

  [[nodiscard]] bool can_store() const override { return store_.has_value(); }
  [[nodiscard]] bool can_erase() const override { return erase_.has_value(); }

 private:
  RedisOrigin* origin_;
  std::string feature_;
  KeyPattern load_;
  std::optional<KeyPattern> store_, erase_;
};

// ---- the origin ----

RedisOrigin::RedisOrigin(Executor* executor, Transport* transport, Options options, std::uint64_t seed)
    : executor_(executor),
      options_(std::move(options)),
      client_(executor, transport, client_options(options_.client), seed) {
  stats_.max_concurrency = options_.max_concurrency;
}

RedisOrigin::~RedisOrigin() {
  *alive_ = false;
  closing_ = true;
  executor_->cancel(tick_);
  for (Job& job : std::exchange(queue_, {})) {
    job.answer.set(fail(ErrorCode::kUnavailable, describe() + ": shutting down"));
  }
}

Result<std::unique_ptr<OriginFeature>> RedisOrigin::bind(OriginStatements statements) {
  if (!statements.load_many.empty()) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("feature {}: load_many is for SQL origins; loads from Redis go out "
                            "together by themselves, so leave it out",
                            statements.feature));
  }
  if (statements.load.empty()) statements.load = "{key}";
  auto load = KeyPattern::parse(statements.feature, "load", statements.load);
  if (!load) return std::unexpected(load.error());
  std::optional<KeyPattern> writes[2];
  const std::pair<std::string_view, const std::string*> roles[2] = {{"store", &statements.store},
                                                                    {"erase", &statements.erase}};
  for (std::size_t i = 0; i < 2; ++i) {
    if (roles[i].second->empty()) continue;
    auto pattern = KeyPattern::parse(statements.feature, roles[i].first, *roles[i].second);
    if (!pattern) return std::unexpected(pattern.error());
    writes[i] = std::move(*pattern);
  }
  return std::make_unique<Bound>(this, statements.feature, std::move(*load), std::move(writes[0]),
                                 std::move(writes[1]));
}

Task<Result<void>> RedisOrigin::prepare() {
  std::vector<std::string> ping{"PING"};
  Result<resp::RespValue> reply = co_await run(std::move(ping), false, MonoTime::max());
  if (!reply) co_return std::unexpected(reply.error());
  co_return Result<void>{};
}

OriginStats RedisOrigin::stats() const {
  OriginStats stats = stats_;
  stats.waiting = static_cast<std::uint32_t>(queue_.size());
  stats.connected = client_.stats().connected;
  return stats;
}

std::size_t RedisOrigin::Job::bytes() const {
  std::size_t sum = 0;
  for (const std::string& word : words) sum += word.size();
  return sum;
}

Task<Result<resp::RespValue>> RedisOrigin::run(std::vector<std::string> words, bool is_load,
                                               MonoTime deadline) {
  Job job;
  job.words = std::move(words);
  job.is_load = is_load;
  job.deadline = std::min(deadline, executor_->now() + options_.timeout);
  const std::size_t bytes = job.bytes();
  if (queue_.size() >= options_.waiting_max || queue_bytes_ + bytes > kWaitingBytesMax) {
    ++stats_.errors;
    co_return fail(ErrorCode::kOverloaded,
                   fmt::format("{}: {} requests wait for one of {} places already; retry later, or raise "
                               "max_concurrency if Redis has room",
                               describe(), queue_.size(), options_.max_concurrency));
  }
  const redis::Answer answer = job.answer;
  const MonoTime until = job.deadline;
  queue_bytes_ += bytes;
  queue_.push_back(std::move(job));
  schedule_pump();
  auto alive = alive_;
  Result<resp::RespValue> reply = co_await answer;
  if (!*alive) co_return fail(ErrorCode::kOriginDown, "the origin is shutting down");
  if (!reply) {
    ++stats_.errors;
    co_return std::unexpected(origin_error(reply.error(), is_load, until));
  }
  if (reply->is_error()) {
    ++stats_.errors;
    co_return fail(ErrorCode::kRejected,
                   fmt::format("{}: {}{}", describe(), reply->text, advice(reply->text)));
  }
  co_return reply;
}

// A load that was lost with its connection did nothing: the origin is down. A write that was lost may have
// happened.
Error RedisOrigin::origin_error(const Error& error, bool is_load, MonoTime deadline) const {
  Error out = error;
  if (error.code == ErrorCode::kUnavailable) out.code = ErrorCode::kOriginDown;
  if (error.code == ErrorCode::kTimeout && is_load && executor_->now() < deadline)
    out.code = ErrorCode::kOriginDown;
  return out;
}

void RedisOrigin::schedule_pump() {
  if (pump_scheduled_) return;
  pump_scheduled_ = true;
  executor_->at_end_of_turn([this, alive = alive_] {
    if (!*alive) return;
    pump_scheduled_ = false;
    pump();
  });
}

void RedisOrigin::pump() {
  if (closing_) return;
  // Requests that answers of this round bring in wait for the next: a caller that retries at once cannot keep
  // us here.
  const std::uint64_t last = stats_.statements + queue_.size();
  while (!queue_.empty() && stats_.in_flight < options_.max_concurrency && stats_.statements < last)
    send_batch();
  if (queue_.empty()) return;
  start_ticking();
  if (stats_.in_flight < options_.max_concurrency) schedule_pump();
}

// One write, or as many loads as stand at the front of the line.
void RedisOrigin::send_batch() {
  std::vector<Job> jobs;
  do {
    queue_bytes_ -= queue_.front().bytes();
    jobs.push_back(std::move(queue_.front()));
    queue_.pop_front();
  } while (jobs.front().is_load && jobs.size() < kBatchMax && !queue_.empty() && queue_.front().is_load);
  ++stats_.statements;
  if (jobs.front().is_load) {
    ++stats_.batches;
    stats_.loads += jobs.size();
  }
  stats_.in_flight_max = std::max(stats_.in_flight_max, ++stats_.in_flight);
  auto batch = std::make_shared<Batch>();
  batch->left = jobs.size();
  for (Job& job : jobs) spawn(run_job(batch, std::move(job)));
}

Task<void> RedisOrigin::run_job(std::shared_ptr<Batch> batch, Job job) {
  auto alive = alive_;
  const std::vector<std::string_view> words(job.words.begin(), job.words.end());
  // A deadline that has passed still has to be positive: the client would take zero for "your own".
  const Duration left = std::max<Duration>(job.deadline - executor_->now(), 1ns);
  redis::Answer sent = client_.send(words, left);
  job.words.clear();
  Result<resp::RespValue> reply = co_await sent;
  if (*alive) {
    if (--batch->left == 0) {
      --stats_.in_flight;
      // In a later turn: an answer that comes at once (the client refuses) must not recurse through the line.
      if (!queue_.empty()) schedule_pump();
    }
  }
  job.answer.set(std::move(reply));
}

void RedisOrigin::start_ticking() {
  if (tick_ != TimerId{}) return;
  tick_ = executor_->schedule(executor_->now() + kTick, [this] {
    tick_ = TimerId{};
    expire(executor_->now());
    pump();
  });
}

// What waits for a place past its deadline is answered and not sent.
void RedisOrigin::expire(MonoTime now) {
  std::vector<Job> late;
  std::erase_if(queue_, [&](Job& job) {
    if (job.deadline > now) return false;
    queue_bytes_ -= job.bytes();
    late.push_back(std::move(job));
    return true;
  });
  for (const Job& job : late) {
    job.answer.set(fail(job.is_load ? ErrorCode::kTimeout : ErrorCode::kOriginDown,
                        fmt::format("{}: no place among {} statements in time; nothing was sent", describe(),
                                    options_.max_concurrency)));
  }
}

Result<std::unique_ptr<RedisOrigin>> make_redis_origin(std::string_view url, RedisOrigin::Options options,
                                                       Executor* executor, Transport* transport,
                                                       std::uint64_t seed) {
  auto address = redis::parse_url(url);
  if (!address) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("origin {}: {}", options.name, address.error().message));
  }
  options.client.endpoint = address->endpoint;
  options.client.hello.user = address->user;
  options.client.hello.password = address->password;
  options.client.hello.database = address->database;
  return std::make_unique<RedisOrigin>(executor, transport, std::move(options), seed);
}

}  // namespace candor
