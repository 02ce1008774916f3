#include "server/payments/cancellation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/payments/cancellation_fixture.h"

// Cancellations on their way: driven in the call, answered in time, and what else happens to the
// money meanwhile. What becomes of them when a server dies is in cancellation_crash_test.cc.

namespace orderd::test {
namespace {

using payments::FetchError;
using Kind = payments::CallResult::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

using CancellationTest = CancellationTestOn<OnSqlite>;

std::vector<pb::TransactionKind> kinds(const std::vector<FakeGateway::Call>& calls) {
  std::vector<pb::TransactionKind> kinds;
  for (const auto& call : calls) kinds.push_back(call.kind);
  return kinds;
}

TEST_F(CancellationTest, EveryResultOfAVoidAndOfARefund) {
  struct Case {
    const char* name;
    FakeGateway::Step step;
    /// What the call answers, and what the order is after the reconciler's visit.
    pb::CancellationStatus answered;
    pb::CancellationStatus ended;
    /// How often the gateway is called with the leg's key in the end.
    int calls = 1;
  };
  const std::vector<Case> cases = {
      {"succeeded", {}, kCompleted, kCompleted},
      {"pending",
       {.applies = false, .answer = result(Kind::kPending, "", "p-1")},
       kCompleted,
       kCompleted},
      {"refused",
       {.applies = false, .answer = result(Kind::kRefused, "CARD_DECLINED")},
       kFailed,
       kFailed},
      {"not executed",
       {.applies = false, .answer = result(Kind::kNotExecuted, "RATE_LIMITED")},
       kInProgress,
       kCompleted,
       2},
      {"unknown",
       {.applies = false, .answer = result(Kind::kUnknown, "TIMEOUT")},
       kInProgress,
       kCompleted,
       2},
      {"applied, answer lost",
       {.applies = true, .answer = result(Kind::kUnknown, "TIMEOUT")},
       kCompleted,
       kCompleted},
      {"conflict, not applied",
       {.applies = false, .answer = result(Kind::kStateConflict, "ALREADY_DONE")},
       kFailed,
       kFailed},
      {"conflict, applied",
       {.applies = true, .answer = result(Kind::kStateConflict, "ALREADY_DONE")},
       kCompleted,
       kCompleted},
      {"throws", {.throws = true}, kInProgress, kCompleted, 2},
  };
  const auto node = serve();
  const auto successor = serve(without_lease());
  for (const auto kind : {kVoid, kRefund}) {
    for (const Case& tried : cases) {
      SCOPED_TRACE(pb::TransactionKind_Name(kind) + ": " + tried.name);
      const Paid paid = pay(*node, {{1000, kind == kVoid ? 0 : 1000}});
      gateway_->script(tried.step);
      const auto before = gateway_->calls().size();

      const AnswerOr answer = cancel(*node, cancel_request(paid.order));
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_TRUE(answer->changed);
      EXPECT_FALSE(answer->replayed);
      const pb::Order& order = answer->order->order;
      EXPECT_EQ(order.cancellation().status(), tried.answered);
      EXPECT_EQ(answer->etag, order.etag());
      EXPECT_EQ(answer->etag, stored(*node, paid).etag());
      ASSERT_THAT(order.cancellation().legs(), SizeIs(1));
      const pb::CancellationLeg& leg = order.cancellation().legs(0);
      EXPECT_EQ(leg.kind(), kind);
      EXPECT_EQ(leg.amount().amount_minor(), 1000);

      if (tried.answered == kInProgress) {
        visit(*successor, paid);
      }
      EXPECT_EQ(status(*node, paid), tried.ended);
      EXPECT_EQ(stored(*node, paid).cancellation().legs_size(), 1);
      const auto calls = gateway_->calls();
      ASSERT_EQ(static_cast<int>(calls.size() - before), tried.calls);
      EXPECT_EQ(calls.back().kind, kind);
      EXPECT_EQ(calls.back().attempt.amount_minor, 1000);
      EXPECT_EQ(calls.back().attempt.attempt_id, leg.transaction_id());
      EXPECT_EQ(calls_by_key().at(leg.transaction_id()), tried.calls);
    }
  }
}

TEST_F(CancellationTest, VoidsGoFirstAndAllGoesBack) {
  const auto node = serve();
  const Paid paid = pay(*node, {{1000, 300}, {500, 500}, {700, 0}});
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kCompleted);
  expect_returned(*node, paid);
  expect_nothing_sent_twice();
  auto order_of_calls = kinds(gateway_->calls());
  ASSERT_THAT(order_of_calls, SizeIs(4));
  EXPECT_THAT(order_of_calls, ElementsAre(kVoid, kVoid, kRefund, kRefund));
}

TEST_F(CancellationTest, NothingToReturnAsksNobody) {
  const auto node = serve();
  const Paid paid = pay(*node, {});
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  EXPECT_EQ(answer->order->order->cancellation().status(), kCompleted);
  EXPECT_THAT(gateway_->fetches(), IsEmpty());
}

TEST_F(CancellationTest, TheEMailIsWrittenOnceAndOnlyAtTheEnd) {
  const auto node = serve();
  const Paid paid = pay(*node);
  auto request = cancel_request(paid.order);
  request.set_notify_customer(true);
  gateway_->script({.applies = false, .answer = result(Kind::kUnknown, "TIMEOUT")});
  ASSERT_TRUE(cancel(*node, request).ok());
  EXPECT_EQ(status(*node, paid), kInProgress);
  EXPECT_THAT(emails(*node, paid), IsEmpty());

  const auto successor = serve(without_lease());
  visit(*successor, paid);
  visit(*successor, paid);
  expect_returned(*node, paid);
  const auto sent = emails(*node, paid);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].recipient(), "jane@example.com");
  EXPECT_THAT(sent[0].message_id(), testing::EndsWith("@shop.example>"));
}

