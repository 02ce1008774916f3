#include "server/orders/cancellation.h"

#include <algorithm>

#include "server/orders/cancellation_plan.h"
#include "server/orders/delivery_states.h"
#include "server/orders/emails.h"
#include "server/orders/fields.h"
#include "server/orders/lookup.h"
#include "server/orders/status.h"
#include "server/orders/text.h"

// How a cancellation begins, and how it is given up.

namespace orderd::rules {
namespace {

std::int64_t shipped_lines(const pb::Order& order, const Settings& settings) {
  std::int64_t count = 0;
  for (const auto& shipment : order.shipments()) {
    count += std::count_if(
        shipment.lines().begin(), shipment.lines().end(), [&](const pb::ShipmentLine& line) {
          const auto category = delivery_category(line.delivery_state_id(), settings);
          return category == pb::DELIVERY_CATEGORY_SHIPPED ||
                 category == pb::DELIVERY_CATEGORY_DELIVERED;
        });
  }
  return count;
}

const pb::OrderState* default_target(const Settings& settings) {
  return first_live(settings.states, [](const pb::OrderState& state) {
    return state.category() == pb::STATE_CATEGORY_CANCELED;
  });
}

absl::StatusOr<const pb::OrderState*> target_state(const std::string& state_id,
                                                   const Settings& settings) {
  if (state_id.empty()) {
    const auto* state = default_target(settings);
    if (!state) return errors::internal();
    return state;
  }
  const auto* state = settings.live_state(state_id);
  if (!state) return errors::state_unknown(state_id);
  if (state->category() != pb::STATE_CATEGORY_CANCELED) {
    return errors::target_state_not_canceled(state_id);
  }
  return state;
}

absl::Status check_mail(const pb::Order& order, const Mailing& mailing) {
  if (!has_usable_email(order)) return errors::customer_email_missing();
  return mailing.configured ? absl::OkStatus() : errors::email_not_configured();
}

/// Money can be returned only where this server can ask for it.
absl::Status check_gateways(const pb::Order& order, const GatewayDirectory& gateways) {
  for (const auto& payment : order.payments()) {
    if (has_open_money(payment) && !gateways.configured(payment.gateway_account())) {
      return errors::gateway_not_configured(payment.gateway_account());
    }
  }
  return absl::OkStatus();
}

/// Whether a gateway has to be asked first whether money has moved that nobody here knows of.
bool asks_gateways(const pb::Order& order, const GatewayDirectory& gateways) {
  return std::any_of(order.payments().begin(), order.payments().end(),
                     [&](const pb::Payment& payment) {
                       return payment.gateway_account() != kExternal &&
                              gateways.configured(payment.gateway_account());
                     });
}

/// What was asked for holds already, or is being seen to.
Change nothing_to_begin(const pb::CancelOrderRequest& request, const pb::Order& order) {
  Change change;
  if (request.validate_only()) *change.outcome.mutable_cancellation() = report_of(order);
  return change;
}

/// The cancellation as the caller wants it, or why there can be none.
absl::StatusOr<pb::Cancellation> wanted(const pb::CancelOrderRequest& request,
                                        const pb::Order& order, const Mailing& mailing,
                                        const Context& context) {
  const auto state = target_state(request.target_state_id(), *context.settings);
  if (!state.ok()) return state.status();
  absl::Status refusal = may_cancel(order, request.include_shipped(), *context.settings);
  if (refusal.ok() && request.notify_customer()) refusal = check_mail(order, mailing);
  if (!refusal.ok()) return refusal;

  pb::Cancellation cancellation;
  cancellation.set_reason(request.reason());
  cancellation.set_target_state_id((*state)->state_id());
  cancellation.set_notify_customer(request.notify_customer());
  cancellation.set_include_shipped(request.include_shipped());
  *cancellation.mutable_start_time() = to_timestamp(context.now);
  return cancellation;
}

}  // namespace

absl::Status validate(const pb::CancelOrderRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
  check_text(request.target_state_id(), 0, 64, "target_state_id", violations);
  return violations.status();
}

absl::Status validate(const pb::AbandonCancellationRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
  if (trimmed(request.reason()).empty()) violations.add("reason", "must not be empty");
  return violations.status();
}

absl::Status may_cancel(const pb::Order& order, bool include_shipped, const Settings& settings) {
  const auto status = order.cancellation().status();
  if (status == pb::CANCELLATION_STATUS_IN_PROGRESS || status == pb::CANCELLATION_STATUS_FAILED ||
      status == pb::CANCELLATION_STATUS_COMPLETED) {
    return absl::OkStatus();
  }
  const auto* state = settings.any_state(order.state_id());
  if (!state || !state->allows_cancel()) return errors::cancel_not_allowed(order.state_id());
  const std::int64_t shipped = include_shipped ? 0 : shipped_lines(order, settings);
  return shipped > 0 ? errors::order_shipped(shipped) : absl::OkStatus();
}

Result begin_cancellation(const pb::CancelOrderRequest& request,
                          const CancellationContext& cancellation, const Target& target,
                          const Context& context) {
  const pb::Order& before = *target.order;
  const auto status = before.cancellation().status();
  if (status == pb::CANCELLATION_STATUS_IN_PROGRESS ||
      status == pb::CANCELLATION_STATUS_COMPLETED) {
    return nothing_to_begin(request, before);
  }

  Change change;
  auto& order = change.after.emplace(before);
  // Another pass goes on with what the first call wanted.
  if (status != pb::CANCELLATION_STATUS_FAILED) {
    auto begun = wanted(request, before, *cancellation.mailing, context);
    if (!begun.ok()) return begun.status();
    *order.mutable_cancellation() = *std::move(begun);
  }
  if (auto refusal = check_gateways(before, *cancellation.gateways); !refusal.ok()) return refusal;
  if (!request.validate_only()) {
    for (const auto& payment : before.payments()) {
      if (payment.status() == pb::PAYMENT_STATUS_UNSYNCED) {
        return errors::payment_unsynced(payment.payment_id());
      }
    }
  }
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  order.mutable_cancellation()->set_pass(before.cancellation().pass() + 1);

  if (open_payments(order) == 0 && !asks_gateways(order, *cancellation.gateways)) {
    if (auto fault = complete_cancellation(cancellation, context, change); !fault.ok()) {
      return fault;
    }
  } else {
    schedule_payments(order, context.now, context.now + cancellation.lease.count(), {}, change);
  }
  record_cancellation(before.cancellation(), "", change);
  if (request.validate_only()) *change.outcome.mutable_cancellation() = report_of(*change.after);
  return change;
}

absl::Status complete_cancellation(const CancellationContext& cancellation, const Context& context,
                                   Change& change) {
  constexpr std::uint32_t kEmail = 1'000'000;
  const std::string target_id = change.after->cancellation().target_state_id();
  const auto* state = context.settings->live_state(target_id);
  if (!state || state->category() != pb::STATE_CATEGORY_CANCELED) {
    state = default_target(*context.settings);
  }
  if (!state) return errors::internal();
  enter_state(*state, change.after->cancellation().reason(), false, context, change);
  if (!change.after->cancellation().notify_customer()) return absl::OkStatus();

  change.emails_created.push_back(cancellation_email(
      *change.after, cancellation.ids.derived(kEmail), *cancellation.mailing, context.now));
  change.outcome.set_email_id(change.emails_created.back().email_id());
  *change.events.emplace_back().mutable_email_changed()->mutable_after() =
      change.emails_created.back();
  return absl::OkStatus();
}

Result abandon_cancellation(const pb::AbandonCancellationRequest& request, const Target& target,
                            const Context& context) {
  const pb::Order& before = *target.order;
  if (check_no_cancellation_running(before).ok()) return errors::cancellation_not_running();
  for (const auto& leg : before.cancellation().legs()) {
    if (leg.status() != pb::TRANSACTION_STATUS_FAILED) {
      return errors::cancellation_has_moved_money(leg.transaction_id());
    }
  }
  Change change;
  auto& order = change.after.emplace(before);
  order.mutable_cancellation()->Clear();
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_NONE);
  schedule_payments(order, context.now, context.now, {}, change);
  record_cancellation(before.cancellation(), request.reason(), change);
  return change;
}

}  // namespace orderd::rules
