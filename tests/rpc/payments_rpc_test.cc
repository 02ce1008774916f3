#include "tests/rpc/payments_fixture.h"

// Captures, voids and refunds, as their callers see them.

namespace orderd::test {
namespace {

using testing::ElementsAre;

class PaymentCallsTest : public PaymentsRpcTest {
 protected:
  static pb::GatewayCapabilities captures_once() {
    auto capabilities = payments::all_capabilities();
    capabilities.set_multi_capture(false);
    return capabilities;
  }
};
ORDERD_ON_BOTH_DATABASES(PaymentCallsTest);

TEST_P(PaymentCallsTest, CaptureInFull) {
  const Paid paid = authorized(5000);
  EXPECT_THAT(payment(paid), HasMoney(5000, 0, 0, 0));
  auto request = capture(paid);
  request.set_reason("shipped");
  request.set_request_id(new_request_id());
  const auto response = call(&Orders::CapturePayment, request);

  EXPECT_TRUE(response.changed());
  EXPECT_FALSE(response.replayed());
  EXPECT_EQ(response.etag(), response.order().etag());
  EXPECT_THAT(response.transaction(), IsTransaction(kCapture, kSucceeded, 5000));
  EXPECT_NE(response.transaction().gateway_transaction_id(), "");
  EXPECT_EQ(response.transaction().description(), "shipped");
  EXPECT_EQ(response.transaction().actor(), "local");
  EXPECT_EQ(response.transaction().request_id(), request.request_id());
  EXPECT_TRUE(response.transaction().has_complete_time());
  const pb::Payment& after = payment_of(response.order());
  EXPECT_EQ(after.status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(after, HasMoney(5000, 5000, 0, 0));
  EXPECT_EQ(after.capturable().amount_minor(), 0);
  EXPECT_EQ(after.refundable().amount_minor(), 5000);
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 5000)));
  expect_books_agree(paid);

  // Created, attached, synced, tried, done.
  const auto events = this->events(paid);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_TRUE(events[0].has_order_created());
  EXPECT_EQ(events[1].payment_added().payment().status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(events[2].payment_changed().after().status(), pb::PAYMENT_STATUS_AUTHORIZED);
  EXPECT_THAT(events[3].payment_changed().transactions(),
              ElementsAre(IsTransaction(kCapture, kUnknown, 5000)));
  EXPECT_EQ(events[3].actor(), "local");
  EXPECT_EQ(events[3].request_id(), request.request_id());
  EXPECT_THAT(events[4].payment_changed().transactions(),
              ElementsAre(IsTransaction(kCapture, kSucceeded, 5000)));
  EXPECT_EQ(events[4].actor(), "orderd");
}

TEST_P(PaymentCallsTest, CaptureInTwoParts) {
  const Paid paid = authorized(5000);
  auto response = call(&Orders::CapturePayment, capture(paid, 2000));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  EXPECT_EQ(payment_of(response.order()).capturable().amount_minor(), 3000);
  expect_books_agree(paid);

  response = call(&Orders::CapturePayment, capture(paid, 3000));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_EQ(payment_of(response.order()).capture_count(), 2);
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 2000),
                                         IsTransaction(kCapture, kSucceeded, 3000)));
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, FinalCaptureReleasesTheRest) {
  const Paid paid = authorized(5000);
  const auto response = call(&Orders::CapturePayment, capture(paid, 2000, true));
  EXPECT_TRUE(response.transaction().final_capture());
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(payment_of(response.order()), HasMoney(5000, 2000, 0, 3000));
  const auto history = this->history(paid);
  ASSERT_THAT(history, ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                   IsTransaction(kCapture, kSucceeded, 2000),
                                   IsTransaction(kVoid, kSucceeded, 3000)));
  EXPECT_EQ(history[2].released_by(), history[1].transaction_id());
  expect_books_agree(paid);
  // The gateway tells nothing that is not known.
  EXPECT_FALSE(call(&Orders::SyncPayments, sync(paid)).changed());
}

