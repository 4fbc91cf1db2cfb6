// Real servers for tests: started on free ports of 127.0.0.1 with their data in a temporary folder, stopped
// by pid. A server dies with the test program, however that ends.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"

namespace candor::testing {

[[nodiscard]] sockaddr_in loopback(std::uint16_t port);

// A folder of its own, removed with its contents.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  // Gives the folder to `user` (for servers that refuse to run as root). True if that worked.
  [[nodiscard]] bool give_to(const std::string& user) const;

 private:
  std::string path_;
};

// A port on 127.0.0.1 that was free a moment ago.
[[nodiscard]] std::uint16_t free_port();
// True once something accepts on 127.0.0.1:port; false when `patience` is over.
[[nodiscard]] bool wait_for_port(std::uint16_t port, Duration patience = std::chrono::seconds(10));
[[nodiscard]] bool have_program(const std::string& path_or_name);

// A child process. Its output goes to a file.
class Process {
 public:
  struct Options {
    std::vector<std::string> arguments;  // the program first; looked up in PATH
    std::string output;                  // file for stdout and stderr; empty: /dev/null
    std::string user;                    // run as this user, when we are root
    std::string folder;                  // working directory; empty: ours
  };
  explicit Process(const Options& options);
  ~Process();  // stop()
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // SIGTERM (or `signal`), then SIGKILL after the patience. Returns the exit status as waitpid() gives it.
  int stop(int signal = 15, Duration patience = std::chrono::seconds(5));
  void kill_now() { stop(9); }
  // SIGSTOP and SIGCONT: a server that is there but silent.
  void freeze() const;
  void thaw() const;
  [[nodiscard]] bool is_running();
  // Waits until it ends by itself; the exit status, or -1 when the patience was over.
  [[nodiscard]] int wait(Duration patience);
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  bool reap(Duration patience);
  pid_t pid_ = -1;
  int status_ = 0;
};

class RedisServer {
 public:
  // `extra`: further configuration, as on redis-server's command line ("--requirepass", "x").
  explicit RedisServer(std::vector<std::string> extra = {});
  // False, with a message to print: why not.
  [[nodiscard]] bool start();
  // The same port and folder, so that a dead one comes back.
  void kill() { process_.reset(); }
  void crash() {
    if (process_) process_->kill_now();
    process_.reset();
  }
  [[nodiscard]] Process& process() { return *process_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(int database = 0) const;
  [[nodiscard]] static bool is_installed() { return have_program("redis-server"); }

 private:
  TempDir folder_;
  std::uint16_t port_;
  std::vector<std::string> extra_;
  std::unique_ptr<Process> process_;
};

class PostgresServer {
 public:
  // `extra`: configuration, "name=value".
  explicit PostgresServer(std::vector<std::string> extra = {});
  [[nodiscard]] bool start();  // initdb at the first time
  void stop();                 // fast shutdown
  void crash();
  // A base backup of the running server, kept beside its data.
  [[nodiscard]] bool back_up();
  // The backup in place of the data; the server must be stopped, and starts with it.
  void restore();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  // A superuser without a password, database "postgres".
  [[nodiscard]] std::string url() const;
  [[nodiscard]] static bool is_installed();

 private:
  [[nodiscard]] bool initialise();
  TempDir folder_;
  std::uint16_t port_;
  std::vector<std::string> extra_;
  std::string user_;
  bool initialised_ = false;
  std::unique_ptr<Process> process_;
};

}  // namespace candor::testing
