#include "server/rpc/tls_credentials.h"

#include <grpc/grpc_security.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace orderd::rpc {
namespace {

// gRPC's C++ interface has two kinds of TLS credentials: one whose certificate never changes, and
// an experimental one which reads files by itself and drops a good certificate for a broken one.
// Its C interface asks for the certificate at each handshake, and goes on with the last one that it
// could use.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(const access::TlsStore& store) : store_(store) {
    auto* options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
        store.asks_clients() ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                             : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
        &TlsCredentials::fetch, this);
    credentials_ = grpc_ssl_server_credentials_create_with_options(options);
    if (credentials_ == nullptr) throw std::runtime_error("gRPC makes no TLS credentials");
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<TlsCredentials*>(self)->fetch(config);
  }

  grpc_ssl_certificate_config_reload_status fetch(grpc_ssl_server_certificate_config** config) {
    auto material = store_.get();
    std::lock_guard lock(mutex_);
    if (material == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{material->key.c_str(), material->certificate.c_str()};
    // gRPC wants CAs of clients even if it asks clients for nothing: then any will do.
    const std::string& client_ca =
        material->client_ca.empty() ? material->certificate : material->client_ca;
    *config = grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
    given_ = std::move(material);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const access::TlsStore& store_;
  grpc_server_credentials* credentials_ = nullptr;
  std::mutex mutex_;  // guards what follows
  /// What gRPC has.
  std::shared_ptr<const access::TlsMaterial> given_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> tls_credentials(const access::TlsStore& store) {
  return std::make_shared<TlsCredentials>(store);
}

}  // namespace orderd::rpc
