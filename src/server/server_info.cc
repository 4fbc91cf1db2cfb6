#include "server/server_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/glob.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

using Out = std::string;

void server_section(Session& session, Out& out) {
  RespServer& server = session.server();
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(session.peer().executor().now() - server.started_at())
          .count();
  fmt::format_to(std::back_inserter(out),
                 "redis_version:7.2.0\r\ncandor_version:{}\r\nredis_mode:standalone\r\nos:Linux\r\narch_bits:"
                 "64\r\nrun_id:{}\r\n"
                 "tcp_port:{}\r\nserver_name:{}\r\nuptime_in_seconds:{}\r\nuptime_in_days:{}\r\nhz:10\r\nio_"
                 "threads_active:0\r\n",
                 server.options().version, server.run_id(), server.options().port, server.options().node_name,
                 uptime, uptime / 86'400);
}

void clients_section(Session& session, Out& out) {
  RespServer& server = session.server();
  fmt::format_to(std::back_inserter(out),
                 "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\ntracking_clients:0\r\nreads_"
                 "waiting:{}\r\n",
                 server.connections(), server.options().connections_max, server.cache().waiting());
}

void memory_section(Session& session, Out& out) {
  const auto stats = session.store().stats();
  fmt::format_to(std::back_inserter(out),
                 "used_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:allkeys-candor\r\nused_memory_dataset:{}"
                 "\r\nused_memory_overhead:{}\r\n"
                 "mem_l1_index:{}\r\nmem_l1_segments:{}\r\nmem_l1_policy:{}\r\n",
                 stats.bytes_used, stats.memory_limit, stats.live_entry_bytes,
                 stats.bytes_used - std::min(stats.bytes_used, stats.live_entry_bytes), stats.index_bytes,
                 stats.segment_bytes, stats.policy_bytes);
}

void persistence_section(Session&, Out& out) {
  out.append("loading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:0\r\n");
}

void stats_section(Session& session, Out& out) {
  ServerCounters& counters = session.server().counters();
  const CacheCore& cache = session.cache();
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < cache.feature_count(); ++i) {
    const auto& feature = cache.feature(FeatureId{static_cast<std::uint16_t>(i)}).counters;
    hits += feature.hits_l1.value() + feature.negative_hits.value() + feature.hits_disk.value() +
            feature.hits_l2.value();
    misses += feature.loads.value();
  }
  const auto stats = session.store().stats();
  fmt::format_to(std::back_inserter(out),
                 "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ntotal_net_input_bytes:{}"
                 "\r\nrejected_connections:{}\r\n"
                 "expired_keys:{}\r\nevicted_keys:{}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\npubsub_"
                 "channels:{}\r\npubsub_patterns:{}\r\n"
                 "total_error_replies:{}\r\nclient_output_buffer_limit_disconnections:{}\r\nprotocol_errors:{"
                 "}\r\nforeign_protocols:{}\r\n"
                 "deadlines_missed:{}\r\nwrong_passwords:{}\r\n",
                 counters.connections_accepted.value(), counters.commands.value(), counters.bytes_in.value(),
                 counters.connections_refused.value(), stats.expirations, stats.evictions, hits, misses,
                 session.server().pubsub().channel_count(), session.server().pubsub().pattern_count(),
                 counters.command_errors.value(), counters.slow_readers_cut.value(),
                 counters.protocol_errors.value(), counters.foreign_protocols.value(),
                 counters.deadlines_missed.value(), counters.wrong_passwords.value());
}

void replication_section(Session&, Out& out) { out.append("role:master\r\nconnected_slaves:0\r\n"); }
void cluster_section(Session&, Out& out) { out.append("cluster_enabled:0\r\n"); }

