#include "tests/rpc/cancellation_fixture.h"
#include "tests/rpc/shipments_fixture.h"

// Cancellations that do not end within the call: gateways that are down, slow, or refuse.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using std::chrono::seconds;

class CancellationInProgressTest : public CancellationRpcTest {
 protected:
  /// An order whose gateway has gone down, canceled.
  Paid stuck(std::int64_t authorized_minor, std::int64_t captured_minor = 0) {
    const Paid paid = authorized(authorized_minor);
    if (captured_minor > 0) call(&Orders::CapturePayment, capture(paid, captured_minor));
    gateway_goes_down();
    const auto response = cancel_within(cancellation(paid.order_id), seconds(4));
    EXPECT_EQ(response.report().status(), kInProgress);
    return paid;
  }
  /// An order of which a refund has been refused for good.
  Paid refused(const std::string& reason = "CARD_DECLINED") {
    const Paid paid = captured(5000);
    fault(Operation::kRefund, FaultKind::kRefuse, reason);
    const auto response = cancel(paid.order_id);
    EXPECT_EQ(response.report().status(), kCancellationFailed);
    sandbox_->clear_faults();
    return paid;
  }
  pb::ResolveTransactionRequest resolution(const std::string& order_id,
                                           pb::TransactionStatus status) {
    pb::ResolveTransactionRequest request;
    request.set_order_id(order_id);
    const pb::Order order = get(order_id);
    EXPECT_EQ(order.cancellation().legs_size(), 1);
    request.set_transaction_id(order.cancellation().legs(0).transaction_id());
    request.set_status(status);
    request.set_reason("asked the bank");
    return request;
  }
  static pb::UpdateOrderStatusRequest status(const std::string& order_id,
                                             const std::string& state_id, bool force = false) {
    pb::UpdateOrderStatusRequest request;
    request.set_order_id(order_id);
    request.set_state_id(state_id);
    request.set_force(force);
    if (force) request.set_reason("has to be");
    return request;
  }

  /// That all that a cancellation keeps others from doing is refused, and all else works.
  void expect_closed(const Paid& paid) {
    const std::string& id = paid.order_id;
    const std::string before = content();
    const auto refused = [&](auto method, const auto& request) {
      const Failure failure = refusal(method, request);
      EXPECT_EQ(failure.reason, "CANCELLATION_IN_PROGRESS") << request.ShortDebugString();
      EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
    };
    for (const char* state : {"processing", "completed", "canceled"}) {
      refused(&Orders::UpdateOrderStatus, status(id, state));
      refused(&Orders::UpdateOrderStatus, status(id, state, true));
    }
    refused(&Orders::UpdateShipments, ship(id, {set_state(all_lines(), "confirmed")}));
    refused(&Orders::CapturePayment, capture(paid, 100));
    refused(&Orders::RefundPayment, refund(paid, 100));
    refused(&Orders::VoidPayment, void_rest(paid));
    pb::AddPaymentRequest add;
    add.set_order_id(id);
    *add.mutable_payment() = new_payment("another");
    refused(&Orders::AddPayment, add);
    pb::BatchUpdateOrderStatusRequest batch;
    batch.add_updates()->set_order_id(id);
    batch.mutable_updates(0)->set_state_id("processing");
    EXPECT_EQ(failure_of(call(&Orders::BatchUpdateOrderStatus, batch).results(0).status()).reason,
              "CANCELLATION_IN_PROGRESS");
    EXPECT_EQ(content(), before);

    const pb::Order order = get(id);
    for (const auto& action : order.available_actions()) {
      if (action.kind() == pb::ACTION_KIND_CANCEL) {
        EXPECT_TRUE(action.allowed()) << action.reason();
      } else if (action.state_id() != order.state_id()) {
        EXPECT_FALSE(action.allowed()) << action.ShortDebugString();
        EXPECT_EQ(action.reason(), "CANCELLATION_IN_PROGRESS") << action.ShortDebugString();
      }
    }

    pb::AddNoteRequest note;
    note.set_order_id(id);
    note.set_body("the customer has called");
    EXPECT_TRUE(call(&Orders::AddNote, note).changed());
    pb::UpdateInvoiceRequest invoice;
    invoice.set_order_id(id);
    invoice.set_invoice_number("I-" + id);
    EXPECT_TRUE(call(&Orders::UpdateInvoice, invoice).changed());
    pb::UpdateOrderRequest update;
    update.set_order_id(id);
    update.mutable_customer()->set_name("Ada Lovelace");
    update.mutable_update_mask()->add_paths("customer.name");
    EXPECT_TRUE(call(&Orders::UpdateOrder, update).changed());
  }
};
ORDERD_ON_BOTH_DATABASES(CancellationInProgressTest);

