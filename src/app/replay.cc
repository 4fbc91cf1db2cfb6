#include "app/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "tier/l1/policy.h"
#include "tier/l1/queue_model.h"

namespace candor::app {
namespace {

constexpr std::size_t kBatch = 4096;
constexpr std::uint64_t kProgressEvery = 65536;  // requests; some tens of milliseconds
constexpr std::size_t kObjectsMax = std::size_t{1} << 31;
// The store's clock stands still, so that nothing expires; its housekeeping is called as often as progress is
// told.
constexpr l1::Millis kNow = 1;

// What a replay runs against.
class Subject {
 public:
  virtual ~Subject() = default;
  // True if the request hit; a miss is filled.
  [[nodiscard]] virtual bool request(std::uint64_t key, std::size_t value_bytes) = 0;
  virtual void keep_house() {}
  virtual void describe(ReplayReport* report) const = 0;
};

class Queues final : public Subject {
 public:
  explicit Queues(const ReplayOptions& options)
      : model_(l1::make_policy(options.policy, options.seed), options.objects, options.seed) {}

  bool request(std::uint64_t key, std::size_t /*value_bytes*/) override { return model_.request(key); }
  void describe(ReplayReport* report) const override {
    report->evictions = model_.evictions();
    report->entries = model_.entries();
    report->memory_used = model_.policy().memory_bytes();
  }

 private:
  l1::QueueModel model_;
};

class WholeStore final : public Subject {
 public:
  explicit WholeStore(const ReplayOptions& options)
      : store_({.memory_limit = options.memory, .policy = options.policy, .hash_seed = options.seed}) {}

  bool request(std::uint64_t number, std::size_t value_bytes) override {
    const std::string_view key(reinterpret_cast<const char*>(&number), sizeof(number));
    const l1::KeyHash hash = store_.hash(kFeature, key);
    {
      const l1::Store::ReadGuard guard(store_);
      l1::EntryView found;
      if (store_.find(guard, hash, kFeature, key, kNow, &found)) return true;
    }
    if (value_.size() < value_bytes) value_.resize(value_bytes);
    const std::string_view value = std::string_view(value_).substr(0, value_bytes);
    if (store_.put({.hash = hash, .feature = kFeature, .key = key, .value = value, .now = kNow}) ==
        l1::Store::PutResult::kTooLarge) {
      ++rejected_;
    }
    return false;
  }
  void keep_house() override { store_.maintain(kNow); }
  void describe(ReplayReport* report) const override {
    const l1::StoreStats stats = store_.stats();
    report->evictions = stats.evictions;
    report->entries = stats.entries;
    report->memory_used = stats.bytes_used;
    report->rejected = rejected_;
  }

 private:
  static constexpr FeatureId kFeature{};

  l1::Store store_;
  std::string value_;
  std::uint64_t rejected_ = 0;
};

Result<std::unique_ptr<Subject>> make_subject(const ReplayOptions& options) {
  if ((options.objects == 0) == (options.memory == 0)) {
    return fail(ErrorCode::kInvalidArgument,
                "replay needs the cache's size: either --objects N or --memory SIZE");
  }
  if (options.objects > kObjectsMax) {
    return fail(ErrorCode::kLimit, fmt::format("--objects {}: at most {}", options.objects, kObjectsMax));
  }
  if (options.objects != 0) return std::make_unique<Queues>(options);
  return std::make_unique<WholeStore>(options);
}

// The length of a request's value; where the trace does not say, one unit or the length that was asked for.
std::size_t value_bytes(const ReplayOptions& options, const TraceRequest& request) {
  if (request.size != 0) return std::min<std::size_t>(request.size, kValueBytesMax);
  return options.objects != 0 ? 1 : options.value_bytes;
}

void count(const ReplayOptions& options, Subject& subject, std::span<const TraceRequest> requests,
           ReplayReport* report) {
  for (const TraceRequest& request : requests) {
    const std::size_t bytes = value_bytes(options, request);
    ++report->requests;
    report->requested_bytes += bytes;
    if (subject.request(request.key, bytes)) continue;
    ++report->misses;
    report->missed_bytes += bytes;
  }
}

}  // namespace

Result<ReplayReport> replay(const ReplayOptions& options) {
  const Result<std::unique_ptr<Subject>> subject = make_subject(options);
  if (!subject) return std::unexpected(subject.error());
  Result<TraceReader> reader = TraceReader::open(options.trace, options.format);
  if (!reader) return std::unexpected(reader.error());

  ReplayReport report;
  std::vector<TraceRequest> batch(kBatch);
  std::uint64_t told = 0;
  for (;;) {
    const Result<std::size_t> got = reader->read(batch);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) break;
    count(options, **subject, std::span(batch).first(*got), &report);
    if (report.requests - told < kProgressEvery) continue;
    told = report.requests;
    (*subject)->keep_house();
    if (!options.progress) continue;
    if (!options.progress({.requests = report.requests,
                           .misses = report.misses,
                           .bytes_read = reader->bytes_read(),
                           .bytes_total = reader->bytes_total()})) {
      report.is_complete = false;
      break;
    }
  }
  (*subject)->describe(&report);
  return report;
}

}  // namespace candor::app
