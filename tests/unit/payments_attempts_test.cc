#include "server/orders/status.h"
#include "tests/unit/payments_fixture.h"

// What may be tried, and what an attempt writes.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;

/// It is open, but reserves nothing.
pb::PaymentTransaction capture_of_nothing() {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(uuid(500).to_string());
  transaction.set_kind(pb::TRANSACTION_KIND_CAPTURE);
  transaction.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  return transaction;
}

class PaymentsAttempts : public PaymentsTest {};

TEST_F(PaymentsAttempts, ACaptureIsWrittenBeforeItIsTried) {
  const auto result = capture(60);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->transactions_created.size(), 1u);
  EXPECT_TRUE(result->transactions_updated.empty());
  const auto& made = result->transactions_created[0];
  EXPECT_EQ(made.transaction_id(), uuid(1000).to_string());
  EXPECT_EQ(result->outcome.transaction_id(), made.transaction_id());
  EXPECT_EQ(result->outcome.payment_id(), "pay");
  EXPECT_EQ(made.payment_id(), "pay");
  EXPECT_EQ(made.kind(), pb::TRANSACTION_KIND_CAPTURE);
  EXPECT_EQ(made.status(), pb::TRANSACTION_STATUS_UNKNOWN);
  EXPECT_EQ(made.amount().amount_minor(), 60);
  EXPECT_EQ(made.amount().currency_code(), "EUR");
  EXPECT_EQ(made.description(), "ships today");
  EXPECT_EQ(made.actor(), kActor);
  EXPECT_EQ(made.request_id(), kUuid);
  EXPECT_EQ(to_micros(made.create_time()), kNow);
  EXPECT_FALSE(made.has_complete_time());
  EXPECT_FALSE(made.foreign());
  EXPECT_TRUE(result->payments_changed);

  const auto& after = result->after->payments(0);
  EXPECT_EQ(after.revision(), payment().revision() + 1);
  ASSERT_EQ(after.open_transactions_size(), 1);
  EXPECT_EQ(after.open_transactions(0).SerializeAsString(), made.SerializeAsString());
  EXPECT_EQ(after.captured().amount_minor(), 0);
  EXPECT_EQ(after.capturable().amount_minor(), 40);
  EXPECT_EQ(after.status(), pb::PAYMENT_STATUS_AUTHORIZED);

  ASSERT_EQ(result->schedule.size(), 1u);
  EXPECT_EQ(result->schedule[0].payment_id, "pay");
  EXPECT_EQ(result->schedule[0].next_check, kNow + 20 * kSeconds) << "the sender's lease";
  EXPECT_EQ(result->schedule[0].unresolved_since, kNow);

  ASSERT_EQ(result->events.size(), 1u);
  const auto& event = result->events[0].payment_changed();
  EXPECT_EQ(event.before().SerializeAsString(), payment().SerializeAsString());
  EXPECT_EQ(event.after().SerializeAsString(), after.SerializeAsString());
  ASSERT_EQ(event.transactions_size(), 1);
  EXPECT_EQ(event.transactions(0).SerializeAsString(), made.SerializeAsString());
}

TEST_F(PaymentsAttempts, WithoutAnAmountItIsAllThereIs) {
  have({100, 30, 10, 20});
  EXPECT_EQ(capture()->transactions_created[0].amount().amount_minor(), 50);
  EXPECT_EQ(release()->transactions_created[0].amount().amount_minor(), 50);
  EXPECT_EQ(refund()->transactions_created[0].amount().amount_minor(), 20);
}

