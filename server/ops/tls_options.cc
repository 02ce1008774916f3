#include "server/ops/options.h"

namespace orderd::ops {

TlsOptions::TlsOptions(CLI::App& app, Config& config) : tls_(config.tls) {
  app.add_option("--tls-cert", tls_.certificate,
                 "A file with the server's certificate and those between it and its CA, PEM; used "
                 "by new connections as soon as it changes")
      ->envname("ORDERD_TLS_CERT");
  app.add_option("--tls-key", tls_.key, "A file with the certificate's private key, PEM")
      ->envname("ORDERD_TLS_KEY");
  app.add_option("--tls-client-ca", tls_.client_ca,
                 "A file with CAs, PEM: callers can show a certificate of theirs in place of a key")
      ->envname("ORDERD_TLS_CLIENT_CA");
  app.add_option("--tls-client-roles", tls_.client_roles,
                 "A file with what callers with certificates may do: lines \"IDENTITY ROLE\", e.g. "
                 "\"cert:spiffe://example.org/portal operator\"")
      ->envname("ORDERD_TLS_CLIENT_ROLES");
  app.add_option("--tls-client-crl", tls_.client_crl,
                 "A file with a revocation list of each CA that issues client certificates, PEM")
      ->envname("ORDERD_TLS_CLIENT_CRL");
}

void TlsOptions::apply() const {
  const auto refuse = [](const std::string& option, const std::string& mistake) {
    throw CLI::ValidationError(option, mistake);
  };
  if (tls_.certificate.empty() != tls_.key.empty()) {
    refuse(tls_.key.empty() ? "--tls-cert" : "--tls-key",
           "needs the other of the two: --tls-cert and --tls-key belong together");
  }
  if (!tls_.client_ca.empty() && tls_.certificate.empty()) {
    refuse("--tls-client-ca", "needs --tls-cert and --tls-key, which encrypt connections");
  }
  if (tls_.client_ca.empty() != tls_.client_roles.empty()) {
    refuse(tls_.client_ca.empty() ? "--tls-client-roles" : "--tls-client-ca",
           "needs the other of the two: --tls-client-ca says whose certificates are good, "
           "--tls-client-roles what they are good for");
  }
  if (!tls_.client_crl.empty() && tls_.client_ca.empty()) {
    refuse("--tls-client-crl", "needs --tls-client-ca, whose certificates it revokes");
  }
}

}  // namespace orderd::ops
