#pragma once

#include "storage/session.h"
#include "storage/storage.h"

// The settings as rows: order states, delivery states, shipment methods.

namespace orderd::storage {

std::int64_t read_settings_version(Session& session);
Settings read_settings(Session& session);
/// Everything but the version, which has been read before.
void read_settings_rows(Session& session, Settings& settings);

/// Each inserts or overwrites one.
void save_row(Session& session, const pb::OrderState& state);
void save_row(Session& session, const pb::DeliveryState& state);
void save_row(Session& session, const pb::ShipmentMethod& method);

}  // namespace orderd::storage
