#include "sim/witness.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace candor::sim {
namespace {

// One key; times are small numbers.
class LogExplainsTest : public ::testing::Test {
 protected:
  void write(std::uint64_t version, std::int64_t from, std::int64_t to, Outcome outcome = Outcome::kOk) {
    const auto kind = version == kAbsent ? OperationKind::kErase : OperationKind::kWrite;
    add({.kind = kind, .outcome = outcome, .invoked = from, .responded = to, .version = version});
  }
  void read(std::uint64_t version, std::int64_t from, std::int64_t to) {
    add({.level = Level::kStrong, .invoked = from, .responded = to, .version = version});
  }
  void commit(std::uint64_t version, std::int64_t at, bool by_restore = false) {
    h_.commits.push_back({key_, version, at, by_restore});
  }
  [[nodiscard]] bool explains() const { return log_explains(h_, Truth(h_), key_, all_); }

  History h_;
  std::uint32_t key_ = h_.keys.number("f:k");

 private:
  void add(Operation op) {
    op.key = key_;
    all_.push_back(static_cast<std::uint32_t>(h_.operations.size()));
    h_.operations.push_back(op);
  }
  std::vector<std::uint32_t> all_;
};

TEST_F(LogExplainsTest, NothingIsExplained) { EXPECT_TRUE(explains()); }

TEST_F(LogExplainsTest, AReadWithinTheSpanOfItsValue) {
  write(1, 0, 10);
  commit(1, 5);
  read(0, 1, 5);
  read(1, 5, 6);
  EXPECT_TRUE(explains());
}
TEST_F(LogExplainsTest, NotAReadOfWhatWasOver) {
  write(1, 0, 10);
  write(2, 11, 14);
  commit(1, 5);
  commit(2, 12);
  read(1, 13, 20);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, NotAReadOfWhatComes) {
  write(1, 0, 10);
  commit(1, 5);
  read(1, 1, 4);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, NotACommitOutsideOfItsWrite) {
  write(1, 0, 4);
  commit(1, 5);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, NotACommitOfNobody) {
  commit(1, 5);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, NotAnAcknowledgedWriteWithoutACommit) {
  write(1, 0, 4);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, NotOneWriteThatHappenedTwice) {
  write(1, 0, 10);
  write(2, 0, 10);
  commit(1, 2);
  commit(2, 3);
  commit(1, 4);
  EXPECT_FALSE(explains());
}
TEST_F(LogExplainsTest, AWriteOfUnknownOutcomeLateOrNever) {
  write(1, 0, 4, Outcome::kUnknown);
  write(2, 0, 4, Outcome::kUnknown);
  commit(1, 50);
  read(0, 40, 49);
  read(1, 60, 61);
  EXPECT_TRUE(explains());
}
TEST_F(LogExplainsTest, WhatAFailoverPutBackIsTheOriginsOwn) {
  write(1, 0, 4);
  write(2, 5, 8);
  commit(1, 2);
  commit(2, 6);
  commit(1, 9, true);
  read(1, 10, 11);
  EXPECT_TRUE(explains());
}
TEST_F(LogExplainsTest, AnEraseOfNothingNeedsAMomentOfNothing) {
  write(0, 0, 2);
  write(1, 3, 5);
  commit(1, 4);
  EXPECT_TRUE(explains());
  write(0, 6, 7);
  EXPECT_FALSE(explains());
}
// The later commit must find an erase as well: the one that may still wait is left for it.
TEST_F(LogExplainsTest, TheEraseThatMustHappenFirstTakesTheFirstCommit) {
  write(0, 1, 100);
  write(0, 2, 12);
  write(1, 0, 3);
  write(2, 13, 15);
  commit(1, 3);
  commit(0, 10);
  commit(2, 14);
  commit(0, 50);
  EXPECT_TRUE(explains());
}

// Whatever it explains, the search finds linearizable: on small histories of random nonsense around a real
// run.
TEST_F(LogExplainsTest, AgreesWithTheSearch) {
  Random random(7);  // the same histories each time
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  int explained = 0, refuted = 0;
  for (int round = 0; round < 20'000; ++round) {
    h_ = History{};
    key_ = h_.keys.number("f:k");
    std::vector<std::uint32_t> all;
    std::vector<RegisterOperation> operations;
    const auto add = [&](Operation op) {
      op.key = key_;
      all.push_back(static_cast<std::uint32_t>(all.size()));
      h_.operations.push_back(op);
      const bool is_read = op.kind == OperationKind::kRead;
      operations.push_back(
          {.kind = is_read ? RegisterOperation::Kind::kRead : RegisterOperation::Kind::kWrite,
           .value = op.version,
           .invoked = op.invoked,
           .responded = op.responded});
    };
    std::vector<std::uint64_t> values{kAbsent};
    std::int64_t now = 0;
    for (std::uint64_t n = 1; n <= 4; ++n) {
      const std::uint64_t value = below(2) == 0 ? kAbsent : n;
      now += 1 + below(8);
      values.push_back(value);
      h_.commits.push_back({key_, value, now, false});
      add({.kind = value == kAbsent ? OperationKind::kErase : OperationKind::kWrite,
           .invoked = now - below(10),
           .responded = now + below(10) - (below(12) == 0 ? 6 : 0),
           .version = value});
      if (h_.operations.back().responded < h_.operations.back().invoked) {
        h_.operations.back().responded = operations.back().responded = h_.operations.back().invoked;
      }
    }
    for (int reads = 0; reads < 4; ++reads) {
      const std::int64_t from = below(30);
      add({.level = Level::kStrong,
           .invoked = from,
           .responded = from + below(6),
           .version = values[static_cast<std::size_t>(below(values.size()))]});
    }
    const bool is_linearizable = check_by_search(operations, {}) == Linearizable::kYes;
    refuted += is_linearizable ? 0 : 1;
    if (!log_explains(h_, Truth(h_), key_, all)) continue;
    ++explained;
    ASSERT_TRUE(is_linearizable) << "round " << round << '\n' << to_json_lines(h_);
  }
  EXPECT_GT(explained, 500);
  EXPECT_GT(refuted, 500);
}

}  // namespace
}  // namespace candor::sim
