// What a reader gets when the origin has not enough for all: how urgent its load is, what stands in for it,
// and that nobody waits past a deadline.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "origin/function_origin.h"
#include "origin/test_world.h"
#include "tier/l2/memory_l2.h"

namespace candor {
namespace {

// Keeps what was asked until the test answers.
struct Desk {
  struct Asked {
    LoadUrgencyPtr urgency;
    OneShot<Result<OriginRow>> row;
  };
  std::vector<Asked> asked;
  void answer(std::size_t index, Result<OriginRow> row) { (void)asked.at(index).row.set(std::move(row)); }
};

struct DeskFeature final : OriginFeature {
  explicit DeskFeature(Desk* d) : desk(d) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_urgent(std::move(key), deadline, nullptr);
  }
  Task<Result<OriginRow>> load_urgent(std::string, MonoTime, LoadUrgencyPtr urgency) override {
    const OneShot<Result<OriginRow>> row;
    desk->asked.push_back({std::move(urgency), row});
    Result<OriginRow> loaded = co_await row;
    co_return loaded;
  }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override { co_return OriginWrite{}; }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override { co_return OriginWrite{}; }
  [[nodiscard]] bool can_store() const override { return false; }
  [[nodiscard]] bool can_erase() const override { return false; }
  Desk* desk;
};

Result<OriginRow> row_of(std::string value) {
  OriginRow row;
  row.value = std::move(value);
  return row;
}
Result<OriginRow> overloaded() { return fail(ErrorCode::kOverloaded, "the line is long"); }

class DegradationTest : public testing::Test {
 protected:
  using Answer = std::shared_ptr<std::optional<Result<ReadResult>>>;

  DegradationTest() { make(nullptr, 1000); }
  ~DegradationTest() override {
    for (const auto& one : desk_.asked) (void)one.row.set(fail(ErrorCode::kOriginDown, "the test is over"));
    for (int i = 0; i < 3; ++i) {
      executor().advance(1min);
      world_.settle();
    }
  }
  VirtualExecutor& executor() { return world_.executor; }
  void make(L2* l2, std::size_t waiters_max) {
    CacheCore::Parts parts;
    parts.clock = &executor();
    parts.home = &executor();
    parts.l1 = &store_;
    parts.l2 = l2;
    parts.waiters_max = waiters_max;
    cache_ = std::make_unique<CacheCore>(parts);
  }
  static FeaturePolicy policy(Priority priority = Priority::kNormal) {
    FeaturePolicy out;
    out.name = "user";
    out.ttl = 1s;
    out.ttl_jitter = out.refresh_beta = 0;
    out.serve_stale = 1min;
    out.priority = priority;
    return out;
  }
  FeatureId add(FeaturePolicy of, std::unique_ptr<OriginFeature> origin = nullptr) {
    if (origin == nullptr) origin = std::make_unique<DeskFeature>(&desk_);
    return cache_->add_feature(std::move(of), std::move(origin)).value();
  }
  Answer read(FeatureId id, const std::string& key = "1", CacheCore::ReadOptions options = {}) {
    auto answer = std::make_shared<std::optional<Result<ReadResult>>>();
    cache_->read(id, key, options, [answer](Result<ReadResult> r) { answer->emplace(std::move(r)); });
    executor().run_ready();
    return answer;
  }
  // Held, and past its ttl.
  void hold_old(FeatureId id, const std::string& value) {
    const Answer first = read(id);
    desk_.answer(desk_.asked.size() - 1, row_of(value));
    executor().run_ready();
    ASSERT_TRUE(*first && (*first)->has_value());
    executor().advance(2s);
  }
  static std::string text(const Answer& answer) {
    if (!*answer) return "(waits)";
    const auto& r = **answer;
    if (!r) return std::string(error_code_name(r.error().code));
    return (r->value ? *r->value : "<none>") +
           (r->degraded != nullptr ? std::string(", ") + r->degraded : "");
  }
  // What a reader who gave itself so long has heard a moment before its end, and at it.
  void expect_deadline(FeatureId id) {
    CacheCore::ReadOptions hurry;
    hurry.deadline = executor().now() + 50ms;
    const Answer answer = read(id, "late", hurry);
    executor().advance(49ms);
    EXPECT_EQ(text(answer), "(waits)");
    executor().advance(1ms);
    EXPECT_EQ(text(answer), error_code_name(ErrorCode::kTimeout));
  }

