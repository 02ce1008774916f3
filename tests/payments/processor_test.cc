#include "server/payments/processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <random>
#include <sstream>

#include "storage/wall_clock.h"
#include "tests/engine/faulty_storage.h"
#include "tests/payments/payments_fixture.h"

// Attempts on their way: written, sent, settled, and what the caller hears of it meanwhile.

namespace orderd::test {
namespace {

using payments::FetchError;
using Kind = payments::CallResult::Kind;
using GatewayStep = FakeGateway::Step;
using std::chrono::milliseconds;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;

TEST_F(ProcessorTest, EveryResultOfEveryOperationIsWrittenAndAnswered) {
  struct Case {
    const char* name;
    GatewayStep step;
    pb::TransactionStatus status;
    std::string reason;
  };
  const std::vector<Case> cases = {
      {"succeeded", {}, kSucceeded, ""},
      {"pending", {.applies = false, .answer = result(Kind::kPending, "", "p-1")}, kPending, ""},
      {"refused",
       {.applies = false, .answer = result(Kind::kRefused, "CARD_DECLINED")},
       kFailed,
       "CARD_DECLINED"},
      {"not executed",
       {.applies = false, .answer = result(Kind::kNotExecuted, "GATEWAY_UNREACHABLE")},
       kUnknown,
       "GATEWAY_UNREACHABLE"},
      {"unknown",
       {.applies = false, .answer = result(Kind::kUnknown, "TIMEOUT")},
       kUnknown,
       "TIMEOUT"},
      {"applied, answer lost",
       {.applies = true, .answer = result(Kind::kUnknown, "TIMEOUT")},
       kUnknown,
       "TIMEOUT"},
      {"conflict, not applied",
       {.applies = false, .answer = result(Kind::kStateConflict, "ALREADY_CAPTURED")},
       kFailed,
       "ALREADY_CAPTURED"},
      {"conflict without a reason",
       {.applies = false, .answer = result(Kind::kStateConflict)},
       kFailed,
       "STATE_CONFLICT"},
      {"conflict, applied",
       {.applies = true, .answer = result(Kind::kStateConflict, "ALREADY_CAPTURED")},
       kSucceeded,
       ""},
      {"throws", {.throws = true}, kUnknown, "NO_ANSWER"},
  };
  for (const auto kind : {kCapture, kVoid, kRefund}) {
    for (const Case& tried : cases) {
      SCOPED_TRACE(pb::TransactionKind_Name(kind) + ": " + tried.name);
      const Paid paid = pay(1000, 400);
      ASSERT_TRUE(node_->sync(paid.order).ok());
      gateway_->script(tried.step);
      const auto before = gateway_->calls().size();

      const AnswerOr answer = operate(kind, paid);
      ASSERT_TRUE(answer.ok()) << answer.status();
      ASSERT_TRUE(answer->transaction);
      const pb::PaymentTransaction& attempt = *answer->transaction;
      EXPECT_TRUE(answer->changed);
      EXPECT_EQ(attempt.status(), tried.status) << attempt.reason();
      EXPECT_EQ(attempt.reason(), tried.reason);
      EXPECT_EQ(attempt.transaction_id(), answer->outcome.transaction_id());
      EXPECT_EQ(answer->etag, answer->order->order->etag());
      EXPECT_EQ(answer->etag, node_->server.stored(paid.order)->order->etag());

      const auto calls = gateway_->calls();
      ASSERT_EQ(calls.size(), before + 1);
      EXPECT_EQ(calls.back().kind, kind);
      EXPECT_EQ(calls.back().payment.gateway_reference, paid.reference);
      EXPECT_EQ(calls.back().payment.currency_code, "EUR");
      EXPECT_EQ(calls.back().attempt.attempt_id, attempt.transaction_id());
      EXPECT_EQ(calls.back().attempt.idempotency_key, attempt.transaction_id());
      EXPECT_EQ(calls.back().attempt.amount_minor, attempt.amount().amount_minor());
      EXPECT_TRUE(calls.back().attempt.multi_capture);

      const auto attempts = node_->attempts(paid.order);
      ASSERT_THAT(attempts, SizeIs(1));
      EXPECT_EQ(attempts[0].SerializeAsString(), attempt.SerializeAsString());
      const bool open = tried.status == kUnknown || tried.status == kPending;
      EXPECT_EQ(node_->payment(paid.order).open_transactions_size(), open ? 1 : 0);
    }
  }
}

TEST_F(ProcessorTest, AConflictThatCantBeReadStaysUnknown) {
  const Paid paid = pay();
  ASSERT_TRUE(node_->sync(paid.order).ok());
  gateway_->fail_fetch(paid.reference, FetchError{});
  gateway_->script({.applies = false, .answer = result(Kind::kStateConflict, "CANCELED")});
  const AnswerOr answer = node_->call(capture(paid, 300));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->transaction->status(), kUnknown);
  EXPECT_EQ(answer->transaction->reason(), "CANCELED");
}

TEST_F(ProcessorTest, AConflictAtTheFirstCallIsEvidenceWhateverElseWasDone) {
  for (const bool others : {false, true}) {
    SCOPED_TRACE(others);
    const Paid paid = pay();
    ASSERT_TRUE(node_->sync(paid.order).ok());
    auto can = node_->payment(paid.order).capabilities();
    can.set_lookup_by_attempt(false);
    gateway_->set_capabilities(can);
    ASSERT_TRUE(node_->sync(paid.order).ok());
    if (others) gateway_->move(paid.reference, kCapture, 200);
    gateway_->script({.applies = false, .answer = result(Kind::kStateConflict, "CONFLICT")});
    const AnswerOr answer = node_->call(capture(paid, 300));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->transaction->status(), kFailed);
    EXPECT_EQ(answer->transaction->reason(), "CONFLICT");
    EXPECT_EQ(node_->payment(paid.order).captured().amount_minor(), others ? 200 : 0);
    can.set_lookup_by_attempt(true);
    gateway_->set_capabilities(can);
  }
}

