#include "tests/rpc/payments_fixture.h"

// How orders get payments, what syncs find, and the lists of what happened and of what is open.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PaymentSyncTest : public PaymentsRpcTest {
 protected:
  /// Money of the account "external".
  static pb::NewPayment cash(const std::string& reference, std::int64_t captured_minor) {
    pb::NewPayment payment = new_payment(reference, "external");
    *payment.mutable_captured() = eur(captured_minor);
    return payment;
  }
  static pb::ResolveTransactionRequest resolve(const Paid& paid, const std::string& transaction_id,
                                               pb::TransactionStatus status) {
    pb::ResolveTransactionRequest request;
    request.set_order_id(paid.order_id);
    request.set_transaction_id(transaction_id);
    request.set_status(status);
    request.set_reason("asked the bank");
    return request;
  }
  std::vector<pb::UnresolvedPayment> unresolved(const std::string& account = "") {
    pb::ListUnresolvedTransactionsRequest request;
    request.set_gateway_account(account);
    const auto listed = call(&Orders::ListUnresolvedTransactions, request);
    return {listed.payments().begin(), listed.payments().end()};
  }
};
ORDERD_ON_BOTH_DATABASES(PaymentSyncTest);

TEST_P(PaymentSyncTest, AddPayment) {
  const std::string order_id = create(new_order()).order_id();
  pb::AddPaymentRequest request;
  request.set_order_id(order_id);
  request.set_request_id(new_request_id());
  *request.mutable_payment() = new_payment(" " + authorize(5000) + " ");
  request.mutable_payment()->set_description("credit card");
  const auto added = call(&Orders::AddPayment, request);
  EXPECT_TRUE(added.changed());
  EXPECT_EQ(added.payment().status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(added.payment().description(), "credit card");
  EXPECT_FALSE(added.payment().has_authorized());
  EXPECT_EQ(added.payment().ShortDebugString(), payment_of(get(order_id)).ShortDebugString());

  auto again = call(&Orders::AddPayment, request);
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.payment().payment_id(), added.payment().payment_id());
  request.set_request_id("");
  request.set_order_id(create(new_order()).order_id());
  const Failure failure = refusal(&Orders::AddPayment, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(failure.reason, "PAYMENT_REFERENCE_IN_USE");
  EXPECT_EQ(failure.metadata.at("order_id"), order_id);
  *request.mutable_payment() = new_payment("p", "nowhere");
  EXPECT_EQ(refusal(&Orders::AddPayment, request).reason, "GATEWAY_NOT_CONFIGURED");
  request.mutable_payment()->clear_gateway_account();
  request.mutable_payment()->set_gateway_reference("a\nb");
  EXPECT_THAT(refusal(&Orders::AddPayment, request).fields,
              ElementsAre("payment.gateway_account", "payment.gateway_reference"));
  *request.mutable_payment() = new_payment("p");
  *request.mutable_payment()->mutable_captured() = eur(1);
  EXPECT_EQ(refusal(&Orders::AddPayment, request).reason, "INVALID_REQUEST");
  *request.mutable_payment() = cash("c", 5);
  request.mutable_payment()->mutable_captured()->set_currency_code("USD");
  EXPECT_EQ(refusal(&Orders::AddPayment, request).reason, "CURRENCY_MISMATCH");
  // A payment that the order itself had is not lost on the way through the database.
  stop();
  start();
  EXPECT_EQ(payment_of(get(order_id)).ShortDebugString(), added.payment().ShortDebugString());
}

TEST_P(PaymentSyncTest, CreateOrderWithPayments) {
  pb::CreateOrderRequest request;
  *request.mutable_order() = new_order();
  const std::string reference = authorize(2000);
  *request.mutable_order()->add_payments() = new_payment(reference);
  *request.mutable_order()->add_payments() = cash("voucher-1", 500);
  const auto created = call(&Orders::CreateOrder, request);
  ASSERT_EQ(created.order().payments_size(), 2);
  EXPECT_EQ(payment_of(created.order(), 0).status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(payment_of(created.order(), 1).status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(payment_of(created.order(), 1), HasMoney(500, 500, 0, 0));
  const Paid paid{created.order().order_id(), payment_of(created.order()).payment_id(), reference};
  const Paid voucher{paid.order_id, payment_of(created.order(), 1).payment_id(), "voucher-1"};
  EXPECT_THAT(history(voucher), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 500),
                                            IsTransaction(kCapture, kSucceeded, 500)));
  call(&Orders::CapturePayment, capture(paid));
  expect_books_agree(paid);

  // Each reference once, also within the order, and all or nothing.
  request.mutable_order()->clear_payments();
  *request.mutable_order()->add_payments() = cash("voucher-2", 500);
  *request.mutable_order()->add_payments() = cash("voucher-1", 500);
  const Failure failure = refusal(&Orders::CreateOrder, request);
  EXPECT_EQ(failure.reason, "PAYMENT_REFERENCE_IN_USE");
  EXPECT_EQ(failure.metadata.at("order_id"), paid.order_id);
  *request.mutable_order()->mutable_payments(1) = cash("voucher-2", 500);
  EXPECT_EQ(refusal(&Orders::CreateOrder, request).code, grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_order()->mutable_payments()->RemoveLast();
  call(&Orders::CreateOrder, request);
}

TEST_P(PaymentSyncTest, WhatHappensAtTheGatewayAppearsOnce) {
  const Paid paid = authorized(5000);
  ledger().move_from_dashboard(paid.reference, payments::MoneyOperation::kCapture, 3000);
  ledger().move_from_dashboard(paid.reference, payments::MoneyOperation::kRefund, 1000);
  auto request = sync(paid);
  request.set_validate_only(true);
  const std::string before = content();
  const auto would = call(&Orders::SyncPayments, request);
  EXPECT_TRUE(would.changed());
  ASSERT_EQ(would.differences_size(), 1);
  EXPECT_EQ(would.differences(0).transactions_size(), 2);
  EXPECT_EQ(content(), before);

  request.set_validate_only(false);
  request.set_request_id(new_request_id());
  const auto synced = call(&Orders::SyncPayments, request);
  EXPECT_TRUE(synced.changed());
  ASSERT_EQ(synced.differences_size(), 1);
  const auto& difference = synced.differences(0);
  EXPECT_EQ(difference.payment_id(), paid.payment_id);
  EXPECT_EQ(difference.before_status(), pb::PAYMENT_STATUS_AUTHORIZED);
  EXPECT_EQ(difference.after_status(), pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  EXPECT_THAT(difference.transactions(), ElementsAre(IsTransaction(kCapture, kSucceeded, 3000),
                                                     IsTransaction(kRefund, kSucceeded, 1000)));
  const auto movements = ledger().read(paid.reference)->movements;
  for (int i : {0, 1}) {
    const auto& transaction = difference.transactions(i);
    const auto& movement = movements.at(static_cast<std::size_t>(i + 1));
    EXPECT_TRUE(transaction.foreign());
    EXPECT_EQ(transaction.actor(), "");
    EXPECT_EQ(transaction.gateway_transaction_id(), movement.gateway_transaction_id);
    EXPECT_EQ(transaction.complete_time().seconds(), movement.time / 1'000'000);
  }
  expect_books_agree(paid);
  const auto again = call(&Orders::SyncPayments, request);
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.differences_size(), 1);

  const std::string after = content();
  const auto second = call(&Orders::SyncPayments, sync(paid));
  EXPECT_FALSE(second.changed());
  EXPECT_THAT(second.differences(), IsEmpty());
  EXPECT_EQ(content(), after);
  EXPECT_EQ(history(paid).size(), 3u);
  // The order's own calls go on from there.
  EXPECT_EQ(refusal(&Orders::RefundPayment, refund(paid, 2001)).metadata.at("max_refundable_minor"),
            "2000");
  call(&Orders::CapturePayment, capture(paid));
  expect_books_agree(paid);
}

TEST_P(PaymentSyncTest, AGatewayThatIsDownChangesNothing) {
  const Paid paid = authorized(5000);
  const Paid other = attach(paid.order_id, new_payment(authorize(700)));
  const std::string before = content();
  sandbox_->add_fault(Operation::kFetch, {.kind = FaultKind::kServerError});
  Failure failure = refusal(&Orders::SyncPayments, sync({paid.order_id, "", ""}));
  EXPECT_EQ(failure.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "GATEWAY_UNAVAILABLE");
  EXPECT_TRUE(failure.has_retry);
  EXPECT_EQ(content(), before);
  // All payments of the order at once.
  const auto synced = call(&Orders::SyncPayments, sync({paid.order_id, "", ""}));
  ASSERT_EQ(synced.differences_size(), 1);
  EXPECT_EQ(synced.differences(0).payment_id(), other.payment_id);
  EXPECT_EQ(synced.differences(0).before_status(), pb::PAYMENT_STATUS_UNSYNCED);

  failure =
      refusal(&Orders::SyncPayments, sync(attach(paid.order_id, new_payment("no-such-payment"))));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "GATEWAY_PAYMENT_NOT_FOUND");
  const auto dollars = ledger().authorize({.currency_code = "USD", .amount_minor = 1});
  failure = refusal(&Orders::SyncPayments,
                    sync(attach(paid.order_id, new_payment(dollars.value_or("")))));
  EXPECT_EQ(failure.reason, "GATEWAY_PAYMENT_UNUSABLE");
  EXPECT_EQ(refusal(&Orders::SyncPayments, sync({paid.order_id, kUnknownId, ""})).reason,
            "PAYMENT_NOT_FOUND");
  EXPECT_EQ(refusal(&Orders::SyncPayments, sync({kUnknownId, "", ""})).reason, "ORDER_NOT_FOUND");
}

TEST_P(PaymentSyncTest, ASyncSettlesOurOwnAttempts) {
  const Paid paid = authorized(5000);
  sandbox_->add_fault(Operation::kCapture, {.kind = FaultKind::kDropAnswer});
  auto request = capture(paid, 2000);
  request.set_request_id(new_request_id());
  const auto response = call(&Orders::CapturePayment, request);
  EXPECT_EQ(response.transaction().status(), kUnknown);
  const auto open = unresolved();
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].order_id(), paid.order_id);
  EXPECT_EQ(open[0].order_number(), get(paid.order_id).order_number());
  EXPECT_THAT(open[0].payment().open_transactions(),
              ElementsAre(IsTransaction(kCapture, kUnknown, 2000)));
  EXPECT_TRUE(open[0].has_since_time());
  EXPECT_TRUE(open[0].has_next_check_time());

  const auto synced = call(&Orders::SyncPayments, sync(paid));
  ASSERT_EQ(synced.differences_size(), 1);
  EXPECT_THAT(synced.differences(0).transactions(),
              ElementsAre(IsTransaction(kCapture, kSucceeded, 2000)));
  EXPECT_FALSE(synced.differences(0).transactions(0).foreign());
  EXPECT_EQ(synced.differences(0).transactions(0).transaction_id(),
            response.transaction().transaction_id());
  EXPECT_THAT(unresolved(), IsEmpty());
  EXPECT_EQ(call(&Orders::CapturePayment, request).transaction().status(), kSucceeded);
  expect_books_agree(paid);
}

