#include <google/protobuf/util/message_differencer.h>

#include "server/orders/actions.h"
#include "server/orders/emails.h"
#include "server/orders/invoice.h"
#include "server/orders/notes.h"
#include "server/orders/shipments.h"
#include "server/orders/status.h"
#include "server/orders/update.h"
#include "tests/unit/cancellation_fixture.h"

// Which orders can be canceled, what begins with it, what is refused meanwhile, and how it is given
// up. How money is returned is in cancellation_legs_test.cc.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Event = pb::OrderEvent;

using Cancellation = CancellationTest;

pb::CancelOrderRequest request() {
  pb::CancelOrderRequest wanted;
  wanted.set_order_id(kUuid);
  wanted.set_reason("the customer called");
  return wanted;
}

TEST(CancellationRequests, AreChecked) {
  EXPECT_TRUE(validate(request()).ok());
  auto wanted = request();
  wanted.set_order_id("");
  EXPECT_ONLY_VIOLATION(validate(wanted), "order_id");
  wanted = request();
  wanted.set_request_id("7");
  EXPECT_ONLY_VIOLATION(validate(wanted), "request_id");
  wanted = request();
  wanted.set_reason(repeated(kClef, 1000));
  EXPECT_TRUE(validate(wanted).ok());
  wanted.set_reason(repeated(kClef, 1001));
  EXPECT_ONLY_VIOLATION(validate(wanted), "reason");
  wanted = request();
  wanted.set_target_state_id(repeated("x", 65));
  EXPECT_ONLY_VIOLATION(validate(wanted), "target_state_id");

  pb::AbandonCancellationRequest abandon;
  abandon.set_order_id(kUuid);
  abandon.set_reason("why");
  EXPECT_TRUE(validate(abandon).ok());
  abandon.set_reason(" ");
  EXPECT_ONLY_VIOLATION(validate(abandon), "reason");
}

TEST(CancellationErrors, HaveTheirCodesReasonsAndNumbers) {
  const auto precondition = absl::StatusCode::kFailedPrecondition;
  const auto is = [](const absl::Status& status, absl::StatusCode code, const std::string& reason,
                     const std::string& key = "", const std::string& value = "") {
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(errors::reason(status), reason);
    EXPECT_EQ(key.empty() ? "" : metadata_of(status, key), value);
  };
  is(errors::cancel_not_allowed("s"), precondition, "CANCEL_NOT_ALLOWED", "state_id", "s");
  is(errors::target_state_not_canceled("s"), precondition, "TARGET_STATE_NOT_CANCELED", "state_id",
     "s");
  is(errors::order_shipped(3), precondition, "ORDER_SHIPPED", "line_count", "3");
  is(errors::customer_email_missing(), precondition, "CUSTOMER_EMAIL_MISSING");
  is(errors::email_not_configured(), precondition, "EMAIL_NOT_CONFIGURED");
  is(errors::cancellation_not_running(), precondition, "CANCELLATION_NOT_RUNNING");
  is(errors::cancellation_has_moved_money("t"), precondition, "CANCELLATION_HAS_MOVED_MONEY",
     "transaction_id", "t");
  is(errors::email_sent("e"), precondition, "EMAIL_SENT", "email_id", "e");
  is(errors::email_not_found("o", "e"), absl::StatusCode::kNotFound, "EMAIL_NOT_FOUND", "email_id",
     "e");
}

TEST_F(Cancellation, WithoutMoneyIsCompletedAtOnce) {
  auto wanted = request();
  wanted.set_notify_customer(true);
  add_item(world.order, "a", 2);
  add_line(add_shipment(world.order, "s", "standard"), "l", "a", 2, "pending");
  ASSERT_TRUE(world.begin(wanted));
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.order.state_id(), "canceled");
  const auto& cancellation = world.order.cancellation();
  EXPECT_EQ(cancellation.reason(), "the customer called");
  EXPECT_EQ(to_micros(cancellation.complete_time()), kNow);
  EXPECT_EQ(to_micros(cancellation.start_time()), kNow);
  EXPECT_EQ(cancellation.pass(), 1);
  EXPECT_EQ(cancellation.target_state_id(), "canceled");
  EXPECT_EQ(world.order.shipments(0).lines(0).delivery_state_id(), "canceled");
  EXPECT_THAT(events(), ElementsAre(Event::kStateChanged, Event::kShipmentsChanged,
                                    Event::kEmailChanged, Event::kCancellationChanged));
  ASSERT_THAT(world.emails, SizeIs(1));
  const auto& email = world.emails[0];
  EXPECT_EQ(email.recipient(), "ann@example.com");
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email.message_id(), "<" + email.email_id() + "@shop.example>");
  EXPECT_EQ(to_micros(email.next_time()), kNow);
}

