#include "tests/rpc/cancellation_fixture.h"
#include "tests/rpc/shipments_fixture.h"

// What becomes of an order that is canceled, and of its money, as the caller sees it.

namespace orderd::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class CancelOrderTest : public CancellationRpcTest {
 protected:
  /// An order whose every line has this delivery state.
  static std::vector<std::string> delivery_states(const pb::Order& order) {
    std::vector<std::string> states;
    for (const auto& shipment : order.shipments()) {
      for (const auto& line : shipment.lines()) states.push_back(line.delivery_state_id());
    }
    return states;
  }
  /// That the order is canceled, and says so everywhere.
  void expect_canceled(const pb::CancelOrderResponse& response) {
    EXPECT_EQ(response.report().status(), kCompleted) << response.report().DebugString();
    EXPECT_FALSE(response.report().provisional());
    const pb::Order& order = response.order();
    EXPECT_EQ(order.ShortDebugString(), get(order.order_id()).ShortDebugString());
    EXPECT_EQ(order.state_id(), "canceled");
    EXPECT_EQ(order.cancellation().status(), kCompleted);
    EXPECT_EQ(order.cancellation().reason(), "changed their mind");
    EXPECT_TRUE(order.cancellation().has_complete_time());
    EXPECT_THAT(delivery_states(order), Each("canceled"));
    EXPECT_TRUE(response.changed());
    EXPECT_FALSE(response.replayed());
  }
  std::size_t movements(const Paid& paid) {
    return ledger().read(paid.reference)->movements.size();
  }
};
ORDERD_ON_BOTH_DATABASES(CancelOrderTest);

TEST_P(CancelOrderTest, WhatIsOnlyAuthorizedIsReleased) {
  const Paid paid = authorized(5000);
  auto request = cancellation(paid.order_id);
  request.set_request_id(new_request_id());
  const auto response = cancel(request);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(0, 5000, 0, 0));
  EXPECT_FALSE(response.report().notifies_customer());
  ASSERT_EQ(response.report().payments_size(), 1);
  const auto& part = response.report().payments(0);
  EXPECT_EQ(part.payment_id(), paid.payment_id);
  EXPECT_EQ(part.gateway_account(), "shop");
  EXPECT_THAT(part, HasSums(0, 5000, 0, 0));
  ASSERT_THAT(legs_of(response.report()), ElementsAre(IsTransaction(kVoid, kSucceeded, 5000)));
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kVoid, kSucceeded, 5000)));
  EXPECT_EQ(history(paid).back().transaction_id(), part.legs(0).transaction_id());
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_VOIDED);
  expect_books_agree(paid);
  EXPECT_THAT(emails(paid.order_id), IsEmpty());

  // The history tells it all.
  EXPECT_THAT(steps(paid.order_id), ElementsAre(kInProgress, kCompleted));
  const auto events = this->events(paid);
  const pb::OrderEvent* begun = nullptr;
  const pb::OrderEvent* moved = nullptr;
  for (const auto& event : events) {
    if (event.has_cancellation_changed() && begun == nullptr) begun = &event;
    if (event.has_state_changed()) moved = &event;
  }
  ASSERT_NE(begun, nullptr);
  EXPECT_EQ(begun->actor(), "local");
  EXPECT_EQ(begun->request_id(), request.request_id());
  EXPECT_EQ(begun->cancellation_changed().after().reason(), "changed their mind");
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->state_changed().before_state_id(), "new");
  EXPECT_EQ(moved->state_changed().after_state_id(), "canceled");

  // Canceled already.
  const auto again = cancel(paid.order_id);
  EXPECT_FALSE(again.changed());
  EXPECT_EQ(again.etag(), response.order().etag());
  EXPECT_EQ(again.report().ShortDebugString(), response.report().ShortDebugString());
  EXPECT_EQ(movements(paid), 2u);
}

