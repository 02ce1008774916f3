#pragma once

#include "storage/model.h"

namespace orderd::rules {

/// Sets `available_actions` of `to` (which may be `order`) to what can be done with the order: each
/// live state but the order's own, by position, then the change of shipments, then capture, void
/// and refund of each payment, then the cancellation; allowed, or with the reason that the call
/// would refuse with. What depends on this server's gateway accounts is not judged.
void add_available_actions(const pb::Order& order, const Settings& settings, pb::Order& to);

/// The live states by position, then by state_id.
std::vector<const pb::OrderState*> states_by_position(const Settings& settings);

}  // namespace orderd::rules
