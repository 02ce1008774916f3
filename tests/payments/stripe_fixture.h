#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <variant>

#include "server/payments/stripe.h"
#include "tests/payments/fake_stripe.h"

namespace orderd::payments {

inline constexpr char kTestKey[] = "sk_test_PLANTEDKEY";

inline Deadline soon(std::chrono::milliseconds time = std::chrono::seconds(60)) {
  return std::chrono::steady_clock::now() + time;
}

/// A fake Stripe and the gateway to it. In the end every request must have fitted the description.
class StripeTest : public testing::Test {
 protected:
  StripeTest() {
    ::setenv("ORDERD_TEST_STRIPE_KEY", kTestKey, 1);
    stripe_.emplace(ApiKey::from_environment("ORDERD_TEST_STRIPE_KEY"),
                    Stripe::Options{.base_url = fake_.url(), .ca_file = {}});
  }

  void TearDown() override {
    if (violations_expected_) return;
    EXPECT_EQ(fake_.control("violations"), nlohmann::json::array());
  }

  /// A PaymentIntent; see `create` in fake_stripe.py.
  PaymentRef create(const nlohmann::json& fields, std::string currency = "USD") {
    return {fake_.control("create", fields)["id"].get<std::string>(), std::move(currency)};
  }

  Reading read(const PaymentRef& payment) {
    auto reading = stripe_->fetch(payment, soon());
    if (const auto* error = std::get_if<FetchError>(&reading)) {
      ADD_FAILURE() << "no reading: " << error->reason;
      return {};
    }
    return std::get<Reading>(std::move(reading));
  }

  FetchError read_error(const PaymentRef& payment, Deadline deadline = soon()) {
    auto reading = stripe_->fetch(payment, deadline);
    if (const auto* error = std::get_if<FetchError>(&reading)) return *error;
    ADD_FAILURE() << "there is a reading";
    return {};
  }

  void fault(const nlohmann::json& fields) { fake_.control("fault", fields); }

  static Attempt attempt(std::string id, std::int64_t amount) {
    Attempt result;
    result.attempt_id = id;
    result.idempotency_key = "key-" + id;
    result.amount_minor = amount;
    result.multi_capture = false;
    return result;
  }

  test::FakeStripe fake_{{.key = kTestKey, .certificate = {}, .private_key = {}}};
  std::optional<Stripe> stripe_;
  bool violations_expected_ = false;
};

inline const GatewayMovement* find(const Reading& reading, pb::TransactionKind kind) {
  for (const auto& movement : reading.movements) {
    if (movement.kind == kind) return &movement;
  }
  return nullptr;
}

}  // namespace orderd::payments