TEST_F(CancellationTest, ARetryAndAnotherCallAreAnsweredAtOnce) {
  const auto node = serve();
  const Paid paid = pay(*node);
  const ScopedGate gate;
  gateway_->script({.gate = *gate});
  const std::string id = Uuid::generate().to_string();
  auto first = send_cancel(*node, cancel_request(paid.order, id));
  gate->wait_entered();

  const AnswerOr retry = cancel(*node, cancel_request(paid.order, id));
  ASSERT_TRUE(retry.ok()) << retry.status();
  EXPECT_TRUE(retry->replayed);
  EXPECT_EQ(retry->order->order->cancellation().status(), kInProgress);
  const AnswerOr other = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_FALSE(other->changed);
  EXPECT_EQ(other->order->order->cancellation().status(), kInProgress);

  gate->open();
  const AnswerOr answer = get(std::move(first));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kCompleted);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
  const AnswerOr late = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_FALSE(late->changed);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
}

TEST_F(CancellationTest, WhatWasNeverSyncedIsSyncedFirst) {
  const auto node = serve();
  const Paid paid = attach(*node, {{1000, 300}});
  const std::string etag = stored(*node, paid).etag();
  gateway_->fail_fetch(paid.references[0], FetchError{});
  EXPECT_REASON(cancel(*node, cancel_request(paid.order)), "GATEWAY_UNAVAILABLE");
  EXPECT_EQ(stored(*node, paid).etag(), etag) << "nothing was begun";

  gateway_->fail_fetch(paid.references[0], std::nullopt);
  auto request = cancel_request(paid.order);
  request.set_etag(etag);
  const AnswerOr answer = cancel(*node, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kCompleted);
  expect_returned(*node, paid);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, AFinishedPaymentThatItsGatewayForgotStandsInNobodysWay) {
  const auto node = serve();
  const Paid paid = pay(*node, {{1000, 0}, {500, 500}});
  // The second one is refunded, and then gone from the gateway.
  gateway_->move(paid.references[1], pb::TRANSACTION_KIND_REFUND, 500);
  ASSERT_TRUE(node->sync(paid.order).ok());
  gateway_->fail_fetch(paid.references[1], FetchError{});
  const AnswerOr away = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(away.ok()) << away.status();
  EXPECT_EQ(away->order->order->cancellation().status(), kInProgress);
  EXPECT_THAT(gateway_->calls(), IsEmpty());

  FetchError gone;
  gone.kind = FetchError::Kind::kNotFound;
  gateway_->fail_fetch(paid.references[1], gone);
  visit(*node, paid);
  wait_for(*node, paid, kCompleted);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, ARefusalAsksNobodyAndWritesNothing) {
  const auto node = serve();
  const Paid paid = attach(*node);
  auto request = cancel_request(paid.order);
  request.set_target_state_id("no-such-state");
  const std::string etag = stored(*node, paid).etag();
  for (const bool only : {false, true}) {
    request.set_validate_only(only);
    EXPECT_REASON(cancel(*node, request), "STATE_UNKNOWN");
  }
  EXPECT_EQ(stored(*node, paid).etag(), etag);
  EXPECT_THAT(gateway_->fetches(), IsEmpty());
}