TEST_P(PaymentCallsTest, AGatewayThatCapturesOnceNeedsFinalCapture) {
  const Paid paid = authorized(5000, captures_once());
  const std::string before = content();
  const Failure failure = refusal(&Orders::CapturePayment, capture(paid, 2000));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "FINAL_CAPTURE_REQUIRED");
  EXPECT_EQ(failure.metadata.at("released_minor"), "3000");
  EXPECT_EQ(content(), before);

  call(&Orders::CapturePayment, capture(paid, 2000, true));
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 2000),
                                         IsTransaction(kVoid, kSucceeded, 3000)));
  expect_books_agree(paid);
  // All of it needs no such word.
  const Paid whole = authorized(5000, captures_once());
  call(&Orders::CapturePayment, capture(whole, 5000));
  expect_books_agree(whole);
}

TEST_P(PaymentCallsTest, MoreThanTheMaximumIsRefused) {
  const Paid paid = authorized(5000);
  Failure failure = refusal(&Orders::CapturePayment, capture(paid, 5001));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "AMOUNT_TOO_LARGE");
  EXPECT_EQ(failure.metadata.at("requested_minor"), "5001");
  EXPECT_EQ(failure.metadata.at("max_capturable_minor"), "5000");
  call(&Orders::CapturePayment, capture(paid, 2000));
  failure = refusal(&Orders::CapturePayment, capture(paid, 3001));
  EXPECT_EQ(failure.metadata.at("max_capturable_minor"), "3000");
  call(&Orders::CapturePayment, capture(paid));
  failure = refusal(&Orders::CapturePayment, capture(paid, 1));
  EXPECT_EQ(failure.reason, "PAYMENT_NOT_CAPTURABLE");
  EXPECT_EQ(failure.metadata.at("status"), "CAPTURED");
  EXPECT_EQ(failure.metadata.at("max_capturable_minor"), "0");
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, AnExpiredAuthorizationCannotBeCaptured) {
  const Paid known = authorized(5000);
  ledger().expire(known.reference);
  call(&Orders::SyncPayments, sync(known));
  EXPECT_EQ(payment(known).status(), pb::PAYMENT_STATUS_EXPIRED);
  EXPECT_EQ(refusal(&Orders::CapturePayment, capture(known)).reason, "AUTHORIZATION_EXPIRED");

  // It has run out, and only the gateway knows.
  const Paid unknown = authorized(5000);
  ledger().expire(unknown.reference);
  const auto response = call(&Orders::CapturePayment, capture(unknown));
  EXPECT_EQ(response.transaction().status(), kFailed);
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_EXPIRED);
  expect_books_agree(unknown);
}

TEST_P(PaymentCallsTest, TheStateOfTheOrderDecides) {
  const Paid paid = authorized(5000);
  move(paid.order_id, "fraud");
  EXPECT_EQ(refusal(&Orders::CapturePayment, capture(paid)).reason, "CAPTURE_NOT_ALLOWED");
  move(paid.order_id, "processing");
  call(&Orders::CapturePayment, capture(paid, 2000));
  // Money is open.
  pb::UpdateOrderStatusRequest cancel;
  cancel.set_order_id(paid.order_id);
  cancel.set_state_id("canceled");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, cancel).reason, "CANCEL_REQUIRED");
  // Giving back is always allowed.
  move(paid.order_id, "fraud");
  call(&Orders::RefundPayment, refund(paid));
  call(&Orders::VoidPayment, void_rest(paid));
  expect_books_agree(paid);
  call(&Orders::UpdateOrderStatus, cancel);
}

