#include "tests/unit/readings_fixture.h"

// Readings as the sandbox and Stripe make them: what is new, what is stale, what is ours (rule 1 of
// readings.h) and what is foreign (rule 2).

namespace orderd::rules {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReadingsFoldTest : public ReadingsTest {};

// The first reading.

TEST_F(ReadingsFoldTest, TheFirstReadingBooksEverythingAndTakesEverythingOver) {
  auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
                         {kAuth, moved(kCapture, "cap", 40), moved(kRefund, "ref", 10)});
  reading.expire_time = kNow + 7 * kDays;
  const auto change = fold(reading);

  EXPECT_EQ(payment().status(), pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  EXPECT_EQ(payment().authorized().currency_code(), "EUR");
  EXPECT_EQ(payment().capturable().amount_minor(), 60);
  EXPECT_EQ(payment().refundable().amount_minor(), 30);
  EXPECT_EQ(to_micros(payment().expire_time()), kNow + 7 * kDays);
  EXPECT_TRUE(payment().capabilities().lookup_by_attempt());
  EXPECT_EQ(payment().revision(), 1);
  EXPECT_FALSE(payment().attention());

  ASSERT_THAT(change.transactions_created, SizeIs(3));
  for (const auto& transaction : change.transactions_created) {
    EXPECT_TRUE(transaction.foreign());
    EXPECT_EQ(transaction.payment_id(), "pay-1");
    EXPECT_EQ(transaction.actor(), "");
    EXPECT_EQ(to_micros(transaction.create_time()), kNow);
    EXPECT_EQ(to_micros(transaction.complete_time()), kNow - kMinutes);
  }
  EXPECT_EQ(change.transactions_created[0].kind(), kAuthorization);
  EXPECT_EQ(change.transactions_created[1].gateway_transaction_id(), "cap");

  ASSERT_THAT(change.outcome.differences(), SizeIs(1));
  const auto& difference = change.outcome.differences(0);
  EXPECT_EQ(difference.payment_id(), "pay-1");
  EXPECT_EQ(difference.before_status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(difference.after_status(), pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  EXPECT_THAT(difference.transactions(), SizeIs(3));

  ASSERT_THAT(change.events, SizeIs(1));
  const auto& event = change.events[0].payment_changed();
  EXPECT_EQ(event.before().status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(event.after().SerializeAsString(), payment().SerializeAsString());
  EXPECT_THAT(event.transactions(), SizeIs(3));

  ASSERT_THAT(change.schedule, SizeIs(1));
  EXPECT_EQ(change.schedule[0].payment_id, "pay-1");
  EXPECT_TRUE(change.schedule[0].next_check);
}

TEST_F(ReadingsFoldTest, AnOpenPaymentHasAmountsOfZeroAndNoTransactions) {
  fold(sandbox(pb::PAYMENT_STATUS_OPEN, {}));
  EXPECT_EQ(payment().status(), pb::PAYMENT_STATUS_OPEN);
  EXPECT_TRUE(payment().has_authorized());
  EXPECT_THAT(book_.ledger, IsEmpty());
  EXPECT_EQ(payment().revision(), 0);
}

TEST_F(ReadingsFoldTest, ExternalPaymentsAreNeverFolded) {
  book_.mutable_payment().set_gateway_account(std::string(kExternal));
  expect_nothing_new(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}));
}

TEST_F(ReadingsFoldTest, AnUnknownPaymentIsLeftOut) {
  book_.mutable_payment().set_payment_id("another");
  expect_nothing_new(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}));
}

// Stale readings.

TEST_F(ReadingsFoldTest, AReadingFromBeforeACaptureIsStale) {
  authorize();
  const auto revision = payment().revision();
  const auto reading = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});

  const auto attempt = book_.attempt(kCapture, 40);
  EXPECT_REFUSED(book_.try_fold(reading, revision), "STALE_READING");
  const auto while_open = payment().revision();
  book_.succeeds(attempt, "cap");
  EXPECT_REFUSED(book_.try_fold(reading, revision), "STALE_READING");
  EXPECT_REFUSED(book_.try_fold(reading, while_open), "STALE_READING");

  const auto fresh =
      sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40, attempt)});
  fold(fresh);
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(1));
}