// Time.

TEST_F(CancellationTest, ACallerIsAnsweredInTimeAndTheDrivingGoesOn) {
  const auto node = serve();
  const Paid paid = pay(*node, {{1000, 300}});
  const ScopedGate gate;
  gateway_->script({.gate = *gate});
  auto early = send_cancel(*node, cancel_request(paid.order), in(milliseconds(700)));
  gate->wait_entered();
  const AnswerOr answer = get(std::move(early));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  const auto& cancellation = answer->order->order->cancellation();
  EXPECT_EQ(cancellation.status(), kInProgress);
  ASSERT_THAT(cancellation.legs(), SizeIs(1));
  EXPECT_EQ(cancellation.legs(0).status(), pb::TRANSACTION_STATUS_UNKNOWN);
  EXPECT_EQ(answer->etag, answer->order->order->etag());

  gate->open();
  wait_for(*node, paid, kCompleted);
  expect_returned(*node, paid);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, AGatewayThatHangsInAReadingHoldsUpNobodyElse) {
  const auto node = serve(with_mail(), {.threads = 2, .failures = 1'000'000});
  const Paid hanging = pay(*node);
  const Paid other = pay(*node);
  const ScopedGate gate;
  gateway_->on_fetch(hanging.references[0], [gate = *gate] { gate->pass(); });
  auto early = send_cancel(*node, cancel_request(hanging.order), in(milliseconds(700)));
  gate->wait_entered();
  ASSERT_TRUE(cancel(*node, cancel_request(other.order)).ok());
  expect_returned(*node, other);
  const AnswerOr answer = get(std::move(early));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kInProgress);
  EXPECT_THAT(answer->order->order->cancellation().legs(), IsEmpty());
  gate->open();
  wait_for(*node, hanging, kCompleted);
  expect_returned(*node, hanging);
}

TEST_F(CancellationTest, AStopAnswersWhoWaitsAndLeavesTheRestToTheNextServer) {
  auto node = serve(with_mail(), {.threads = 1, .failures = 1'000'000});
  const Paid paid = pay(*node);
  const ScopedGate gate;
  gateway_->on_fetch(paid.references[0], [gate = *gate] { gate->pass(); });
  auto waiting = send_cancel(*node, cancel_request(paid.order));
  gate->wait_entered();
  std::thread stop([&] { node->processor.stop(); });
  gate->open();
  stop.join();
  const AnswerOr answer = get(std::move(waiting));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);

  const auto successor = serve(without_lease());
  if (status(*successor, paid) == kInProgress) visit(*successor, paid);
  expect_returned(*successor, paid);
  expect_nothing_sent_twice();
}

// Other money in flight.