void features_section(Session& session, Out& out) {
  const CacheCore& cache = session.cache();
  for (std::size_t i = 0; i < cache.feature_count(); ++i) {
    const Feature& feature = cache.feature(FeatureId{static_cast<std::uint16_t>(i)});
    const auto usage = session.store().usage(feature.id());
    const auto& counters = feature.counters;
    fmt::format_to(std::back_inserter(out),
                   "feature_{}:entries={},bytes={},hits_l1={},negative_hits={},hits_l2={},loads={},errors={},"
                   "writes={}\r\n",
                   feature.policy().name, usage.entries, usage.bytes, counters.hits_l1.value(),
                   counters.negative_hits.value(), counters.hits_l2.value(), counters.loads.value(),
                   counters.errors.value(), counters.writes.value());
  }
}

void keyspace_section(Session& session, Out& out) {
  std::uint64_t keys = 0;
  for (std::size_t i = 0; i < session.cache().feature_count(); ++i)
    keys += session.store().usage(FeatureId{static_cast<std::uint16_t>(i)}).entries;
  // Redis adds how many of them expire and when, on average; L1 does not count that.
  if (keys > 0) fmt::format_to(std::back_inserter(out), "db0:keys={}\r\n", keys);
}

struct Section {
  std::string_view title;
  void (*write)(Session&, Out&);
};
constexpr Section kSections[] = {
    {"Server", server_section},     {"Clients", clients_section},
    {"Memory", memory_section},     {"Persistence", persistence_section},
    {"Stats", stats_section},       {"Replication", replication_section},
    {"Cluster", cluster_section},   {"Features", features_section},
    {"Keyspace", keyspace_section},
};

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return out;
}

}  // namespace

void info(Session& session, Args args) {
  std::string text;
  const auto wanted = [&](std::string_view title) {
    if (args.size() == 1) return true;
    return std::ranges::any_of(args.subspan(1), [&](std::string_view word) {
      return is_word(word, "ALL") || is_word(word, "DEFAULT") || is_word(word, "EVERYTHING") ||
             is_word(word, upper(title));
    });
  };
  for (const auto& section : kSections) {
    if (!wanted(section.title)) continue;
    if (!text.empty()) text.append("\r\n");
    text.append("# ").append(section.title).append("\r\n");
    section.write(session, text);
  }
  resp::write_verbatim(session.out(), "txt", text, session.protocol());
}

// The settings that Redis clients and tools ask for, with what is true here.
void config(Session& session, Args args) {
  if (is_word(args[1], "RESETSTAT"))
    return session.error(
        "ERR CONFIG RESETSTAT is not supported: counters only grow, readers take differences");
  if (is_word(args[1], "SET") || is_word(args[1], "REWRITE")) {
    return session.error("ERR the configuration is a file here; change it and send SIGHUP");
  }
  if (!is_word(args[1], "GET") || args.size() < 3) {
    return session.error("ERR unknown subcommand or wrong number of arguments for '" +
                         std::string(args[1].substr(0, 64)) + "'. Try CONFIG GET.");
  }
  const ServerOptions& options = session.server().options();
  const auto idle = std::chrono::duration_cast<std::chrono::seconds>(options.idle_deadline).count();
  const std::pair<std::string_view, std::string> settings[] = {
      {"appendonly", "no"},
      {"databases", "1"},
      {"maxclients", std::to_string(options.connections_max)},
      {"maxmemory", std::to_string(session.store().stats().memory_limit)},
      {"maxmemory-policy", "allkeys-candor"},
      {"port", std::to_string(options.port)},
      {"proto-max-bulk-len", std::to_string(options.request_limits.bulk_bytes_max)},
      {"save", ""},
      {"slowlog-log-slower-than",
       std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(options.slow_command).count())},
      {"slowlog-max-len", std::to_string(options.slow_log_entries)},
      {"timeout", std::to_string(idle)},
  };
  std::vector<const std::pair<std::string_view, std::string>*> found;
  for (const auto& setting : settings) {
    const bool matches = std::ranges::any_of(
        args.subspan(2), [&](std::string_view pattern) { return glob_match(pattern, setting.first, true); });
    if (matches) found.push_back(&setting);
  }
  std::string& out = session.out();
  resp::write_map(out, found.size(), session.protocol());
  for (const auto* setting : found) {
    resp::write_bulk(out, setting->first);
    resp::write_bulk(out, setting->second);
  }
}

}  // namespace candor::server