TEST_P(CancellationInProgressTest, AGatewayThatIsDownForTheWholeCall) {
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  gateway_goes_down();
  auto request = cancellation(paid.order_id);
  request.set_request_id(new_request_id());
  request.set_notify_customer(true);
  const auto response = cancel_within(request, seconds(4));
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.report().status(), kInProgress);
  EXPECT_EQ(response.order().state_id(), "new");
  EXPECT_EQ(response.order().cancellation().status(), kInProgress);
  EXPECT_TRUE(response.report().notifies_customer());
  EXPECT_THAT(response.report(), HasSums(0, 0, 0, 5000));
  EXPECT_THAT(emails(paid.order_id), IsEmpty());
  expect_closed(paid);

  // It is back, and nobody asks.
  sandbox_->clear_faults();
  const pb::Order order = reconcile(paid.order_id);
  EXPECT_EQ(order.state_id(), "canceled");
  EXPECT_EQ(order.cancellation().reason(), "changed their mind");
  EXPECT_THAT(payment(paid), HasMoney(5000, 2000, 2000, 3000));
  expect_books_agree(paid);
  EXPECT_EQ(emails(paid.order_id).size(), 1u);
  EXPECT_THAT(steps(paid.order_id), ElementsAre(kInProgress, kCompleted));
  const auto replay = cancel(request);
  EXPECT_TRUE(replay.replayed());
  EXPECT_THAT(replay.report(), HasSums(2000, 3000, 0, 0));
}

TEST_P(CancellationInProgressTest, LegsWithoutAnAnswerAreFoundOut) {
  // What is asked for is done, but nobody hears of it.
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  fault(Operation::kVoid, FaultKind::kDropAnswer, "", 1);
  fault(Operation::kRefund, FaultKind::kDropAnswer, "", 1);
  const auto response = cancel_within(cancellation(paid.order_id), seconds(6));
  EXPECT_NE(response.report().status(), kCancellationFailed);
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_THAT(history(paid), ElementsAre(IsTransaction(kAuthorization, kSucceeded, 5000),
                                         IsTransaction(kCapture, kSucceeded, 2000),
                                         IsTransaction(kVoid, kSucceeded, 3000),
                                         IsTransaction(kRefund, kSucceeded, 2000)));
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, AnAnswerBeforeTheGatewaysIsHonest) {
  stop();
  processor_options_.call_timeout = seconds(60);  // the caller has less time than the gateway
  start();
  const Paid paid = authorized(5000);
  hold(Operation::kVoid);
  const auto response = cancel_within(cancellation(paid.order_id), seconds(4));
  EXPECT_EQ(response.report().status(), kInProgress);
  EXPECT_THAT(response.report(), HasSums(0, 0, 0, 5000));
  EXPECT_THAT(response.report().payments(), ElementsAre(HasSums(0, 0, 0, 5000)));
  sandbox_->clear_faults();
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  expect_books_agree(paid);
  EXPECT_EQ(history(paid).size(), 2u);
}

