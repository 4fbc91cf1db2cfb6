#include "origin/redis_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "base/random.h"
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

redis::ClientOptions client_options(redis::ClientOptions options, redis::ClientTap* tap) {
  options.tap = tap;
  options.reply_limits = reply_limits();
  options.hello.scripts.clear();
  return options;
}

OriginGate::Options gate_options(const RedisOrigin::Options& options) {
  OriginGate::Options gate{options.name, options.max_concurrency, options.waiting_max, options.protection, 0};
  gate.protection.has_breaker = false;
  return gate;
}

std::string advice(std::string_view error) {
  if (error.starts_with("OOM")) return "; its `maxmemory` is used up";
  if (error.starts_with("WRONGTYPE")) return "; Candor reads strings only";
  if (error.starts_with("NOPERM")) return "; the user in the URL lacks the right";
  return "";
}

}  // namespace

// ---- one feature ----

class RedisOrigin::Bound final : public OriginFeature {
 public:
  Bound(RedisOrigin* origin, std::string feature, KeyPattern load, std::optional<KeyPattern> store,
        std::optional<KeyPattern> erase, bool is_watched)
      : origin_(origin),
        feature_(std::move(feature)),
        load_(std::move(load)),
        store_(std::move(store)),
        erase_(std::move(erase)),
        is_watched_(is_watched) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_urgent(std::move(key), deadline, nullptr);
  }
  Task<Result<OriginRow>> load_urgent(std::string key, MonoTime deadline, LoadUrgencyPtr urgency) override {
    auto name = load_.name_of(feature_, key);
    if (!name) co_return std::unexpected(name.error());
    std::vector<std::string> words{"GET", *name};
    const Kind kind = is_watched_ ? Kind::kWatchedLoad : Kind::kLoad;
    Result<Said> reply = co_await origin_->run(std::move(words), kind, deadline, std::move(urgency));
    if (!reply) co_return std::unexpected(reply.error());
    OriginRow row;
    if (is_watched_) row.stamp = reply->stamp;
    if (reply->value.is_null()) co_return row;
    row.ttl_left = reply->ttl_left;
    std::string& text = reply->value.text;
    if (text.size() > kValueBytesMax) {
      co_return fail(ErrorCode::kLimit,
                     fmt::format("{}: the value of a key of feature {} has {} bytes; Candor's limit is {}",
                                 origin_->describe(), feature_, text.size(), kValueBytesMax));
    }
    row.value = std::move(text);
    co_return row;
  }

  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    if (!store_) co_return fail(ErrorCode::kReadOnly, fmt::format("feature {} has no `store`", feature_));
    auto name = store_->name_of(feature_, key);
    if (!name) co_return std::unexpected(name.error());
    std::vector<std::string> words{"SET", *name, std::move(value)};
    Result<Said> reply = co_await origin_->run(std::move(words), Kind::kWrite, deadline, nullptr);
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
    Result<Said> reply = co_await origin_->run(std::move(words), Kind::kWrite, deadline, nullptr);
    if (!reply) co_return std::unexpected(reply.error());
    OriginWrite done;
    done.rows = static_cast<std::uint64_t>(std::max<std::int64_t>(0, reply->value.integer));
    co_return done;
  }

  [[nodiscard]] bool can_store() const override { return store_.has_value(); }
  [[nodiscard]] bool can_erase() const override { return erase_.has_value(); }
  [[nodiscard]] bool has_local_order() const override { return is_watched_; }

 private:
  RedisOrigin* origin_;
  std::string feature_;
  KeyPattern load_;
  std::optional<KeyPattern> store_, erase_;
  bool is_watched_;
};

// ---- the origin ----

RedisOrigin::RedisOrigin(Executor* executor, Transport* transport, Options options, std::uint64_t seed)
    : executor_(executor),
      options_(std::move(options)),
      gate_(gate_options(options_)),
      tracking_(mix64(seed + 1)),
      client_(executor, transport, client_options(options_.client, &tracking_), seed) {
  stats_.max_concurrency = options_.max_concurrency;
}

RedisOrigin::~RedisOrigin() {
  *alive_ = false;
  closing_ = true;
  executor_->cancel(tick_);
  executor_->cancel(tracking_timer_);
  tracking_.listen(nullptr);
  for (auto& line : std::exchange(queue_, {}))
    for (Job& job : line) job.answer.set(fail(ErrorCode::kUnavailable, describe() + ": shutting down"));
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
  if (statements.is_watched) want_tracking();
  return std::make_unique<Bound>(this, statements.feature, std::move(*load), std::move(writes[0]),
                                 std::move(writes[1]), statements.is_watched);
}

Task<Result<void>> RedisOrigin::prepare() {
  std::vector<std::string> ping{"PING"};
  Result<Said> reply = co_await run(std::move(ping), Kind::kWrite, MonoTime::max(), nullptr);
  if (!reply) co_return std::unexpected(reply.error());
  co_return Result<void>{};
}

void RedisOrigin::protect(const OriginProtection& protection) {
  options_.protection = protection;
  gate_.adopt(gate_options(options_).protection);
  schedule_pump();
}

