// L2 and a Redis origin over TLS, against a redis-server with a certificate made for the test.
#include <gtest/gtest.h>

#include <optional>

#include "base/assert.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/tls.h"
#include "origin/redis_origin.h"
#include "tests/support/process.h"
#include "tier/l2/make_l2.h"

namespace candor {
namespace {

constexpr Duration kTlsPatience = 20s;  // only failures wait for it

class L2RedisTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::have_program("openssl"));
    testing::Process::Options make;
    make.arguments = {"openssl",
                      "req",
                      "-x509",
                      "-newkey",
                      "ec",
                      "-pkeyopt",
                      "ec_paramgen_curve:prime256v1",
                      "-nodes",
                      "-days",
                      "1",
                      "-subj",
                      "/CN=candor test",
                      "-addext",
                      "subjectAltName=IP:127.0.0.1",
                      "-keyout",
                      key(),
                      "-out",
                      certificate()};
    testing::Process openssl(make);
    ASSERT_EQ(openssl.wait(10s), 0);
    server = std::make_unique<testing::RedisServer>(std::vector<std::string>{
        "--tls-port", std::to_string(port), "--tls-cert-file", certificate(), "--tls-key-file", key(),
        "--tls-ca-cert-file", certificate(), "--tls-auth-clients", "no", "--requirepass", "hunter2"});
    ASSERT_TRUE(server->start());
    ASSERT_TRUE(testing::wait_for_port(port));
  }
  [[nodiscard]] std::string certificate() const { return folder.path() + "/cert.pem"; }
  [[nodiscard]] std::string key() const { return folder.path() + "/key.pem"; }
  [[nodiscard]] std::string url(const std::string& host = "127.0.0.1") const {
    return "rediss://:hunter2@" + host + ":" + std::to_string(port) + "/0";
  }
  [[nodiscard]] std::unique_ptr<Loop> make_loop(const std::string& ca_file) const {
    TlsClientOptions options;
    options.ca_file = ca_file;
    auto context = TlsContext::client(options);
    EXPECT_TRUE(context.has_value()) << context.error().message;
    LoopOptions made;
    made.client_tls = *context;
    return std::make_unique<Loop>(made);
  }
  template <class T>
  static T wait(Loop& loop, Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kTlsPatience;
    while (!result && clock.now() < deadline) loop.turn(5ms);
    CANDOR_ASSERT(result.has_value());
    return std::move(*result);
  }

  testing::TempDir folder;
  std::uint16_t port = testing::free_port();
  std::unique_ptr<testing::RedisServer> server;
};

TEST_F(L2RedisTlsTest, EntriesOfAllSizesPassThrough) {
  auto loop = make_loop(certificate());
  {
    auto tier = l2::make_l2(url(), {}, {loop.get(), loop.get(), 1}).value();
    for (const std::size_t size : {std::size_t{0}, std::size_t{100}, std::size_t{4} << 20}) {
      L2Entry entry;
      entry.value.assign(size, 'v');
      ASSERT_TRUE(wait(*loop, tier->put("f:1", entry)).has_value());
      const auto got = wait(*loop, tier->get("f:1"));
      ASSERT_TRUE(got.has_value()) << got.error().message;
      ASSERT_TRUE(got->has_value());
      EXPECT_TRUE((*got)->value == entry.value);
    }
    EXPECT_EQ(tier->describe(), "rediss 127.0.0.1:" + std::to_string(port) + "/0");
  }
  loop->turn(0s);
}

TEST_F(L2RedisTlsTest, ACertificateThatNobodyVouchesForIsRefusedWithTheReason) {
  auto loop = make_loop("");
  {
    auto tier = l2::make_l2(url(), {}, {loop.get(), loop.get(), 1}).value();
    const auto got = wait(*loop, tier->get("f:1"));
    ASSERT_FALSE(got.has_value());
    EXPECT_NE(got.error().message.find("certificate"), std::string::npos) << got.error().message;
    EXPECT_EQ(got.error().message.find("hunter2"), std::string::npos);
  }
  loop->turn(0s);
}

TEST_F(L2RedisTlsTest, ACertificateForAnotherNameIsRefused) {
  auto loop = make_loop(certificate());
  {
    auto tier = l2::make_l2(url("localhost"), {}, {loop.get(), loop.get(), 1}).value();
    const auto got = wait(*loop, tier->get("f:1"));
    ASSERT_FALSE(got.has_value());
    EXPECT_NE(got.error().message.find("certificate"), std::string::npos) << got.error().message;
  }
  loop->turn(0s);
}

TEST_F(L2RedisTlsTest, AServerThatComesBackIsServedAgain) {
  auto loop = make_loop(certificate());
  {
    auto tier = l2::make_l2(url(), {}, {loop.get(), loop.get(), 1}).value();
    L2Entry entry;
    ASSERT_TRUE(wait(*loop, tier->put("f:1", entry)).has_value());
    server->crash();
    (void)wait(*loop, tier->put("f:1", entry));
    ASSERT_TRUE(server->start());
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kTlsPatience;
    while (!wait(*loop, tier->put("f:1", entry)).has_value() && clock.now() < deadline) loop->turn(5ms);
    EXPECT_TRUE(wait(*loop, tier->put("f:1", entry)).has_value());
  }
  loop->turn(0s);
}

TEST_F(L2RedisTlsTest, AnOriginIsReadAndWritten) {
  auto loop = make_loop(certificate());
  {
    RedisOrigin::Options options;
    options.name = "near";
    auto origin = make_redis_origin(url(), options, loop.get(), loop.get(), 1).value();
    OriginStatements statements;
    statements.feature = "user";
    statements.load = statements.store = "user:{key}";
    auto feature = origin->bind(statements).value();
    ASSERT_TRUE(wait(*loop, feature->store("1", "Ada", loop->now() + 5s)).has_value());
    const auto row = wait(*loop, feature->load("1", loop->now() + 5s));
    ASSERT_TRUE(row.has_value()) << row.error().message;
    EXPECT_EQ(row->value, "Ada");
  }
  loop->turn(0s);
}

}  // namespace
}  // namespace candor
