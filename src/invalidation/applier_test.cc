// The applier on a virtual clock, between a stream and an origin that the test plays and a cache that writes
// down what is done to it.
#include "invalidation/applier.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/virtual_executor.h"

namespace candor {
namespace {

constexpr Incarnation kHistory{7};

// A log of calls, in order; what is called each probe is told apart from what happens once.
struct FakeTarget final : ChangeTarget {
  std::vector<std::string> calls;
  std::vector<std::string> proofs;
  std::map<std::string, bool> l2_trusted;
  std::function<void()> on_change;

  void apply_change(std::string_view origin, const Change& change) override {
    calls.push_back(fmt::format("change {} {}:{}", origin, change.feature, change.key));
    if (on_change) on_change();
  }
  void raise_floor(std::string_view origin, std::string_view feature, Suspects suspects) override {
    static constexpr const char* kNames[] = {"confirm", "load", "other"};
    calls.push_back(fmt::format("raise {}{}{} {}", origin, feature.empty() ? "" : " ", feature,
                                kNames[static_cast<std::size_t>(suspects)]));
  }
  void settle_floor(std::string_view origin, MonoTime since) override {
    calls.push_back(fmt::format("settle {} {}", origin, since.ms()));
  }
  void prove(std::string_view origin, MonoTime fresh_as_of, ChangeId) override {
    proofs.push_back(fmt::format("{} {}", origin, fresh_as_of.ms()));
  }
  void note_applied(std::string_view origin, Incarnation, Position position) override {
    calls.push_back(fmt::format("applied {} {}", origin, position.value));
  }
  void note_unheard(std::string_view origin, const std::vector<Unheard>& unheard) override {
    std::string features;
    for (const Unheard& one : unheard) features += " " + one.feature;
    calls.push_back(fmt::format("unheard {}:{}", origin, features));
  }
  void lose_proof(std::string_view) override {}
  void retire_markers(std::string_view, ChangeId, MonoTime, Position) override {}
  void trust_l2(std::string_view origin, bool trusted) override {
    bool& known = l2_trusted[std::string(origin)];
    if (std::exchange(known, trusted) == trusted) return;
    calls.push_back(fmt::format("l2 {} {}", origin, trusted ? "trusted" : "not trusted"));
  }
  void note_l2_state(std::uint32_t, std::uint64_t) override {}
  void forget_name(std::string_view name) override { calls.push_back(fmt::format("forget {}", name)); }
  void forget_feature(std::string_view feature) override {
    calls.push_back(fmt::format("forget feature {}", feature));
  }
  [[nodiscard]] std::vector<std::string> take() { return std::exchange(calls, {}); }
};

// Answers when the test says so, or at once with `answer`.
struct FakeOrigin final : Origin {
  std::optional<OriginProbe> answer;
  bool hangs = false;
  std::deque<OneShot<Result<OriginProbe>>> asked;
  std::vector<Unheard> unheard;

  void note_unheard(const std::vector<Unheard>& now) override { unheard = now; }
  Task<Result<OriginProbe>> probe(MonoTime) override {
    if (hangs) {
      OneShot<Result<OriginProbe>> wait;
      asked.push_back(wait);
      co_return co_await wait;
    }
    if (!answer) co_return fail(ErrorCode::kOriginDown, "the origin is down");
    co_return *answer;
  }
  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements) override {
    return fail(ErrorCode::kInternal, "not here");
  }
  Task<Result<void>> prepare() override { co_return Result<void>{}; }
  [[nodiscard]] OriginStats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "fake"; }
};

// Keeps what is said. The test hands over what arrives.
struct FakeStream final : RegionStream {
  std::vector<StreamMessage> said;
  StreamReader* reader = nullptr;
  std::optional<Error> refuses;