TEST_P(PaymentCallsTest, RefundInPartsThatSumExactly) {
  const Paid paid = captured(5000);
  auto response = call(&Orders::RefundPayment, refund(paid, 1999));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_EQ(payment_of(response.order()).refundable().amount_minor(), 3001);
  expect_books_agree(paid);
  const Failure failure = refusal(&Orders::RefundPayment, refund(paid, 3002));
  EXPECT_EQ(failure.reason, "AMOUNT_TOO_LARGE");
  EXPECT_EQ(failure.metadata.at("max_refundable_minor"), "3001");
  call(&Orders::RefundPayment, refund(paid, 2001));
  response = call(&Orders::RefundPayment, refund(paid));
  EXPECT_THAT(response.transaction(), IsTransaction(kRefund, kSucceeded, 1000));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_REFUNDED);
  EXPECT_THAT(payment_of(response.order()), HasMoney(5000, 5000, 5000, 0));
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 5000),
                                         IsTransaction(kRefund, kSucceeded, 1999),
                                         IsTransaction(kRefund, kSucceeded, 2001),
                                         IsTransaction(kRefund, kSucceeded, 1000)));
  expect_books_agree(paid);
  const Failure nothing = refusal(&Orders::RefundPayment, refund(paid));
  EXPECT_EQ(nothing.reason, "PAYMENT_NOT_REFUNDABLE");
  EXPECT_EQ(nothing.metadata.at("max_refundable_minor"), "0");
}

TEST_P(PaymentCallsTest, ARefundMayFailLater) {
  const Paid paid = captured(5000);
  sandbox_->add_fault(Operation::kRefund, {.kind = FaultKind::kPendingRefund});
  const auto response = call(&Orders::RefundPayment, refund(paid, 2000));
  EXPECT_EQ(response.transaction().status(), kPending);
  EXPECT_EQ(payment_of(response.order()).refundable().amount_minor(), 3000);
  ledger().settle_refund(response.transaction().gateway_transaction_id(), "ACCOUNT_CLOSED");
  const auto synced = call(&Orders::SyncPayments, sync(paid));
  ASSERT_EQ(synced.differences_size(), 1);
  EXPECT_THAT(synced.differences(0).transactions(),
              ElementsAre(IsTransaction(kRefund, kFailed, 2000)));
  EXPECT_TRUE(payment_of(synced.order()).attention());
  EXPECT_EQ(payment_of(synced.order()).refundable().amount_minor(), 5000);
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, Void) {
  const Paid whole = authorized(5000);
  auto response = call(&Orders::VoidPayment, void_rest(whole));
  EXPECT_THAT(response.transaction(), IsTransaction(kVoid, kSucceeded, 5000));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_VOIDED);
  expect_books_agree(whole);
  EXPECT_EQ(refusal(&Orders::VoidPayment, void_rest(whole)).reason, "PAYMENT_NOT_VOIDABLE");

  const Paid rest = authorized(5000);
  call(&Orders::CapturePayment, capture(rest, 2000));
  response = call(&Orders::VoidPayment, void_rest(rest));
  EXPECT_THAT(payment_of(response.order()), HasMoney(5000, 2000, 0, 3000));
  expect_books_agree(rest);

  auto capabilities = payments::all_capabilities();
  capabilities.set_void_after_capture(false);
  const Paid kept = authorized(5000, capabilities);
  call(&Orders::CapturePayment, capture(kept, 2000));
  EXPECT_EQ(refusal(&Orders::VoidPayment, void_rest(kept)).reason,
            "VOID_AFTER_CAPTURE_NOT_SUPPORTED");
}

TEST_P(PaymentCallsTest, AnOpenPaymentIsClosedByAVoid) {
  const auto reference = ledger().open({.currency_code = "EUR", .amount_minor = 5000});
  const Paid paid = attach(create(new_order()).order_id(), new_payment(reference.value()));
  const auto response = call(&Orders::VoidPayment, void_rest(paid));
  EXPECT_THAT(response.transaction(), IsTransaction(kVoid, kSucceeded, 0));
  EXPECT_EQ(payment_of(response.order()).status(), pb::PAYMENT_STATUS_VOIDED);
  EXPECT_EQ(ledger().pay(reference.value()).reason, "NOT_OPEN");
}

TEST_P(PaymentCallsTest, AnUnsyncedPaymentIsSyncedFirst) {
  const Paid paid = attach(create(new_order()).order_id(), new_payment(authorize(5000)));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_FALSE(payment(paid).has_authorized());
  auto request = capture(paid, 2000);
  request.set_etag(get(paid.order_id).etag());
  const auto response = call(&Orders::CapturePayment, request);
  EXPECT_EQ(response.transaction().status(), kSucceeded);
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 2000)));
  expect_books_agree(paid);

  // The gateway is away: nothing is written.
  const Paid other = attach(create(new_order()).order_id(), new_payment(authorize(5000)));
  sandbox_->add_fault(Operation::kFetch, {.kind = FaultKind::kNotExecuted});
  const std::string before = content();
  const Failure failure = refusal(&Orders::CapturePayment, capture(other));
  EXPECT_EQ(failure.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "GATEWAY_UNAVAILABLE");
  EXPECT_TRUE(failure.has_retry);
  EXPECT_EQ(content(), before);
}

