#include "server/orders/create_payments.h"

#include <map>

#include <fmt/format.h>

#include "server/orders/payments.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

/// Of the order's family: behind those that its shipments and lines can have. Each payment is
/// followed by its transactions.
constexpr std::uint32_t kPaymentIds = 1U << 20;
constexpr std::uint32_t kIdsPerPayment = 8;

}  // namespace

void check_new_payments(const pb::NewOrder& order, const std::string& field,
                        errors::Violations& violations) {
  if (order.payments_size() > kMaxPayments) {
    violations.add(field, fmt::format("must be at most {} payments, not {}", kMaxPayments,
                                      order.payments_size()));
    return;
  }
  std::map<Claim, int> references;
  for (int i = 0; i < order.payments_size(); ++i) {
    const auto& payment = order.payments(i);
    const std::string path = fmt::format("{}[{}].", field, i);
    check_new_payment(payment, path, violations);
    const auto [first, is_new] = references.emplace(payment_claims(payment).front(), i);
    if (!is_new) {
      violations.add(path + "gateway_reference",
                     fmt::format("must differ from that of {}[{}]", field, first->second));
    }
  }
}

void attach_payments(const pb::CreateOrderRequest& request, const Uuid& order_id,
                     const GatewayDirectory& gateways, const Target& target, const Context& context,
                     Change& change, Refusals& refusals) {
  pb::Order& order = *change.after;
  std::string currency = order.currency_code();
  // That of the first payment with an amount counts for those before it too.
  for (const auto& wanted : request.order().payments()) {
    for (const pb::Money* amount : {&wanted.authorized(), &wanted.captured()}) {
      if (currency.empty()) currency = amount->currency_code();
    }
  }
  for (int i = 0; i < request.order().payments_size(); ++i) {
    const auto& wanted = request.order().payments(i);
    const std::string field = fmt::format("order.payments[{}]", i);
    const auto claim = static_cast<std::size_t>(i) + 1;
    if (claim < target.holders.size() && target.holders[claim]) {
      refusals.add(field + ".gateway_reference",
                   errors::payment_reference_in_use(wanted.gateway_account(),
                                                    trimmed(wanted.gateway_reference()),
                                                    target.holders[claim]->order_id.to_string()));
      continue;
    }
    const Uuid id = order_id.derived(kPaymentIds + kIdsPerPayment * static_cast<std::uint32_t>(i));
    auto payment = attach(wanted, id, currency, gateways, context, change.transactions_created);
    if (!payment.ok()) {
      refusals.add(field, payment.status());
      continue;
    }
    if (payment->gateway_account() != kExternal) {
      change.schedule.push_back(schedule_of(*payment, context.now));
    }
    *order.add_payments() = *std::move(payment);
  }
  for (auto& transaction : change.transactions_created) {
    transaction.set_request_id(request.request_id());
  }
  order.set_currency_code(currency);
}

}  // namespace orderd::rules
