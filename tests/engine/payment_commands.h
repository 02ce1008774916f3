#pragma once

#include <string>
#include <vector>

#include "server/orders/payments.h"
#include "server/orders/readings.h"
#include "tests/engine/engine_fixture.h"

// The commands of payments, as the RPC layer and the processor submit them.

namespace orderd::test {

inline pb::Money euro(std::int64_t minor) {
  pb::Money money;
  money.set_currency_code("EUR");
  money.set_amount_minor(minor);
  return money;
}

/// An external payment with so much authorized.
inline Command add_payment(const Uuid& order, std::int64_t authorized,
                           const std::string& request_id = {}) {
  pb::AddPaymentRequest request;
  request.set_order_id(order.to_string());
  request.set_request_id(request_id);
  request.mutable_payment()->set_gateway_account("external");
  request.mutable_payment()->set_gateway_reference(Uuid::generate().to_string());
  *request.mutable_payment()->mutable_authorized() = euro(authorized);
  Command command = command_for("AddPayment", request);
  command.claims = rules::payment_claims(request.payment());
  command.rule = [request, id = Uuid::generate()](const rules::Target& target,
                                                  const rules::Context& context) {
    return rules::add_payment(request, id, rules::AnyGateway(), target, context);
  };
  return command;
}

/// As `add_payment`, at an account with a gateway.
inline Command attach_payment(const Uuid& order, const std::string& account) {
  pb::AddPaymentRequest request;
  request.set_order_id(order.to_string());
  request.mutable_payment()->set_gateway_account(account);
  request.mutable_payment()->set_gateway_reference(Uuid::generate().to_string());
  Command command = command_for("AddPayment", request);
  command.claims = rules::payment_claims(request.payment());
  command.rule = [request, id = Uuid::generate()](const rules::Target& target,
                                                  const rules::Context& context) {
    return rules::add_payment(request, id, rules::AnyGateway(), target, context);
  };
  return command;
}

inline Command capture(const Uuid& order, const std::string& payment_id, std::int64_t minor,
                       const std::string& request_id = {}) {
  pb::CapturePaymentRequest request;
  request.set_order_id(order.to_string());
  request.set_request_id(request_id);
  request.set_payment_id(payment_id);
  *request.mutable_amount() = euro(minor);
  Command command = command_for("CapturePayment", request);
  command.keep_request = true;
  command.rule = [request, id = Uuid::generate()](const rules::Target& target,
                                                  const rules::Context& context) {
    const rules::AnyGateway gateways;
    return rules::capture_payment(
        request, {id, request.request_id(), std::chrono::seconds(20), &gateways}, target, context);
  };
  return command;
}

inline Command settle(const Uuid& order, const std::string& payment_id,
                      const std::string& transaction_id, const payments::CallResult& result) {
  Command command;
  command.actor = "orderd";
  command.order_id = order;
  command.transaction_id = Uuid::parse(transaction_id);
  command.rule = [payment_id, id = *command.transaction_id, result](const rules::Target& target,
                                                                    const rules::Context& context) {
    return rules::settle(payment_id, id, result, target, context);
  };
  return command;
}

inline payments::CallResult succeeded(const std::string& gateway_id) {
  payments::CallResult result;
  result.kind = payments::CallResult::Kind::kSucceeded;
  result.gateway_transaction_id = gateway_id;
  result.time = 1'700'000'000'000'000;
  return result;
}

inline Command fold(const Uuid& order, const rules::PaymentReading& reading) {
  Command command;
  command.actor = "orderd";
  command.order_id = order;
  command.wants_ledger = true;
  command.rule = [reading, ids = Uuid::generate()](const rules::Target& target,
                                                   const rules::Context& context) {
    return rules::fold_readings(std::span(&reading, 1), ids, target, context);
  };
  return command;
}

/// An authorization and captures of these amounts, made elsewhere.
inline rules::PaymentReading reading_of(const std::string& payment_id, std::int64_t revision,
                                        std::int64_t authorized,
                                        const std::vector<std::int64_t>& captures) {
  rules::PaymentReading result{payment_id, revision, {}};
  payments::Reading& reading = result.reading;
  reading.authorized_minor = authorized;
  const auto add = [&](pb::TransactionKind kind, const std::string& id, std::int64_t minor) {
    payments::GatewayMovement movement;
    movement.gateway_transaction_id = id;
    movement.kind = kind;
    movement.status = pb::TRANSACTION_STATUS_SUCCEEDED;
    movement.amount_minor = minor;
    movement.time = 1'700'000'000'000'000;
    reading.movements.push_back(movement);
  };
  add(pb::TRANSACTION_KIND_AUTHORIZATION, "auth", authorized);
  for (const std::int64_t minor : captures) {
    reading.captured_minor += minor;
    add(pb::TRANSACTION_KIND_CAPTURE, "cap-" + std::to_string(reading.movements.size()), minor);
  }
  reading.status = reading.captured_minor == 0            ? pb::PAYMENT_STATUS_AUTHORIZED
                   : reading.captured_minor == authorized ? pb::PAYMENT_STATUS_CAPTURED
                                                          : pb::PAYMENT_STATUS_PARTLY_CAPTURED;
  reading.capabilities.set_multi_capture(true);
  reading.capabilities.set_partial_capture(true);
  reading.capabilities.set_partial_refund(true);
  reading.capabilities.set_concurrent_operations(true);
  reading.capabilities.set_lookup_by_attempt(true);
  reading.capabilities.mutable_key_lifetime()->set_seconds(24 * 3600);
  return result;
}

}  // namespace orderd::test
