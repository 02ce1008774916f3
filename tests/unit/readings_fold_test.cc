#include <limits>

#include "tests/unit/readings_fixture.h"

// The numbered rules of readings.h, one by one, with readings as the sandbox and Stripe make them.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

GatewayMovement moved(pb::TransactionKind kind, const std::string& id, std::int64_t amount_minor,
                      const std::string& attempt_id = "", pb::TransactionStatus status = kSucceeded,
                      Micros time = kNow - kMinutes) {
  GatewayMovement movement;
  movement.gateway_transaction_id = id;
  movement.kind = kind;
  movement.status = status;
  movement.amount_minor = amount_minor;
  movement.time = time;
  movement.attempt_id = attempt_id;
  return movement;
}

/// As the sandbox makes it: the sums are those of the movements.
Reading sandbox(pb::PaymentStatus status, const std::vector<GatewayMovement>& movements,
                bool lookup_by_attempt = true) {
  Reading reading;
  reading.status = status;
  reading.capabilities = capabilities(lookup_by_attempt);
  reading.movements = movements;
  for (auto& movement : reading.movements) {
    if (!lookup_by_attempt) movement.attempt_id.clear();
    if (movement.status != kSucceeded) continue;
    if (movement.kind == kAuthorization) reading.authorized_minor += movement.amount_minor;
    if (movement.kind == kCapture) reading.captured_minor += movement.amount_minor;
    if (movement.kind == kRefund) reading.refunded_minor += movement.amount_minor;
    if (movement.kind == kVoid || movement.kind == kExpiry) {
      reading.voided_minor += movement.amount_minor;
    }
  }
  return reading;
}

/// A gateway that knows nothing but sums.
Reading sums_only(pb::PaymentStatus status, std::int64_t authorized, std::int64_t captured,
                  std::int64_t refunded = 0, std::int64_t voided = 0) {
  Reading reading;
  reading.status = status;
  reading.capabilities = capabilities(false);
  reading.authorized_minor = authorized;
  reading.captured_minor = captured;
  reading.refunded_minor = refunded;
  reading.voided_minor = voided;
  return reading;
}

const GatewayMovement kAuth = moved(kAuthorization, "auth", 100);

class ReadingsFoldTest : public RulesTest {
 protected:
  /// 100 are authorized, and all is known.
  void authorize(bool lookup_by_attempt = true) {
    fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup_by_attempt));
  }

  /// Folds, and expects that all sums are right and that the same reading brings nothing more.
  Change fold(const Reading& reading) {
    auto change = book_.fold(reading);
    EXPECT_EQ(book_.broken(), "");
    EXPECT_EQ(book_.payment().authorized().amount_minor(), reading.authorized_minor);
    EXPECT_EQ(book_.payment().captured().amount_minor(), reading.captured_minor);
    EXPECT_EQ(book_.payment().refunded().amount_minor(), reading.refunded_minor);
    EXPECT_EQ(book_.payment().voided().amount_minor(), reading.voided_minor);
    expect_nothing_new(reading);
    return change;
  }
  void expect_nothing_new(const Reading& reading) {
    const auto again = book_.try_fold(reading, book_.payment().revision());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(again->after) << again->after->ShortDebugString();
    EXPECT_THAT(again->events, IsEmpty());
    EXPECT_THAT(again->schedule, IsEmpty());
    EXPECT_THAT(again->outcome.differences(), IsEmpty());
  }

  const pb::Payment& payment() const { return book_.payment(); }

  Book book_{settings_};
};

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

// 3. Sums.

TEST_F(ReadingsFoldTest, SumsBeyondTheMovementsAreForeignWithoutAnId) {
  fold(sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, 30));
  auto captures = book_.of_kind(kCapture);
  ASSERT_THAT(captures, SizeIs(1));
  EXPECT_TRUE(captures[0].foreign());
  EXPECT_EQ(captures[0].gateway_transaction_id(), "");
  EXPECT_EQ(book_.of_kind(kAuthorization)[0].amount().amount_minor(), 100);
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 50, 20, 50));
  captures = book_.of_kind(kCapture);
  ASSERT_THAT(captures, SizeIs(2));
  EXPECT_EQ(captures[1].amount().amount_minor(), 20);
  EXPECT_EQ(book_.of_kind(kRefund)[0].amount().amount_minor(), 20);
  EXPECT_EQ(book_.of_kind(kVoid)[0].amount().amount_minor(), 50);
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
  EXPECT_FALSE(payment().attention());
}

