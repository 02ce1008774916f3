#include "server/orders/states.h"

#include "server/orders/state_rules.h"

namespace orderd::rules {

template <>
struct StateTraits<pb::OrderState> {
  static constexpr auto kKind = errors::StateKind::kOrder;
  static constexpr std::string_view kIdField = "state_id";
  static constexpr auto kCanceled = pb::STATE_CATEGORY_CANCELED;
  static constexpr std::string_view kChangeable[] = {
      "display_name",   "category",      "initial",        "final",    "allows_shipment_update",
      "allows_capture", "allows_cancel", "enterable_from", "position",
  };

  static const std::string& id(const auto& message) { return message.state_id(); }
  static const auto& states(const Settings& settings) { return settings.states; }
  static auto& saved(SettingsChange& change) { return change.saved; }
  static bool is_final(const pb::OrderState& state) { return state.final(); }
  static bool category_is_valid(int category) { return pb::StateCategory_IsValid(category); }
  static void check_initial_category(const pb::OrderState& state, errors::Violations& violations) {
    if (is_canceled(state)) {
      violations.add("state.initial", "must not be true for a state of category CANCELED");
    }
  }
};

absl::Status validate(const pb::CreateOrderStateRequest& request) {
  return validate_create<pb::OrderState>(request);
}

absl::Status validate(const pb::GetOrderStateRequest& request) {
  return validate_get<pb::OrderState>(request);
}

absl::Status validate(const pb::ListOrderStatesRequest&) { return absl::OkStatus(); }

absl::Status validate(const pb::UpdateOrderStateRequest& request) {
  return validate_update<pb::OrderState>(request);
}

absl::Status validate(const pb::DeleteOrderStateRequest& request) {
  return validate_delete<pb::OrderState>(request);
}

absl::StatusOr<SettingsChange> create_state(const pb::CreateOrderStateRequest& request,
                                            const Settings& settings) {
  return create(request.state(), settings);
}

absl::StatusOr<SettingsChange> update_state(const pb::UpdateOrderStateRequest& request,
                                            const Settings& settings) {
  return update(request.state(), request.update_mask(), settings);
}

absl::StatusOr<SettingsChange> delete_state(const pb::DeleteOrderStateRequest& request, Micros now,
                                            const Settings& settings) {
  return remove<pb::OrderState>(request.state_id(), now, settings);
}

Settings apply(const Settings& settings, const SettingsChange& change) {
  Settings after = settings;
  for (const auto& state : change.saved) after.states[state.state_id()] = state;
  for (const auto& state : change.saved_delivery_states) {
    after.delivery_states[state.delivery_state_id()] = state;
  }
  for (const auto& method : change.saved_methods) after.methods[method.method_id()] = method;
  return after;
}

std::vector<std::string> stranding_states(const Settings& before, const Settings& after) {
  auto has_exit = [](const pb::OrderState& from, const Settings& settings) {
    const auto live = live_states<pb::OrderState>(settings);
    return std::any_of(live.begin(), live.end(),
                       [&](const auto* to) { return leads_to(from, *to); });
  };
  std::vector<std::string> stranding;
  for (const auto* state : live_states<pb::OrderState>(after)) {
    const auto* earlier = before.live_state(state->state_id());
    if (!earlier || state->final() || !has_exit(*earlier, before) || has_exit(*state, after)) {
      continue;
    }
    stranding.push_back(state->state_id());
  }
  return stranding;
}

}  // namespace orderd::rules
