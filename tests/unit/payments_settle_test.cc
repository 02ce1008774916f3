#include "tests/unit/payments_fixture.h"

// What the end of an attempt means, and an operator's word about it.

namespace orderd::rules {
namespace {

class PaymentsSettle : public PaymentsTest {
 protected:
  static CallResult done(const std::string& id = "gw-1", std::optional<Micros> time = {}) {
    auto result = answer(Kind::kSucceeded, "", id);
    result.time = time;
    return result;
  }
  /// Nothing is to be written, though the transaction is still named.
  void expect_nothing(const Result& result, const std::string& id) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_FALSE(result->after.has_value());
    EXPECT_TRUE(result->events.empty());
    EXPECT_TRUE(result->schedule.empty());
    EXPECT_TRUE(result->transactions_created.empty());
    EXPECT_TRUE(result->transactions_updated.empty());
    EXPECT_EQ(result->outcome.transaction_id(), id);
  }
};

TEST_F(PaymentsSettle, ASuccessIsBooked) {
  const auto id = apply(capture(60));
  const auto before = payment();
  const auto result = settle_with(id, done("gw-1", kNow - 5 * kSeconds));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->transactions_updated.size(), 1u);
  EXPECT_TRUE(result->transactions_created.empty());
  EXPECT_TRUE(result->payments_changed);
  ASSERT_EQ(result->events.size(), 1u);
  EXPECT_EQ(result->events[0].payment_changed().before().SerializeAsString(),
            before.SerializeAsString());
  ASSERT_EQ(result->events[0].payment_changed().transactions_size(), 1);
  EXPECT_EQ(result->schedule[0].next_check, kNow + kDays);
  EXPECT_EQ(result->schedule[0].unresolved_since, std::nullopt);
  apply(result);
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 60 0 0, 40 60");
  EXPECT_EQ(payment().open_transactions_size(), 0);
  EXPECT_EQ(payment().capture_count(), 1);
  EXPECT_EQ(payment().revision(), 2);
  EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  EXPECT_EQ(transaction(id).gateway_transaction_id(), "gw-1");
  EXPECT_EQ(to_micros(transaction(id).complete_time()), kNow - 5 * kSeconds);
  expect_nothing(settle_with(id, done("gw-2")), id);
}

TEST_F(PaymentsSettle, StatusFollowsFromSums) {
  apply(settle_with(apply(capture(60)), done()));
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 60 0 0, 40 60");
  apply(settle_with(apply(refund(60)), done()));
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 60 60 0, 40 0");
  apply(settle_with(apply(capture(30)), done()));
  apply(settle_with(apply(release()), done()));
  EXPECT_EQ(shown_payment(), "CAPTURED 100 90 60 10, 0 30");
  apply(settle_with(apply(refund(30)), done()));
  EXPECT_EQ(shown_payment(), "REFUNDED 100 90 90 10, 0 0");
  have({100, 0, 0, 0});
  apply(settle_with(apply(release()), done()));
  EXPECT_EQ(shown_payment(), "VOIDED 100 0 0 100, 0 0");
  have({0, 0, 0, 0});
  payment().set_status(pb::PAYMENT_STATUS_OPEN);
  apply(settle_with(apply(release()), done()));
  EXPECT_EQ(shown_payment(), "VOIDED 0 0 0 0, 0 0");
}

TEST_F(PaymentsSettle, AFinalCaptureReleasesTheRest) {
  have({100, 10, 0, 5});
  const auto id = apply(capture(60, true));
  const auto result = settle_with(id, done("gw-1", kNow - kSeconds));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->transactions_created.size(), 1u);
  const auto& rest = result->transactions_created[0];
  EXPECT_EQ(rest.transaction_id(), Uuid::parse(id)->derived(1).to_string());
  EXPECT_EQ(rest.kind(), pb::TRANSACTION_KIND_VOID);
  EXPECT_EQ(rest.status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  EXPECT_EQ(rest.amount().amount_minor(), 25);
  EXPECT_EQ(rest.released_by(), id);
  EXPECT_EQ(rest.payment_id(), "pay");
  EXPECT_EQ(rest.actor(), kActor);
  EXPECT_EQ(rest.request_id(), kUuid);
  EXPECT_EQ(to_micros(rest.complete_time()), kNow - kSeconds);
  EXPECT_EQ(result->events[0].payment_changed().transactions_size(), 2);
  EXPECT_EQ(result->outcome.transaction_id(), id);
  apply(result);
  EXPECT_EQ(shown_payment(), "CAPTURED 100 70 0 30, 0 70");
  EXPECT_EQ(payment().revision(), 2) << "one settlement";
}