OriginStats RedisOrigin::stats() const {
  OriginStats stats = stats_;
  const redis::ClientStats client = client_.stats();
  gate_.report(stats, executor_->now());
  stats.waiting = static_cast<std::uint32_t>(waiting());
  stats.connected = client.connected;
  stats.has_breaker = true;
  stats.breaker = client.breaker;
  stats.breaker_opened = client.breaker_opened;
  stats.refused = client.refused_by_breaker;
  return stats;
}

std::size_t RedisOrigin::Job::bytes() const {
  std::size_t sum = 0;
  for (const std::string& word : words) sum += word.size();
  return sum;
}

// ---- what is heard ----

void RedisOrigin::want_tracking() {
  if (tracking_.is_wanted()) return;
  tracking_.want();
  client_.want_tracking();
  look_for_tracking();
}

// At once on a connection that was made before anybody wanted it, then again while the server refuses.
void RedisOrigin::look_for_tracking() {
  if (tracking_.may_ask()) spawn(ask_for_tracking());
  tracking_timer_ = executor_->schedule(executor_->now() + kTrackingRetry, [this] { look_for_tracking(); });
}

Task<void> RedisOrigin::ask_for_tracking() {
  auto alive = alive_;
  const std::uint64_t connection = tracking_.connection();
  const std::vector<std::string_view> words{"CLIENT", "TRACKING", "ON"};
  redis::Answer answer = client_.send(words);
  Result<resp::RespValue> reply = co_await answer;
  if (!*alive || !reply || tracking_.connection() != connection) co_return;
  reply->is_error() ? tracking_.on_refused(reply->text) : tracking_.on_accepted();
}

// Past the line of statements: it asks nothing of the database, and a proof must not wait for a busy line.
Task<Result<OriginProbe>> RedisOrigin::probe(MonoTime deadline) {
  auto alive = alive_;
  if (!tracking_.is_wanted()) co_return fail(ErrorCode::kNotFound, describe() + ": nothing is watched");
  const std::vector<std::string_view> words{"PING"};
  redis::Answer answer = client_.send(words, std::max<Duration>(deadline - executor_->now(), 1ns));
  Result<resp::RespValue> reply = co_await answer;
  if (!*alive) co_return fail(ErrorCode::kOriginDown, "the origin is shutting down");
  if (!reply) co_return std::unexpected(origin_error(reply.error(), true, deadline));
  if (!tracking_.is_tracked())
    co_return fail(ErrorCode::kNotFound, describe() + ": the server does not track this connection");
  co_return tracking_.probe();
}

// ---- requests ----

