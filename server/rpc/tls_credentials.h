#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/access/tls_store.h"

namespace orderd::rpc {

/// Credentials of a listener whose new connections use what the store has at that moment; those
/// that are open go on. TLS 1.2 and 1.3. If the store has a CA of clients, they are asked for a
/// certificate, and one that is given must be good. To be kept until the server is gone.
std::shared_ptr<grpc::ServerCredentials> tls_credentials(const access::TlsStore& store);

}  // namespace orderd::rpc