TEST_F(PaymentsSettle, AFinalCaptureOfAllReleasesNothing) {
  const auto result = settle_with(apply(capture(100, true)), done());
  EXPECT_TRUE(result->transactions_created.empty());
  apply(result);
  EXPECT_EQ(shown_payment(), "CAPTURED 100 100 0 0, 0 100");
}

TEST_F(PaymentsSettle, ARefusalGivesBackWhatWasReserved) {
  have({100, 50, 0, 0});
  const auto before = shown_payment();
  const std::vector<std::function<Result()>> attempts = {
      [&] { return capture(20); },
      [&] { return refund(30); },
      [&] { return capture(5, true); },
      [&] { return release(); },
  };
  for (const auto& attempted : attempts) {
    const auto id = apply(attempted());
    apply(settle_with(id, answer(Kind::kRefused, "CARD_DECLINED")));
    EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_FAILED);
    EXPECT_EQ(transaction(id).reason(), "CARD_DECLINED");
    EXPECT_FALSE(transaction(id).has_complete_time());
    expect_nothing(settle_with(id, answer(Kind::kRefused, "CARD_DECLINED")), id);
  }
  EXPECT_EQ(shown_payment(), before);
  EXPECT_EQ(payment().open_transactions_size(), 0);
}

TEST_F(PaymentsSettle, MoneyThatMovedAfterAFailureIsLookedAt) {
  have({100, 50, 0, 0});
  const auto id = apply(refund(30));
  apply(settle_with(id, answer(Kind::kRefused, "TAKEN_FOR_ANOTHER")));
  const auto sums = shown_payment();
  const auto revision = payment().revision();
  const auto order = order_;
  for (const auto& moved : {done("re_1"), answer(Kind::kPending, "", "re_1")}) {
    order_ = order;
    const auto result = settle_with(id, moved);
    ASSERT_TRUE(result.ok() && result->after) << result.status();
    EXPECT_EQ(result->outcome.transaction_id(), id);
    EXPECT_TRUE(result->transactions_updated.empty()) << "a reading says what it is";
    ASSERT_EQ(result->events.size(), 1u);
    ASSERT_EQ(result->schedule.size(), 1u);
    EXPECT_EQ(result->schedule[0].next_check, kNow);
    EXPECT_EQ(result->schedule[0].unresolved_since, kNow);
    apply(result);
    EXPECT_TRUE(payment().attention());
    EXPECT_GT(payment().revision(), revision) << "readings from before say nothing of it";
    EXPECT_EQ(shown_payment(), sums);
  }
  for (const auto kind :
       {Kind::kUnknown, Kind::kNotExecuted, Kind::kStateConflict, Kind::kRefused}) {
    expect_nothing(settle_with(id, answer(kind)), id);
  }
  payment().set_gateway_account("external");
  expect_nothing(settle_with(id, done()), id);
}

TEST_F(PaymentsSettle, PendingKeepsItsReserve) {
  have({100, 50, 0, 0});
  const auto id = apply(refund(30));
  const auto result = settle_with(id, answer(Kind::kPending, "", "re_1"));
  EXPECT_EQ(result->schedule[0].next_check, kNow + kHours);
  EXPECT_EQ(result->schedule[0].unresolved_since, kNow);
  apply(result);
  EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_PENDING);
  EXPECT_EQ(transaction(id).gateway_transaction_id(), "re_1");
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 0 0, 50 20");
  EXPECT_EQ(payment().revision(), 2);
  EXPECT_FALSE(payment().attention());
  // Later answers that say less.
  for (const auto kind :
       {Kind::kUnknown, Kind::kNotExecuted, Kind::kStateConflict, Kind::kRefused, Kind::kPending}) {
    expect_nothing(settle_with(id, answer(kind, "WHATEVER", "re_2")), id);
  }
  apply(settle_with(id, done("")));
  EXPECT_EQ(transaction(id).gateway_transaction_id(), "re_1");
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 30 0, 50 20");
}