TEST_F(ReadingsFoldTest, AReadingFromBeforeAnotherFoldIsStaleIfThatBookedSomething) {
  authorize();
  const auto revision = payment().revision();
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}));
  EXPECT_REFUSED(book_.try_fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}), revision),
                 "STALE_READING");
}

TEST_F(ReadingsFoldTest, AStaleReadingOfOnePaymentStopsThoseOfTheOthers) {
  auto& second = *book_.order.add_payments();
  second = book_.payment();
  second.set_payment_id("pay-2");
  second.set_gateway_reference("ref-2");
  Target target;
  target.order = &book_.order;
  const auto reading = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  std::vector<PaymentReading> readings = {{"pay-1", 0, reading}, {"pay-2", 3, reading}};
  EXPECT_REFUSED(fold_readings(readings, uuid(7), target, book_.context()), "STALE_READING");
  readings[1].revision = 0;
  const auto both = fold_readings(readings, uuid(7), target, book_.context());
  ASSERT_TRUE(both.ok());
  EXPECT_THAT(both->schedule, SizeIs(2));
  EXPECT_THAT(both->events, SizeIs(2));
  EXPECT_THAT(both->outcome.differences(), SizeIs(2));
  ASSERT_THAT(both->transactions_created, SizeIs(2));
  EXPECT_NE(both->transactions_created[0].transaction_id(),
            both->transactions_created[1].transaction_id());
  EXPECT_EQ(both->transactions_created[1].payment_id(), "pay-2");
  const auto same = fold_readings(readings, uuid(7), target, book_.context());
  EXPECT_EQ(same->after->SerializeAsString(), both->after->SerializeAsString());
}

// 1. Our own.

TEST_F(ReadingsFoldTest, AnUnknownCaptureIsFoundByItsAttempt) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 40);
  const auto revision = payment().revision();
  const auto change = fold(
      sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40, attempt)}));
  EXPECT_THAT(change.transactions_created, IsEmpty());
  const auto found = book_.transaction(attempt);
  EXPECT_EQ(found.status(), kSucceeded);
  EXPECT_EQ(found.gateway_transaction_id(), "cap");
  EXPECT_EQ(to_micros(found.complete_time()), kNow - kMinutes);
  EXPECT_FALSE(found.foreign());
  EXPECT_EQ(found.actor(), kActor);
  EXPECT_EQ(payment().revision(), revision + 1);
  EXPECT_EQ(payment().capture_count(), 1);
  EXPECT_FALSE(payment().attention());
  ASSERT_THAT(change.outcome.differences(), SizeIs(1));
  ASSERT_THAT(change.outcome.differences(0).transactions(), SizeIs(1));
  EXPECT_EQ(change.outcome.differences(0).transactions(0).transaction_id(), attempt);
}

TEST_F(ReadingsFoldTest, AnUnknownCaptureIsFoundByItsAmount) {
  authorize(false);
  const auto attempt = book_.attempt(kCapture, 40);
  const auto second = book_.attempt(kCapture, 40);
  const auto change =
      fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
                   {kAuth, moved(kCapture, "other", 30), moved(kCapture, "cap", 40)}, false));
  EXPECT_EQ(book_.transaction(attempt).gateway_transaction_id(), "cap");
  EXPECT_EQ(book_.transaction(second).status(), kUnknown);
  ASSERT_THAT(change.transactions_created, SizeIs(1));
  EXPECT_EQ(change.transactions_created[0].gateway_transaction_id(), "other");
  EXPECT_TRUE(change.transactions_created[0].foreign());
}

TEST_F(ReadingsFoldTest, WhatIsBookedAlreadyIsNotTakenForAnAttemptOfTheSameAmount) {
  authorize(false);
  const auto reading =
      sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}, false);
  fold(reading);
  const auto attempt = book_.attempt(kCapture, 40);
  fold(reading);
  EXPECT_EQ(book_.transaction(attempt).status(), kUnknown);
}

TEST_F(ReadingsFoldTest, AMovementOfLastWeekIsNotTakenForAnAttemptOfToday) {
  authorize(false);
  const auto attempt = book_.attempt(kCapture, 40);
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
               {kAuth, moved(kCapture, "cap", 40, "", kSucceeded, kNow - 7 * kDays)}, false));
  EXPECT_EQ(book_.transaction(attempt).status(), kUnknown);
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(2));
}

