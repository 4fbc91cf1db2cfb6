#include "io/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <utility>

#include "base/assert.h"

namespace candor {
namespace {

// Plaintext encrypted before the result is moved on: four records. OpenSSL's buffer never shrinks, so that
// one large value in one piece would leave its size with the session.
constexpr std::size_t kWriteSlice = std::size_t{64} << 10;

// The first reason in OpenSSL's queue, in words; empties the queue.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown TLS error" : reason;
}

SSL_CTX* new_context(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  CANDOR_ASSERT(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // Idle connections give their record buffers back: 34 KiB each.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

bool is_address(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }
void TlsSession::Free::operator()(ssl_st* session) const { SSL_free(session); }

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const std::string& certificate_file,
                                                             const std::string& key_file) {
  std::shared_ptr<TlsContext> made(new TlsContext(new_context(TLS_server_method())));
  SSL_CTX* context = made->get();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("TLS certificate {}: {}; it must be a readable PEM file", certificate_file,
                            openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("TLS key {}: {}; it must be a readable, unencrypted PEM file that belongs to {}",
                            key_file, openssl_reason(), certificate_file));
  }
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsClientOptions& options) {
  std::shared_ptr<TlsContext> made(new TlsContext(new_context(TLS_client_method())));
  SSL_CTX* context = made->get();
  made->verifies_ = options.verify;
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.verify) return made;
  const bool loaded = options.ca_file.empty()
                          ? SSL_CTX_set_default_verify_paths(context) == 1
                          : SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) == 1;
  if (!loaded) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("TLS authorities {}: {}; it must be a readable PEM file",
                            options.ca_file.empty() ? "of the system" : options.ca_file, openssl_reason()));
  }
  return made;
}

Result<std::unique_ptr<TlsSession>> TlsSession::make(std::shared_ptr<const TlsContext> context) {
  SSL* session = SSL_new(context->get());
  if (session == nullptr) return fail(ErrorCode::kInternal, "TLS session: " + openssl_reason());
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  CANDOR_ASSERT(in != nullptr && out != nullptr);
  BIO_set_mem_eof_return(in, -1);  // empty means "not yet", not the end
  SSL_set_bio(session, in, out);
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(context), session));
}

Result<std::unique_ptr<TlsSession>> TlsSession::accept(std::shared_ptr<const TlsContext> context) {
  auto made = make(std::move(context));
  if (made) SSL_set_accept_state((*made)->session_.get());
  return made;
}

Result<std::unique_ptr<TlsSession>> TlsSession::connect(std::shared_ptr<const TlsContext> context,
                                                        const std::string& host) {
  auto made = make(std::move(context));
  if (!made) return made;
  SSL* session = (*made)->session_.get();
  const bool address = is_address(host);
  if (!address) SSL_set_tlsext_host_name(session, host.c_str());
  if ((*made)->context_->verifies()) {
    const int accepted = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str())
                                 : SSL_set1_host(session, host.c_str());
    if (accepted != 1) return fail(ErrorCode::kInvalidArgument, "TLS: not a host name: " + host);
  }
  SSL_set_connect_state(session);
  ERR_clear_error();
  (void)SSL_do_handshake(session);  // writes the first message; the rest happens in read()
  return made;
}

void TlsSession::feed(std::string_view wire) {
  // A memory BIO takes everything; only an exhausted heap stops it.
  CANDOR_ASSERT(BIO_write(SSL_get_rbio(session_.get()), wire.data(), static_cast<int>(wire.size())) ==
                static_cast<int>(wire.size()));
}

TlsSession::Status TlsSession::read(std::span<char> buffer, std::size_t& got) {
  ERR_clear_error();
  got = 0;
  const int returned = SSL_read_ex(session_.get(), buffer.data(), buffer.size(), &got);
  return returned == 1 ? Status::kData : status_of(returned);
}

TlsSession::Status TlsSession::status_of(int returned) {
  switch (SSL_get_error(session_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Status::kMore;
    case SSL_ERROR_ZERO_RETURN:
      return Status::kClosed;
    default:
      break;
  }
  const long verdict = SSL_get_verify_result(session_.get());
  error_ = "TLS: " + openssl_reason();
  if (verdict != X509_V_OK && context_->verifies()) {
    error_ += std::string(": ") + X509_verify_cert_error_string(verdict);
  }
  return Status::kFailed;
}

bool TlsSession::write(std::string_view plain, std::string& wire) {
  ERR_clear_error();
  while (!plain.empty()) {
    const std::string_view slice = plain.substr(0, kWriteSlice);
    std::size_t put = 0;
    // All or nothing, for the BIO below never says "not now".
    if (SSL_write_ex(session_.get(), slice.data(), slice.size(), &put) != 1) {
      error_ = "TLS: " + openssl_reason();
      return false;
    }
    take_output(wire);
    plain.remove_prefix(slice.size());
  }
  return true;
}

void TlsSession::close(std::string& wire) {
  ERR_clear_error();
  (void)SSL_shutdown(session_.get());
  take_output(wire);
}

void TlsSession::take_output(std::string& wire) {
  BIO* out = SSL_get_wbio(session_.get());
  const std::size_t pending = BIO_ctrl_pending(out);
  if (pending == 0) return;
  const std::size_t before = wire.size();
  wire.resize(before + pending);
  const int got = BIO_read(out, wire.data() + before, static_cast<int>(pending));
  CANDOR_ASSERT(got == static_cast<int>(pending));
}

bool TlsSession::is_established() const { return SSL_is_init_finished(session_.get()) == 1; }

}  // namespace candor