TEST_F(PaymentsAttempts, OpenAttemptsReserveWhatTheyAskFor) {
  apply(capture(60));
  EXPECT_EQ(metadata_of(capture(41).status(), "max_capturable_minor"), "40");
  EXPECT_EQ(metadata_of(capture(41).status(), "requested_minor"), "41");
  apply(capture(40));
  EXPECT_REFUSED(capture(1), "PAYMENT_NOT_CAPTURABLE");
  EXPECT_EQ(metadata_of(capture(1).status(), "max_capturable_minor"), "0");
  EXPECT_EQ(metadata_of(capture(1).status(), "status"), "AUTHORIZED");
  EXPECT_EQ(payment().revision(), 2);

  have({100, 80, 10, 0});
  apply(refund(50));
  EXPECT_REFUSED(refund(21), "AMOUNT_TOO_LARGE");
  EXPECT_EQ(metadata_of(refund(21).status(), "max_refundable_minor"), "20");
  apply(refund(20));
  EXPECT_REFUSED(refund(1), "PAYMENT_NOT_REFUNDABLE");
  EXPECT_EQ(metadata_of(refund(1).status(), "max_refundable_minor"), "0");
}

TEST_F(PaymentsAttempts, AFinalCaptureReservesTheWholeRemainder) {
  const auto id = apply(capture(60, true));
  EXPECT_TRUE(transaction(id).final_capture());
  EXPECT_EQ(payment().capturable().amount_minor(), 0);
  EXPECT_REFUSED(capture(1), "PAYMENT_NOT_CAPTURABLE");
  EXPECT_REFUSED(release(), "PAYMENT_BUSY");
}

TEST_F(PaymentsAttempts, WhatTakesTheRemainderWaitsUntilItIsKnown) {
  apply(capture(60));
  EXPECT_REFUSED(release(), "PAYMENT_BUSY");
  EXPECT_REFUSED(capture(20, true), "PAYMENT_BUSY");
  EXPECT_TRUE(capture(20).ok());
  have({100, 50, 0, 0});
  apply(refund(10));
  EXPECT_TRUE(release().ok()) << "a refund takes nothing from it";
}

TEST_F(PaymentsAttempts, AnOpenPaymentIsClosedByAVoidOfZero) {
  have({0, 0, 0, 0});
  payment().set_status(pb::PAYMENT_STATUS_OPEN);
  const auto result = release();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->transactions_created[0].amount().SerializeAsString(),
            euros(0).SerializeAsString());
  apply(result);
  EXPECT_REFUSED(release(), "PAYMENT_BUSY");
}

TEST_F(PaymentsAttempts, ChecksAreMadeInTheirOrder) {
  // Everything is wrong at once; what is at fault is put right one by one.
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  order_.set_state_id("fraud");
  gateways_.unknown = {"bank"};
  gateways_.is_representable = [](const pb::Money&) { return false; };
  gateways_.availability = errors::gateway_unavailable("bank", std::chrono::seconds(1));
  payment().set_discrepancy(true);
  payment().set_status(pb::PAYMENT_STATUS_UNSYNCED);
  can().Clear();
  *payment().add_open_transactions() = capture_of_nothing();
  pb::CapturePaymentRequest request;
  request.set_payment_id("other");
  *request.mutable_amount() = make_money("USD", 101);
  std::vector<std::string> seen;
  const auto next = [&] { seen.push_back(errors::reason(capture(request).status())); };
  next();
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_NONE);
  next();
  order_.set_state_id("new");
  next();
  request.set_payment_id("pay");
  next();
  gateways_.unknown.clear();
  next();
  request.mutable_amount()->set_currency_code("EUR");
  next();
  payment().set_discrepancy(false);
  next();
  payment().set_status(pb::PAYMENT_STATUS_EXPIRED);
  next();
  payment().set_status(pb::PAYMENT_STATUS_AUTHORIZED);
  can().set_multi_capture(true);
  next();
  request.mutable_amount()->set_amount_minor(50);
  next();
  can().set_partial_capture(true);
  can().set_max_captures(2);
  next();
  can().set_max_captures(0);
  next();
  gateways_.is_representable = [](const pb::Money&) { return true; };
  next();
  can().set_concurrent_operations(true);
  next();
  gateways_.availability = absl::OkStatus();
  next();
  EXPECT_THAT(seen,
              ElementsAre("CANCELLATION_IN_PROGRESS", "CAPTURE_NOT_ALLOWED", "PAYMENT_NOT_FOUND",
                          "GATEWAY_NOT_CONFIGURED", "CURRENCY_MISMATCH", "PAYMENT_DISCREPANCY",
                          "PAYMENT_UNSYNCED", "AUTHORIZATION_EXPIRED", "AMOUNT_TOO_LARGE",
                          "PARTIAL_CAPTURE_NOT_SUPPORTED", "FINAL_CAPTURE_REQUIRED",
                          "AMOUNT_NOT_REPRESENTABLE", "PAYMENT_BUSY", "GATEWAY_UNAVAILABLE", ""));
}