TEST_F(ReadingsFoldTest, AFailedMovementIsNotTakenForAnAttemptUnderWay) {
  const auto captured = moved(kCapture, "cap", 100);
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, captured}, false));
  const auto attempt = book_.attempt(kRefund, 50);
  const auto failed = moved(kRefund, "of-the-dashboard", 50, "", kFailed);
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, captured, failed}, false));
  EXPECT_EQ(book_.transaction(attempt).status(), kUnknown);
  EXPECT_THAT(book_.of_kind(kRefund), SizeIs(2));
  EXPECT_EQ(payment().refundable().amount_minor(), 50);

  book_.succeeds(attempt, "ours");
  expect_nothing_new(sandbox(pb::PAYMENT_STATUS_CAPTURED,
                             {kAuth, captured, failed, moved(kRefund, "ours", 50)}, false));
}

TEST_F(ReadingsFoldTest, WhatWasAcceptedWithoutAnIdIsFoundAsFailedByItsAmount) {
  const auto captured = moved(kCapture, "cap", 100);
  for (const std::string id : {"", "known"}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, captured}, false));
    const auto attempt = book.attempt(kRefund, 50);
    CallResult accepted;
    accepted.kind = CallResult::Kind::kPending;
    accepted.gateway_transaction_id = id;
    book.answer(attempt, accepted);
    book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
                      {kAuth, captured, moved(kRefund, "ref", 50, "", kFailed)}, false));
    EXPECT_EQ(book.transaction(attempt).status(), id.empty() ? kFailed : kPending) << id;
  }
}

TEST_F(ReadingsFoldTest, WithAttemptsTheAmountIsNoEvidence) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 40);
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kUnknown);
  EXPECT_TRUE(book_.of_kind(kCapture)[1].foreign());
}

TEST_F(ReadingsFoldTest, AnAnsweredAttemptIsFoundByItsGatewayId) {
  authorize(false);
  const auto attempt = book_.attempt(kCapture, 40);
  book_.succeeds(attempt, "cap");
  expect_nothing_new(
      sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}, false));
}

TEST_F(ReadingsFoldTest, AVoidTakesOverWhatWasReallyReleased) {
  for (const bool lookup : {true, false}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup));
    const auto attempt = book.attempt(kVoid, 100);
    book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
                      {kAuth, moved(kCapture, "cap", 30), moved(kVoid, "void", 70, attempt)},
                      lookup));
    EXPECT_EQ(book.broken(), "");
    EXPECT_EQ(book.transaction(attempt).status(), kSucceeded);
    EXPECT_EQ(book.transaction(attempt).amount().amount_minor(), 70);
    EXPECT_THAT(book.of_kind(kVoid), SizeIs(1));
  }
}

TEST_F(ReadingsFoldTest, AnExpiryIsNotOurVoid) {
  authorize();
  const auto attempt = book_.attempt(kVoid, 100);
  fold(sandbox(pb::PAYMENT_STATUS_EXPIRED, {kAuth, moved(kExpiry, "exp", 100)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kUnknown);
  EXPECT_THAT(book_.of_kind(kExpiry), SizeIs(1));
  EXPECT_EQ(payment().status(), pb::PAYMENT_STATUS_EXPIRED);
}

TEST_F(ReadingsFoldTest, TheReleaseOfAnAnsweredFinalCaptureIsTheOneThatWasBookedWithIt) {
  for (const bool lookup : {true, false}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup));
    const auto attempt = book.attempt(kCapture, 40, true);
    book.succeeds(attempt, "cap");
    const auto change =
        book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
                          {kAuth, moved(kCapture, "cap", 40, attempt, kSucceeded, kNow),
                           moved(kVoid, "void", 60, attempt, kSucceeded, kNow)},
                          lookup));
    EXPECT_FALSE(change.after) << change.after->ShortDebugString();
    ASSERT_THAT(book.of_kind(kVoid), SizeIs(1));
    EXPECT_EQ(book.of_kind(kVoid)[0].released_by(), attempt);
  }
}

