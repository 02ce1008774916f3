#include "server/orders/cancellation_plan.h"
#include "server/orders/status.h"
#include "tests/unit/cancellation_fixture.h"

// How a cancellation returns money: which legs, in which order, and what their ends mean.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Fault = Bank::Fault;

using CancellationLegs = CancellationTest;

auto always(Fault fault) {
  return [fault](const pb::PaymentTransaction&) { return fault; };
}
auto of_kind(pb::TransactionKind kind, Fault fault) {
  return [=](const pb::PaymentTransaction& attempt) {
    return attempt.kind() == kind ? fault : Fault::kNone;
  };
}

TEST_F(CancellationLegs, AnAuthorizationIsReleased) {
  world.add("p", 100);
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 100 SUCCEEDED"));
  EXPECT_EQ(world.payment("p").status(), pb::PAYMENT_STATUS_VOIDED);
  EXPECT_EQ(world.banks.at("p").capturable(), 0);
}

TEST_F(CancellationLegs, AreAttemptsAsAnyOther) {
  world.add("p", 100);
  pb::CancelOrderRequest request;
  request.set_reason("the customer called");
  ASSERT_TRUE(world.begin(request));
  ASSERT_TRUE(world.advance());
  ASSERT_EQ(world.order.cancellation().legs_size(), 1);
  const auto& leg = world.order.cancellation().legs(0);
  EXPECT_EQ(leg.pass(), 1);
  EXPECT_FALSE(leg.initiated());
  const auto& attempt = world.transaction(leg.transaction_id());
  EXPECT_EQ(attempt.status(), kUnknown);
  EXPECT_EQ(attempt.description(), "the customer called");
  EXPECT_EQ(attempt.actor(), kActor);
  EXPECT_EQ(attempt.request_id(), kUuid);
  ASSERT_EQ(world.payment("p").open_transactions_size(), 1);
  EXPECT_EQ(world.payment("p").capturable().amount_minor(), 0);
  // It is its sender's for so long.
  EXPECT_EQ(world.schedule.at("p"), kNow + 20'000'000);
}

TEST_F(CancellationLegs, OfAPartlyCapturedPaymentAreAVoidAndThenARefund) {
  world.add("p", 100, 40);
  EXPECT_THAT(plan(), ElementsAre("p VOID 60", "p REFUND 40"));
  ASSERT_TRUE(world.begin());
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 UNKNOWN"));
  world.send_all();
  EXPECT_EQ(status(), "IN_PROGRESS") << "a settled leg completes nothing";
  EXPECT_EQ(world.schedule.at("p"), kNow);
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 SUCCEEDED", "p REFUND 40 UNKNOWN"));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.banks.at("p").refundable(), 0);
}

TEST_F(CancellationLegs, OfAllPaymentsAreVoidsFirst) {
  world.add("a", 70, 70);
  world.add("b", 100);
  world.add("c", 50, 50, 20);
  EXPECT_THAT(plan(), ElementsAre("b VOID 100", "a REFUND 70", "c REFUND 30"));
  ASSERT_TRUE(world.begin());
  world.fault = of_kind(kVoid, Fault::kLost);
  world.advance();
  world.send_all();
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("b VOID 100 UNKNOWN"));
  world.fault = always(Fault::kNone);
  world.send_all();
  world.advance();
  EXPECT_THAT(legs(),
              ElementsAre("b VOID 100 SUCCEEDED", "a REFUND 70 UNKNOWN", "c REFUND 30 UNKNOWN"));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(CancellationLegs, AnOpenPaymentIsClosed) {
  world.add_open("p", 100);
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 0 SUCCEEDED"));
  world.banks.at("p").pay();
  EXPECT_EQ(world.banks.at("p").capturable(), 0);
}

TEST_F(CancellationLegs, ACustomerWhoPaysMeanwhileGetsItBack) {
  world.add_open("p", 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("p VOID 0 UNKNOWN"));
  world.banks.at("p").pay();
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.banks.at("p").capturable(), 0);
  EXPECT_EQ(world.payment("p").voided().amount_minor(), 100);
}