TEST_F(PaymentsAttempts, WhatStopsAllOperations) {
  struct Case {
    std::string reason;
    std::function<void()> arrange;
  };
  const std::vector<Case> cases = {
      {"CANCELLATION_IN_PROGRESS",
       [&] { order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_FAILED); }},
      {"PAYMENT_NOT_FOUND", [&] { payment().set_payment_id("other"); }},
      {"GATEWAY_NOT_CONFIGURED", [&] { gateways_.unknown = {"bank"}; }},
      {"PAYMENT_DISCREPANCY", [&] { payment().set_discrepancy(true); }},
      {"PAYMENT_UNSYNCED", [&] { payment().set_status(pb::PAYMENT_STATUS_UNSYNCED); }},
      {"GATEWAY_UNAVAILABLE",
       [&] {
         gateways_.availability = errors::gateway_unavailable("bank", std::chrono::seconds(1));
       }},
      {"OVERLOADED", [&] { gateways_.availability = errors::overloaded(std::chrono::seconds(1)); }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.reason);
    order_ = stored_order();
    add_payment(order_, "pay", {100, 50, 0, 0});
    gateways_ = AnyGateway();
    c.arrange();
    EXPECT_REFUSED(capture(10), c.reason);
    EXPECT_REFUSED(release(), c.reason);
    EXPECT_REFUSED(refund(10), c.reason);
  }
}

TEST_F(PaymentsAttempts, OnlyCapturesNeedTheStatesLeave) {
  have({100, 50, 0, 0});
  order_.set_state_id("fraud");
  EXPECT_REFUSED(capture(10), "CAPTURE_NOT_ALLOWED");
  EXPECT_TRUE(release().ok());
  EXPECT_TRUE(refund().ok());
}

TEST_F(PaymentsAttempts, WhereThereIsNothingToTake) {
  struct Case {
    ExternalSums sums;
    std::optional<pb::PaymentStatus> status;
    std::string capture, release, refund;
  };
  const std::vector<Case> cases = {
      {{100, 0, 0, 0}, {}, "", "", "PAYMENT_NOT_REFUNDABLE"},
      {{100, 60, 0, 0}, {}, "", "", ""},
      {{100, 100, 0, 0}, {}, "PAYMENT_NOT_CAPTURABLE", "PAYMENT_NOT_VOIDABLE", ""},
      {{100, 60, 0, 40}, {}, "PAYMENT_NOT_CAPTURABLE", "PAYMENT_NOT_VOIDABLE", ""},
      {{100, 100, 100, 0},
       {},
       "PAYMENT_NOT_CAPTURABLE",
       "PAYMENT_NOT_VOIDABLE",
       "PAYMENT_NOT_REFUNDABLE"},
      {{100, 0, 0, 100},
       {},
       "PAYMENT_NOT_CAPTURABLE",
       "PAYMENT_NOT_VOIDABLE",
       "PAYMENT_NOT_REFUNDABLE"},
      {{100, 0, 0, 100},
       pb::PAYMENT_STATUS_EXPIRED,
       "AUTHORIZATION_EXPIRED",
       "PAYMENT_NOT_VOIDABLE",
       "PAYMENT_NOT_REFUNDABLE"},
      {{0, 0, 0, 0},
       pb::PAYMENT_STATUS_OPEN,
       "PAYMENT_NOT_CAPTURABLE",
       "",
       "PAYMENT_NOT_REFUNDABLE"},
      {{0, 0, 0, 0},
       pb::PAYMENT_STATUS_PROCESSING,
       "PAYMENT_NOT_CAPTURABLE",
       "PAYMENT_NOT_VOIDABLE",
       "PAYMENT_NOT_REFUNDABLE"},
  };
  for (const auto& c : cases) {
    have(c.sums);
    if (c.status) payment().set_status(*c.status);
    SCOPED_TRACE(shown_payment());
    EXPECT_EQ(errors::reason(capture().status()), c.capture);
    EXPECT_EQ(errors::reason(release().status()), c.release);
    EXPECT_EQ(errors::reason(refund().status()), c.refund);
  }
}