Task<Result<RedisOrigin::Said>> RedisOrigin::run(std::vector<std::string> words, Kind kind, MonoTime deadline,
                                                 LoadUrgencyPtr urgency) {
  const bool is_load = kind != Kind::kWrite;
  Job job;
  job.asks_expiry = kind == Kind::kWatchedLoad;
  job.words = std::move(words);
  job.is_load = is_load;
  job.arrived = executor_->now();
  job.deadline = std::min(deadline, job.arrived + options_.timeout);
  // Writes stand where readers of normal priority do, but are not refused before the line is full: nothing
  // stands in for them.
  const LoadClass of = urgency != nullptr ? urgency->get() : LoadClass::kNormal;
  const OriginGate::Line line{waiting(), waits_since(of)};
  const LoadClass judged_as = is_load ? of : LoadClass::kCritical;
  if (auto pass = gate_.admit({judged_as, job.deadline, !is_load}, line, job.arrived); !pass) {
    ++stats_.errors;
    co_return std::unexpected(std::move(pass.error()));
  }
  const std::size_t bytes = job.bytes();
  if (queue_bytes_ + bytes > kWaitingBytesMax) {
    ++stats_.errors;
    co_return fail(ErrorCode::kOverloaded,
                   fmt::format("{}: {} requests of {} bytes wait for one of {} places already; retry later",
                               describe(), waiting(), queue_bytes_, gate_.limit(executor_->now())));
  }
  const OneShot<Result<Said>> answer = job.answer;
  const MonoTime until = job.deadline;
  if (urgency != nullptr && of != LoadClass::kCritical) {
    job.urgency = std::move(urgency);
    listen_for_raise(job.urgency, of);
  }
  queue_bytes_ += bytes;
  queue_[static_cast<std::size_t>(of)].push_back(std::move(job));
  schedule_pump();
  auto alive = alive_;
  Result<Said> reply = co_await answer;
  if (!*alive) co_return fail(ErrorCode::kOriginDown, "the origin is shutting down");
  if (!reply) {
    ++stats_.errors;
    co_return std::unexpected(origin_error(reply.error(), is_load, until));
  }
  if (reply->value.is_error()) {
    ++stats_.errors;
    const std::string& text = reply->value.text;
    co_return fail(ErrorCode::kRejected, fmt::format("{}: {}{}", describe(), text, advice(text)));
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

void RedisOrigin::listen_for_raise(const LoadUrgencyPtr& urgency, LoadClass from) {
  std::weak_ptr<LoadUrgency> raised = urgency;
  urgency->on_raise([this, alive = alive_, raised, from] {
    const auto to = raised.lock();
    if (!*alive || to == nullptr) return;
    for (auto of = static_cast<std::size_t>(from); of > static_cast<std::size_t>(to->get()); --of) {
      auto& line = queue_[of];
      const auto job = std::ranges::find(line, to, &Job::urgency);
      if (job == line.end()) continue;
      job->arrived = executor_->now();  // in this class's line
      queue_[static_cast<std::size_t>(to->get())].push_back(std::move(*job));
      line.erase(job);
      return;
    }
  });
}

std::size_t RedisOrigin::waiting() const {
  std::size_t sum = 0;
  for (const auto& line : queue_) sum += line.size();
  return sum;
}

std::optional<MonoTime> RedisOrigin::waits_since(LoadClass of) const {
  std::optional<MonoTime> since;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(of); ++i)
    if (!queue_[i].empty()) since = std::min(since.value_or(MonoTime::max()), queue_[i].front().arrived);
  return since;
}

std::deque<RedisOrigin::Job>* RedisOrigin::best_line() {
  const auto line = std::ranges::find_if(queue_, [](const auto& of) { return !of.empty(); });
  return line == queue_.end() ? nullptr : &*line;
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
  const std::uint64_t last = stats_.statements + waiting();
  const auto has_place = [this] { return stats_.in_flight < gate_.limit(executor_->now()); };
  while (best_line() != nullptr && has_place() && stats_.statements < last) send_batch();
  if (best_line() == nullptr) return;
  start_ticking();
  if (has_place()) schedule_pump();
}

// One write, or as many loads as stand at the front of the line, of the best classes first.
void RedisOrigin::send_batch() {
  std::vector<Job> jobs;
  for (auto* line = best_line(); line != nullptr && jobs.size() < kBatchMax; line = best_line()) {
    if (!jobs.empty() && !(jobs.front().is_load && line->front().is_load)) break;
    queue_bytes_ -= line->front().bytes();
    jobs.push_back(std::move(line->front()));
    line->pop_front();
    if (!jobs.front().is_load) break;
  }
  ++stats_.statements;
  if (jobs.front().is_load) {
    ++stats_.batches;
    stats_.loads += jobs.size();
  }
  stats_.in_flight_max = std::max(stats_.in_flight_max, ++stats_.in_flight);
  auto batch = std::make_shared<Batch>();
  batch->left = jobs.size();
  batch->statement =
      gate_.sent({0, static_cast<std::uint32_t>(jobs.size())}, stats_.in_flight, executor_->now());
  for (Job& job : jobs) spawn(run_job(batch, std::move(job)));
}

void RedisOrigin::give_back(const Batch& batch) {
  --stats_.in_flight;
  const MonoTime now = executor_->now();
  batch.failed ? gate_.lost(now) : gate_.answered(batch.statement, now);
  // In a later turn: an answer that comes at once (the client refuses) must not recurse through the line.
  if (best_line() != nullptr) schedule_pump();
}

// What PTTL answered: -1 no expiry, -2 gone since the GET.
void RedisOrigin::note_expiry(const resp::RespValue& answer, Said& said) {
  if (answer.is_error()) {
    said.value = answer;  // without it an expired value would be kept: the load fails, and says why
  } else if (answer.integer != -1) {
    said.ttl_left = std::chrono::milliseconds(std::max<std::int64_t>(0, answer.integer));
  }
}

Task<void> RedisOrigin::run_job(std::shared_ptr<Batch> batch, Job job) {
  auto alive = alive_;
  const std::vector<std::string_view> words(job.words.begin(), job.words.end());
  // A deadline that has passed still has to be positive: the client would take zero for "your own".
  const Duration left = std::max<Duration>(job.deadline - executor_->now(), 1ns);
  redis::Answer sent = client_.send(words, left);
  std::optional<redis::Answer> expiry;
  if (job.asks_expiry) {
    // Behind the GET: an expiry that is set in between is a change of the key, and comes as an invalidation.
    const std::vector<std::string_view> question{"PTTL", words[1]};
    expiry = client_.send(question, left);
  }
  job.words.clear();
  Result<resp::RespValue> reply = co_await sent;
  Result<Said> said = reply ? Result<Said>(Said{std::move(*reply), Stamp{}})
                            : Result<Said>(std::unexpected(std::move(reply.error())));
  // Taken now, while the reply is the last that was read of the stream.
  if (*alive && said) said->stamp = tracking_.stamp();
  if (expiry) {
    redis::Answer asked = *expiry;
    Result<resp::RespValue> left_ms = co_await asked;
    if (said && !left_ms) said = std::unexpected(std::move(left_ms.error()));
    if (said && left_ms) note_expiry(*left_ms, *said);
  }
  if (*alive) {
    batch->failed = batch->failed || !said;
    if (--batch->left == 0) give_back(*batch);
  }
  job.answer.set(std::move(said));
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
  for (auto& line : queue_) {
    std::erase_if(line, [&](Job& job) {
      if (job.deadline > now) return false;
      queue_bytes_ -= job.bytes();
      late.push_back(std::move(job));
      return true;
    });
  }
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