TEST_F(CancellationLegs, WaitForAGatewayThatIsProcessing) {
  world.add_open("p", 100).stage = Bank::Stage::kProcessing;
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_THAT(legs(), ElementsAre("p VOID 0 FAILED"));
  EXPECT_FALSE(world.advance()) << "it is not tried over and over";
  world.banks.at("p").pay();
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 0 FAILED", "p VOID 100 SUCCEEDED"));
}

TEST_F(CancellationLegs, OfAnExpiredAuthorizationAreNone) {
  auto& bank = world.add("p", 100);
  ASSERT_TRUE(world.begin());
  bank.movements.push_back({"x", kExpiry, kSucceeded, 100, kNow, "", ""});
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), IsEmpty());
  EXPECT_EQ(world.payment("p").status(), pb::PAYMENT_STATUS_EXPIRED);
}

TEST_F(CancellationLegs, APendingRefundIsAsGoodAsDone) {
  world.add("p", 100, 100);
  world.fault = always(Fault::kAccepts);
  pb::CancelOrderRequest request;
  request.set_notify_customer(true);
  ASSERT_TRUE(world.begin(request));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 PENDING"));
  EXPECT_TRUE(world.order.cancellation().legs(0).initiated());
  EXPECT_EQ(report_of(world.order).pending().amount_minor(), 100);
  EXPECT_THAT(world.emails, SizeIs(1));

  world.banks.at("p").end_refund(true);
  world.sync("p");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 SUCCEEDED"));
  EXPECT_EQ(report_of(world.order).refunded().amount_minor(), 100);
  EXPECT_FALSE(world.payment("p").attention());
}

TEST_F(CancellationLegs, ARefundThatFailsAfterCompletionIsSomebodysToSee) {
  world.add("p", 100, 100);
  world.fault = always(Fault::kAccepts);
  ASSERT_TRUE(world.begin());
  world.drive();
  world.banks.at("p").end_refund(false);
  world.sync("p");
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.order.state_id(), "canceled");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 FAILED"));
  EXPECT_EQ(world.order.cancellation().legs(0).reason(), "ACCOUNT_CLOSED");
  EXPECT_TRUE(world.payment("p").attention());
  EXPECT_FALSE(world.advance()) << "what is completed is not driven on";

  pb::RefundPaymentRequest request;
  request.set_payment_id("p");
  const AttemptContext attempt{world.next_ids(), kUuid, kLease, &world.gateways};
  EXPECT_TRUE(refund_payment(request, attempt, world.target(), world.context()).ok());
}

TEST_F(CancellationLegs, TheFailureOfACompletedRefundIsSeenWithoutAReadingToo) {
  pb::Order order = world.order;
  auto& payment = *order.add_payments();
  payment.set_payment_id("p");
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  auto& leg = *order.mutable_cancellation()->add_legs();
  leg.set_payment_id("p");
  leg.set_kind(kRefund);
  leg.set_status(kPending);
  leg.set_transaction_id("t");
  std::vector<pb::PaymentTransaction> written(1);
  written[0].set_transaction_id("t");
  written[0].set_status(kFailed);
  follow_transactions(written, order);
  EXPECT_TRUE(order.payments(0).attention());
}

TEST_F(CancellationLegs, ARefusalForGoodFailsIt) {
  world.add("a", 100, 100);
  world.add("b", 50, 50);
  world.fault = [](const auto& attempt) {
    return attempt.payment_id() == "a" ? Fault::kRefuses : Fault::kNone;
  };
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  EXPECT_EQ(world.order.state_id(), "new");
  EXPECT_THAT(legs(), ElementsAre("a REFUND 100 FAILED", "b REFUND 50 SUCCEEDED"));
  EXPECT_THAT(world.emails, IsEmpty());
  EXPECT_FALSE(world.advance());
  EXPECT_EQ(report_of(world.order).outstanding().amount_minor(), 100);
}

TEST_F(CancellationLegs, AnotherPassTriesAgain) {
  world.add("p", 100, 40);
  world.fault = of_kind(kRefund, Fault::kRefuses);
  pb::CancelOrderRequest request;
  request.set_reason("first");
  request.set_notify_customer(true);
  ASSERT_TRUE(world.begin(request));
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  // The state needs to allow it no more; what the first call wanted stands.
  settings_.states.at("new").set_allows_cancel(false);
  request.set_reason("second");
  request.set_notify_customer(false);
  ASSERT_TRUE(world.begin(request));
  EXPECT_EQ(status(), "IN_PROGRESS");
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  world.fault = always(Fault::kNone);
  ASSERT_TRUE(world.begin(request));
  EXPECT_EQ(world.order.cancellation().pass(), 3);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.order.cancellation().reason(), "first");
  EXPECT_THAT(world.emails, SizeIs(1));
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 SUCCEEDED", "p REFUND 40 FAILED", "p REFUND 40 FAILED",
                                  "p REFUND 40 SUCCEEDED"));
}

