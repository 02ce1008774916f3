#include <algorithm>
#include <set>

#include "tests/payments/stripe_fixture.h"

namespace orderd::payments {
namespace {

using nlohmann::json;

class StripeReadingTest : public StripeTest {
 protected:
  /// The balance transaction of the last capture.
  std::string capture_entry(const std::string& id) {
    const auto charge = fake_.control("charge", {{"id", id}});
    return charge["balance_transaction"].get<std::string>();
  }
};

TEST_F(StripeReadingTest, ReadsAnAuthorization) {
  const auto payment = create({{"amount", 1000}, {"capture_before", 1'800'000'000}});
  const auto reading = read(payment);
  EXPECT_EQ(reading.status, pb::PAYMENT_STATUS_AUTHORIZED);
  EXPECT_EQ(reading.authorized_minor, 1000);
  EXPECT_EQ(reading.captured_minor, 0);
  EXPECT_EQ(reading.voided_minor, 0);
  EXPECT_EQ(reading.expire_time, 1'800'000'000'000'000);
  ASSERT_EQ(reading.movements.size(), 1);
  EXPECT_EQ(reading.movements[0].kind, pb::TRANSACTION_KIND_AUTHORIZATION);
  const auto& can = reading.capabilities;
  EXPECT_FALSE(can.multi_capture());
  EXPECT_FALSE(can.void_after_capture());
  EXPECT_FALSE(can.refund_before_final_capture());
  EXPECT_FALSE(can.concurrent_operations());
  EXPECT_TRUE(can.partial_capture());
  EXPECT_TRUE(can.lookup_by_attempt());
  EXPECT_EQ(can.key_lifetime().seconds(), 86'400);
}

TEST_F(StripeReadingTest, MulticaptureOnlyWhereTheChargeSaysSo) {
  const auto can = read(create({{"amount", 1000}, {"multicapture", true}})).capabilities;
  EXPECT_TRUE(can.multi_capture());
  EXPECT_EQ(can.max_captures(), 50);
  EXPECT_TRUE(can.void_after_capture());
  EXPECT_TRUE(can.refund_before_final_capture());
}

TEST_F(StripeReadingTest, ReadsEveryStatus) {
  const auto payment = create({{"amount", 1000}, {"status", "requires_payment_method"}});
  const auto id = payment.gateway_reference;
  for (const auto& [status, expected] : std::vector<std::pair<std::string, pb::PaymentStatus>>{
           {"requires_payment_method", pb::PAYMENT_STATUS_OPEN},
           {"requires_confirmation", pb::PAYMENT_STATUS_OPEN},
           {"requires_action", pb::PAYMENT_STATUS_OPEN},
           {"processing", pb::PAYMENT_STATUS_PROCESSING}}) {
    fake_.control("change", {{"id", id}, {"members", {{"status", status}}}});
    const auto reading = read(payment);
    EXPECT_EQ(reading.status, expected) << status;
    EXPECT_EQ(reading.authorized_minor, 0) << status;
    EXPECT_TRUE(reading.movements.empty()) << status;
  }
  fake_.control("change", {{"id", id}, {"members", {{"status", "unheard_of"}}}});
  EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kUnusable);
}

TEST_F(StripeReadingTest, OnlyTheLatestChargeCounts) {
  const auto payment = create({{"amount", 1000}, {"status", "requires_payment_method"}});
  const auto id = payment.gateway_reference;
  for (int i = 0; i < 2; ++i) fake_.control("authorize", {{"intent_id", id}, {"declined", true}});
  EXPECT_EQ(read(payment).status, pb::PAYMENT_STATUS_OPEN);
  EXPECT_EQ(read(payment).authorized_minor, 0);
  EXPECT_EQ(read(payment).movements.size(), 2);
  fake_.control("authorize", {{"intent_id", id}});
  const auto reading = read(payment);
  EXPECT_EQ(reading.authorized_minor, 1000);
  ASSERT_EQ(reading.movements.size(), 3);
  EXPECT_EQ(reading.movements[0].status, pb::TRANSACTION_STATUS_FAILED);
  EXPECT_EQ(reading.movements[1].status, pb::TRANSACTION_STATUS_FAILED);
  EXPECT_EQ(reading.movements[2].status, pb::TRANSACTION_STATUS_SUCCEEDED);

  // Nor does what was given back of another charge.
  fake_.control("capture", {{"id", id}, {"amount", 1000}});
  const auto refund = fake_.control("refund", {{"id", id}, {"amount", 100}});
  EXPECT_EQ(read(payment).refunded_minor, 100);
  fake_.control("change", {{"id", refund["id"]}, {"members", {{"charge", "ch_other"}}}});
  EXPECT_EQ(read(payment).refunded_minor, 0);
  EXPECT_EQ(find(read(payment), pb::TRANSACTION_KIND_REFUND), nullptr);
}

TEST_F(StripeReadingTest, AFinalCaptureReleasesTheRestAsAVoidOfTheSameAttempt) {
  const auto payment = create({{"amount", 1000}});
  Attempt capture = attempt("a1", 600);
  capture.final_capture = true;
  ASSERT_EQ(stripe_->capture(payment, capture, soon()).kind, CallResult::Kind::kSucceeded);
  const auto reading = read(payment);
  EXPECT_EQ(reading.status, pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_EQ(reading.captured_minor, 600);
  EXPECT_EQ(reading.voided_minor, 400);
  const auto* captured = find(reading, pb::TRANSACTION_KIND_CAPTURE);
  const auto* voided = find(reading, pb::TRANSACTION_KIND_VOID);
  ASSERT_TRUE(captured && voided);
  EXPECT_EQ(captured->attempt_id, "a1");
  EXPECT_EQ(voided->attempt_id, "a1");
  EXPECT_EQ(voided->amount_minor, 400);
}

TEST_F(StripeReadingTest, CapturesInPartsAddUp) {
  const auto payment = create({{"amount", 1000}, {"multicapture", true}});
  fake_.control("capture", {{"id", payment.gateway_reference}, {"amount", 100}, {"final", false}});
  Attempt own = attempt("a1", 250);
  own.multi_capture = true;
  const auto result = stripe_->capture(payment, own, soon());
  const auto reading = read(payment);
  EXPECT_EQ(reading.captured_minor, 350);
  // Of the other one only the sum tells.
  ASSERT_EQ(reading.movements.size(), 2);
  EXPECT_EQ(reading.movements[1].amount_minor, 250);
  EXPECT_EQ(reading.movements[1].attempt_id, "a1");
  EXPECT_EQ(reading.movements[1].gateway_transaction_id, result.gateway_transaction_id);
  EXPECT_EQ(reading.movements[1].time, result.time);

  // Whatever is captured later, the movement stays what it is.
  fake_.control("capture", {{"id", payment.gateway_reference}, {"amount", 50}, {"final", false}});
  const auto later = read(payment);
  EXPECT_EQ(later.captured_minor, 400);
  const auto* still = find(later, pb::TRANSACTION_KIND_CAPTURE);
  ASSERT_NE(still, nullptr);
  EXPECT_EQ(still->gateway_transaction_id, result.gateway_transaction_id);
  EXPECT_EQ(still->amount_minor, 250);

  ASSERT_EQ(stripe_->void_remainder(payment, attempt("v1", 600), soon()).kind,
            CallResult::Kind::kSucceeded);
  const auto after = read(payment);
  EXPECT_EQ(after.status, pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_EQ(after.captured_minor, 400);
  EXPECT_EQ(after.voided_minor, 600);
  EXPECT_EQ(find(after, pb::TRANSACTION_KIND_VOID)->attempt_id, "v1");
}

TEST_F(StripeReadingTest, RefundsOfEveryStatusAreListedAndOnlySucceededOnesCount) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  const auto id = payment.gateway_reference;
  for (const auto* status : {"succeeded", "pending", "requires_action", "failed", "canceled"}) {
    fake_.control("refund", {{"id", id}, {"amount", 100}, {"status", status}});
  }
  const auto reading = read(payment);
  EXPECT_EQ(reading.refunded_minor, 100);
  EXPECT_EQ(reading.status, pb::PAYMENT_STATUS_CAPTURED);
  std::map<pb::TransactionStatus, int> counts;
  for (const auto& movement : reading.movements) {
    if (movement.kind == pb::TRANSACTION_KIND_REFUND) ++counts[movement.status];
  }
  EXPECT_EQ(counts[pb::TRANSACTION_STATUS_SUCCEEDED], 1);
  EXPECT_EQ(counts[pb::TRANSACTION_STATUS_PENDING], 2);
  EXPECT_EQ(counts[pb::TRANSACTION_STATUS_FAILED], 2);

  fake_.control("refund", {{"id", id}, {"amount", 900}});
  EXPECT_EQ(read(payment).status, pb::PAYMENT_STATUS_REFUNDED);
}

TEST_F(StripeReadingTest, ListsAreReadToTheEnd) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  for (int i = 0; i < 230; ++i) {
    fake_.control("refund", {{"id", payment.gateway_reference}, {"amount", 1}});
  }
  const auto reading = read(payment);
  EXPECT_EQ(reading.refunded_minor, 230);
  std::set<std::string> ids;
  for (const auto& movement : reading.movements) ids.insert(movement.gateway_transaction_id);
  EXPECT_EQ(ids.size(), 232);
  EXPECT_TRUE(std::is_sorted(reading.movements.begin(), reading.movements.end(),
                             [](const auto& a, const auto& b) { return a.time < b.time; }));
}

TEST_F(StripeReadingTest, ARefundThatStandsForAReleaseIsTheVoid) {
  // How it was before 2025-03-31.basil, and is when others cancel with an older version.
  const auto canceled = create({{"amount", 1000}});
  fake_.control("cancel", {{"id", canceled.gateway_reference}});
  auto refund = fake_.control("refund", {{"id", canceled.gateway_reference}, {"amount", 1000}});
  auto reading = read(canceled);
  EXPECT_EQ(reading.refunded_minor, 0);
  EXPECT_EQ(reading.voided_minor, 1000);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_REFUND), nullptr);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->gateway_transaction_id, refund["id"]);

  const auto partly = create({{"amount", 1000}});
  const auto id = partly.gateway_reference;
  fake_.control("capture", {{"id", id}, {"amount", 600}});
  refund = fake_.control("refund", {{"id", id}, {"amount", 400}});
  // The fake's clock is a minute later: a real refund of the same amount.
  EXPECT_EQ(read(partly).refunded_minor, 400);
  const auto captured = find(read(partly), pb::TRANSACTION_KIND_CAPTURE)->time;
  fake_.control("change",
                {{"id", refund["id"]}, {"members", {{"created", captured / 1'000'000 + 1}}}});
  // The capture was booked as what was captured, so nothing was released by a Refund.
  EXPECT_EQ(read(partly).refunded_minor, 400);
  fake_.control("change", {{"id", capture_entry(id)}, {"members", {{"amount", 1000}}}});
  reading = read(partly);
  EXPECT_EQ(reading.refunded_minor, 0);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->gateway_transaction_id, refund["id"]);
}

TEST_F(StripeReadingTest, ARefundFromHereIsNeverARelease) {
  const auto payment = create({{"amount", 1000}});
  Attempt capture = attempt("a1", 600);
  capture.final_capture = true;
  const auto captured = stripe_->capture(payment, capture, soon());
  const auto refund = stripe_->refund(payment, attempt("r1", 400), soon());
  ASSERT_EQ(refund.kind, CallResult::Kind::kSucceeded);
  fake_.control("change", {{"id", refund.gateway_transaction_id},
                           {"members", {{"created", *captured.time / 1'000'000}}}});
  EXPECT_EQ(read(payment).refunded_minor, 400);
}

TEST_F(StripeReadingTest, ACaptureFromTheDashboardIsAMovement) {
  const auto payment = create({{"amount", 1000}});
  fake_.control("capture", {{"id", payment.gateway_reference}, {"amount", 600}});
  const auto reading = read(payment);
  const auto* capture = find(reading, pb::TRANSACTION_KIND_CAPTURE);
  ASSERT_NE(capture, nullptr);
  EXPECT_EQ(capture->amount_minor, 600);
  EXPECT_EQ(capture->attempt_id, "");
  EXPECT_THAT(capture->gateway_transaction_id, testing::EndsWith("/600"));
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->amount_minor, 400);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->attempt_id, "");