TEST_P(CancelOrderTest, OfWhatIsPartlyCapturedTheRestIsReleased) {
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(2000, 3000, 0, 0));
  EXPECT_THAT(legs_of(response.report()), ElementsAre(IsTransaction(kVoid, kSucceeded, 3000),
                                                      IsTransaction(kRefund, kSucceeded, 2000)));
  EXPECT_THAT(payment(paid), HasMoney(5000, 2000, 2000, 3000));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, WhereNothingCanBeReleasedAfterACaptureOnlyTheCaptureGoesBack) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_multi_capture(false);
  const Paid paid = authorized(5000, capabilities);
  call(&Orders::CapturePayment, capture(paid, 2000, true));
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(2000, 0, 0, 0));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, WhatIsCapturedIsRefunded) {
  const Paid paid = captured(5000);
  call(&Orders::RefundPayment, refund(paid, 700));
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(legs_of(response.report()), ElementsAre(IsTransaction(kRefund, kSucceeded, 4300)));
  EXPECT_THAT(response.report(), HasSums(4300, 0, 0, 0));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_REFUNDED);
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, SeveralPaymentsOfDifferentAccounts) {
  const Paid shop = authorized(5000);
  call(&Orders::CapturePayment, capture(shop, 1000));
  const Paid unsynced = attach(shop.order_id, new_payment(authorize(300)));
  const Paid other = attach_other(shop.order_id, 700);
  call(&Orders::CapturePayment, capture(other));
  const auto response = cancel(shop.order_id);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(1700, 4300, 0, 0));
  ASSERT_EQ(response.report().payments_size(), 3);
  for (const auto& part : response.report().payments()) {
    if (part.payment_id() == shop.payment_id) {
      EXPECT_THAT(part, HasSums(1000, 4000, 0, 0));
    } else if (part.payment_id() == unsynced.payment_id) {
      EXPECT_THAT(part, HasSums(0, 300, 0, 0));
    } else {
      EXPECT_EQ(part.payment_id(), other.payment_id);
      EXPECT_EQ(part.gateway_account(), "other");
      EXPECT_THAT(part, HasSums(700, 0, 0, 0));
    }
  }
  expect_books_agree(shop);
  expect_books_agree(unsynced);
  EXPECT_EQ(other_->ledger().read(other.reference)->refunded(), 700);
}

TEST_P(CancelOrderTest, CashGoesBackByHand) {
  const Paid paid = attach(create(new_order()).order_id(), cash("voucher", 500));
  const auto response = cancel(paid.order_id);
  EXPECT_EQ(response.report().status(), kInProgress);
  EXPECT_EQ(response.order().state_id(), "new");
  const auto legs = legs_of(response.report());
  ASSERT_THAT(legs, ElementsAre(IsTransaction(kRefund, kPending, 500)));
  EXPECT_EQ(legs[0].reason(), "MANUAL");
  EXPECT_FALSE(legs[0].initiated());

  pb::ResolveTransactionRequest resolve;
  resolve.set_order_id(paid.order_id);
  resolve.set_transaction_id(legs[0].transaction_id());
  resolve.set_status(kSucceeded);
  resolve.set_reason("paid out at the desk");
  call(&Orders::ResolveTransaction, resolve);
  const pb::Order order = reconcile(paid.order_id);
  EXPECT_EQ(order.state_id(), "canceled");
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_REFUNDED);
  EXPECT_THAT(cancel(paid.order_id).report(), HasSums(500, 0, 0, 0));
}

TEST_P(CancelOrderTest, AnExpiredAuthorizationNeedsNothing) {
  const Paid known = authorized(5000);
  ledger().expire(known.reference);
  call(&Orders::SyncPayments, sync(known));
  const Paid unknown = authorized(5000);
  ledger().expire(unknown.reference);
  for (const Paid& paid : {known, unknown}) {
    const auto response = cancel(paid.order_id);
    expect_canceled(response);
    EXPECT_THAT(response.report(), HasSums(0, 0, 0, 0));
    EXPECT_THAT(legs_of(response.report()), IsEmpty());
    EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_EXPIRED);
    expect_books_agree(paid);
  }
}

TEST_P(CancelOrderTest, ACustomerCanPayNoMore) {
  const auto reference = ledger().open({.currency_code = "EUR", .amount_minor = 5000});
  const Paid paid = attach(create(new_order()).order_id(), new_payment(reference.value()));
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(legs_of(response.report()), ElementsAre(IsTransaction(kVoid, kSucceeded, 0)));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_VOIDED);
  EXPECT_EQ(ledger().pay(reference.value()).reason, "NOT_OPEN");
}