  void read(std::optional<SequenceNumber>, StreamReader* r) override { reader = r; }
  Task<Result<SequenceNumber>> append(StreamMessage message) override {
    if (refuses) co_return std::unexpected(*refuses);
    said.push_back(std::move(message));
    co_return SequenceNumber{said.size()};
  }
  Task<Result<SequenceNumber>> tail() override { co_return SequenceNumber{said.size()}; }
  [[nodiscard]] StreamStatus status() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "fake stream"; }

  template <class M>
  [[nodiscard]] std::vector<M> all() const {
    std::vector<M> found;
    for (const StreamMessage& one : said)
      if (const auto* m = std::get_if<M>(&one)) found.push_back(*m);
    return found;
  }
};

class ApplierTest : public testing::Test {
 protected:
  void start() {
    ApplierOptions options;
    options.node = "a";
    options.process = 1;
    options.tell_floor = [this](const FloorNews& news) { news_.push_back(news); };
    options.tell_feed = [this](const std::string& origin, Incarnation lost, const std::string& reason) {
      fed_.push_back(fmt::format("{} {}: {}", origin, lost.value, reason));
    };
    applier_ = std::make_unique<Applier>(&executor_, &executor_, &stream_, &target_, options, &l2_known_);
    applier_->watch("shop", &shop_);
    applier_->watch("bank", &bank_);
    applier_->start();
    executor_.run_ready();
  }
  // The shop is heard of, proven and settled; L2 was told everything.
  void start_settled() {
    shop_.answer = probe(10, 5, 6);
    start();
    hand(changes(10, 10));
    executor_.advance(500ms);
    (void)target_.take();
  }
  void TearDown() override {
    if (applier_ != nullptr) applier_->stop();
    for (auto* origin : {&shop_, &bank_}) {
      origin->hangs = false;
      for (auto& one : std::exchange(origin->asked, {})) (void)one.set(fail(ErrorCode::kTimeout, "end"));
    }
    executor_.advance(30s);
    applier_.reset();
    executor_.advance(30s);
  }

  static OriginProbe probe(std::uint64_t position, std::uint64_t all_up_to, std::uint64_t next) {
    return {kHistory, Position{position}, ChangeId{all_up_to}, ChangeId{next}};
  }
  static message::Changes changes(std::uint64_t up_to, std::uint64_t l2_told,
                                  std::vector<std::string> keys = {}) {
    message::Changes said;
    said.origin = "shop";
    said.incarnation = kHistory;
    said.up_to = Position{up_to};
    said.l2_told = Position{l2_told};
    for (std::string& key : keys)
      said.changes.push_back(
          {"user", std::move(key), Change::Scope::kKey, ChangeId{up_to}, Position{up_to}, WallTime{0}});
    return said;
  }
  static message::Presence presence(std::string node, std::uint64_t process = 9, bool leaving = false) {
    return {std::move(node), process, SequenceNumber{}, leaving};
  }
  void hand(StreamMessage message) {
    stream_.reader->on_message(SequenceNumber{++sequence_}, std::move(message));
    executor_.run_ready();
  }
  void gap(std::string reason = "trimmed") {
    sequence_ += 5;
    stream_.reader->on_gap(SequenceNumber{sequence_ + 1}, std::move(reason));
    executor_.run_ready();
  }
  [[nodiscard]] AppliedOrigin shop() const { return applier_->status().origins.at(0); }
  [[nodiscard]] std::int64_t now_ms() const { return executor_.now().ms(); }

  // The answer of invalidate_everywhere(), when it is there.
  struct Asked {
    std::optional<Result<void>> answer;
  };
  std::shared_ptr<Asked> invalidate(Duration timeout = 2s) {
    auto asked = std::make_shared<Asked>();
    message::Invalidate what;
    what.names = {"user:1"};
    spawn(applier_->invalidate_everywhere(std::move(what), timeout),
          [asked](Result<void> result) { asked->answer = std::move(result); });
    executor_.run_ready();
    return asked;
  }
  message::Invalidate last_invalidate() const { return stream_.all<message::Invalidate>().back(); }

