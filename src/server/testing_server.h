// A server on a virtual clock with fake connections, for the tests of this room.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "server/resp_server.h"
#include "tier/l1/store.h"

namespace candor::server::testing {

// A database in a map, whose answers wait until the test lets them go.
struct FakeOrigin : OriginFeature {
  std::map<std::string, std::string>* rows = nullptr;
  std::vector<OneShot<int>>* gates = nullptr;  // null: answers at once
  std::vector<std::string>* calls = nullptr;
  bool* down = nullptr;
  bool writable = true;

  Task<int> pass() {
    if (gates != nullptr) {
      OneShot<int> gate;
      gates->push_back(gate);
      (void)co_await gate;
    }
    co_return 0;
  }
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    calls->push_back("load " + key);
    (void)co_await pass();
    if (*down) co_return fail(ErrorCode::kOriginDown, "the database does not answer");
    OriginRow row;
    if (const auto it = rows->find(key); it != rows->end()) row.value = it->second;
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime) override {
    calls->push_back("store " + key);
    (void)co_await pass();
    if (*down) co_return fail(ErrorCode::kOriginDown, "the database does not answer");
    (*rows)[key] = std::move(value);
    OriginWrite write;
    write.rows = 1;
    co_return write;
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime) override {
    calls->push_back("erase " + key);
    (void)co_await pass();
    if (*down) co_return fail(ErrorCode::kOriginDown, "the database does not answer");
    OriginWrite write;
    write.rows = rows->erase(key);
    co_return write;
  }
  [[nodiscard]] bool can_store() const override { return writable; }
  [[nodiscard]] bool can_erase() const override { return writable; }
};

struct FixedEntropy : EntropySource {
  Random random{1};
  std::uint64_t next_seed() override { return random(); }
  void fill(unsigned char* bytes, std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(random());
  }
};

// A client's end of a connection.
class FakePeer : public Peer {
 public:
  FakePeer(Executor* executor, std::uint64_t id)
      : executor_(executor), id_(id), address_("127.0.0.1:" + std::to_string(id)) {}
  std::string& output() override { return output_; }
  void flush() override {
    if (reads_) {
      received_ += output_;
      output_.clear();
    }
  }
  [[nodiscard]] std::size_t unsent_bytes() const override { return output_.size(); }
  void pause_reading(bool paused) override { paused_ = paused; }
  void close_after_flush() override {
    flush();
    closed_ = true;
  }
  void abort(const char* reason) override { aborted_ = reason; }
  [[nodiscard]] Executor& executor() override { return *executor_; }
  [[nodiscard]] std::string_view address() const override { return address_; }
  [[nodiscard]] std::uint64_t id() const override { return id_; }
  [[nodiscard]] bool is_tls() const override { return false; }

  Executor* executor_;
  std::uint64_t id_;
  std::string address_;
  std::string output_;
  std::string received_;
  std::string aborted_;
  bool reads_ = true;  // false: the client does not take its replies
  bool paused_ = false;
  bool closed_ = false;
};

// A second event loop: what comes from the first has to be posted.
class OtherLoop final : public Executor {
 public:
  explicit OtherLoop(VirtualExecutor* inner) : inner_(inner) {}
  void post(Work work) override { inner_->post(std::move(work)); }
  void at_end_of_turn(Work work) override { inner_->at_end_of_turn(std::move(work)); }
  TimerId schedule(MonoTime at, Work work) override { return inner_->schedule(at, std::move(work)); }
  void cancel(TimerId timer) override { inner_->cancel(timer); }
  [[nodiscard]] MonoTime now() const override { return inner_->now(); }
  [[nodiscard]] bool is_current() const override { return false; }

 private:
  VirtualExecutor* inner_;
};

