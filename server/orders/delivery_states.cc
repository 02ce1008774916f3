#include "server/orders/delivery_states.h"

#include "server/orders/state_rules.h"

namespace orderd::rules {

template <>
struct StateTraits<pb::DeliveryState> {
  static constexpr auto kKind = errors::StateKind::kDelivery;
  static constexpr std::string_view kIdField = "delivery_state_id";
  static constexpr auto kCanceled = pb::DELIVERY_CATEGORY_CANCELED;
  static constexpr std::string_view kChangeable[] = {
      "display_name",    "category",       "initial",  "final",
      "allows_tracking", "enterable_from", "position",
  };

  static const std::string& id(const auto& message) { return message.delivery_state_id(); }
  static const auto& states(const Settings& settings) { return settings.delivery_states; }
  static auto& saved(SettingsChange& change) { return change.saved_delivery_states; }
  static bool is_final(const pb::DeliveryState& state) { return rules::is_final(state); }
  static bool category_is_valid(int category) { return pb::DeliveryCategory_IsValid(category); }
  static void check_initial_category(const pb::DeliveryState& state,
                                     errors::Violations& violations) {
    if (state.category() != pb::DELIVERY_CATEGORY_OPEN) {
      violations.add("state.initial", "must not be true for a state of another category than OPEN");
    }
  }
};

absl::Status validate(const pb::CreateDeliveryStateRequest& request) {
  return validate_create<pb::DeliveryState>(request);
}

absl::Status validate(const pb::GetDeliveryStateRequest& request) {
  return validate_get<pb::DeliveryState>(request);
}

absl::Status validate(const pb::ListDeliveryStatesRequest&) { return absl::OkStatus(); }

absl::Status validate(const pb::UpdateDeliveryStateRequest& request) {
  return validate_update<pb::DeliveryState>(request);
}

absl::Status validate(const pb::DeleteDeliveryStateRequest& request) {
  return validate_delete<pb::DeliveryState>(request);
}

absl::StatusOr<SettingsChange> create_delivery_state(const pb::CreateDeliveryStateRequest& request,
                                                     const Settings& settings) {
  return create(request.state(), settings);
}

absl::StatusOr<SettingsChange> update_delivery_state(const pb::UpdateDeliveryStateRequest& request,
                                                     const Settings& settings) {
  return update(request.state(), request.update_mask(), settings);
}

absl::StatusOr<SettingsChange> delete_delivery_state(const pb::DeleteDeliveryStateRequest& request,
                                                     Micros now, const Settings& settings) {
  return remove<pb::DeliveryState>(request.delivery_state_id(), now, settings);
}

bool is_final(const pb::DeliveryState& state) {
  return state.final() || state.category() == pb::DELIVERY_CATEGORY_CANCELED;
}

const pb::DeliveryState* initial_delivery_state(const Settings& settings) {
  return first_live(settings.delivery_states, [](const auto& state) { return state.initial(); });
}

const pb::DeliveryState* canceled_delivery_state(const Settings& settings) {
  return first_live(settings.delivery_states, [](const auto& state) { return is_canceled(state); });
}

pb::DeliveryCategory delivery_category(std::string_view delivery_state_id,
                                       const Settings& settings) {
  const auto* state = any(settings.delivery_states, delivery_state_id);
  return state ? state->category() : pb::DELIVERY_CATEGORY_UNSPECIFIED;
}

}  // namespace orderd::rules
