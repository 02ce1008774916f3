#include "server/orders/actions.h"

#include <algorithm>
#include <tuple>

#include "server/orders/errors.h"
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
}

std::vector<const pb::OrderState*> states_by_position(const Settings& settings) {
  std::vector<const pb::OrderState*> states;
  for (const auto& [id, state] : settings.states) {
    if (!state.has_delete_time()) states.push_back(&state);
  }
  std::sort(states.begin(), states.end(), [](const auto* a, const auto* b) {
    return std::forward_as_tuple(a->position(), a->state_id()) <
           std::forward_as_tuple(b->position(), b->state_id());
  });
  return states;
}

}  // namespace orderd::rules
