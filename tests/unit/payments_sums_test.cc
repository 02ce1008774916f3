#include "server/orders/payments_sums.h"
#include "server/orders/actions.h"
#include "server/orders/status.h"
#include "tests/unit/payments_fixture.h"

// What follows from a payment's sums and open transactions.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
const std::vector<pb::TransactionKind> kKinds = {pb::TRANSACTION_KIND_AUTHORIZATION,
                                                 pb::TRANSACTION_KIND_CAPTURE,
                                                 pb::TRANSACTION_KIND_REFUND,
                                                 pb::TRANSACTION_KIND_VOID,
                                                 pb::TRANSACTION_KIND_EXPIRY,
                                                 pb::TRANSACTION_KIND_CHARGEBACK,
                                                 pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL};

class PaymentsSums : public PaymentsTest {
 protected:
  pb::PaymentTransaction& open(pb::TransactionKind kind, pb::TransactionStatus status,
                               std::int64_t amount) {
    auto& transaction = *payment().add_open_transactions();
    transaction.set_kind(kind);
    transaction.set_status(status);
    *transaction.mutable_amount() = euros(amount);
    *transaction.mutable_create_time() = to_timestamp(kNow);
    return transaction;
  }
  std::string derived(const ExternalSums& sums) {
    have({100, 0, 0, 0});
    *payment().mutable_authorized() = euros(sums.authorized);
    *payment().mutable_captured() = euros(sums.captured);
    *payment().mutable_refunded() = euros(sums.refunded);
    *payment().mutable_voided() = euros(sums.voided);
    derive(payment());
    return std::to_string(payment().capturable().amount_minor()) + " " +
           std::to_string(payment().refundable().amount_minor()) +
           (payment().discrepancy() ? " discrepancy" : "") +
           (payment().attention() ? " attention" : "");
  }
  std::optional<Micros> next_check() { return schedule_of(payment(), kNow).next_check; }
};

TEST_F(PaymentsSums, AreBookedByKind) {
  std::vector<std::string> seen;
  for (const auto kind : kKinds) {
    have({100, 50, 10, 5});
    pb::PaymentTransaction transaction;
    transaction.set_kind(kind);
    transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    *transaction.mutable_amount() = euros(3);
    EXPECT_TRUE(book(transaction, payment()));
    seen.push_back(shown_payment().substr(0, shown_payment().find(',')).substr(16));
    have({100, 50, 10, 5});
    const auto before = payment().SerializeAsString();
    for (const auto status : {pb::TRANSACTION_STATUS_PENDING, pb::TRANSACTION_STATUS_UNKNOWN,
                              pb::TRANSACTION_STATUS_FAILED}) {
      transaction.set_status(status);
      EXPECT_TRUE(book(transaction, payment()));
      EXPECT_EQ(payment().SerializeAsString(), before) << "it moved nothing";
    }
  }
  EXPECT_THAT(seen, ElementsAre("103 50 10 5", "100 53 10 5", "100 50 13 5", "100 50 10 8",
                                "100 50 10 8", "100 50 10 5", "100 50 10 5"));
  EXPECT_EQ(payment().capture_count(), 1);
}

TEST_F(PaymentsSums, AnAdjustmentCorrectsTheSumThatItNames) {
  have({100, 50, 10, 5});
  pb::PaymentTransaction adjustment;
  adjustment.set_kind(pb::TRANSACTION_KIND_ADJUSTMENT);
  adjustment.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  *adjustment.mutable_amount() = euros(-2);
  for (const auto* name : {"AUTHORIZED", "CAPTURED", "REFUNDED", "VOIDED"}) {
    adjustment.set_reason(name);
    EXPECT_TRUE(book(adjustment, payment()));
  }
  derive(payment());
  EXPECT_EQ(shown_payment(), "PARTLY_CAPTURED 98 48 8 3, 47 40");
}

TEST_F(PaymentsSums, ThatDontFitAreNotBooked) {
  for (const auto kind : kKinds) {
    if (kind >= pb::TRANSACTION_KIND_CHARGEBACK) continue;
    for (auto* sum : {payment().mutable_authorized(), payment().mutable_captured(),
                      payment().mutable_refunded(), payment().mutable_voided()}) {
      sum->set_amount_minor(kMax - 1);
    }
    pb::PaymentTransaction transaction;
    transaction.set_kind(kind);
    transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    *transaction.mutable_amount() = euros(1);
    EXPECT_TRUE(book(transaction, payment()));
    const auto before = payment().SerializeAsString();
    EXPECT_FALSE(book(transaction, payment()));
    EXPECT_EQ(payment().SerializeAsString(), before);
  }
}

