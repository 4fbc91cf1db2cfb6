// Measures how stale the reads of a cache are: any cache, of yours or somebody else's. It needs nothing of
// Candor's but this class.
//
//   candor::StalenessMonitor monitor;
//   (void)monitor.register_feature({.feature = "profile", .max_staleness = 5s, .sample_rate = 0.01,
//                                   .slo_threshold = 0.001});
//   …
//   auto value = cache.get(key);                        // what you do anyway
//   if (monitor.should_check("profile"))                // one read in a hundred
//     later([=] {                                       // off the reader's path
//       auto row = database.load(key);                  // the authority's word
//       (void)monitor.check("profile", {.version = value.version, .loaded_at = value.loaded_at, .read_at =
//       now},
//                           {.version = row.version, .updated_at = row.updated_at, .asked_at = then});
//     });
//   monitor.report("profile")->stale_fraction;          // with an interval
//
// What staleness is here: the time since the commit of the *first* change that the value served does not
// include; 0 if it includes all. The common way is to subtract the two versions' timestamps, and it is wrong
// both ways:
//   - A row that nobody touched for a year was edited a second ago. The subtraction says that the cached
//   value
//     is a year stale; it is one second stale.
//   - A row was edited an hour ago, a second after the version that is cached. The subtraction says one
//   second;
//     it has been wrong for an hour.
// The moment of the first change is often not known: the authority tells the last one. It lies between the
// load of the cached value and the last change, so that a check yields a range, `at_least` to `at_most`, and
// where the range straddles max_staleness the read counts by its chance (the moment may be anywhere in the
// range).
//
// Thread safety: every method may be called from any thread. Cost: should_check() one atomic addition;
// check() a lock for some 100 ns. Memory: about 200 bytes a feature.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candor {

class StalenessMonitor {
 public:
  using Clock = std::chrono::system_clock;
  using Time = Clock::time_point;
  using Nanoseconds = std::chrono::nanoseconds;

  struct Feature {
    std::string feature;           // its name
    Nanoseconds max_staleness{0};  // a read may show a value that was superseded at most this long ago …
    double sample_rate = 0.01;     // of should_check(): 0 to 1
    double slo_threshold = 0.001;  // … but for this fraction of reads
  };

  // What the cache served.
  struct Cached {
    std::string version;  // whatever tells two versions of a row apart: a number, a hash, the value itself
    Time loaded_at{};     // when its load began, by the authority's clock or one that agrees with it
    Time read_at{};       // when it was served
  };
  // What the authority says.
  struct Authoritative {
    std::string version;
    Time updated_at{};  // when this version was written; the epoch: not known
    Time asked_at{};    // when the authority was asked, at or after read_at
    // When the version that was served ceased to be the current one, if the authority keeps a history. Then
    // nothing is left open.
    std::optional<Time> superseded_at{};
  };

  struct Check {
    bool is_stale = false;    // superseded before it was read: certainly if at_least > 0
    Nanoseconds at_least{0};  // its staleness lies in this range
    Nanoseconds at_most{0};
    double over = 0.0;  // chance that it exceeds max_staleness: 0 or 1 where that is certain
  };

  struct Report {
    double checked = 0.0;          // reads
    double stale_fraction = 0.0;   // of them: staler than max_staleness
    double low = 0.0, high = 1.0;  // 95 % interval (Wilson 1927)
    double undecided = 0.0;        // reads whose range straddled the limit
    Nanoseconds worst{0};          // the highest at_least seen
    // Is the threshold kept? Nothing until something was checked, and while the interval holds the threshold.
    std::optional<bool> is_kept{};
  };

  explicit StalenessMonitor(std::uint64_t seed = 0);
  ~StalenessMonitor();
  StalenessMonitor(const StalenessMonitor&) = delete;
  StalenessMonitor& operator=(const StalenessMonitor&) = delete;

  // kInvalidArgument: an empty name, a negative limit, a rate or threshold outside 0 to 1, a name that is
  // taken.
  Result<void> register_feature(Feature feature);

  // Is it this read's turn? Each read with the same chance, independent of the others. False for names that
  // are not registered.
  [[nodiscard]] bool should_check(std::string_view feature);

  // kNotFound: no such feature. kInvalidArgument: times that contradict each other (read before it was
  // loaded, asked before it was read): the message says which.
  Result<Check> check(std::string_view feature, const Cached& cached, const Authoritative& authoritative);

  // kNotFound: no such feature.
  [[nodiscard]] Result<Report> report(std::string_view feature) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace candor