TEST_F(ProcessorTest, AnAnswerThatComesAfterAFailureIsNotSilent) {
  const Paid paid = pay(1000, 400);
  ASSERT_TRUE(node_->sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto sent = node_->send(request_for<pb::RefundPaymentRequest>(paid.order, paid.payment, 100));
  gate->wait_entered();
  // Somebody, or another server, has come to the wrong conclusion.
  const std::string id = node_->attempts(paid.order).at(0).transaction_id();
  Command failing = command_for("Settle", request_for<pb::RefundPaymentRequest>(paid.order, ""));
  failing.rule = [&](const rules::Target& target, const rules::Context& context) {
    return rules::settle(paid.payment, *Uuid::parse(id), result(Kind::kRefused, "WRONG"), target,
                         context);
  };
  ASSERT_TRUE(node_->server.call(failing).ok());
  gate->open();
  const AnswerOr answer = get(std::move(sent));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->transaction->status(), kFailed);
  EXPECT_TRUE(node_->payment(paid.order).attention());

  // It is due at once, and the reading carries the attempt's id.
  const auto due =
      storage_->claim_due_checks(std::vector{kAccount}, wall_clock(), INT64_MAX / 2, 9);
  ASSERT_THAT(due, SizeIs(1));
  std::promise<payments::Processor::Visit> visited;
  node_->processor.reconcile(paid.order, paid.payment, in(kPatience),
                             [&](const auto& visit) { visited.set_value(visit); });
  EXPECT_EQ(get(visited.get_future()).result, payments::Processor::Visit::Result::kNews);
  EXPECT_EQ(node_->attempts(paid.order).at(0).status(), kSucceeded);
  EXPECT_EQ(node_->payment(paid.order).refunded().amount_minor(), 100);
}

