// The routes that look into keys: parsing of what is asked, streams of traces. The answers are
// InspectControl's.
//
// Thread safety: the control plane's loop.
#pragma once

#include <cstdint>
#include <vector>

#include "app/http_connection.h"
#include "app/inspect_control.h"

namespace candor::app {

class InspectRoutes {
 public:
  // While a client has not taken so much of its trace, its events wait in the trace, which is bounded and
  // counts what it leaves out.
  static constexpr std::size_t kUnsentBytesMax = std::size_t{256} << 10;
  // Ticks between two words on how a trace fares, which also show that the connection lives.
  static constexpr unsigned kTicksPerState = 10;

  // Null: there is nothing to look into.
  explicit InspectRoutes(InspectControl* node) : node_(node) {}
  ~InspectRoutes();
  InspectRoutes(const InspectRoutes&) = delete;
  InspectRoutes& operator=(const InspectRoutes&) = delete;

  void get_key(const HttpReply& reply, const HttpRequest& request);
  void get_hot_keys(const HttpReply& reply, const HttpRequest& request);
  void get_ttl(const HttpReply& reply, const HttpRequest& request);
  void get_trace(const HttpReply& reply, const HttpRequest& request);
  // Sends what the traces have seen.
  void tick();

 private:
  struct Stream {
    HttpReply reply;
    std::uint64_t trace = 0;
    std::uint64_t left_out = 0;  // not told yet
    unsigned ticks = 0;
  };
  [[nodiscard]] bool is_there(const HttpReply& reply) const;
  [[nodiscard]] bool feed(Stream& stream);

  InspectControl* node_;
  std::vector<Stream> streams_;
};

// What is asked for in a trace's query; an error names the parameter.
[[nodiscard]] Result<TraceFilter> parse_trace_filter(std::string_view query);

}  // namespace candor::app