TEST_F(Cancellation, OfFinishedPaymentsAsksTheirGatewaysFirst) {
  world.add("refunded", 100, 100, 100);
  ASSERT_TRUE(world.begin());
  EXPECT_EQ(status(), "IN_PROGRESS") << "the refund may have failed meanwhile";
  EXPECT_EQ(world.schedule.at("refunded"), kNow + 20'000'000);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(world.emails, IsEmpty());
}

TEST_F(Cancellation, OfFinishedPaymentsThatNobodyCanBeAskedAboutIsCompletedAtOnce) {
  world.add("refunded", 100, 100, 100);
  world.order.mutable_payments(0)->set_gateway_account("external");
  ASSERT_TRUE(world.begin());
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(Cancellation, WithMoneyKeepsTheStateUntilItIsReturned) {
  world.add("p", 100);
  world.events.clear();
  ASSERT_TRUE(world.begin(request()));
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_EQ(world.order.state_id(), "new");
  EXPECT_EQ(world.schedule.at("p"), kNow + 20'000'000);
  EXPECT_THAT(events(), ElementsAre(Event::kCancellationChanged));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.order.state_id(), "canceled");
}

TEST_F(Cancellation, IsForStatesThatAllowIt) {
  settings_.states.at("new").set_allows_cancel(false);
  EXPECT_REFUSED(world.try_begin(), "CANCEL_NOT_ALLOWED");
  // A state that has been deleted still says what may be done.
  settings_.states.at("new").set_allows_cancel(true);
  delete_state_in(settings_, "new");
  EXPECT_TRUE(world.try_begin().ok());
}

TEST_F(Cancellation, EntersTheStateThatWasAskedFor) {
  auto wanted = request();
  wanted.set_target_state_id("nowhere");
  EXPECT_REFUSED(world.try_begin(wanted), "STATE_UNKNOWN");
  wanted.set_target_state_id("fraud");
  EXPECT_REFUSED(world.try_begin(wanted), "TARGET_STATE_NOT_CANCELED");

  auto expired = make_state("expired", pb::STATE_CATEGORY_CANCELED, 70);
  enterable_from(expired, {"fraud"});  // of no account here
  settings_.states["expired"] = expired;
  wanted.set_target_state_id("expired");
  ASSERT_TRUE(world.begin(wanted));
  EXPECT_EQ(world.order.state_id(), "expired");
}

TEST_F(Cancellation, EntersTheFirstCanceledStateByPosition) {
  settings_.states["sooner"] = make_state("sooner", pb::STATE_CATEGORY_CANCELED, 55);
  ASSERT_TRUE(world.begin());
  EXPECT_EQ(world.order.state_id(), "sooner");
}

TEST_F(Cancellation, OfWhichTheTargetIsDeletedMeanwhileEntersAnother) {
  settings_.states["expired"] = make_state("expired", pb::STATE_CATEGORY_CANCELED, 70);
  world.add("p", 100);
  auto wanted = request();
  wanted.set_target_state_id("expired");
  ASSERT_TRUE(world.begin(wanted));
  delete_state_in(settings_, "expired");
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.order.state_id(), "canceled");
}