TEST_P(PaymentSyncTest, AReadingFromBeforeACaptureDoesNotCountTwice) {
  const Paid paid = authorized(5000);
  hold(Operation::kFetch);
  auto syncing = call_async(&Orders::SyncPayments, sync(paid));
  wait_until_held();
  call(&Orders::CapturePayment, capture(paid, 2000));
  sandbox_->clear_faults();
  EXPECT_FALSE(syncing.get().changed());
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 2000)));
  expect_books_agree(paid);
}

TEST_P(PaymentSyncTest, ListTransactionsPages) {
  const Paid paid = captured(5000);
  const Paid other = attach(paid.order_id, cash("voucher", 500));
  for (int i = 0; i < 5; ++i) call(&Orders::RefundPayment, refund(paid, 100 + i));
  pb::ListTransactionsRequest request;
  request.set_order_id(paid.order_id);
  EXPECT_EQ(call(&Orders::ListTransactions, request).transactions_size(), 9);
  request.set_payment_id(paid.payment_id);
  request.set_page_size(3);
  std::vector<std::string> seen;
  std::vector<int> pages;
  do {
    const auto page = call(&Orders::ListTransactions, request);
    pages.push_back(page.transactions_size());
    for (const auto& transaction : page.transactions()) {
      EXPECT_EQ(transaction.payment_id(), paid.payment_id);
      seen.push_back(transaction.transaction_id());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && pages.size() < 10);
  EXPECT_THAT(pages, ElementsAre(3, 3, 1));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());

  request.set_page_token("");
  const std::string token = call(&Orders::ListTransactions, request).next_page_token();
  request.set_page_token(token);
  request.set_payment_id(other.payment_id);
  EXPECT_EQ(refusal(&Orders::ListTransactions, request).reason, "PAGE_TOKEN_INVALID");
  request.set_page_token("");
  request.set_payment_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::ListTransactions, request).reason, "PAYMENT_NOT_FOUND");
  request.set_order_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::ListTransactions, request).reason, "ORDER_NOT_FOUND");
  request.set_order_id("");
  request.set_page_size(-1);
  EXPECT_THAT(refusal(&Orders::ListTransactions, request).fields,
              ElementsAre("order_id", "page_size"));
}

