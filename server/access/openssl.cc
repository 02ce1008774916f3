#include "server/access/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdexcept>

namespace orderd::access {
namespace {

/// Whether the last reading ended because there was nothing more to read.
bool at_end() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

template <typename Pointer, typename Read>
std::vector<Pointer> parse_all(std::string_view pem, const std::string& what,
                               const std::string& noun, Read read) {
  const BioPtr in = reader_of(pem);
  std::vector<Pointer> all;
  ERR_clear_error();
  while (auto* object = read(in.get())) all.emplace_back(object);
  const bool whole = at_end();
  ERR_clear_error();
  if (!whole || all.empty()) {
    throw std::runtime_error(what + (all.empty() ? " has no " : " has a damaged ") + noun +
                             " in PEM form");
  }
  return all;
}

}  // namespace

BioPtr reader_of(std::string_view pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::vector<CertificatePtr> parse_certificates(std::string_view pem, const std::string& what) {
  return parse_all<CertificatePtr>(pem, what, "certificate", [](BIO* in) {
    return PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  });
}

std::vector<CrlPtr> parse_crls(std::string_view pem, const std::string& what) {
  return parse_all<CrlPtr>(pem, what, "revocation list", [](BIO* in) {
    return PEM_read_bio_X509_CRL(in, nullptr, nullptr, nullptr);
  });
}

}  // namespace orderd::access
