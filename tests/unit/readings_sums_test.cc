#include <limits>

#include "tests/unit/readings_fixture.h"

// Sums that are not those of the movements (rule 3 of readings.h), what the payment takes over
// (rule 4), and nonsense.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

class ReadingsSumsTest : public ReadingsTest {};

// 3. Sums.

TEST_F(ReadingsSumsTest, SumsBeyondTheMovementsAreForeignWithoutAnId) {
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

TEST_F(ReadingsSumsTest, ASumThatRisesByAnOpenAttemptIsThatAttempt) {
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

TEST_F(ReadingsSumsTest, ASumThatShrinksIsAdjusted) {
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

TEST_F(ReadingsSumsTest, EverySumIsAdjustedByItsName) {
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

TEST_F(ReadingsSumsTest, WhatTheGatewayListsAndDoesNotCountIsBookedAndAdjusted) {
  auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 50)});
  reading.captured_minor = 30;
  fold(reading);
  EXPECT_EQ(book_.of_kind(kCapture)[0].amount().amount_minor(), 50);
  EXPECT_EQ(book_.of_kind(kAdjustment)[0].amount().amount_minor(), -20);
}

TEST_F(ReadingsSumsTest, WhatTheGatewayDoesNotListDoesNotHideWhatItLists) {
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
TEST_F(ReadingsSumsTest, WhatSucceededWithoutAnIdIsNotBookedAgainWithOne) {
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
TEST_F(ReadingsSumsTest, ATotalThatIsListedAsOneMovementIsBookedByWhatItGrows) {
  fold(sums_only(pb::PAYMENT_STATUS_PARTLY_CAPTURED, 100, 20));
  auto reading = sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 35, 0, 65);
  reading.movements = {moved(kCapture, "ch/35", 35), moved(kVoid, "pi/void", 65)};
  fold(reading);
  ASSERT_THAT(book_.of_kind(kCapture), SizeIs(2));
  EXPECT_EQ(book_.of_kind(kCapture)[1].amount().amount_minor(), 15);
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
}

TEST_F(ReadingsSumsTest, AnAuthorizationThatGrowsUnderItsIdIsBookedAsTheDifference) {
  authorize();
  fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {moved(kAuthorization, "auth", 120)}));
  const auto found = book_.of_kind(kAuthorization);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].amount().amount_minor(), 100);
  EXPECT_EQ(found[1].amount().amount_minor(), 20);
}

// Stripe lists of its captures only the last one that carries an attempt; the rest is in the sum.
TEST_F(ReadingsSumsTest, StripesCapturesAreBookedOnceEach) {
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

TEST_F(ReadingsSumsTest, StripesReleaseMayChangeItsName) {
  fold(sandbox(pb::PAYMENT_STATUS_VOIDED, {kAuth, moved(kVoid, "pi/void", 100)}));
  fold(sandbox(pb::PAYMENT_STATUS_VOIDED, {kAuth, moved(kVoid, "re_1", 100)}));
  EXPECT_THAT(book_.of_kind(kVoid), SizeIs(1));
  EXPECT_THAT(book_.of_kind(kAdjustment), IsEmpty());
}

// 4. The payment.

TEST_F(ReadingsSumsTest, SumsThatCannotBeAreADiscrepancyUntilTheyAreRightAgain) {
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 100, 120));
  EXPECT_TRUE(payment().discrepancy());
  EXPECT_TRUE(payment().attention());
  fold(sums_only(pb::PAYMENT_STATUS_CAPTURED, 120, 120));
  EXPECT_FALSE(payment().discrepancy());
}

TEST_F(ReadingsSumsTest, AnExpiryThatIsNotSaidAnyMoreIsForgotten) {
  auto reading = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  reading.expire_time = kNow + kDays;
  fold(reading);
  const auto revision = payment().revision();
  reading.expire_time.reset();
  reading.capabilities.set_multi_capture(false);
  const auto change = fold(reading);
  EXPECT_FALSE(payment().has_expire_time());
  // Nor is there one that no calendar has.
  reading.expire_time = std::numeric_limits<Micros>::max();
  fold(reading);
  EXPECT_FALSE(payment().has_expire_time());
  EXPECT_FALSE(payment().capabilities().multi_capture());
  EXPECT_EQ(payment().revision(), revision) << "no transaction was written";
  EXPECT_THAT(change.outcome.differences(0).transactions(), IsEmpty());
}

TEST_F(ReadingsSumsTest, AnAttentionThatIsSetStays) {
  authorize();
  book_.mutable_payment().set_attention(true);
  fold(sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40)}));
  EXPECT_TRUE(payment().attention());
}

// Nonsense.

TEST_F(ReadingsSumsTest, MovementsThatCannotBeAreLeftOutAndMarked) {
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

TEST_F(ReadingsSumsTest, OnlyAReadingTakesADiscrepancyBack) {
  auto unsound = sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth});
  unsound.movements.push_back(moved(kCapture, "a", -5));
  auto no_status = sandbox(pb::PAYMENT_STATUS_UNSPECIFIED, {kAuth});
  for (const auto& reading : {unsound, no_status}) {
    Book book(settings_);
    book.fold(sandbox(pb::PAYMENT_STATUS_AUTHORIZED, {kAuth}));
    const auto attempt = book.attempt(kCapture, 40);
    book.fold(reading);
    EXPECT_TRUE(book.payment().discrepancy());
    book.succeeds(attempt, "cap");
    EXPECT_TRUE(book.payment().discrepancy()) << "an answer says nothing of it";
    book.fold(
        sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "cap", 40, attempt)}));
    EXPECT_FALSE(book.payment().discrepancy());
  }
}

TEST_F(ReadingsSumsTest, AMovementThatIsListedTwiceIsBookedOnce) {
  auto reading = sandbox(pb::PAYMENT_STATUS_PARTLY_CAPTURED, {kAuth, moved(kCapture, "a", 5)});
  reading.movements.push_back(moved(kCapture, "a", 5));
  fold(reading);
  EXPECT_THAT(book_.of_kind(kCapture), SizeIs(1));
}

TEST_F(ReadingsSumsTest, MovementsWithoutIdsAreBookedOnceEach) {
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

TEST_F(ReadingsSumsTest, NonsenseIsTakenAsItIsAndMarked) {
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