TEST_P(CancelOrderTest, WhatTheCustomerPaidMeanwhileIsReleased) {
  const auto reference = ledger().open({.currency_code = "EUR", .amount_minor = 5000});
  const Paid paid = attach(create(new_order()).order_id(), new_payment(reference.value()));
  call(&Orders::SyncPayments, sync(paid));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_OPEN);
  ledger().pay(reference.value());
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(0, 5000, 0, 0));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, WhatABankIsStillAtIsWaitedFor) {
  const auto reference = ledger().open({.currency_code = "EUR", .amount_minor = 5000});
  const Paid paid = attach(create(new_order()).order_id(), new_payment(reference.value()));
  ledger().start_processing(reference.value());
  const auto response = cancel_within(cancellation(paid.order_id), std::chrono::seconds(4));
  EXPECT_EQ(response.report().status(), kInProgress);
  ledger().pay(reference.value());
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_THAT(payment(paid), HasMoney(5000, 0, 0, 5000));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, ARefundThatIsPendingIsInitiated) {
  const Paid paid = captured(5000);
  fault(Operation::kRefund, FaultKind::kPendingRefund);
  const auto response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(0, 0, 5000, 0));
  const auto legs = legs_of(response.report());
  ASSERT_THAT(legs, ElementsAre(IsTransaction(kRefund, kPending, 5000)));
  EXPECT_TRUE(legs[0].initiated());

  ledger().settle_refund(payment(paid).open_transactions(0).gateway_transaction_id(), "");
  call(&Orders::SyncPayments, sync(paid));
  const auto later = cancel(paid.order_id);
  EXPECT_FALSE(later.changed());
  EXPECT_THAT(later.report(), HasSums(5000, 0, 0, 0));
  EXPECT_THAT(legs_of(later.report()), ElementsAre(IsTransaction(kRefund, kSucceeded, 5000)));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, ARefundThatFailsAfterwardsIsForSomebodyToLookAt) {
  const Paid paid = captured(5000);
  fault(Operation::kRefund, FaultKind::kPendingRefund, "", 1);
  expect_canceled(cancel(paid.order_id));
  ledger().settle_refund(payment(paid).open_transactions(0).gateway_transaction_id(),
                         "ACCOUNT_CLOSED");
  call(&Orders::SyncPayments, sync(paid));

  const pb::Order order = get(paid.order_id);
  EXPECT_EQ(order.state_id(), "canceled");
  EXPECT_EQ(order.cancellation().status(), kCompleted);
  EXPECT_TRUE(payment(paid).attention());
  const auto report = cancel(paid.order_id).report();
  EXPECT_THAT(legs_of(report), ElementsAre(IsTransaction(kRefund, kFailed, 5000)));
  EXPECT_EQ(legs_of(report)[0].reason(), "ACCOUNT_CLOSED");
  EXPECT_EQ(report.refunded().amount_minor(), 0);
  EXPECT_EQ(report.pending().amount_minor(), 0);
  const auto unresolved = call(&Orders::ListUnresolvedTransactions, {});
  ASSERT_EQ(unresolved.payments_size(), 1);
  EXPECT_EQ(unresolved.payments(0).payment().payment_id(), paid.payment_id);

  const auto refunded = call(&Orders::RefundPayment, refund(paid));
  EXPECT_THAT(refunded.transaction(), IsTransaction(kRefund, kSucceeded, 5000));
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, NothingToPayBack) {
  const std::string unpaid = create(new_order()).order_id();
  auto response = cancel(unpaid);
  expect_canceled(response);
  EXPECT_THAT(response.report(), HasSums(0, 0, 0, 0));
  EXPECT_THAT(response.report().payments(), IsEmpty());

  const Paid paid = captured(5000);
  call(&Orders::RefundPayment, refund(paid));
  response = cancel(paid.order_id);
  expect_canceled(response);
  EXPECT_THAT(legs_of(response.report()), IsEmpty());
  expect_books_agree(paid);

  // An order that went there by itself is canceled already.
  const std::string moved = create(new_order()).order_id();
  const auto by_status = move(moved, "canceled");
  EXPECT_EQ(by_status.order().cancellation().status(), kCompleted);
  response = cancel(moved);
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.etag(), by_status.etag());
  EXPECT_EQ(response.report().status(), kCompleted);
}