TEST_P(PaymentSyncTest, ListUnresolvedTransactionsPages) {
  // Two of one order, two of others; one of another account.
  sandbox_->add_fault(Operation::kCapture, {.kind = FaultKind::kDropAnswer, .times = std::nullopt});
  std::vector<std::string> expected;
  std::string order_id;
  for (int i = 0; i < 4; ++i) {
    const Paid paid = i == 1 ? attach(order_id, new_payment(authorize(5000))) : authorized(5000);
    order_id = paid.order_id;
    call(&Orders::CapturePayment, capture(paid));
    expected.push_back(paid.payment_id);
  }
  const Paid voucher = attach(order_id, cash("voucher", 500));
  call(&Orders::RefundPayment, refund(voucher));

  pb::ListUnresolvedTransactionsRequest request;
  request.set_page_size(2);
  std::vector<std::string> seen;
  int pages = 0;
  do {
    const auto page = call(&Orders::ListUnresolvedTransactions, request);
    EXPECT_LE(page.payments_size(), 2);
    for (const auto& payment : page.payments()) {
      seen.push_back(payment.payment().payment_id());
      EXPECT_EQ(payment.payment().open_transactions_size(), 1);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && ++pages < 10);
  EXPECT_EQ(unresolved("shop").size(), 4u);
  expected.push_back(voucher.payment_id);
  EXPECT_EQ(seen, expected);

  request.set_page_token("");
  request.set_page_token(call(&Orders::ListUnresolvedTransactions, request).next_page_token());
  request.set_gateway_account("shop");
  EXPECT_EQ(refusal(&Orders::ListUnresolvedTransactions, request).reason, "PAGE_TOKEN_INVALID");
  EXPECT_THAT(unresolved("nowhere"), IsEmpty());
  const auto manual = unresolved("external");
  ASSERT_EQ(manual.size(), 1u);
  EXPECT_FALSE(manual[0].has_next_check_time());
}

TEST_P(PaymentSyncTest, SomebodyConfirmsARefundByHand) {
  const Paid paid = attach(create(new_order()).order_id(), cash("voucher", 500));
  auto refunded = call(&Orders::RefundPayment, refund(paid, 200));
  EXPECT_THAT(refunded.transaction(), IsTransaction(kRefund, kPending, 200));
  EXPECT_EQ(refunded.transaction().reason(), "MANUAL");
  EXPECT_TRUE(payment_of(refunded.order()).attention());
  EXPECT_EQ(payment_of(refunded.order()).refundable().amount_minor(), 300);

  auto request = resolve(paid, refunded.transaction().transaction_id(), kSucceeded);
  request.set_request_id(new_request_id());
  const auto resolved = call(&Orders::ResolveTransaction, request);
  EXPECT_TRUE(resolved.changed());
  EXPECT_THAT(resolved.transaction(), IsTransaction(kRefund, kSucceeded, 200));
  EXPECT_THAT(payment_of(resolved.order()), HasMoney(500, 500, 200, 0));
  EXPECT_FALSE(payment_of(resolved.order()).attention());
  EXPECT_THAT(unresolved(), IsEmpty());
  EXPECT_EQ(events(paid).back().payment_changed().reason(), "asked the bank");
  EXPECT_TRUE(call(&Orders::ResolveTransaction, request).replayed());
  request.set_request_id("");
  EXPECT_FALSE(call(&Orders::ResolveTransaction, request).changed());
  request.set_status(kFailed);
  EXPECT_EQ(refusal(&Orders::ResolveTransaction, request).reason, "TRANSACTION_FINAL");
  request.set_transaction_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::ResolveTransaction, request).reason, "TRANSACTION_NOT_FOUND");
  request.set_status(kPending);
  request.set_reason("");
  EXPECT_THAT(refusal(&Orders::ResolveTransaction, request).fields,
              ElementsAre("status", "reason"));

  // The other ways: it was not done after all, or it has been done already.
  refunded = call(&Orders::RefundPayment, refund(paid, 200));
  call(&Orders::ResolveTransaction,
       resolve(paid, refunded.transaction().transaction_id(), kFailed));
  EXPECT_EQ(payment(paid).refundable().amount_minor(), 300);
  auto confirmed = refund(paid);
  confirmed.set_confirm_external(true);
  EXPECT_THAT(call(&Orders::RefundPayment, confirmed).transaction(),
              IsTransaction(kRefund, kSucceeded, 300));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_REFUNDED);
  auto not_external = refund(captured(100));
  not_external.set_confirm_external(true);
  EXPECT_EQ(refusal(&Orders::RefundPayment, not_external).reason, "CONFIRM_EXTERNAL_NOT_ALLOWED");
}

TEST_P(PaymentSyncTest, WhatTheGatewayCanTellNobodyDecides) {
  const Paid paid = authorized(5000);
  sandbox_->add_fault(Operation::kCapture, {.kind = FaultKind::kDropAnswer});
  const auto response = call(&Orders::CapturePayment, capture(paid));
  const Failure failure = refusal(&Orders::ResolveTransaction,
                                  resolve(paid, response.transaction().transaction_id(), kFailed));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "GATEWAY_CAN_TELL");
  call(&Orders::SyncPayments, sync(paid));
  expect_books_agree(paid);
}

}  // namespace
}  // namespace orderd::test