TEST_F(Cancellation, OfShippedLinesHasToBeMeant) {
  add_item(world.order, "a", 6);
  auto& shipment = add_shipment(world.order, "s", "standard");
  add_line(shipment, "l1", "a", 1, "pending");
  add_line(shipment, "l2", "a", 1, "shipped");
  add_line(shipment, "l3", "a", 1, "delivered");
  add_line(shipment, "l4", "a", 1, "returned");
  add_line(shipment, "l5", "a", 1, "canceled");
  add_line(shipment, "l6", "a", 1, "confirmed");
  const auto refused = world.try_begin();
  EXPECT_REFUSED(refused, "ORDER_SHIPPED");
  EXPECT_EQ(metadata_of(refused.status(), "line_count"), "2");

  auto wanted = request();
  wanted.set_include_shipped(true);
  ASSERT_TRUE(world.begin(wanted));
  EXPECT_EQ(status(), "COMPLETED");
  std::map<std::string, int> lines;
  for (const auto& line : world.order.shipments(0).lines()) {
    lines[line.delivery_state_id()] += static_cast<int>(line.quantity());
  }
  EXPECT_EQ(lines, (std::map<std::string, int>{
                       {"shipped", 1}, {"delivered", 1}, {"returned", 1}, {"canceled", 3}}));
}

TEST_F(Cancellation, CanOnlyNotifyWhoCanBeReached) {
  auto wanted = request();
  world.order.mutable_customer()->clear_email();
  EXPECT_TRUE(world.try_begin(wanted).ok());
  wanted.set_notify_customer(true);
  EXPECT_REFUSED(world.try_begin(wanted), "CUSTOMER_EMAIL_MISSING");
  world.order.mutable_customer()->set_email("nobody");
  EXPECT_REFUSED(world.try_begin(wanted), "CUSTOMER_EMAIL_MISSING");
  world.order.mutable_customer()->set_email("ann@example.com");
  EXPECT_TRUE(world.try_begin(wanted).ok());
  world.mailing.configured = false;
  EXPECT_REFUSED(world.try_begin(wanted), "EMAIL_NOT_CONFIGURED");
}

