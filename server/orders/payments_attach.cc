#include "server/orders/external_payment.h"
#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/payments_sums.h"
#include "server/orders/status.h"
#include "server/orders/text.h"

// How an order gets payments.

namespace orderd::rules {
namespace {

bool is_canceled(const pb::Order& order, const Settings& settings) {
  const auto* state = settings.any_state(order.state_id());
  return order.cancellation().status() == pb::CANCELLATION_STATUS_COMPLETED ||
         (state && state->category() == pb::STATE_CATEGORY_CANCELED);
}

/// Whether the amount has the order's currency, which it sets if there is none.
absl::Status take_currency(const pb::Money& amount, std::string& currency_code) {
  if (currency_code.empty()) currency_code = amount.currency_code();
  return amount.currency_code() == currency_code
             ? absl::OkStatus()
             : errors::currency_mismatch(currency_code, amount.currency_code());
}

}  // namespace

pb::GatewayCapabilities external_capabilities() {
  pb::GatewayCapabilities all;
  all.set_multi_capture(true);
  all.set_partial_capture(true);
  all.set_partial_refund(true);
  all.set_refund_before_final_capture(true);
  all.set_void_after_capture(true);
  all.set_concurrent_operations(true);
  all.set_lookup_by_attempt(false);
  all.mutable_key_lifetime();
  return all;
}

void set_external_sums(const ExternalSums& sums, std::string_view currency_code,
                       Micros complete_time, const Context& context, pb::Payment& payment,
                       std::vector<pb::PaymentTransaction>& transactions) {
  *payment.mutable_capabilities() = external_capabilities();
  payment.set_status(pb::PAYMENT_STATUS_CAPTURED);
  if (currency_code.empty()) return;
  *payment.mutable_authorized() = make_money(currency_code, sums.authorized);
  *payment.mutable_captured() = make_money(currency_code, sums.captured);
  *payment.mutable_refunded() = make_money(currency_code, sums.refunded);
  *payment.mutable_voided() = make_money(currency_code, sums.voided);
  payment.set_capture_count(sums.captured > 0 ? 1 : 0);
  payment.set_status(status_of_sums(payment));
  derive(payment);

  const auto payment_id = Uuid::parse(payment.payment_id()).value_or(Uuid{});
  std::uint32_t used = 0;
  const auto record = [&](pb::TransactionKind kind, std::int64_t amount_minor) {
    if (amount_minor == 0) return;
    auto& transaction = transactions.emplace_back();
    transaction.set_transaction_id(payment_id.derived(++used).to_string());
    transaction.set_payment_id(payment.payment_id());
    transaction.set_kind(kind);
    transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    *transaction.mutable_amount() = make_money(currency_code, amount_minor);
    transaction.set_actor(*context.actor);
    *transaction.mutable_create_time() = to_timestamp(context.now);
    *transaction.mutable_complete_time() = to_timestamp(complete_time);
  };
  record(pb::TRANSACTION_KIND_AUTHORIZATION, sums.authorized);
  record(pb::TRANSACTION_KIND_CAPTURE, sums.captured);
  record(pb::TRANSACTION_KIND_REFUND, sums.refunded);
  record(pb::TRANSACTION_KIND_VOID, sums.voided);
}

std::vector<Claim> payment_claims(const pb::NewPayment& payment) {
  return {{ClaimKind::kPaymentReference,
           payment_claim(payment.gateway_account(), trimmed(payment.gateway_reference()))}};
}

absl::StatusOr<pb::Payment> attach(const pb::NewPayment& request, const Uuid& payment_id,
                                   std::string& currency_code, const GatewayDirectory& gateways,
                                   const Context& context,
                                   std::vector<pb::PaymentTransaction>& transactions) {
  const std::string& account = request.gateway_account();
  if (!gateways.configured(account)) return errors::gateway_not_configured(account);
  pb::Payment payment;
  payment.set_payment_id(payment_id.to_string());
  payment.set_gateway_account(account);
  payment.set_gateway_reference(std::string(trimmed(request.gateway_reference())));
  payment.set_description(request.description());
  payment.set_status(pb::PAYMENT_STATUS_UNSYNCED);
  if (account != kExternal) {
    // Nothing that the gateway says of it could be kept.
    if (currency_code.empty()) return errors::order_without_currency();
    return payment;
  }

  absl::Status refusal;
  if (request.has_authorized()) refusal = take_currency(request.authorized(), currency_code);
  if (refusal.ok() && request.has_captured()) {
    refusal = take_currency(request.captured(), currency_code);
  }
  if (!refusal.ok()) return refusal;
  ExternalSums sums;
  sums.captured = request.captured().amount_minor();
  sums.authorized = request.has_authorized() ? request.authorized().amount_minor() : sums.captured;
  set_external_sums(sums, currency_code, context.now, context, payment, transactions);
  return payment;
}

Result add_payment(const pb::AddPaymentRequest& request, const Uuid& payment_id,
                   const GatewayDirectory& gateways, const Target& target, const Context& context) {
  const pb::Order& before = *target.order;
  if (auto refusal = check_no_cancellation_running(before); !refusal.ok()) return refusal;
  if (is_canceled(before, *context.settings)) return errors::order_canceled();
  const pb::NewPayment& wanted = request.payment();
  if (!target.holders.empty() && target.holders[0]) {
    return errors::payment_reference_in_use(wanted.gateway_account(),
                                            trimmed(wanted.gateway_reference()),
                                            target.holders[0]->order_id.to_string());
  }
  if (before.payments_size() >= kMaxPayments) return errors::too_many_payments(kMaxPayments);

  Change change;
  std::string currency = before.currency_code();
  auto payment =
      attach(wanted, payment_id, currency, gateways, context, change.transactions_created);
  if (!payment.ok()) return payment.status();
  for (auto& transaction : change.transactions_created) {
    transaction.set_request_id(request.request_id());
  }
  auto& order = change.after.emplace(before);
  order.set_currency_code(currency);
  *order.add_payments() = *payment;
  change.payments_changed = true;
  if (payment->gateway_account() != kExternal)
    change.schedule.push_back(schedule_of(*payment, context.now));
  *change.events.emplace_back().mutable_payment_added()->mutable_payment() = *payment;
  change.outcome.set_payment_id(payment->payment_id());
  return change;
}

}  // namespace orderd::rules
