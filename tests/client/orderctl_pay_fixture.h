#pragma once

#include <cstdint>
#include <string>

#include "tests/client/orderctl_fixture.h"

namespace orderd::testing {

inline constexpr char kRequestId[] = "0190c2a0-0000-7000-8000-000000000042";

/// An order of 59.90 EUR with one payment "p1", authorized.
class OrderctlPayTest : public OrderctlTest {
 protected:
  OrderctlPayTest() {
    order_.set_order_number("1001");
    order_.set_state_id("processing");
    order_.set_currency_code("EUR");
    set(order_.mutable_totals()->mutable_total(), "EUR", 5990);
    add_payment("p1", "sandbox", "pay-1", pb::PAYMENT_STATUS_AUTHORIZED);
    set_amounts(*order_.mutable_payments(0), 5990, 0, 0);
    allow(pb::ACTION_KIND_CAPTURE, "p1", 5990);
    allow(pb::ACTION_KIND_VOID, "p1", 5990);
    refuse(pb::ACTION_KIND_REFUND, "p1", "PAYMENT_NOT_REFUNDABLE");
    server_.on_capture = [this](const auto& request, auto& response) { answer(request, response); };
    server_.on_refund = [this](const auto& request, auto& response) { answer(request, response); };
    server_.on_void = [this](const auto& request, auto& response) { answer(request, response); };
    transaction_.set_transaction_id("t1");
    transaction_.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    set(transaction_.mutable_amount(), "EUR", 5990);
  }

  pb::Payment& add_payment(const std::string& id, const std::string& account,
                           const std::string& reference, pb::PaymentStatus status) {
    auto& payment = *order_.add_payments();
    payment.set_payment_id(id);
    payment.set_gateway_account(account);
    payment.set_gateway_reference(reference);
    payment.set_status(status);
    return payment;
  }
  static void set_amounts(pb::Payment& payment, std::int64_t authorized, std::int64_t captured,
                          std::int64_t refunded) {
    set(payment.mutable_authorized(), "EUR", authorized);
    set(payment.mutable_captured(), "EUR", captured);
    set(payment.mutable_refunded(), "EUR", refunded);
    set(payment.mutable_voided(), "EUR", 0);
    set(payment.mutable_capturable(), "EUR", authorized - captured);
    set(payment.mutable_refundable(), "EUR", captured - refunded);
  }
  void allow(pb::ActionKind kind, const std::string& payment, std::int64_t most) {
    auto& action = *order_.add_available_actions();
    action.set_kind(kind);
    action.set_payment_id(payment);
    action.set_allowed(true);
    set(action.mutable_max_amount(), "EUR", most);
  }
  void refuse(pb::ActionKind kind, const std::string& payment, const std::string& reason) {
    auto& action = *order_.add_available_actions();
    action.set_kind(kind);
    action.set_payment_id(payment);
    action.set_reason(reason);
  }
  template <class Request, class Response>
  void answer(const Request& request, Response& response) {
    *response.mutable_order() = order_;
    *response.mutable_transaction() = transaction_;
    response.mutable_transaction()->set_payment_id(request.payment_id());
    if (request.validate_only()) response.mutable_transaction()->clear_transaction_id();
  }
  /// The number of calls that would move money.
  int money_calls() const {
    int count = 0;
    for (const auto& call : server_.calls()) {
      count += call.method == "CapturePayment" || call.method == "RefundPayment" ||
               call.method == "VoidPayment";
    }
    return count;
  }

  pb::PaymentTransaction transaction_;
};

/// A transaction of "p1".
inline pb::PaymentTransaction history(const std::string& id, pb::TransactionKind kind,
                                      pb::TransactionStatus status, std::int64_t minor) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(id);
  transaction.set_payment_id("p1");
  transaction.set_kind(kind);
  transaction.set_status(status);
  transaction.mutable_amount()->set_currency_code("EUR");
  transaction.mutable_amount()->set_amount_minor(minor);
  transaction.mutable_create_time()->set_seconds(1'800'000'000);
  return transaction;
}

}  // namespace orderd::testing
