#pragma once

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::UpdateShipmentsRequest& request);

/// Applies the changes in their order, all or nothing. What can't be done is refused with the reason
/// of the first change at fault; all changes at fault are listed as BadRequest (each is left out when
/// the later ones are looked at). `ids` is the seed of the ids of new shipments and lines
/// (`derived_id`). The outcome has one result per change.
Result update_shipments(const pb::UpdateShipmentsRequest& request, const Uuid& ids,
                        const Target& target, const Context& context);

/// Puts every piece of the order's items that is in no line yet into lines in the initial delivery
/// state, one line per item, in shipments by the items' requested methods. New shipments come behind
/// those that the order has.
void ship_remaining(pb::Order& order, const Uuid& ids, Micros now, const Settings& settings);

/// Sets the URL of each tracking number by its shipment's method, deleted and disabled ones too.
void add_tracking_urls(pb::Order& order, const Settings& settings);

/// OK if `update_shipments` could be called on the order now, else its refusal.
absl::Status may_update_shipments(const pb::Order& order, const Settings& settings);

}  // namespace orderd::rules
