// The disk tier under the cache, on a virtual clock: whatever a change, a write or a newer load makes old is
// not served from there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "tier/disk/disk_tier.h"
#include "tier/disk/testing_store.h"

namespace candor {
namespace {

constexpr Incarnation kHistory{7};
constexpr FeatureId kUser{0};

// Rows with versions, answered at once.
struct Rows {
  std::map<std::string, std::pair<std::string, std::uint64_t>> rows;
  std::uint64_t visible = 10;
  Incarnation history = kHistory;
  std::vector<std::string> loads, confirmations;
};

struct RowsOrigin final : OriginFeature {
  explicit RowsOrigin(Rows* r) : rows(r) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    rows->loads.push_back(key);
    OriginRow row;
    if (const auto found = rows->rows.find(key); found != rows->rows.end()) row.value = found->second.first;
    row.stamp.up_to = ChangeId{rows->visible};
    co_return row;
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime) override {
    rows->confirmations.push_back(key);
    const auto found = rows->rows.find(key);
    const bool same = found != rows->rows.end() && held.stamp.includes(ChangeId{found->second.second});
    co_return same&& held.history == rows->history;
  }
  [[nodiscard]] bool can_confirm() const override { return true; }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime) override {
    rows->rows[key] = {std::move(value), ++rows->visible};
    co_return OriginWrite{1, ChangeId{rows->visible}};
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime) override {
    rows->rows.erase(key);
    co_return OriginWrite{1, ChangeId{++rows->visible}};
  }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }
  Rows* rows;
};

class DiskPathTest : public testing::TestWithParam<bool> {
 protected:
  DiskPathTest() { open(); }
  void TearDown() override { close(); }
  [[nodiscard]] static bool is_watched() { return GetParam(); }

  void open() {
    disk::DiskTier::World world;
    world.home = &executor_;
    world.clock = &executor_;
    world.pool = &pool_;
    disk::DiskTier::Options options;
    options.disk_bytes = 16 << 20;
    options.write_rate = 0;
    options.boot = 3;
    options.held_flag = kHeldByDisk;
    options.never_flags = kPendingWrite;
    disk_ = std::make_unique<disk::DiskTier>(std::move(world), options, files_);
    disk_->add_feature("user", 1, true);
    l1::StoreOptions l1;
    l1.memory_limit = std::size_t{2} << 20;
    l1.features_max = 4;
    l1.policy = l1::PolicyKind::kLru;  // what was read last leaves last
    l1.evicted = disk_.get();
    store_ = std::make_unique<l1::Store>(l1);
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = store_.get();
    parts.disk = disk_.get();
    parts.seed = 1;
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl = 10min;
    policy.ttl_jitter = 0;
    policy.refresh_beta = 0;
    EXPECT_TRUE(
        cache_->add_feature(policy, std::make_unique<RowsOrigin>(&origin_), is_watched() ? "db" : ""));
    if (is_watched()) start();
  }
  void close() {
    pool_.release();
    cache_->close();
    executor_.advance(1min);
    EXPECT_EQ(cache_->waiting(), 0u);
    store_->check_invariants();
    cache_.reset();
    disk_->close();
    store_.reset();
    disk_.reset();
  }
  void start() {
    cache_->note_applied("db", kHistory, Position{1});
    executor_.advance(10ms);
    cache_->settle_floor("db", executor_.now());
    executor_.advance(10ms);
    prove();
  }
  // What readers have seen is applied here.
  void prove() {
    executor_.advance(2ms);
    if (is_watched()) cache_->prove("db", executor_.now(), ChangeId{origin_.visible});
  }
  void apply(const std::string& key, std::string value) {
    origin_.rows[key] = {std::move(value), ++origin_.visible};
    tell(key);
  }
  void tell(const std::string& key) {
    const ChangeId id{origin_.rows[key].second};
    cache_->apply_change("db", {"user", key, Change::Scope::kKey, id, Position{id.value}, WallTime{0}});
    executor_.run_ready();
    cache_->retire_markers("db", id, executor_.now(), Position{id.value});
  }
  ReadResult read(const std::string& key, CacheCore::ReadOptions options = {}) {
    std::optional<Result<ReadResult>> answer;
    cache_->read(kUser, key, options, [&answer](Result<ReadResult> result) { answer = std::move(result); });
    executor_.run_ready();
    EXPECT_TRUE(answer && *answer);
    return **answer;
  }
  std::string value(const std::string& key) { return *read(key).value; }
  void put(const std::string& key, const std::string& bytes) { origin_.rows[key] = {bytes, 5}; }
  // Reads other keys until these have left L1.
  void push_out() {
    for (int i = 0; i < 1500; ++i) {
      const std::string key = fmt::format("filler {} {}", ++fillers_, i);
      origin_.rows[key] = {std::string(2000, 'f'), 5};
      (void)read(key);
      origin_.rows.erase(key);
    }
    prove();
  }
  // Loaded and evicted twice: the second time the disk takes it.
  void demote(const std::string& key) {
    (void)read(key);
    push_out();
    (void)read(key);
    push_out();
    origin_.loads.clear();
  }
  bool is_on_disk(const std::string& key) { return files_->records.contains("user:" + key); }