TEST_F(ReadingsFoldTest, AFinalCaptureThatIsFoundBringsItsRelease) {
  for (const bool lookup : {true, false}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup));
    const auto attempt = book.attempt(kCapture, 40, true);
    const auto reading = sandbox(
        pb::PAYMENT_STATUS_CAPTURED,
        {kAuth, moved(kCapture, "cap", 40, attempt), moved(kVoid, "void", 60, attempt)}, lookup);
    book.fold(reading);
    EXPECT_EQ(book.broken(), "");
    EXPECT_EQ(book.transaction(attempt).status(), kSucceeded);
    ASSERT_THAT(book.of_kind(kVoid), SizeIs(1));
    const auto release = book.of_kind(kVoid)[0];
    EXPECT_EQ(release.released_by(), attempt);
    EXPECT_FALSE(release.foreign());
    EXPECT_EQ(release.actor(), kActor);
    EXPECT_EQ(release.gateway_transaction_id(), "void");
    EXPECT_FALSE(book.fold(reading).after);
  }
}

TEST_F(ReadingsFoldTest, AnAttemptOfAnotherServerIsForeign) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
               {kAuth, moved(kCapture, "cap", 40, kUuid), moved(kVoid, "void", 60, kUuid)}));
  EXPECT_TRUE(book_.of_kind(kCapture)[0].foreign());
  EXPECT_TRUE(book_.of_kind(kVoid)[0].foreign());
  EXPECT_EQ(book_.of_kind(kVoid)[0].released_by(), "");
}

TEST_F(ReadingsFoldTest, TwoMovementsOfOneAttemptAreBothBooked) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  const auto attempt = book_.attempt(kRefund, 10);
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
               {kAuth, moved(kCapture, "cap", 100), moved(kRefund, "r1", 10, attempt, kFailed),
                moved(kRefund, "r2", 10, attempt), moved(kRefund, "r3", 10, attempt)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kSucceeded);
  EXPECT_EQ(book_.transaction(attempt).gateway_transaction_id(), "r2");
  EXPECT_THAT(book_.of_kind(kRefund), SizeIs(3));
}

TEST_F(ReadingsFoldTest, ARefundBecomesPendingThenSucceeds) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  const auto attempt = book_.attempt(kRefund, 30);
  const auto reading = [&](pb::TransactionStatus status) {
    return sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100),
                                                 moved(kRefund, "ref", 30, attempt, status)});
  };
  fold(reading(kPending));
  EXPECT_EQ(book_.transaction(attempt).status(), kPending);
  EXPECT_THAT(payment().open_transactions(), SizeIs(1));
  EXPECT_EQ(payment().refundable().amount_minor(), 70);
  book_.now += 2 * kDays;
  expect_nothing_new(reading(kPending));
  const auto change = fold(reading(kSucceeded));
  EXPECT_EQ(book_.transaction(attempt).status(), kSucceeded);
  EXPECT_THAT(payment().open_transactions(), IsEmpty());
  EXPECT_FALSE(payment().attention());
  // By when the refund was.
  ASSERT_TRUE(change.schedule[0].next_check);
  book_.now += 60 * kDays;
  EXPECT_FALSE(schedule_of(payment(), book_.now, kNow).next_check);
}

TEST_F(ReadingsFoldTest, ARefundThatFailsAfterItWasAcceptedNeedsAttention) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  const auto attempt = book_.attempt(kRefund, 30);
  auto failed = moved(kRefund, "ref", 30, attempt, kFailed);
  failed.reason = "ACCOUNT_CLOSED";
  for (const auto before : {kPending, kSucceeded}) {
    Book book = book_;
    const auto capture = moved(kCapture, "cap", 100);
    book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
                      {kAuth, capture, moved(kRefund, "ref", 30, attempt, before)}));
    EXPECT_FALSE(book.payment().attention());
    book.fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, capture, failed}));
    EXPECT_EQ(book.broken(), "");
    EXPECT_EQ(book.transaction(attempt).status(), kFailed);
    EXPECT_EQ(book.transaction(attempt).reason(), "ACCOUNT_CLOSED");
    EXPECT_EQ(book.transaction(attempt).amount().amount_minor(), 30);
    EXPECT_TRUE(book.payment().attention());
    EXPECT_EQ(book.payment().refundable().amount_minor(), 100);
    EXPECT_THAT(book.of_kind(kAdjustment), IsEmpty());
  }
}