TEST_F(PaymentsSums, ThatCantBeAreADiscrepancy) {
  EXPECT_EQ(derived({100, 60, 20, 30}), "10 40");
  EXPECT_EQ(derived({100, 60, 60, 40}), "0 0");
  EXPECT_EQ(derived({100, 60, 20, 41}), "0 0 discrepancy attention");
  EXPECT_EQ(derived({100, 101, 0, 0}), "0 0 discrepancy attention");
  EXPECT_EQ(derived({100, 60, 61, 0}), "0 0 discrepancy attention");
  EXPECT_EQ(derived({-1, 0, 0, 0}), "0 0 discrepancy attention");
  EXPECT_EQ(derived({kMax, kMax, 0, kMax}), "0 0 discrepancy attention");
  EXPECT_EQ(derived({kMax, kMax, kMax, 0}), "0 0");
}

TEST_F(PaymentsSums, ADiscrepancyAndAttentionStay) {
  derived({100, 101, 0, 0});
  *payment().mutable_authorized() = euros(101);
  derive(payment());
  EXPECT_TRUE(payment().discrepancy()) << "it may be for what the gateway lists";
  EXPECT_TRUE(payment().attention());
}

TEST_F(PaymentsSums, BeforeTheFirstSyncThereAreNone) {
  pb::Payment unsynced;
  unsynced.set_status(pb::PAYMENT_STATUS_UNSYNCED);
  derive(unsynced);
  EXPECT_FALSE(unsynced.has_capturable());
  EXPECT_FALSE(unsynced.has_refundable());
  EXPECT_FALSE(unsynced.attention());
}

TEST_F(PaymentsSums, ReservesThatGoBeyondLeaveNothing) {
  // What the gateway reports may leave less than an open attempt has reserved.
  open(pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, 60);
  *payment().mutable_captured() = euros(70);
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 71);
  derive(payment());
  EXPECT_EQ(shown_payment(), "AUTHORIZED 100 70 0 0, 0 0");
  EXPECT_FALSE(payment().discrepancy()) << "an attempt may fail";
  open(pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, kMax);
  derive(payment());
  EXPECT_EQ(payment().capturable().amount_minor(), 0);
}

TEST_F(PaymentsSums, OpenMoney) {
  const auto is_open = [&](const ExternalSums& sums) {
    have(sums);
    return has_open_money(payment());
  };
  EXPECT_TRUE(is_open({100, 0, 0, 0}));
  EXPECT_TRUE(is_open({100, 60, 60, 0}));
  EXPECT_TRUE(is_open({100, 60, 59, 40}));
  EXPECT_FALSE(is_open({100, 60, 60, 40}));
  EXPECT_FALSE(is_open({100, 0, 0, 100}));
  EXPECT_EQ(open_payments(order_), 0);
  open(pb::TRANSACTION_KIND_VOID, pb::TRANSACTION_STATUS_UNKNOWN, 0);
  EXPECT_TRUE(has_open_money(payment())) << "a transaction is under way";
  EXPECT_EQ(open_payments(order_), 1);
  for (const auto status :
       {pb::PAYMENT_STATUS_UNSYNCED, pb::PAYMENT_STATUS_OPEN, pb::PAYMENT_STATUS_PROCESSING}) {
    have({0, 0, 0, 0});
    EXPECT_FALSE(has_open_money(payment()));
    payment().set_status(status);
    EXPECT_TRUE(has_open_money(payment()));
  }
}

TEST_F(PaymentsSums, WhenTheGatewayIsAsked) {
  EXPECT_EQ(next_check(), kNow + kDays) << "an authorization";
  const auto expires = [&](Micros time) {
    *payment().mutable_expire_time() = to_timestamp(time);
    return next_check();
  };
  EXPECT_EQ(expires(kNow + 3 * kDays), kNow + kDays);
  EXPECT_EQ(expires(kNow + 10 * kHours), kNow + 9 * kHours);
  EXPECT_EQ(expires(kNow + kHours), kNow + kHours);
  EXPECT_EQ(expires(kNow + kMinutes), kNow + kMinutes);
  EXPECT_EQ(expires(kNow - kMinutes), kNow + kDays);
  for (const auto status :
       {pb::PAYMENT_STATUS_UNSYNCED, pb::PAYMENT_STATUS_OPEN, pb::PAYMENT_STATUS_PROCESSING}) {
    payment().set_status(status);
    EXPECT_EQ(next_check(), kNow + 10 * kMinutes);
  }
  have({100, 100, 0, 0});
  EXPECT_EQ(next_check(), std::nullopt) << "nothing more is to come";
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 1);
  EXPECT_EQ(next_check(), kNow + kHours);
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_UNKNOWN, 1);
  EXPECT_EQ(next_check(), kNow + kMinutes);
  have({100, 100, 0, 0});
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 1).set_reason("MANUAL");
  EXPECT_EQ(next_check(), std::nullopt) << "the gateway does not know";
}

