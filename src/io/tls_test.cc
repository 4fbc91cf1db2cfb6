// TLS over real loopback sockets, with a certificate made here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "io/files.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/testing_io.h"
#include "io/tls.h"

namespace candor {
namespace {

using ::testing::HasSubstr;
using testing_io::Recorder;
using testing_io::Scripted;
using testing_io::ScriptedFactory;
using testing_io::turn_until;

template <class T, void (*kFree)(T*)>
struct Freed {
  void operator()(T* object) const { kFree(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;

// Self-signed, for the address 127.0.0.1 only.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const auto* common = reinterpret_cast<const unsigned char*>("candor test");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_EXTENSION* alternative = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(certificate.get(), alternative, -1);
  X509_EXTENSION_free(alternative);
  ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);

  std::FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate.get());
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
}

class TlsTest : public ::testing::TestWithParam<LoopBackend> {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "candor-tls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    write_certificate(certificate(), key());
    trusting_ = make_loop({.verify = true, .ca_file = certificate()});
    auto context = TlsContext::server(certificate(), key());
    ASSERT_TRUE(context) << context.error().message;
    listen({.tls = *context});
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string certificate() const { return directory_ + "/cert.pem"; }
  std::string key() const { return directory_ + "/key.pem"; }
  static std::unique_ptr<Loop> make_loop(const TlsClientOptions& options) {
    auto context = TlsContext::client(options);
    EXPECT_TRUE(context) << context.error().message;
    return std::make_unique<Loop>(LoopOptions{.backend = GetParam(), .client_tls = *context});
  }
  void listen(ListenerOptions options) {
    listener_.reset();
    auto opened = Listener::open(std::move(options), {trusting_.get()}, &factory_);
    ASSERT_TRUE(opened) << opened.error().message;
    listener_ = std::move(*opened);
  }
  std::unique_ptr<Stream> connect(Recorder& client, Loop& loop, const std::string& host = "127.0.0.1",
                                  bool tls = true) {
    return loop.connect({host, listener_->port(), tls}, &client, 5s);
  }
  bool until(const std::function<bool()>& condition) { return turn_until(*trusting_, condition); }

  std::string directory_;
  std::unique_ptr<Loop> trusting_;  // serves, and its client trusts the certificate
  ScriptedFactory factory_;
  std::unique_ptr<Listener> listener_;
};
CANDOR_ON_BOTH_BACKENDS(TlsTest);

TEST_P(TlsTest, bytes_come_back_and_the_peer_says_that_it_is_tls) {
  Recorder client;
  const auto stream = connect(client, *trusting_);
  stream->write("written before the connection stood");
  ASSERT_TRUE(until([&] { return client.received == "written before the connection stood"; }))
      << client.reason;
  EXPECT_EQ(client.connected, 1);
  EXPECT_TRUE(factory_.last->peer->is_tls());
  stream->write(" and after");
  EXPECT_TRUE(until([&] { return client.received == "written before the connection stood and after"; }));
}

TEST_P(TlsTest, megabytes_cross_whole) {
  std::string sent(std::size_t{4} << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761U >> 13);
  Recorder client;
  const auto stream = connect(client, *trusting_);
  stream->write(sent);
  ASSERT_TRUE(until([&] { return client.received.size() >= sent.size(); }));
  EXPECT_TRUE(client.received == sent);
}

TEST_P(TlsTest, a_certificate_that_nobody_vouches_for_is_refused_with_the_reason) {
  Loop doubting({.backend = GetParam()});  // the system's store
  Recorder client;
  const auto stream = connect(client, doubting);
  ASSERT_TRUE(until([&] {
    doubting.turn(1ms);
    return client.closed == 1;
  }));
  EXPECT_EQ(client.connected, 0);
  EXPECT_THAT(client.reason, HasSubstr("self-signed certificate"));
  EXPECT_TRUE(until([&] { return listener_->stats().open.load() == 0; }));
}

TEST_P(TlsTest, a_certificate_for_another_name_is_refused) {
  Recorder client;
  const auto stream = connect(client, *trusting_, "localhost");  // it names 127.0.0.1 only
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_EQ(client.connected, 0);
}

TEST_P(TlsTest, verification_can_be_switched_off) {
  auto careless = make_loop({.verify = false});
  Recorder client;
  auto stream = connect(client, *careless);
  EXPECT_TRUE(until([&] {
    careless->turn(1ms);
    return client.connected == 1;
  }));
  stream.reset();
}

TEST_P(TlsTest, plain_bytes_to_a_tls_port_close_that_connection_only) {
  Recorder good;
  const auto stream = connect(good, *trusting_);
  Recorder plain;
  const auto wrong = connect(plain, *trusting_, "127.0.0.1", false);
  wrong->write("*1\r\n$4\r\nPING\r\n");
  ASSERT_TRUE(until([&] { return plain.closed == 1; }));
  EXPECT_EQ(listener_->stats().tls_failures.load(), 1U);
  stream->write("still here");
  EXPECT_TRUE(until([&] { return good.received == "still here"; }));
}

TEST_P(TlsTest, a_client_that_never_shakes_hands_is_cut_off) {
  auto context = TlsContext::server(certificate(), key());
  listen({.tls = *context, .tls_handshake_timeout = 100ms});
  Recorder silent;
  const auto stream = connect(silent, *trusting_, "127.0.0.1", false);
  ASSERT_TRUE(until([&] { return silent.closed == 1; }));
  EXPECT_EQ(factory_.accepted, 0) << "no handler before the handshake";
}

TEST_P(TlsTest, reading_can_be_paused_and_loses_nothing) {
  Recorder client;
  const auto stream = connect(client, *trusting_);
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) { self.peer->pause_reading(true); };
  };
  stream->write(std::string(100'000, 'p'));
  ASSERT_TRUE(until([&] { return factory_.last != nullptr && !factory_.last->received.empty(); }));
  for (int i = 0; i < 10; ++i) trusting_->turn(1ms);
  const std::size_t first = factory_.last->received.size();
  EXPECT_LE(first, std::size_t{16} << 10) << "one record";
  factory_.last->data = nullptr;
  factory_.last->peer->pause_reading(false);
  EXPECT_TRUE(until([&] { return factory_.last->received.size() == 100'000; }));
}

TEST_P(TlsTest, close_after_flush_sends_everything_and_says_goodbye) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) {
      self.peer->output().append(std::size_t{1} << 20, 'z');
      self.peer->close_after_flush();
    };
  };
  Recorder client;
  const auto stream = connect(client, *trusting_);
  stream->write("go");
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_EQ(client.received.size(), std::size_t{1} << 20);
  EXPECT_THAT(client.reason, HasSubstr("the other side closed the connection"));
}

TEST_P(TlsTest, a_missing_certificate_is_named) {
  const auto context = TlsContext::server(directory_ + "/none.pem", key());
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().code, ErrorCode::kConfiguration);
  EXPECT_THAT(context.error().message, HasSubstr("none.pem"));
}

TEST_P(TlsTest, a_key_that_belongs_to_another_certificate_is_refused) {
  write_certificate(directory_ + "/other.pem", directory_ + "/other-key.pem");
  const auto context = TlsContext::server(certificate(), directory_ + "/other-key.pem");
  ASSERT_FALSE(context);
  EXPECT_THAT(context.error().message, HasSubstr("other-key.pem"));
}

}  // namespace
}  // namespace candor