TEST_F(CancellationTest, ACaptureInFlightIsWaitedFor) {
  const auto node = serve();
  const auto other = serve();
  const Paid paid = pay(*node);
  ASSERT_TRUE(node->sync(paid.order).ok());
  const ScopedGate gate;
  gateway_->script({.gate = *gate});
  auto capture =
      other->send(request_for<pb::CapturePaymentRequest>(paid.order, paid.payments[0], 300));
  gate->wait_entered();
  auto canceled = send_cancel(*node, cancel_request(paid.order));
  wait_for(*node, paid, kInProgress);
  // At least one decision was made, and made nothing.
  const auto end = in(kPatience);
  while (gateway_->fetches(paid.references[0]) < 2) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_THAT(gateway_->calls(), SizeIs(1));

  gate->open();
  ASSERT_TRUE(get(std::move(capture)).ok());
  const AnswerOr answer = get(std::move(canceled));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kCompleted);
  expect_returned(*node, paid);
  EXPECT_EQ(moved(paid.references[0], kRefund), 300);
  EXPECT_EQ(moved(paid.references[0], kVoid), 700);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, ACaptureWhoseAnswerWasLostIsFoundAndRefunded) {
  const auto node = serve();
  const Paid paid = pay(*node);
  ASSERT_TRUE(node->sync(paid.order).ok());
  gateway_->script({.applies = true, .answer = result(Kind::kUnknown, "TIMEOUT")});
  ASSERT_TRUE(
      node->call(request_for<pb::CapturePaymentRequest>(paid.order, paid.payments[0], 300)).ok());
  ASSERT_TRUE(cancel(*node, cancel_request(paid.order)).ok());
  expect_returned(*node, paid);
  EXPECT_EQ(moved(paid.references[0], kRefund), 300);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, ACaptureThatTheGatewayDoesNotKnowIsNotSentAgain) {
  const auto node = serve(without_lease());
  const auto sender = serve();
  const Paid paid = pay(*node);
  ASSERT_TRUE(node->sync(paid.order).ok());
  gateway_->script({.applies = false, .answer = result(Kind::kUnknown, "TIMEOUT")});
  ASSERT_TRUE(
      sender->call(request_for<pb::CapturePaymentRequest>(paid.order, paid.payments[0], 300)).ok());
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kInProgress);
  visit(*node, paid);
  EXPECT_EQ(status(*node, paid), kInProgress);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
}

TEST_F(CancellationTest, AReadingThatMoneyOvertakesIsTakenAgain) {
  const auto node = serve();
  const auto other = serve();
  const Paid paid = pay(*node, {{1000, 600}});
  std::atomic<int> readings = 0;
  gateway_->on_fetch(paid.references[0], [&] {
    if (readings++ != 0) return;
    gateway_->move(paid.references[0], kRefund, 200);
    EXPECT_TRUE(other->sync(paid.order).ok());
  });
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  expect_returned(*node, paid);
  EXPECT_EQ(moved(paid.references[0], kRefund), 600);
  expect_nothing_sent_twice();
}

// A gateway that is away.

TEST_F(CancellationTest, AGatewayThatCantBeAskedLeavesTheRestToTheReconciler) {
  const auto node = serve();
  const Paid paid = pay(*node, {{1000, 0}, {500, 500}});
  gateway_->fail_fetch(paid.references[1], FetchError{});
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  EXPECT_EQ(answer->order->order->cancellation().status(), kInProgress);
  EXPECT_EQ(visit(*node, paid).result, Visit::Result::kNotAsked);
  EXPECT_EQ(visit(*node, paid, 1).result, Visit::Result::kNotAsked);
  EXPECT_THAT(gateway_->calls(), IsEmpty());

  gateway_->fail_fetch(paid.references[1], std::nullopt);
  raw().session().execute(raw().session().sql() << "UPDATE payment_schedule SET next_check = 1");
  payments::Reconciler reconciler(*storage_, node->processor, {});
  EXPECT_EQ(reconciler.pass(), 2);
  reconciler.stop();
  expect_returned(*node, paid);
  expect_nothing_sent_twice();
}