TEST_P(PaymentCallsTest, ARefusalOfTheGatewayIsAnAnswer) {
  const Paid paid = authorized(5000);
  sandbox_->add_fault(Operation::kCapture, {.kind = FaultKind::kRefuse, .reason = "CARD_DECLINED"});
  auto request = capture(paid);
  request.set_request_id(new_request_id());
  const auto response = call(&Orders::CapturePayment, request);
  EXPECT_THAT(response.transaction(), IsTransaction(kCapture, kFailed, 5000));
  EXPECT_EQ(response.transaction().reason(), "CARD_DECLINED");
  EXPECT_EQ(payment_of(response.order()).capturable().amount_minor(), 5000);
  expect_books_agree(paid);
  // A retry is the same attempt; a new try is a new request.
  EXPECT_EQ(call(&Orders::CapturePayment, request).transaction().status(), kFailed);
  request.set_request_id(new_request_id());
  EXPECT_EQ(call(&Orders::CapturePayment, request).transaction().status(), kSucceeded);
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, ReplayNeverCallsTheGateway) {
  const Paid paid = authorized(5000);
  auto request = capture(paid, 2000);
  request.set_request_id(new_request_id());
  const auto first = call(&Orders::CapturePayment, request);
  const auto again = call(&Orders::CapturePayment, request);
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.transaction().ShortDebugString(), first.transaction().ShortDebugString());
  EXPECT_EQ(payment(paid).captured().amount_minor(), 2000);
  EXPECT_EQ(ledger().read(paid.reference)->captured(), 2000);

  request.mutable_amount()->set_amount_minor(2001);
  EXPECT_EQ(refusal(&Orders::CapturePayment, request).reason, "REQUEST_ID_REUSED");
  auto refund = this->refund(paid, 500);
  refund.set_request_id(new_request_id());
  const auto refunded = call(&Orders::RefundPayment, refund);
  EXPECT_EQ(call(&Orders::RefundPayment, refund).transaction().transaction_id(),
            refunded.transaction().transaction_id());
  auto release = void_rest(paid);
  release.set_request_id(new_request_id());
  call(&Orders::VoidPayment, release);
  EXPECT_TRUE(call(&Orders::VoidPayment, release).replayed());
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, AReplayWhileTheFirstCallRunsSaysUnknown) {
  const Paid paid = authorized(5000);
  auto request = capture(paid);
  request.set_request_id(new_request_id());
  hold(Operation::kCapture);
  auto first = call_async(&Orders::CapturePayment, request);
  wait_until_held();
  const auto meanwhile = call(&Orders::CapturePayment, request);
  EXPECT_TRUE(meanwhile.replayed());
  EXPECT_EQ(meanwhile.transaction().status(), kUnknown);
  EXPECT_EQ(payment_of(meanwhile.order()).capturable().amount_minor(), 0);
  EXPECT_THAT(payment_of(meanwhile.order()).open_transactions(),
              ElementsAre(IsTransaction(kCapture, kUnknown, 5000)));
  sandbox_->clear_faults();
  const auto response = first.get();
  EXPECT_FALSE(response.replayed());
  EXPECT_EQ(response.transaction().status(), kSucceeded);
  EXPECT_EQ(response.transaction().transaction_id(), meanwhile.transaction().transaction_id());
  EXPECT_EQ(call(&Orders::CapturePayment, request).transaction().status(), kSucceeded);
  EXPECT_EQ(ledger().read(paid.reference)->captured(), 5000);
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, AnAnswerBeforeTheGatewaysIsHonest) {
  const Paid paid = authorized(5000);
  hold(Operation::kCapture);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(4));
  pb::CapturePaymentResponse response;
  const grpc::Status status = orders_->CapturePayment(&context, capture(paid), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.changed());
  EXPECT_THAT(response.transaction(), IsTransaction(kCapture, kUnknown, 5000));
  EXPECT_EQ(payment_of(response.order()).captured().amount_minor(), 0);
  // The call to the gateway has gone on, and its answer is written.
  sandbox_->clear_faults();
  while (payment(paid).open_transactions_size() > 0) std::this_thread::yield();
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, WhatRunsWhenTheServerGoesIsWritten) {
  const Paid paid = authorized(5000);
  hold(Operation::kCapture);
  pb::CapturePaymentResponse response;
  auto capturing = std::async(
      std::launch::async, [&] { return send(&Orders::CapturePayment, capture(paid), response); });
  wait_until_held();
  std::thread going([&] { server_->shutdown(std::chrono::milliseconds(0)); });
  // Its caller hears what is known when the server goes.
  EXPECT_TRUE(capturing.get().ok());
  EXPECT_EQ(response.transaction().status(), pb::TRANSACTION_STATUS_UNKNOWN);
  sandbox_->clear_faults();
  going.join();
  stop();
  start();
  EXPECT_EQ(payment(paid).captured().amount_minor(), 5000);
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, WhatWaitsForAGatewayWhenTheServerGoesIsNotSentAnyMore) {
  constexpr int kThreads = payments::Accounts::Limits{}.threads;
  std::vector<Paid> all;
  for (int i = 0; i <= kThreads; ++i) all.push_back(authorized(5000));
  hold(Operation::kCapture);
  std::vector<std::future<grpc::Status>> captures;
  for (int i = 0; i <= kThreads; ++i) {
    captures.push_back(std::async(std::launch::async, [&, i] {
      pb::CapturePaymentResponse response;
      return send(&Orders::CapturePayment, capture(all[static_cast<std::size_t>(i)]), response);
    }));
    if (i < kThreads) wait_until_held(i + 1);
  }
  while (payment(all.back()).open_transactions_size() == 0) std::this_thread::yield();
  std::thread going([&] { server_->shutdown(std::chrono::milliseconds(0)); });
  captures.back().wait();
  sandbox_->clear_faults();
  going.join();
  for (auto& capturing : captures) capturing.wait();
  stop();
  start();
  for (const Paid& paid : all) {
    const bool waited = &paid == &all.back();
    EXPECT_EQ(payment(paid).captured().amount_minor(), waited ? 0 : 5000);
    EXPECT_EQ(payment(paid).open_transactions_size(), waited ? 1 : 0);
  }
}