TEST_F(CancellationLegs, AnOperatorsWordEndsARefusedLeg) {
  world.add("p", 100, 100);
  world.fault = always(Fault::kRefuses);
  ASSERT_TRUE(world.begin());
  world.drive();
  const std::string leg = world.order.cancellation().legs(0).transaction_id();
  EXPECT_FALSE(world.resolve(leg, false)) << "it has failed already";
  ASSERT_TRUE(world.resolve(leg, true));
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_EQ(world.schedule.at("p"), kNow);
  EXPECT_EQ(world.payment("p").refunded().amount_minor(), 100);
  // The gateway does not know of that money; it is not returned a second time.
  world.fault = always(Fault::kNone);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 SUCCEEDED"));
  EXPECT_EQ(world.banks.at("p").sum(kRefund), 0);
  EXPECT_TRUE(world.payment("p").attention()) << "the books differ";
}

TEST_F(CancellationLegs, AnOperatorsWordDoesNotEndTheOthers) {
  world.add("a", 100, 100);
  world.add("b", 50, 50);
  world.fault = always(Fault::kRefuses);
  ASSERT_TRUE(world.begin());
  world.drive();
  ASSERT_TRUE(world.resolve(world.order.cancellation().legs(0).transaction_id(), true));
  EXPECT_EQ(status(), "FAILED");
  ASSERT_TRUE(world.resolve(world.order.cancellation().legs(1).transaction_id(), true));
  EXPECT_EQ(status(), "IN_PROGRESS");
}

TEST_F(CancellationLegs, AnOperatorCanNotReturnWhatIsNotThere) {
  world.add("p", 100, 100);
  world.fault = always(Fault::kRefuses);
  ASSERT_TRUE(world.begin());
  world.drive();
  world.banks.at("p").move(kRefund, 30);
  world.sync("p");
  const std::string leg = world.order.cancellation().legs(0).transaction_id();
  EXPECT_REFUSED(world.try_resolve(leg, true), "AMOUNT_TOO_LARGE");
  // Only legs of a cancellation that waits for a decision.
  world.order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_REFUSED(world.try_resolve(leg, true), "TRANSACTION_FINAL");
}

TEST_F(CancellationLegs, AnOperatorsWordIsTakenOnceForTheSameMoney) {
  world.add("p", 100, 100);
  world.fault = always(Fault::kRefuses);
  ASSERT_TRUE(world.begin());
  world.drive();
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 FAILED", "p REFUND 100 FAILED"));
  const auto tried = world.order.cancellation();
  ASSERT_TRUE(world.resolve(tried.legs(0).transaction_id(), true));
  // The gateway knows better, but that is no reason to believe a second word.
  world.sync("p");
  EXPECT_EQ(world.payment("p").refundable().amount_minor(), 100);
  world.order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_FAILED);
  EXPECT_REFUSED(world.try_resolve(tried.legs(1).transaction_id(), true), "AMOUNT_TOO_LARGE");
}