  VirtualExecutor executor_{MonoTime{3'600'000'000'000}};
  disk::TestingPool pool_;
  std::shared_ptr<disk::TestingStore> files_ = std::make_shared<disk::TestingStore>();
  Rows origin_;
  std::unique_ptr<disk::DiskTier> disk_;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
  int fillers_ = 0;
};
INSTANTIATE_TEST_SUITE_P(TtlOnlyAndWatched, DiskPathTest, testing::Bool());

TEST_P(DiskPathTest, WhatL1EvictedComesBackFromTheDiskWithItsAge) {
  put("7", "seven");
  demote("7");
  ASSERT_TRUE(is_on_disk("7"));
  executor_.advance(1min);
  prove();
  const ReadResult first = read("7");
  EXPECT_EQ(*first.value, "seven");
  EXPECT_EQ(first.tier, Tier::kDisk);
  EXPECT_GE(first.age, 1min);
  EXPECT_LE(first.ttl_left, 9min);
  EXPECT_EQ(read("7").tier, Tier::kL1) << "promoted";
  EXPECT_GE(read("7").age, 1min);
  EXPECT_TRUE(origin_.loads.empty());
  EXPECT_EQ(cache_->feature(kUser).counters.hits_disk.value(), 1u);
}

TEST_P(DiskPathTest, WhatTheDiskHoldsIsNotWrittenAgain) {
  put("7", "seven");
  demote("7");
  const std::string bytes = files_->records["user:7"];  // with its sequence number
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(read("7").tier, Tier::kDisk);
    push_out();
  }
  EXPECT_EQ(files_->records["user:7"], bytes);
}

TEST_P(DiskPathTest, ItsTtlIsNotProlonged) {
  put("7", "seven");
  demote("7");
  origin_.rows["7"].first = "later";
  executor_.advance(10min);
  EXPECT_EQ(value("7"), "later");
}

TEST_P(DiskPathTest, AWriteMakesItUnservable) {
  put("7", "seven");
  demote("7");
  std::optional<Result<WriteResult>> written;
  pool_.holds = true;
  cache_->write(kUser, "7", "new", [&](Result<WriteResult> r) { written = std::move(r); });
  executor_.run_ready();
  ASSERT_TRUE(written && *written);
  ASSERT_TRUE(is_on_disk("7")) << "its removal waits";
  pool_.holds = false;
  EXPECT_EQ(value("7"), "new");
}

TEST_P(DiskPathTest, ACommandMakesItUnservable) {
  put("7", "seven");
  for (int way = 0; way < 4; ++way) {
    demote("7");
    ASSERT_TRUE(is_on_disk("7")) << way;
    origin_.rows["7"].first = fmt::format("new {}", way);
    const auto done = [](const Result<WriteResult>& r) { EXPECT_TRUE(r); };
    if (way == 0) cache_->invalidate(kUser, "7", done);
    if (way == 1) cache_->flush(kUser, done);
    if (way == 2) cache_->flush(std::nullopt, done);
    if (way == 3) cache_->forget_name("user:7");
    executor_.run_ready();
    EXPECT_EQ(value("7"), fmt::format("new {}", way));
    cache_->flush(std::nullopt, done);
    executor_.run_ready();
  }
}

TEST_P(DiskPathTest, ANewerLoadReplacesIt) {
  put("7", "seven");
  demote("7");
  origin_.rows["7"].first = "new";
  // Past the disk, as a refresh is; L1 then evicts it, unadmitted or not.
  cache_->invalidate(kUser, "other", [](const Result<WriteResult>&) {});
  CacheCore::ReadOptions origin_level;
  origin_level.use_feature_level = false;
  origin_level.level = Consistency::kOrigin;
  EXPECT_EQ(*read("7", origin_level).value, "new");
  prove();
  push_out();
  if (is_watched()) {
    EXPECT_EQ(value("7"), "new") << "a reader of this node has seen it";
  }
}

TEST_P(DiskPathTest, AChangeWhileTheDiskIsReadWins) {
  put("7", "seven");
  demote("7");
  pool_.holds = true;
  std::optional<Result<ReadResult>> early;
  cache_->read(kUser, "7", {}, [&](Result<ReadResult> r) { early = std::move(r); });
  executor_.run_ready();
  pool_.run_one();
  origin_.rows["7"] = {"new", ++origin_.visible};
  if (is_watched())
    tell("7");
  else
    cache_->forget_name("user:7");
  pool_.release();
  executor_.run_ready();
  ASSERT_TRUE(early && *early);
  EXPECT_EQ(value("7"), "new");
  push_out();
  EXPECT_EQ(value("7"), "new");
}