  VirtualExecutor executor_;
  FakeStream stream_;
  FakeTarget target_;
  FakeOrigin shop_, bank_;
  L2Known l2_known_;
  std::vector<FloorNews> news_;
  std::vector<std::string> fed_;
  std::unique_ptr<Applier> applier_;
  std::uint64_t sequence_ = 100;
};

using Calls = std::vector<std::string>;

TEST_F(ApplierTest, MessageMovesTheWatermarkOnlyAfterEachOfItsChanges) {
  start_settled();
  std::vector<std::uint64_t> seen;
  target_.on_change = [&] { seen.push_back(shop().applied.value); };
  hand(changes(20, 20, {"1", "2"}));
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{10, 10}));
  EXPECT_EQ(target_.take(), (Calls{"change shop user:1", "change shop user:2", "applied shop 20"}));
  EXPECT_EQ(shop().applied, Position{20});
  EXPECT_EQ(shop().changes, 2u);
}

TEST_F(ApplierTest, ChangesOfAnOriginThatThisNodeDoesNotWatchAreNotItsMatter) {
  start_settled();
  message::Changes other = changes(20, 20, {"1"});
  other.origin = "elsewhere";
  hand(std::move(other));
  EXPECT_EQ(target_.take(), Calls{});
  EXPECT_EQ(applier_->status().applied, SequenceNumber{sequence_});
}

TEST_F(ApplierTest, GapRaisesTheFloorOfEveryOriginBeforeAnythingAfterIt) {
  start_settled();
  gap();
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop confirm", "raise bank confirm"}));
  EXPECT_FALSE(shop().settled);
  EXPECT_EQ(shop().fresh_as_of, MonoTime{0});
  hand(changes(20, 20, {"1"}));
  EXPECT_EQ(target_.take(), (Calls{"change shop user:1", "applied shop 20"}));
  EXPECT_EQ(applier_->status().gaps, 1u);
}

TEST_F(ApplierTest, GapSettlesOnlyWithWhatWasAskedAfterTheStreamWentOn) {
  start_settled();
  gap();
  shop_.answer = probe(20, 19, 20);
  executor_.advance(2s);  // the stream has not gone on: what is asked now proves nothing
  EXPECT_EQ(target_.take().size(), 3u);
  EXPECT_FALSE(shop().settled);
  const auto went_on = now_ms();
  hand(changes(20, 20));
  executor_.advance(300ms);
  ASSERT_TRUE(shop().settled);
  const Calls calls = target_.take();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0], "applied shop 20");
  EXPECT_TRUE(calls[1].starts_with("settle shop ")) << calls[1];
  EXPECT_GT(std::stoll(calls[1].substr(12)), went_on);
  EXPECT_EQ(calls[2], "l2 shop trusted");
}

TEST_F(ApplierTest, FloorWaitsUntilWhatMayHaveBeenMissedIsVisible) {
  start_settled();
  gap();
  shop_.answer = probe(20, 12, 20);  // 13 to 19 are under way, or committed and not visible
  hand(changes(20, 20));
  executor_.advance(1s);
  EXPECT_FALSE(shop().settled);
  shop_.answer = probe(25, 18, 26);
  executor_.advance(1s);
  EXPECT_FALSE(shop().settled);
  shop_.answer = probe(25, 19, 26);
  executor_.advance(300ms);
  EXPECT_TRUE(shop().settled);
}

TEST_F(ApplierTest, AnotherHistoryRaisesTheFloorBeforeItsFirstChange) {
  start_settled();
  message::Changes other = changes(3, 3, {"1"});
  other.incarnation = Incarnation{8};
  hand(std::move(other));
  EXPECT_EQ(target_.take(),
            (Calls{"l2 shop not trusted", "raise shop other", "change shop user:1", "applied shop 3"}));
  EXPECT_EQ(shop().incarnation, Incarnation{8});
  EXPECT_FALSE(shop().settled);
  shop_.answer->position = Position{3};  // of the history before
  executor_.advance(1s);
  EXPECT_FALSE(shop().settled);
  EXPECT_EQ(shop().fresh_as_of, MonoTime{0});
}

