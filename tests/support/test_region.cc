#include "tests/support/test_region.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstdio>
#include <thread>

#include "base/assert.h"

namespace candor::testing {
namespace {

// ---- PostgreSQL ----

// The trigger runs while its statement holds the row's lock, so the journal's order of a key is that of its
// commits, and an entry is there exactly when the change is.
constexpr const char* kPostgresSchema = R"(
create table item (id text primary key, body text);
create table journal (seq bigserial primary key, id text, version bigint);
create function note() returns trigger language plpgsql as $$ begin
  if tg_op = 'DELETE' then insert into journal(id, version) values (old.id, 0);
  else insert into journal(id, version) values (new.id, new.body::bigint); end if;
  return null; end $$;
create trigger note after insert or update or delete on item for each row execute function note();
)";

// Twice the period of probes: an older proof may be from before the last fault.
constexpr std::int64_t kProofIsYoung = 400;

std::uint16_t port_of(const std::string& url) {
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

class PostgresWriter final : public DirectWriter {
 public:
  explicit PostgresWriter(const std::string& url) : sql_(url) {}
  Outcome write(const std::vector<Row>& rows, const std::string& more) override {
    sql_.mend();
    std::string text = "begin;" + more;
    for (const Row& row : rows) {
      text += row.version == 0
                  ? fmt::format("delete from item where id = '{}';", row.id)
                  : fmt::format(
                        "insert into item values ('{}', '{}') on conflict (id) do update set body = "
                        "excluded.body;",
                        row.id, row.version);
    }
    const auto outcome = sql_.run(text + "commit");
    if (outcome == SqlClient::Outcome::kOk) return Outcome::kOk;
    if (outcome == SqlClient::Outcome::kUnknown) return Outcome::kUnknown;
    (void)sql_.run("rollback");
    return Outcome::kRefused;
  }

 private:
  SqlClient sql_;
};

// ---- SQLite ----

constexpr const char* kSqliteSchema = R"(
pragma journal_mode = wal;
create table item (id text primary key, body text);
create table journal (seq integer primary key, id text, version integer);
create trigger note_insert after insert on item begin
  insert into journal(id, version) values (new.id, cast(new.body as integer)); end;
create trigger note_update after update on item begin
  insert into journal(id, version) values (new.id, cast(new.body as integer)); end;
create trigger note_delete after delete on item begin
  insert into journal(id, version) values (old.id, 0); end;
)";

class SqliteWriter final : public DirectWriter {
 public:
  explicit SqliteWriter(const std::string& file) {
    CANDOR_ASSERT(sqlite3_open(file.c_str(), &database_) == SQLITE_OK);
    sqlite3_busy_timeout(database_, 10'000);
  }
  ~SqliteWriter() override { sqlite3_close(database_); }
  SqliteWriter(const SqliteWriter&) = delete;
  SqliteWriter& operator=(const SqliteWriter&) = delete;

  Outcome write(const std::vector<Row>& rows, const std::string& more) override {
    std::string text = "begin immediate;" + more;
    for (const Row& row : rows) {
      text += row.version == 0
                  ? fmt::format("delete from item where id = '{}';", row.id)
                  : fmt::format(
                        "insert into item values ('{}', '{}') on conflict (id) do update set body = "
                        "excluded.body;",
                        row.id, row.version);
    }
    if (run(text + "commit")) return Outcome::kOk;
    run("rollback");
    return Outcome::kRefused;
  }
  bool run(const std::string& text) {
    return sqlite3_exec(database_, text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  std::vector<JournalEntry> journal(std::size_t skipped) {
    std::vector<JournalEntry> entries;
    sqlite3_exec(
        database_,
        fmt::format("select id, version from journal order by seq limit -1 offset {}", skipped).c_str(),
        [](void* out, int, char** fields, char**) {
          static_cast<std::vector<JournalEntry>*>(out)->push_back(
              {fmt::format("item:{}", fields[0]), std::stoull(fields[1])});
          return 0;
        },
        &entries, nullptr);
    return entries;
  }

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace

// A server of several tests: each has a database, and slots go with it.
PostgresTestOrigin::PostgresTestOrigin(PostgresServer* server, std::string database)
    : server_(server), database_(std::move(database)) {
  SqlClient admin(server_->url());
  admin.value("create database " + database_);
  sql().value(kPostgresSchema);
  sql().value("insert into item values ('calm', '1000000000')");
  sql().value("truncate journal restart identity");
}

PostgresTestOrigin::~PostgresTestOrigin() {
  sql_.reset();
  SqlClient admin(server_->url());
  const std::string slots = fmt::format("from pg_replication_slots where database = '{}'", database_);
  for (int i = 0; i < 200 && admin.is_open(); ++i) {
    (void)admin.run("select pg_drop_replication_slot(slot_name) " + slots + " and not active");
    if (admin.run("select 1 " + slots) == SqlClient::Outcome::kOk && admin.rows().empty()) break;
    std::this_thread::sleep_for(20ms);
  }
  (void)admin.run("drop database " + database_ + " with (force)");
}

SqlClient& PostgresTestOrigin::sql() {
  if (sql_ == nullptr) sql_ = std::make_unique<SqlClient>(url(0));
  sql_->mend();
  return *sql_;
}

std::string PostgresTestOrigin::url(std::uint16_t port) const {
  return fmt::format("postgresql://candor@127.0.0.1:{}/{}", port == 0 ? server_->port() : port, database_);
}

std::unique_ptr<DirectWriter> PostgresTestOrigin::writer() {
  return std::make_unique<PostgresWriter>(url(0));
}

std::vector<JournalEntry> PostgresTestOrigin::journal(std::size_t skipped) {
  std::vector<JournalEntry> entries;
  (void)sql().value(fmt::format("select id, version from journal order by seq offset {}", skipped));
  for (const auto& row : sql().rows()) entries.push_back({"item:" + row[0], std::stoull(row[1])});
  return entries;
}

SqliteTestOrigin::SqliteTestOrigin() {
  SqliteWriter writer(file());
  CANDOR_ASSERT(writer.run(kSqliteSchema));
  CANDOR_ASSERT(writer.run("insert into item values ('calm', '1000000000'); delete from journal"));
}

std::unique_ptr<DirectWriter> SqliteTestOrigin::writer() { return std::make_unique<SqliteWriter>(file()); }

std::vector<JournalEntry> SqliteTestOrigin::journal(std::size_t skipped) {
  return SqliteWriter(file()).journal(skipped);
}

// ---- the region ----

TestRegion::TestRegion(TestOrigin* origin, RegionOptions options)
    : origin_(origin), options_(std::move(options)) {
  if (options_.l2) l2_ = std::make_unique<RedisServer>();
  stream_ = StreamServer::make(options_.stream);
}

TestRegion::~TestRegion() {
  for (Node& node : nodes_)
    if (node.daemon) node.daemon->kill_now();
}

bool TestRegion::start() {
  if (l2_ && !l2_->start()) return false;
  if (!stream_->start()) return false;
  for (int i = 0; i < options_.nodes; ++i) {
    Node& node = nodes_.emplace_back();
    const std::uint64_t seed = static_cast<std::uint64_t>(i) + 1;
    if (origin_->server_port() != 0)
      node.to_origin = std::make_unique<TcpProxy>(origin_->server_port(), seed);
    if (l2_) node.to_l2 = std::make_unique<TcpProxy>(l2_->port(), seed);
    if (options_.stream != "memory")
      node.to_stream = std::make_unique<TcpProxy>(port_of(stream_->url()), seed);
    node.daemon = std::make_unique<Candord>(fmt::format("{}{}", options_.name, i + 1), options_.name,
                                            configuration(node));
    if (origin_->server_port() == 0) {
      Process::Options install;
      install.arguments = {Candord::program("candor"), "feed", "install", node.daemon->config_file()};
      install.output = node.daemon->folder() + "/install.log";
      if (Process(install).wait(20s) != 0) return false;
    }
    if (!node.daemon->start()) return false;
  }
  return wait_until_proven(20s);
}

std::string TestRegion::configuration(const Node& node) const {
  std::string text;
  if (node.to_l2) text += fmt::format("[l2]\nurl = \"redis://127.0.0.1:{}/0\"\n", node.to_l2->port());
  if (node.to_stream) {
    const std::string url = stream_->url();
    const std::string scheme = url.substr(0, url.find(':'));
    text += fmt::format("[stream]\nurl = \"{}://127.0.0.1:{}\"\n", scheme, node.to_stream->port());
  }
  text += fmt::format("[origins.shop]\nurl = \"{}\"\nconnect_timeout = \"2s\"\n",
                      origin_->url(node.to_origin ? node.to_origin->port() : 0));
  text +=
      "[features.item]\norigin = \"shop\"\nload = \"select body from item where id = :key\"\n"
      "store = \"insert into item(id, body) values (:key, :value) on conflict (id) do update set body = "
      "excluded.body\"\n"
      "erase = \"delete from item where id = :key\"\nttl = \"60s\"\nnegative_ttl = \"60s\"\n"
      "hard_timeout = \"2s\"\nwatch = { table = \"item\", key = \"id\" }\n";
  return text;
}

std::vector<Candord*> TestRegion::daemons() {
  std::vector<Candord*> all;
  for (Node& node : nodes_) all.push_back(node.daemon.get());
  return all;
}

void TestRegion::heal() {
  for (Node& node : nodes_)
    for (TcpProxy* link : {node.to_origin.get(), node.to_l2.get(), node.to_stream.get()})
      if (link != nullptr) link->heal();
}

bool TestRegion::is_proven(const Candord& daemon) {
  RespClient client(daemon.port(), 5s);
  const auto answer = client.call({"CANDOR.GET", "item:calm"});
  if (!answer || !answer->is_list()) return false;
  const auto* const age = answer->find("age_ms");
  const auto* const within = answer->find("fresh_within_ms");
  const auto* const tier = answer->find("tier");
  if (tier == nullptr || age == nullptr || within == nullptr || !within->is_integer()) return false;
  return tier->text != "origin" && age->integer > within->integer + 50 && within->integer < kProofIsYoung;
}

bool TestRegion::wait_until_proven(Duration patience) {
  const std::int64_t end = Recorder::now() + patience.count();
  for (Node& node : nodes_) {
    while (node.daemon->is_running() && !is_proven(*node.daemon)) {
      if (Recorder::now() > end) {
        std::fprintf(stderr, "%s proves nothing; its log:\n%s\n", node.daemon->name().c_str(),
                     node.daemon->log().c_str());
        return false;
      }
      std::this_thread::sleep_for(20ms);
    }
  }
  return true;
}

}  // namespace candor::testing
