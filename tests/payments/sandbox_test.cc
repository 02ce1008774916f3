// What the sandbox does when nothing goes wrong: operations, capabilities, and what happens at the
// gateway by itself.

#include <google/protobuf/util/message_differencer.h>

#include "tests/payments/sandbox_fixture.h"

namespace orderd::test {
namespace {

using payments::PaymentRef;
using payments::Reading;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto kAuthorization = pb::TRANSACTION_KIND_AUTHORIZATION;
constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
constexpr auto kExpiry = pb::TRANSACTION_KIND_EXPIRY;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;

TEST_F(SandboxTest, CapturesInPartsUpToWhatIsAuthorized) {
  const PaymentRef payment = authorized(1000);
  EXPECT_EQ(reading(payment).status, pb::PAYMENT_STATUS_AUTHORIZED);
  const auto first = attempt(400);
  const auto answer = capture(payment, first);
  EXPECT_EQ(answer.kind, Kind::kSucceeded);
  EXPECT_EQ(answer.time, now_);

  const Reading part = reading(payment);
  EXPECT_EQ(part.status, pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  EXPECT_THAT(part, HasSums(1000, 400, 0, 0));
  ASSERT_THAT(part.movements, ElementsAre(IsMovement(kAuthorization, kSucceeded, 1000),
                                          IsMovement(kCapture, kSucceeded, 400)));
  EXPECT_EQ(part.movements[0].attempt_id, "");
  EXPECT_EQ(part.movements[1].attempt_id, first.attempt_id);
  EXPECT_EQ(part.movements[1].gateway_transaction_id, answer.gateway_transaction_id);
  EXPECT_EQ(part.movements[1].time, now_);

  EXPECT_THAT(capture(payment, attempt(601)), IsResult(Kind::kStateConflict, "AMOUNT_TOO_LARGE"));
  EXPECT_THAT(capture(payment, attempt(0)), IsResult(Kind::kRefused, "AMOUNT_INVALID"));
  EXPECT_EQ(capture(payment, attempt(600)).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(payment).status, pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(capture(payment, attempt(1)), IsResult(Kind::kStateConflict, "ALREADY_CAPTURED"));
  EXPECT_THAT(void_remainder(payment, attempt(0)),
              IsResult(Kind::kStateConflict, "ALREADY_CAPTURED"));
}

TEST_F(SandboxTest, AFinalCaptureReleasesTheRestAsAVoidOfItsOwn) {
  const PaymentRef payment = authorized(1000);
  const auto last = attempt(700, true);
  const auto answer = capture(payment, last);
  const Reading after = reading(payment);
  EXPECT_THAT(after, HasSums(1000, 700, 0, 300));
  EXPECT_EQ(after.status, pb::PAYMENT_STATUS_CAPTURED);
  ASSERT_EQ(after.movements.size(), 3U);
  EXPECT_EQ(after.movements[1].gateway_transaction_id, answer.gateway_transaction_id);
  EXPECT_THAT(after.movements[2], IsMovement(kVoid, kSucceeded, 300));
  EXPECT_EQ(after.movements[2].attempt_id, last.attempt_id);
  EXPECT_NE(after.movements[2].gateway_transaction_id, answer.gateway_transaction_id);
}

TEST_F(SandboxTest, RefundsInPartsUpToWhatIsCaptured) {
  const PaymentRef payment = authorized(1000);
  EXPECT_THAT(refund(payment, attempt(1)), IsResult(Kind::kStateConflict, "NOT_CAPTURED"));
  ASSERT_EQ(capture(payment, attempt(900, true)).kind, Kind::kSucceeded);
  EXPECT_EQ(refund(payment, attempt(300)).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(payment).status, pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(refund(payment, attempt(601)), IsResult(Kind::kStateConflict, "AMOUNT_TOO_LARGE"));
  EXPECT_THAT(refund(payment, attempt(-1)), IsResult(Kind::kRefused, "AMOUNT_INVALID"));
  EXPECT_EQ(refund(payment, attempt(600)).kind, Kind::kSucceeded);
  const Reading after = reading(payment);
  EXPECT_THAT(after, HasSums(1000, 900, 900, 100));
  EXPECT_EQ(after.status, pb::PAYMENT_STATUS_REFUNDED);
  EXPECT_THAT(refund(payment, attempt(1)), IsResult(Kind::kStateConflict, "ALREADY_REFUNDED"));
}

TEST_F(SandboxTest, AVoidReleasesAllThatIsLeft) {
  const PaymentRef payment = authorized(1000);
  ASSERT_EQ(capture(payment, attempt(250)).kind, Kind::kSucceeded);
  EXPECT_EQ(void_remainder(payment, attempt(1)).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 250, 0, 750));
  EXPECT_EQ(reading(payment).status, pb::PAYMENT_STATUS_CAPTURED);

  const PaymentRef untouched = authorized(80);
  EXPECT_EQ(void_remainder(untouched, attempt(80)).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(untouched).status, pb::PAYMENT_STATUS_VOIDED);
  EXPECT_THAT(capture(untouched, attempt(80)), IsResult(Kind::kStateConflict, "PAYMENT_VOIDED"));
}

TEST_F(SandboxTest, AnOpenPaymentIsPaidOrClosed) {
  const PaymentRef paid{ledger().open({.currency_code = "EUR", .amount_minor = 500}).value(),
                        "EUR"};
  EXPECT_EQ(reading(paid).status, pb::PAYMENT_STATUS_OPEN);
  EXPECT_THAT(reading(paid), HasSums(0, 0, 0, 0));
  EXPECT_THAT(capture(paid, attempt(500)), IsResult(Kind::kStateConflict, "PAYMENT_OPEN"));
  EXPECT_EQ(ledger().start_processing(paid.gateway_reference).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(paid).status, pb::PAYMENT_STATUS_PROCESSING);
  EXPECT_THAT(void_remainder(paid, attempt(0)),
              IsResult(Kind::kStateConflict, "PAYMENT_PROCESSING"));
  EXPECT_EQ(ledger().pay(paid.gateway_reference).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(paid), HasSums(500, 0, 0, 0));
  EXPECT_THAT(ledger().pay(paid.gateway_reference), IsResult(Kind::kStateConflict, "NOT_OPEN"));

  const PaymentRef closed{ledger().open({.currency_code = "EUR", .amount_minor = 500}).value(),
                          "EUR"};
  const auto close = attempt(0);
  EXPECT_EQ(void_remainder(closed, close).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(closed).status, pb::PAYMENT_STATUS_VOIDED);
  ASSERT_THAT(reading(closed).movements, ElementsAre(IsMovement(kVoid, kSucceeded, 0)));
  EXPECT_EQ(reading(closed).movements[0].attempt_id, close.attempt_id);
  EXPECT_THAT(ledger().pay(closed.gateway_reference), IsResult(Kind::kStateConflict, "NOT_OPEN"));
}

TEST_F(SandboxTest, AnAuthorizationExpiresByTheClock) {
  const Micros expiry = now_ + 1'000'000;
  const auto make = [&](bool pay) {
    const payments::SandboxLedger::NewPayment payment{
        .currency_code = "EUR", .amount_minor = 500, .expire_time = expiry};
    return PaymentRef{(pay ? ledger().authorize(payment) : ledger().open(payment)).value(), "EUR"};
  };
  const PaymentRef untouched = make(true);
  const PaymentRef part = make(true);
  const PaymentRef open = make(false);
  ASSERT_EQ(capture(part, attempt(200)).kind, Kind::kSucceeded);
  EXPECT_EQ(reading(untouched).expire_time, expiry);

  pass(std::chrono::microseconds(999'999));
  EXPECT_EQ(reading(untouched).status, pb::PAYMENT_STATUS_AUTHORIZED);
  pass(std::chrono::hours(1));
  EXPECT_THAT(capture(untouched, attempt(500)), IsResult(Kind::kStateConflict, "PAYMENT_EXPIRED"));
  EXPECT_EQ(reading(untouched).status, pb::PAYMENT_STATUS_EXPIRED);
  EXPECT_THAT(reading(part), HasSums(500, 200, 0, 300));
  const auto last = reading(part).movements.back();
  EXPECT_THAT(last, IsMovement(kExpiry, kSucceeded, 300));
  EXPECT_EQ(last.time, expiry);
  EXPECT_EQ(reading(open).status, pb::PAYMENT_STATUS_EXPIRED);
  EXPECT_THAT(ledger().pay(open.gateway_reference), IsResult(Kind::kStateConflict, "NOT_OPEN"));
  EXPECT_EQ(refund(part, attempt(200)).kind, Kind::kSucceeded);
}

TEST_F(SandboxTest, TheDashboardMovesMoneyWithoutAnAttempt) {
  const PaymentRef payment = authorized(1000);
  const std::string& reference = payment.gateway_reference;
  EXPECT_EQ(ledger().move_from_dashboard(reference, MoneyOperation::kCapture, 600).kind,
            Kind::kSucceeded);
  EXPECT_EQ(ledger().move_from_dashboard(reference, MoneyOperation::kVoid, 0).kind,
            Kind::kSucceeded);
  EXPECT_EQ(ledger().move_from_dashboard(reference, MoneyOperation::kRefund, 100).kind,
            Kind::kSucceeded);
  EXPECT_THAT(ledger().move_from_dashboard(reference, MoneyOperation::kRefund, 501),
              IsResult(Kind::kStateConflict, "AMOUNT_TOO_LARGE"));
  const Reading after = reading(payment);
  EXPECT_THAT(after, HasSums(1000, 600, 100, 400));
  for (const auto& movement : after.movements) EXPECT_EQ(movement.attempt_id, "");
  EXPECT_THAT(ledger().answers(reference), IsEmpty());
  EXPECT_EQ(ledger().expire(reference).reason, "NOTHING_CAPTURABLE");
}

TEST_F(SandboxTest, WhatIsChargedBackCannotBeRefunded) {
  const PaymentRef payment = captured(1000);
  const std::string& reference = payment.gateway_reference;
  EXPECT_EQ(ledger().charge_back(reference, 700).kind, Kind::kSucceeded);
  EXPECT_EQ(ledger().charge_back(reference, 301).reason, "AMOUNT_TOO_LARGE");
  EXPECT_THAT(refund(payment, attempt(301)), IsResult(Kind::kRefused, "CHARGE_DISPUTED"));
  EXPECT_EQ(ledger().reverse_chargeback(reference, 701).reason, "AMOUNT_TOO_LARGE");
  EXPECT_EQ(ledger().reverse_chargeback(reference, 700).kind, Kind::kSucceeded);
  EXPECT_EQ(refund(payment, attempt(301)).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment).movements,
              ElementsAre(IsMovement(kAuthorization, kSucceeded, 1000),
                          IsMovement(kCapture, kSucceeded, 1000),
                          IsMovement(pb::TRANSACTION_KIND_CHARGEBACK, kSucceeded, 700),
                          IsMovement(pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL, kSucceeded, 700),
                          IsMovement(kRefund, kSucceeded, 301)));
}

TEST_F(SandboxTest, UnknownPaymentsAndOtherCurrencies) {
  const PaymentRef nobody{"pay_nobody", "EUR"};
  EXPECT_THAT(capture(nobody, attempt(1)), IsResult(Kind::kRefused, "PAYMENT_NOT_FOUND"));
  EXPECT_EQ(std::get<payments::FetchError>(sandbox_->fetch(nobody, soon())).kind,
            payments::FetchError::Kind::kNotFound);

  PaymentRef payment = authorized(1000);
  payment.currency_code = "USD";
  EXPECT_THAT(capture(payment, attempt(1)), IsResult(Kind::kRefused, "CURRENCY_MISMATCH"));
  const auto error = std::get<payments::FetchError>(sandbox_->fetch(payment, soon()));
  EXPECT_EQ(error.kind, payments::FetchError::Kind::kUnusable);
  EXPECT_EQ(error.reason, "CURRENCY_MISMATCH");

  EXPECT_EQ(
      ledger().open(
          {.reference = payment.gateway_reference, .currency_code = "EUR", .amount_minor = 1}),
      std::nullopt);
  EXPECT_EQ(ledger().open({.currency_code = "EUR", .amount_minor = 0}), std::nullopt);

  pb::Money money;
  money.set_currency_code("KWD");
  EXPECT_EQ(sandbox_->representable(money), payments::Representable::kYes);
  money.set_currency_code("XYZ");
  EXPECT_EQ(sandbox_->representable(money), payments::Representable::kNo);
}

TEST_F(SandboxTest, WithoutMultiCaptureTheFirstCaptureReleasesTheRest) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_multi_capture(false);
  const PaymentRef payment = authorized(1000, capabilities);
  EXPECT_EQ(capture(payment, attempt(400)).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 400, 0, 600));

  // Also when the capability goes after a first capture.
  const PaymentRef part = authorized(1000);
  ASSERT_EQ(capture(part, attempt(400)).kind, Kind::kSucceeded);
  ASSERT_TRUE(ledger().set_capabilities(part.gateway_reference, capabilities));
  EXPECT_THAT(capture(part, attempt(600)), IsResult(Kind::kRefused, "MULTI_CAPTURE_UNSUPPORTED"));
}

TEST_F(SandboxTest, MaxCapturesIsTheNumberOfCaptures) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_max_captures(2);
  const PaymentRef payment = authorized(1000, capabilities);
  EXPECT_EQ(capture(payment, attempt(100)).kind, Kind::kSucceeded);
  EXPECT_EQ(capture(payment, attempt(100)).kind, Kind::kSucceeded);
  EXPECT_THAT(capture(payment, attempt(100)), IsResult(Kind::kRefused, "MAX_CAPTURES_REACHED"));
  EXPECT_EQ(void_remainder(payment, attempt(800)).kind, Kind::kSucceeded);
}

TEST_F(SandboxTest, PartialCaptureAndPartialRefund) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_partial_capture(false);
  capabilities.set_partial_refund(false);
  const PaymentRef payment = authorized(1000, capabilities);
  EXPECT_THAT(capture(payment, attempt(999, true)),
              IsResult(Kind::kRefused, "PARTIAL_CAPTURE_UNSUPPORTED"));
  EXPECT_EQ(capture(payment, attempt(1000)).kind, Kind::kSucceeded);
  EXPECT_THAT(refund(payment, attempt(999)),
              IsResult(Kind::kRefused, "PARTIAL_REFUND_UNSUPPORTED"));
  EXPECT_EQ(refund(payment, attempt(1000)).kind, Kind::kSucceeded);
}

TEST_F(SandboxTest, RefundBeforeFinalCaptureAndVoidAfterCapture) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_refund_before_final_capture(false);
  capabilities.set_void_after_capture(false);
  const PaymentRef payment = authorized(1000, capabilities);
  ASSERT_EQ(capture(payment, attempt(400)).kind, Kind::kSucceeded);
  EXPECT_THAT(refund(payment, attempt(100)),
              IsResult(Kind::kRefused, "REFUND_BEFORE_FINAL_CAPTURE"));
  EXPECT_THAT(void_remainder(payment, attempt(600)),
              IsResult(Kind::kRefused, "VOID_AFTER_CAPTURE_UNSUPPORTED"));
  EXPECT_EQ(capture(payment, attempt(100, true)).kind, Kind::kSucceeded);
  EXPECT_EQ(refund(payment, attempt(100)).kind, Kind::kSucceeded);

  const PaymentRef untouched = authorized(1000, capabilities);
  EXPECT_EQ(void_remainder(untouched, attempt(1000)).kind, Kind::kSucceeded);
}

TEST_F(SandboxTest, WithoutLookupReadingsDoNotSayWhoseAMovementIs) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_lookup_by_attempt(false);
  const PaymentRef payment = captured(1000, capabilities);
  for (const auto& movement : reading(payment).movements) EXPECT_EQ(movement.attempt_id, "");
  EXPECT_NE(ledger().read(payment.gateway_reference)->movements.back().attempt_id, "");
}

TEST_F(SandboxTest, CapabilitiesAreRead) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_max_captures(7);
  capabilities.set_partial_refund(false);
  const PaymentRef payment = authorized(1000);
  ASSERT_TRUE(ledger().set_capabilities(payment.gateway_reference, capabilities));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(reading(payment).capabilities,
                                                                 capabilities));
  EXPECT_FALSE(ledger().set_capabilities("pay_nobody", capabilities));
}

}  // namespace
}  // namespace orderd::test