TEST_F(PaymentsSettle, WithoutAnAnswerItStaysUnknown) {
  struct Case {
    Kind kind;
    std::string reason, expected;
    Micros due;
  };
  for (const Case& c : std::vector<Case>{
           {Kind::kUnknown, "", "NO_ANSWER", kNow + kMinutes},
           {Kind::kUnknown, "TIMED_OUT", "TIMED_OUT", kNow + kMinutes},
           {Kind::kNotExecuted, "", "NOT_EXECUTED", kNow + kMinutes},
           {Kind::kNotExecuted, "GATEWAY_UNREACHABLE", "GATEWAY_UNREACHABLE", kNow + kMinutes},
           {Kind::kStateConflict, "ALREADY_CAPTURED", "ALREADY_CAPTURED", kNow}}) {
    SCOPED_TRACE(c.expected);
    have({100, 0, 0, 0});
    const auto id = apply(capture(60));
    const auto result = settle_with(id, answer(c.kind, c.reason));
    ASSERT_TRUE(result.ok() && result->after);
    EXPECT_EQ(result->schedule[0].next_check, c.due);
    apply(result);
    EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_UNKNOWN);
    EXPECT_EQ(transaction(id).reason(), c.expected);
    EXPECT_EQ(shown_payment(), "AUTHORIZED 100 0 0 0, 40 0");
    EXPECT_EQ(payment().revision(), 1) << "no money moved, so a reading stays good";
    expect_nothing(settle_with(id, answer(c.kind, c.reason)), id);
    apply(settle_with(id, done()));
    EXPECT_EQ(transaction(id).reason(), "");
    EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 60 0 0, 40 60");
  }
}

TEST_F(PaymentsSettle, AnswersThatAlternateAreWrittenOnce) {
  using Answers = std::vector<std::pair<Kind, std::string>>;
  struct Case {
    Answers answers;
    std::vector<std::string> written;
  };
  const std::pair<Kind, std::string> silent{Kind::kUnknown, ""},
      broken{Kind::kUnknown, "GATEWAY_ERROR"}, away{Kind::kNotExecuted, "NO_CONNECTION"},
      limited{Kind::kNotExecuted, "RATE_LIMITED"}, conflict{Kind::kStateConflict, "CANCELED"};
  for (const Case& c : std::vector<Case>{
           {{silent, broken, silent, broken, away}, {"NO_ANSWER"}},
           {{broken, broken, silent, broken, silent}, {"GATEWAY_ERROR", "NO_ANSWER"}},
           {{away, limited, away, conflict, limited}, {"NO_CONNECTION"}},
           {{away, broken, away, broken, silent}, {"NO_CONNECTION", "NO_ANSWER"}},
           {{conflict, away, conflict, silent, conflict}, {"CANCELED", "NO_ANSWER"}}}) {
    have({100, 0, 0, 0});
    const auto id = apply(capture(60));
    std::vector<std::string> written;
    for (const auto& [kind, reason] : c.answers) {
      const auto result = settle_with(id, answer(kind, reason));
      if (result.ok() && result->after) written.push_back(result->transactions_updated[0].reason());
      apply(result);
    }
    EXPECT_EQ(written, c.written);
  }
}

TEST_F(PaymentsSettle, TheGatewayMayAskForPatience) {
  const auto id = apply(capture(60));
  auto result = answer(Kind::kNotExecuted, "RATE_LIMITED");
  result.retry_after = std::chrono::minutes(5);
  EXPECT_EQ(settle_with(id, result)->schedule[0].next_check, kNow + 5 * kMinutes);
}

TEST_F(PaymentsSettle, ThereMayBeNothingToSettle) {
  expect_nothing(settle_with(uuid(77).to_string(), done()), uuid(77).to_string());
  order_.clear_payments();
  expect_nothing(settle_with(uuid(77).to_string(), done()), uuid(77).to_string());
}

