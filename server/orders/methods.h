#pragma once

#include "absl/status/statusor.h"
#include "orders/v1/settings_service.pb.h"
#include "server/orders/states.h"

// The rules for shipment methods themselves. Pure functions over the settings.

namespace orderd::rules {

absl::Status validate(const pb::CreateShipmentMethodRequest& request);
absl::Status validate(const pb::GetShipmentMethodRequest& request);
absl::Status validate(const pb::ListShipmentMethodsRequest& request);
absl::Status validate(const pb::UpdateShipmentMethodRequest& request);
absl::Status validate(const pb::DeleteShipmentMethodRequest& request);

absl::StatusOr<SettingsChange> create_method(const pb::CreateShipmentMethodRequest& request,
                                             const Settings& settings);
absl::StatusOr<SettingsChange> update_method(const pb::UpdateShipmentMethodRequest& request,
                                             const Settings& settings);
/// Everything but SHIPMENT_METHOD_IN_USE, which the caller checks: the rule does not see orders.
absl::StatusOr<SettingsChange> delete_method(const pb::DeleteShipmentMethodRequest& request,
                                             Micros now, const Settings& settings);

/// The first enabled method by position; null if there is none.
const pb::ShipmentMethod* default_method(const Settings& settings);

/// SHIPMENT_METHOD_UNKNOWN unless it is configured and not deleted; with `enabled_only`
/// SHIPMENT_METHOD_DISABLED unless it is enabled.
absl::Status check_method(const std::string& method_id, bool enabled_only,
                          const Settings& settings);

/// The method's tracking URL of a number; empty if it has none.
std::string tracking_url(const pb::ShipmentMethod& method, std::string_view tracking_number);

}  // namespace orderd::rules
