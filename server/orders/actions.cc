#include "server/orders/actions.h"

#include "server/orders/errors.h"
#include "server/orders/lookup.h"
#include "server/orders/shipments.h"
#include "server/orders/status.h"

namespace orderd::rules {

void add_available_actions(pb::Order& order, const Settings& settings) {
  order.clear_available_actions();
  for (const auto* state : states_by_position(settings)) {
    if (state->state_id() == order.state_id()) continue;
    const absl::Status refusal = may_enter(order, *state, settings);
    auto& action = *order.add_available_actions();
    action.set_kind(pb::ACTION_KIND_CHANGE_STATE);
    action.set_state_id(state->state_id());
    action.set_allowed(refusal.ok());
    action.set_reason(errors::reason(refusal));
  }
  const absl::Status refusal = may_update_shipments(order, settings);
  auto& action = *order.add_available_actions();
  action.set_kind(pb::ACTION_KIND_UPDATE_SHIPMENTS);
  action.set_allowed(refusal.ok());
  action.set_reason(errors::reason(refusal));
}

std::vector<const pb::OrderState*> states_by_position(const Settings& settings) {
  return by_position(settings.states);
}

}  // namespace orderd::rules