TEST_P(CancelOrderTest, ShippedLinesStandInTheWay) {
  const Paid paid = attach(create(order_of({2, 1, 1})).order_id(), new_payment(authorize(5000)));
  for (const char* state : {"confirmed", "shipped"}) {
    call(&Orders::UpdateShipments, ship(paid.order_id, {set_state(items({"1"}), state)}));
  }
  auto request = cancellation(paid.order_id);
  const std::string before = content();
  EXPECT_EQ(action_of(get(paid.order_id), pb::ACTION_KIND_CANCEL).reason(), "ORDER_SHIPPED");
  const Failure failure = refusal(&Orders::CancelOrder, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "ORDER_SHIPPED");
  EXPECT_EQ(failure.metadata.at("line_count"), "1");
  EXPECT_EQ(content(), before);

  request.set_include_shipped(true);
  const auto response = cancel(request);
  EXPECT_EQ(response.report().status(), kCompleted);
  EXPECT_TRUE(response.order().cancellation().include_shipped());
  EXPECT_THAT(lines_of(response.order(), "1"),
              ElementsAre(testing::Property(&pb::ShipmentLine::delivery_state_id, "shipped")));
  for (const char* item : {"2", "3"}) {
    EXPECT_THAT(lines_of(response.order(), item),
                ElementsAre(testing::Property(&pb::ShipmentLine::delivery_state_id, "canceled")));
  }
  expect_whole(response.order());
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, TheStateOfTheOrderDecides) {
  pb::UpdateOrderStateRequest change;
  change.mutable_state()->set_state_id("processing");
  change.mutable_update_mask()->add_paths("allows_cancel");
  call(&States::UpdateOrderState, change);
  const Paid paid = authorized(5000);
  EXPECT_TRUE(action_of(get(paid.order_id), pb::ACTION_KIND_CANCEL).allowed());
  move(paid.order_id, "processing");
  const std::string before = content();
  const Failure failure = refusal(&Orders::CancelOrder, cancellation(paid.order_id));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "CANCEL_NOT_ALLOWED");
  EXPECT_TRUE(failure.has_precondition);
  EXPECT_EQ(action_of(get(paid.order_id), pb::ACTION_KIND_CANCEL).reason(), "CANCEL_NOT_ALLOWED");
  EXPECT_EQ(content(), before);
  move(paid.order_id, "fraud");
  expect_canceled(cancel(paid.order_id));
}

TEST_P(CancelOrderTest, TheTargetIsAStateOfCategoryCanceled) {
  pb::CreateOrderStateRequest state;
  state.mutable_state()->set_state_id("void");
  state.mutable_state()->set_display_name("Void");
  state.mutable_state()->set_category(pb::STATE_CATEGORY_CANCELED);
  state.mutable_state()->set_final(true);
  state.mutable_state()->set_position(1000);
  call(&States::CreateOrderState, state);
  const Paid paid = authorized(5000);
  auto request = cancellation(paid.order_id);
  const std::string before = content();
  request.set_target_state_id("nowhere");
  Failure failure = refusal(&Orders::CancelOrder, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "STATE_UNKNOWN");
  request.set_target_state_id("fraud");
  failure = refusal(&Orders::CancelOrder, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "TARGET_STATE_NOT_CANCELED");
  EXPECT_EQ(content(), before);
  request.set_target_state_id("void");
  const auto response = cancel(request);
  EXPECT_EQ(response.report().status(), kCompleted);
  EXPECT_EQ(response.order().state_id(), "void");
  EXPECT_EQ(response.order().cancellation().target_state_id(), "void");
  expect_books_agree(paid);
}