TEST_F(ReadingsFoldTest, ASumThatRisesByAnOpenAttemptIsThatAttempt) {
  fold(sums_only(pb::PAYMENT_STATUS_AUTHORIZED, 100, 0));
  const auto first = book_.attempt(kCapture, 30);
  const auto second = book_.attempt(kCapture, 20);
  for (const std::int64_t sum : {20, 30, 50, 25}) {
    Book book = book_;
    const auto reading = sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, sum);
    book.fold(reading);
    EXPECT_EQ(book.broken(), "");
    EXPECT_FALSE(book.fold(reading).after);
    EXPECT_EQ(book.transaction(first).status(), sum == 30 || sum == 50 ? kSucceeded : kUnknown);
    EXPECT_EQ(book.transaction(second).status(), sum == 20 || sum == 50 ? kSucceeded : kUnknown);
    EXPECT_EQ(book.of_kind(kCapture).size(), sum == 25 ? 3U : 2U);
  }
}

TEST_F(ReadingsFoldTest, ASumThatShrinksIsAdjusted) {
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 100));
  const auto change = fold(sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, 70));
  ASSERT_THAT(book_.of_kind(kAdjustment), SizeIs(1));
  const auto adjustment = book_.of_kind(kAdjustment)[0];
  EXPECT_EQ(adjustment.amount().amount_minor(), -30);
  EXPECT_EQ(adjustment.reason(), "CAPTURED");
  EXPECT_TRUE(payment().attention());
  EXPECT_THAT(change.transactions_updated, IsEmpty());
  // And back.
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 100));
  ASSERT_THAT(book_.of_kind(kAdjustment), SizeIs(2));
  EXPECT_EQ(book_.of_kind(kAdjustment)[1].amount().amount_minor(), 30);
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(1));
}

TEST_F(ReadingsFoldTest, EverySumIsAdjustedByItsName) {
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 60, 30, 40));
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 90, 50, 20, 30));
  std::vector<std::string> names;
  for (const auto& adjustment : book_.of_kind(kAdjustment)) {
    EXPECT_EQ(adjustment.amount().amount_minor(), -10);
    EXPECT_TRUE(adjustment.foreign());
    names.push_back(adjustment.reason());
  }
  EXPECT_THAT(names, ElementsAre("AUTHORIZED", "CAPTURED", "REFUNDED", "VOIDED"));
}

TEST_F(ReadingsFoldTest, WhatTheGatewayListsAndDoesNotCountIsBookedAndAdjusted) {
  auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 50)});
  reading.captured_minor = 30;
  fold(reading);
  EXPECT_EQ(book_.of_kind(kCapture)[0].amount().amount_minor(), 50);
  EXPECT_EQ(book_.of_kind(kAdjustment)[0].amount().amount_minor(), -20);
}

TEST_F(ReadingsFoldTest, WhatTheGatewayDoesNotListDoesNotHideWhatItLists) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 50);
  book_.succeeds(attempt, "gone");
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "a", 20)}));
  ASSERT_THAT(book_.of_kind(kAdjustment), SizeIs(1));
  EXPECT_EQ(book_.of_kind(kAdjustment)[0].amount().amount_minor(), -50);
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
               {kAuth, moved(kCapture, "a", 20), moved(kCapture, "b", 7)}));
  auto captures = book_.of_kind(kCapture);
  ASSERT_THAT(captures, SizeIs(3));
  EXPECT_EQ(captures[1].gateway_transaction_id(), "a");
  EXPECT_EQ(captures[1].amount().amount_minor(), 20);
  EXPECT_EQ(captures[2].gateway_transaction_id(), "b");
  EXPECT_EQ(captures[2].amount().amount_minor(), 7);
  EXPECT_THAT(book_.of_kind(kAdjustment), SizeIs(1));
  // It was only late.
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
               {kAuth, moved(kCapture, "a", 20), moved(kCapture, "b", 7),
                moved(kCapture, "gone", 50, attempt)}));
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(3));
  EXPECT_EQ(book_.of_kind(kAdjustment).back().amount().amount_minor(), 50);
}

// An operator said that it succeeded, before the gateway did.
TEST_F(ReadingsFoldTest, WhatSucceededWithoutAnIdIsNotBookedAgainWithOne) {
  for (const bool lookup : {true, false}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup));
    const auto attempt = book.attempt(kCapture, 40);
    book.succeeds(attempt, "");
    const auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
                                 {kAuth, moved(kCapture, "cap", 40, attempt)}, lookup);
    EXPECT_FALSE(book.fold(reading).after);
  }
}

