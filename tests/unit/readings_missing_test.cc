#include "tests/unit/readings_fixture.h"

// Attempts that a reading does not show (rule 5 of readings.h), and which of them are sent again.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReadingsMissingTest : public ReadingsTest {};

// 5. What is missing.

TEST_F(ReadingsMissingTest, NotAppliedOnlyPastTheKeysLifeAndAfterTwoReadingsTenMinutesApart) {
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

TEST_F(ReadingsMissingTest, AMissingAttemptThatIsFoundInTimeIsSettled) {
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

TEST_F(ReadingsMissingTest, WhereTheSumHasMovedAnAttemptIsNotGivenUp) {
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

TEST_F(ReadingsMissingTest, WithAttemptsForeignMovementsDoNotHideAMissingOne) {
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

TEST_F(ReadingsMissingTest, APendingTransactionIsNeverGivenUp) {
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

class SendAgainTest : public ReadingsMissingTest {
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

}  // namespace
}  // namespace orderd::rules