TEST_F(CancellationTest, AGatewayThatIsLeftAloneIsNotAsked) {
  const auto node = serve(with_mail(), {.failures = 1, .pause = std::chrono::hours(1)});
  const Paid first = pay(*node);
  const Paid second = pay(*node);
  gateway_->fail_fetch(first.references[0], FetchError{});
  ASSERT_TRUE(cancel(*node, cancel_request(first.order)).ok());  // opens the circuit
  const AnswerOr answer = cancel(*node, cancel_request(second.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kInProgress);
  EXPECT_EQ(gateway_->fetches(second.references[0]), 1) << "by its sync";
}

TEST_F(CancellationTest, AnExternalRefundIsWaitedForUntilSomebodyConfirmsIt) {
  const auto node = serve();
  Paid paid = pay(*node, {{1000, 0}});
  paid.payments.push_back(node->add_payment(paid.order, "cash-1", "external"));
  const auto external = [&] { return stored(*node, paid).payments(1); };
  ASSERT_TRUE(
      node->call(request_for<pb::CapturePaymentRequest>(paid.order, paid.payments[1], 400)).ok());
  ASSERT_EQ(external().captured().amount_minor(), 400);
  const AnswerOr answer = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->order->order->cancellation().status(), kInProgress);
  EXPECT_EQ(external().voided().amount_minor(), 600);
  ASSERT_EQ(external().open_transactions_size(), 1);
  EXPECT_EQ(external().open_transactions(0).reason(), "MANUAL");

  pb::ResolveTransactionRequest request;
  request.set_order_id(paid.order.to_string());
  request.set_transaction_id(external().open_transactions(0).transaction_id());
  request.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  request.set_reason("paid back at the counter");
  Command resolve = command_for("ResolveTransaction", request);
  resolve.transaction_id = Uuid::parse(request.transaction_id());
  resolve.rule = [&](const rules::Target& target, const rules::Context& context) {
    return rules::resolve_transaction(request, node->accounts, std::chrono::microseconds(0), target,
                                      context);
  };
  ASSERT_TRUE(node->server.call(std::move(resolve)).ok());
  // It is due at once.
  payments::Reconciler reconciler(*storage_, node->processor, {});
  EXPECT_GE(reconciler.pass(), 1);
  reconciler.stop();
  EXPECT_EQ(status(*node, paid), kCompleted);
  EXPECT_EQ(external().refunded().amount_minor(), 400);
}

TEST_F(CancellationTest, AfterARefusalAnotherCallTriesAgainWithNewKeys) {
  const auto node = serve();
  const Paid paid = pay(*node);
  gateway_->script({.applies = false, .answer = result(Kind::kRefused, "DECLINED")});
  ASSERT_TRUE(cancel(*node, cancel_request(paid.order)).ok());
  ASSERT_EQ(status(*node, paid), kFailed);
  const AnswerOr again = cancel(*node, cancel_request(paid.order));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->changed);
  EXPECT_EQ(again->order->order->cancellation().pass(), 2);
  expect_returned(*node, paid);
  EXPECT_THAT(gateway_->calls(), SizeIs(2));
  expect_nothing_sent_twice();
}

// What would be done.