// A gateway that has one total and a new name for it each time.
TEST_F(ReadingsFoldTest, ATotalThatIsListedAsOneMovementIsBookedByWhatItGrows) {
  fold(sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, 20));
  auto reading = sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 35, 0, 65);
  reading.movements = {moved(kCapture, "ch/35", 35), moved(kVoid, "pi/void", 65)};
  fold(reading);
  ASSERT_THAT(book_.of_kind(kCapture), SizeIs(2));
  EXPECT_EQ(book_.of_kind(kCapture)[1].amount().amount_minor(), 15);
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
}

TEST_F(ReadingsFoldTest, AnAuthorizationThatGrowsUnderItsIdIsBookedAsTheDifference) {
  authorize();
  fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {moved(kAuthorization, "auth", 120)}));
  const auto found = book_.of_kind(kAuthorization);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].amount().amount_minor(), 100);
  EXPECT_EQ(found[1].amount().amount_minor(), 20);
}

// Stripe lists of its captures only the last one that carries an attempt; the rest is in the sum.
TEST_F(ReadingsFoldTest, StripesCapturesAreBookedOnceEach) {
  const auto stripe = [&](std::int64_t sum, const std::string& last, std::int64_t amount) {
    auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {moved(kAuthorization, "ch", 100)});
    if (!last.empty()) reading.movements.push_back(moved(kCapture, "ch/" + last, amount, last));
    reading.captured_minor = sum;
    reading.capabilities.set_concurrent_operations(false);
    return reading;
  };
  fold(stripe(0, "", 0));
  const auto first = book_.attempt(kCapture, 30);
  fold(stripe(30, first, 30));
  // From the dashboard: the attempt of the last one stays where it is.
  fold(stripe(45, first, 30));
  const auto second = book_.attempt(kCapture, 20);
  book_.succeeds(second, "ch/" + second);
  fold(stripe(65, second, 20));
  const auto third = book_.attempt(kCapture, 10);
  fold(stripe(80, third, 10));
  std::vector<std::int64_t> own, foreign;
  for (const auto& capture : book_.of_kind(kCapture)) {
    EXPECT_EQ(capture.status(), kSucceeded);
    (capture.foreign() ? foreign : own).push_back(capture.amount().amount_minor());
  }
  EXPECT_THAT(own, ElementsAre(30, 20, 10));
  EXPECT_THAT(foreign, ElementsAre(15, 5));
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
  EXPECT_FALSE(payment().attention());
}

TEST_F(ReadingsFoldTest, StripesReleaseMayChangeItsName) {
  fold(sandbox(pb::PAYMENT_STATUS_VOIDED, {kAuth, moved(kVoid, "pi/void", 100)}));
  fold(sandbox(pb::PAYMENT_STATUS_VOIDED, {kAuth, moved(kVoid, "re_1", 100)}));
  EXPECT_THAT(book_.of_kind(kVoid), SizeIs(1));
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
}

// 4. The payment.

TEST_F(ReadingsFoldTest, SumsThatCannotBeAreADiscrepancyUntilTheyAreRightAgain) {
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 120));
  EXPECT_TRUE(payment().discrepancy());
  EXPECT_TRUE(payment().attention());
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 120, 120));
  EXPECT_FALSE(payment().discrepancy());
}

TEST_F(ReadingsFoldTest, AnExpiryThatIsNotSaidAnyMoreIsForgotten) {
  auto reading = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  reading.expire_time = kNow + kDays;
  fold(reading);
  const auto revision = payment().revision();
  reading.expire_time.reset();
  reading.capabilities.set_multi_capture(false);
  const auto change = fold(reading);
  EXPECT_FALSE(payment().has_expire_time());
  EXPECT_FALSE(payment().capabilities().multi_capture());
  EXPECT_EQ(payment().revision(), revision) << "no transaction was written";
  EXPECT_THAT(change.outcome.differences(0).transactions(), IsEmpty());
}

TEST_F(ReadingsFoldTest, AnAttentionThatIsSetStays) {
  authorize();
  book_.mutable_payment().set_attention(true);
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}));
  EXPECT_TRUE(payment().attention());
}

// 5. What is missing.

