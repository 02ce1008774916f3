#pragma once

#include <span>
#include <string_view>

#include "storage/child_rows.h"
#include "storage/session.h"
#include "storage/storage.h"

// Shipments, their lines and their tracking numbers as rows.

namespace orderd::storage {

/// Writes the shipments of new orders, and what differs in those of existing ones. The number of
/// statements depends on neither the orders nor their lines, up to 1,000 rows per table.
void write_shipments(Session& session, std::span<const StoredOrder* const> created,
                     std::span<const ChangeSet::BeforeAfter> updated);

/// The orders must have their items.
void read_shipments(Session& session, const ById& orders);

/// How many orders have a line in a delivery state, or a shipment of a method. Walks that part of
/// an index.
std::int64_t count_with_delivery_state(Session& session, std::string_view delivery_state_id);
std::int64_t count_with_method(Session& session, std::string_view method_id);
bool any_with_delivery_state(Session& session, std::string_view delivery_state_id);
bool any_with_method(Session& session, std::string_view method_id);

}  // namespace orderd::storage