TEST_P(CancellationInProgressTest, WhatTheFirstCallSaidStands) {
  const Paid paid = stuck(5000);
  const std::string before = content();
  auto other = cancellation(paid.order_id);
  other.set_reason("another reason");
  other.set_notify_customer(true);
  other.set_request_id(new_request_id());
  const auto response = call(&Orders::CancelOrder, other);
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.report().status(), kInProgress);
  EXPECT_FALSE(response.report().notifies_customer());
  EXPECT_EQ(response.order().cancellation().reason(), "changed their mind");
  EXPECT_EQ(content(), before);
  sandbox_->clear_faults();
  reconcile(paid.order_id);
  EXPECT_EQ(get(paid.order_id).cancellation().reason(), "changed their mind");
  EXPECT_THAT(emails(paid.order_id), IsEmpty());
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ACaptureThatIsUnderWayIsWaitedFor) {
  const Paid paid = authorized(5000);
  hold(Operation::kCapture);
  auto capturing = call_async(&Orders::CapturePayment, capture(paid, 2000));
  wait_until_held();
  auto canceling = call_async(&Orders::CancelOrder, cancellation(paid.order_id));
  while (get(paid.order_id).cancellation().status() == kNone) std::this_thread::yield();
  EXPECT_EQ(refusal(&Orders::CapturePayment, capture(paid, 100)).reason,
            "CANCELLATION_IN_PROGRESS");
  EXPECT_THAT(get(paid.order_id).cancellation().legs(), IsEmpty());
  sandbox_->clear_faults();
  EXPECT_NE(capturing.get().transaction().status(), kFailed);
  canceling.get();
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_THAT(payment(paid), HasMoney(5000, 2000, 2000, 3000));
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, TwoCallsAtOnceAreOneCancellation) {
  const Paid paid = captured(5000);
  hold(Operation::kRefund);
  auto first = call_async(&Orders::CancelOrder, cancellation(paid.order_id));
  wait_until_held();
  EXPECT_FALSE(cancel(paid.order_id).changed());
  sandbox_->clear_faults();
  first.get();
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_EQ(ledger().read(paid.reference)->refunded(), 5000);
  EXPECT_EQ(history(paid).size(), 3u);
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ARefusalForGoodIsTriedAgainByAnotherCall) {
  const Paid paid = refused();
  const pb::Order failed = get(paid.order_id);
  EXPECT_EQ(failed.state_id(), "new");
  EXPECT_EQ(failed.cancellation().pass(), 1);
  ASSERT_EQ(failed.cancellation().legs_size(), 1);
  EXPECT_THAT(failed.cancellation().legs(0), IsTransaction(kRefund, kFailed, 5000));
  EXPECT_EQ(failed.cancellation().legs(0).reason(), "CARD_DECLINED");
  expect_closed(paid);
  // Nobody tries again by himself.
  EXPECT_EQ(reconcile(paid.order_id).cancellation().status(), kCancellationFailed);

  auto request = cancellation(paid.order_id);
  request.set_request_id(new_request_id());
  const auto response = cancel(request);
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.report().status(), kCompleted);
  EXPECT_EQ(response.order().cancellation().pass(), 2);
  EXPECT_THAT(
      response.order().cancellation().legs(),
      ElementsAre(IsTransaction(kRefund, kFailed, 5000), IsTransaction(kRefund, kSucceeded, 5000)));
  EXPECT_THAT(response.report(), HasSums(5000, 0, 0, 0));
  EXPECT_THAT(steps(paid.order_id),
              ElementsAre(kInProgress, kCancellationFailed, kInProgress, kCompleted));
  EXPECT_TRUE(cancel(request).replayed());
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ARefusalForGoodIsGivenUp) {
  const Paid paid = refused();
  auto request = abandonment(paid.order_id);
  request.set_request_id(new_request_id());
  const auto response = call(&Orders::AbandonCancellation, request);
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.order().state_id(), "new");
  EXPECT_EQ(response.order().cancellation().status(), kNone);
  EXPECT_TRUE(call(&Orders::AbandonCancellation, request).replayed());
  request.set_request_id("");
  const Failure failure = refusal(&Orders::AbandonCancellation, request);
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "CANCELLATION_NOT_RUNNING");
  const auto events = this->events(paid);
  ASSERT_TRUE(events.back().has_cancellation_changed());
  EXPECT_EQ(events.back().cancellation_changed().reason(), "the customer wants it after all");
  EXPECT_EQ(events.back().cancellation_changed().before().status(), kCancellationFailed);
  // As before it all.
  move(paid.order_id, "processing");
  call(&Orders::RefundPayment, refund(paid, 100));
  EXPECT_EQ(cancel(paid.order_id).report().status(), kCompleted);
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ARefusalForGoodIsOverruled) {
  // Somebody has sent the money back in another way.
  const Paid paid = refused();
  auto request = resolution(paid.order_id, kSucceeded);
  request.set_request_id(new_request_id());
  const auto resolved = call(&Orders::ResolveTransaction, request);
  EXPECT_THAT(resolved.transaction(), IsTransaction(kRefund, kSucceeded, 5000));
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  const auto response = cancel(paid.order_id);
  EXPECT_FALSE(response.changed());
  EXPECT_THAT(response.report(), HasSums(5000, 0, 0, 0));
  EXPECT_EQ(ledger().read(paid.reference)->refunded(), 0);
  EXPECT_THAT(steps(paid.order_id),
              ElementsAre(kInProgress, kCancellationFailed, kInProgress, kCompleted));
  EXPECT_TRUE(call(&Orders::ResolveTransaction, request).replayed());
}