TEST_F(ReadingsFoldTest, NotAppliedOnlyPastTheKeysLifeAndAfterTwoReadingsTenMinutesApart) {
  for (const bool lookup : {true, false}) {
    Book book(settings_);
    const auto without = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}, lookup);
    book.fold(without);
    const auto attempt = book.attempt(kCapture, 40);
    book.now += 23 * kHours - 1;
    EXPECT_FALSE(book.fold(without).after);
    book.now += 1;
    const auto revision = book.payment().revision();
    EXPECT_TRUE(book.fold(without).after);
    EXPECT_EQ(book.transaction(attempt).status(), kUnknown);
    EXPECT_EQ(to_micros(book.transaction(attempt).missing_time()), book.now);
    EXPECT_EQ(book.broken(), "");
    // A second reading that was taken before this one was folded is none.
    EXPECT_REFUSED(book.try_fold(without, revision), "STALE_READING");
    book.now += 10 * kMinutes - 1;
    EXPECT_FALSE(book.fold(without).after);
    book.now += 1;
    const auto change = book.fold(without);
    EXPECT_EQ(book.transaction(attempt).status(), kFailed);
    EXPECT_EQ(book.transaction(attempt).reason(), "NOT_APPLIED");
    EXPECT_EQ(book.broken(), "");
    EXPECT_EQ(book.payment().capturable().amount_minor(), 100);
    EXPECT_THAT(change.outcome.differences(0).transactions(), SizeIs(1));
    EXPECT_FALSE(book.fold(without).after);
  }
}

TEST_F(ReadingsFoldTest, AMissingAttemptThatIsFoundInTimeIsSettled) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 40);
  book_.now += 2 * kDays;
  fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}));
  book_.now += kHours;
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40, attempt)}));
  EXPECT_EQ(book_.transaction(attempt).status(), kSucceeded);
  EXPECT_FALSE(book_.transaction(attempt).has_missing_time());
  EXPECT_FALSE(payment().attention());
}

TEST_F(ReadingsFoldTest, WhereTheSumHasMovedAnAttemptIsNotGivenUp) {
  fold(sums_only(pb::PAYMENT_STATUS_AUTHORIZED, 100, 0));
  const auto capture = book_.attempt(kCapture, 30);
  const auto void_attempt = book_.attempt(kVoid, 100);
  const auto reading = sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, 55);
  fold(reading);
  book_.now += 3 * kDays;
  fold(reading);
  book_.now += kDays;
  fold(reading);
  EXPECT_EQ(book_.transaction(capture).status(), kUnknown);
  EXPECT_FALSE(book_.transaction(capture).has_missing_time());
  EXPECT_EQ(book_.transaction(void_attempt).reason(), "NOT_APPLIED");
}

TEST_F(ReadingsFoldTest, WithAttemptsForeignMovementsDoNotHideAMissingOne) {
  authorize();
  const auto attempt = book_.attempt(kCapture, 40);
  const auto reading =
      sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)});
  fold(reading);
  book_.now += kDays;
  fold(reading);
  book_.now += kDays;
  fold(reading);
  EXPECT_EQ(book_.transaction(attempt).reason(), "NOT_APPLIED");
}

TEST_F(ReadingsFoldTest, APendingTransactionIsNeverGivenUp) {
  fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  const auto attempt = book_.attempt(kRefund, 30);
  CallResult accepted;
  accepted.kind = CallResult::Kind::kPending;
  accepted.gateway_transaction_id = "ref";
  book_.answer(attempt, accepted);
  for (int i = 0; i < 3; ++i) {
    book_.now += 40 * kDays;
    fold(sandbox(pb::PAYMENT_STATUS_CAPTURED, {kAuth, moved(kCapture, "cap", 100)}));
  }
  EXPECT_EQ(book_.transaction(attempt).status(), kPending);
}

// To be sent again.

class SendAgainTest : public ReadingsFoldTest {
 protected:
  std::vector<std::string> to_send() {
    std::vector<std::string> ids;
    for (const auto& transaction :
         to_send_again(book_.order, book_.payment(), settings_, book_.now)) {
      ids.push_back(transaction.transaction_id());
    }
    return ids;
  }
  void SetUp() override { settings_.states.at("processing").set_allows_capture(true); }
};

TEST_F(SendAgainTest, WhatTheGatewayDoesNotKnowWhileTheKeyLives) {
  book_.order.set_state_id("processing");
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED,
               {kAuth, moved(kCapture, "cap", 50), moved(kRefund, "r1", 5, "", kPending)}));
  const auto capture = book_.attempt(kCapture, 40);
  const auto refund = book_.attempt(kRefund, 10);
  EXPECT_THAT(to_send(), ElementsAre(capture, refund));
  book_.now += 23 * kHours - 1;
  EXPECT_THAT(to_send(), ElementsAre(capture, refund));
  book_.now += 1;
  EXPECT_THAT(to_send(), IsEmpty());
}

