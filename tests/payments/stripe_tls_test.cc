// The certificate and the name of the host are verified; without that nothing is sent.

#include "tests/payments/stripe_fixture.h"
#include "tests/support/certificate.h"

namespace orderd::payments {
namespace {

using nlohmann::json;
using test::Certificate;

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