/// Every combination of what a gateway can do with captures, against what each of them must lead
/// to.
TEST_F(PaymentsAttempts, EveryKindOfGatewayCaptures) {
  int combinations = 0;
  for (const bool multi : {false, true}) {
    for (const int max : {0, 1, 2, 3}) {
      for (const bool partial : {false, true}) {
        for (const int done : {0, 1, 2}) {
          for (const bool all : {false, true}) {
            for (const bool final : {false, true}) {
              SCOPED_TRACE(::testing::Message()
                           << "multi " << multi << " max " << max << " partial " << partial
                           << " done " << done << " all " << all << " final " << final);
              have({100, 10 * done, 0, 0});
              payment().set_capture_count(done);
              can().set_multi_capture(multi);
              can().set_max_captures(max);
              can().set_partial_capture(partial);
              const bool another = multi ? max == 0 || done < max : done == 0;
              const bool one_more_after = multi && (max == 0 || done + 1 < max);
              std::string expected;
              if (!another) {
                expected = "PAYMENT_NOT_CAPTURABLE";
              } else if (!all && !partial) {
                expected = "PARTIAL_CAPTURE_NOT_SUPPORTED";
              } else if (!all && !final && !one_more_after) {
                expected = "FINAL_CAPTURE_REQUIRED";
              }
              const std::int64_t capturable = 100 - 10 * done;
              const auto result = capture(all ? capturable : 7, final);
              EXPECT_EQ(errors::reason(result.status()), expected);
              if (expected == "FINAL_CAPTURE_REQUIRED") {
                EXPECT_EQ(metadata_of(result.status(), "released_minor"),
                          std::to_string(capturable - 7));
              }
              if (expected == "PARTIAL_CAPTURE_NOT_SUPPORTED") {
                EXPECT_EQ(metadata_of(result.status(), "max_capturable_minor"),
                          std::to_string(capturable));
              }
              ++combinations;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(combinations, 2 * 4 * 2 * 3 * 2 * 2);
}

TEST_F(PaymentsAttempts, AnOpenCaptureCountsAsOne) {
  can().set_max_captures(2);
  apply(capture(10));
  EXPECT_REFUSED(capture(10), "FINAL_CAPTURE_REQUIRED");
  apply(capture(90));
  have({100, 0, 0, 0});
  can().set_max_captures(1);
  apply(capture(100));
  EXPECT_REFUSED(capture(1), "PAYMENT_NOT_CAPTURABLE");
}

TEST_F(PaymentsAttempts, WhatGatewaysCantDoWithVoidsAndRefunds) {
  have({100, 60, 0, 0});
  can().set_void_after_capture(false);
  EXPECT_REFUSED(release(), "VOID_AFTER_CAPTURE_NOT_SUPPORTED");
  can().set_refund_before_final_capture(false);
  EXPECT_REFUSED(refund(60), "REFUND_BEFORE_FINAL_CAPTURE_NOT_SUPPORTED");
  can().set_partial_refund(false);
  EXPECT_REFUSED(refund(59), "PARTIAL_REFUND_NOT_SUPPORTED");
  have({100, 0, 0, 0});
  EXPECT_TRUE(release().ok());
  have({100, 60, 0, 40});
  EXPECT_TRUE(refund(60).ok());
  EXPECT_REFUSED(refund(59), "PARTIAL_REFUND_NOT_SUPPORTED");
  EXPECT_EQ(metadata_of(refund(59).status(), "max_refundable_minor"), "60");
}

TEST_F(PaymentsAttempts, OneAtATimeWhereTheGatewayWantsIt) {
  struct Case {
    pb::TransactionKind kind;
    pb::TransactionStatus status;
    bool busy;
  };
  const auto pending = pb::TRANSACTION_STATUS_PENDING;
  const auto unknown = pb::TRANSACTION_STATUS_UNKNOWN;
  for (const Case& c : std::vector<Case>{{pb::TRANSACTION_KIND_CAPTURE, unknown, true},
                                         {pb::TRANSACTION_KIND_CAPTURE, pending, true},
                                         {pb::TRANSACTION_KIND_REFUND, unknown, true},
                                         {pb::TRANSACTION_KIND_REFUND, pending, false}}) {
    have({100, 50, 0, 0});
    auto open = capture_of_nothing();
    open.set_kind(c.kind);
    open.set_status(c.status);
    *payment().add_open_transactions() = open;
    SCOPED_TRACE(open.ShortDebugString());
    can().set_concurrent_operations(true);
    EXPECT_TRUE(capture(5).ok());
    EXPECT_TRUE(refund(5).ok());
    can().set_concurrent_operations(false);
    EXPECT_EQ(errors::reason(capture(5).status()), c.busy ? "PAYMENT_BUSY" : "");
    EXPECT_EQ(errors::reason(refund(5).status()), c.busy ? "PAYMENT_BUSY" : "");
    EXPECT_EQ(errors::reason(release().status()), c.busy ? "PAYMENT_BUSY" : "");
  }
}

TEST_F(PaymentsAttempts, AnAmountThatCantBeExpressedIsNotTried) {
  have({100, 50, 0, 0});
  gateways_.is_representable = [](const pb::Money& m) { return m.amount_minor() % 10 == 0; };
  EXPECT_TRUE(capture(10).ok());
  EXPECT_REFUSED(capture(11), "AMOUNT_NOT_REPRESENTABLE");
  EXPECT_EQ(metadata_of(capture(11).status(), "amount_minor"), "11");
  EXPECT_REFUSED(refund(11), "AMOUNT_NOT_REPRESENTABLE");
  have({103, 50, 0, 0});
  EXPECT_REFUSED(capture(), "AMOUNT_NOT_REPRESENTABLE");
  EXPECT_TRUE(release().ok()) << "no amount is sent";
}

TEST_F(PaymentsAttempts, ConfirmedExternalRefundsAreDoneAtOnce) {
  have({100, 50, 0, 0});
  EXPECT_REFUSED(refund(20, true), "CONFIRM_EXTERNAL_NOT_ALLOWED");
  be_external();
  const auto result = refund(20, true);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->transactions_created.size(), 1u);
  const auto& made = result->transactions_created[0];
  EXPECT_EQ(made.status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  EXPECT_EQ(to_micros(made.complete_time()), kNow);
  EXPECT_EQ(result->outcome.transaction_id(), made.transaction_id());
  EXPECT_EQ(result->schedule[0].next_check, std::nullopt);
  EXPECT_EQ(result->schedule[0].unresolved_since, std::nullopt);
  EXPECT_EQ(result->after->payments(0).revision(), 1);
  apply(result);
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 100 50 20 0, 50 30");
  EXPECT_EQ(payment().open_transactions_size(), 0);
}

TEST_F(PaymentsAttempts, AnExternalRefundWaitsToBeConfirmed) {
  have({100, 50, 0, 0});
  be_external();
  const auto id = apply(refund(20));
  EXPECT_EQ(transaction(id).status(), pb::TRANSACTION_STATUS_UNKNOWN);
}

}  // namespace
}  // namespace orderd::rules