TEST_P(PaymentCallsTest, OneOperationAtATimeWhereTheGatewayWantsIt) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_concurrent_operations(false);
  const Paid paid = authorized(5000, capabilities);
  hold(Operation::kCapture);
  auto first = call_async(&Orders::CapturePayment, capture(paid, 2000));
  wait_until_held();
  const Failure failure = refusal(&Orders::CapturePayment, capture(paid, 1000));
  EXPECT_EQ(failure.code, grpc::StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "PAYMENT_BUSY");
  EXPECT_TRUE(failure.has_retry);
  sandbox_->clear_faults();
  first.get();
  call(&Orders::CapturePayment, capture(paid, 1000));
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, ValidateOnlyWritesNothing) {
  const Paid unsynced = attach(create(new_order()).order_id(), new_payment(authorize(700)));
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  const std::string before = content();
  const auto at_gateway = [&] { return ledger().read(paid.reference)->movements.size(); };
  const std::size_t movements = at_gateway();

  auto capture = this->capture(paid, 1000);
  capture.set_request_id(new_request_id());
  capture.set_validate_only(true);
  const auto captured = call(&Orders::CapturePayment, capture);
  EXPECT_TRUE(captured.changed());
  EXPECT_THAT(captured.transaction(), IsTransaction(kCapture, kUnknown, 1000));
  EXPECT_EQ(captured.transaction().transaction_id(), "");
  EXPECT_EQ(captured.etag(), get(paid.order_id).etag());
  capture.mutable_amount()->set_amount_minor(3001);
  EXPECT_EQ(refusal(&Orders::CapturePayment, capture).reason, "AMOUNT_TOO_LARGE");
  auto first_touch = this->capture(unsynced);
  first_touch.set_validate_only(true);
  EXPECT_THAT(call(&Orders::CapturePayment, first_touch).transaction(),
              IsTransaction(kCapture, kUnknown, 700));

  auto release = void_rest(paid);
  release.set_validate_only(true);
  EXPECT_THAT(call(&Orders::VoidPayment, release).transaction(),
              IsTransaction(kVoid, kUnknown, 3000));
  auto refund = this->refund(paid);
  refund.set_validate_only(true);
  EXPECT_THAT(call(&Orders::RefundPayment, refund).transaction(),
              IsTransaction(kRefund, kUnknown, 2000));
  EXPECT_EQ(content(), before);
  EXPECT_EQ(at_gateway(), movements);

  // Its id was not used up.
  capture.set_validate_only(false);
  capture.mutable_amount()->set_amount_minor(1000);
  EXPECT_FALSE(call(&Orders::CapturePayment, capture).replayed());
  expect_books_agree(paid);
}