TEST_F(ProcessorTest, ACallerIsAnsweredBeforeHisDeadlineAndTheCallGoesOn) {
  const Paid paid = pay();
  ASSERT_TRUE(node_->sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto early = node_->send(capture(paid, 300), in(milliseconds(500)));
  gate->wait_entered();
  const AnswerOr answer = get(std::move(early));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->transaction->status(), kUnknown);
  EXPECT_TRUE(answer->changed);
  EXPECT_EQ(answer->order->order->payments(0).open_transactions_size(), 1);

  gate->open();
  node_->processor.stop();
  const auto attempts = node_->attempts(paid.order);
  ASSERT_THAT(attempts, SizeIs(1));
  EXPECT_EQ(attempts[0].status(), kSucceeded);
  EXPECT_EQ(node_->payment(paid.order).captured().amount_minor(), 300);
}

TEST_F(ProcessorTest, ReplaysNeverCallTheGateway) {
  const Paid paid = pay();
  ASSERT_TRUE(node_->sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  const auto request = capture(paid, 300, new_request_id());
  auto first = node_->send(request);
  gate->wait_entered();

  const AnswerOr meanwhile = node_->call(request);
  ASSERT_TRUE(meanwhile.ok()) << meanwhile.status();
  EXPECT_TRUE(meanwhile->replayed);
  EXPECT_EQ(meanwhile->transaction->status(), kUnknown);

  gate->open();
  const AnswerOr answer = get(std::move(first));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->transaction->status(), kSucceeded);
  const AnswerOr later = node_->call(request);
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_TRUE(later->replayed);
  EXPECT_EQ(later->transaction->SerializeAsString(), answer->transaction->SerializeAsString());
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
}

TEST_F(ProcessorTest, AnErrorMeansThatNothingWasWritten) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> micros(-1000, 15'000);
  for (int i = 0; i < 100; ++i) {
    const bool read_first = i % 2 == 0;
    const Paid paid = pay();
    if (read_first) {
      ASSERT_TRUE(node_->sync(paid.order).ok());
    }
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::microseconds(micros(random));
    auto request = capture(paid, 300, new_request_id());
    const AnswerOr answer = node_->call(request, deadline);
    if (answer.ok()) {
      ASSERT_TRUE(answer->transaction);
      EXPECT_THAT(node_->attempts(paid.order), SizeIs(1));
    } else {
      EXPECT_REASON(answer, "DEADLINE_EXCEEDED");
      // Commands on one order run one by one: what has not run by now never will.
      EXPECT_TRUE(node_->server.call(invoice(paid.order, "I-" + paid.reference)).ok());
      EXPECT_THAT(node_->attempts(paid.order), IsEmpty());
    }
  }
}

TEST_F(ProcessorTest, ExternalMoneyGoesTheSameWay) {
  const Uuid order = make_order(node_->server);
  const std::string payment = node_->add_payment(order, "cash", "external");
  const AnswerOr captured =
      node_->call(request_for<pb::CapturePaymentRequest>(order, payment, 600));
  ASSERT_TRUE(captured.ok()) << captured.status();
  EXPECT_EQ(captured->transaction->status(), kSucceeded);
  const AnswerOr refunded = node_->call(request_for<pb::RefundPaymentRequest>(order, payment, 100));
  ASSERT_TRUE(refunded.ok()) << refunded.status();
  EXPECT_EQ(refunded->transaction->status(), kPending);
  EXPECT_EQ(refunded->transaction->reason(), "MANUAL");
  auto confirmed = request_for<pb::RefundPaymentRequest>(order, payment, 50);
  confirmed.set_confirm_external(true);
  const AnswerOr done = node_->call(confirmed);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->transaction->status(), kSucceeded);
  const AnswerOr voided = node_->call(request_for<pb::VoidPaymentRequest>(order, payment));
  ASSERT_TRUE(voided.ok()) << voided.status();
  EXPECT_EQ(voided->transaction->status(), kSucceeded);
  EXPECT_EQ(node_->payment(order).voided().amount_minor(), 400);
}

