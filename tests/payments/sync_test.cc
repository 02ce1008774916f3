#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/payments/payments_fixture.h"

// Readings of gateways: those that a caller asks for, and those that an attempt needs first.

namespace orderd::test {
namespace {

using payments::FetchError;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;

TEST_F(ProcessorTest, AnUnsyncedPaymentIsReadFirst) {
  const Paid paid = pay(1000, 200);
  auto request = capture(paid, 0, new_request_id());
  request.set_etag(node_->server.stored(paid.order)->order->etag());
  const AnswerOr answer = node_->call(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->transaction->amount().amount_minor(), 800);
  EXPECT_EQ(answer->transaction->status(), kSucceeded);
  const pb::Payment payment = node_->payment(paid.order);
  EXPECT_EQ(payment.status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_EQ(payment.captured().amount_minor(), 1000);
  EXPECT_EQ(gateway_->fetches(paid.reference), 1);

  const Paid other = pay();
  auto stale = capture(other);
  stale.set_etag("1");
  const AnswerOr refused = node_->call(stale);
  EXPECT_REASON(refused, "ETAG_MISMATCH");
  EXPECT_EQ(gateway_->fetches(other.reference), 0);
}

TEST_F(ProcessorTest, AnUnsyncedPaymentWhoseGatewayIsAwayIsLeftAlone) {
  const std::vector<std::pair<FetchError::Kind, std::string>> cases = {
      {FetchError::Kind::kUnavailable, "GATEWAY_UNAVAILABLE"},
      {FetchError::Kind::kNotFound, "GATEWAY_PAYMENT_NOT_FOUND"},
      {FetchError::Kind::kUnusable, "GATEWAY_PAYMENT_UNUSABLE"}};
  for (const auto& [kind, reason] : cases) {
    const Paid paid = pay();
    const std::string etag = node_->server.stored(paid.order)->order->etag();
    gateway_->fail_fetch(paid.reference, FetchError{.kind = kind, .reason = {}, .retry_after = {}});
    const auto request = capture(paid, 100, new_request_id());
    const AnswerOr answer = node_->call(request);
    EXPECT_REASON(answer, reason);
    if (kind == FetchError::Kind::kUnavailable) {
      EXPECT_TRUE(has_retry_info(answer.status()));
    }
    EXPECT_REASON(node_->sync(paid.order), reason);
    EXPECT_EQ(node_->server.stored(paid.order)->order->etag(), etag);
    EXPECT_THAT(node_->ledger(paid.order), IsEmpty());

    // The same request may be made again.
    gateway_->fail_fetch(paid.reference, std::nullopt);
    const AnswerOr again = node_->call(request);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(again->replayed);
    EXPECT_EQ(again->transaction->status(), kSucceeded);
  }
}

TEST_F(ProcessorTest, WhatIsOnlyValidatedIsNeitherWrittenNorSent) {
  const Paid paid = pay(1000, 200);
  const std::string etag = node_->server.stored(paid.order)->order->etag();
  auto request = capture(paid, 300);
  request.set_validate_only(true);
  for (const bool unsynced : {true, false}) {
    const AnswerOr answer = node_->call(request);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->changed);
    ASSERT_TRUE(answer->transaction);
    EXPECT_EQ(answer->transaction->amount().amount_minor(), 300);
    if (unsynced) {
      EXPECT_EQ(node_->server.stored(paid.order)->order->etag(), etag);
      EXPECT_THAT(node_->ledger(paid.order), IsEmpty());
      ASSERT_TRUE(node_->sync(paid.order).ok());
    }
  }
  request.mutable_amount()->set_amount_minor(801);
  EXPECT_REASON(node_->call(request), "AMOUNT_TOO_LARGE");
  EXPECT_THAT(node_->attempts(paid.order), IsEmpty());
  EXPECT_THAT(gateway_->calls(), IsEmpty());
}

TEST_F(ProcessorTest, ASyncFoldsOnceAndAnswersRetriesWithoutTheGateway) {
  const Paid paid = pay(1000, 200);
  pb::SyncPaymentsRequest request;
  request.set_order_id(paid.order.to_string());
  request.set_validate_only(true);
  const std::string etag = node_->server.stored(paid.order)->order->etag();
  const AnswerOr would = get(node_->send_sync(request));
  ASSERT_TRUE(would.ok()) << would.status();
  EXPECT_TRUE(would->changed);
  ASSERT_EQ(would->outcome.differences_size(), 1);
  EXPECT_EQ(node_->server.stored(paid.order)->order->etag(), etag);
  EXPECT_THAT(node_->ledger(paid.order), IsEmpty());

  request.set_validate_only(false);
  request.set_request_id(new_request_id());
  const AnswerOr synced = get(node_->send_sync(request));
  ASSERT_TRUE(synced.ok()) << synced.status();
  EXPECT_TRUE(synced->changed);
  EXPECT_EQ(synced->order->order->payments(0).captured().amount_minor(), 200);
  ASSERT_EQ(synced->outcome.differences_size(), 1);
  EXPECT_EQ(synced->outcome.differences(0).before_status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(synced->outcome.differences(0).after_status(), pb::PAYMENT_STATUS_PARTLY_CAPTURED);

  const AnswerOr second = node_->sync(paid.order);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->changed);
  EXPECT_EQ(second->outcome.differences_size(), 0);

  gateway_->fail_fetch(paid.reference, FetchError{});
  const AnswerOr replayed = get(node_->send_sync(request));
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_TRUE(replayed->replayed);
  EXPECT_EQ(replayed->outcome.differences_size(), 1);
  EXPECT_REASON(node_->sync(paid.order), "GATEWAY_UNAVAILABLE");
}

TEST_F(ProcessorTest, AReadingThatMoneyOvertookIsTakenAgain) {
  const Paid paid = pay();
  ASSERT_TRUE(node_->sync(paid.order).ok());
  std::atomic<int> captures = 0;
  // The reading has been taken and is on its way when money moves.
  gateway_->on_fetch(paid.reference, [&] {
    if (captures.fetch_add(1) > 1) return;
    const AnswerOr captured = node_->call(capture(paid, 100));
    ASSERT_TRUE(captured.ok()) << captured.status();
    EXPECT_EQ(captured->transaction->status(), kSucceeded);
  });
  const AnswerOr synced = node_->sync(paid.order);
  ASSERT_TRUE(synced.ok()) << synced.status();
  EXPECT_FALSE(synced->changed) << "all that the gateway says was known";
  EXPECT_EQ(gateway_->fetches(paid.reference), 4);
  EXPECT_EQ(node_->payment(paid.order).captured().amount_minor(), 200);
  EXPECT_THAT(node_->attempts(paid.order), SizeIs(2));
}

TEST_F(ProcessorTest, ASyncIsOfAllPaymentsOrOfNone) {
  const Paid paid = pay();
  gateway_->authorize("second", 500);
  const std::string second = node_->add_payment(paid.order, "second");
  node_->add_payment(paid.order, "by hand", "external");
  gateway_->fail_fetch("second", FetchError{});
  EXPECT_REASON(node_->sync(paid.order), "GATEWAY_UNAVAILABLE");
  EXPECT_EQ(node_->payment(paid.order, 0).status(), pb::PAYMENT_STATUS_UNSYNCED);

  // One of them alone.
  pb::SyncPaymentsRequest one;
  one.set_order_id(paid.order.to_string());
  one.set_payment_id(paid.payment);
  const AnswerOr alone = get(node_->send_sync(one));
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(node_->payment(paid.order, 0).status(), pb::PAYMENT_STATUS_AUTHORIZED);
  EXPECT_EQ(node_->payment(paid.order, 1).status(), pb::PAYMENT_STATUS_UNSYNCED);

  gateway_->fail_fetch("second", std::nullopt);
  // Both readings are under way at the same time.
  const auto gate = std::make_shared<Gate>();
  gateway_->on_fetch("second", [gate] { gate->pass(); });
  gateway_->on_fetch(paid.reference, [gate] { gate->pass(); });
  pb::SyncPaymentsRequest all;
  all.set_order_id(paid.order.to_string());
  auto both = node_->send_sync(all);
  gate->wait_entered(2);
  gate->open();
  const AnswerOr synced = get(std::move(both));
  ASSERT_TRUE(synced.ok()) << synced.status();
  EXPECT_EQ(node_->payment(paid.order, 1).status(), pb::PAYMENT_STATUS_AUTHORIZED);

  one.set_payment_id(Uuid::generate().to_string());
  EXPECT_REASON(get(node_->send_sync(one)), "PAYMENT_NOT_FOUND");
}

}  // namespace
}  // namespace orderd::test
