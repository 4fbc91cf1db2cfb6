// What is known of how features are read and changed, before or after they are deployed: from figures given
// by hand, from logs, from a trace, or from a node that runs. What a source does not say stays unsaid.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/trace_reader.h"
#include "base/result.h"
#include "base/time.h"
#include "budget/workload.h"

namespace candor::app {

// A fraction of reads as a node measured it.
struct MeasuredFraction {
  double fraction = 0.0, low = 0.0, high = 1.0;
  double reads = 0.0;
};

struct KnownWorkload {
  Workload workload;
  std::string source;              // "rates.toml:3", for people
  std::vector<std::string> notes;  // what to know about these figures
  std::optional<double> through_share, own_share;
  std::optional<double> load_seconds;
  std::optional<double> delay_seconds, delay_p99_seconds, loss;
  std::optional<MeasuredFraction> measured;  // staler than the limit
};
using KnownWorkloads = std::map<std::string, KnownWorkload, std::less<>>;

// Figures from a later source win over those of an earlier one; what it does not say stays.
void add_known(KnownWorkloads& to, KnownWorkloads from);

// ---- figures given by hand ----

// A file of `[features.NAME]` tables (TOML), or the same as JSON where the name ends in .json.
[[nodiscard]] Result<KnownWorkloads> read_rates_file(const std::string& path);
// Pure. `file` is only named in errors.
[[nodiscard]] Result<KnownWorkloads> read_rates_text(std::string_view text, const std::string& file,
                                                     bool is_json);
// "profile:reads_per_second=1000,updates_per_second=3,keys=5000"
[[nodiscard]] Result<KnownWorkloads> read_rate_option(std::string_view text);

// ---- logs and traces ----

struct SeenFiles {
  std::string reads;          // log of reads: `time feature key`, a line each; empty: none
  std::string writes;         // log of changes, the same
  std::string trace;          // a trace instead of the log of reads
  TraceFormat format;         // of the trace
  std::string trace_feature;  // whose keys the trace has
  Duration duration{0};       // that the files span; 0: what the logs' times span
};
[[nodiscard]] Result<KnownWorkloads> read_seen_files(const SeenFiles& files);

// One line of a log. Fields end at blanks, tabs, commas or semicolons; the key is the rest of the line.
struct LogLine {
  double seconds = 0.0;
  std::string_view feature, key;
};
// Nothing for a line that says nothing: empty, a comment (#), the header `time,feature,key`.
[[nodiscard]] Result<std::optional<LogLine>> parse_log_line(std::string_view line);

// ---- a node that runs ----

// The answer of GET /api/v1/budgets.
[[nodiscard]] Result<KnownWorkloads> read_node_budgets(std::string_view body, const std::string& node);

}  // namespace candor::app
