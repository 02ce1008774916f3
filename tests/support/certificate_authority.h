#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace orderd::test {

/// A file that is there as a whole or not at all.
inline void replace_file(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new", std::ios::binary) << text;
  std::filesystem::rename(path + ".new", path);
}

/// A directory for files of a test.
class TestDirectory {
 public:
  TestDirectory() {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no directory");
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  /// Writes a file, and returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    replace_file(path(name), text);
    return path(name);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/orderd-test-XXXXXX";
};

/// Issues certificates and revokes them. All in PEM.
class CertificateAuthority {
 public:
  struct Issued {
    std::string certificate;
    std::string key;
    long serial = 0;
  };
  struct Request {
    std::string common_name = "orderd test";
    /// As OpenSSL writes them: "DNS:localhost,IP:127.0.0.1"; empty: none.
    std::string alternative_names = {};
    /// From now.
    long begin_seconds = -3600;
    long end_seconds = 3600;
    bool self_signed = false;
  };

  explicit CertificateAuthority(const std::string& name = "orderd test CA") : key_(new_key()) {
    certificate_.reset(X509_new());
    X509* x = certificate_.get();
    fill(x, {.common_name = name}, key_.get(), 1);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    X509_sign(x, key_.get(), EVP_sha256());
  }

  std::string certificate() const { return pem_of(certificate_.get()); }

  Issued issue(const Request& request) {
    const KeyPtr key = new_key();
    const CertificatePtr issued(X509_new());
    X509* x = issued.get();
    fill(x, request, key.get(), ++last_serial_);
    X509* issuer = request.self_signed ? x : certificate_.get();
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    if (!request.alternative_names.empty()) {
      extend(x, issuer, NID_subject_alt_name, request.alternative_names);
    }
    X509_sign(x, request.self_signed ? key.get() : key_.get(), EVP_sha256());
    return {pem_of(x), pem_of(key.get()), last_serial_};
  }

  void revoke(const Issued& issued) { revoked_.push_back(issued.serial); }

  std::string revocation_list() const {
    const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> crl(X509_CRL_new(), &X509_CRL_free);
    X509_CRL_set_version(crl.get(), 1);
    X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(certificate_.get()));
    const TimePtr now(X509_gmtime_adj(nullptr, -60), &ASN1_TIME_free);
    const TimePtr next(X509_gmtime_adj(nullptr, 3600), &ASN1_TIME_free);
    X509_CRL_set1_lastUpdate(crl.get(), now.get());
    X509_CRL_set1_nextUpdate(crl.get(), next.get());
    for (const long serial : revoked_) {
      X509_REVOKED* entry = X509_REVOKED_new();
      const std::unique_ptr<ASN1_INTEGER, decltype(&ASN1_INTEGER_free)> number(ASN1_INTEGER_new(),
                                                                               &ASN1_INTEGER_free);
      ASN1_INTEGER_set(number.get(), serial);
      X509_REVOKED_set_serialNumber(entry, number.get());
      X509_REVOKED_set_revocationDate(entry, now.get());
      X509_CRL_add0_revoked(crl.get(), entry);
    }
    X509_CRL_sort(crl.get());
    X509_CRL_sign(crl.get(), key_.get(), EVP_sha256());
    return pem([&](BIO* out) { return PEM_write_bio_X509_CRL(out, crl.get()); });
  }

 private:
  using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using TimePtr = std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)>;
  struct FreeCertificate {
    void operator()(X509* x) const { X509_free(x); }
  };
  using CertificatePtr = std::unique_ptr<X509, FreeCertificate>;

  static KeyPtr new_key() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

  static void fill(X509* x, const Request& request, EVP_PKEY* key, long serial) {
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), request.begin_seconds);
    X509_gmtime_adj(X509_getm_notAfter(x), request.end_seconds);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(request.common_name.c_str()),
                               -1, -1, 0);
  }

  static void extend(X509* x, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    if (extension == nullptr) throw std::runtime_error("no extension " + value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  }

  template <typename Write>
  static std::string pem(const Write& write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
    if (write(out.get()) != 1) throw std::runtime_error("no PEM");
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }
  static std::string pem_of(X509* x) {
    return pem([&](BIO* out) { return PEM_write_bio_X509(out, x); });
  }
  static std::string pem_of(EVP_PKEY* key) {
    return pem([&](BIO* out) {
      return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

  const KeyPtr key_;
  CertificatePtr certificate_;
  long last_serial_ = 1;
  std::vector<long> revoked_;
};

}  // namespace orderd::test
