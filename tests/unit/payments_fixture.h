#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "server/orders/external_payment.h"
#include "server/orders/payments.h"
#include "tests/support/any_gateway.h"
#include "tests/unit/rules_fixture.h"

// What the tests of payments share.

namespace orderd::rules {

using payments::CallResult;
using Kind = CallResult::Kind;

inline constexpr Micros kSeconds = 1'000'000;
inline constexpr Micros kMinutes = 60 * kSeconds;
inline constexpr Micros kHours = 60 * kMinutes;
inline constexpr Micros kDays = 24 * kHours;

inline pb::Money euros(std::int64_t minor) { return make_money("EUR", minor); }

inline CallResult answer(Kind kind, const std::string& reason = "", const std::string& id = "") {
  CallResult result;
  result.kind = kind;
  result.reason = reason;
  result.gateway_transaction_id = id;
  return result;
}

/// Sums: authorized, captured, refunded, voided.
inline pb::Payment& add_payment(pb::Order& order, const std::string& id, const ExternalSums& sums,
                                const std::string& account = "bank") {
  const std::string actor = "somebody";
  const Settings settings;
  const Context context{kNow, &actor, &settings};
  std::vector<pb::PaymentTransaction> transactions;
  auto& payment = *order.add_payments();
  payment.set_payment_id(id);
  payment.set_gateway_account(account);
  payment.set_gateway_reference("ref-" + id);
  set_external_sums(sums, "EUR", kNow, context, payment, transactions);
  payment.mutable_capabilities()->set_lookup_by_attempt(true);
  return payment;
}

/// An order with one payment, "pay", of 100 authorized cents at a gateway that can do everything.
class PaymentsTest : public RulesTest {
 protected:
  PaymentsTest() {
    for (const auto* id : {"new", "processing", "completed"}) {
      settings_.states.at(id).set_allows_capture(true);
    }
    add_payment(order_, "pay", {100, 0, 0, 0});
  }

  pb::Payment& payment() { return *order_.mutable_payments(0); }
  pb::GatewayCapabilities& can() { return *payment().mutable_capabilities(); }
  void have(const ExternalSums& sums) {
    const auto account = payment().gateway_account();
    const auto capabilities = can();
    order_.clear_payments();
    add_payment(order_, "pay", sums, account);
    can() = capabilities;
  }
  void be_external() { payment().set_gateway_account("external"); }

  AttemptContext attempt() {
    return {uuid(1000 + 10 * attempts_++), kUuid, std::chrono::seconds(20), &gateways_};
  }

  Result capture(std::optional<std::int64_t> amount = {}, bool final_capture = false) {
    pb::CapturePaymentRequest request;
    request.set_payment_id("pay");
    request.set_reason("ships today");
    request.set_final_capture(final_capture);
    if (amount) *request.mutable_amount() = euros(*amount);
    return capture(request);
  }
  Result capture(const pb::CapturePaymentRequest& request) {
    return run([&, at = attempt()](const Target& target, const Context& c) {
      return capture_payment(request, at, target, c);
    });
  }
  Result release(const std::string& id = "pay") {
    pb::VoidPaymentRequest request;
    request.set_payment_id(id);
    return run([&, at = attempt()](const Target& target, const Context& c) {
      return void_payment(request, at, target, c);
    });
  }
  Result refund(std::optional<std::int64_t> amount = {}, bool confirm_external = false) {
    pb::RefundPaymentRequest request;
    request.set_payment_id("pay");
    request.set_confirm_external(confirm_external);
    if (amount) *request.mutable_amount() = euros(*amount);
    return refund(request);
  }
  Result refund(const pb::RefundPaymentRequest& request) {
    return run([&, at = attempt()](const Target& target, const Context& c) {
      return refund_payment(request, at, target, c);
    });
  }
  Result settle_with(const std::string& transaction_id, const CallResult& result) {
    return run(
        [&](const Target& t, const Context& c) {
          return settle("pay", *Uuid::parse(transaction_id), result, t, c);
        },
        target_of(transaction_id));
  }
  /// Long after the sender of the attempt has given up.
  Result resolve(const std::string& transaction_id, bool succeeded,
                 std::chrono::microseconds lease = {}) {
    pb::ResolveTransactionRequest request;
    request.set_transaction_id(transaction_id);
    request.set_status(succeeded ? pb::TRANSACTION_STATUS_SUCCEEDED
                                 : pb::TRANSACTION_STATUS_FAILED);
    request.set_reason("the bank says so");
    return run(
        [&](const Target& t, const Context& c) {
          return resolve_transaction(request, gateways_, lease, t, c);
        },
        target_of(transaction_id));
  }

  /// The transaction as the ledger has it.
  Target target_of(const std::string& transaction_id) const {
    Target target;
    for (const auto& transaction : ledger_) {
      if (transaction.transaction_id() == transaction_id) target.transaction = &transaction;
    }
    return target;
  }

  /// Does what the change says, as the engine would. Returns the id of the transaction that it is
  /// about.
  std::string apply(const Result& result) {
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return "";
    if (result->after) order_ = *result->after;
    for (const auto& transaction : result->transactions_created) ledger_.push_back(transaction);
    for (const auto& updated : result->transactions_updated) {
      const auto found = std::find_if(ledger_.begin(), ledger_.end(), [&](const auto& old) {
        return old.transaction_id() == updated.transaction_id();
      });
      EXPECT_NE(found, ledger_.end()) << "a transaction that does not exist was changed";
      if (found != ledger_.end()) *found = updated;
    }
    return result->outcome.transaction_id();
  }

  const pb::PaymentTransaction& transaction(const std::string& id) const {
    static const pb::PaymentTransaction none;
    for (const auto& transaction : ledger_) {
      if (transaction.transaction_id() == id) return transaction;
    }
    ADD_FAILURE() << "no transaction " << id;
    return none;
  }

  /// "AUTHORIZED 100 0 0 0, 60 0": status, sums, capturable, refundable.
  std::string shown_payment() {
    const auto& p = payment();
    return pb::PaymentStatus_Name(p.status()).substr(15) + " " +
           std::to_string(p.authorized().amount_minor()) + " " +
           std::to_string(p.captured().amount_minor()) + " " +
           std::to_string(p.refunded().amount_minor()) + " " +
           std::to_string(p.voided().amount_minor()) + ", " +
           std::to_string(p.capturable().amount_minor()) + " " +
           std::to_string(p.refundable().amount_minor());
  }

  AnyGateway gateways_;
  std::vector<pb::PaymentTransaction> ledger_;
  int attempts_ = 0;
};

}  // namespace orderd::rules