TEST_F(ApplierTest, FloorMessageIsOfItsFeatureAndTellsWhetherStampsStillCompare) {
  start_settled();
  hand(message::Floor{"shop", "user", kHistory, Position{20}, "its table was made anew"});
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop user load"}));
  hand(message::Floor{"shop", "", Incarnation{8}, Position{20}, "restored"});
  EXPECT_EQ(target_.take(), (Calls{"raise shop other"}));
  hand(message::Floor{"elsewhere", "", kHistory, Position{20}, "not here"});
  EXPECT_EQ(target_.take(), Calls{});
}

TEST_F(ApplierTest, FloorSaysWhyAndWhenItHasSettled) {
  start_settled();
  EXPECT_TRUE(news_.empty()) << "a start is no floor";
  EXPECT_EQ(shop().last_floor_at, MonoTime{0});
  hand(message::Floor{"shop", "user", kHistory, Position{20}, "the slot was lost"});
  ASSERT_EQ(news_.size(), 1u);
  EXPECT_EQ(news_[0].origin, "shop");
  EXPECT_EQ(news_[0].feature, "user");
  EXPECT_EQ(news_[0].reason, "the slot was lost");
  EXPECT_FALSE(news_[0].settled);
  EXPECT_EQ(shop().last_floor_reason, "the slot was lost");
  EXPECT_EQ(shop().last_floor_feature, "user");
  EXPECT_EQ(shop().last_floor_at, executor_.now());
  hand(changes(10, 10));
  executor_.advance(1s);
  ASSERT_EQ(news_.size(), 2u);
  EXPECT_TRUE(news_[1].settled);
  EXPECT_GT(news_[1].lasted, 0ms);
  EXPECT_LT(news_[1].lasted, 1s);
  EXPECT_EQ(shop().last_floor_reason, "the slot was lost") << "it stays to be read";
}

TEST_F(ApplierTest, GapAndAnotherHistorySayWhyToo) {
  start_settled();
  gap("12 messages were trimmed");
  ASSERT_EQ(news_.size(), 2u);
  EXPECT_EQ(news_[0].reason, "a gap in the region stream: 12 messages were trimmed");
  EXPECT_EQ(news_[1].origin, "bank");
  message::Changes other = changes(3, 3);
  other.incarnation = Incarnation{8};
  hand(std::move(other));
  EXPECT_EQ(shop().last_floor_reason, "the changes that arrive now are of another history of the origin");
}

TEST_F(ApplierTest, ReasonOfAnotherNodeIsOneLineOfBoundedLength) {
  start_settled();
  hand(message::Floor{"shop", "", kHistory, Position{20}, "a\nb\x1b[31m" + std::string(5000, 'x')});
  const std::string reason = shop().last_floor_reason;
  EXPECT_EQ(reason.size(), kFloorReasonMax);
  EXPECT_TRUE(reason.starts_with("a b [31mxxx")) << reason;
  EXPECT_TRUE(reason.ends_with("x..."));
  hand(message::Floor{"shop", "", kHistory, Position{20}, ""});
  EXPECT_EQ(shop().last_floor_reason, "no reason was given");
}

TEST_F(ApplierTest, L2IsReadAgainOnlyWhenItWasToldWhatThisNodeMayHaveMissed) {
  start_settled();
  gap();
  hand(changes(20, 12));
  shop_.answer = probe(20, 19, 20);
  executor_.advance(1s);
  ASSERT_TRUE(shop().settled);
  EXPECT_TRUE(std::ranges::find(target_.calls, "l2 shop trusted") == target_.calls.end());
  hand(changes(30, 19));
  EXPECT_TRUE(std::ranges::find(target_.calls, "l2 shop trusted") == target_.calls.end());
  hand(changes(30, 20));
  EXPECT_EQ(std::ranges::count(target_.calls, "l2 shop trusted"), 1);
}

