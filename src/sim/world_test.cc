#include "sim/world.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/task.h"

namespace candor::sim {
namespace {

TEST(EventQueueTest, SurfacesByTimeAndThenByOrderOfAsking) {
  EventQueue queue;
  std::string order;
  for (const auto& [time, letter] : {std::pair{5, 'c'}, {1, 'a'}, {5, 'd'}, {3, 'b'}, {5, 'e'}})
    queue.push({TrueTime{time}, 0, INT64_MIN, [&order, added = letter] { order += added; }});
  while (!queue.empty()) queue.pop().work();
  EXPECT_EQ(order, "abcde");
}

TEST(EventQueueTest, ManyEventsWithCancellationsSurfaceInOrder) {
  EventQueue queue;
  Random random(3);
  std::vector<EventId> ids;
  for (int i = 0; i < 20'000; ++i)
    ids.push_back(
        queue.push({TrueTime{static_cast<std::int64_t>(random.below(1000))}, 0, INT64_MIN, nullptr}));
  std::size_t left = ids.size();
  for (const EventId id : ids)
    if (random.below(4) != 0 && queue.cancel(id)) --left;
  EXPECT_EQ(queue.size(), left);
  std::int64_t last = 0;
  for (; !queue.empty(); --left) {
    const auto at = queue.pop().at.ns;
    EXPECT_LE(last, at);
    last = at;
  }
  EXPECT_EQ(left, 0U);
}

TEST(EventQueueTest, CancelledTwiceOrAfterItRanIsHarmless) {
  EventQueue queue;
  const EventId id = queue.push({TrueTime{1}, 0, INT64_MIN, nullptr});
  EXPECT_TRUE(queue.cancel(id));
  EXPECT_FALSE(queue.cancel(id));
  const EventId next = queue.push({TrueTime{1}, 0, INT64_MIN, nullptr});
  EXPECT_FALSE(queue.cancel(id)) << "the slot is another event's now";
  EXPECT_TRUE(queue.cancel(next));
}

class WorldTest : public testing::Test {
 protected:
  void run_on(Work work) { world_.run_on(process_, std::move(work)); }

  World world_{{.seed = 1}};
  Process& process_ = world_.add_process("p");
};

TEST_F(WorldTest, TimersRunInOrderAndNeverEarly) {
  std::vector<std::int64_t> late_by;
  run_on([&] {
    for (const auto delay : {30ms, 10ms, 20ms})
      process_.schedule(process_.now() + delay, [&, due = process_.now() + delay] {
        late_by.push_back((process_.now() - due).count());
      });
  });
  world_.run_for(1s);
  EXPECT_EQ(late_by, (std::vector<std::int64_t>{0, 0, 0}));
  EXPECT_EQ(world_.now().ns, Duration(1s).count());
}

TEST_F(WorldTest, ATurnGathersWhatIsReadyBeforeItsEnd) {
  std::string order;
  run_on([&] {
    process_.post([&] { order += 'b'; });
    process_.at_end_of_turn([&] {
      order += 'c';
      process_.post([&] { order += 'd'; });
    });
    order += 'a';
  });
  EXPECT_EQ(order, "abc");
  world_.run_for(1ms);
  EXPECT_EQ(order, "abcd");
}

TEST_F(WorldTest, ALoopThatPostsItselfDoesNotStopTime) {
  int turns = 0;
  std::function<void()> again = [&] {
    ++turns;
    process_.post([&] { again(); });
  };
  run_on([&] { again(); });
  world_.run_for(1ms);
  EXPECT_GT(turns, 900);
  EXPECT_LT(turns, 1100);
}

TEST_F(WorldTest, ACancelledTimerDoesNotRunEvenAtItsOwnMoment) {
  int ran = 0;
  run_on([&] {
    auto second = std::make_shared<TimerId>();
    process_.schedule(process_.now() + 10ms, [&, second] {
      ++ran;
      process_.cancel(*second);
    });
    *second = process_.schedule(process_.now() + 10ms, [&] { ran += 100; });
  });
  world_.run_for(1s);
  EXPECT_EQ(ran, 1);
}

TEST_F(WorldTest, ClocksDriftApartAndTimersFollowTheirOwnClock) {
  Process& slow = world_.add_process("slow");
  slow.set_drift(-100'000);  // nine tenths
  const MonoTime begin = slow.now();
  TrueTime ran;
  world_.run_on(slow, [&] { slow.schedule(begin + 900ms, [&] { ran = world_.now(); }); });
  world_.run_for(2s);
  EXPECT_EQ((slow.now() - begin).count(), Duration(1800ms).count());
  EXPECT_NEAR(static_cast<double>(ran.ns), 1e9, 1) << "clocks round to a nanosecond";
}

TEST_F(WorldTest, ATimerIsNotEarlyWhenItsClockIsSlowedDown) {
  TrueTime ran;
  run_on([&] { process_.schedule(process_.now() + 1s, [&] { ran = world_.now(); }); });
  process_.set_drift(-500'000);
  world_.run_for(3s);
  EXPECT_NEAR(static_cast<double>(ran.ns), 2e9, 1);
}

TEST_F(WorldTest, TimerForTheEndOfTimeIsHarmless) {
  run_on([&] { process_.schedule(MonoTime::max(), [] { FAIL(); }); });
  world_.run_for(std::chrono::hours(1000));
}

TEST_F(WorldTest, AStepOfTheWallClockLeavesTheMonotonicOneAndCountsWhenItIsSeen) {
  const MonoTime mono = process_.now();
  const WallTime wall = process_.wall();
  process_.step_wall(-std::chrono::hours(1));
  EXPECT_EQ(world_.faults().of("clock step").effective, 0U);
  EXPECT_EQ(process_.now(), mono);
  EXPECT_EQ(wall.ns - process_.wall().ns, Duration(1h).count());
  EXPECT_EQ(world_.faults().of("clock step").effective, 1U);
}

TEST_F(WorldTest, APausedProcessRunsNothingAndThenAllOfItInOrder) {
  std::string order;
  run_on([&] {
    process_.schedule(process_.now() + 10ms, [&] { order += 'a'; });
    process_.schedule(process_.now() + 20ms, [&] { order += 'b'; });
  });
  world_.pause(process_, 100ms);
  world_.run_for(50ms);
  EXPECT_EQ(order, "");
  const MonoTime paused_at = process_.now();
  world_.run_for(51ms);
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(process_.now() - paused_at, 51ms);
  EXPECT_EQ(world_.faults().of("pause").effective, 1U);
}

TEST_F(WorldTest, APauseThatHeldNothingUpIsPlannedButNotCounted) {
  world_.pause(process_, 100ms);
  world_.run_for(1s);
  EXPECT_EQ(world_.faults().of("pause").planned, 1U);
  EXPECT_EQ(world_.faults().of("pause").effective, 0U);
}

Task<void> sleep_and_count(Process* process, int* done) {
  co_await sleep_for(*process, 10s);
  ++*done;
}

TEST_F(WorldTest, ACrashedProcessUnwindsUnseenAndStartsAgain) {
  int starts = 0, stops = 0, destroys = 0, done = 0;
  process_.set_life({.start =
                         [&] {
                           ++starts;
                           spawn(sleep_and_count(&process_, &done));
                         },
                     .stop = [&] { ++stops; },
                     .destroy =
                         [&] {
                           EXPECT_EQ(done, starts) << "coroutines have come to their ends";
                           ++destroys;
                         }});
  world_.start(process_);
  world_.run_for(1s);
  world_.crash(process_);
  EXPECT_FALSE(process_.is_up());
  EXPECT_EQ(world_.now().ns, Duration(1s).count()) << "the afterlife takes no time";
  EXPECT_EQ(std::tuple(starts, stops, destroys, done), std::tuple(1, 1, 1, 1));
  world_.restart(process_);
  EXPECT_EQ(process_.life(), 2U);
  world_.run_for(11s);
  EXPECT_EQ(std::tuple(starts, done), std::tuple(2, 2));
  EXPECT_EQ(world_.stats().afterlives_cut, 0U);
}

TEST_F(WorldTest, ATimerSetBeforeTheCrashCanStillBeCancelled) {
  TimerId timer;
  int ran = 0;
  process_.set_life({.start = {}, .stop = [&] { process_.cancel(timer); }, .destroy = {}});
  run_on([&] { timer = process_.schedule(process_.now() + 1s, [&] { ++ran; }); });
  world_.crash(process_);
  EXPECT_EQ(ran, 0);
}

TEST_F(WorldTest, AnAfterlifeWithoutEndIsCutAndSaid) {
  std::function<void()> loop = [&] { process_.schedule(process_.now() + 1s, [&] { loop(); }); };
  run_on([&] { loop(); });
  world_.crash(process_);
  EXPECT_EQ(world_.stats().afterlives_cut, 1U);
}

// Processes that wake each other at random moments.
std::pair<std::uint64_t, std::string> run_of(std::uint64_t seed) {
  World world({.seed = seed});
  std::string lines;
  world.trace().set_sink([&](std::string_view line) { lines.append(line).append("\n"); });
  Random random = world.stream("test");
  std::vector<Process*> all;
  for (int i = 0; i < 5; ++i) all.push_back(&world.add_process("p" + std::to_string(i)));
  std::function<void(Process*)> hop = [&](Process* p) {
    world.trace().note(world.now(), p->name(), "hops", p->next_seed());
    Process* next = all[random.below(all.size())];
    world.at(world.now() + Duration{static_cast<std::int64_t>(random.below(1'000'000))}, *next,
             [&, next] { hop(next); });
  };
  for (int i = 0; i < 10; ++i) world.run_on(*all[0], [&] { hop(all[0]); });
  world.after(20ms, [&] { world.pause(*all[1], 5ms); });
  world.after(50ms, [&] { world.crash(*all[2]); });
  world.after(60ms, [&] { world.restart(*all[2]); });
  world.run_for(100ms);
  return {world.finish(), lines};
}

TEST(WorldDeterminismTest, OneSeedGivesOneTraceByteForByte) {
  const auto first = run_of(42), second = run_of(42);
  EXPECT_GT(first.second.size(), 10'000U);
  EXPECT_EQ(first.first, second.first);
  EXPECT_EQ(first.second, second.second);
}

TEST(WorldDeterminismTest, AnotherSeedGivesAnother) { EXPECT_NE(run_of(42).first, run_of(43).first); }

TEST(WorldDeterminismTest, StreamsDoNotShiftEachOther) {
  World world({.seed = 9});
  Random one = world.stream("one");
  const auto expected = one();
  Random other = world.stream("other");
  other(), other();
  EXPECT_EQ(world.stream("one")(), expected);
}

}  // namespace
}  // namespace candor::sim