  // Where there may have been several, none is told from the others.
  const auto multi = create({{"amount", 1000}, {"multicapture", true}});
  fake_.control("capture", {{"id", multi.gateway_reference}, {"amount", 600}, {"final", false}});
  EXPECT_EQ(read(multi).captured_minor, 600);
  EXPECT_EQ(find(read(multi), pb::TRANSACTION_KIND_CAPTURE), nullptr);
}

TEST_F(StripeReadingTest, ExpiryIsToldFromCancellation) {
  for (const auto* reason : {"expired", "automatic"}) {
    const auto payment = create({{"amount", 1000}, {"capture_before", 1'800'000'000}});
    fake_.control("cancel", {{"id", payment.gateway_reference}, {"cancellation_reason", reason}});
    const auto reading = read(payment);
    EXPECT_EQ(reading.status, pb::PAYMENT_STATUS_EXPIRED);
    EXPECT_EQ(reading.voided_minor, 1000);
    EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_EXPIRY)->amount_minor, 1000);
    EXPECT_EQ(reading.expire_time, std::nullopt);
  }
}

TEST_F(StripeReadingTest, DisputesAreChargebacks) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  const auto id = payment.gateway_reference;
  fake_.control("dispute", {{"id", id}, {"amount", 1000}, {"outcome", "inquiry"}});
  EXPECT_EQ(find(read(payment), pb::TRANSACTION_KIND_CHARGEBACK), nullptr);
  fake_.control("dispute", {{"id", id}, {"amount", 700}, {"outcome", "open"}});
  const auto open = read(payment);
  EXPECT_EQ(find(open, pb::TRANSACTION_KIND_CHARGEBACK)->amount_minor, 700);
  EXPECT_EQ(find(open, pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL), nullptr);
  fake_.control("dispute", {{"id", id}, {"amount", 300}, {"outcome", "won"}});
  EXPECT_EQ(find(read(payment), pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL)->amount_minor, 300);
}

