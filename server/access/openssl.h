#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// OpenSSL's objects with owners. For this folder.

namespace orderd::access {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, Free<X509_CRL_free>>;

BioPtr reader_of(std::string_view pem);

/// The certificates in a text, in their order. Throws std::runtime_error if one can't be read or
/// there is none; `what` names the text.
std::vector<CertificatePtr> parse_certificates(std::string_view pem, const std::string& what);

/// The revocation lists in a text; as above.
std::vector<CrlPtr> parse_crls(std::string_view pem, const std::string& what);

}  // namespace orderd::access
