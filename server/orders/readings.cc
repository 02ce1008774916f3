#include "server/orders/readings.h"

#include <algorithm>
#include <utility>

#include "server/orders/cancellation_plan.h"
#include "server/orders/errors.h"
#include "server/orders/payment_fold.h"
#include "server/orders/payments.h"

namespace orderd::rules {

Result fold_readings(std::span<const PaymentReading> readings, const Uuid& ids,
                     const Target& target, const Context& context) {
  Change change;
  pb::Order after = *target.order;
  std::uint32_t booked = 0;
  for (const PaymentReading& read : readings) {
    const auto payment = std::find_if(
        after.mutable_payments()->begin(), after.mutable_payments()->end(),
        [&](const pb::Payment& candidate) { return candidate.payment_id() == read.payment_id; });
    if (payment == after.mutable_payments()->end()) continue;
    // No gateway knows anything of these.
    if (payment->gateway_account() == kExternal) continue;
    if (payment->revision() != read.revision) return errors::stale_reading(read.payment_id);

    PaymentFold fold(*payment, target.ledger, read.reading, after.currency_code(), context.now,
                     [&] { return ids.derived(++booked).to_string(); });
    fold.run();
    if (!fold.changed()) continue;

    const auto created = fold.created();
    const auto updated = fold.updated();
    const pb::Payment before = std::exchange(*payment, fold.payment());
    follow_transactions(updated, after);
    pb::OrderEvent event;
    auto& changed = *event.mutable_payment_changed();
    *changed.mutable_before() = before;
    *changed.mutable_after() = *payment;
    auto& difference = *change.outcome.add_differences();
    difference.set_payment_id(payment->payment_id());
    difference.set_before_status(before.status());
    difference.set_after_status(payment->status());
    std::vector<pb::PaymentTransaction> written = updated;
    written.insert(written.end(), created.begin(), created.end());
    std::stable_sort(written.begin(), written.end(), [](const auto& a, const auto& b) {
      return a.transaction_id() < b.transaction_id();
    });
    for (const auto& transaction : written) {
      *changed.add_transactions() = transaction;
      *difference.add_transactions() = transaction;
    }
    change.events.push_back(std::move(event));
    change.schedule.push_back(schedule_of(*payment, context.now, fold.last_refund()));
    hasten(after, *payment, context.now, change.schedule.back());
    change.transactions_created.insert(change.transactions_created.end(), created.begin(),
                                       created.end());
    change.transactions_updated.insert(change.transactions_updated.end(), updated.begin(),
                                       updated.end());
    change.payments_changed = true;
  }
  if (change.payments_changed) change.after = std::move(after);
  return change;
}

bool would_be_found(const pb::Order& order, const pb::PaymentTransaction& attempt,
                    std::span<const pb::PaymentTransaction> ledger) {
  const pb::Payment* payment = find_payment(order, attempt.payment_id());
  if (payment == nullptr) return false;
  if (payment->capabilities().lookup_by_attempt()) return true;
  return std::none_of(ledger.begin(), ledger.end(), [&](const auto& transaction) {
    return transaction.payment_id() == attempt.payment_id() && may_hide(transaction, attempt);
  });
}

std::vector<pb::PaymentTransaction> to_send_again(const pb::Order& order,
                                                  const pb::Payment& payment,
                                                  const Settings& settings, Micros now) {
  const auto* state = settings.any_state(order.state_id());
  const auto canceling = order.cancellation().status();
  const bool may_capture = state != nullptr && state->allows_capture() &&
                           canceling != pb::CANCELLATION_STATUS_IN_PROGRESS &&
                           canceling != pb::CANCELLATION_STATUS_FAILED;
  const bool external = payment.gateway_account() == kExternal;
  std::vector<pb::PaymentTransaction> found;
  for (const auto& transaction : payment.open_transactions()) {
    if (transaction.foreign() || transaction.status() != pb::TRANSACTION_STATUS_UNKNOWN) continue;
    if (!external) {
      if (too_old_to_send(transaction, payment.capabilities(), now)) continue;
      if (transaction.kind() == pb::TRANSACTION_KIND_CAPTURE && !may_capture) continue;
    }
    found.push_back(transaction);
  }
  return found;
}

}  // namespace orderd::rules