TEST_F(CancellationTest, APreviewAsksTheGatewaysAndWritesNothing) {
  const auto node = serve();
  const Paid paid = attach(*node, {{1000, 300}});
  auto request = cancel_request(paid.order);
  request.set_validate_only(true);
  const std::string etag = stored(*node, paid).etag();
  const AnswerOr answer = cancel(*node, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  const auto& report = answer->outcome.cancellation();
  EXPECT_FALSE(report.provisional());
  ASSERT_THAT(report.payments(), SizeIs(1));
  ASSERT_THAT(report.payments(0).legs(), SizeIs(2));
  EXPECT_EQ(report.payments(0).legs(0).kind(), kVoid);
  EXPECT_EQ(report.payments(0).legs(0).amount().amount_minor(), 700);
  EXPECT_EQ(report.payments(0).legs(1).kind(), kRefund);
  EXPECT_EQ(report.payments(0).legs(1).amount().amount_minor(), 300);
  EXPECT_EQ(stored(*node, paid).etag(), etag);
  EXPECT_EQ(stored(*node, paid).payments(0).status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_THAT(node->ledger(paid.order), IsEmpty());
  EXPECT_THAT(gateway_->calls(), IsEmpty());
}

TEST_F(CancellationTest, APreviewWithoutAGatewayIsProvisional) {
  const auto node = serve();
  const Paid paid = attach(*node, {{1000, 0}, {500, 500}});
  gateway_->fail_fetch(paid.references[1], FetchError{});
  auto request = cancel_request(paid.order);
  request.set_validate_only(true);
  const AnswerOr answer = cancel(*node, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto& report = answer->outcome.cancellation();
  EXPECT_TRUE(report.provisional());
  EXPECT_EQ(report.outstanding().amount_minor(), 1000) << "of the payment that could be asked";
}

TEST_F(CancellationTest, APreviewOfAGatewayThatHangsIsAnsweredInTime) {
  const auto node = serve();
  const Paid paid = pay(*node, {{1000, 300}});
  ASSERT_TRUE(node->sync(paid.order).ok());
  const ScopedGate gate;
  gateway_->on_fetch(paid.references[0], [gate = *gate] { gate->pass(); });
  auto request = cancel_request(paid.order);
  request.set_validate_only(true);
  const AnswerOr answer = cancel(*node, request, in(milliseconds(500)));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->outcome.cancellation().provisional());
  EXPECT_EQ(answer->outcome.cancellation().outstanding().amount_minor(), 1000);
  gate->open();
}

TEST_F(CancellationTest, APreviewIsTakenAgainWhenMoneyOvertakesIt) {
  const auto node = serve();
  const auto other = serve();
  const Paid paid = pay(*node, {{1000, 600}});
  std::atomic<int> readings = 0;
  gateway_->on_fetch(paid.references[0], [&] {
    if (readings++ != 0) return;
    gateway_->move(paid.references[0], kRefund, 200);
    EXPECT_TRUE(other->sync(paid.order).ok());
  });
  auto request = cancel_request(paid.order);
  request.set_validate_only(true);
  const AnswerOr answer = cancel(*node, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->outcome.cancellation().provisional());
  EXPECT_EQ(answer->outcome.cancellation().outstanding().amount_minor(), 400 + 400);
}

// Many.

TEST_F(CancellationTest, TwoHundredAtOnceNeedNoMoreThanTheAccountsThreads) {
  constexpr int kOrders = 200;
  const auto node = serve();
  std::vector<Paid> all;
  std::set<std::thread::id> threads;
  std::mutex mutex;
  for (int i = 0; i < kOrders; ++i) {
    all.push_back(pay(*node, {{1000, 100 * (i % 10)}}));
    gateway_->on_fetch(all.back().references[0], [&] {
      std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    });
  }
  std::vector<std::future<AnswerOr>> answers;
  for (const Paid& paid : all) {
    auto request = cancel_request(paid.order);
    request.set_notify_customer(true);
    answers.push_back(send_cancel(*node, request));
  }
  for (auto& answer : answers) {
    const AnswerOr done = get(std::move(answer));
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->order->order->cancellation().status(), kCompleted);
  }
  for (const Paid& paid : all) {
    expect_returned(*node, paid);
    EXPECT_THAT(emails(*node, paid), SizeIs(1));
  }
  expect_nothing_sent_twice();
  EXPECT_LE(static_cast<int>(threads.size()), payments::Accounts::Limits().threads);
}

}  // namespace
}  // namespace orderd::test
