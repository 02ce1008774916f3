// The certificate and the name of the host are verified; without that nothing is sent.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "tests/payments/stripe_fixture.h"

namespace orderd::payments {
namespace {

using nlohmann::json;

/// A self-signed certificate for a host, in PEM files, trusted by whoever trusts the file.
class Certificate {
 public:
  explicit Certificate(const std::string& alternative_name) {
    directory_ = "/tmp/orderd-tls-XXXXXX";
    if (mkdtemp(directory_.data()) == nullptr) throw std::runtime_error("no directory");
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                  &EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
    X509* x = certificate.get();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key.get());
    X509_NAME* name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("orderd test"), -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, nullptr, nullptr, 0);
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, alternative_name.c_str());
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(x, key.get(), EVP_sha256());
    write(certificate_file(), [&](FILE* file) { return PEM_write_X509(file, x); });
    write(key_file(), [&](FILE* file) {
      return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  ~Certificate() { std::filesystem::remove_all(directory_); }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  std::string certificate_file() const { return directory_ + "/certificate.pem"; }
  std::string key_file() const { return directory_ + "/key.pem"; }

 private:
  template <typename Write>
  static void write(const std::string& path, const Write& write_to) {
    const std::unique_ptr<FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "w"),
                                                             &std::fclose);
    if (!file || write_to(file.get()) != 1) throw std::runtime_error("no certificate");
  }

  std::string directory_;
};

class StripeTls : public testing::Test {
 protected:
  static Stripe client(const test::FakeStripe& server, const std::string& ca_file) {
    ::setenv("ORDERD_TEST_STRIPE_KEY", kTestKey, 1);
    return {ApiKey::from_environment("ORDERD_TEST_STRIPE_KEY"),
            {.base_url = server.url(), .ca_file = ca_file}};
  }
  static Attempt attempt() {
    Attempt result;
    result.attempt_id = "a1";
    result.idempotency_key = "k1";
    result.amount_minor = 1000;
    result.multi_capture = false;
    return result;
  }
};

TEST_F(StripeTls, ATrustedCertificateForTheHostIsTaken) {
  const Certificate good("IP:127.0.0.1");
  test::FakeStripe fake({kTestKey, good.certificate_file(), good.key_file()});
  const PaymentRef payment{fake.control("create", {{"amount", 1000}})["id"], "USD"};
  Stripe stripe = client(fake, good.certificate_file());
  EXPECT_EQ(stripe.capture(payment, attempt(), soon()).kind, CallResult::Kind::kSucceeded);
  EXPECT_TRUE(std::holds_alternative<Reading>(stripe.fetch(payment, soon())));
}

TEST_F(StripeTls, WithoutTrustNothingIsSent) {
  const Certificate good("IP:127.0.0.1");
  const Certificate other("IP:127.0.0.1");
  test::FakeStripe fake({kTestKey, good.certificate_file(), good.key_file()});
  const PaymentRef payment{fake.control("create", {{"amount", 1000}})["id"], "USD"};
  for (const std::string& authorities : {std::string(), other.certificate_file()}) {
    Stripe stripe = client(fake, authorities);
    const auto result = stripe.capture(payment, attempt(), soon());
    EXPECT_EQ(result.kind, CallResult::Kind::kNotExecuted) << authorities;
    EXPECT_EQ(result.reason, "NO_CONNECTION");
    const auto fetched = stripe.fetch(payment, soon());
    ASSERT_TRUE(std::holds_alternative<FetchError>(fetched));
    EXPECT_EQ(std::get<FetchError>(fetched).kind, FetchError::Kind::kUnavailable);
  }
  EXPECT_EQ(fake.requests(), json::array());
}

TEST_F(StripeTls, ACertificateForAnotherHostIsRefused) {
  const Certificate elsewhere("DNS:api.stripe.com");
  const Certificate good("IP:127.0.0.1");
  test::FakeStripe fake({kTestKey, elsewhere.certificate_file(), elsewhere.key_file()});
  Stripe stripe = client(fake, elsewhere.certificate_file());
  EXPECT_EQ(stripe.capture({"pi_1", "USD"}, attempt(), soon()).kind,
            CallResult::Kind::kNotExecuted);
}

}  // namespace
}  // namespace orderd::payments