TEST_F(CancellationLegs, AVoidByAnOperatorsWord) {
  auto& bank = world.add("p", 100, 40);
  bank.can.set_void_after_capture(false);
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 FAILED", "p REFUND 40 SUCCEEDED"))
      << "what can be returned is";
  ASSERT_TRUE(world.resolve(world.order.cancellation().legs(0).transaction_id(), true));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(CancellationLegs, WithoutRefundsBeforeTheFinalCaptureTheVoidDecides) {
  auto& bank = world.add("p", 100, 40);
  bank.can.set_refund_before_final_capture(false);
  ASSERT_TRUE(world.begin());
  bank.can.set_void_after_capture(false);
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 FAILED"));
  // It runs out.
  bank.movements.push_back({"x", kExpiry, kSucceeded, 60, kNow, "", ""});
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 60 FAILED", "p REFUND 40 SUCCEEDED"));
}

TEST_F(CancellationLegs, WhatAGatewayReleasesByItselfIsAwaited) {
  auto& bank = world.add("p", 100, 40);
  bank.can.set_multi_capture(false);
  bank.can.set_void_after_capture(false);
  bank.can.set_refund_before_final_capture(false);
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_THAT(legs(), IsEmpty());
  bank.movements.push_back({"x", kVoid, kSucceeded, 60, kNow, "", ""});
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 40 SUCCEEDED"));
}

TEST_F(CancellationLegs, OneAtATimeWhereTheGatewayWantsThat) {
  auto& bank = world.add("p", 100, 40);
  bank.can.set_concurrent_operations(false);
  world.sync("p");
  pb::CapturePaymentRequest capture;
  capture.set_payment_id("p");
  *capture.mutable_amount() = make_money("EUR", 10);
  const AttemptContext attempt{world.next_ids(), kUuid, kLease, &world.gateways};
  ASSERT_TRUE(world.apply(capture_payment(capture, attempt, world.target(), world.context())));
  ASSERT_TRUE(world.begin());
  EXPECT_FALSE(world.advance()) << "the capture has not found its end";
  EXPECT_THAT(plan(), IsEmpty());
  EXPECT_THAT(legs(), IsEmpty());
  // It was done, as it turns out.
  bank.move(kCapture, 10, attempt.transaction_id.to_string());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 50 SUCCEEDED", "p REFUND 50 SUCCEEDED"));
}

TEST_F(CancellationLegs, NothingIsDecidedWithoutAllReadings) {
  world.add("a", 100);
  world.add("b", 50);
  ASSERT_TRUE(world.begin());
  auto readings = world.read();
  readings.pop_back();
  EXPECT_FALSE(world.apply(world.try_advance(readings)));
  // What was read is kept all the same.
  world.banks.at("a").move(kCapture, 100);
  readings = world.read();
  readings.pop_back();
  EXPECT_TRUE(world.apply(world.try_advance(readings)));
  EXPECT_EQ(world.payment("a").captured().amount_minor(), 100);
  EXPECT_THAT(legs(), IsEmpty());
  EXPECT_EQ(world.schedule.at("b"), kNow + 20'000'000);

  readings = world.read();
  readings[0].revision -= 1;
  EXPECT_REFUSED(world.try_advance(readings), "STALE_READING");
}

TEST_F(CancellationLegs, AVoidThatCameTooLateIsFollowedByARefund) {
  auto& bank = world.add("p", 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  bank.move(kCapture, 100);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p VOID 100 FAILED", "p REFUND 100 SUCCEEDED"));
}

TEST_F(CancellationLegs, AnAnswerThatWasLostIsFoundAndNotTriedAgain) {
  auto& bank = world.add("p", 100, 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  world.fault = always(Fault::kDoneUnheard);
  world.send_all();
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 UNKNOWN"));
  world.fault = always(Fault::kNone);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 SUCCEEDED"));
  EXPECT_EQ(bank.sum(kRefund), 100);
}

TEST_F(CancellationLegs, WhatWasNotAppliedIsTriedAnew) {
  world.add("p", 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  world.fault = always(Fault::kLost);
  world.send_all();
  world.now += 24 * kHours;
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("p VOID 100 UNKNOWN"));
  world.now += 11 * kMinutes;
  world.fault = always(Fault::kNone);
  world.advance();
  EXPECT_THAT(legs(), ElementsAre("p VOID 100 FAILED", "p VOID 100 UNKNOWN"));
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(CancellationLegs, AReadingThatDoesNotShowARefundYetDoesNotMakeASecond) {
  auto& bank = world.add("p", 100, 100);
  const Bank before = bank;
  ASSERT_TRUE(world.begin());
  world.advance();
  world.send_all();
  EXPECT_EQ(bank.sum(kRefund), 100);
  std::vector<PaymentReading> old = {{"p", world.payment("p").revision(), before.reading()}};
  ASSERT_TRUE(world.apply(world.try_advance(old)));
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 SUCCEEDED"));
}

TEST_F(CancellationLegs, OfAPaymentThatCanNotBeAreNone) {
  auto& bank = world.add("a", 100);
  world.add("b", 50);
  ASSERT_TRUE(world.begin());
  bank.movements.push_back({"x", kCapture, kSucceeded, 150, kNow, "", ""});
  world.drive();
  EXPECT_TRUE(world.payment("a").discrepancy());
  EXPECT_EQ(status(), "FAILED");
  EXPECT_THAT(legs(), ElementsAre("b VOID 50 SUCCEEDED"));
  bank.movements.pop_back();
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(CancellationLegs, OfAnExternalPaymentWaitForSomebody) {
  world.add_external("e", 100, 60);
  pb::CancelOrderRequest request;
  request.set_notify_customer(true);
  ASSERT_TRUE(world.begin(request));
  world.drive();
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_THAT(legs(), ElementsAre("e VOID 40 SUCCEEDED", "e REFUND 60 PENDING"));
  EXPECT_FALSE(world.order.cancellation().legs(1).initiated());
  EXPECT_EQ(report_of(world.order).outstanding().amount_minor(), 60);
  EXPECT_FALSE(world.advance());
  EXPECT_THAT(world.emails, IsEmpty());

  const std::string leg = world.order.cancellation().legs(1).transaction_id();
  world.now += kMinutes;
  ASSERT_TRUE(world.resolve(leg, true));
  EXPECT_EQ(status(), "IN_PROGRESS") << "a decision completes nothing by itself";
  EXPECT_EQ(world.schedule.at("e"), world.now);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(world.emails, SizeIs(1));
  EXPECT_EQ(world.schedule.at("e"), std::nullopt);
}

TEST_F(CancellationLegs, AnExternalRefundThatWasNotMadeFailsIt) {
  world.add_external("e", 60, 60);
  ASSERT_TRUE(world.begin());
  world.drive();
  const std::string leg = world.order.cancellation().legs(0).transaction_id();
  ASSERT_TRUE(world.resolve(leg, false));
  world.drive();
  EXPECT_EQ(status(), "FAILED");
  ASSERT_TRUE(world.resolve(leg, true));
  EXPECT_EQ(status(), "IN_PROGRESS");
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(world.payment("e").refunded().amount_minor(), 60);
}

TEST_F(CancellationLegs, AGatewayThatIsAwayLeavesThemOpen) {
  world.add("p", 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  world.fault = always(Fault::kAway);
  world.send_all();
  EXPECT_EQ(status(), "IN_PROGRESS");
  EXPECT_THAT(legs(), ElementsAre("p VOID 100 UNKNOWN"));
  EXPECT_EQ(world.order.cancellation().legs(0).reason(), "GATEWAY_UNREACHABLE");
  EXPECT_EQ(world.schedule.at("p"), kNow + kMinutes) << "not at once: it is away";
  EXPECT_FALSE(world.advance());
  world.fault = always(Fault::kNone);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
}

TEST_F(CancellationLegs, RefundsOfOthersCount) {
  auto& bank = world.add("p", 100, 100);
  bank.move(kRefund, 30, "", true);
  ASSERT_TRUE(world.begin());
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 70 SUCCEEDED"));
}

TEST_F(CancellationLegs, AreFollowedWhateverChangesThem) {
  world.add("p", 100, 100);
  ASSERT_TRUE(world.begin());
  world.advance();
  const std::string leg = world.order.cancellation().legs(0).transaction_id();
  world.banks.at("p").move(kRefund, 100, leg, true);
  world.sync("p");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 PENDING"));
  EXPECT_TRUE(world.order.cancellation().legs(0).initiated());
  EXPECT_EQ(world.schedule.at("p"), kNow);
  world.banks.at("p").end_refund(false);
  world.sync("p");
  EXPECT_THAT(legs(), ElementsAre("p REFUND 100 FAILED"));
  world.drive();
  EXPECT_EQ(status(), "FAILED") << "it failed before all was done";
}

TEST_F(CancellationLegs, SumsThatDoNotFitAreAsLargeAsCanBe) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  world.add("a", kMost);
  world.add("b", kMost);
  ASSERT_TRUE(world.begin());
  EXPECT_EQ(report_of(world.order).outstanding().amount_minor(), kMost);
  world.drive();
  EXPECT_EQ(status(), "COMPLETED");
  EXPECT_EQ(report_of(world.order).reversed().amount_minor(), kMost);
}

}  // namespace
}  // namespace orderd::rules