TEST_P(CancellationInProgressTest, WhatHasMovedMoneyIsNotGivenUp) {
  const Paid paid = authorized(5000);
  call(&Orders::CapturePayment, capture(paid, 2000));
  fault(Operation::kRefund, FaultKind::kRefuse, "CARD_DECLINED", 1);
  const auto response = cancel(paid.order_id);
  EXPECT_EQ(response.report().status(), kCancellationFailed);
  EXPECT_THAT(response.report(), HasSums(0, 3000, 0, 2000));
  const Failure failure = refusal(&Orders::AbandonCancellation, abandonment(paid.order_id));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "CANCELLATION_HAS_MOVED_MONEY");
  EXPECT_EQ(failure.metadata.at("transaction_id"), legs_of(response.report())[0].transaction_id());
  EXPECT_EQ(cancel(paid.order_id).report().status(), kCompleted);
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ACancellationThatHasNotGotAnywhereIsGivenUp) {
  const Paid paid = stuck(5000);
  const auto response = call(&Orders::AbandonCancellation, abandonment(paid.order_id));
  EXPECT_EQ(response.order().cancellation().status(), kNone);
  sandbox_->clear_faults();
  RawDatabase raw(url());
  raw.session().execute(raw.session().sql() << "UPDATE payment_schedule SET next_check = 1");
  payments::Reconciler reconciler(*storage_, parts_->processor, {});
  reconciler.pass();
  reconciler.stop();
  EXPECT_THAT(payment(paid), HasMoney(5000, 0, 0, 0));
  call(&Orders::CapturePayment, capture(paid));
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, WhatIsNotBeingCanceledIsNotGivenUp) {
  const Paid paid = authorized(5000);
  EXPECT_EQ(refusal(&Orders::AbandonCancellation, abandonment(paid.order_id)).reason,
            "CANCELLATION_NOT_RUNNING");
  cancel(paid.order_id);
  EXPECT_EQ(refusal(&Orders::AbandonCancellation, abandonment(paid.order_id)).reason,
            "CANCELLATION_NOT_RUNNING");
}

TEST_P(CancellationInProgressTest, SyncsGoOn) {
  const Paid paid = stuck(5000);
  sandbox_->clear_faults();
  ledger().move_from_dashboard(paid.reference, payments::MoneyOperation::kVoid, 5000);
  const auto synced = call(&Orders::SyncPayments, sync(paid));
  EXPECT_EQ(payment_of(synced.order()).status(), pb::PAYMENT_STATUS_VOIDED);
  // Somebody did it at the gateway's dashboard: nothing is left to do.
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_EQ(history(paid).size(), 2u);
  expect_books_agree(paid);
}

TEST_P(CancellationInProgressTest, ARestartGoesOnFromWhereItEnded) {
  const Paid paid = stuck(5000, 2000);
  stop();
  start();
  EXPECT_EQ(get(paid.order_id).cancellation().status(), kInProgress);
  EXPECT_EQ(reconcile(paid.order_id).state_id(), "canceled");
  EXPECT_THAT(payment(paid), HasMoney(5000, 2000, 2000, 3000));
  expect_books_agree(paid);
}

}  // namespace
}  // namespace orderd::test
