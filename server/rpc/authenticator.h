#pragma once

#include "server/access/client_certificates.h"
#include "server/access/keyring.h"
#include "server/rpc/call.h"

namespace orderd::rpc {

/// Knows callers by what they send with the call, an API key; else by the certificate of their
/// connection; else everybody is "local", an admin, if the server has no credentials at all.
class AccessAuthenticator : public Authenticator {
 public:
  /// `certificates`: null if clients have none.
  AccessAuthenticator(const access::Keyring& keyring,
                      const access::ClientCertificates* certificates)
      : keyring_(keyring), certificates_(certificates) {}

  access::Identified identify(const grpc::CallbackServerContext& context) const override;

 private:
  const access::Keyring& keyring_;
  const access::ClientCertificates* const certificates_;
};

}  // namespace orderd::rpc