TEST_F(PaymentsSettle, TwoAnswersMayComeInEitherOrder) {
  have({100, 50, 0, 0});
  const auto a = apply(capture(20)), b = apply(refund(30));
  const auto order = order_;
  const auto ledger = ledger_;
  for (const auto& [first, second] :
       std::vector<std::pair<CallResult, CallResult>>{{done("a"), done("b")},
                                                      {done("a"), answer(Kind::kRefused, "NO")},
                                                      {answer(Kind::kPending, "", "a"), done("b")},
                                                      {answer(Kind::kRefused), done("b")}}) {
    apply(settle_with(a, first));
    apply(settle_with(b, second));
    const auto one = payment().SerializeAsString();
    order_ = order;
    ledger_ = ledger;
    apply(settle_with(b, second));
    apply(settle_with(a, first));
    EXPECT_EQ(payment().SerializeAsString(), one);
    order_ = order;
    ledger_ = ledger;
  }
}

TEST_F(PaymentsSettle, AnAnswerIsNotUndoneByAnotherOfTheSameAttempt) {
  // Whichever of the two a repeated call brings first, what is certain stays.
  const auto id = apply(capture(20));
  const auto order = order_;
  apply(settle_with(id, answer(Kind::kPending, "", "x")));
  apply(settle_with(id, done("x")));
  const auto one = shown_payment();
  order_ = order;
  apply(settle_with(id, done("x")));
  apply(settle_with(id, answer(Kind::kPending, "", "x")));
  EXPECT_EQ(shown_payment(), one);
}

TEST_F(PaymentsSettle, SumsThatDontFitAreRefused) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  const auto id = apply(capture(60));
  payment().mutable_captured()->set_amount_minor(kMax - 59);
  EXPECT_REFUSED(settle_with(id, done()), "INTERNAL");
}

class PaymentsResolve : public PaymentsSettle {
 protected:
  PaymentsResolve() {
    have({100, 50, 0, 0});
    be_external();
  }
};

TEST_F(PaymentsResolve, AManualRefundNeedsSomebody) {
  const auto id = apply(refund(20));
  const auto pending = settle_with(id, answer(Kind::kPending, "MANUAL"));
  EXPECT_EQ(pending->schedule[0].next_check, std::nullopt) << "nobody can be asked";
  EXPECT_EQ(pending->schedule[0].unresolved_since, kNow);
  apply(pending);
  EXPECT_TRUE(payment().attention());

  const auto order = order_;
  const auto ledger = ledger_;
  const auto paid = resolve(id, true);
  ASSERT_TRUE(paid.ok()) << paid.status();
  EXPECT_EQ(paid->events[0].payment_changed().reason(), "the bank says so");
  EXPECT_EQ(paid->schedule[0].unresolved_since, std::nullopt);
  apply(paid);
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 20 0, 50 30");
  EXPECT_EQ(to_micros(transaction(id).complete_time()), kNow);
  EXPECT_FALSE(payment().attention()) << "that was its only cause";

  order_ = order;
  ledger_ = ledger;
  apply(resolve(id, false));
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 0 0, 50 50");
  EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_FAILED);
  EXPECT_EQ(transaction(id).reason(), "RESOLVED");
  EXPECT_FALSE(payment().attention());
}

TEST_F(PaymentsResolve, OneOfTwoLeavesTheOther) {
  const auto a = apply(refund(20)), b = apply(refund(10));
  apply(settle_with(a, answer(Kind::kPending, "MANUAL")));
  apply(settle_with(b, answer(Kind::kPending, "MANUAL")));
  apply(resolve(a, true));
  EXPECT_TRUE(payment().attention());
  ASSERT_EQ(payment().open_transactions_size(), 1);
  EXPECT_EQ(payment().open_transactions(0).transaction_id(), b);
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 20 0, 50 20");
}

TEST_F(PaymentsResolve, WhatIsFinalStays) {
  const auto id = apply(refund(20, true));
  EXPECT_REFUSED(resolve(id, false), "TRANSACTION_FINAL");
  expect_nothing(resolve(id, true), id);
  EXPECT_REFUSED(resolve(uuid(9).to_string(), true), "TRANSACTION_NOT_FOUND");
}

