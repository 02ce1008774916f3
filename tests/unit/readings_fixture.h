#pragma once

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/orders/payments.h"
#include "server/orders/readings.h"
#include "tests/unit/rules_fixture.h"

// What the tests of readings share: an order with one payment, and its ledger as the database would
// keep it.

namespace orderd::rules {

using payments::CallResult;
using payments::GatewayMovement;
using payments::Reading;

inline constexpr Micros kMinutes = 60'000'000;
inline constexpr Micros kHours = 60 * kMinutes;
inline constexpr Micros kDays = 24 * kHours;

inline constexpr auto kAuthorization = pb::TRANSACTION_KIND_AUTHORIZATION;
inline constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
inline constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
inline constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
inline constexpr auto kExpiry = pb::TRANSACTION_KIND_EXPIRY;
inline constexpr auto kAdjustment = pb::TRANSACTION_KIND_ADJUSTMENT;
inline constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
inline constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;
inline constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
inline constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;

/// An id that is greater than those with a smaller n, and far from their families.
inline Uuid later_uuid(int n) {
  Uuid id = uuid(0);
  id.bytes[4] = static_cast<std::uint8_t>(n >> 16);
  id.bytes[5] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[6] = static_cast<std::uint8_t>(n);
  return id;
}

inline pb::GatewayCapabilities capabilities(bool lookup_by_attempt) {
  pb::GatewayCapabilities can;
  can.set_multi_capture(true);
  can.set_partial_capture(true);
  can.set_partial_refund(true);
  can.set_refund_before_final_capture(true);
  can.set_void_after_capture(true);
  can.set_concurrent_operations(true);
  can.set_lookup_by_attempt(lookup_by_attempt);
  *can.mutable_key_lifetime() = google::protobuf::util::TimeUtil::HoursToDuration(24);
  return can;
}

/// An order with a payment of a gateway, its ledger, and what happens to them.
class Book {
 public:
  explicit Book(Settings& settings) : settings_(settings) {
    auto& payment = *order.add_payments();
    payment.set_payment_id("pay-1");
    payment.set_gateway_account("shop");
    payment.set_gateway_reference("ref-1");
    payment.set_status(pb::PAYMENT_STATUS_UNSYNCED);
  }

  const pb::Payment& payment() const { return order.payments(0); }
  pb::Payment& mutable_payment() { return *order.mutable_payments(0); }
  Context context() const { return Context{now, &kActor, &settings_}; }

  Result try_fold(const Reading& reading, std::int64_t revision) {
    Target target;
    target.order = &order;
    target.ledger = ledger;
    const std::string before = order.SerializeAsString();
    const std::vector<PaymentReading> readings = {{"pay-1", revision, reading}};
    auto result = fold_readings(readings, later_uuid(++ids_), target, context());
    EXPECT_EQ(before, order.SerializeAsString()) << "the rule altered the order";
    return result;
  }
  /// Folds a reading that was taken just now. What it changed.
  Change fold(const Reading& reading) {
    auto result = try_fold(reading, payment().revision());
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    apply(*result);
    return *std::move(result);
  }

  /// Writes an attempt, as the rules of capture, void and refund do.
  std::string attempt(pb::TransactionKind kind, std::int64_t amount_minor,
                      bool final_capture = false) {
    pb::PaymentTransaction attempt;
    attempt.set_transaction_id(later_uuid(++ids_).to_string());
    attempt.set_payment_id("pay-1");
    attempt.set_kind(kind);
    attempt.set_status(kUnknown);
    *attempt.mutable_amount() = make_money("EUR", amount_minor);
    attempt.set_final_capture(final_capture);
    attempt.set_actor(kActor);
    attempt.set_request_id("request");
    *attempt.mutable_create_time() = to_timestamp(now);
    *mutable_payment().add_open_transactions() = attempt;
    mutable_payment().set_revision(payment().revision() + 1);
    derive(mutable_payment());
    ledger.push_back(attempt);
    return attempt.transaction_id();
  }

  /// The gateway's answer to an attempt.
  void answer(const std::string& attempt_id, const CallResult& answer) {
    Target target;
    target.order = &order;
    const pb::PaymentTransaction stored = transaction(attempt_id);
    target.transaction = &stored;
    auto result = settle("pay-1", *Uuid::parse(attempt_id), answer, target, context());
    EXPECT_TRUE(result.ok()) << result.status();
    if (result.ok()) apply(*result);
  }
  void succeeds(const std::string& attempt_id, const std::string& gateway_id) {
    CallResult result;
    result.kind = CallResult::Kind::kSucceeded;
    result.gateway_transaction_id = gateway_id;
    result.time = now;
    answer(attempt_id, result);
  }