TEST_F(PaymentsSums, AttentionLastsFromTheFirstTime) {
  EXPECT_FALSE(schedule_of(payment(), kNow).unresolved_since);
  EXPECT_FALSE(schedule_of(payment(), kNow).keeps_since);
  payment().set_attention(true);
  EXPECT_EQ(schedule_of(payment(), kNow).unresolved_since, kNow);
  EXPECT_TRUE(schedule_of(payment(), kNow).keeps_since);
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 1);
  EXPECT_TRUE(schedule_of(payment(), kNow).keeps_since) << "it was unresolved before that";
  payment().set_attention(false);
  EXPECT_FALSE(schedule_of(payment(), kNow).keeps_since);
}

TEST_F(PaymentsSums, RefundsAreWatchedForThirtyDays) {
  have({100, 100, 40, 0});
  const auto next = [&](Micros last) { return schedule_of(payment(), kNow, last).next_check; };
  EXPECT_EQ(next(kNow), kNow + kDays);
  EXPECT_EQ(next(kNow - 29 * kDays), kNow + kDays);
  EXPECT_EQ(next(kNow - 30 * kDays), std::nullopt);
  EXPECT_EQ(next_check(), kNow + kDays) << "not known when";
}

TEST_F(PaymentsSums, ExternalPaymentsAreAskedAboutOnlyWhereACallIsOwed) {
  be_external();
  *payment().mutable_expire_time() = to_timestamp(kNow + kHours);
  EXPECT_EQ(next_check(), std::nullopt);
  open(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 1).set_reason("MANUAL");
  EXPECT_EQ(next_check(), std::nullopt);
  open(pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, 1);
  EXPECT_EQ(next_check(), kNow + kMinutes);
}

TEST_F(PaymentsSums, UnresolvedSinceTheOldestOpenTransaction) {
  const auto since = [&] { return schedule_of(payment(), kNow).unresolved_since; };
  EXPECT_EQ(since(), std::nullopt);
  payment().set_attention(true);
  EXPECT_EQ(since(), kNow);
  open(pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, 1);
  *open(pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, 1).mutable_create_time() =
      to_timestamp(kNow - kHours);
  EXPECT_EQ(since(), kNow - kHours);
}

/// "allowed max" or "reason max" of capture, void and refund.
class PaymentsActions : public PaymentsSums {
 protected:
  std::vector<std::string> actions() {
    auto order = order_;
    add_available_actions(order, settings_, order);
    std::vector<std::string> shown;
    for (const auto& action : order.available_actions()) {
      if (action.payment_id().empty()) continue;
      EXPECT_EQ(action.payment_id(), "pay");
      EXPECT_EQ(action.allowed(), action.reason().empty());
      shown.push_back((action.allowed() ? "allowed" : action.reason()) +
                      (action.has_max_amount()
                           ? " " + std::to_string(action.max_amount().amount_minor())
                           : ""));
    }
    return shown;
  }
};

TEST_F(PaymentsActions, SayHowMuch) {
  have({100, 40, 10, 0});
  EXPECT_THAT(actions(), ElementsAre("allowed 60", "allowed 60", "allowed 30"));
  apply(capture(20));
  EXPECT_THAT(actions(), ElementsAre("allowed 40", "PAYMENT_BUSY 0", "allowed 30"));
  can().set_concurrent_operations(false);
  EXPECT_THAT(actions(), ElementsAre("PAYMENT_BUSY 0", "PAYMENT_BUSY 0", "PAYMENT_BUSY 0"));
  have({100, 40, 10, 0});
  can().set_void_after_capture(false);
  can().set_refund_before_final_capture(false);
  EXPECT_THAT(actions(), ElementsAre("allowed 60", "VOID_AFTER_CAPTURE_NOT_SUPPORTED 0",
                                     "REFUND_BEFORE_FINAL_CAPTURE_NOT_SUPPORTED 0"));
  order_.set_state_id("fraud");
  EXPECT_EQ(actions()[0], "CAPTURE_NOT_ALLOWED 0");
}

TEST_F(PaymentsActions, OfAnUnsyncedPaymentNobodyKnowsHowMuch) {
  order_.clear_payments();
  auto& unsynced = *order_.add_payments();
  unsynced.set_payment_id("pay");
  unsynced.set_gateway_account("bank");
  unsynced.set_status(pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_THAT(actions(), ElementsAre("allowed", "allowed", "allowed"));
  order_.set_state_id("fraud");
  EXPECT_THAT(actions(), ElementsAre("CAPTURE_NOT_ALLOWED", "allowed", "allowed"));
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  for (const auto& action : actions()) EXPECT_EQ(action, "CANCELLATION_IN_PROGRESS");
}

}  // namespace
}  // namespace orderd::rules
