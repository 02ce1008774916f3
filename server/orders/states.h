#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orders/v1/settings_service.pb.h"
#include "server/orders/rule.h"

// The rules for order states themselves. Pure functions over the settings.

namespace orderd::rules {

inline constexpr int kMaxStates = 1000;

absl::Status validate(const pb::CreateOrderStateRequest& request);
absl::Status validate(const pb::GetOrderStateRequest& request);
absl::Status validate(const pb::ListOrderStatesRequest& request);
absl::Status validate(const pb::UpdateOrderStateRequest& request);
absl::Status validate(const pb::DeleteOrderStateRequest& request);

/// What to write; all empty: what was asked for holds already.
struct SettingsChange {
  std::vector<pb::OrderState> saved;
  std::vector<pb::DeliveryState> saved_delivery_states;
  std::vector<pb::ShipmentMethod> saved_methods;

  bool empty() const {
    return saved.empty() && saved_delivery_states.empty() && saved_methods.empty();
  }
};

absl::StatusOr<SettingsChange> create_state(const pb::CreateOrderStateRequest& request,
                                            const Settings& settings);
absl::StatusOr<SettingsChange> update_state(const pb::UpdateOrderStateRequest& request,
                                            const Settings& settings);
/// Everything but STATE_IN_USE, which the caller checks: the rule does not see orders.
absl::StatusOr<SettingsChange> delete_state(const pb::DeleteOrderStateRequest& request, Micros now,
                                            const Settings& settings);

/// The settings after the change.
Settings apply(const Settings& settings, const SettingsChange& change);

/// The live states from which another state can be entered before but not after the change: orders
/// that are in them are stranded by it. Final states never count.
std::vector<std::string> stranding_states(const Settings& before, const Settings& after);

}  // namespace orderd::rules