TEST_F(PaymentsResolve, OnlyWhatNoGatewayCanTell) {
  struct Case {
    std::string account;
    bool configured;
    CallResult state;
    bool allowed;
  };
  const auto unknown = answer(Kind::kUnknown), pending = answer(Kind::kPending, "", "re_1"),
             manual = answer(Kind::kPending, "MANUAL");
  for (const Case& c : std::vector<Case>{{"bank", true, unknown, false},
                                         {"bank", true, pending, false},
                                         {"bank", true, manual, true},
                                         {"bank", false, unknown, true},
                                         {"bank", false, pending, true},
                                         {"external", true, unknown, true},
                                         {"external", true, manual, true}}) {
    payment().set_gateway_account(c.account);
    have({100, 50, 0, 0});
    gateways_.unknown.clear();
    const auto id = apply(refund(20));
    apply(settle_with(id, c.state));
    if (!c.configured) gateways_.unknown = {c.account};
    SCOPED_TRACE(c.account + " " + transaction(id).ShortDebugString());
    EXPECT_EQ(errors::reason(resolve(id, true).status()), c.allowed ? "" : "GATEWAY_CAN_TELL");
  }
}

TEST_F(PaymentsResolve, NobodyDecidesWhileTheCallMayBeUnderWay) {
  constexpr std::chrono::seconds kLease{20};
  payment().set_gateway_account("bank");
  have({100, 50, 0, 0});
  can().set_lookup_by_attempt(false);  // and keys that are forgotten at once
  const auto id = apply(refund(20));
  auto& open = *payment().mutable_open_transactions(0);
  const auto busy = resolve(id, false, kLease);
  EXPECT_REFUSED(busy, "PAYMENT_BUSY");
  *open.mutable_create_time() = to_timestamp(kNow - 20 * kSeconds + 1);
  EXPECT_REFUSED(resolve(id, false, kLease), "PAYMENT_BUSY");
  gateways_.unknown = {"bank"};
  EXPECT_REFUSED(resolve(id, false, kLease), "PAYMENT_BUSY");
  *open.mutable_create_time() = to_timestamp(kNow - 20 * kSeconds);
  EXPECT_TRUE(resolve(id, false, kLease).ok());

  // Nothing is under way where the gateway has answered.
  gateways_.unknown.clear();
  const auto manual = apply(refund(10));
  apply(settle_with(manual, answer(Kind::kPending, "MANUAL")));
  EXPECT_TRUE(resolve(manual, true, kLease).ok());
}

TEST_F(PaymentsResolve, AnUnknownFinalCaptureBringsItsRelease) {
  const auto id = apply(capture(10, true));
  apply(resolve(id, true));
  EXPECT_EQ(shown_payment(), "CAPTURED 100 60 0 40, 0 60");
}

TEST_F(PaymentsResolve, AtAGatewayAttentionStays) {
  payment().set_gateway_account("bank");
  const auto id = apply(refund(20));
  apply(settle_with(id, answer(Kind::kPending, "MANUAL")));
  EXPECT_TRUE(payment().attention());
  apply(resolve(id, true));
  EXPECT_TRUE(payment().attention()) << "a payment does not say what else it was for";

  const auto seen = resolve(id, true);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->outcome.transaction_id(), id);
  EXPECT_EQ(seen->schedule[0].unresolved_since, std::nullopt);
  EXPECT_EQ(seen->events[0].payment_changed().reason(), "the bank says so");
  apply(seen);
  EXPECT_FALSE(payment().attention()) << "somebody has seen to it";
  expect_nothing(resolve(id, true), id);
}

TEST_F(PaymentsResolve, AnAttemptThatMayHideInSumsIsSomebodysToDecide) {
  payment().set_gateway_account("bank");
  have({100, 50, 0, 0});
  payment().mutable_capabilities()->set_lookup_by_attempt(false);
  payment().mutable_capabilities()->mutable_key_lifetime()->set_seconds(24 * 3600);
  const auto id = apply(refund(20));
  EXPECT_REFUSED(resolve(id, true), "GATEWAY_CAN_TELL");
  *payment().mutable_open_transactions(0)->mutable_create_time() = to_timestamp(kNow - 23 * kHours);
  EXPECT_TRUE(resolve(id, true).ok());
  payment().mutable_capabilities()->set_lookup_by_attempt(true);
  EXPECT_REFUSED(resolve(id, true), "GATEWAY_CAN_TELL");
}

TEST_F(PaymentsResolve, IsAllowedWhileTheOrderIsBeingCanceled) {
  const auto id = apply(refund(20));
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  EXPECT_TRUE(resolve(id, true).ok());
}

}  // namespace
}  // namespace orderd::rules
