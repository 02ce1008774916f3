#include "server/payments/external.h"

#include <gtest/gtest.h>

#include "server/orders/external_payment.h"

namespace orderd::payments {
namespace {

constexpr Micros kNow = 1'700'000'000'000'000;

class ExternalTest : public testing::Test {
 protected:
  External external_{[] { return kNow; }};
  const PaymentRef payment_{"till-7", "EUR"};
  const Deadline past_ = std::chrono::steady_clock::now();
};

TEST_F(ExternalTest, CapturesAndVoidsAreDoneAtOnce) {
  Attempt attempt;
  attempt.amount_minor = 500;
  // Nobody is called, so no deadline can pass.
  for (const auto& result : {external_.capture(payment_, attempt, past_),
                             external_.void_remainder(payment_, attempt, past_),
                             external_.capture(payment_, attempt, past_)}) {
    EXPECT_EQ(result.kind, CallResult::Kind::kSucceeded);
    EXPECT_EQ(result.time, kNow);
    EXPECT_EQ(result.gateway_transaction_id, "");
  }
}

TEST_F(ExternalTest, ARefundWaitsForSomebodyToHandItOver) {
  const auto result = external_.refund(payment_, {}, past_);
  EXPECT_EQ(result.kind, CallResult::Kind::kPending);
  EXPECT_EQ(result.reason, "MANUAL");
  EXPECT_EQ(result.gateway_transaction_id, "");
  EXPECT_EQ(result.time, std::nullopt);
}

TEST_F(ExternalTest, ThereIsNothingToRead) {
  const auto fetched = external_.fetch(payment_, past_);
  ASSERT_TRUE(std::holds_alternative<FetchError>(fetched));
  EXPECT_EQ(std::get<FetchError>(fetched).kind, FetchError::Kind::kUnusable);
  EXPECT_FALSE(rules::external_capabilities().lookup_by_attempt());
  EXPECT_TRUE(rules::external_capabilities().multi_capture());
}

TEST_F(ExternalTest, EveryListedCurrencyCanBeExpressed) {
  pb::Money money;
  money.set_amount_minor(1);
  for (const auto* code : {"EUR", "JPY", "KWD", "ISK", "CLF"}) {
    money.set_currency_code(code);
    EXPECT_EQ(external_.representable(money), Representable::kYes) << code;
  }
  money.set_currency_code("DEM");
  EXPECT_EQ(external_.representable(money), Representable::kNo);
}

}  // namespace
}  // namespace orderd::payments