TEST_P(PaymentCallsTest, EtagsAndUnknownThings) {
  const Paid paid = authorized(5000);
  auto request = capture(paid);
  request.set_etag("1");
  const Failure failure = refusal(&Orders::CapturePayment, request);
  EXPECT_EQ(failure.reason, "ETAG_MISMATCH");
  EXPECT_EQ(failure.metadata.at("current_etag"), get(paid.order_id).etag());
  request = capture({kUnknownId, paid.payment_id, {}});
  EXPECT_EQ(refusal(&Orders::CapturePayment, request).reason, "ORDER_NOT_FOUND");
  request = capture({paid.order_id, kUnknownId, {}});
  EXPECT_EQ(refusal(&Orders::CapturePayment, request).reason, "PAYMENT_NOT_FOUND");
  request = capture(paid, 100);
  request.mutable_amount()->set_currency_code("USD");
  EXPECT_EQ(refusal(&Orders::CapturePayment, request).reason, "CURRENCY_MISMATCH");
  for (const std::int64_t amount : {0, -1}) {
    EXPECT_THAT(refusal(&Orders::CapturePayment, capture(paid, amount)).fields,
                ElementsAre("amount.amount_minor"));
    EXPECT_THAT(refusal(&Orders::RefundPayment, refund(paid, amount)).fields,
                ElementsAre("amount.amount_minor"));
  }
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000)));
}

TEST_P(PaymentCallsTest, AvailableActions) {
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  pb::Order order = get(paid.order_id);
  const auto expect = [&](pb::ActionKind kind, std::int64_t max) {
    const auto action = payment_action(order, kind);
    EXPECT_EQ(action.payment_id(), paid.payment_id);
    EXPECT_EQ(action.allowed(), max > 0) << action.ShortDebugString();
    EXPECT_EQ(action.max_amount().amount_minor(), max);
    return action.reason();
  };
  expect(pb::ACTION_KIND_CAPTURE, 3000);
  expect(pb::ACTION_KIND_VOID, 3000);
  expect(pb::ACTION_KIND_REFUND, 2000);
  order = move(paid.order_id, "fraud").order();
  EXPECT_EQ(expect(pb::ACTION_KIND_CAPTURE, 0), "CAPTURE_NOT_ALLOWED");
  expect(pb::ACTION_KIND_REFUND, 2000);
  call(&Orders::RefundPayment, refund(paid));
  call(&Orders::VoidPayment, void_rest(paid));
  order = move(paid.order_id, "processing").order();
  EXPECT_EQ(expect(pb::ACTION_KIND_CAPTURE, 0), "PAYMENT_NOT_CAPTURABLE");
  EXPECT_EQ(expect(pb::ACTION_KIND_VOID, 0), "PAYMENT_NOT_VOIDABLE");
  EXPECT_EQ(expect(pb::ACTION_KIND_REFUND, 0), "PAYMENT_NOT_REFUNDABLE");
}

}  // namespace
}  // namespace orderd::test