class Client {
 public:
  Client(RespServer& server, VirtualExecutor& executor, std::uint64_t id, Executor* loop = nullptr)
      : executor_(executor), peer(loop == nullptr ? &executor : loop, id), handler_(server.accept(&peer)) {}
  ~Client() { hang_up(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // What the server sends in answer to these bytes, once everything that can run has run.
  std::string send(std::string_view bytes) {
    handler_->on_data(bytes);
    return take();
  }
  // The same without letting anything else run.
  std::string send_only(std::string_view bytes) {
    handler_->on_data(bytes);
    return std::exchange(peer.received_, {});
  }
  std::string take() {
    executor_.run_ready();
    peer.flush();
    return std::exchange(peer.received_, {});
  }
  void read_everything() {
    peer.reads_ = true;
    peer.flush();
    handler_->on_drained();
  }
  // The client takes what is there, once, and stops again.
  std::string read_once() {
    peer.reads_ = true;
    peer.flush();
    peer.reads_ = false;
    handler_->on_drained();
    executor_.run_ready();
    return std::exchange(peer.received_, {});
  }
  void tick() { handler_->on_tick(executor_.now()); }
  void drain() { handler_->on_drain_requested(); }
  void hang_up() {
    if (handler_ != nullptr) handler_->on_closed("test");
    handler_.reset();
  }
  [[nodiscard]] bool accepted() const { return handler_ != nullptr; }

 private:
  VirtualExecutor& executor_;

 public:
  FakePeer peer;

 private:
  std::unique_ptr<ConnectionHandler> handler_;
};

// Features: `row` (origin, writable), `view` (origin, read only), `cache` (plain).
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() : store(store_options()), cache(parts()) {
    add_origin("row", true);
    add_origin("view", false);
    FeaturePolicy plain;
    plain.name = "cache";
    plain.plain = true;
    plain.ttl = Duration::zero();
    (void)cache.add_feature(plain, nullptr);
    context.cache = &cache;
    context.tracking = &tracking;
    context.clock = &executor;
    context.entropy = &entropy;
  }
  ~ServerTest() override {
    clients.clear();
    executor.run_ready();
    store.check_invariants();
  }

  static l1::StoreOptions store_options() {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{16} << 20;
    options.hash_seed = 7;
    return options;
  }
  CacheCore::Parts parts() {
    CacheCore::Parts parts;
    parts.observer = &tracking;
    parts.clock = &executor;
    parts.home = &executor;
    parts.l1 = &store;
    return parts;
  }
  void add_origin(const std::string& name, bool writable) {
    FeaturePolicy policy;
    policy.name = name;
    policy.refresh_beta = 0;
    policy.ttl_jitter = 0;
    auto origin = std::make_unique<FakeOrigin>();
    origin->rows = &rows;
    origin->gates = &gates;
    origin->calls = &calls;
    origin->down = &origin_down;
    origin->writable = writable;
    origins.push_back(origin.get());
    (void)cache.add_feature(policy, std::move(origin));
    answer_at_once();
  }
  void answer_at_once() {
    for (auto* origin : origins) origin->gates = nullptr;
  }
  void hold_answers() {
    for (auto* origin : origins) origin->gates = &gates;
  }
  void let_go(std::size_t gate) {
    (void)gates[gate].set(0);
    executor.run_ready();
  }

  RespServer& server() {
    if (server_ == nullptr) {
      auto made = RespServer::make(context);
      EXPECT_TRUE(made) << made.error().message;
      server_ = std::move(*made);
    }
    return *server_;
  }
  Client& connect() { return *clients.emplace_back(std::make_unique<Client>(server(), executor, ++last_id)); }
  // One connection, one exchange.
  std::string exchange(std::string_view bytes) { return connect().send(bytes); }

  VirtualExecutor executor;
  FixedEntropy entropy;
  Tracking tracking{9, 4};
  l1::Store store;
  CacheCore cache;
  ServerContext context;
  std::map<std::string, std::string> rows;
  std::vector<OneShot<int>> gates;
  std::vector<std::string> calls;
  std::vector<FakeOrigin*> origins;
  bool origin_down = false;
  std::unique_ptr<RespServer> server_;
  std::vector<std::unique_ptr<Client>> clients;
  std::uint64_t last_id = 0;
};

}  // namespace candor::server::testing