TEST_F(StripeReadingTest, AmountsAreOurs) {
  const auto krona = read(create({{"amount", 50'000}, {"currency", "isk"}}, "ISK"));
  EXPECT_EQ(krona.authorized_minor, 500);
  const auto ariary = read(create({{"amount", 12}, {"currency", "mga"}}, "MGA"));
  EXPECT_EQ(ariary.authorized_minor, 1200);
}

TEST_F(StripeReadingTest, WhatCannotBeKeptIsUnusable) {
  EXPECT_EQ(read_error(create({{"amount", 1000}, {"currency", "eur"}}, "USD")).reason,
            "CURRENCY_MISMATCH");
  EXPECT_EQ(read_error(create({{"amount", 50'050}, {"currency", "isk"}}, "ISK")).reason,
            "AMOUNT_NOT_REPRESENTABLE");
  for (const json& amount :
       {json("1000"), json(10.5), json(nullptr), json(1e30), json(18'446'744'073'709'551'615u)}) {
    const auto payment = create({{"amount", 1000}});
    fake_.control("change", {{"id", payment.gateway_reference}, {"members", {{"amount", amount}}}});
    EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kUnusable) << amount;
  }
}

TEST_F(StripeReadingTest, ReadingsThatCannotBeHad) {
  EXPECT_EQ(read_error({"pi_none", "USD"}).kind, FetchError::Kind::kNotFound);
  const auto payment = create({{"amount", 1000}});
  // Stripe may say 400 of a list; and a 404 of anything else is no word about the payment.
  fault({{"kind", "error"},
         {"status", 400},
         {"type", "invalid_request_error"},
         {"code", "resource_missing"}});
  EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kNotFound);
  fault({{"kind", "error"}, {"status", 404}, {"type", "invalid_request_error"}});
  EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kUnusable);
  for (const auto* path : {"/v1/charges", "/v1/refunds", "/v1/payment_intents"}) {
    fault({{"kind", "500"}, {"path", path}});
    EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kUnavailable) << path;
    fault({{"kind", "drop_before"}, {"path", path}, {"times", 2}});
    EXPECT_EQ(read_error(payment).kind, FetchError::Kind::kUnavailable) << path;
    fault({{"kind", "error"}, {"path", path}, {"status", 401}, {"type", "x"}});
    EXPECT_EQ(read_error(payment).reason, "CREDENTIALS_REFUSED") << path;
    fake_.control("clear");
  }
}

}  // namespace
}  // namespace orderd::payments
