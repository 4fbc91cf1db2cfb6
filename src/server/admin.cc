// Commands about the server, and those that drop what is cached (never the origin).
#include <algorithm>
#include <chrono>
#include <optional>

#include "proto/resp_number.h"
#include "server/command_docs.h"
#include "server/dropping.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/server_info.h"
#include "server/session.h"

namespace candor::server {

namespace {

void flush(Session& session, Args args) {
  // Redis' ASYNC and SYNC are taken and make no difference.
  if (args.size() > 2 || (args.size() == 2 && !is_word(args[1], "ASYNC") && !is_word(args[1], "SYNC")))
    return session.syntax_error();
  if (!session.user()->all_features) {
    return session.error("NOPERM user '" + session.user()->name +
                         "' may not touch every feature; CANDOR.INVALIDATE FEATURE drops one");
  }
  drop_feature(session, std::nullopt, [](Session&, std::string& out) { out.append("+OK\r\n"); });
}

// There are no functions, so none are left.
void function_flush(Session& session, Args args) {
  if (args.size() > 3) {
    return session.error("ERR unknown subcommand or wrong number of arguments for '" +
                         std::string(args[1].substr(0, 64)) + "'. Try FUNCTION HELP.");
  }
  if (args.size() == 3 && !is_word(args[2], "SYNC") && !is_word(args[2], "ASYNC"))
    return session.error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
  session.ok();
}

void function_list(Session& session, Args args) {
  for (std::size_t i = 2; i < args.size(); ++i) {
    if (is_word(args[i], "WITHCODE")) continue;
    if (is_word(args[i], "LIBRARYNAME") && i + 1 < args.size()) {
      ++i;
      continue;
    }
    return session.error("ERR Unknown argument " + std::string(args[i].substr(0, 64)));
  }
  resp::write_array(session.out(), 0);
}

void function(Session& session, Args args) {
  if (is_word(args[1], "FLUSH")) return function_flush(session, args);
  if (is_word(args[1], "LIST")) return function_list(session, args);
  if (is_word(args[1], "KILL") && args.size() == 2)
    return session.error("NOTBUSY No scripts in execution right now.");
  if (is_word(args[1], "DELETE") && args.size() == 3) return session.error("ERR Library not found");
  for (const char* other : {"DELETE", "DUMP", "KILL", "LOAD", "RESTORE", "STATS"}) {
    if (!is_word(args[1], other)) continue;
    return session.error(
        "ERR there are no functions here; FUNCTION LIST and FUNCTION FLUSH answer as a server without any");
  }
  unknown_subcommand(session, "FUNCTION", args[1]);
}

void write_slow_entry(std::string& out, const SlowLog::Entry& entry) {
  resp::write_array(out, entry.stages.is_known ? 7 : 6);
  resp::write_integer(out, static_cast<std::int64_t>(entry.id));
  resp::write_integer(out, entry.at.ms() / 1000);
  resp::write_integer(out, std::chrono::duration_cast<std::chrono::microseconds>(entry.took).count());
  resp::write_array(out, entry.args.size());
  for (const auto& arg : entry.args) resp::write_bulk(out, arg);
  resp::write_bulk(out, entry.client);
  resp::write_bulk(out, entry.name);
  if (!entry.stages.is_known) return;
  // Beside what Redis has: clients read the six by their places.
  const auto micros = [](Duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  };
  const Duration line = entry.took - entry.stages.in_l2 - entry.stages.in_origin;
  resp::write_array(out, 6);
  resp::write_bulk(out, "line_us");
  resp::write_integer(out, std::max<std::int64_t>(0, micros(line)));
  resp::write_bulk(out, "l2_us");
  resp::write_integer(out, micros(entry.stages.in_l2));
  resp::write_bulk(out, "origin_us");
  resp::write_integer(out, micros(entry.stages.in_origin));
}

void slowlog(Session& session, Args args) {
  SlowLog& log = session.server().slow_log();
  if (is_word(args[1], "LEN") && args.size() == 2)
    return session.integer(static_cast<std::int64_t>(log.size()));
  if (is_word(args[1], "RESET") && args.size() == 2) {
    log.clear();
    return session.ok();
  }
  if (!is_word(args[1], "GET") || args.size() > 3)
    return session.error("ERR unknown subcommand or wrong number of arguments. Try SLOWLOG GET.");
  std::int64_t count = 10;
  if (args.size() == 3 && (!resp::parse_integer(args[2], &count) || count < -1))
    return session.error("ERR count should be greater than or equal to -1");
  const auto entries = log.latest(count < 0 ? SIZE_MAX : static_cast<std::size_t>(count));
  resp::write_array(session.out(), entries.size());
  for (const auto& entry : entries) write_slow_entry(session.out(), entry);
}

// Redis keeps events of its event loop here; ours are in the metrics, so there are none to list.
void latency_none(Session& session, Args) { resp::write_array(session.out(), 0); }
void latency_reset(Session& session, Args) { session.integer(0); }
void latency_doctor(Session& session, Args) {
  resp::write_verbatim(session.out(), "txt", "Latencies are in candor_read_seconds on /metrics.\n",
                       session.protocol());
}
void latency_graph(Session& session, Args args) {
  session.error("ERR No samples available for event '" + std::string(args[2].substr(0, 64)) + "'");
}

struct LatencyCommand {
  std::string_view name;
  std::size_t arguments;
  bool or_more;
  void (*run)(Session&, Args);
};

constexpr LatencyCommand kLatencyCommands[] = {
    {"LATEST", 2, false, latency_none}, {"HISTORY", 3, false, latency_none},
    {"RESET", 2, true, latency_reset},  {"DOCTOR", 2, false, latency_doctor},
    {"GRAPH", 3, false, latency_graph},
};

constexpr std::string_view kLatencyHelp[] = {
    "DOCTOR",
    "    Say where latencies are kept: on /metrics.",
    "GRAPH <event>",
    "    There are no events to draw.",
    "HISTORY <event>",
    "    There are no events to list.",
    "LATEST",
    "    There are no events to list.",
    "RESET [<event> ...]",
    "    There are no events to forget.",
};

void latency(Session& session, Args args) {
  if (is_word(args[1], "HELP") && args.size() == 2) return write_help(session, "LATENCY", kLatencyHelp);
  for (const auto& sub : kLatencyCommands) {
    if (!is_word(args[1], sub.name)) continue;
    const bool fits = sub.or_more ? args.size() >= sub.arguments : args.size() == sub.arguments;
    return fits ? sub.run(session, args) : wrong_arity(session, "latency", sub.name);
  }
  unknown_subcommand(session, "LATENCY", args[1]);
}

void time(Session& session, Args) {
  const auto micros = session.server().context().clock->wall().ns / 1000;
  resp::write_array(session.out(), 2);
  resp::write_bulk(session.out(), std::to_string(micros / 1'000'000));
  resp::write_bulk(session.out(), std::to_string(micros % 1'000'000));
}

using C = Command;
constexpr Command kAdminCommands[] = {
    {"COMMAND", -1, C::kSubscriber, Right::kNone, 0, 0, 0, "server", "2.8.13", "The commands that there are.",
     command},
    {"INFO", -1, 0, Right::kNone, 0, 0, 0, "server", "1.0.0", "Figures about this node.", info},
    {"CONFIG", -2, C::kAdmin, Right::kNone, 0, 0, 0, "server", "2.0.0",
     "GET: settings that Redis tools ask for.", config},
    {"TIME", 1, C::kFast, Right::kNone, 0, 0, 0, "server", "2.6.0",
     "The wall clock: seconds and microseconds.", time},
    {"FLUSHALL", -1, C::kChanges | C::kAdmin | C::kBarrier, Right::kAdmin, 0, 0, 0, "server", "1.0.0",
     "Drops everything cached, and plain features; never the origin.", flush},
    {"FLUSHDB", -1, C::kChanges | C::kAdmin | C::kBarrier, Right::kAdmin, 0, 0, 0, "server", "1.0.0",
     "As FLUSHALL.", flush},
    {"FUNCTION", -2, C::kAdmin, Right::kAdmin, 0, 0, 0, "scripting", "7.0.0",
     "There are no functions: FLUSH and LIST answer so.", function},
    {"SLOWLOG", -2, C::kAdmin, Right::kAdmin, 0, 0, 0, "server", "2.2.12", "Commands that took long.",
     slowlog},
    {"LATENCY", -2, C::kAdmin, Right::kAdmin, 0, 0, 0, "server", "2.8.13",
     "No events are kept; see /metrics.", latency},
};

}  // namespace

std::span<const Command> admin_commands() { return kAdminCommands; }

}  // namespace candor::server