TEST_F(SendAgainTest, ACaptureOnlyWhileTheOrderAllowsIt) {
  book_.order.set_state_id("processing");
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 50)}));
  const auto capture = book_.attempt(kCapture, 10);
  const auto refund = book_.attempt(kRefund, 10);
  const auto release = book_.attempt(kVoid, 40);
  EXPECT_THAT(to_send(), ElementsAre(capture, refund, release));
  book_.order.set_state_id("fraud");
  EXPECT_THAT(to_send(), ElementsAre(refund, release));
  book_.order.set_state_id("no such state");
  EXPECT_THAT(to_send(), ElementsAre(refund, release));
  book_.order.set_state_id("processing");
  for (const auto status : {pb::CANCELLATION_STATUS_IN_PROGRESS, pb::CANCELLATION_STATUS_FAILED}) {
    book_.order.mutable_cancellation()->set_status(status);
    EXPECT_THAT(to_send(), ElementsAre(refund, release));
  }
}

TEST_F(SendAgainTest, AllOfAnExternalPaymentThatHaveNoAnswer) {
  book_.mutable_payment().set_gateway_account(std::string(kExternal));
  const auto capture = book_.attempt(kCapture, 40);
  const auto refund = book_.attempt(kRefund, 10);
  book_.mutable_payment().mutable_open_transactions(1)->set_status(kPending);
  book_.now += 100 * kDays;
  EXPECT_THAT(to_send(), ElementsAre(capture));
}

// Nonsense.

TEST_F(ReadingsFoldTest, MovementsThatCannotBeAreLeftOutAndMarked) {
  auto odd_status = moved(kCapture, "b", 5, "", pb::TRANSACTION_STATUS_UNSPECIFIED);
  auto odd_kind = moved(static_cast<pb::TransactionKind>(77), "c", 5);
  auto reading = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  reading.movements.push_back(moved(kCapture, "a", -5));
  reading.movements.push_back(odd_status);
  reading.movements.push_back(odd_kind);
  reading.movements.push_back(moved(kAdjustment, "d", 5));
  fold(reading);
  EXPECT_THAT(book_.ledger, SizeIs(1));
  EXPECT_TRUE(payment().discrepancy());
}

TEST_F(ReadingsFoldTest, AMovementThatIsListedTwiceIsBookedOnce) {
  auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "a", 5)});
  reading.movements.push_back(moved(kCapture, "a", 5));
  fold(reading);
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(1));
}

TEST_F(ReadingsFoldTest, MovementsWithoutIdsAreBookedOnceEach) {
  const auto reading = [](pb::TransactionStatus status) {
    return sandbox(pb::PAYMENT_STATUS_CAPTURED,
                   {kAuth, moved(kCapture, "", 50), moved(kCapture, "", 50), moved(kVoid, "", 0),
                    moved(kRefund, "", 5, "", status), moved(kRefund, "", 7, "", kFailed),
                    moved(pb::TRANSACTION_KIND_CHARGEBACK, "", 9)});
  };
  fold(reading(kPending));
  EXPECT_THAT(book_.ledger, SizeIs(7));
  fold(reading(kSucceeded));
  EXPECT_THAT(book_.ledger, SizeIs(7));
}

TEST_F(ReadingsFoldTest, NonsenseIsTakenAsItIsAndMarked) {
  for (const std::int64_t a : {kLeast, std::int64_t{-1}, std::int64_t{0}, kMost}) {
    for (const std::int64_t b : {kLeast, std::int64_t{-7}, std::int64_t{3}, kMost}) {
      Book book(settings_);
      book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}));
      Reading reading = sums_only(pb::PAYMENT_STATUS_CAPTURED, a, b, a, b);
      reading.movements = {moved(kCapture, "x", kMost), moved(kCapture, "y", kMost),
                           moved(kRefund, "z", kMost, "", kPending),
                           moved(kRefund, "w", kMost, "", kPending)};
      reading.status = static_cast<pb::PaymentStatus>(99);
      reading.expire_time = kMost;
      book.fold(reading);
      EXPECT_TRUE(book.payment().discrepancy());
      EXPECT_TRUE(book.payment().attention());
      EXPECT_EQ(book.payment().status(), pb::PAYMENT_STATUS_AUTHORIZED);
      EXPECT_EQ(book.payment().captured().amount_minor(), b);
    }
  }
}

}  // namespace
}  // namespace orderd::rules