TEST_F(ApplierTest, ProbesTimeIsReadBeforeTheQuestionLeaves) {
  start_settled();
  shop_.hangs = true;
  executor_.advance(300ms);
  ASSERT_EQ(shop_.asked.size(), 1u);
  target_.proofs.clear();
  const auto answered_at = now_ms() + 700;
  executor_.advance(700ms);
  (void)shop_.asked.front().set(probe(10, 5, 6));
  executor_.run_ready();
  ASSERT_EQ(target_.proofs.size(), 1u);
  const auto proven = std::stoll(target_.proofs[0].substr(5));
  EXPECT_LE(proven, answered_at - 700);
  EXPECT_GE(proven, answered_at - 1000);
}

TEST_F(ApplierTest, ProofWaitsUntilThePositionIsApplied) {
  start_settled();
  target_.proofs.clear();
  shop_.answer = probe(20, 5, 6);
  executor_.advance(1s);
  EXPECT_EQ(target_.proofs, Calls{});
  hand(changes(19, 19));
  EXPECT_EQ(target_.proofs, Calls{});
  hand(changes(20, 20));
  EXPECT_EQ(target_.proofs.size(), 1u);
}

TEST_F(ApplierTest, StreamThatDoesNotBringBackItsOwnWordIsAProblemUntilItDoes) {
  start();
  executor_.advance(4s);
  EXPECT_EQ(applier_->status().problem, "");
  executor_.advance(3s);
  EXPECT_NE(applier_->status().problem.find("fake stream: this node's own message did not come back"),
            std::string::npos)
      << applier_->status().problem;
  EXPECT_FALSE(applier_->status().self_heard);
  hand(message::SelfTest{"a", 2});  // of another process
  EXPECT_FALSE(applier_->status().self_heard);
  hand(message::SelfTest{"a", 1});
  EXPECT_TRUE(applier_->status().self_heard);
  executor_.advance(2s);
  EXPECT_EQ(applier_->status().problem, "");
}

TEST_F(ApplierTest, TwoProcessesOfOneNameAreAProblem) {
  start();
  hand(message::SelfTest{"a", 1});
  hand(presence("a", 2));  // this node's life before: its last words are still on their way
  EXPECT_EQ(applier_->status().problem, "");
  executor_.advance(4s);
  hand(presence("a", 2));
  EXPECT_NE(applier_->status().problem.find("two nodes of the region are called 'a'"), std::string::npos);
  executor_.advance(10s);
  EXPECT_EQ(applier_->status().problem, "");
}

TEST_F(ApplierTest, SaysThatItLivesOnceASecondAndGoodbyeAtTheEnd) {
  start();
  hand(message::SelfTest{"a", 1});
  hand(message::Invalidate{});
  const auto before = stream_.all<message::Presence>().size();
  executor_.advance(10s);
  const auto beats = stream_.all<message::Presence>();
  EXPECT_NEAR(static_cast<double>(beats.size() - before), 10, 1);
  EXPECT_EQ(beats.back().node, "a");
  EXPECT_EQ(beats.back().process, 1u);
  EXPECT_EQ(beats.back().applied, SequenceNumber{sequence_});
  EXPECT_FALSE(beats.back().leaving);
  applier_->stop();
  executor_.advance(5s);
  EXPECT_TRUE(stream_.all<message::Presence>().back().leaving);
  EXPECT_EQ(stream_.all<message::Presence>().size(), beats.size() + 1);
}

TEST_F(ApplierTest, NodesAreThoseHeardLately) {
  start();
  hand(presence("b"));
  hand(presence("c"));
  EXPECT_EQ(applier_->status().nodes, (std::vector<std::string>{"a", "b", "c"}));
  executor_.advance(2s);
  hand(presence("c"));
  executor_.advance(2s);
  EXPECT_EQ(applier_->status().nodes, (std::vector<std::string>{"a", "c"}));
  hand(presence("c", 9, true));
  EXPECT_EQ(applier_->status().nodes, (std::vector<std::string>{"a"}));
}

