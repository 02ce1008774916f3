#include "server/access/tls_store.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <spdlog/spdlog.h>

#include <stdexcept>
#include <utility>

#include "server/access/openssl.h"

namespace orderd::access {
namespace {

TlsMaterial read_material(const TlsFiles& files) {
  TlsMaterial material{read_file(files.certificate), read_file(files.key), {}};
  const auto chain = parse_certificates(material.certificate, "the file " + files.certificate);
  // Without this, OpenSSL would ask for the password of an encrypted key on the terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const BioPtr in = reader_of(material.key);
  const KeyPtr key(PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    throw std::runtime_error("the file " + files.key +
                             " has no private key in PEM form without a password");
  }
  const bool fits = X509_check_private_key(chain.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) {
    throw std::runtime_error("the key in " + files.key + " is not that of the certificate in " +
                             files.certificate);
  }
  if (X509_cmp_current_time(X509_get0_notAfter(chain.front().get())) <= 0) {
    throw std::runtime_error("the certificate in " + files.certificate + " has expired");
  }
  if (!files.client_ca.empty()) {
    material.client_ca = read_file(files.client_ca);
    parse_certificates(material.client_ca, "the file " + files.client_ca);
  }
  return material;
}

}  // namespace

TlsStore::TlsStore(TlsFiles files)
    : files_(std::move(files)), stamps_({files_.certificate, files_.key, files_.client_ca}) {
  stamps_.changed();
  material_ = std::make_shared<const TlsMaterial>(read_material(files_));
}

void TlsStore::refresh() {
  if (!stamps_.changed()) return;
  try {
    auto fresh = std::make_shared<const TlsMaterial>(read_material(files_));
    {
      std::lock_guard lock(mutex_);
      material_ = std::move(fresh);
    }
    spdlog::info("TLS: new connections use the new certificate in {}", files_.certificate);
  } catch (const std::runtime_error& error) {
    spdlog::error("TLS: the certificate stays as it was, since {}", error.what());
  }
}

std::shared_ptr<const TlsMaterial> TlsStore::get() const {
  std::lock_guard lock(mutex_);
  return material_;
}

}  // namespace orderd::access
