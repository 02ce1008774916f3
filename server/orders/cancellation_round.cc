#include <algorithm>
#include <utility>

#include "server/orders/cancellation_plan.h"
#include "server/orders/fields.h"
#include "server/orders/payments_edit.h"

// One round of a cancellation, and who continues it.

namespace orderd::rules {
namespace {

/// The family of ids: transactions that the fold books come first.
constexpr std::uint32_t kFirstLeg = 500'000;

bool is_running(const pb::Order& order) {
  return order.cancellation().status() == pb::CANCELLATION_STATUS_IN_PROGRESS;
}

/// Whether the gateway of every payment with money has been asked. One that this server does not
/// have can't be, nor one that no longer knows the payment; whoever asks sees to it that nothing is
/// decided while a gateway is only away.
bool all_read(const pb::Order& order, std::span<const PaymentReading> readings) {
  return std::all_of(
      order.payments().begin(), order.payments().end(), [&](const pb::Payment& payment) {
        if (payment.gateway_account() == kExternal) return true;
        if (!has_open_money(payment)) return true;
        return std::any_of(readings.begin(), readings.end(), [&](const PaymentReading& reading) {
          return reading.payment_id == payment.payment_id();
        });
      });
}

template <class T>
void append(std::vector<T>& to, std::vector<T> more) {
  std::move(more.begin(), more.end(), std::back_inserter(to));
}

/// Adds a change that was made to what `change` leaves.
void then(Change& change, Change next) {
  change.after = std::move(next.after);
  change.payments_changed |= next.payments_changed;
  append(change.transactions_created, std::move(next.transactions_created));
  append(change.transactions_updated, std::move(next.transactions_updated));
  append(change.events, std::move(next.events));
}

/// Writes an attempt for each leg.
void write_legs(const std::vector<pb::CancellationLeg>& legs,
                const CancellationContext& cancellation, const Context& context, Change& change) {
  std::uint32_t used = 0;
  for (pb::CancellationLeg leg : legs) {
    pb::Order& order = *change.after;
    pb::PaymentTransaction attempt =
        new_attempt(cancellation.ids.derived(kFirstLeg + used++), cancellation.request_id,
                    leg.payment_id(), leg.kind(), leg.amount(), context);
    attempt.set_description(order.cancellation().reason());

    leg.set_transaction_id(attempt.transaction_id());
    leg.set_status(attempt.status());
    leg.set_pass(order.cancellation().pass());
    *order.mutable_cancellation()->add_legs() = std::move(leg);
    PaymentEdit edit(order, *find_payment(order, attempt.payment_id()));
    edit.attempt(attempt);
    then(change, edit.done(context.now));
  }
}

}  // namespace

Result advance_cancellation(std::span<const PaymentReading> readings,
                            const CancellationContext& cancellation, const Target& target,
                            const Context& context) {
  const pb::Order& before = *target.order;
  if (!is_running(before)) return Change{};
  auto folded = fold_readings(readings, cancellation.ids, target, context);
  if (!folded.ok()) return folded.status();
  Change change = *std::move(folded);
  const bool has_news = change.after.has_value();
  if (!has_news) change.after = before;

  const NextStep step = all_read(before, readings) ? next_step(*change.after) : NextStep{};
  const pb::Cancellation planned = change.after->cancellation();
  switch (step.kind) {
    case NextStep::Kind::kReturn:
      write_legs(step.legs, cancellation, context, change);
      break;
    case NextStep::Kind::kComplete:
      if (auto fault = complete_cancellation(cancellation, context, change); !fault.ok()) {
        return fault;
      }
      break;
    case NextStep::Kind::kFail:
      change.after->mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_FAILED);
      break;
    case NextStep::Kind::kWait:
      if (!has_news) return Change{};
      break;
  }
  if (step.kind != NextStep::Kind::kWait) record_cancellation(planned, "", change);

  std::vector<pb::PaymentTransaction> ledger = target.ledger;
  for (const auto* written : {&change.transactions_created, &change.transactions_updated}) {
    ledger.insert(ledger.end(), written->begin(), written->end());
  }
  schedule_payments(*change.after, context.now, context.now + cancellation.lease.count(), ledger,
                    change);
  return change;
}

void schedule_payments(const pb::Order& order, Micros now, Micros resume,
                       std::span<const pb::PaymentTransaction> ledger, Change& change) {
  const bool running = is_running(order);
  const bool none_open =
      std::none_of(order.payments().begin(), order.payments().end(), has_open_money);
  change.schedule.clear();
  for (const auto& payment : order.payments()) {
    change.schedule.push_back(schedule_of(payment, now, last_refund(ledger, payment.payment_id())));
    if (running && (none_open || has_open_money(payment))) {
      change.schedule.back().next_check = resume;
    }
  }
}

void record_cancellation(const pb::Cancellation& before, const std::string& reason,
                         Change& change) {
  auto& event = *change.events.emplace_back().mutable_cancellation_changed();
  *event.mutable_before() = before;
  *event.mutable_after() = change.after->cancellation();
  event.set_reason(reason);
}

void hasten(const pb::Order& order, const pb::Payment& payment, Micros now,
            PaymentSchedule& schedule) {
  if (is_running(order) && !has_unknown(payment)) schedule.next_check = now;
}

void resume_cancellation(Micros now, Change& change) {
  pb::Order& order = *change.after;
  if (order.cancellation().status() != pb::CANCELLATION_STATUS_FAILED) return;
  if (next_step(order).kind == NextStep::Kind::kFail) return;
  const pb::Cancellation before = order.cancellation();
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  record_cancellation(before, "", change);
  schedule_payments(order, now, now, {}, change);
}

bool is_failed_leg(const pb::Order& order, const pb::PaymentTransaction& transaction) {
  const auto& cancellation = order.cancellation();
  return cancellation.status() == pb::CANCELLATION_STATUS_FAILED &&
         transaction.status() == pb::TRANSACTION_STATUS_FAILED &&
         std::any_of(cancellation.legs().begin(), cancellation.legs().end(),
                     [&](const pb::CancellationLeg& leg) {
                       return leg.transaction_id() == transaction.transaction_id();
                     });
}

}  // namespace orderd::rules
