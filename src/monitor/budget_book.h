// The budgets of all features: what was judged within their windows, and what that means. Pure: no clock, no
// file; callers pass `now`.
//
// Reads are judged in two ways, and each has windows and a judge of its own: from the stream (many, but blind
// to changes that the stream never told of) and against the origin (few, but blind to nothing). Neither can
// call something stale that is not, so that the worse of the two states is the budget's.
//
// Memory: about 43 KiB for each budget and each way that was ever used; features without a budget cost
// nothing. Thread safety: none; one owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "monitor/budget_judge.h"
#include "monitor/budget_windows.h"
#include "monitor/exposure_report.h"
#include "monitor/tally.h"

namespace candor {

enum class JudgedBy : std::uint8_t { kStream, kOrigin };
inline constexpr std::size_t kJudges = 2;

class BudgetBook {
 public:
  struct Feature {
    std::string name;
    std::optional<Budget> budget;  // none: add() and fill() do nothing
  };
  // In the order of the configuration; add() and fill() name features by their place.
  explicit BudgetBook(std::vector<Feature> features);

  // Reads that were judged just now. `now` must not go back.
  void add(std::size_t feature, JudgedBy by, MonoTime now, const Tally& tally);
  // … from the stream, each standing for itself.
  void add(std::size_t feature, MonoTime now, double reads, double stale) {
    add(feature, JudgedBy::kStream, now, Tally::plain(reads, stale));
  }

  // Sets by_stream_window, by_origin_window, reads_window, budget_remaining, burn and state; `out` is the
  // feature's. The state moves on with `now`: call it at each evaluation, at least every 10 s or so. What the
  // numbers are made of is the way that decides the state; if both agree, the one that leaves less of the
  // budget, unless it has judged too little to say so.
  void fill(std::size_t feature, FeatureExposure& out, MonoTime now);

  // All of it, for the next process: bytes with a checksum.
  [[nodiscard]] std::string save(MonoTime now, WallTime wall) const;
  // Takes over what `bytes` say of features that are still the same: name, window and max_staleness. The
  // windows go on over the pause between the two processes as the wall clock measures it; the pause itself
  // holds no reads. Call it before the first add(). Returns lines for the log, one for each feature whose
  // history was not taken. Bytes that are damaged or of another format are an error; then the book is
  // as it was.
  [[nodiscard]] Result<std::vector<std::string>> restore(std::string_view bytes, MonoTime now, WallTime wall);

  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Way {
    explicit Way(const Budget& budget) : windows(burn_windows(budget)), judge(budget) {}
    BudgetWindows windows;
    BudgetJudge judge;
  };
  struct Entry {
    Feature feature;
    std::array<std::unique_ptr<Way>, kJudges> ways;  // made when first used
  };
  struct Restored;
  [[nodiscard]] MonoTime own_time(MonoTime now) const { return now + offset_; }
  [[nodiscard]] const Way* choose(const Entry& entry, MonoTime own) const;
  void restore_entry(BlobReader& in, Restored& out) const;

  std::vector<Entry> entries_;
  // Windows are kept on a time line of their own, which goes on over restarts; a MonoTime does not.
  Duration offset_{0};
};

}  // namespace candor