TEST_F(Cancellation, WritesADeadEmailIfTheAddressIsGoneMeanwhile) {
  world.add("p", 100);
  auto wanted = request();
  wanted.set_notify_customer(true);
  ASSERT_TRUE(world.begin(wanted));
  world.order.mutable_customer()->clear_email();
  world.drive();
  ASSERT_THAT(world.emails, SizeIs(1));
  EXPECT_EQ(world.emails[0].status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(world.emails[0].last_error(), "CUSTOMER_EMAIL_MISSING");
}

TEST_F(Cancellation, NeedsTheGatewaysWhereMoneyIs) {
  world.add("gone", 100, 100, 100);
  world.gateways.unknown = {"bank-gone"};
  EXPECT_TRUE(world.try_begin().ok());
  world.add("p", 100);
  world.gateways.unknown = {"bank-p"};
  EXPECT_REFUSED(world.try_begin(), "GATEWAY_NOT_CONFIGURED");
}

TEST_F(Cancellation, OfAPaymentThatIsOverAsksNoGatewayThatIsNotThere) {
  world.add("gone", 100, 100, 100);
  world.add("p", 100);
  world.gateways.unknown = {"bank-gone"};
  ASSERT_TRUE(world.begin());
  auto bank = world.banks.extract("gone");
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(Cancellation, IsNotBegunTwice) {
  world.add("p", 100);
  auto wanted = request();
  ASSERT_TRUE(world.begin(wanted));
  wanted.set_reason("another");
  wanted.set_notify_customer(true);
  wanted.set_target_state_id("nowhere");
  const std::string before = world.order.SerializeAsString();
  EXPECT_FALSE(world.begin(wanted));
  EXPECT_EQ(world.order.SerializeAsString(), before);
  world.drive();
  EXPECT_EQ(world.order.cancellation().reason(), "the customer called");
  EXPECT_THAT(world.emails, IsEmpty());
  // Nor when it has been completed.
  EXPECT_FALSE(world.begin(wanted));
  EXPECT_FALSE(world.advance());
}

TEST_F(Cancellation, RefusesOtherWorkUntilItHasEnded) {
  for (const auto running : {pb::CANCELLATION_STATUS_IN_PROGRESS, pb::CANCELLATION_STATUS_FAILED}) {
    SCOPED_TRACE(running);
    world.order = stored_order();
    world.ledger.clear();
    world.banks.clear();
    add_item(world.order, "a", 1);
    add_line(add_shipment(world.order, "s", "standard"), "l", "a", 1, "pending");
    world.add("p", 100, 40);
    ASSERT_TRUE(world.begin());
    world.order.mutable_cancellation()->set_status(running);
    const Target target = world.target();
    const Context context = world.context();
    const std::string reason = "CANCELLATION_IN_PROGRESS";

    pb::OrderStatusUpdate update;
    for (const auto* state : {"processing", "canceled"}) {
      update.set_state_id(state);
      update.set_reason("because");
      update.set_force(false);
      EXPECT_REFUSED(update_status(update, target, context), reason);
      update.set_force(true);
      EXPECT_REFUSED(update_status(update, target, context), reason);
    }
    pb::UpdateShipmentsRequest shipments;
    auto& change = *shipments.add_changes()->mutable_set_delivery_state();
    change.set_delivery_state_id("shipped");
    change.mutable_selection()->set_all(true);
    EXPECT_REFUSED(update_shipments(shipments, world.next_ids(), target, context), reason);
    const AttemptContext attempt{world.next_ids(), kUuid, kLease, &world.gateways};
    pb::CapturePaymentRequest capture;
    capture.set_payment_id("p");
    EXPECT_REFUSED(capture_payment(capture, attempt, target, context), reason);
    pb::VoidPaymentRequest release;
    release.set_payment_id("p");
    EXPECT_REFUSED(void_payment(release, attempt, target, context), reason);
    pb::RefundPaymentRequest refund;
    refund.set_payment_id("p");
    EXPECT_REFUSED(refund_payment(refund, attempt, target, context), reason);
    pb::AddPaymentRequest more;
    more.mutable_payment()->set_gateway_account("external");
    more.mutable_payment()->set_gateway_reference("r");
    EXPECT_REFUSED(add_payment(more, world.next_ids(), world.gateways, target, context), reason);

    pb::AddNoteRequest note;
    note.set_body("called again");
    EXPECT_TRUE(add_note(note, world.next_ids(), target, context).ok());
    pb::UpdateInvoiceRequest invoice;
    invoice.set_invoice_number("I-1");
    EXPECT_TRUE(update_invoice(invoice, target, context).ok());
    pb::UpdateOrderRequest order;
    order.mutable_update_mask()->add_paths("customer");
    order.mutable_customer()->set_name("Bob");
    EXPECT_TRUE(update_order(order, target, context).ok());
    EXPECT_TRUE(fold_readings(world.read(), world.next_ids(), target, context).ok());
  }
}

TEST_F(Cancellation, IsAnAvailableAction) {
  const auto action = [&] {
    pb::Order read = world.order;
    add_available_actions(read, settings_, read);
    for (const auto& found : read.available_actions()) {
      if (found.kind() != pb::ACTION_KIND_CANCEL) continue;
      EXPECT_EQ(found.allowed(), found.reason().empty());
      return found.allowed() ? std::string("allowed") : found.reason();
    }
    return std::string("none");
  };
  EXPECT_EQ(action(), "allowed");
  add_item(world.order, "a", 1);
  auto& shipment = add_shipment(world.order, "s", "standard");
  add_line(shipment, "l", "a", 1, "shipped");
  EXPECT_EQ(action(), "ORDER_SHIPPED");
  settings_.states.at("new").set_allows_cancel(false);
  EXPECT_EQ(action(), "CANCEL_NOT_ALLOWED");
  // Another call begins another pass, or says how far it is.
  world.order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_FAILED);
  EXPECT_EQ(action(), "allowed");
}

TEST_F(Cancellation, ThatIsOnlyTriedReportsThePlan) {
  world.add("a", 100, 40);
  world.add_open("b", 50);
  world.sync("b");
  auto wanted = request();
  wanted.set_validate_only(true);
  wanted.set_notify_customer(true);
  const auto result = world.try_begin(wanted);
  ASSERT_TRUE(result.ok());
  const auto& report = result->outcome.cancellation();
  EXPECT_EQ(report.status(), pb::CANCELLATION_STATUS_IN_PROGRESS);
  EXPECT_EQ(report.outstanding().amount_minor(), 100);
  EXPECT_EQ(report.refunded().amount_minor(), 0);
  EXPECT_TRUE(report.notifies_customer());
  ASSERT_EQ(report.payments_size(), 2);
  ASSERT_EQ(report.payments(0).legs_size(), 2);
  EXPECT_EQ(show(report.payments(0).legs(0)), "a VOID 60");
  EXPECT_EQ(show(report.payments(0).legs(1)), "a REFUND 40");
  ASSERT_EQ(report.payments(1).legs_size(), 1);
  EXPECT_EQ(show(report.payments(1).legs(0)), "b VOID 0");
  // One that is not only tried keeps no report.
  wanted.set_validate_only(false);
  EXPECT_FALSE(world.try_begin(wanted)->outcome.has_cancellation());
}

TEST_F(Cancellation, ReportsWhatWasReturned) {
  world.add("a", 100, 40);
  world.add("b", 70, 70);
  world.fault = [](const pb::PaymentTransaction& attempt) {
    return attempt.payment_id() == "b" ? Bank::Fault::kAccepts : Bank::Fault::kNone;
  };
  ASSERT_TRUE(world.begin());
  world.drive();
  const auto report = report_of(world.order);
  EXPECT_EQ(report.status(), pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_EQ(report.reversed().amount_minor(), 60);
  EXPECT_EQ(report.refunded().amount_minor(), 40);
  EXPECT_EQ(report.pending().amount_minor(), 70);
  EXPECT_EQ(report.outstanding().amount_minor(), 0);
  EXPECT_FALSE(report.notifies_customer());
  EXPECT_EQ(report.payments(1).pending().amount_minor(), 70);
}

TEST_F(Cancellation, CanBeGivenUpWhileNothingHasMoved) {
  EXPECT_REFUSED(world.try_abandon(), "CANCELLATION_NOT_RUNNING");
  world.add("p", 100);
  ASSERT_TRUE(world.begin(request()));
  world.events.clear();
  ASSERT_TRUE(world.apply(world.try_abandon()));
  EXPECT_EQ(world.order.cancellation().ShortDebugString(), "status: CANCELLATION_STATUS_NONE");
  ASSERT_THAT(world.events, SizeIs(1));
  EXPECT_EQ(world.events[0].cancellation_changed().reason(), "changed our mind");
  // It is an authorization as any other again.
  EXPECT_EQ(world.schedule.at("p"), kNow + kDays);
}

TEST_F(Cancellation, CanBeGivenUpAfterARefusal) {
  world.add("p", 100);
  world.fault = [](const auto&) { return Bank::Fault::kRefuses; };
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  ASSERT_TRUE(world.apply(world.try_abandon()));
  EXPECT_EQ(status(), "NONE");
  EXPECT_TRUE(world.begin());
  EXPECT_EQ(world.order.cancellation().pass(), 1);
}

TEST_F(Cancellation, CanNotBeGivenUpWhenMoneyHasMovedOrMay) {
  world.add("p", 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  const std::string leg = world.order.cancellation().legs(0).transaction_id();
  auto refused = world.try_abandon();
  EXPECT_REFUSED(refused, "CANCELLATION_HAS_MOVED_MONEY");
  EXPECT_EQ(metadata_of(refused.status(), "transaction_id"), leg);
  world.send_all();
  EXPECT_REFUSED(world.try_abandon(), "CANCELLATION_HAS_MOVED_MONEY");
  world.advance();
  EXPECT_REFUSED(world.try_abandon(), "CANCELLATION_NOT_RUNNING");

  CancellationWorld other(settings_);
  other.add("p", 100, 100);
  other.add_external("e", 50, 50);
  other.fault = [](const auto&) { return Bank::Fault::kAccepts; };
  ASSERT_TRUE(other.begin());
  other.drive();
  EXPECT_EQ(other.status(), pb::CANCELLATION_STATUS_IN_PROGRESS);
  EXPECT_REFUSED(other.try_abandon(), "CANCELLATION_HAS_MOVED_MONEY");
}

}  // namespace
}  // namespace orderd::rules