TEST_F(ProcessorTest, CapturesOfManyCallersNeverExceedTheAuthorization) {
  const Paid paid = pay(1000);
  std::vector<std::future<AnswerOr>> answers;
  for (int i = 0; i < 32; ++i) answers.push_back(node_->send(capture(paid, 70)));
  std::int64_t succeeded = 0;
  for (auto& future : answers) {
    const AnswerOr answer = get(std::move(future));
    if (answer.ok()) {
      EXPECT_EQ(answer->transaction->status(), kSucceeded);
      succeeded += answer->transaction->amount().amount_minor();
    } else {
      EXPECT_REASON(answer, "AMOUNT_TOO_LARGE");
    }
  }
  EXPECT_EQ(succeeded, 980);
  EXPECT_EQ(node_->payment(paid.order).captured().amount_minor(), 980);
  EXPECT_THAT(gateway_->movements(paid.reference), SizeIs(14));
  const AnswerOr synced = node_->sync(paid.order);
  ASSERT_TRUE(synced.ok()) << synced.status();
  EXPECT_FALSE(synced->changed);
}

TEST_F(ProcessorTest, AResultThatTheDatabaseRefusesIsWrittenLater) {
  const auto faulty = std::make_shared<FaultyStorage>(storage_);
  MoneyServer node(faulty, gateway_);
  const Paid paid = pay();
  ASSERT_TRUE(node.sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto answer = node.send(capture(paid, 300));
  gate->wait_entered();
  // The engine tries twice before it says that the database is away.
  std::atomic<int> faults = 6;
  faulty->set({.before = [&faults](test::Step step) {
    if (step == test::Step::kBegin && faults.fetch_sub(1) > 0) {
      throw storage::Error(storage::Error::Kind::kUnavailable, "away");
    }
  }});
  gate->open();
  const AnswerOr settled = get(std::move(answer));
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_EQ(settled->transaction->status(), kSucceeded);
  EXPECT_LT(faults, 0);
  node.processor.stop();
}

TEST_F(ProcessorTest, AResultThatCantBeWrittenIsLeftToTheReconcilerWhenTheLeaseEnds) {
  const auto faulty = std::make_shared<FaultyStorage>(storage_);
  payments::Processor::Options options;
  options.call_timeout = milliseconds(300);
  options.lease_margin = milliseconds(0);
  MoneyServer node(faulty, gateway_, options);
  const Paid paid = pay();
  ASSERT_TRUE(node.sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto answer = node.send(capture(paid, 300));
  gate->wait_entered();
  faulty->set({.before = [](test::Step step) {
    if (step == test::Step::kBegin) {
      throw storage::Error(storage::Error::Kind::kUnavailable, "away");
    }
  }});
  gate->open();
  const AnswerOr left = get(std::move(answer));
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(left->transaction->status(), kUnknown);

  faulty->set({});
  std::promise<payments::Processor::Visit> visited;
  node.processor.reconcile(paid.order, paid.payment, in(kPatience),
                           [&](const auto& visit) { visited.set_value(visit); });
  EXPECT_EQ(get(visited.get_future()).result, payments::Processor::Visit::Result::kNews);
  EXPECT_EQ(node.attempts(paid.order).at(0).status(), kSucceeded);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
}

TEST_F(ProcessorTest, WhatAGatewayThrowsIsNotLogged) {
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  const Paid paid = pay();
  gateway_->on_fetch(paid.reference, [] { throw std::runtime_error("pan=4242"); });
  const AnswerOr unread = node_->sync(paid.order);
  gateway_->on_fetch(paid.reference, [] {});
  gateway_->script({.throws = true});
  const AnswerOr unknown = node_->call(capture(paid, 300));
  spdlog::set_default_logger(before);
  EXPECT_REASON(unread, "GATEWAY_UNAVAILABLE");
  EXPECT_THAT(std::string(unread.status().message()), testing::Not(testing::HasSubstr("4242")));
  ASSERT_TRUE(unknown.ok()) << unknown.status();
  EXPECT_EQ(unknown->transaction->status(), kUnknown);
  EXPECT_THAT(log.str(), testing::HasSubstr("failed"));
  EXPECT_THAT(log.str(), testing::Not(testing::HasSubstr("4242")));
}

TEST_F(ProcessorTest, OnlyTimeEnoughToAnswerCountsAgainstAGateway) {
  MoneyServer node(storage_, gateway_, {}, {.failures = 2, .pause = std::chrono::hours(1)});
  const Paid paid = pay();
  gateway_->fail_fetch(paid.reference, FetchError{});
  pb::SyncPaymentsRequest request;
  request.set_order_id(paid.order.to_string());
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(get(node.send_sync(request, in(std::chrono::seconds(5)))).ok());
  }
  EXPECT_TRUE(node.accounts.available(kAccount).ok());
  for (int i = 0; i < 2; ++i) EXPECT_REASON(node.sync(paid.order), "GATEWAY_UNAVAILABLE");
  EXPECT_FALSE(node.accounts.available(kAccount).ok());

  // Nothing is tried and nothing asked until the pause is over.
  const int fetches = gateway_->fetches(paid.reference);
  EXPECT_REASON(node.sync(paid.order), "GATEWAY_UNAVAILABLE");
  EXPECT_REASON(node.call(capture(paid, 100)), "GATEWAY_UNAVAILABLE");
  EXPECT_EQ(gateway_->fetches(paid.reference), fetches);
  EXPECT_THAT(node.ledger(paid.order), IsEmpty());
}

/// One thread for the gateway, so that a second call waits.
class OneThread : public ProcessorTest {
 protected:
  OneThread() : ProcessorTest({.threads = 1}) {}
};

TEST_F(OneThread, WhatWaitsCanBeDroppedWhileACallGoesOn) {
  const Paid first = pay();
  const Paid second = pay();
  for (const Paid& paid : {first, second}) ASSERT_TRUE(node_->sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto running = node_->send(capture(first, 100));
  gate->wait_entered();
  auto waiting = node_->send(capture(second, 100));
  while (node_->attempts(second.order).empty()) std::this_thread::yield();

  node_->processor.drop_waiting();
  // Callers are told what is known, also of the call that runs.
  for (auto* caller : {&waiting, &running}) {
    const AnswerOr left = get(std::move(*caller));
    ASSERT_TRUE(left.ok()) << left.status();
    EXPECT_EQ(left->transaction->status(), kUnknown);
  }
  EXPECT_REASON(node_->call(capture(second, 100)), "SHUTTING_DOWN");

  gate->open();
  node_->processor.stop();
  EXPECT_EQ(node_->attempts(first.order).at(0).status(), kSucceeded);
  EXPECT_EQ(node_->attempts(second.order).at(0).status(), kUnknown);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
}

TEST_F(OneThread, StoppingWaitsForWhatRunsAndLeavesTheRestToTheReconciler) {
  const Paid first = pay();
  const Paid second = pay();
  const Paid third = pay();
  for (const Paid& paid : {first, second}) ASSERT_TRUE(node_->sync(paid.order).ok());
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto running = node_->send(capture(first, 100));
  gate->wait_entered();
  auto waiting = node_->send(capture(second, 100));
  auto reading = node_->send_sync([&] {
    pb::SyncPaymentsRequest request;
    request.set_order_id(third.order.to_string());
    return request;
  }());
  // Written, so it waits for the thread now.
  while (node_->attempts(second.order).empty()) std::this_thread::yield();

  std::atomic<bool> opened = false;
  std::thread stopping([&] {
    node_->processor.stop();
    EXPECT_TRUE(opened);
  });
  const AnswerOr left = get(std::move(waiting));
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(left->transaction->status(), kUnknown);
  EXPECT_EQ(absl::StatusCode::kUnavailable, get(std::move(reading)).status().code());
  const AnswerOr known = get(std::move(running));
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ(known->transaction->status(), kUnknown);
  opened = true;
  gate->open();
  stopping.join();
  EXPECT_EQ(node_->attempts(first.order).at(0).status(), kSucceeded);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));

  const AnswerOr late = node_->call(capture(first, 100));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(node_->attempts(first.order), SizeIs(1));
}

}  // namespace
}  // namespace orderd::test