TEST_F(ApplierTest, InvalidationIsAppliedAndAnswered) {
  start_settled();
  message::Invalidate what;
  what.request = 42;
  what.node = "b";
  what.names = {"user:1", "user:2"};
  what.feature = "cart";
  hand(std::move(what));
  EXPECT_EQ(target_.take(), (Calls{"forget user:1", "forget user:2", "forget feature cart"}));
  const auto answers = stream_.all<message::Applied>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0], (message::Applied{42, "a"}));
}

class EverywhereTest : public ApplierTest {
 protected:
  void SetUp() override {
    start_settled();
    executor_.advance(5s);  // whoever lives was heard by now
    hand(presence("b"));
    hand(presence("c"));
  }
  void answered(const message::Invalidate& what, std::string node) {
    hand(message::Applied{what.request, std::move(node)});
  }
};

TEST_F(EverywhereTest, AnswersWhenEachLiveNodeHasAppliedIt) {
  const auto asked = invalidate();
  const message::Invalidate what = last_invalidate();
  hand(what);
  answered(what, "a");
  answered(what, "b");
  EXPECT_FALSE(asked->answer);
  answered(what, "c");
  ASSERT_TRUE(asked->answer);
  EXPECT_TRUE(asked->answer->has_value());
}

TEST_F(EverywhereTest, DoesNotAnswerBeforeItsOwnMessageCameBack) {
  const auto asked = invalidate();
  const message::Invalidate what = last_invalidate();
  for (const char* node : {"b", "c"}) answered(what, node);
  EXPECT_FALSE(asked->answer);
}

TEST_F(EverywhereTest, NobodyWaitsForANodeThatIsGone) {
  executor_.advance(2s);
  hand(presence("c"));
  executor_.advance(2s);  // b has been silent for four seconds
  const auto asked = invalidate();
  const message::Invalidate what = last_invalidate();
  hand(what);
  for (const char* node : {"a", "c"}) answered(what, node);
  ASSERT_TRUE(asked->answer);
  EXPECT_TRUE(asked->answer->has_value());
}

TEST_F(EverywhereTest, NodeThatWasHeardBetweenTheQuestionAndItsPlaceIsWaitedFor) {
  const auto asked = invalidate();
  const message::Invalidate what = last_invalidate();
  hand(presence("d"));
  hand(what);
  for (const char* node : {"a", "b", "c"}) answered(what, node);
  EXPECT_FALSE(asked->answer);
  answered(what, "d");
  EXPECT_TRUE(asked->answer);
}

TEST_F(EverywhereTest, LeavingNodeIsNotWaitedForAnyMore) {
  const auto asked = invalidate();
  const message::Invalidate what = last_invalidate();
  hand(what);
  for (const char* node : {"a", "b"}) answered(what, node);
  EXPECT_FALSE(asked->answer);
  hand(presence("c", 9, true));
  ASSERT_TRUE(asked->answer);
  EXPECT_TRUE(asked->answer->has_value());
}

TEST_F(EverywhereTest, TimeoutNamesTheNodesThatDidNotAnswer) {
  const auto asked = invalidate(2s);
  const message::Invalidate what = last_invalidate();
  hand(what);
  answered(what, "a");
  executor_.advance(1900ms);
  EXPECT_FALSE(asked->answer);
  executor_.advance(200ms);
  ASSERT_TRUE(asked->answer);
  ASSERT_FALSE(asked->answer->has_value());
  EXPECT_EQ(asked->answer->error().code, ErrorCode::kTimeout);
  EXPECT_NE(asked->answer->error().message.find("by: b, c;"), std::string::npos)
      << asked->answer->error().message;
}

TEST_F(EverywhereTest, TwoRequestsDoNotAnswerEachOther) {
  const auto one = invalidate(), two = invalidate();
  const auto said = stream_.all<message::Invalidate>();
  ASSERT_EQ(said.size(), 2u);
  hand(said[0]);
  hand(said[1]);
  for (const char* node : {"a", "b", "c"}) answered(said[1], node);
  EXPECT_FALSE(one->answer);
  EXPECT_TRUE(two->answer);
}

