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

absl::StatusOr<const pb::Payment*> named_payment(const pb::Order& order,
                                                 const std::string& payment_id) {
  const auto* payment = find_payment(order, payment_id);
  if (!payment) return errors::payment_not_found(order.order_id(), payment_id);
  return payment;
}

absl::Status check_configured(const pb::Payment& payment, const GatewayDirectory& gateways) {
  const std::string& account = payment.gateway_account();
  return gateways.configured(account) ? absl::OkStatus() : errors::gateway_not_configured(account);
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

pb::PaymentTransaction new_attempt(pb::TransactionKind kind, const pb::Payment& payment,
                                   pb::Money amount, const std::string& description,
                                   const AttemptContext& attempt, const Context& context) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(attempt.transaction_id.to_string());
  transaction.set_payment_id(payment.payment_id());
  transaction.set_kind(kind);
  transaction.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  *transaction.mutable_amount() = std::move(amount);
  transaction.set_description(description);
  transaction.set_actor(*context.actor);
  transaction.set_request_id(std::string(attempt.request_id));
  *transaction.mutable_create_time() = to_timestamp(context.now);
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

/// All that capture and refund have to say about an amount before it is judged.
struct Amount {
  pb::Money money;
  std::int64_t minor = 0;
};

Amount amount_of(bool given, const pb::Money& amount, const pb::Payment& payment,
                 std::int64_t max_minor) {
  const std::int64_t minor = given ? amount.amount_minor() : max_minor;
  return {make_money(payment.authorized().currency_code(), minor), minor};
}

}  // namespace

Result capture_payment(const pb::CapturePaymentRequest& request, const AttemptContext& attempt,
                       const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_allows_capture(order, *context.settings);
  if (!refusal.ok()) return refusal;
  const auto found = named_payment(order, request.payment_id());
  if (!found.ok()) return found.status();
  const pb::Payment& payment = **found;
  refusal = check_configured(payment, *attempt.gateways);
  if (refusal.ok() && request.has_amount())
    refusal = check_currency(order, payment, request.amount());
  if (!refusal.ok()) return refusal;

  const Allowance allowance = capturable_now(payment);
  if (!allowance.refusal.ok()) return allowance.refusal;
  const std::int64_t max = allowance.max_minor;
  const auto [money, minor] = amount_of(request.has_amount(), request.amount(), payment, max);
  if (minor > max) return errors::capture_too_large(payment.payment_id(), minor, max);
  refusal = check_capture(payment, minor, request.final_capture(), max);
  if (refusal.ok()) refusal = check_representable(payment, money, *attempt.gateways);
  if (refusal.ok()) refusal = check_not_busy(payment, request.final_capture());
  if (refusal.ok()) refusal = attempt.gateways->available(payment.gateway_account());
  if (!refusal.ok()) return refusal;

  auto transaction =
      new_attempt(pb::TRANSACTION_KIND_CAPTURE, payment, money, request.reason(), attempt, context);
  transaction.set_final_capture(request.final_capture());
  return write(order, payment, transaction, attempt, context);
}

Result void_payment(const pb::VoidPaymentRequest& request, const AttemptContext& attempt,
                    const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_no_cancellation_running(order);
  if (!refusal.ok()) return refusal;
  const auto found = named_payment(order, request.payment_id());
  if (!found.ok()) return found.status();
  const pb::Payment& payment = **found;
  refusal = check_configured(payment, *attempt.gateways);
  if (!refusal.ok()) return refusal;

  const Allowance allowance = voidable_now(payment);
  refusal = allowance.refusal;
  if (refusal.ok()) refusal = check_void(payment);
  if (refusal.ok()) refusal = check_not_busy(payment, true);
  if (refusal.ok()) refusal = attempt.gateways->available(payment.gateway_account());
  if (!refusal.ok()) return refusal;

  // A gateway is not told how much it is to release, so nothing has to be representable.
  const auto amount = amount_of(false, {}, payment, allowance.max_minor);
  return write(order, payment,
               new_attempt(pb::TRANSACTION_KIND_VOID, payment, amount.money, request.reason(),
                           attempt, context),
               attempt, context);
}

Result refund_payment(const pb::RefundPaymentRequest& request, const AttemptContext& attempt,
                      const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  absl::Status refusal = check_no_cancellation_running(order);
  if (!refusal.ok()) return refusal;
  const auto found = named_payment(order, request.payment_id());
  if (!found.ok()) return found.status();
  const pb::Payment& payment = **found;
  if (request.confirm_external() && payment.gateway_account() != kExternal) {
    return errors::confirm_external_not_allowed(payment.gateway_account());
  }
  refusal = check_configured(payment, *attempt.gateways);
  if (refusal.ok() && request.has_amount())
    refusal = check_currency(order, payment, request.amount());
  if (!refusal.ok()) return refusal;

  const Allowance allowance = refundable_now(payment);
  if (!allowance.refusal.ok()) return allowance.refusal;
  const std::int64_t max = allowance.max_minor;
  const auto [money, minor] = amount_of(request.has_amount(), request.amount(), payment, max);
  if (minor > max) return errors::refund_too_large(payment.payment_id(), minor, max);
  refusal = check_refund(payment, minor);
  if (refusal.ok()) refusal = check_representable(payment, money, *attempt.gateways);
  if (refusal.ok()) refusal = check_not_busy(payment, false);
  if (refusal.ok()) refusal = attempt.gateways->available(payment.gateway_account());
  if (!refusal.ok()) return refusal;

  auto transaction =
      new_attempt(pb::TRANSACTION_KIND_REFUND, payment, money, request.reason(), attempt, context);
  if (!request.confirm_external()) return write(order, payment, transaction, attempt, context);

  // It has been done; there is nothing to try.
  transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  *transaction.mutable_complete_time() = transaction.create_time();
  PaymentEdit edit(order, payment);
  if (!edit.add(transaction)) return errors::internal();
  return edit.done(context.now);
}

}  // namespace orderd::rules