TEST_P(CancelOrderTest, ValidateOnlyShowsThePlanAndWritesNothing) {
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  const Paid unsynced = attach(paid.order_id, new_payment(authorize(300)));
  // Only the gateway knows yet.
  ledger().move_from_dashboard(paid.reference, payments::MoneyOperation::kCapture, 1000);
  const std::string before = content();
  const std::size_t moved = movements(paid);
  auto request = cancellation(paid.order_id);
  request.set_request_id(new_request_id());
  request.set_notify_customer(true);
  request.set_validate_only(true);
  const auto response = call(&Orders::CancelOrder, request);
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.etag(), get(paid.order_id).etag());
  EXPECT_EQ(response.order().state_id(), "new");
  EXPECT_FALSE(response.report().provisional());
  EXPECT_TRUE(response.report().notifies_customer());
  EXPECT_THAT(response.report(), HasSums(0, 0, 0, 5300));
  constexpr auto kPlanned = pb::TRANSACTION_STATUS_UNSPECIFIED;
  EXPECT_THAT(legs_of(response.report()),
              testing::UnorderedElementsAre(IsTransaction(kVoid, kPlanned, 2000),
                                            IsTransaction(kRefund, kPlanned, 3000),
                                            IsTransaction(kVoid, kPlanned, 300)));
  for (const auto& leg : legs_of(response.report())) EXPECT_EQ(leg.transaction_id(), "");
  EXPECT_EQ(content(), before);
  EXPECT_EQ(movements(paid), moved);
  EXPECT_THAT(emails(paid.order_id), IsEmpty());

  // A gateway that can't be asked.
  fault(Operation::kFetch, FaultKind::kNotExecuted);
  const auto provisional = call(&Orders::CancelOrder, request);
  EXPECT_TRUE(provisional.report().provisional());
  EXPECT_THAT(legs_of(provisional.report()),
              AllOf(Contains(IsTransaction(kVoid, kPlanned, 3000)),
                    Contains(IsTransaction(kRefund, kPlanned, 2000))));
  EXPECT_EQ(content(), before);
  sandbox_->clear_faults();

  // What would be refused is refused.
  request.set_target_state_id("fraud");
  EXPECT_EQ(refusal(&Orders::CancelOrder, request).reason, "TARGET_STATE_NOT_CANCELED");
  request.clear_target_state_id();
  EXPECT_EQ(content(), before);

  // Its id was not used up.
  request.set_validate_only(false);
  const auto done = cancel(request);
  expect_canceled(done);
  EXPECT_THAT(done.report(), HasSums(3000, 2300, 0, 0));
  expect_books_agree(paid);
  expect_books_agree(unsynced);
}

TEST_P(CancelOrderTest, ValidateOnlyWithoutMoney) {
  auto request = cancellation(create(new_order()).order_id());
  request.set_validate_only(true);
  const std::string before = content();
  const auto response = call(&Orders::CancelOrder, request);
  EXPECT_TRUE(response.changed());
  EXPECT_THAT(response.report(), HasSums(0, 0, 0, 0));
  EXPECT_FALSE(response.report().provisional());
  EXPECT_EQ(response.order().state_id(), "new");
  EXPECT_EQ(content(), before);
}

TEST_P(CancelOrderTest, AReplayMovesNothing) {
  const Paid paid = captured(5000);
  auto request = cancellation(paid.order_id);
  request.set_request_id(new_request_id());
  const auto first = cancel(request);
  expect_canceled(first);
  pb::AddNoteRequest note;
  note.set_order_id(paid.order_id);
  note.set_body("told the customer");
  call(&Orders::AddNote, note);
  const std::size_t moved = movements(paid);
  const auto again = cancel(request);
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.order().note_count(), 1);
  EXPECT_EQ(again.report().ShortDebugString(), first.report().ShortDebugString());
  EXPECT_EQ(movements(paid), moved);
  request.set_reason("another");
  EXPECT_EQ(refusal(&Orders::CancelOrder, request).reason, "REQUEST_ID_REUSED");
}

TEST_P(CancelOrderTest, EtagsAndMistakes) {
  const Paid paid = authorized(5000);
  const std::string before = content();
  auto request = cancellation(paid.order_id);
  request.set_etag("1");
  Failure failure = refusal(&Orders::CancelOrder, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "ETAG_MISMATCH");
  EXPECT_EQ(failure.metadata.at("current_etag"), get(paid.order_id).etag());
  EXPECT_EQ(refusal(&Orders::CancelOrder, cancellation(kUnknownId)).reason, "ORDER_NOT_FOUND");
  EXPECT_EQ(refusal(&Orders::AbandonCancellation, abandonment(kUnknownId)).reason,
            "ORDER_NOT_FOUND");
  request = cancellation("");
  request.set_request_id("1");
  request.set_reason(repeat("ä", 1001));
  EXPECT_THAT(refusal(&Orders::CancelOrder, request).fields,
              testing::UnorderedElementsAre("request_id", "order_id", "reason"));
  EXPECT_THAT(refusal(&Orders::AbandonCancellation, {}).fields,
              testing::UnorderedElementsAre("order_id", "reason"));
  EXPECT_EQ(content(), before);

  // It is the etag of the order before the cancellation, which takes many changes.
  request = cancellation(paid.order_id);
  request.set_reason(repeat("ä", 1000));
  request.set_etag(get(paid.order_id).etag());
  EXPECT_EQ(cancel(request).report().status(), kCompleted);
}

}  // namespace
}  // namespace orderd::test