  pb::PaymentTransaction transaction(const std::string& id) const {
    for (const auto& transaction : ledger) {
      if (transaction.transaction_id() == id) return transaction;
    }
    ADD_FAILURE() << "no transaction " << id;
    return {};
  }
  std::vector<pb::PaymentTransaction> of_kind(pb::TransactionKind kind) const {
    std::vector<pb::PaymentTransaction> found;
    for (const auto& transaction : ledger) {
      if (transaction.kind() == kind) found.push_back(transaction);
    }
    return found;
  }

  /// What must hold after every change; says what does not.
  std::string broken() const {
    std::map<std::string, std::int64_t> sums;
    std::vector<std::string> open;
    std::int32_t captures = 0;
    for (const auto& transaction : ledger) {
      if (transaction.status() == kUnknown || transaction.status() == kPending) {
        open.push_back(transaction.SerializeAsString());
      }
      if ((transaction.status() == kSucceeded) != transaction.has_complete_time()) {
        return "a time that does not suit the status: " + transaction.ShortDebugString();
      }
      if (transaction.status() != kSucceeded) continue;
      const std::int64_t amount = transaction.amount().amount_minor();
      if (transaction.kind() == kAuthorization) sums["AUTHORIZED"] += amount;
      if (transaction.kind() == kCapture) sums["CAPTURED"] += amount;
      if (transaction.kind() == kCapture) ++captures;
      if (transaction.kind() == kRefund) sums["REFUNDED"] += amount;
      if (transaction.kind() == kVoid || transaction.kind() == kExpiry) sums["VOIDED"] += amount;
      if (transaction.kind() == kAdjustment) sums[transaction.reason()] += amount;
    }
    if (sums["AUTHORIZED"] != payment().authorized().amount_minor()) return "authorized";
    if (sums["CAPTURED"] != payment().captured().amount_minor()) return "captured";
    if (sums["REFUNDED"] != payment().refunded().amount_minor()) return "refunded";
    if (sums["VOIDED"] != payment().voided().amount_minor()) return "voided";
    if (captures != payment().capture_count()) return "capture_count";
    std::vector<std::string> of_payment;
    for (const auto& transaction : payment().open_transactions()) {
      of_payment.push_back(transaction.SerializeAsString());
    }
    return open == of_payment ? "" : "the open transactions are not those of the ledger";
  }

  void apply(const Change& change) {
    EXPECT_EQ(change.after.has_value(), change.payments_changed);
    if (!change.after) {
      EXPECT_TRUE(change.transactions_created.empty() && change.transactions_updated.empty());
      return;
    }
    order = *change.after;
    for (const auto& updated : change.transactions_updated) {
      const auto stored = std::find_if(ledger.begin(), ledger.end(), [&](const auto& candidate) {
        return candidate.transaction_id() == updated.transaction_id();
      });
      ASSERT_NE(stored, ledger.end()) << "an update of what was never written";
      EXPECT_NE(stored->SerializeAsString(), updated.SerializeAsString()) << "no update";
      *stored = updated;
    }
    for (const auto& created : change.transactions_created) {
      for (const auto& stored : ledger) {
        EXPECT_NE(stored.transaction_id(), created.transaction_id()) << "an id twice";
      }
      ledger.push_back(created);
    }
    std::sort(ledger.begin(), ledger.end(),
              [](const auto& a, const auto& b) { return a.transaction_id() < b.transaction_id(); });
  }

  pb::Order order = stored_order();
  std::vector<pb::PaymentTransaction> ledger;
  Micros now = kNow;

 private:
  Settings& settings_;
  int ids_ = 0;
};

inline GatewayMovement moved(pb::TransactionKind kind, const std::string& id,
                             std::int64_t amount_minor, const std::string& attempt_id = "",
                             pb::TransactionStatus status = kSucceeded,
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
inline Reading sandbox(pb::PaymentStatus status, const std::vector<GatewayMovement>& movements,
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
inline Reading sums_only(pb::PaymentStatus status, std::int64_t authorized, std::int64_t captured,
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

inline const GatewayMovement kAuth = moved(kAuthorization, "auth", 100);

/// A payment of which the gateway has not been asked, and checks after each fold.
class ReadingsTest : public RulesTest {
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
    EXPECT_THAT(again->events, ::testing::IsEmpty());
    EXPECT_THAT(again->schedule, ::testing::IsEmpty());
    EXPECT_THAT(again->outcome.differences(), ::testing::IsEmpty());
  }

  const pb::Payment& payment() const { return book_.payment(); }

  Book book_{settings_};
};

}  // namespace orderd::rules