TEST_P(DiskPathTest, ASlowDiskIsPassedOver) {
  put("7", "seven");
  demote("7");
  pool_.holds = true;
  std::optional<Result<ReadResult>> answer;
  cache_->read(kUser, "7", {}, [&](Result<ReadResult> r) { answer = std::move(r); });
  executor_.advance(disk::DiskTier::kReadPatience);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->tier, Tier::kOrigin);
}

class WatchedDiskPathTest : public DiskPathTest {};
INSTANTIATE_TEST_SUITE_P(Watched, WatchedDiskPathTest, testing::Values(true));
class TtlOnlyDiskPathTest : public DiskPathTest {};
INSTANTIATE_TEST_SUITE_P(TtlOnly, TtlOnlyDiskPathTest, testing::Values(false));

TEST_P(WatchedDiskPathTest, AForeignChangeMakesItUnservable) {
  put("7", "seven");
  demote("7");
  pool_.holds = true;
  apply("7", "new");
  pool_.holds = false;
  ASSERT_TRUE(is_on_disk("7")) << "its removal waits";
  EXPECT_EQ(value("7"), "new");
}

TEST_P(WatchedDiskPathTest, AFloorMakesItSuspectAndAnotherHistoryWorthless) {
  put("7", "seven");
  demote("7");
  cache_->raise_floor("db", "", Suspects::kMayBeConfirmed);
  origin_.rows["7"] = {"new", ++origin_.visible};
  EXPECT_EQ(value("7"), "new") << "nobody tells of what was missed";
  push_out();
  executor_.advance(10ms);
  cache_->settle_floor("db", executor_.now());
  executor_.advance(10ms);
  demote("7");
  ASSERT_TRUE(is_on_disk("7"));
  origin_.rows["7"] = {"restored", 3};
  cache_->raise_floor("db", "", Suspects::kAreOfAnotherHistory);
  EXPECT_EQ(value("7"), "restored");
}

TEST_P(WatchedDiskPathTest, ABoundedReadIsProvenByTheWatermark) {
  put("7", "seven");
  demote("7");
  executor_.advance(1min);
  CacheCore::ReadOptions bounded;
  bounded.use_feature_level = false;
  bounded.level = Consistency::kBounded;
  bounded.bound = 500ms;
  prove();
  const ReadResult proven = read("7", bounded);
  EXPECT_EQ(proven.tier, Tier::kDisk);
  ASSERT_TRUE(proven.fresh_within);
  EXPECT_LE(*proven.fresh_within, 500ms);
  push_out();
  executor_.advance(1min);
  EXPECT_EQ(read("7", bounded).tier, Tier::kOrigin) << "nothing is proven since";
}

TEST_P(WatchedDiskPathTest, AfterARestartTheOriginIsAskedForTheVersion) {
  put("7", "seven");
  put("8", "eight");
  demote("7");
  demote("8");
  close();
  origin_.rows["8"] = {"changed while down", ++origin_.visible};
  open();
  const ReadResult same = read("7");
  EXPECT_EQ(*same.value, "seven");
  EXPECT_EQ(same.tier, Tier::kDisk);
  EXPECT_EQ(value("8"), "changed while down");
  EXPECT_EQ(origin_.confirmations, (std::vector<std::string>{"7", "8"}));
  EXPECT_EQ(origin_.loads, (std::vector<std::string>{"8"}));
}

TEST_P(WatchedDiskPathTest, AfterARestartAnotherHistoryIsNotServed) {
  put("7", "seven");
  demote("7");
  close();
  origin_.history = Incarnation{8};
  origin_.rows["7"] = {"restored", 3};
  open();
  cache_->note_applied("db", origin_.history, Position{1});
  EXPECT_EQ(value("7"), "restored");
  EXPECT_TRUE(origin_.confirmations.empty());
}

TEST_P(WatchedDiskPathTest, AfterARestartAndABreakOfTheFeedNothingIsConfirmed) {
  put("7", "seven");
  demote("7");
  close();
  open();
  cache_->raise_floor("db", "", Suspects::kMustBeLoaded);
  origin_.rows["7"] = {"of another table", 3};
  EXPECT_EQ(value("7"), "of another table");
}

TEST_P(TtlOnlyDiskPathTest, AfterARestartItLivesToItsTtl) {
  put("7", "seven");
  demote("7");
  close();
  open();
  EXPECT_EQ(read("7").tier, Tier::kDisk);
  push_out();
  executor_.advance(10min);
  origin_.rows["7"].first = "new";
  EXPECT_EQ(value("7"), "new");
}

}  // namespace
}  // namespace candor
