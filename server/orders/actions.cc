#include "server/orders/actions.h"

#include "server/orders/cancellation.h"
#include "server/orders/errors.h"
#include "server/orders/lookup.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/shipments.h"
#include "server/orders/status.h"

namespace orderd::rules {
namespace {

void add_payment_action(pb::ActionKind kind, const pb::Payment& payment, const Allowance& allowance,
                        pb::Order& to) {
  auto& action = *to.add_available_actions();
  action.set_kind(kind);
  action.set_payment_id(payment.payment_id());
  const std::string reason = errors::reason(allowance.refusal);
  // The call syncs such a payment first, so it may be made; how much there is is not known yet.
  static const std::string kUnsynced = errors::reason(errors::payment_unsynced(""));
  const bool unsynced = reason == kUnsynced;
  action.set_allowed(allowance.refusal.ok() || unsynced);
  if (!action.allowed()) action.set_reason(reason);
  if (payment.has_authorized()) {
    *action.mutable_max_amount() =
        make_money(payment.authorized().currency_code(), allowance.max_minor);
  }
}

}  // namespace

void add_available_actions(const pb::Order& order, const Settings& settings, pb::Order& to) {
  const errors::ReasonsOnly reasons_only;
  to.clear_available_actions();
  for (const auto* state : states_by_position(settings)) {
    if (state->state_id() == order.state_id()) continue;
    const absl::Status refusal = may_enter(order, *state, settings);
    auto& action = *to.add_available_actions();
    action.set_kind(pb::ACTION_KIND_CHANGE_STATE);
    action.set_state_id(state->state_id());
    action.set_allowed(refusal.ok());
    action.set_reason(errors::reason(refusal));
  }
  const absl::Status refusal = may_update_shipments(order, settings);
  auto& action = *to.add_available_actions();
  action.set_kind(pb::ACTION_KIND_UPDATE_SHIPMENTS);
  action.set_allowed(refusal.ok());
  action.set_reason(errors::reason(refusal));
  for (const auto& payment : order.payments()) {
    add_payment_action(pb::ACTION_KIND_CAPTURE, payment, may_capture(order, payment, settings), to);
    add_payment_action(pb::ACTION_KIND_VOID, payment, may_void(order, payment), to);
    add_payment_action(pb::ACTION_KIND_REFUND, payment, may_refund(order, payment), to);
  }
  const absl::Status no_cancel = may_cancel(order, false, settings);
  auto& cancel = *to.add_available_actions();
  cancel.set_kind(pb::ACTION_KIND_CANCEL);
  cancel.set_allowed(no_cancel.ok());
  cancel.set_reason(errors::reason(no_cancel));
}

std::vector<const pb::OrderState*> states_by_position(const Settings& settings) {
  return by_position(settings.states);
}

}  // namespace orderd::rules
