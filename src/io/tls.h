// TLS over bytes: no sockets here. A connection feeds what arrived, reads what it means, and sends what the
// session wants sent; so both event-loop backends, and tests without a network, share it.
//
// TLS 1.2 at least, no renegotiation, no compression, no session tickets kept by us.
// Thread safety: a TlsContext may be shared by threads, a TlsSession belongs to one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct ssl_st;      // OpenSSL's SSL
struct ssl_ctx_st;  // and SSL_CTX; named here to keep its headers out of ours

namespace candor {

struct TlsClientOptions {
  bool verify = true;
  std::string ca_file;  // empty: the system's store
};

class TlsContext {
 public:
  // For a listener, from PEM files; the certificate file may hold a chain.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> server(const std::string& certificate_file,
                                                                        const std::string& key_file);
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> client(const TlsClientOptions& options);

  [[nodiscard]] ssl_ctx_st* get() const { return context_.get(); }
  [[nodiscard]] bool verifies() const { return verifies_; }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  std::unique_ptr<ssl_ctx_st, Free> context_;
  bool verifies_ = false;
};

class TlsSession {
 public:
  enum class Status : std::uint8_t {
    kData,    // read() gave bytes
    kMore,    // nothing to give until more arrives
    kClosed,  // the other side ended the session properly
    kFailed,  // see error()
  };

  [[nodiscard]] static Result<std::unique_ptr<TlsSession>> accept(std::shared_ptr<const TlsContext> context);
  // `host` is the name or address that the certificate must hold.
  [[nodiscard]] static Result<std::unique_ptr<TlsSession>> connect(std::shared_ptr<const TlsContext> context,
                                                                   const std::string& host);

  // Bytes from the wire.
  void feed(std::string_view wire);
  // Decrypts what was fed, and moves the handshake on.
  [[nodiscard]] Status read(std::span<char> buffer, std::size_t& got);
  // Encrypts, and appends the result to `wire`. Only once established.
  [[nodiscard]] bool write(std::string_view plain, std::string& wire);
  // Says goodbye.
  void close(std::string& wire);
  // Appends what else must go to the wire: handshake messages, alerts.
  void take_output(std::string& wire);

  [[nodiscard]] bool is_established() const;
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Free {
    void operator()(ssl_st* session) const;
  };
  TlsSession(std::shared_ptr<const TlsContext> context, ssl_st* session)
      : context_(std::move(context)), session_(session) {}
  [[nodiscard]] static Result<std::unique_ptr<TlsSession>> make(std::shared_ptr<const TlsContext> context);
  Status status_of(int returned);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, Free> session_;
  std::string error_;
};

}  // namespace candor