TEST_F(ReadingsFoldTest, AnUnknownAttemptThatFailedAtTheGatewayIsFailed) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  const auto attempt = book_.attempt(kRefund, 30);
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED,
               {kAuth, moved(kCapture, "cap", 100), moved(kRefund, "ref", 30, attempt, kFailed)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kFailed);
  EXPECT_NE(book_.transaction(attempt).reason(), "");
  EXPECT_FALSE(payment().attention());
}

TEST_F(ReadingsFoldTest, WhatWasNotAppliedAndTurnsOutToHaveHappenedIsCorrected) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 40);
  const auto without = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  book_.now += 2 * kDays;
  fold(without);
  book_.now += 11 * kMinutes;
  fold(without);
  ASSERT_EQ(book_.transaction(attempt).reason(), "NOT_APPLIED");
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40, attempt)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kSucceeded);
  EXPECT_EQ(book_.transaction(attempt).reason(), "");
  EXPECT_FALSE(book_.transaction(attempt).has_missing_time());
  EXPECT_TRUE(payment().attention());
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(1));
}

// 2. Foreign ones.

TEST_F(ReadingsFoldTest, AForeignPendingRefundIsOpenAndLaterUpdated) {
  const auto reading = [&](pb::TransactionStatus status) {
    return sandbox(pb::PAYMENT_STATUS_CAPTURED,
                   {kAuth, moved(kCapture, "cap", 100), moved(kRefund, "ref", 30, "", status)});
  };
  fold(reading(kPending));
  ASSERT_THAT(payment().open_transactions(), SizeIs(1));
  EXPECT_TRUE(payment().open_transactions(0).foreign());
  EXPECT_EQ(payment().refundable().amount_minor(), 70);
  for (const auto end : {kSucceeded, kFailed}) {
    Book book = book_;
    const auto change = book.fold(reading(end));
    EXPECT_EQ(book.broken(), "");
    EXPECT_THAT(change.transactions_created, IsEmpty());
    EXPECT_EQ(book.of_kind(kRefund)[0].status(), end);
    EXPECT_THAT(book.payment().open_transactions(), IsEmpty());
    EXPECT_EQ(book.payment().attention(), end == kFailed);
  }
}

TEST_F(ReadingsFoldTest, AChargebackNeedsAttentionAndIsInNoSum) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  fold(sandbox(
      pb::PAYMENT_STATUS_CAPTURED,
      {kAuth, moved(kCapture, "cap", 100), moved(pb::TRANSACTION_KIND_CHARGEBACK, "dp", 100),
       moved(pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL, "dp/reversal", 100)}));
  EXPECT_TRUE(payment().attention());
  EXPECT_FALSE(payment().discrepancy());
  EXPECT_THAT(book_.ledger, SizeIs(4));
}

TEST_F(ReadingsFoldTest, DeclinedAuthorizationsAreHistory) {
  auto declined = moved(kAuthorization, "ch_0", 100, "", kFailed);
  declined.reason = "DECLINED";
  fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {declined, kAuth}));
  ASSERT_THAT(book_.ledger, SizeIs(2));
  EXPECT_EQ(book_.ledger[0].reason(), "DECLINED");
  EXPECT_FALSE(book_.ledger[0].has_complete_time());
}

TEST_F(ReadingsFoldTest, AnOpenPaymentThatWasClosedHasAVoidOfZero) {
  for (const bool own : {true, false}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_OPEN, {}));
    const auto attempt = own ? book.attempt(kVoid, 0) : "";
    const auto reading = sandbox(pb::PAYMENT_STATUS_VOIDED, {moved(kVoid, "pi/void", 0, attempt)});
    book.fold(reading);
    EXPECT_THAT(book.ledger, SizeIs(1));
    EXPECT_EQ(book.ledger[0].foreign(), !own);
    EXPECT_EQ(book.payment().status(), pb::PAYMENT_STATUS_VOIDED);
    EXPECT_FALSE(book.fold(reading).after);
  }
}

}  // namespace
}  // namespace orderd::rules