TEST_F(EverywhereTest, StreamThatDoesNotTakeItIsAnErrorAtOnce) {
  stream_.refuses = Error{ErrorCode::kUnavailable, "the stream is away"};
  const auto asked = invalidate();
  ASSERT_TRUE(asked->answer);
  ASSERT_FALSE(asked->answer->has_value());
  EXPECT_EQ(asked->answer->error().code, ErrorCode::kUnavailable);
}

// ---- features that nobody hears of ----

TEST_F(ApplierTest, UnheardFeaturesAreNotedBeforeAnythingIsProvenWithThem) {
  shop_.answer = probe(20, 19, 20);
  start();
  message::Changes said = changes(20, 20, {"1"});
  said.unheard = {{"price", "no table"}};
  hand(said);
  EXPECT_EQ(target_.take(), (Calls{"change shop user:1", "unheard shop: price", "applied shop 20"}));
  EXPECT_EQ(shop_.unheard, said.unheard);
  EXPECT_EQ(shop().unheard, said.unheard);
  hand(said);
  EXPECT_EQ(target_.take(), (Calls{"change shop user:1", "applied shop 20"})) << "said once";
}

TEST_F(ApplierTest, FeatureThatIsHeardOfAgainIsSuspectAndTheOthersAreNot) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.unheard = {{"price", "no table"}, {"stock", "no rights"}};
  hand(said);
  (void)target_.take();
  said = changes(30, 30);
  said.unheard = {{"stock", "no rights"}};
  hand(said);
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop price load", "unheard shop: stock",
                                   "applied shop 30"}));
  EXPECT_EQ(news_.back().feature, "price");
  EXPECT_EQ(shop_.unheard.size(), 1u);
}

TEST_F(ApplierTest, WholeOriginThatIsHeardOfAgainIsSuspect) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.unheard = {{"", "too many"}};
  hand(said);
  (void)target_.take();
  said = changes(30, 30);
  said.unheard = {{"stock", "no rights"}};
  hand(said);
  EXPECT_EQ(target_.take(),
            (Calls{"l2 shop not trusted", "raise shop load", "unheard shop: stock", "applied shop 30"}));
}

TEST_F(ApplierTest, AnotherHistoryNeedsNoFloorForWhatIsHeardOfAgain) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.unheard = {{"price", "no table"}};
  hand(said);
  (void)target_.take();
  said = changes(30, 30);
  said.incarnation = Incarnation{8};
  hand(said);
  EXPECT_EQ(target_.take(),
            (Calls{"l2 shop not trusted", "raise shop other", "unheard shop:", "applied shop 30"}));
}

// ---- breaks whose message was missed ----

TEST_F(ApplierTest, GapThatSwallowedABreakLeavesNothingToBeConfirmed) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.break_id = 5;
  hand(said);
  (void)target_.take();
  gap();
  said = changes(30, 30);
  said.break_id = 6;
  hand(said);
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop confirm", "raise bank confirm",
                                   "raise shop load", "applied shop 30"}));
  hand(said);
  EXPECT_EQ(target_.take(), Calls{"applied shop 30"});
}

TEST_F(ApplierTest, GapThatSwallowedNoBreakMayBeConfirmed) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.break_id = 5;
  hand(said);
  (void)target_.take();
  gap();
  hand(said);
  EXPECT_EQ(target_.take(),
            (Calls{"l2 shop not trusted", "raise shop confirm", "raise bank confirm", "applied shop 20"}));
}

TEST_F(ApplierTest, BreakThatWasHeardIsOneFloor) {
  start_settled();
  message::Changes said = changes(20, 20);
  said.break_id = 5;
  hand(said);
  (void)target_.take();
  hand(message::Floor{"shop", "", kHistory, Position{25}, "made anew"});
  said = changes(30, 30);
  said.break_id = 6;
  hand(said);
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop load", "applied shop 30"}));
}

// ---- a history that lost commits while its feed reads on ----

