#include "origin/factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "origin/test_world.h"

namespace candor {
namespace {

using testing::HasSubstr;
using testing::Not;

class NoNetwork final : public Transport {
 public:
  std::unique_ptr<Stream> connect(const Endpoint&, StreamHandler*, Duration) override { return nullptr; }
  std::unique_ptr<FdWatch> watch(int, FdEvents, std::function<void(FdEvents)>) override { return nullptr; }
};
class FixedEntropy final : public EntropySource {
 public:
  std::uint64_t next_seed() override { return 1; }
  void fill(unsigned char*, std::size_t) override {}
};

class FactoryTest : public testing::Test {
 protected:
  testing_world::World world_;
  NoNetwork network_;
  FixedEntropy entropy_;

  Result<std::unique_ptr<Origin>> make(const std::string& url, std::uint32_t max_concurrency = 4) {
    OriginOptions options;
    options.max_concurrency = max_concurrency;
    return make_origin("shop", url, options, world_.executor, network_, world_.pool, entropy_);
  }
  std::string error(const std::string& url) {
    auto origin = make(url);
    return origin ? "made " + (*origin)->describe() : origin.error().message;
  }
};

TEST_F(FactoryTest, UrlsMakeTheirOrigins) {
  EXPECT_EQ(error("sqlite:var/shop.db"), "made sqlite var/shop.db");
  EXPECT_EQ(error("postgresql://app:hush@127.0.0.1/shop"), "made postgresql app@127.0.0.1:5432/shop");
}

TEST_F(FactoryTest, WhatIsNotBuiltInIsSaid) {
  EXPECT_THAT(error("mariadb://u:hush@h/db"), HasSubstr("origins.shop.url: MariaDB is not built in yet"));
  EXPECT_THAT(error("oracle://u:hush@h/db"), HasSubstr("\"oracle\" is no origin that is built in"));
}

TEST_F(FactoryTest, NoMessageRepeatsAPassword) {
  for (const char* url :
       {"mariadb://u:hush@h/db", "x://u:hush@h", "postgresql://u:hush%zz@h/db",
        "postgresql://u:hush@h:x:y/db", "postgresql://u:hush@a,b/db", "postgres:u:hush@h"}) {
    EXPECT_THAT(error(url), Not(HasSubstr("hush"))) << url;
    EXPECT_THAT(error(url), HasSubstr("origins.shop.url")) << url;
  }
}

TEST_F(FactoryTest, NoConcurrencyIsNoOrigin) {
  EXPECT_THAT(make("sqlite:a.db", 0).error().message, HasSubstr("origins.shop.max_concurrency"));
}

}  // namespace
}  // namespace candor