  testing_world::World world_;
  l1::Store store_{[] {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{4} << 20;
    return options;
  }()};
  Desk desk_;
  std::unique_ptr<CacheCore> cache_;
};

TEST_F(DegradationTest, ALoadIsAsUrgentAsItsFeature) {
  (void)read(add(policy(Priority::kLow)));
  EXPECT_EQ(desk_.asked.at(0).urgency->get(), LoadClass::kLow);
  FeaturePolicy critical = policy(Priority::kCritical);
  critical.name = "cart";
  critical.consistency = Consistency::kOrigin;  // and one that goes past the tiers
  (void)read(add(critical));
  EXPECT_EQ(desk_.asked.at(1).urgency->get(), LoadClass::kCritical);
}

TEST_F(DegradationTest, AReaderWhoJoinsABackgroundLoadMakesItUrgent) {
  const FeatureId id = add(policy(Priority::kLow));
  cache_->warm(id, "1", [](CacheCore::Warmed, const Error*) {});
  ASSERT_EQ(desk_.asked.at(0).urgency->get(), LoadClass::kBackground);
  (void)read(id);
  EXPECT_EQ(desk_.asked.size(), 1U);
  EXPECT_EQ(desk_.asked.at(0).urgency->get(), LoadClass::kLow);
}

// Its time went by while it waited behind everybody; the reader has all of its own.
TEST_F(DegradationTest, AReaderWhoJoinsABackgroundLoadDoesNotInheritItsEnd) {
  const FeatureId id = add(policy());
  int warmed = 0;
  cache_->warm(id, "1", [&](CacheCore::Warmed, const Error*) { ++warmed; });
  executor().advance(4s);
  const Answer answer = read(id);
  executor().advance(900ms);
  desk_.answer(0, fail(ErrorCode::kTimeout, "nothing was sent"));
  executor().run_ready();
  EXPECT_EQ(text(answer), "(waits)");
  ASSERT_EQ(desk_.asked.size(), 2U);
  desk_.answer(1, row_of("v"));
  executor().run_ready();
  EXPECT_EQ(text(answer), "v");
  EXPECT_EQ(warmed, 1);
  // Without readers it is over.
  cache_->warm(id, "2", [&](CacheCore::Warmed, const Error*) { ++warmed; });
  desk_.answer(2, fail(ErrorCode::kTimeout, "nothing was sent"));
  executor().run_ready();
  EXPECT_EQ(warmed, 2);
  EXPECT_EQ(desk_.asked.size(), 3U);
}

TEST_F(DegradationTest, WhoWarmsHearsWhyALoadFailedThoughAnOldValueIsHeld) {
  const FeatureId id = add(policy());
  hold_old(id, "old");
  std::optional<ErrorCode> why;
  cache_->warm(id, "1", [&](CacheCore::Warmed, const Error* error) { why = error->code; });
  const Answer answer = read(id);
  desk_.answer(1, fail(ErrorCode::kRejected, "no such column"));
  executor().run_ready();
  EXPECT_EQ(why, ErrorCode::kRejected);
  EXPECT_EQ(text(answer), "old, origin failed") << "readers do";
}

TEST_F(DegradationTest, ARefusedLoadIsAnsweredWithTheOldValueAndCounted) {
  const FeatureId id = add(policy());
  hold_old(id, "old");
  const Answer first = read(id), second = read(id), absent = read(id, "2");
  desk_.answer(1, overloaded());
  desk_.answer(2, overloaded());
  executor().run_ready();
  EXPECT_EQ(text(first), "old, overloaded");
  EXPECT_EQ(text(second), "old, overloaded");
  EXPECT_EQ(text(absent), error_code_name(ErrorCode::kOverloaded));
  EXPECT_EQ(cache_->feature(id).counters.shed.value(), 3U);
}

TEST_F(DegradationTest, AStrictReaderGetsNoOldValueWhenItsLoadIsRefused) {
  FeaturePolicy strict = policy();
  strict.consistency = Consistency::kBounded;
  strict.max_staleness = 1s;
  const FeatureId id = add(strict);
  hold_old(id, "old");
  const Answer answer = read(id);
  desk_.answer(1, overloaded());
  executor().run_ready();
  EXPECT_EQ(text(answer), error_code_name(ErrorCode::kOverloaded));
}

TEST_F(DegradationTest, WhoFindsTheNodeFullGetsTheOldValueToo) {
  make(nullptr, 2);
  const FeatureId id = add(policy());
  hold_old(id, "old");
  (void)read(id, "a");
  (void)read(id, "b");
  EXPECT_EQ(text(read(id)), "old, overloaded");
  EXPECT_EQ(text(read(id, "c")), error_code_name(ErrorCode::kOverloaded));
  EXPECT_EQ(cache_->waiting(), 2U);
}

TEST_F(DegradationTest, TheDeadlineHoldsAtTheOrigin) { expect_deadline(add(policy())); }

TEST_F(DegradationTest, TheDeadlineHoldsAtL2) {
  l2::MemoryL2 l2(&executor(), {}, 1);
  make(&l2, 1000);
  const FeatureId id = add(policy());
  bool is_leased = false;  // by a node that died with it
  spawn(l2.get_or_lease("user:late", 3s, false),
        [&](const Result<L2Lookup>& found) { is_leased = found.has_value(); });
  executor().run_ready();
  ASSERT_TRUE(is_leased);
  expect_deadline(id);
  EXPECT_TRUE(desk_.asked.empty());
  executor().advance(10s);
  desk_.answer(0, row_of("v"));
  executor().run_ready();
  cache_.reset();
}

// An origin with one place, in which a statement stays: the next one waits in the line.
class LineTest : public DegradationTest {
 protected:
  LineTest() {
    OriginFunctions functions;
    functions.load = [](std::string_view) { return std::optional<std::string>("v"); };
    origin_.set_functions("user", std::move(functions));
  }
  ~LineTest() override {
    world_.settle();
    executor().advance(1min);
    world_.settle();
    cache_.reset();
  }
  FeatureId add_by_function(Consistency level) {
    FeaturePolicy of = policy();
    of.consistency = level;
    return add(of, origin_.bind({.feature = "user"}).value());
  }
  FunctionOrigin origin_{{.name = "own", .max_concurrency = 1, .waiting_max = 100}, executor(), world_.pool};
};

TEST_F(LineTest, TheDeadlineHoldsInTheLineOfTheOrigin) {
  const FeatureId id = add_by_function(Consistency::kSession);
  (void)read(id, "holds the place");
  expect_deadline(id);
  EXPECT_EQ(origin_.stats().in_flight, 1U);
  EXPECT_EQ(origin_.stats().waiting, 1U);  // it will fill the cache
}

TEST_F(LineTest, TheDeadlineHoldsPastTheTiers) {
  const FeatureId id = add_by_function(Consistency::kOrigin);
  expect_deadline(id);
  expect_deadline(id);  // this one waits for the first
  EXPECT_EQ(origin_.stats().waiting, 0U);
}

}  // namespace
}  // namespace candor
