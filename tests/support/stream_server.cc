#include "tests/support/stream_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>

#include "base/assert.h"

namespace candor::testing {
namespace {

// A blocking connection that speaks lines: enough for an operator.
class Line {
 public:
  explicit Line(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    CANDOR_ASSERT(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~Line() { ::close(fd_); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void write(const std::string& bytes) const {
    CANDOR_ASSERT(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(bytes.size()));
  }
  std::string read_line() {
    std::size_t end = 0;
    while ((end = got_.find("\r\n")) == std::string::npos) fill();
    std::string line = got_.substr(0, end);
    got_.erase(0, end + 2);
    return line;
  }
  std::string read_bytes(std::size_t count) {
    while (got_.size() < count) fill();
    std::string bytes = got_.substr(0, count);
    got_.erase(0, count);
    return bytes;
  }

 private:
  void fill() {
    char bytes[4096];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    CANDOR_ASSERT(n > 0);
    got_.append(bytes, static_cast<std::size_t>(n));
  }
  int fd_;
  std::string got_;
};

class RedisStreamServer final : public StreamServer {
 public:
  explicit RedisStreamServer(bool persistent)
      : persistent_(persistent),
        server_(persistent ? std::vector<std::string>{"--appendonly", "yes", "--appendfsync", "always"}
                           : std::vector<std::string>{}) {}
  bool start() override { return server_.start(); }
  void crash() override { server_.crash(); }
  Process& process() override { return server_.process(); }
  std::string url() const override { return server_.url(); }
  bool is_persistent() const override { return persistent_; }
  void delete_log(const std::string&) override { command({"FLUSHALL"}); }
  void purge_log(const std::string& region) override {
    command({"XTRIM", "{candor:" + region + "}:stream", "MAXLEN", "0"});
  }

  std::string command(const std::vector<std::string>& words) override {
    Line line(server_.port());
    line.write(encoded(words));
    return read_reply(line);
  }
  std::string dump(const std::string& key) override { return command({"DUMP", key}); }
  void restore(const std::vector<std::pair<std::string, std::string>>& dumps) override {
    Line line(server_.port());
    std::string all = encoded({"MULTI"});
    for (const auto& [key, bytes] : dumps) all += encoded({"RESTORE", key, "0", bytes, "REPLACE"});
    line.write(all + encoded({"EXEC"}));
    for (std::size_t i = 0; i < dumps.size() + 1; ++i) CANDOR_ASSERT(read_reply(line)[0] != '-');
    CANDOR_ASSERT(line.read_line()[0] == '*');
    for (std::size_t i = 0; i < dumps.size(); ++i) CANDOR_ASSERT(line.read_line() == "+OK");
  }

 private:
  static std::string encoded(const std::vector<std::string>& words) {
    std::string out = "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    return out;
  }
  // One line, or one bulk string.
  static std::string read_reply(Line& line) {
    const std::string first = line.read_line();
    if (first[0] != '$' || first == "$-1") return first;
    const auto size = static_cast<std::size_t>(std::atoll(first.c_str() + 1));
    return line.read_bytes(size + 2).substr(0, size);
  }
  bool persistent_;
  RedisServer server_;
};

class NatsStreamServer final : public StreamServer {
 public:
  bool start() override {
    Process::Options options;
    options.arguments = {"nats-server",         "-a",  "127.0.0.1", "-p",
                         std::to_string(port_), "-js", "-sd",       folder_.path()};
    options.output = folder_.path() + "/nats.log";
    process_ = std::make_unique<Process>(options);
    return wait_for_port(port_) && is_jetstream_up();
  }
  void crash() override {
    if (process_) process_->kill_now();
    process_.reset();
  }
  Process& process() override { return *process_; }
  std::string url() const override { return "nats://127.0.0.1:" + std::to_string(port_); }
  bool is_persistent() const override { return true; }
  void delete_log(const std::string& region) override { api("STREAM.DELETE.CANDOR_" + region, ""); }
  void purge_log(const std::string& region) override { api("STREAM.PURGE.CANDOR_" + region, ""); }
  bool make_nats_stream(const std::string& name, const std::string& subject,
                        const std::string& retention) override {
    return api("STREAM.CREATE." + name, "{\"name\":\"" + name + "\",\"subjects\":[\"" + subject +
                                            "\"],\"retention\":\"" + retention + "\",\"storage\":\"file\"}")
               .find("\"error\"") == std::string::npos;
  }
  bool delete_nats_message(const std::string& stream, int sequence) override {
    return api("STREAM.MSG.DELETE." + stream, "{\"seq\":" + std::to_string(sequence) + "}")
               .find("\"success\":true") != std::string::npos;
  }

 private:
  // One request to JetStream's API; the answer's text.
  std::string api(const std::string& what, const std::string& body) const {
    Line line(port_);
    line.read_line();  // INFO
    line.write(
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n"
        "SUB answer.here 1\r\nPUB $JS.API." +
        what + " answer.here " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
    for (;;) {
      const std::string first = line.read_line();
      if (first.starts_with("PING")) line.write("PONG\r\n");
      if (first.starts_with("HMSG")) return "no responders";
      if (!first.starts_with("MSG")) continue;
      return line.read_bytes(static_cast<std::size_t>(std::atoll(first.c_str() + first.rfind(' '))));
    }
  }
  bool is_jetstream_up() const {
    for (int i = 0; i < 200; ++i) {
      if (api("INFO", "").find("\"error\"") == std::string::npos) return true;
      ::usleep(20'000);
    }
    return false;
  }
  TempDir folder_;
  std::uint16_t port_ = free_port();
  std::unique_ptr<Process> process_;
};

}  // namespace

std::unique_ptr<StreamServer> StreamServer::make(const std::string& kind) {
  if (kind == "memory") return std::make_unique<StreamServer>();
  if (kind == "nats") return std::make_unique<NatsStreamServer>();
  return std::make_unique<RedisStreamServer>(kind == "redis_aof");
}

Process& StreamServer::process() { std::abort(); }
void StreamServer::delete_log(const std::string&) { std::abort(); }
void StreamServer::purge_log(const std::string&) { std::abort(); }
std::string StreamServer::command(const std::vector<std::string>&) { std::abort(); }
std::string StreamServer::dump(const std::string&) { std::abort(); }
void StreamServer::restore(const std::vector<std::pair<std::string, std::string>>&) { std::abort(); }
bool StreamServer::make_nats_stream(const std::string&, const std::string&, const std::string&) {
  std::abort();
}
bool StreamServer::delete_nats_message(const std::string&, int) { std::abort(); }

}  // namespace candor::testing
