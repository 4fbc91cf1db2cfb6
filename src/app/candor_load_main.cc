// candor-load: the traffic of the demo. Prints a line every few seconds, and at its end a report as JSON.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>

#include "app/load_run.h"
#include "base/units.h"
#include "io/loop.h"

namespace candor::load {
namespace {

// A recording longer than this is cut: at the demo's rate it lasts for minutes, and it is held in memory.
constexpr std::size_t kRequestsMax = 2'000'000;

std::atomic<bool> interrupted{false};

struct Arguments {
  std::string host = "127.0.0.1";
  std::uint16_t port = 6390;
  double rate = 20'000;
  unsigned connections = 8;
  std::string duration = "0s", progress = "0s";
  std::vector<std::string> features;
  std::string words, word_requests, price_requests, report;
  std::uint64_t seed = 1;
};

std::vector<std::string> read_lines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("--host", a.host, "where Candor listens");
  app.add_option("--port", a.port, "its RESP port");
  app.add_option("--rate", a.rate, "reads per second, all features together")->check(CLI::PositiveNumber);
  app.add_option("--connections", a.connections, "client connections")->check(CLI::Range(1, 1000));
  app.add_option("--for", a.duration, "how long, such as 20s; 0s: until it is interrupted");
  app.add_option("--progress", a.progress, "print a line this often; 0s: never");
  app.add_option("--features", a.features, "only these features of the mix")->delimiter(',');
  app.add_option("--words", a.words, "a file with the keys of `word`, one a line")->required();
  app.add_option("--word-requests", a.word_requests,
                 "a recording for `word`, as tools/demo/requests_of.py writes it; not given: the generator");
  app.add_option("--price-requests", a.price_requests, "a recording for `price`");
  app.add_option("--report", a.report, "the file for the report; standard output if not given");
  app.add_option("--seed", a.seed, "of all that is drawn by lot");
}

// Key numbers, four bytes each in this machine's order.
Result<std::vector<std::uint32_t>> read_requests(const std::string& path) {
  std::vector<std::uint32_t> requests;
  if (path.empty()) return requests;
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return fail(ErrorCode::kNotFound, path + ": cannot be opened; tools/demo/requests_of.py writes it");
  requests.resize(kRequestsMax);
  in.read(reinterpret_cast<char*>(requests.data()),
          static_cast<std::streamsize>(kRequestsMax * sizeof(std::uint32_t)));
  requests.resize(static_cast<std::size_t>(in.gcount()) / sizeof(std::uint32_t));
  if (requests.empty()) return fail(ErrorCode::kCorrupt, path + ": no requests in it");
  return requests;
}

int usage(const std::string& message) {
  std::fprintf(stderr, "candor-load: %s\n", message.c_str());
  return 2;
}

class Program {
 public:
  Program(LoadOptions options, Duration duration, Duration progress)
      : duration_(duration), progress_(progress), run_(&loop_, &loop_, std::move(options)) {}

  std::string run() {
    loop_.turn(Duration::zero());  // sets the loop's clock
    run_.start();
    next_progress_ = loop_.now() + progress_;
    watch();
    loop_.run();
    return run_.report_json();
  }

 private:
  void watch() {
    const bool over = duration_ > Duration::zero() && run_.elapsed() >= duration_;
    if (over || interrupted) {
      run_.stop([this] { loop_.stop(); });
      return;
    }
    if (progress_ > Duration::zero() && loop_.now() >= next_progress_) print_progress();
    loop_.schedule(loop_.now() + 50ms, [this] { watch(); });
  }

  void print_progress() {
    next_progress_ = loop_.now() + progress_;
    const std::uint64_t reads = run_.reads();
    const double rate = static_cast<double>(reads - reads_before_) / to_seconds(progress_);
    reads_before_ = reads;
    std::printf("%s\n", fmt::format("  {:>6.0f} s  {:>9.0f} reads/s  {} errors", to_seconds(run_.elapsed()),
                                    rate, run_.errors())
                            .c_str());
    std::fflush(stdout);
  }

  Duration duration_, progress_;
  MonoTime next_progress_;
  std::uint64_t reads_before_ = 0;
  Loop loop_;
  LoadRun run_;
};

int run(const Arguments& a) {
  LoadOptions options;
  options.endpoint = Endpoint{.host = a.host, .port = a.port};
  options.reads_per_second = a.rate;
  options.connections = a.connections;
  options.seed = a.seed;
  options.features = a.features;
  options.words = read_lines(a.words);
  if (options.words.empty())
    return usage(fmt::format("{}: no words in it; tools/demo/build_database.py writes it", a.words));
  const auto duration = parse_duration(a.duration);
  const auto progress = parse_duration(a.progress);
  if (!duration) return usage("--for " + a.duration + ": " + duration.error().message);
  if (!progress) return usage("--progress " + a.progress + ": " + progress.error().message);
  auto words = read_requests(a.word_requests);
  if (!words) return usage(words.error().message);
  auto prices = read_requests(a.price_requests);
  if (!prices) return usage(prices.error().message);
  options.word_requests = std::move(*words);
  options.price_requests = std::move(*prices);
  const std::string report = Program(std::move(options), *duration, *progress).run();
  if (a.report.empty()) {
    std::printf("%s\n", report.c_str());
  } else {
    std::ofstream(a.report) << report << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace candor::load

int main(int argc, char** argv) {
  candor::load::Arguments arguments;
  CLI::App app("The demo's readers and writers. Point it at a Candor that runs demo/candor.toml.");
  add_options(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const auto interrupt = [](int) { candor::load::interrupted = true; };
  std::signal(SIGINT, interrupt);
  std::signal(SIGTERM, interrupt);
  return candor::load::run(arguments);
}
