#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/assert.h"

namespace candor::testing {
namespace {

constexpr Duration kPollStep = 10ms;

// True if `done` came true within `patience`.
template <class F>
bool poll_until(Duration patience, F done) {
  for (Duration waited{0}; waited <= patience; waited += kPollStep) {
    if (done()) return true;
    std::this_thread::sleep_for(kPollStep);
  }
  return false;
}

bool accepts(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool ok = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return ok;
}

// In the child, between fork and exec.
[[noreturn]] void become(const Process::Options& options, std::vector<char*>& argv, const passwd* user,
                         pid_t parent) {
  if (user != nullptr) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)
      ::_exit(126);
  }
  // After setuid(), which would clear it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);
  const std::string output = options.output.empty() ? "/dev/null" : options.output;
  const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  if (fd >= 0) {
    ::dup2(fd, 1);
    ::dup2(fd, 2);
  }
  if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(126);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// ---- TempDir ----

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "candor-test-XXXXXX").string();
  CANDOR_ASSERT(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool TempDir::give_to(const std::string& user) const {
  const passwd* who = ::getpwnam(user.c_str());
  return who != nullptr && ::chown(path_.c_str(), who->pw_uid, who->pw_gid) == 0;
}

// ---- ports ----

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  CANDOR_ASSERT(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CANDOR_ASSERT(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

bool wait_for_port(std::uint16_t port, Duration patience) {
  return poll_until(patience, [port] { return accepts(port); });
}

bool have_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0;
  const char* const path = std::getenv("PATH");
  std::string folders = path == nullptr ? "/usr/bin:/bin" : path;
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    if (::access((folders.substr(begin, end - begin) + "/" + name).c_str(), X_OK) == 0) return true;
    begin = end + 1;
  }
  return false;
}

// ---- Process ----

Process::Process(const Options& options) {
  std::vector<std::string> words = options.arguments;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const bool other_user = !options.user.empty() && ::geteuid() == 0;
  const passwd* const user = other_user ? ::getpwnam(options.user.c_str()) : nullptr;
  CANDOR_ASSERT(!other_user || user != nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  CANDOR_ASSERT(pid_ >= 0);
  if (pid_ == 0) become(options, argv, user, parent);
}

Process::~Process() { stop(); }

int Process::stop(int signal, Duration patience) {
  if (!is_running()) return status_;
  ::kill(pid_, signal);
  ::kill(pid_, SIGCONT);  // a frozen process would not hear SIGTERM
  if (reap(patience)) return status_;
  ::kill(pid_, SIGKILL);
  CANDOR_ASSERT(reap(std::chrono::seconds(30)));
  return status_;
}

void Process::freeze() const {
  if (pid_ > 0) ::kill(pid_, SIGSTOP);
}
void Process::thaw() const {
  if (pid_ > 0) ::kill(pid_, SIGCONT);
}

bool Process::is_running() { return pid_ > 0 && !reap(Duration{0}); }

int Process::wait(Duration patience) { return pid_ <= 0 || reap(patience) ? status_ : -1; }

bool Process::reap(Duration patience) {
  if (pid_ <= 0) return true;
  return poll_until(patience, [this] {
    if (::waitpid(pid_, &status_, WNOHANG) != pid_) return false;
    pid_ = -1;
    return true;
  });
}

// ---- Redis ----

RedisServer::RedisServer(std::vector<std::string> extra) : port_(free_port()), extra_(std::move(extra)) {}

bool RedisServer::start() {
  Process::Options options;
  options.arguments = {"redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1",
                       "--save",       "",       "--appendonly",        "no",     "--dir",
                       folder_.path()};
  options.arguments.insert(options.arguments.end(), extra_.begin(), extra_.end());
  options.output = folder_.path() + "/redis.log";
  process_ = std::make_unique<Process>(options);
  if (wait_for_port(port_)) return true;
  std::fprintf(stderr, "redis-server did not start; see %s\n", options.output.c_str());
  return false;
}

std::string RedisServer::url(int database) const {
  return "redis://127.0.0.1:" + std::to_string(port_) + "/" + std::to_string(database);
}

// ---- PostgreSQL ----

namespace {
// Debian keeps each version's programs in a folder of its own; the newest first.
std::string postgres_programs() {
  for (int version = 19; version >= 12; --version) {
    const std::string folder = "/usr/lib/postgresql/" + std::to_string(version) + "/bin";
    if (have_program(folder + "/postgres")) return folder;
  }
  return "";
}
}  // namespace

bool PostgresServer::is_installed() { return !postgres_programs().empty(); }

// As root, the server runs as the user that Debian's package made for it.
PostgresServer::PostgresServer(std::vector<std::string> extra)
    : port_(free_port()), extra_(std::move(extra)), user_(::geteuid() == 0 ? "postgres" : "") {}

bool PostgresServer::initialise() {
  if (!user_.empty() && !folder_.give_to(user_)) return false;
  Process::Options options;
  options.arguments = {postgres_programs() + "/initdb",
                       "-D",
                       folder_.path() + "/data",
                       "-U",
                       "candor",
                       "-A",
                       "trust",
                       "-E",
                       "UTF8",
                       "--locale=C",
                       "--no-sync"};
  options.output = folder_.path() + "/initdb.log";
  options.user = user_;
  options.folder = "/";
  Process initdb(options);
  return initdb.wait(std::chrono::seconds(60)) == 0;
}

bool PostgresServer::start() {
  if (!initialised_) initialised_ = initialise();
  if (!initialised_) {
    std::fprintf(stderr, "initdb failed; see %s/initdb.log\n", folder_.path().c_str());
    return false;
  }
  Process::Options options;
  options.arguments = {postgres_programs() + "/postgres",
                       "-D",
                       folder_.path() + "/data",
                       "-p",
                       std::to_string(port_),
                       "-k",
                       folder_.path(),
                       "-c",
                       "listen_addresses=127.0.0.1",
                       "-c",
                       "fsync=off",
                       "-c",
                       "shared_buffers=16MB"};
  for (const std::string& setting : extra_)
    options.arguments.insert(options.arguments.end(), {"-c", setting});
  options.output = folder_.path() + "/postgres.log";
  options.user = user_;
  options.folder = "/";
  process_ = std::make_unique<Process>(options);
  // The port opens before recovery is over; pg_isready asks whether queries are welcome.
  return poll_until(std::chrono::seconds(30), [this] {
    Process::Options ready;
    ready.arguments = {
        postgres_programs() + "/pg_isready", "-q", "-h", "127.0.0.1", "-p", std::to_string(port_)};
    return Process(ready).wait(std::chrono::seconds(5)) == 0;
  });
}

void PostgresServer::stop() {
  if (process_) process_->stop(SIGINT, std::chrono::seconds(20));
  process_.reset();
}

// SIGQUIT is "immediate": no checkpoint, recovery at the next start, and no orphans as SIGKILL would leave.
void PostgresServer::crash() {
  if (process_) process_->stop(SIGQUIT, std::chrono::seconds(20));
  process_.reset();
}

bool PostgresServer::back_up() {
  Process::Options options;
  options.arguments = {postgres_programs() + "/pg_basebackup",
                       "-D",
                       folder_.path() + "/backup",
                       "-h",
                       "127.0.0.1",
                       "-p",
                       std::to_string(port_),
                       "-U",
                       "candor",
                       "-c",
                       "fast",
                       "--no-sync"};
  options.output = folder_.path() + "/backup.log";
  options.user = user_;
  options.folder = "/";
  return Process(options).wait(std::chrono::seconds(60)) == 0;
}

void PostgresServer::restore() {
  CANDOR_ASSERT(!process_);
  std::filesystem::rename(folder_.path() + "/data", folder_.path() + "/lost");
  std::filesystem::rename(folder_.path() + "/backup", folder_.path() + "/data");
}

std::string PostgresServer::url() const {
  return "postgresql://candor@127.0.0.1:" + std::to_string(port_) + "/postgres";
}

}  // namespace candor::testing
