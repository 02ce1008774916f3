#pragma once

#include "absl/status/statusor.h"
#include "orders/v1/settings_service.pb.h"
#include "server/orders/states.h"

// The rules for delivery states themselves. Pure functions over the settings.

namespace orderd::rules {

absl::Status validate(const pb::CreateDeliveryStateRequest& request);
absl::Status validate(const pb::GetDeliveryStateRequest& request);
absl::Status validate(const pb::ListDeliveryStatesRequest& request);
absl::Status validate(const pb::UpdateDeliveryStateRequest& request);
absl::Status validate(const pb::DeleteDeliveryStateRequest& request);

absl::StatusOr<SettingsChange> create_delivery_state(const pb::CreateDeliveryStateRequest& request,
                                                     const Settings& settings);
absl::StatusOr<SettingsChange> update_delivery_state(const pb::UpdateDeliveryStateRequest& request,
                                                     const Settings& settings);
/// Everything but DELIVERY_STATE_IN_USE, which the caller checks: the rule does not see orders.
absl::StatusOr<SettingsChange> delete_delivery_state(const pb::DeleteDeliveryStateRequest& request,
                                                     Micros now, const Settings& settings);

/// No line leaves it.
bool is_final(const pb::DeliveryState& state);

/// The delivery state in which lines start, and the one that a cancellation enters (the first of
/// category CANCELED); null if none is configured.
const pb::DeliveryState* initial_delivery_state(const Settings& settings);
const pb::DeliveryState* canceled_delivery_state(const Settings& settings);

/// Of a state, deleted or not; unspecified if there is none of that id.
pb::DeliveryCategory delivery_category(std::string_view delivery_state_id,
                                       const Settings& settings);

}  // namespace orderd::rules
