#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/payments_allowances.h"
#include "server/orders/payments_edit.h"
#include "server/orders/payments_sums.h"
#include "server/orders/status.h"

// The first transaction of every call that moves money: what is tried is written before it is
// tried.

namespace orderd::rules {
namespace {

/// The payment that a call names, if this server has its gateway.
absl::StatusOr<const pb::Payment*> named_payment(const pb::Order& order,
                                                 const std::string& payment_id,
                                                 const GatewayDirectory& gateways) {
  const auto* payment = find_payment(order, payment_id);
  if (!payment) return errors::payment_not_found(order.order_id(), payment_id);
  if (gateways.configured(payment->gateway_account())) return payment;
  return errors::gateway_not_configured(payment->gateway_account());
}

absl::Status check_currency(const pb::Order& order, const pb::Payment& payment,
                            const pb::Money& amount) {
  const std::string& currency =
      payment.has_authorized() ? payment.authorized().currency_code() : order.currency_code();
  return currency.empty() || amount.currency_code() == currency
             ? absl::OkStatus()
             : errors::currency_mismatch(currency, amount.currency_code());
}

absl::Status check_representable(const pb::Payment& payment, const pb::Money& amount,
                                 const GatewayDirectory& gateways) {
  const std::string& account = payment.gateway_account();
  if (gateways.representable(account, amount)) return absl::OkStatus();
  return errors::amount_not_representable(account, amount.currency_code(), amount.amount_minor());
}

/// The last check of all: whether the gateway can be asked at this moment.
absl::Status check_can_ask(const pb::Payment& payment, bool takes_remainder,
                           const AttemptContext& attempt) {
  const absl::Status refusal = check_not_busy(payment, takes_remainder);
  return refusal.ok() ? attempt.gateways->available(payment.gateway_account()) : refusal;
}

/// The amount that a call asks for; all that can be moved if it names none.
template <class Request>
pb::Money amount_of(const Request& request, const pb::Payment& payment, std::int64_t max_minor) {
  return make_money(payment.authorized().currency_code(),
                    request.has_amount() ? request.amount().amount_minor() : max_minor);
}

pb::PaymentTransaction new_attempt(const AttemptContext& attempt, const pb::Payment& payment,
                                   pb::TransactionKind kind, const pb::Money& amount,
                                   const std::string& description, const Context& context) {
  pb::PaymentTransaction transaction = new_attempt(attempt.transaction_id, attempt.request_id,
                                                   payment.payment_id(), kind, amount, context);
  transaction.set_description(description);
  return transaction;
}

Change write(const pb::Order& order, const pb::Payment& payment,
             const pb::PaymentTransaction& transaction, const AttemptContext& attempt,
             const Context& context) {
  PaymentEdit edit(order, payment);
  edit.attempt(transaction);
  Change change = edit.done(context.now);
  // Until then it is the sender's, whatever else the payment waits for.
  change.schedule.back().next_check = context.now + attempt.lease.count();
  return change;
}

}  // namespace

Result capture_payment(const pb::CapturePaymentRequest& request, const AttemptContext& attempt,
                       const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_allows_capture(order, *context.settings);
  if (!refusal.ok()) return refusal;
  const auto named = named_payment(order, request.payment_id(), *attempt.gateways);
  if (!named.ok()) return named.status();
  const pb::Payment& payment = **named;
  if (request.has_amount()) refusal = check_currency(order, payment, request.amount());
  if (!refusal.ok()) return refusal;

  const Allowance allowance = capturable_now(payment);
  if (!allowance.refusal.ok()) return allowance.refusal;
  const std::int64_t max = allowance.max_minor;
  const pb::Money amount = amount_of(request, payment, max);
  const std::int64_t minor = amount.amount_minor();
  if (minor > max) return errors::capture_too_large(payment.payment_id(), minor, max);
  refusal = check_capture(payment, minor, request.final_capture(), max);
  if (refusal.ok()) refusal = check_representable(payment, amount, *attempt.gateways);
  if (refusal.ok()) refusal = check_can_ask(payment, request.final_capture(), attempt);
  if (!refusal.ok()) return refusal;

  auto transaction = new_attempt(attempt, payment, pb::TRANSACTION_KIND_CAPTURE, amount,
                                 request.reason(), context);
  transaction.set_final_capture(request.final_capture());
  return write(order, payment, transaction, attempt, context);
}

Result void_payment(const pb::VoidPaymentRequest& request, const AttemptContext& attempt,
                    const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_no_cancellation_running(order);
  if (!refusal.ok()) return refusal;
  const auto named = named_payment(order, request.payment_id(), *attempt.gateways);
  if (!named.ok()) return named.status();
  const pb::Payment& payment = **named;

  const Allowance allowance = voidable_now(payment);
  refusal = allowance.refusal;
  if (refusal.ok()) refusal = check_void(payment);
  if (refusal.ok()) refusal = check_can_ask(payment, true, attempt);
  if (!refusal.ok()) return refusal;

  // A gateway is not told how much it is to release, so nothing has to be representable.
  const pb::Money amount = make_money(payment.authorized().currency_code(), allowance.max_minor);
  return write(
      order, payment,
      new_attempt(attempt, payment, pb::TRANSACTION_KIND_VOID, amount, request.reason(), context),
      attempt, context);
}

Result refund_payment(const pb::RefundPaymentRequest& request, const AttemptContext& attempt,
                      const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_no_cancellation_running(order);
  if (!refusal.ok()) return refusal;
  const auto* asked = find_payment(order, request.payment_id());
  if (request.confirm_external() && asked && asked->gateway_account() != kExternal) {
    return errors::confirm_external_not_allowed(asked->gateway_account());
  }
  const auto named = named_payment(order, request.payment_id(), *attempt.gateways);
  if (!named.ok()) return named.status();
  const pb::Payment& payment = **named;
  if (request.has_amount()) refusal = check_currency(order, payment, request.amount());
  if (!refusal.ok()) return refusal;

  const Allowance allowance = refundable_now(payment);
  if (!allowance.refusal.ok()) return allowance.refusal;
  const std::int64_t max = allowance.max_minor;
  const pb::Money amount = amount_of(request, payment, max);
  const std::int64_t minor = amount.amount_minor();
  if (minor > max) return errors::refund_too_large(payment.payment_id(), minor, max);
  refusal = check_refund(payment, minor);
  if (refusal.ok()) refusal = check_representable(payment, amount, *attempt.gateways);
  if (refusal.ok()) refusal = check_can_ask(payment, false, attempt);
  if (!refusal.ok()) return refusal;

  auto transaction =
      new_attempt(attempt, payment, pb::TRANSACTION_KIND_REFUND, amount, request.reason(), context);
  if (!request.confirm_external()) return write(order, payment, transaction, attempt, context);

  // It has been done; there is nothing to try.
  transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  *transaction.mutable_complete_time() = transaction.create_time();
  PaymentEdit edit(order, payment);
  if (!edit.add(transaction)) return errors::internal();
  return edit.done(context.now);
}

}  // namespace orderd::rules