TEST_F(ApplierTest, LostHistoryIsSaidToTheRegionUntilThereIsAnother) {
  start_settled();
  applier_->lose_history("shop", "ids went back", false);
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop other"}));
  EXPECT_EQ(fed_, (Calls{"shop 7: ids went back"}));
  executor_.advance(2500ms);
  auto said = stream_.all<message::Floor>();
  ASSERT_GE(said.size(), 3u) << "at once, and with each beat";
  EXPECT_TRUE(said[0].is_lost);
  EXPECT_EQ(said[0].incarnation, kHistory);
  EXPECT_EQ(said[0].reason, "a has seen at the origin: ids went back");
  hand(said[0]);  // its own
  EXPECT_EQ(target_.take(), Calls{});
  message::Changes other = changes(3, 3);
  other.incarnation = Incarnation{8};
  hand(std::move(other));
  const std::size_t before = stream_.all<message::Floor>().size();
  executor_.advance(5s);
  EXPECT_EQ(stream_.all<message::Floor>().size(), before);
}

TEST_F(ApplierTest, LostHistoryThatItsFeedKnowsOfIsNobodysNews) {
  start_settled();
  applier_->lose_history("shop", "slot x is gone", true);
  executor_.advance(3s);
  EXPECT_TRUE(stream_.all<message::Floor>().empty());
  EXPECT_TRUE(fed_.empty());
}

TEST_F(ApplierTest, LostHistoryThatAnotherNodeHasSeenIsAFloorOnce) {
  start_settled();
  message::Floor lost{"shop", "", kHistory, Position{10}, "b has seen at the origin: ids went back", true};
  hand(lost);
  EXPECT_EQ(target_.take(), (Calls{"l2 shop not trusted", "raise shop other"}));
  EXPECT_EQ(fed_, (Calls{"shop 7: b has seen at the origin: ids went back"}));
  hand(lost);
  EXPECT_EQ(target_.take(), Calls{});
  EXPECT_EQ(fed_.size(), 1u);
  executor_.advance(1500ms);
  const auto said = stream_.all<message::Floor>();
  ASSERT_FALSE(said.empty()) << "whoever saw it may be gone";
  EXPECT_EQ(said.back().reason, lost.reason);
}

TEST_F(ApplierTest, LossOfAHistoryThatIsOverIsNoNews) {
  start_settled();
  hand(message::Floor{"shop", "", Incarnation{6}, Position{10}, "b has seen at the origin", true});
  EXPECT_EQ(target_.take(), Calls{});
  EXPECT_TRUE(fed_.empty());
  EXPECT_TRUE(shop().settled);
}

// Its positions may be given out a second time, and nobody took back what L2 holds of it.
TEST_F(ApplierTest, LostHistoryInvalidatesAndProvesNothing) {
  start_settled();
  applier_->lose_history("shop", "ids went back", false);
  (void)target_.take();
  target_.proofs.clear();
  hand(changes(20, 20, {"1"}));
  executor_.advance(2s);
  hand(changes(21, 21));
  executor_.advance(2s);
  EXPECT_EQ(target_.take(), (Calls{"change shop user:1"}));
  EXPECT_FALSE(shop().settled);
  EXPECT_TRUE(target_.proofs.empty());
  EXPECT_FALSE(target_.l2_trusted["shop"]);
  message::Changes other = changes(3, 3);
  other.incarnation = Incarnation{8};
  shop_.answer->incarnation = Incarnation{8};
  shop_.answer->position = Position{3};
  hand(std::move(other));
  executor_.advance(1s);
  EXPECT_TRUE(shop().settled);
  EXPECT_TRUE(target_.l2_trusted["shop"]);
}

TEST_F(ApplierTest, NodeThatHasJustStartedListensBeforeItAsks) {
  start_settled();
  const auto asked = invalidate();
  EXPECT_TRUE(stream_.all<message::Invalidate>().empty());
  executor_.advance(1500ms);
  EXPECT_EQ(stream_.all<message::Invalidate>().size(), 1u);
  EXPECT_FALSE(asked->answer);
}

}  // namespace
}  // namespace candor
